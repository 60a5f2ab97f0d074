"""The challenge's submission files: one ``<trial>.txt`` per trial, one line per frame, header as in the annotations.

Valence and arousal are written with three decimals (as Do et al. did), expressions as one integer. A submission has no
missing values: the sentinels of the annotation files (-1, -5) do not belong in it.
"""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from abaw_tf import labels
from abaw_tf.predictions.rules import PredictionError, edition_of
from abaw_tf.predictions.table import concatenate, make_table, validate


@dataclass(frozen=True)
class Finding:
    """One fault of a submission: where it is, what it is and what to do. `line` is 1-based, None for a whole file."""

    path: Path
    line: int | None
    message: str
    remedy: str

    def __str__(self):
        place = f"{self.path}" if self.line is None else f"{self.path}, line {self.line}"
        return f"{place}: {self.message}; {self.remedy}"


def write_submission(table, folder, task, edition=None, lengths=None) -> list:
    """Write the submission files of one task.

    Parameters
    ----------
    table : pandas.DataFrame
        Prediction table with a row for every frame of each trial (see `fill_missing`).
    folder : path-like
        Made if absent. It must not hold files of trials that are not written now.
    task : {"expression", "valence_arousal"}
    edition : str or Edition, optional
        Default: the table's.
    lengths : mapping of str to int, optional
        Number of frames wanted of each trial: checked before anything is written.

    Returns
    -------
    list of pathlib.Path
        The files written, in the order of the trials.

    Raises
    ------
    PredictionError
        A frame or trial is missing, the table does not predict the task, or the folder holds other submission files.
    """
    edition = edition_of(table) if edition is None else labels.edition(edition)
    columns = _columns(task)
    validate(table)
    if edition.classes != edition_of(table).classes and task == "expression":
        raise PredictionError(
            f"the table has the classes of edition {edition_of(table).name}, not those of {edition.name}; class numbers "
            f"would mean something else. Received: edition {edition.name}"
        )
    absent = [name for name in columns if name not in table]
    if absent:
        raise PredictionError(
            f"the table does not predict {task}: column {absent[0]!r} is missing. "
            f"Received: columns {', '.join(table.columns)}"
        )
    parts = dict(tuple(table.groupby("trial", sort=False)))
    _check_complete(parts, lengths)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stale = sorted(path.name for path in folder.glob("*.txt") if path.stem not in parts)
    if stale:
        raise PredictionError(
            f"{folder}: holds {len(stale)} submission file(s) of other trials; choose an empty folder or remove them. "
            f"Received: {', '.join(stale[:5])}"
        )
    written = []
    for name, part in parts.items():
        if task == "expression":
            lines = part["expression"].astype(str).tolist()
        else:
            # Adding 0.0 turns -0.0 into 0.0, which "%.3f" would write as "-0.000".
            rounded = np.round(part[list(columns)].to_numpy(np.float64), 3) + 0.0
            lines = [f"{valence:.3f},{arousal:.3f}" for valence, arousal in rounded.tolist()]
        path = folder / f"{name}.txt"
        path.write_text("\n".join([edition.headers[task], *lines]) + "\n", encoding="utf-8")
        written.append(path)
    return written


def _columns(task) -> tuple:
    if task not in labels.TASKS:
        raise ValueError(f"task must be one of {', '.join(labels.TASKS)}. Received: {task!r}")
    return ("expression",) if task == "expression" else ("valence", "arousal")


def _check_complete(parts, lengths) -> None:
    remedy = "fill it with predictions.fill_missing(table, lengths)"
    for name, part in parts.items():
        if "/" in name or "\\" in name or name in (".", ".."):
            raise PredictionError(f"a trial's name is its file's name and holds no slash. Received: {name!r}")
        frames = part["frame"].to_numpy()
        holes = np.flatnonzero(frames != np.arange(len(frames)))
        if len(holes):
            raise PredictionError(
                f"trial {name}: a submission needs a value for every frame but frame {holes[0]} has none; {remedy}"
            )
        if lengths is not None and name not in lengths:
            raise PredictionError(f"trial {name}: has predictions but no length; add its length or leave it out")
        if lengths is not None and len(frames) != lengths[name]:
            raise PredictionError(
                f"trial {name}: {lengths[name]} frames are wanted; {remedy}. Received: {len(frames)} frames"
            )
    absent = [name for name in lengths or () if name not in parts]
    if absent:
        raise PredictionError(
            f"{len(absent)} trial(s) have no prediction; predict them or fill them with fill_missing. "
            f"Received: {', '.join(absent[:5])}"
        )


def read_submission(folder, task, edition="abaw2"):
    """Read submission files into a prediction table (no probabilities, times unknown).

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    PredictionError
        The folder has no submission file, or the first fault that `validate_submission` would report.
    """
    edition = labels.edition(edition)
    columns = _columns(task)
    folder = _existing(folder)
    paths = sorted(folder.glob("*.txt"))
    if not paths:
        raise PredictionError(f"{folder}: no <trial>.txt files; give the folder that holds them")
    tables = []
    for path in paths:
        values, findings = _parse(path, task, edition)
        if findings:
            raise PredictionError(str(findings[0]))
        data = {name: values[:, k] for k, name in enumerate(columns)}
        tables.append(make_table(path.stem, np.arange(len(values)), edition=edition, model=None, **data))
    return concatenate(tables)


def validate_submission(folder, task, edition="abaw2", lengths=None) -> list:
    """Everything that is wrong with a folder of submission files.

    Parameters
    ----------
    folder : path-like
    task : {"expression", "valence_arousal"}
    edition : str or Edition
    lengths : mapping of str to int, optional
        The trials wanted and their numbers of frames. Without it neither missing files nor line counts can be told.

    Returns
    -------
    list of Finding
        Empty for a good submission. Faults of the same kind in one file are one finding, at the first line.
    """
    edition = labels.edition(edition)
    _columns(task)
    folder = _existing(folder)
    findings = []
    paths = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix == ".txt":
            paths[path.stem] = path
        else:
            findings.append(Finding(path, None, "not a <trial>.txt file", "remove it: a submission holds nothing else"))
    for name in lengths or ():
        if name not in paths:
            findings.append(
                Finding(folder / f"{name}.txt", None, "the file is missing", f"write it, {lengths[name]} frames")
            )
    for name, path in paths.items():
        if lengths is not None and name not in lengths:
            findings.append(Finding(path, None, "this trial is not asked for", "remove the file or correct its name"))
        values, faults = _parse(path, task, edition)
        findings.extend(faults)
        if lengths is not None and name in lengths and len(values) != lengths[name]:
            remedy = "one line per video frame: fill frames without a face (fill_missing), cut frames beyond the end"
            findings.append(Finding(path, None, f"{len(values)} frames where {lengths[name]} are wanted", remedy))
    if not paths:
        findings.append(Finding(folder, None, "no <trial>.txt file", "give the folder that holds the files"))
    return findings


def _existing(folder) -> Path:
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; give the folder that holds the <trial>.txt files")
    return folder


def _parse(path, task, edition):
    """The values of a file, shape (n, 1 or 2) with NaN where unreadable, and its findings."""
    width = len(_columns(task))
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return np.zeros((0, width)), [Finding(path, None, "not a text file (UTF-8)", "write it again")]
    findings = []
    header = edition.headers[task]
    if not lines or lines[0] != header:
        received = lines[0][:80] if lines else "an empty file"
        findings.append(Finding(path, 1, f"the header must be {header!r}. Received: {received!r}", "correct line 1"))
    rows = lines[1:] if lines and not _values(lines[0], width, task) else lines
    first_line = len(lines) - len(rows) + 1
    parsed = [_values(row, width, task) for row in rows]
    wanted = "one integer" if task == "expression" else "two numbers 'valence,arousal'"
    faults = [
        (i, f"not {wanted}", "write exactly that, no blanks or empty lines") for i, v in enumerate(parsed) if not v
    ]
    values = np.array([v or (np.nan,) * width for v in parsed], dtype=np.float64).reshape(-1, width)
    faults += _range_faults(values, task, edition)
    count = Counter(message for _, message, _ in faults)
    seen = set()
    for i, message, remedy in sorted(faults):
        if message not in seen:
            more = f" (and {count[message] - 1} more lines)" if count[message] > 1 else ""
            findings.append(Finding(path, i + first_line, f"{message}{more}. Received: {rows[i][:80]!r}", remedy))
            seen.add(message)
    return values, findings


def _values(row, width, task):
    """The numbers of a line, or None where it does not hold exactly `width` of them."""
    try:
        values = tuple((int if task == "expression" else float)(cell) for cell in row.split(","))
    except ValueError:
        return None
    return values if len(values) == width and all(map(math.isfinite, values)) else None


def _range_faults(values, task, edition) -> list:
    sentinel = edition.sentinels[task]
    is_sentinel = (values == sentinel).any(axis=1)
    faults = [
        (int(i), f"the sentinel {sentinel:g} of the annotations is not a prediction", "predict or fill the frame")
        for i in np.flatnonzero(is_sentinel)
    ]
    if task == "expression":
        last = len(edition.classes) - 1
        outside = (values < 0) | (values > last)
        message = f"the class must be 0 to {last} in edition {edition.name}"
    else:
        outside = np.abs(values) > 1
        message = "valence and arousal must lie in [-1, 1]"
    rows = np.flatnonzero(outside.any(axis=1) & ~is_sentinel)
    return faults + [(int(i), message, "clip or correct the prediction") for i in rows]
