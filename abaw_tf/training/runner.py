"""From a recipe and a dataset to a run folder, and from a run folder to predictions.

Everything that goes on here is the same for all recipes: what differs between systems is declared by the recipe.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from abaw_tf import metrics, predictions
from abaw_tf.data.face_datasets import FaceImages
from abaw_tf.evaluation import evaluate
from abaw_tf.training.datasets import (
    fits,
    frame_table,
    frame_times,
    is_synthetic,
    sees_single_images,
    split_tables,
    summary_of,
)
from abaw_tf.training.recipe import KerasRecipe
from abaw_tf.training.run import Run, RunError, environment

LABELS = ["trial", "frame", "expression", "valence", "arousal"]
SYNTHETIC_NOTE = "synthetic data: rendered by abaw_tf, says nothing about accuracy on people"


def train(
    recipe, dataset, run_dir, resume=True, folds=None, fold=0, stores=None, strategy="default", progress=True
) -> Run:
    """Train a recipe on a dataset.

    Parameters
    ----------
    recipe : Recipe
        As from ``Recipe.from_preset("frame_cnn", "small")``.
    dataset : AffWild2 or FaceImages
        Of the kind that the recipe is trained on (`open_dataset`), and of its edition.
    run_dir : path-like
        Run folder. If it holds an unfinished run of the same recipe, training goes on after the last finished epoch, with the
        result that it would have had without the interruption; a finished run is returned as it is.
    resume : bool
        False: refuse a folder that holds a run already.
    folds : pandas.DataFrame, optional
        As from :func:`abaw_tf.data.folds.make_folds`, instead of the official split: trials of fold `fold` are for validation,
        the others for training, whatever the official split of their labels. Trials that are not in it are left out.
    fold : int
        Which one.
    stores : dict of str to FeatureStore or path, optional
        Feature tracks by the name under which the recipe asks for them; of ``sound`` the folder where it is kept once it is decoded.
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
        Another kind of dataset, edition, recipe or data than the folder's, no labelled frame, or a loss that is not finite.
    ValueError, FileNotFoundError
        The dataset, weights or stores are not as they should be.
    """
    if (recipe.dataset == "faces") != isinstance(dataset, FaceImages):
        wanted = "face images: FaceImages(root)" if recipe.dataset == "faces" else "Aff-Wild2: AffWild2(root, edition)"
        raise RunError(f"the recipe {recipe.name} is trained on {wanted}. Received: {dataset!r}")
    if not fits(recipe, dataset):
        raise RunError(
            f'the recipe is for edition "{recipe.edition}" and the dataset was opened as "{dataset.edition.name}"; open it with '
            f'AffWild2(root, edition="{recipe.edition}"), or set the recipe\'s `edition`'
        )
    run = _open_or_create(recipe, Path(run_dir), resume)
    fold = None if folds is None else int(fold)
    if run.finished:
        _check_fold(run, fold)
        if progress:
            print(f"{run.folder}: finished already, nothing to do")
        return run
    tables = split_tables(recipe, dataset, folds, fold)
    run.update_card(
        status="training",
        recipe=recipe.name,
        preset=recipe.preset,
        **environment(),
        resumed=run.card.get("resumed", -1) + 1,
        dataset=summary_of(recipe, dataset, tables, fold),
        **({} if folds is None else {"training_trials": sorted(tables[0]["trial"].unique())}),
    )
    if isinstance(recipe, KerasRecipe):
        from abaw_tf.training import keras_runner

        model, entries = keras_runner.fit(run, dataset, *tables, stores, strategy, progress)
    else:
        from abaw_tf.training import estimator_runner

        model, entries = estimator_runner.fit(run, dataset, tables[0], stores, progress)
    run.update_card(**entries)
    table = _predict(run, dataset, tables[1], stores, progress, model)
    predictions.write(table, run.predictions_path)
    run.update_card(status="finished", scores=_scores(table, tables[1][LABELS], dataset))
    for path in (run.folder / "checkpoint").glob("*"):
        path.unlink()
    return run


def predict(run, dataset, split="validation", stores=None, progress=True) -> pd.DataFrame:
    """Predict every frame of every trial of a split with a trained run.

    Parameters
    ----------
    run : Run or path-like
        Trained run.
    dataset : AffWild2 or FaceImages
        The dataset of the training or another one, with or without labels; if it is Aff-Wild2, of the same edition. A model of single
        faces predicts on both kinds.
    split : {"train", "validation", "test"} or None
        Split of the recipe's task; ``None`` for all trials. Face images have no test split.
    stores : dict of str to FeatureStore or path, optional
        As in `train`.
    progress : bool
        Show what is going on.

    Returns
    -------
    pandas.DataFrame
        Prediction table with a row for every frame. A frame without a (readable) face has the expression of the previous one;
        valence and arousal are interpolated; a trial without any face, or for a model that hears without sound, is called Neutral (a model
        of several modalities predicts it from those that are there). The table's notes say how many. Of face images, which have no
        neighbours to fill from, those that are missing or unreadable have no row.

    Raises
    ------
    RunError
        The run is of another edition or not trained yet.
    ValueError, FileNotFoundError
        No such split, no face crops at all, …
    """
    run = run if isinstance(run, Run) else Run(run)
    if isinstance(dataset, FaceImages) and not sees_single_images(run.recipe):
        raise RunError(f"{run.folder}: {run.recipe.name} needs the frames of videos. Received: {dataset!r}")
    if not fits(run.recipe, dataset):
        raise RunError(
            f'{run.folder}: trained for edition "{run.recipe.edition}"; open the dataset with that edition. '
            f'Received: "{dataset.edition.name}"'
        )
    table = frame_table(run.recipe, dataset, split)
    return _predict(run, dataset, table, stores, progress)


def _predict(run, dataset, table, stores, progress, model=None):
    recipe = run.recipe
    if isinstance(recipe, KerasRecipe):
        from abaw_tf.training import keras_runner as runner
    else:
        from abaw_tf.training import estimator_runner as runner
    rows, outputs, notes = runner.predict(run, dataset, table.reset_index(drop=True), stores, progress, model)
    outputs.pop("va_vector", None)  # trained beside valence and arousal, and no column of a prediction table
    for name in outputs.keys() & set(run.card.get("untrained_outputs", ())):
        outputs.pop(name)
        notes = [*notes, f"{name} is not predicted: no frame of the training had a label of it"]
    if "valence_arousal" in outputs:
        outputs["valence"], outputs["arousal"] = outputs.pop("valence_arousal").T
    for name in ("valence", "arousal"):
        if name in outputs:
            outputs[name] = np.clip(outputs[name].reshape(len(rows)), -1.0, 1.0)
    # The official splits keep training apart; folds are the caller's, and any split may hold some of their training trials.
    known = set(run.card.get("training_trials", ())) & set(table["trial"])
    if known:
        notes = [
            *notes,
            f"{len(known)} of {table['trial'].nunique()} trials were trained on (fold {run.card['dataset']['fold']} was not)",
        ]
    if is_synthetic(dataset):
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
    if isinstance(dataset, FaceImages):
        return result
    lengths = table.groupby("trial")["frame"].size().to_dict()
    return predictions.fill_missing(result, lengths, frame_times(dataset, lengths), empty="neutral")


def _scores(table, labels, dataset):
    """Scores of a prediction table; of a model of valence or of arousal alone, which is half a task, its CCC."""
    # The frames of a video are all predicted; of face images those that can be read.
    missing = "drop" if isinstance(dataset, FaceImages) else "error"
    half = {"valence", "arousal"} & set(table.columns)
    if "expression" in table or len(half) == 2:
        return evaluate(table, labels, bootstrap=0, missing=missing).scores
    name = half.pop()
    both = labels.merge(table, on=["trial", "frame"], suffixes=("_true", ""))
    return {f"ccc_{name}": metrics.ccc(both[f"{name}_true"].to_numpy(), both[name].to_numpy())}


def _normalised(probabilities):
    """Float64 rows that sum to one: a network's float32 softmax does so only to seven digits."""
    if probabilities is None:
        return None
    probabilities = np.asarray(probabilities, np.float64)
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def _check_fold(run, fold):
    """Refuse to pass a finished run of one fold off as that of another one."""
    then = run.card.get("dataset", {}).get("fold")
    if then != fold:
        names = ["the official split" if number is None else f"fold {number}" for number in (then, fold)]
        raise RunError(f"{run.folder}: holds a run of {names[0]}; choose another run folder. Received: {names[1]}")


def _open_or_create(recipe, folder, resume):
    if not (folder / "recipe.yaml").is_file():
        return Run.create(folder, recipe)
    run = Run(folder)
    if not resume:
        raise RunError(f"{folder}: holds a run already; choose another run folder or delete it (or resume it)")
    old, new = run.recipe.to_dict(), recipe.to_dict()
    if old != new and not run.begun:  # an attempt that was refused before it computed anything
        return Run.create(folder, recipe)
    if old != new:
        changed = [f"{key} {old.get(key)!r} -> {value!r}" for key, value in new.items() if old.get(key) != value]
        raise RunError(
            f"{folder}: holds a run of another recipe; choose another run folder. Received: {'; '.join(changed[:5])}"
        )
    for folder in (run.folder, run.folder / "checkpoint"):
        for leftover in folder.glob(".*.part*"):
            leftover.unlink()
    return run
