"""What a trained network of several modalities is worth without some of them: predictions and scores with branches silenced."""

from itertools import combinations

import pandas as pd

from abaw_tf.evaluation import evaluate, label_table
from abaw_tf.training.run import Run, RunError
from abaw_tf.training.runner import predict


class SilencedRun(Run):
    """A trained run that predicts with some of its branches silenced, see :func:`abaw_tf.models.gru_fusion.silenced`.

    Parameters
    ----------
    folder : path-like
        Run folder of the recipe ``gru_fusion``.
    modalities : sequence of str
        Branches to silence; may be empty.
    """

    def __init__(self, folder, modalities):
        super().__init__(folder)
        self.modalities = tuple(modalities)

    def load_model(self):
        """The model without these branches."""
        from abaw_tf.models.gru_fusion import silenced

        model = super().load_model()
        return silenced(model, self.modalities) if self.modalities else model


def silent_subsets(modalities) -> tuple:
    """Branches that may be silenced together so that one at least is left: none, each, each two …, as tuples of names."""
    return tuple(some for n in range(len(modalities)) for some in combinations(modalities, n))


def missing_modality_table(run, dataset, split="validation", stores=None, progress=True) -> pd.DataFrame:
    """Score a trained run with each of its branches silenced, and with each few of them, without training it anew.

    Parameters
    ----------
    run : Run or path-like
        Trained run of a recipe with modalities, ``gru_fusion``.
    dataset, split, stores, progress
        As of :func:`abaw_tf.training.predict`; the split must have labels.

    Returns
    -------
    pandas.DataFrame
        Index ``silenced``: the branches (``"nothing"`` for none). Columns: the challenge's scores, ``valence_arousal_score``,
        ``ccc_valence``, ``ccc_arousal``.

    Raises
    ------
    RunError
        The run has no modalities, or is not trained yet.
    abaw_tf.predictions.rules.PredictionError, ValueError
        The split has no labels.
    """
    run = run if isinstance(run, Run) else Run(run)
    modalities = getattr(run.recipe, "modalities", None)
    if modalities is None:
        raise RunError(
            f"{run.folder}: only a network of several modalities has branches to silence, such as gru_fusion. "
            f"Received: {run.recipe.name}"
        )
    labels, rows = label_table(dataset, split, "valence_arousal"), {}
    for silent in silent_subsets(modalities):
        table = predict(SilencedRun(run.folder, silent), dataset, split, stores, progress)
        scores = evaluate(table, labels, bootstrap=0).scores
        rows[", ".join(silent) or "nothing"] = {
            name: scores[name] for name in ("valence_arousal_score", "ccc_valence", "ccc_arousal")
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("silenced")
