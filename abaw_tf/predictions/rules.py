"""The rules of a prediction table. Each fault is told with its place and its remedy."""

import difflib

import numpy as np
import pandas as pd

from abaw_tf import labels

SUM_TOLERANCE = 1e-3
"""How far a row of probabilities may be from one; the sum of eight float16 values can be off by 5e-4."""

RENORMALISED = 0.01
"""Rows of probabilities in a file that sum to one within this are renormalised, and counted in the notes."""

PREDICTIONS = ("expression", "valence", "arousal")
"""Columns that count as a prediction besides the probabilities."""


class PredictionError(ValueError):
    """A prediction table, or a file that should hold one, breaks the rules. The message says where and what to do."""


def edition_of(table) -> labels.Edition:
    """The edition of a table: from its metadata, or (for a table made by hand) from its class columns."""
    name = table.attrs.get("edition")
    if name is None:
        name = "abaw3" if "p_Other" in table else "abaw2"
    return labels.edition(name)


def check(table, source, first_line) -> None:
    """Every rule but the sorting. `first_line` is the line of row 0 in its file; None counts rows from 0."""

    def fail(mask, rule, column):
        row = int(np.flatnonzero(np.asarray(mask))[0])
        place = f"row {row}" if first_line is None else f"line {row + first_line}"
        more = int(np.count_nonzero(mask)) - 1
        received = {name: table[name].iloc[row] for name in dict.fromkeys(("trial", "frame", *column)) if name in table}
        received = ", ".join(f"{name}={value!s}" for name, value in received.items())
        raise PredictionError(f"{source}, {place}{f' (and {more} more)' if more else ''}: {rule}. Received: {received}")

    _check_columns(table, source)
    edition = edition_of(table)
    fail_if = lambda mask, rule, *column: fail(mask, rule, column) if np.any(mask) else None  # noqa: E731
    codes, names = pd.factorize(table["trial"])
    nameless = (codes < 0) | np.isin(codes, np.flatnonzero(np.asarray(names) == ""))
    fail_if(nameless, "the trial has no name; every row needs one", "trial")
    fail_if(_not_whole(table["frame"]), "frame must be a whole number from 0 on (frame i is image i+1)", "frame")
    key = (codes.astype(np.int64) << 32) + table["frame"].to_numpy(np.int64)
    twice = pd.Series(key).duplicated().to_numpy() if np.any(np.diff(key) <= 0) else np.zeros(len(key), bool)
    fail_if(twice, "this trial and frame occur twice; keep one row per frame (table.drop_duplicates, or average them)")
    if "time" in table:
        _check_number_column(table, "time", source)
        time = table["time"].to_numpy(np.float64)
        fail_if(np.isinf(time) | (time < 0), "time must be seconds from 0 on, or NaN where unknown", "time")
    names = [f"p_{name}" for name in edition.classes if f"p_{name}" in table]
    if names:
        for name in names:
            _check_number_column(table, name, source)
        values = table[names].to_numpy(np.float64)
        remedy = "; a frame without a prediction has no row (drop it, or fill it with fill_missing)"
        fail_if(np.isnan(values).any(axis=1), "a probability is NaN" + remedy, *names)
        fail_if(((values < 0) | (values > 1)).any(axis=1), "probabilities must lie in [0, 1]; apply a softmax", *names)
        total = values.sum(axis=1)
        fail_if(
            np.abs(total - 1) > SUM_TOLERANCE,
            f"probabilities must sum to one (within {SUM_TOLERANCE}; in files, within {RENORMALISED}); divide each row by its sum",
            *names,
        )
    if "expression" in table:
        last = len(edition.classes) - 1
        bad = _not_whole(table["expression"]) | (pd.to_numeric(table["expression"], errors="coerce") > last)
        fail_if(
            bad,
            f"expression must be a class index of edition {edition.name}, 0 ({edition.classes[0]}) to {last} "
            f"({edition.classes[-1]}); a frame without a prediction has no row",
            "expression",
        )
    for name in ("valence", "arousal"):
        if name in table:
            _check_number_column(table, name, source)
            values = table[name].to_numpy(np.float64)
            fail_if(np.isnan(values), f"{name} is NaN; a frame without a prediction has no row (or fill_missing)", name)
            fail_if(np.abs(values) > 1, f"{name} must lie in [-1, 1]; clip it (numpy.clip(values, -1, 1))", name)


def _check_columns(table, source) -> None:
    for name in ("trial", "frame"):
        if name not in table:
            raise PredictionError(
                f"{source}: column {name!r} is missing; a prediction table has trial, frame and what was predicted. "
                f"Received: columns {', '.join(map(str, table.columns)) or '(none)'}"
            )
    repeated = table.columns[table.columns.duplicated()]
    if len(repeated):
        raise PredictionError(f"{source}: column {repeated[0]!r} occurs twice; keep one of them")
    edition = edition_of(table)
    classes = [f"p_{name}" for name in edition.classes]
    allowed = ["trial", "frame", "time", *classes, *PREDICTIONS]
    for name in map(str, table.columns):
        if name not in allowed:
            close = difflib.get_close_matches(name, allowed, n=1)
            guess = f" (did you mean {close[0]!r}?)" if close else ""
            what = "class column" if name.startswith("p_") else "column"
            raise PredictionError(
                f"{source}: unknown {what} {name!r}{guess}; rename or drop it. Edition {edition.name} has "
                f"{', '.join(allowed)}"
            )
    absent = [name for name in classes if name not in table]
    if absent and len(absent) < len(classes):
        raise PredictionError(
            f"{source}: the class column {absent[0]!r} is missing; give all {len(classes)} classes of edition "
            f"{edition.name}, or none"
        )
    if absent and not any(name in table for name in PREDICTIONS):
        raise PredictionError(
            f"{source}: nothing is predicted; give at least one of p_<Class>, {', '.join(PREDICTIONS)}. "
            f"Received: columns {', '.join(map(str, table.columns))}"
        )


def _check_number_column(table, name, source) -> None:
    if table[name].dtype.kind not in "fiu":
        raise PredictionError(f"{source}: column {name!r} must hold numbers. Received: dtype {table[name].dtype}")


def _not_whole(column) -> np.ndarray:
    """True where a column does not hold a whole number from 0 on."""
    if column.dtype.kind in "iu":
        return (column < 0).to_numpy()
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    return ~(np.isfinite(values) & (values >= 0) & (values == np.floor(values)))


def is_sorted(table) -> bool:
    if len(table) < 2:
        return True
    codes, names = pd.factorize(table["trial"])
    ordered = np.all(np.diff(codes) >= 0) and list(names) == sorted(names)
    step = np.diff(table["frame"].to_numpy(np.int64))
    return bool(ordered and np.all((step > 0) | (np.diff(codes) > 0)))
