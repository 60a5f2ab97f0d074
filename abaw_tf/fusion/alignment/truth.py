"""Labels for aligned predictions."""

from dataclasses import dataclass

import numpy as np

from abaw_tf import labels as class_names
from abaw_tf.data.folds import video_of
from abaw_tf.evaluation.label_tables import TASK_COLUMNS, TrialCodes, check_labels, labelled, locate
from abaw_tf.fusion.alignment.frames import some
from abaw_tf.predictions import PredictionError


@dataclass(frozen=True)
class AlignedLabels:
    """Labels of the frames of an :class:`Aligned`.

    Attributes
    ----------
    expression : numpy.ndarray of int64, shape (frames,), or None
        -1 where a frame has no label.
    continuous : numpy.ndarray of float64, shape (frames, 2), or None
        Valence and arousal, NaN where there is no label.
    videos : numpy.ndarray of str, shape (frames,)
        Video of each frame: the groups of a held-out estimate (both people of a video belong together).
    notes : tuple of str
    """

    expression: np.ndarray | None
    continuous: np.ndarray | None
    videos: np.ndarray
    notes: tuple


def align_labels(aligned, labels, missing="error") -> AlignedLabels:
    """Find the labels of aligned frames, by trial and frame.

    Parameters
    ----------
    aligned : Aligned
    labels : pandas.DataFrame
        Label table (see `abaw_tf.evaluation.read_labels`).
    missing : {"error", "drop"}
        What to do about labelled frames that no model (or, after dropping, not every model) predicts: refuse, or leave them out and
        say so; as in `abaw_tf.evaluation.evaluate`.

    Returns
    -------
    AlignedLabels
        Of the tasks that are both predicted and labelled.

    Raises
    ------
    PredictionError
        No trial or no task in common, or labelled frames lack predictions.
    """
    class_names.check_option("missing", missing, ("error", "drop"))
    labels = check_labels(labels, aligned.edition)
    trials = TrialCodes.of(labels)
    keys = TrialCodes.of(aligned.keys)
    if not set(keys.names) & set(trials.names):
        raise PredictionError(
            "predictions and labels have no trial in common; check that both are of the same split and name trials alike. "
            f"Received: predictions of {some(keys.names)}, labels of {some(trials.names)}"
        )
    tasks = [task for task in aligned.tasks if labelled(labels, task).any()]
    if not tasks:
        others = [task for task in TASK_COLUMNS if labelled(labels, task).any()]
        raise PredictionError(
            "predictions and labels have no task in common. Received: predictions of "
            f"{' and '.join(aligned.tasks)}, labels of {some(others) or 'nothing'}"
        )
    place = locate(aligned.keys, labels, trials)
    values, notes = {}, []
    for task in tasks:
        wanted = labelled(labels, task)
        notes += _lacking_labels(labels, task, wanted, place >= 0, missing)
        rows = wanted & (place >= 0)
        columns = TASK_COLUMNS[task]
        blank = class_names.MISSING_EXPRESSION if task == "expression" else np.nan
        values[task] = np.full((len(aligned.keys), len(columns)), blank)
        for position, name in enumerate(columns):
            values[task][place[rows], position] = labels[name].to_numpy(np.float64)[rows]
    videos = np.array([video_of(trial) for trial in keys.names], dtype=object)[keys.codes]
    expression = values["expression"][:, 0].astype(np.int64) if "expression" in values else None
    return AlignedLabels(expression, values.get("valence_arousal"), videos, tuple(notes))


def _lacking_labels(labels, task, wanted, found, missing) -> list:
    lacking = wanted & ~found
    if not lacking.any():
        return []
    counts = f"{int(lacking.sum()):,} of {int(wanted.sum()):,} labelled frames"
    first = labels.iloc[int(np.argmax(lacking))]
    if missing == "error" or not (wanted & found).any():
        raise PredictionError(
            f"{task}: {counts}, in {labels['trial'][lacking].nunique()} trial(s), have no prediction; predict the whole split, fill "
            "them (predictions.fill_missing), or pass missing='drop' (--missing drop) to leave them out. "
            f"Received: none for trial {first['trial']}, frame {first['frame']}"
        )
    return [f"{task}: {counts} have no prediction and were left out"]
