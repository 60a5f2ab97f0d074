"""Making, checking and joining prediction tables."""

import numpy as np
import pandas as pd

from abaw_tf import labels
from abaw_tf.predictions.rules import PREDICTIONS, PredictionError, check, edition_of, is_sorted


def make_table(
    trial,
    frame,
    time=None,
    probabilities=None,
    classes=None,
    expression=None,
    valence=None,
    arousal=None,
    edition="abaw2",
    model=None,
    weights_hash=None,
    notes=(),
) -> pd.DataFrame:
    """Make a prediction table from arrays; rows may come in any order.

    Parameters
    ----------
    trial : str or array of str, shape (n,)
        Trial of each row; one name stands for all rows.
    frame : array of int, shape (n,)
        0-based frame numbers.
    time : array of float, shape (n,), optional
        Seconds from the start of the video; NaN where unknown.
    probabilities : array, shape (n, k), optional
        One column per class, rows sum to one.
    classes : str or sequence of str, optional
        Order of the columns of `probabilities`: a name known to `abaw_tf.labels.CLASS_ORDERS` or the class names
        themselves. Default: the edition's official order. Columns are put in the official order.
    expression : array of int, shape (n,), optional
        *Official* class indices. Default: the most probable class where there are probabilities.
    valence, arousal : array of float, shape (n,), optional
        In [-1, 1].
    edition : str or Edition
        Decides the classes.
    model, weights_hash : str, optional
        Where the predictions come from; kept with the table and in its files.
    notes : sequence of str
        Remarks that travel with the table.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    PredictionError
        The arrays differ in length, or `validate` finds a fault.
    """
    edition = labels.edition(edition)
    frame = np.atleast_1d(np.asarray(frame))
    if frame.ndim != 1:
        raise PredictionError(f"frame must be one-dimensional, one number per row. Received: shape {frame.shape}")
    n = len(frame)
    if frame.dtype.kind == "f" and np.array_equal(frame, np.round(frame)):
        frame = frame.astype(np.int64)
    columns = {"trial": _names(trial, n), "frame": frame}
    columns["time"] = np.full(n, np.nan) if time is None else np.asarray(time, dtype=np.float64)
    if probabilities is not None:
        probabilities = _official_probabilities(probabilities, classes, edition, n)
        columns.update({f"p_{name}": probabilities[:, k] for k, name in enumerate(edition.classes)})
        if expression is None:
            expression = most_probable(probabilities)
    for name, values in (("expression", expression), ("valence", valence), ("arousal", arousal)):
        if values is not None:
            columns[name] = np.asarray(values)
    for name, values in columns.items():
        if values.shape != (n,):
            raise PredictionError(
                f"{name} must have one value for each of the {n} rows. Received: shape {values.shape}"
            )
    table = pd.DataFrame(columns)
    table.attrs = attributes(edition, model, weights_hash, notes)
    return finish(table)


def _names(trial, n):
    """Trial names as a column of text; None and NaN stay missing, so that `check` finds them."""
    names = pd.Series(np.full(n, trial, dtype=object) if isinstance(trial, str) else np.asarray(trial, dtype=object))
    return names.where(names.isna(), names.astype(str)) if names.isna().any() else names.astype(str)


def _official_probabilities(values, classes, edition, n) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    source = edition.classes if classes is None else labels.class_order(classes)
    if values.ndim != 2 or values.shape != (n, len(source)):
        raise PredictionError(
            f"probabilities must have the shape ({n}, {len(source)}): a row per frame and a column for each of "
            f"{', '.join(source)}. Received: shape {values.shape}"
        )
    return values if tuple(source) == edition.classes else labels.map_probabilities(values, source, edition.classes)


def most_probable(probabilities) -> np.ndarray:
    """Index of the largest probability of each row, the first one at a tie; -1 for a row with NaN (an error later)."""
    known = ~np.isnan(probabilities).any(axis=1)
    return np.where(known, np.argmax(probabilities, axis=1), -1) if len(known) else np.zeros(0, np.int64)


def attributes(edition, model=None, weights_hash=None, notes=()) -> dict:
    """The metadata of a table in the form in which `table.attrs` holds it."""
    return {
        "edition": edition.name,
        "classes": list(edition.classes),
        "model": model,
        "weights_hash": weights_hash,
        "notes": list(notes),
    }


def finish(table, source="the table", first_line=None) -> pd.DataFrame:
    """Check a table whose rows may be unsorted, then give its columns their types and its rows their order."""
    check(table, source, first_line)
    classes = [f"p_{name}" for name in edition_of(table).classes]
    attrs, table = table.attrs, table.copy(deep=False)
    table.attrs = {}
    order = [name for name in ("trial", "frame", "time", *classes, *PREDICTIONS) if name in table]
    types = {name: np.float64 for name in order}
    types.update({"trial": str, "frame": np.int64, "expression": np.int64})
    table = table[order].astype({name: types[name] for name in order})
    if not is_sorted(table):
        table = table.sort_values(["trial", "frame"], kind="stable")
    table = table.reset_index(drop=True)
    table.attrs = attrs
    return table


def validate(table, source="the table") -> pd.DataFrame:
    """Check that a prediction table keeps all its rules.

    Parameters
    ----------
    table : pandas.DataFrame
    source : str
        What to call the table in messages, for instance its path.

    Returns
    -------
    pandas.DataFrame
        The table itself, so that calls can be chained.

    Raises
    ------
    PredictionError
        Naming the table, the row (0-based), the fault and the remedy.
    """
    check(table, source, None)
    if not is_sorted(table):
        raise PredictionError(
            f"{source}: rows are not sorted by trial and frame. Sort with table.sort_values(['trial', 'frame'])"
        )
    return table


def classes_of(table) -> tuple:
    """Official names of the classes whose probabilities the table holds; empty where it holds none."""
    return tuple(name for name in edition_of(table).classes if f"p_{name}" in table)


def probabilities(table) -> np.ndarray:
    """The class probabilities as an array of shape (n, k), official order.

    Raises
    ------
    PredictionError
        The table has none.
    """
    classes = classes_of(table)
    if not classes:
        raise PredictionError(
            "the table has no class probabilities (columns p_<Class>). "
            f"Received: columns {', '.join(map(str, table.columns))}"
        )
    return table[[f"p_{name}" for name in classes]].to_numpy(np.float64)


def add_note(table, note) -> pd.DataFrame:
    """Record a remark in the table's metadata (once); returns the table."""
    notes = list(table.attrs.get("notes") or [])
    table.attrs = {**table.attrs, "notes": notes if note in notes else [*notes, note]}
    return table


def concatenate(tables) -> pd.DataFrame:
    """Join tables over different frames (trials, shards, folds) into one.

    Parameters
    ----------
    tables : sequence of pandas.DataFrame
        Same edition and same columns; no (trial, frame) in two of them.

    Raises
    ------
    PredictionError
        Nothing to join, editions or columns differ, or a frame occurs twice.
    """
    tables = list(tables)
    if not tables:
        raise PredictionError("there is no prediction table to join; give at least one. Received: an empty sequence")
    first = tables[0]
    edition = edition_of(first)
    for number, other in enumerate(tables[1:], start=1):
        if edition_of(other).name != edition.name:
            raise PredictionError(
                f"table {number} is of another edition than table 0; predictions of different editions do not mix. "
                f"Received: {edition.name} and {edition_of(other).name}"
            )
        if set(other.columns) != set(first.columns):
            raise PredictionError(
                f"table {number} has other columns than table 0; drop or add what differs. "
                f"Received: {', '.join(sorted(set(other.columns) ^ set(first.columns)))}"
            )
    metadata = {key: _joined([table.attrs.get(key) for table in tables]) for key in ("model", "weights_hash")}
    notes = list(dict.fromkeys(note for table in tables for note in table.attrs.get("notes") or []))
    plain = []
    for table in tables:
        table = table.copy(deep=False)
        table.attrs = {}
        plain.append(table)
    joined = pd.concat(plain, ignore_index=True)
    joined.attrs = attributes(edition, notes=notes, **metadata)
    return finish(joined, "the joined tables")


def _joined(values):
    known = list(dict.fromkeys(value for value in values if value is not None))
    return " + ".join(known) if known else None
