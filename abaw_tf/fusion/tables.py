"""Prediction tables fused into one."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from abaw_tf import labels as class_names
from abaw_tf import predictions
from abaw_tf.evaluation.label_tables import TASK_COLUMNS
from abaw_tf.fusion.alignment import Aligned, align
from abaw_tf.fusion.averaging import checked_weights, fused_scores, majority, pooled, tempered, weighted_average
from abaw_tf.predictions import PredictionError

METHODS = ("average", "majority")


def fuse_tables(
    tables,
    weights=None,
    missing="error",
    pool="probability",
    method="average",
    by="frame",
    tolerance=None,
    task=None,
    reference=None,
    map_classes=False,
) -> pd.DataFrame:
    """Fuse prediction tables into one prediction table.

    Parameters
    ----------
    tables : mapping of model name to prediction table
    weights : array-like, mapping of model name to number, or mapping of task to either, optional
        Shape (models,), (models, classes) for expressions or (models, 2) for valence and arousal; models in the order of `tables`
        unless named. Weights that fit one task only fuse this task. Equal weights where None.
    missing : {"error", "drop", "hold", "uniform", "mean"}
        What to do about a frame that a model lacks, see :func:`abaw_tf.fusion.align`; also for `by`, `tolerance`, `task`,
        `reference` and `map_classes`.
    pool : {"probability", "logit"}
        See :func:`abaw_tf.fusion.weighted_average`.
    method : {"average", "majority"}
        "majority" lets each model vote for its most probable class; valence and arousal, which cannot be voted on, are averaged.

    Returns
    -------
    pandas.DataFrame
        Its `model` names the models; its notes say what :func:`abaw_tf.fusion.align` did.

    Raises
    ------
    PredictionError
        As :func:`abaw_tf.fusion.align`.
    ValueError
        Weights have another shape or name other models or tasks.

    Examples
    --------
    >>> from abaw_tf.predictions import make_table
    >>> a = make_table("video1", [0, 1], valence=[0.0, 0.5], arousal=[0.0, 0.0])
    >>> b = make_table("video1", [0, 1], valence=[0.4, 0.5], arousal=[0.2, 0.0])
    >>> fuse_tables({"a": a, "b": b}, weights=[0.75, 0.25])["valence"].round(3).tolist()
    [0.1, 0.5]
    """
    aligned = align(tables, missing, by, tolerance, task, reference, map_classes)
    return fuse_aligned(aligned, weights, pool, method)


def fuse_aligned(
    aligned, weights=None, pool="probability", method="average", temperatures=None, notes=()
) -> pd.DataFrame:
    """Fuse what :func:`abaw_tf.fusion.align` has brought together; parameters as for :func:`fuse_tables`.

    Parameters
    ----------
    aligned : Aligned
    temperatures : sequence of float, optional
        By which the models' logits are divided before fusing.
    notes : sequence of str
        Further notes for the result.
    """
    class_names.check_option("method", method, METHODS)
    by_task = task_weights(aligned, weights)
    columns, notes = {}, [*aligned.notes, *notes]
    notes += [
        f"{task} is not fused: the weights are for {', '.join(by_task)}"
        for task in aligned.tasks
        if task not in by_task
    ]
    if (
        len(by_task) > 1
        and weights is not None
        and not set(by_task) & set(weights if isinstance(weights, Mapping) else ())
    ):
        notes.append(f"{' and '.join(by_task)} are fused with the same weights; task=... fuses one of them")
    if "expression" in by_task:
        values = aligned.probabilities if temperatures is None else tempered(aligned.probabilities, temperatures)
        decided, columns["probabilities"] = fuse_probabilities(values, by_task["expression"], pool, method)
        columns["expression"] = decided
    if "valence_arousal" in by_task:
        values = fuse_continuous(aligned.continuous, by_task["valence_arousal"])
        columns.update(valence=values[:, 0], arousal=values[:, 1])
        if method == "majority":
            notes.append("valence and arousal are averaged: there is no vote on numbers")
    how = "majority of " if method == "majority" else "fusion of "
    keys = aligned.keys
    return predictions.make_table(
        keys["trial"].to_numpy(),
        keys["frame"].to_numpy(),
        time=keys["time"].to_numpy(),
        edition=aligned.edition,
        model=how + ", ".join(aligned.names),
        notes=list(dict.fromkeys(notes)),
        **columns,
    )


def fuse_probabilities(probabilities, weights=None, pool="probability", method="average"):
    """Decisions and probabilities of a fusion of expressions.

    Returns
    -------
    decided : numpy.ndarray of int64, shape (frames,)
        By the scores themselves: scaling them to probabilities can round two of them to the same number.
    probabilities : numpy.ndarray of float64, shape (frames, classes)
    """
    if method == "majority":
        fused = majority(probabilities, weights)
        return fused.argmax(axis=1), fused
    scores = fused_scores(pooled(probabilities, pool), checked_weights(weights, probabilities))
    return scores.argmax(axis=1), weighted_average(probabilities, weights, pool)


def fuse_continuous(values, weights=None) -> np.ndarray:
    """Weighted mean of valence and arousal (models, frames, 2), shape (frames, 2), clipped to [-1, 1]."""
    fused = fused_scores(values, checked_weights(weights, values))
    return np.clip(fused, -1, 1, out=fused)


def task_weights(aligned: Aligned, weights) -> dict:
    """Weights as arrays (or None) by task, for the tasks that they fit and that are aligned.

    Raises
    ------
    ValueError
        Weights have another shape or name other models or tasks.
    """
    if weights is None:
        return dict.fromkeys(aligned.tasks)
    if isinstance(weights, Mapping) and set(weights) <= set(TASK_COLUMNS) and weights:
        absent = [task for task in weights if task not in aligned.tasks]
        if absent:
            raise PredictionError(
                f"there are weights for {absent[0]}, which not every table predicts; leave them out, or fuse the other task alone "
                "(task=..., --task). "
                f"Received: predictions of {' and '.join(aligned.tasks)}"
            )
        result = {task: _array(aligned, values) for task, values in weights.items()}
    else:
        array = _array(aligned, weights)
        result = {task: array for task in aligned.tasks if array.shape[1:] in ((), (_width(aligned, task),))}
    n_models = len(aligned.names)
    for task, array in result.items():
        if array is not None and array.shape not in ((n_models,), (n_models, _width(aligned, task))):
            result = {}
    if not result:
        wanted = " or ".join(f"({n_models}, {_width(aligned, task)}) for {task}" for task in aligned.tasks)
        raise ValueError(
            f"weights must have the shape ({n_models},), or {wanted}: a row per model ({', '.join(aligned.names)}). "
            f"Received: {weights!r}"
        )
    return result


def _width(aligned, task) -> int:
    return len(aligned.classes) if task == "expression" else len(TASK_COLUMNS[task])


def _array(aligned, weights):
    if not isinstance(weights, Mapping):
        return None if weights is None else np.asarray(weights, np.float64)
    if set(weights) != set(aligned.names):
        raise ValueError(
            f"weights must name every model once: {', '.join(aligned.names)}. Received: {', '.join(map(str, weights))}"
        )
    return np.array([weights[name] for name in aligned.names], np.float64)
