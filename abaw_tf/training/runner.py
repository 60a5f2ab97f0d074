"""From a recipe and a dataset to a run folder, and from a run folder to predictions.

Everything that goes on here is the same for all recipes: what differs between systems is declared by the recipe.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from abaw_tf import metrics, predictions
from abaw_tf.data.folds import video_of
from abaw_tf.evaluation import evaluate
from abaw_tf.training.needs import Images
from abaw_tf.training.recipe import KerasRecipe
from abaw_tf.training.run import Run, RunError, environment

SYNTHETIC_NOTE = "synthetic data: rendered by abaw_tf, says nothing about accuracy on people"


def train(
    recipe, dataset, run_dir, resume=True, folds=None, fold=0, stores=None, strategy="default", progress=True
) -> Run:
    """Train a recipe on a dataset.

    Parameters
    ----------
    recipe : Recipe
        As from ``Recipe.from_preset("frame_cnn", "small")``.
    dataset : AffWild2
        Of the recipe's edition.
    run_dir : path-like
        Run folder. If it holds an unfinished run of the same recipe, training goes on after the last finished epoch, with the
        result that it would have had without the interruption; a finished run is returned as it is.
    resume : bool
        False: refuse a folder that holds a run already.
    folds : pandas.DataFrame, optional
        As from :func:`abaw_tf.data.folds.make_folds`, instead of the official split: trials of fold `fold` are for validation,
        the others for training.
    fold : int
        Which one.
    stores : dict of str to FeatureStore or path, optional
        Feature tracks by the name under which the recipe asks for them.
    strategy : {"default", "mirrored"}
        ``"mirrored"``: each batch is shared out over all GPUs of this machine.
    progress : bool
        Show what is going on.

    Returns
    -------
    Run
        With ``run.card["scores"]`` on the validation frames, and these predictions in ``run.predictions_path``.

    Raises
    ------
    RunError
        Another edition, recipe or data than the folder's, no labelled frame, or a loss that is not finite.
    ValueError, FileNotFoundError
        The dataset, weights or stores are not as they should be.
    """
    if recipe.edition != dataset.edition.name:
        raise RunError(
            f'the recipe is for edition "{recipe.edition}" and the dataset was opened as "{dataset.edition.name}"; open it with '
            f'AffWild2(root, edition="{recipe.edition}"), or set the recipe\'s `edition`'
        )
    run = _open_or_create(recipe, Path(run_dir), resume)
    if run.finished:
        if progress:
            print(f"{run.folder}: finished already, nothing to do")
        return run
    tables = _split(recipe, dataset, folds, fold)
    run.update_card(
        status="training",
        recipe=recipe.name,
        preset=recipe.preset,
        **environment(),
        resumed=run.card.get("resumed", -1) + 1,
        dataset=_summary(dataset, tables, None if folds is None else fold),
    )
    if isinstance(recipe, KerasRecipe):
        from abaw_tf.training import keras_runner

        entries = keras_runner.fit(run, dataset, *tables, stores, strategy, progress)
    else:
        from abaw_tf.training import estimator_runner

        entries = estimator_runner.fit(run, dataset, tables[0], stores, progress)
    run.update_card(**entries)
    table = _predict(run, dataset, tables[1], stores, progress)
    predictions.write(table, run.predictions_path)
    labels = tables[1].drop(columns="path")
    run.update_card(status="finished", scores=_scores(table, labels))
    for path in (run.folder / "checkpoint").glob("*"):
        path.unlink()
    return run


def predict(run, dataset, split="validation", stores=None, progress=True) -> pd.DataFrame:
    """Predict every frame of every trial of a split with a trained run.

    Parameters
    ----------
    run : Run or path-like
        Trained run.
    dataset : AffWild2
        The dataset of the training or another one of the same edition, with or without labels.
    split : {"train", "validation", "test"} or None
        Split of the recipe's task; ``None`` for all trials.
    stores : dict of str to FeatureStore or path, optional
        As in `train`.
    progress : bool
        Show what is going on.

    Returns
    -------
    pandas.DataFrame
        Prediction table with a row for every frame. A frame without a (readable) face has the expression of the previous one;
        valence and arousal are interpolated; a trial without any face is called Neutral. The table's notes say how many.

    Raises
    ------
    RunError
        The run is of another edition or not trained yet.
    ValueError, FileNotFoundError
        No such split, no face crops at all, …
    """
    run = run if isinstance(run, Run) else Run(run)
    if run.recipe.edition != dataset.edition.name:
        raise RunError(
            f'{run.folder}: trained for edition "{run.recipe.edition}"; open the dataset with that edition. '
            f'Received: "{dataset.edition.name}"'
        )
    table = dataset.frame_table(split, _task(run.recipe), _kind(run.recipe))
    return _predict(run, dataset, table, stores, progress)


def _predict(run, dataset, table, stores, progress):
    recipe = run.recipe
    if isinstance(recipe, KerasRecipe):
        from abaw_tf.training import keras_runner as runner
    else:
        from abaw_tf.training import estimator_runner as runner
    rows, outputs, notes = runner.predict(run, dataset, table.reset_index(drop=True), stores, progress)
    if "valence_arousal" in outputs:
        outputs["valence"], outputs["arousal"] = outputs.pop("valence_arousal").T
    for name in ("valence", "arousal"):
        if name in outputs:
            outputs[name] = np.clip(outputs[name].reshape(len(rows)), -1.0, 1.0)
    if _is_synthetic(dataset):
        notes = [SYNTHETIC_NOTE, *notes]
    result = predictions.make_table(
        rows["trial"].to_numpy(dtype=object),
        rows["frame"].to_numpy(),
        probabilities=_normalised(outputs.get("expression")),
        valence=outputs.get("valence"),
        arousal=outputs.get("arousal"),
        edition=recipe.edition,
        model=f"{recipe.name} ({recipe.preset})",
        weights_hash=run.card.get("weights_hash"),
        notes=notes,
    )
    lengths = table.groupby("trial")["frame"].size().to_dict()
    return predictions.fill_missing(result, lengths, _times(dataset, lengths), empty="neutral")


def _scores(table, labels):
    """Scores of a prediction table; of a model of valence or of arousal alone, which is half a task, its CCC."""
    half = {"valence", "arousal"} & set(table.columns)
    if "expression" in table or len(half) == 2:
        return evaluate(table, labels, bootstrap=0).scores
    name = half.pop()
    both = labels.merge(table, on=["trial", "frame"], suffixes=("_true", ""))
    return {f"ccc_{name}": metrics.ccc(both[f"{name}_true"].to_numpy(), both[name].to_numpy())}


def _normalised(probabilities):
    """Float64 rows that sum to one: a network's float32 softmax does so only to seven digits."""
    if probabilities is None:
        return None
    probabilities = np.asarray(probabilities, np.float64)
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def _times(dataset, lengths):
    """Times of every frame, NaN for trials without a video (the reader knows no frame rate for them)."""
    times = {}
    for trial, length in lengths.items():
        try:
            times[trial] = dataset.times(trial)
        except FileNotFoundError:
            times[trial] = np.full(length, np.nan)
    return times


def _open_or_create(recipe, folder, resume):
    if not (folder / "recipe.yaml").is_file():
        return Run.create(folder, recipe)
    run = Run(folder)
    if not resume:
        raise RunError(f"{folder}: holds a run already; choose another run folder or delete it (or resume it)")
    old, new = run.recipe.to_dict(), recipe.to_dict()
    if old != new:
        changed = [f"{key} {old.get(key)!r} -> {value!r}" for key, value in new.items() if old.get(key) != value]
        raise RunError(
            f"{folder}: holds a run of another recipe; choose another run folder. Received: {'; '.join(changed[:5])}"
        )
    for folder in (run.folder, run.folder / "checkpoint"):
        for leftover in folder.glob(".*.part*"):
            leftover.unlink()
    return run


def _split(recipe, dataset, folds, fold):
    """Frame tables for training and validation."""
    task, kind = _task(recipe), _kind(recipe)
    tables = [dataset.frame_table(split, task, kind) for split in ("train", "validation")]
    if folds is None:
        return tables
    known = sorted(folds["fold"].unique())
    if fold not in known:
        raise RunError(f"there is no fold {fold}. Received: folds {known}")
    together = pd.concat(tables, ignore_index=True).sort_values(["trial", "frame"], kind="stable")
    of_trial = folds.set_index("trial")["fold"]
    numbers = together["trial"].map(of_trial)
    if numbers.isna().all():
        raise RunError(
            "no trial of the dataset is in the folds; make them with data.folds.make_folds(dataset.trials())"
        )
    return [together[(numbers != fold) & numbers.notna()], together[numbers == fold]]


def _task(recipe):
    """The challenge task whose split counts; None where a recipe predicts both."""
    outputs = set(recipe.outputs()) if isinstance(recipe, KerasRecipe) else {"expression"}
    if outputs == {"expression"}:
        return "expression"
    return None if "expression" in outputs else "valence_arousal"


def _kind(recipe):
    if isinstance(recipe, KerasRecipe):
        for need in recipe.inputs().values():
            if isinstance(need, Images):
                return need.kind
    return "cropped_aligned"


def _is_synthetic(dataset):
    return (Path(dataset.root) / "synthetic.json").is_file()


def _summary(dataset, tables, fold):
    summary = {"root": str(dataset.root), "edition": dataset.edition.name, "synthetic": _is_synthetic(dataset)}
    if fold is not None:
        summary["fold"] = fold
    for split, table in zip(("train", "validation"), tables):
        known = table["expression"].to_numpy()
        counts = np.bincount(known[known >= 0], minlength=len(dataset.edition.classes))
        summary[split] = {
            "videos": len({video_of(trial) for trial in table["trial"].unique()}),
            "trials": int(table["trial"].nunique()),
            "frames": len(table),
            "frames_with_crop": int(table["path"].notna().sum()),
            "labelled": {name: int(n) for name, n in zip(dataset.edition.classes, counts)},
        }
    return summary
