"""Which trials a dataset has, and the split of each in each task."""

from pathlib import Path

import pandas as pd

from abaw_tf import labels
from abaw_tf.data.folds import subject_of, video_of
from abaw_tf.data.layout import read_test_list

# Where the splits of a trial's tasks disagree, the later one here wins: nobody trains on a held-out frame.
_HELD_OUT = {split: rank for rank, split in enumerate(labels.SPLITS)}


def trial_index(layout):
    """Table of the trials of a dataset, from its layout alone (no file but the lists of test trials is opened).

    A trial is whatever has a label file, a folder of crops, or a line in a list of test trials; a video without any of these is
    a trial of its own. A trial that nobody labelled is a test trial of every task that has no list of test trials to tell.

    Parameters
    ----------
    layout : Layout
        As from `find_layout`.

    Returns
    -------
    pandas.DataFrame
        Sorted by trial: ``trial, video, subject, split, split_expression, split_valence_arousal, video_path, cropped_dir,
        aligned_dir, expression_path, valence_arousal_path``; paths are str or None. ``split`` is the most held-out split of the two
        tasks (test before validation before train), None where neither task has the trial.
    """
    splits = {task: _task_splits(layout, task) for task in labels.TASKS}
    names = set().union(*splits.values(), *layout.crops.values())
    names |= set(layout.videos) - {video_of(name) for name in names}
    rows = [_row(layout, splits, trial) for trial in sorted(names)]
    # dtype object: None stays None in every version of pandas.
    table = pd.DataFrame({column: pd.Series([row[column] for row in rows], dtype=object) for column in _COLUMNS})
    return table.astype({"trial": str, "video": str, "subject": str})


_COLUMNS = (
    "trial",
    "video",
    "subject",
    "split",
    *(f"split_{task}" for task in labels.TASKS),
    "video_path",
    "cropped_dir",
    "aligned_dir",
    *(f"{task}_path" for task in labels.TASKS),
)


def _row(layout, splits, trial):
    named = any(trial in splits[task] for task in labels.TASKS)
    split_of = {}
    for task in labels.TASKS:
        unlisted = None if named or layout.test_lists[task] else "test"
        split_of[task] = splits[task].get(trial, unlisted)
    own = [split for split in split_of.values() if split]
    video = video_of(trial)
    return {
        "trial": trial,
        "video": video,
        "subject": subject_of(trial),
        "split": max(own, key=_HELD_OUT.get) if own else None,
        **{f"split_{task}": split_of[task] for task in labels.TASKS},
        # A video that is itself named like a subject is taken where there is no common one.
        "video_path": _text(layout.videos.get(video, layout.videos.get(trial))),
        "cropped_dir": _text(layout.crops["cropped"].get(trial)),
        "aligned_dir": _text(layout.crops["cropped_aligned"].get(trial)),
        **{f"{task}_path": _text(_label_file(layout, task, trial)) for task in labels.TASKS},
    }


def _text(path: Path | None):
    return None if path is None else str(path)


def _label_file(layout, task, trial):
    """Label file of a trial; of two in different splits the more held-out one (the doctor reports both)."""
    for split in reversed(labels.SPLITS):
        if trial in layout.label_files[task][split]:
            return layout.label_files[task][split][trial]
    return None


def _task_splits(layout, task):
    """Split of every trial that the task's label files or lists name; the most held-out one where there are several."""
    splits = {}
    for split in labels.SPLITS:
        splits.update(dict.fromkeys(layout.label_files[task][split], split))
    for path in layout.test_lists[task]:
        splits.update(dict.fromkeys(read_test_list(path), "test"))
    return splits
