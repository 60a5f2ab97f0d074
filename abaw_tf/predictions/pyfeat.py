"""Predictions of py-feat (https://py-feat.org) as a prediction table."""

import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from abaw_tf import labels
from abaw_tf.predictions.rules import RENORMALISED, PredictionError
from abaw_tf.predictions.table import add_note, concatenate, make_table

_EMOTIONS = ("neutral", "happy", "happiness", "sad", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
_BOX = ("FaceRectWidth", "FaceRectHeight")
_OWN = ("FaceScore", "FaceRectWidth", "approx_time", "input")
SCORE_MARGIN = 0.05
"""Faces of a frame whose detector score is this close to the best are taken to be equally sure."""


def is_pyfeat(path) -> bool:
    """True if a CSV file's header is that of a py-feat detection: frames, emotions, and either a column of its own or nothing else."""
    header = [name.strip() for name in _header(path)]
    emotions = _emotion_columns(header)
    own = any(name in header for name in _OWN) or len(header) == len(emotions) + 1
    return "frame" in header and "trial" not in header and len(emotions) >= 7 and own


def _header(path) -> list:
    """Names of the columns. Asked for these alone, pandas takes a second for the thousands that py-feat may write."""
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        return next(csv.reader(file), [])


def read_pyfeat(path, edition="abaw2", fps=None) -> pd.DataFrame:
    """Read what py-feat's detectors wrote: one CSV file, or every py-feat CSV of a folder.

    Frame numbers are kept (py-feat numbers the decoded frames from 0; with ``skip_frames`` some are absent), and the
    emotions are put in the official order. The trial is the name of the video without its suffix (column ``input``),
    or else of the CSV file. Where a frame shows several faces, the largest of those is kept whose ``FaceScore`` is
    within 0.05 of the frame's best. Rows without a face are left out. Rows whose probabilities sum to 0.99 ... 1.01
    are renormalised. All this is recorded in the notes of the table.

    Parameters
    ----------
    path : path-like
        A folder's files that are no py-feat tables are passed over and named in the notes.
    edition : str or Edition
        In edition abaw3 the class Other, which py-feat does not know, gets probability 0 (noted).
    fps : float, optional
        Frames per second of the video, for exact times. Default: py-feat's ``approx_time``, in whole seconds.

    Raises
    ------
    FileNotFoundError
        There is no such file or folder.
    PredictionError
        No py-feat table there, or a fault in one: the message names file, line and remedy.
    """
    path = Path(path)
    if fps is not None and not fps > 0:
        raise ValueError(f"fps must be a positive number of frames per second. Received: {fps!r}")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; give a py-feat CSV, or a folder of them")
    edition = labels.edition(edition)
    counts = Counter()
    if path.is_file():
        return _with_notes(_read_file(path, edition, fps, counts), counts)
    files = sorted(path.glob("*.csv"))
    good = [file for file in files if is_pyfeat(file)]
    if not good:
        raise PredictionError(
            f"{path}: no py-feat CSV (columns frame, FaceScore and the emotions). Received: {len(files)} other .csv files"
        )
    table = concatenate([_read_file(file, edition, fps, counts) for file in good])
    other = [file.name for file in files if file not in good]
    if other:
        add_note(table, f"passed over, no py-feat table: {', '.join(other)}")
    return _with_notes(table, counts)


def _with_notes(table, counts) -> pd.DataFrame:
    for what, number in (+counts).items():
        add_note(table, f"{number} {what}")
    return table


def _emotion_columns(header) -> list:
    return [name for name in header if name.lower() in _EMOTIONS]


def _read_file(path, edition, fps, counts) -> pd.DataFrame:
    if not is_pyfeat(path):
        raise PredictionError(f"{path}: not a py-feat CSV: its header needs frame and seven emotions; see py-feat.org")
    header = _header(path)
    emotions = _emotion_columns(header)
    wanted = [*emotions, "frame", "FaceScore", *_BOX, "valence", "arousal", "approx_time", "input"]
    text = {name: str for name in ("input", "approx_time")}
    try:
        data = pd.read_csv(path, usecols=[name for name in wanted if name in header], dtype=text)
    except (pd.errors.ParserError, ValueError) as error:
        raise PredictionError(f"{path}: not a readable CSV file; write it again from py-feat ({error})") from error
    notes = []
    for name in data.columns.difference(["input", "approx_time"]):
        _to_numbers(data, name, path)
    data["line"] = np.arange(len(data)) + 2
    no_face = data[emotions].isna().any(axis=1)
    counts["rows without a face left out"] += int(no_face.sum())
    data = data[~no_face].copy()
    if data.empty:
        raise PredictionError(f"{path}: no row has a face with emotions; there is nothing to import")
    if "input" in data:
        data["trial"] = [Path(str(name).replace("\\", "/")).stem for name in data["input"].fillna(path.name)]
    else:
        data["trial"] = path.stem
    data, several = _one_face(data)
    counts["frames with several faces, the largest sure one kept"] += several
    values, renormalised = _renormalise(data, emotions, path)
    counts["rows of probabilities renormalised (sums 0.99 to 1.01)"] += renormalised
    order = labels.class_order(emotions)
    lacking = [name for name in edition.classes if name not in order]
    if lacking:
        notes.append(f"the detector does not know {', '.join(lacking)}: probability 0")
    surplus = [name for name in order if name not in edition.classes]
    if surplus:
        notes.append(f"dropped, not in edition {edition.name}: {', '.join(surplus)}; the other classes scaled up")
    values = labels.map_probabilities(values, order, edition.classes, missing="zero" if lacking or surplus else "error")
    if fps is None and "approx_time" in data:
        notes.append("times are py-feat's approx_time, in whole seconds; give fps for exact ones")
    optional = {name: data[name].to_numpy() for name in ("valence", "arousal") if name in data}
    try:
        return make_table(
            data["trial"].to_numpy(),
            data["frame"].to_numpy(),
            time=_times(data, fps, path),
            probabilities=values,
            edition=edition,
            model="py-feat",
            notes=notes,
            **optional,
        )
    except PredictionError as error:
        raise PredictionError(f"{path}: {error}") from error


def _to_numbers(data, name, path) -> None:
    if data[name].dtype.kind in "fiu":
        return
    numbers = pd.to_numeric(data[name], errors="coerce")
    bad = np.flatnonzero((numbers.isna() & data[name].notna()).to_numpy())
    if len(bad):
        raise PredictionError(
            f"{path}, line {bad[0] + 2}: column {name!r} must hold a number; correct or remove the row. "
            f"Received: {data[name].iloc[bad[0]]!r}"
        )
    data[name] = numbers


def _one_face(data):
    """One row per trial and frame, and how many frames had several."""
    key = ["trial", "frame"]
    several = int(data.duplicated(key).groupby([data[name] for name in key]).any().sum())
    if not several:
        return data, 0
    score = data["FaceScore"] if "FaceScore" in data else pd.Series(1.0, index=data.index)
    best = score.groupby([data[name] for name in key]).transform("max")
    size = data[_BOX[0]] * data[_BOX[1]] if all(name in data for name in _BOX) else pd.Series(0.0, index=data.index)
    ranked = data.assign(_size=size, _score=score)[score >= best - SCORE_MARGIN]
    ranked = ranked.sort_values([*key, "_size", "_score"], ascending=[True, True, False, False], kind="stable")
    return ranked.drop_duplicates(key).drop(columns=["_size", "_score"]), several


def _renormalise(data, emotions, path):
    values = data[emotions].to_numpy(np.float64)
    total = values.sum(axis=1)
    bad = np.flatnonzero((np.abs(total - 1) > RENORMALISED) | (values < 0).any(axis=1))
    if len(bad):
        raise PredictionError(
            f"{path}, line {data['line'].iloc[bad[0]]}: the emotions must be probabilities that sum to one (0.99 to 1.01 "
            f"are renormalised); apply a softmax first. Received: sum {total[bad[0]]:.4f}"
        )
    changed = np.abs(total - 1) > 1e-6
    return values / total[:, None], int(changed.sum())


def _times(data, fps, path):
    if fps is not None:
        return data["frame"].to_numpy(np.float64) / fps
    if "approx_time" not in data:
        return None
    seconds = np.full(len(data), np.nan)
    for i, stamp in enumerate(data["approx_time"]):
        if isinstance(stamp, str):
            if not re.fullmatch(r"(\d+:)?\d+:\d+(\.\d+)?", stamp):
                raise PredictionError(
                    f"{path}, line {data['line'].iloc[i]}: approx_time must be minutes:seconds; correct it or give fps. "
                    f"Received: {stamp!r}"
                )
            parts = [float(part) for part in stamp.split(":")]
            seconds[i] = sum(part * 60**k for k, part in enumerate(reversed(parts)))
    return seconds
