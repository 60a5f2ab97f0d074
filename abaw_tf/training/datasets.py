"""The datasets that recipes are trained on, Aff-Wild2 and face images, as the runner needs them."""

from pathlib import Path

import numpy as np
import pandas as pd

from abaw_tf.data.affwild2 import AffWild2
from abaw_tf.data.face_datasets import FaceImages
from abaw_tf.data.folds import video_of
from abaw_tf.evaluation.label_tables import labelled
from abaw_tf.labels import TASKS
from abaw_tf.training.needs import Images
from abaw_tf.training.recipe import KerasRecipe
from abaw_tf.training.run import RunError


def open_dataset(recipe, root):
    """Open the kind of dataset that a recipe is trained on.

    Parameters
    ----------
    recipe : Recipe
    root : path-like
        Folder of the dataset.

    Returns
    -------
    AffWild2 or FaceImages
    """
    return FaceImages(root) if recipe.dataset == "faces" else AffWild2(root, recipe.edition)


def fits(recipe, dataset):
    """Whether the dataset has the recipe's expressions; those of face images are mapped to any edition's."""
    return isinstance(dataset, FaceImages) or recipe.edition == dataset.edition.name


def sees_single_images(recipe):
    """Whether a recipe's model looks at one image at a time, wherever it comes from."""
    if not isinstance(recipe, KerasRecipe) or recipe.windows() is not None:
        return False
    return all(isinstance(need, Images) for need in recipe.inputs().values())


def frame_table(recipe, dataset, split):
    """The frames of a split as the recipe's task and kind of crops want them."""
    if isinstance(dataset, FaceImages):
        return dataset.frame_table(split)
    return dataset.frame_table(split, _task(recipe), _kind(recipe))


def split_tables(recipe, dataset, folds, fold):
    """Frame tables for training and validation: the official ones, or by folds; see `abaw_tf.training.train`.

    With folds the official splits do not matter: the labels of all trials count, in whichever split a trial is for either task.
    """
    if folds is None:
        return [frame_table(recipe, dataset, split) for split in ("train", "validation")]
    known = sorted(folds["fold"].unique().tolist())
    if fold not in known:
        raise RunError(f"there is no fold {fold}. Received: folds {known}")
    together = frame_table(recipe, dataset, None).sort_values(["trial", "frame"], kind="stable")
    tasks = [_task(recipe)] if _task(recipe) else TASKS
    known = pd.Series(np.any([labelled(together, task) for task in tasks], axis=0), together.index)
    # Trials without any label, such as the official test set, have nothing to train on or to be scored with.
    together = together[known.groupby(together["trial"]).transform("any")]
    numbers = together["trial"].map(folds.set_index("trial")["fold"])
    if numbers.isna().all():
        raise RunError(
            "no labelled trial of the dataset is in the folds; make them with data.folds.make_folds(dataset.trials())"
        )
    return [together[(numbers != fold) & numbers.notna()], together[numbers == fold]]


def frame_times(dataset, lengths):
    """Times of every frame, NaN for trials without a video (the reader knows no frame rate for them)."""
    times = {}
    for trial, length in lengths.items():
        try:
            times[trial] = dataset.times(trial)
        except FileNotFoundError:
            times[trial] = np.full(length, np.nan)
    return times


def is_synthetic(dataset):
    """Whether the dataset was rendered by the toolkit."""
    return (Path(dataset.root) / "synthetic.json").is_file()


def summary_of(recipe, dataset, tables, fold):
    """What the run card tells about the dataset: where it is, and its frames by split and class."""
    summary = {"root": str(dataset.root), "edition": recipe.edition, "synthetic": is_synthetic(dataset)}
    faces = isinstance(dataset, FaceImages)
    if faces:
        summary |= {"layout": dataset.layout, "missing_images": len(dataset.missing), "left_out": dataset.left_out}
    if fold is not None:
        summary["fold"] = fold
    for split, table in zip(("train", "validation"), tables):
        known = table["expression"].to_numpy()
        counts = np.bincount(known[known >= 0], minlength=len(recipe.classes))
        found = {"frames": len(table), "frames_with_crop": int(table["path"].notna().sum())}
        if not faces:
            names = table["trial"].unique()
            found = {"videos": len({video_of(name) for name in names}), "trials": len(names), **found}
        summary[split] = {**found, "labelled": {name: int(n) for name, n in zip(recipe.classes, counts)}}
    return summary


def _task(recipe):
    """The challenge task whose split counts; None where a recipe predicts both."""
    outputs = set(recipe.outputs()) if isinstance(recipe, KerasRecipe) else {"expression"}
    if outputs == {"expression"}:
        return "expression"
    return None if "expression" in outputs else "valence_arousal"


def _kind(recipe):
    """The crops that count: those that the network looks at, or that its tracks of faces are made from."""
    needs = recipe.inputs().values() if isinstance(recipe, KerasRecipe) else ()
    # Measured tracks, of sound or by OpenFace, are made from no crops at all.
    kinds = [need.kind for need in needs if hasattr(need, "kind") and not getattr(need, "extractor", "")]
    return kinds[0] if kinds else "cropped_aligned"
