"""Prediction tables of several models brought to the same frames and classes."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from abaw_tf import labels as class_names
from abaw_tf.evaluation.label_tables import TASK_COLUMNS
from abaw_tf.fusion.alignment.frames import match_by_frame, match_by_time, some
from abaw_tf.fusion.alignment.missing import MISSING, apply_policy, gather
from abaw_tf.predictions import PredictionError, classes_of, edition_of, validate


@dataclass(frozen=True)
class Aligned:
    """Predictions of several models for the same frames.

    Attributes
    ----------
    keys : pandas.DataFrame
        ``trial, frame, time`` of the frames, sorted.
    names : tuple of str
        The models.
    edition : str
    classes : tuple of str
        Official names and order.
    probabilities : numpy.ndarray of float64, shape (models, frames, classes), or None
    continuous : numpy.ndarray of float64, shape (models, frames, 2), or None
        Valence and arousal.
    notes : tuple of str
        What was filled, left out, mapped or matched by time; and the notes of the tables.
    """

    keys: pd.DataFrame
    names: tuple
    edition: str
    classes: tuple
    probabilities: np.ndarray | None
    continuous: np.ndarray | None
    notes: tuple

    @property
    def tasks(self) -> tuple:
        """The tasks that every model predicts."""
        values = {"expression": self.probabilities, "valence_arousal": self.continuous}
        return tuple(task for task, array in values.items() if array is not None)


def align(tables, missing="error", by="frame", tolerance=None, task=None, reference=None, map_classes=False) -> Aligned:
    """Bring the prediction tables of several models to the same frames and classes.

    Parameters
    ----------
    tables : mapping of model name to prediction table
        A table with class decisions but no probabilities (a submission, say) counts as probability 1 for its class.
    missing : {"error", "drop", "hold", "uniform", "mean"}
        What to do about a frame that some model lacks: refuse; leave the frame out for all models; take the model's nearest earlier
        frame of the trial (before its first frame the first); take equal probabilities (valence and arousal 0, the middle of the
        scale); take the mean of the models that have it. All but "error" are counted in the notes. A trial that a model lacks
        altogether cannot be held.
    by : {"frame", "time"}
        Match frames of the same trial by number, or each frame of `reference` with the nearest in time, for tables of different frame
        rates.
    tolerance : float, optional
        For ``by="time"``: the largest distance in seconds. Default: half the frame period of the other table (after its last frame a
        whole one).
    task : {"expression", "valence_arousal"}, optional
        Default: every task that all tables predict.
    reference : str or pandas.DataFrame, optional
        Name of the table (or a table with ``trial, frame``, and ``time`` where that is matched) whose frames are wanted. Default: by
        frame all frames of all tables, by time those of the first table.
    map_classes : bool
        Allow models of 7 and 8 classes together: the class that an edition lacks gets probability 0. Otherwise that is an error.

    Raises
    ------
    PredictionError
        A table breaks a rule, lacks frames, times or the task, or the editions differ. The message names the model.
    """
    _check_options(tables, missing, by, tolerance, task)
    for name, table in tables.items():
        validate(table, name)
        if table.empty:
            raise PredictionError(f"{name}: the table has no rows; predict with this model, or leave it out")
    tasks, notes = _tasks(tables, task)
    edition, more = _edition(tables, "expression" in tasks, map_classes)
    matches, matched = _match(tables, by, tolerance, reference)
    matched += _first_frames(tables) if by == "frame" else []
    matches, lacking, filled = apply_policy(missing, matches, tuple(tables), matched)
    values = {}
    if "expression" in tasks:
        arrays = (_class_columns(table, edition) for table in tables.values())
        values["expression"] = gather(arrays, matches.rows, lacking, missing, 1 / edition.n_classes)
        notes += [
            f"{name}: class decisions without probabilities, counted as probability 1: a weighted vote"
            for name, table in tables.items()
            if not classes_of(table)
        ]
    if "valence_arousal" in tasks:
        arrays = ([table[name].to_numpy(np.float64) for name in ("valence", "arousal")] for table in tables.values())
        values["valence_arousal"] = gather(arrays, matches.rows, lacking, missing, 0.0)
    own = [f"{name}: {note}" for name, table in tables.items() for note in table.attrs.get("notes") or ()]
    keys = pd.DataFrame(
        {
            "trial": np.array(matches.trials, dtype=object)[matches.codes],
            "frame": matches.frame,
            "time": matches.time,
        }
    )
    return Aligned(
        keys.astype({"trial": str}),
        tuple(tables),
        edition.name,
        edition.classes,
        values.get("expression"),
        values.get("valence_arousal"),
        tuple(dict.fromkeys([*notes, *more, *matched, *filled, *own])),
    )


def _check_options(tables, missing, by, tolerance, task) -> None:
    if not isinstance(tables, Mapping) or not tables:
        raise ValueError(
            "tables must map the name of each model to its prediction table, one at least. "
            f"Received: {'an empty mapping' if isinstance(tables, Mapping) else type(tables).__name__}"
        )
    class_names.check_option("missing", missing, MISSING)
    class_names.check_option("by", by, ("frame", "time"))
    class_names.check_option("task", task, (None, *class_names.TASKS))
    if tolerance is not None and (by != "time" or not tolerance >= 0):
        raise ValueError(
            f"tolerance is a number of seconds from 0 on, for by='time'. Received: tolerance={tolerance!r}, by={by!r}"
        )


def _tasks(tables, task):
    predicted = {name: _predicted(table) for name, table in tables.items()}
    shared = [one for one in class_names.TASKS if all(one in found for found in predicted.values())]
    if (task is not None and task not in shared) or not shared:
        found = "; ".join(
            f"{name} predicts {' and '.join(tasks) or 'no whole task'}" for name, tasks in predicted.items()
        )
        wanted = "the same task" if task is None else task
        raise PredictionError(f"every table must predict {wanted}; leave out those that do not. Received: {found}")
    if task is not None:
        return (task,), []
    partly = [
        one for one in class_names.TASKS if one not in shared and any(one in found for found in predicted.values())
    ]
    return tuple(shared), [
        f"{one} is not fused: only {some([name for name in tables if one in predicted[name]])} predicts it"
        for one in partly
    ]


def _predicted(table) -> list:
    has = {"expression": bool(classes_of(table)) or "expression" in table}
    has["valence_arousal"] = all(name in table for name in TASK_COLUMNS["valence_arousal"])
    return [task for task in class_names.TASKS if has[task]]


def _edition(tables, has_classes, map_classes):
    editions = {name: edition_of(table) for name, table in tables.items()}
    first = next(iter(editions.values()))
    if len({edition.name for edition in editions.values()}) == 1:
        return first, []
    largest = max(editions.values(), key=lambda edition: edition.n_classes)
    short = [name for name, edition in editions.items() if edition.classes != largest.classes]
    told = ", ".join(f"{name}: {edition.name}" for name, edition in editions.items())
    if not short or not has_classes:
        return first, [f"tables of several editions fused as {first.name} ({told})"]
    if not map_classes:
        raise PredictionError(
            "the models' classes differ; fuse models of one edition, or allow it with map_classes=True (--map-classes): a class that a "
            f"model does not know gets probability 0. Received: {told}"
        )
    return largest, [
        f"{name}: does not know {', '.join(set(largest.classes) - set(editions[name].classes))}, probability 0"
        for name in short
    ]


def _match(tables, by, tolerance, reference):
    names, called = tuple(tables), "the reference"
    if isinstance(reference, str):
        class_names.check_option("reference", reference, names)
        called, reference = reference, tables[reference]
    elif reference is not None:
        reference = reference.sort_values(["trial", "frame"], kind="stable")
    if by == "frame":
        matches, notes = match_by_frame(tuple(tables.values()), reference), []
    else:
        if reference is None:
            called, reference = names[0], tables[names[0]]
        matches = match_by_time(tuple(tables.values()), names, called, reference, tolerance)
        notes = [
            f"{name}: matched with the frames of {called} by time, at most {furthest:.4f} s apart"
            for name, furthest in zip(names, matches.furthest)
            if name != called
        ]
    return matches, notes + [
        f"{name}: trials that {called} does not have are left out: {some(surplus)}"
        for name, surplus in zip(names, matches.surplus)
        if surplus
    ]


def _first_frames(tables) -> list:
    """A table that counts from 1 would be fused one frame late without anybody noticing."""
    ends = {name: table.groupby("trial", sort=False)["frame"].agg(["first", "last"]) for name, table in tables.items()}
    first = next((name for name, frames in ends.items() if (frames["first"] == 0).all()), None)
    if first is None:
        return []
    later = []
    for name, frames in ends.items():
        both = frames.index.intersection(ends[first].index)
        if len(both) and (frames.loc[both] - ends[first].loc[both] == 1).all(axis=None):
            later.append(name)
    return [
        f"{name}: begins and ends one frame later than {first} in every trial; if it numbers frames from 1, subtract 1 (index_base=1)"
        for name in later
    ]


def _class_columns(table, edition) -> list:
    """One array per class; a class that the table lacks is probability 0, a decision alone probability 1 for its class."""
    if not classes_of(table):
        decided = table["expression"].to_numpy(np.int64)
        return [(decided == k).astype(np.float64) for k in range(edition.n_classes)]
    nothing = np.zeros(len(table))
    return [table[f"p_{c}"].to_numpy(np.float64) if f"p_{c}" in table else nothing for c in edition.classes]
