"""The truth to score against: label tables from a dataset, from files, and their alignment with predictions.

A label table has one row per frame: ``trial``, ``frame`` (0-based), and ``expression`` (-1 missing) and/or ``valence`` and
``arousal`` (NaN missing). A prediction table is one too, so that two detectors can be compared with each other.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from abaw_tf import labels as classes
from abaw_tf.data import annotations

TASK_COLUMNS = {"expression": ("expression",), "valence_arousal": ("valence", "arousal")}


class LabelError(ValueError):
    """A label table, or a file that should hold one, breaks the rules."""


def label_table(dataset, split=None, task=None) -> pd.DataFrame:
    """Labels of every frame of a split.

    Parameters
    ----------
    dataset : AffWild2
        Anything with its `trials` and `labels` methods.
    split : {"train", "validation", "test"}, optional
        A trial may belong to different splits in the two tasks. Its labels of a task count only if it is in `split`
        *for that task*: this is what the challenge scores. Default: all.
    task : {"expression", "valence_arousal"}, optional
        Only this task's labels. Default: both, over the trials that are in the split for either.

    Returns
    -------
    pandas.DataFrame
        ``trial, frame, expression, valence, arousal`` (the other task's columns are absent if `task` is given), sorted.

    Raises
    ------
    LabelError
        No trial of the split has labels of the task.
    """
    tasks = classes.TASKS if task is None else (task,)
    if not set(tasks) <= set(classes.TASKS):
        raise ValueError(f"task must be one of {', '.join(classes.TASKS)}. Received: {task!r}")
    if split is not None and split not in classes.SPLITS:
        raise ValueError(f"split must be one of {', '.join(classes.SPLITS)}. Received: {split!r}")
    parts = []
    for row in dataset.trials().sort_values("trial").itertuples(index=False):
        wanted = {name: split is None or getattr(row, f"split_{name}") == split for name in tasks}
        if not any(wanted.values()):
            continue
        values = dataset.labels(row.trial)
        part = {"trial": np.full(len(values), row.trial, dtype=object), "frame": values.index.to_numpy(np.int64)}
        for name in tasks:
            missing = classes.MISSING_EXPRESSION if name == "expression" else np.nan
            for column in TASK_COLUMNS[name]:
                part[column] = values[column].to_numpy() if wanted[name] else np.full(len(values), missing)
        parts.append(pd.DataFrame(part))
    if not parts:
        raise LabelError(
            f"no trial is in the split; check the annotations' folder names with tools/doctor.py. Received: split={split!r}, "
            f"task={task!r}"
        )
    table = pd.concat(parts, ignore_index=True)
    table["trial"] = table["trial"].astype(str)
    if not any(labelled(table, name).any() for name in tasks):
        raise LabelError(
            f"the {table['trial'].nunique()} trials of the split have no labels (test labels are not published). "
            f"Received: split={split!r}, task={task!r}"
        )
    return table


def read_labels(path, edition="abaw2", split="validation", task=None) -> pd.DataFrame:
    """Labels from a dataset's root, a folder of annotation files, or a table in ``.parquet`` or ``.csv``.

    Parameters
    ----------
    path : path-like
        A folder with ``<trial>.txt`` files in it is taken as one task's annotations (the header tells which), any other folder
        as the root of an Aff-Wild2. A table has the columns ``trial, frame`` and ``expression`` and/or ``valence, arousal``;
        missing labels are -1 or empty cells.
    edition : str or Edition
    split : str
        For a dataset's root only.
    task : str, optional
        Only this task.

    Raises
    ------
    FileNotFoundError
        There is no such file or folder.
    LabelError
        The content breaks a rule; the message names file, line and remedy.
    """
    path = Path(path)
    edition = classes.edition(edition)
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: no such file or folder; give the dataset's root, annotations, or a label table"
        )
    if path.is_dir():
        files = sorted(path.glob("*.txt"))
        if files:
            table = _read_annotations(files, edition)
        else:
            from abaw_tf.data.affwild2 import AffWild2

            table = label_table(AffWild2(path, edition), split, task)
    else:
        table = _read_table(path, edition)
    if task is not None:
        absent = [name for name in TASK_COLUMNS[task] if name not in table]
        if absent:
            raise LabelError(f"{path}: no labels of {task}. Received: columns {', '.join(table.columns)}")
        table = table[["trial", "frame", *TASK_COLUMNS[task]]]
    return table


def _read_annotations(files, edition) -> pd.DataFrame:
    with open(files[0], encoding="utf-8", errors="replace") as file:
        header = file.readline().strip()
    is_va = header == edition.headers["valence_arousal"]
    parts = []
    for file in files:
        if is_va:
            values = annotations.read_valence_arousal(file, edition)
            columns = {"valence": values[:, 0], "arousal": values[:, 1]}
        else:
            columns = {"expression": annotations.read_expression(file, edition)}
        n = len(next(iter(columns.values())))
        parts.append(pd.DataFrame({"trial": np.full(n, file.stem, dtype=object), "frame": np.arange(n), **columns}))
    table = pd.concat(parts, ignore_index=True)
    table["trial"] = table["trial"].astype(str)
    return table


def _read_table(path, edition) -> pd.DataFrame:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        table, line = pd.read_parquet(path), None
    elif suffix == ".csv":
        with open(path, encoding="utf-8", errors="replace") as file:
            skip = int(file.readline().startswith("# abaw_tf "))
        try:
            table = pd.read_csv(path, skiprows=skip, dtype={"trial": str}, keep_default_na=False, na_values=_NA)
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise LabelError(f"{path}: not a readable CSV file with the header trial,frame,...: {error}") from error
        line = 2 + skip
    else:
        raise LabelError(f"{path}: labels come from a folder, .parquet or .csv. Received: suffix {path.suffix!r}")
    if "expression" in table and table["expression"].dtype.kind == "f":
        table["expression"] = table["expression"].fillna(classes.MISSING_EXPRESSION)
    columns = [name for name in ("trial", "frame", "expression", "valence", "arousal") if name in table]
    return check_labels(table[columns], edition, str(path), line)


_NA = {name: ["", "nan", "NaN", "NA"] for name in ("frame", "expression", "valence", "arousal")}


def check_labels(table, edition, source="the labels", first_line=None) -> pd.DataFrame:
    """Check a label table; returns it with integer frames and expressions.

    Raises
    ------
    LabelError
        A column is missing, a frame occurs twice, a class or value is out of range.
    """
    edition = classes.edition(edition)

    def refuse(mask, rule, name):
        if np.any(mask):
            row = int(np.flatnonzero(mask)[0])
            place = f"row {row}" if first_line is None else f"line {row + first_line}"
            raise LabelError(
                f"{source}, {place}: {rule}. Received: trial={table['trial'].iloc[row]}, {name}={table[name].iloc[row]}"
            )

    for name in ("trial", "frame"):
        if name not in table:
            raise LabelError(
                f"{source}: column {name!r} is missing. Received: columns {', '.join(map(str, table.columns))}"
            )
    if not any(all(name in table for name in columns) for columns in TASK_COLUMNS.values()):
        raise LabelError(
            f"{source}: no labels; a label table has the column expression, or valence and arousal. "
            f"Received: columns {', '.join(map(str, table.columns))}"
        )
    for name in table.columns.intersection(["frame", "expression", "valence", "arousal"]):
        if table[name].dtype.kind not in "fiu":
            numbers = pd.to_numeric(table[name], errors="coerce")
            refuse((numbers.isna() & table[name].notna()).to_numpy(), f"{name} must be a number", name)
            table = table.assign(**{name: numbers})
    for name in table.columns.intersection(["frame", "expression"]):
        values = table[name].to_numpy(np.float64)
        refuse(~(values == np.floor(values)), f"{name} must be a whole number", name)
        table = table.assign(**{name: values.astype(np.int64)})
    refuse((table["frame"] < 0).to_numpy(), "frames are numbered from 0 on", "frame")
    codes, _ = pd.factorize(table["trial"])
    refuse(codes < 0, "every row needs the name of its trial", "frame")
    key = pd.Series((codes.astype(np.int64) << 32) + table["frame"].to_numpy())
    refuse(key.duplicated().to_numpy(), "this frame is labelled twice; keep one row per trial and frame", "frame")
    if "expression" in table:
        values = table["expression"].to_numpy()
        last = len(edition.classes) - 1
        rule = f"expression must be 0 to {last} (edition {edition.name}), or -1 where missing"
        refuse((values < classes.MISSING_EXPRESSION) | (values > last), rule, "expression")
    for name in ("valence", "arousal"):
        if name in table:
            with np.errstate(invalid="ignore"):
                outside = np.abs(table[name].to_numpy(np.float64)) > 1
            refuse(outside, f"{name} must lie in [-1, 1], or be NaN (an empty cell) where missing", name)
    return table


def labelled(table, task) -> np.ndarray:
    """Which rows have a label of the task; valence and arousal count only together (as in the challenge)."""
    columns = TASK_COLUMNS[task]
    if not all(name in table for name in columns):
        return np.zeros(len(table), bool)
    if task == "expression":
        return table["expression"].to_numpy() != classes.MISSING_EXPRESSION
    return ~(np.isnan(table["valence"].to_numpy(np.float64)) | np.isnan(table["arousal"].to_numpy(np.float64)))


@dataclass(frozen=True)
class TrialCodes:
    """Trial of each row as a number: row *i* belongs to ``names[codes[i]]``; names are sorted."""

    codes: np.ndarray
    names: tuple

    @classmethod
    def of(cls, table) -> "TrialCodes":
        """The codes of a table's column ``trial``."""
        codes, names = pd.factorize(table["trial"], sort=True)
        return cls(codes.astype(np.int64), tuple(map(str, names)))


def locate(predictions, labels, trials) -> np.ndarray:
    """Row of the prediction for each row of the labels, matched by trial and frame; -1 where there is none.

    Parameters
    ----------
    predictions, labels : pandas.DataFrame
    trials : TrialCodes
        Of the labels.

    Returns
    -------
    numpy.ndarray of int64, shape (len(labels),)
    """
    codes, names = pd.factorize(predictions["trial"])
    code_of = {name: code for code, name in enumerate(names)}
    translate = np.array([code_of.get(name, -1) for name in trials.names] or [-1], dtype=np.int64)
    wanted = (translate[trials.codes] << 32) + labels["frame"].to_numpy(np.int64)
    # A prediction table is sorted, so its codes (in order of appearance) and therefore its keys ascend.
    keys = (codes.astype(np.int64) << 32) + predictions["frame"].to_numpy(np.int64)
    if not len(keys):
        return np.full(len(labels), -1, np.int64)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, place, -1)
