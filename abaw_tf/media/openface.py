"""OpenFace 2.x: its CSV files as tables, and the rows of one person in them.

``FeatureExtraction`` writes a row for every frame and follows one face; where it loses the face the row says ``success`` 0 and the rest
means nothing. ``FaceLandmarkVidMulti`` writes a row for every face of every frame, none for a frame without faces, and its ``face_id``
is the number of a tracker, not of a person: it changes hands when a face is lost. Frames are counted from 1.

Reference: T. Baltrušaitis, A. Zadeh, Y. C. Lim, L.-P. Morency, "OpenFace 2.0: Facial Behavior Analysis Toolkit", FG 2018.
"""

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from .errors import MediaError
from .tracking import FaceFollower, box_overlap

META = ("frame", "face_id", "timestamp", "confidence", "success")
_UNITS = ("01", "02", "04", "05", "06", "07", "09", "10", "12", "14", "15", "17", "20", "23", "25", "26")
# Everything but META, in OpenFace's order: gaze, eye landmarks, head pose, face landmarks, shape model, action units.
FEATURES = (
    *(f"gaze_{eye}_{axis}" for eye in (0, 1) for axis in "xyz"),
    *("gaze_angle_x", "gaze_angle_y"),
    *(f"eye_lmk_{axis}_{i}" for axis in "xyXYZ" for i in range(56)),
    *(f"pose_{name}" for name in ("Tx", "Ty", "Tz", "Rx", "Ry", "Rz")),
    *(f"{axis}_{i}" for axis in "xyXYZ" for i in range(68)),
    *("p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty"),
    *(f"p_{i}" for i in range(34)),
    *(f"AU{unit}_r" for unit in (*_UNITS, "45")),
    *(f"AU{unit}_c" for unit in (*_UNITS, "28", "45")),
)
COLUMNS = META + FEATURES
MIN_OVERLAP = 0.3

_X, _Y = [f"x_{i}" for i in range(68)], [f"y_{i}" for i in range(68)]
# What the C++ libraries that OpenFace is built with write for a value that is none.
_NOT_A_NUMBER = ("nan", "-nan", "NaN", "nan(ind)", "-nan(ind)", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN")
_REMEDY = "run FeatureExtraction (or FaceLandmarkVidMulti) of OpenFace 2.x on the video with none of its output flags"


def read_openface(path):
    """Read a CSV file of OpenFace 2.x.

    Parameters
    ----------
    path : str or Path
        Written by FeatureExtraction or FaceLandmarkVidMulti with all outputs.

    Returns
    -------
    pandas.DataFrame
        A row for every row of the file, in its order, and the 714 columns of :data:`COLUMNS`, found by name (their order in the file
        does not matter, further ones are left out). ``frame`` (counted from 1) and ``face_id`` are int64, ``success`` is bool,
        everything else float64; NaN where OpenFace wrote that a value is none.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    MediaError
        If columns are missing (another version of OpenFace, or only part of its outputs), or a row is cut, not made of numbers,
        numbered wrongly, or there twice.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; {_REMEDY}")
    names = _header(path)
    _check_lengths(path, len(names))
    try:
        table = _parse(path, names, dtype=np.float64)
    except (ValueError, pd.errors.ParserError) as error:
        raise MediaError(_complain_of_cell(path, names)) from error
    return _typed(path, table[list(COLUMNS)])


def landmark_boxes(table):
    """Box of the 68 face landmarks in each row: float64 (rows, 4), left, top, right, bottom in pixels."""
    x, y = table[_X].to_numpy(np.float64), table[_Y].to_numpy(np.float64)
    return np.stack([x.min(axis=1), y.min(axis=1), x.max(axis=1), y.max(axis=1)], axis=1)


def choose_rows(table, n_frames, boxes=None, person="largest", times=None, width=None):
    """Find the row of one person in each frame.

    With `boxes` (where this person's face is known to be), a frame's row is the one whose landmark box overlaps the known box most, by
    intersection over union of at least 0.3; a frame without a known box has none. Without `boxes` the person is followed from the
    first frame on by the overlap of landmark boxes: see :class:`abaw_tf.media.tracking.FaceFollower`. ``face_id`` plays no part. Where
    every frame has at most one row and there is neither `boxes` nor a side, there is nothing to choose.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`read_openface`.
    n_frames : int
        Frames of the trial; rows beyond them are left out.
    boxes : array, shape (n_frames, 4), optional
        Left, top, right, bottom in pixels of the video; NaN where unknown.
    person : {"largest", "left", "right"}
        Whom to follow without `boxes`.
    times : array, shape (n_frames,), optional
        Of the frames, in seconds; by default the column ``timestamp`` (which can be 0 throughout where OpenFace ran on a folder of images).
    width : int, optional
        Of the picture, in pixels; needed for ``"left"`` and ``"right"``, where a frame shows a single face.

    Returns
    -------
    ndarray of int64, shape (n_frames,)
        Position of the row in the table; -1 where the person was not found, or the row is a failure: ``success`` 0, or a feature that is
        not finite.

    Raises
    ------
    ValueError
        If shapes do not fit, or `width` is missing.
    """
    if boxes is not None and np.shape(boxes) != (n_frames, 4):
        raise ValueError(f"`boxes` must have the shape {(n_frames, 4)}. Received: {np.shape(boxes)}")
    if times is not None and np.shape(times) != (n_frames,):
        raise ValueError(f"`times` must have the shape {(n_frames,)}. Received: {np.shape(times)}")
    if person != "largest" and boxes is None and width is None:
        raise ValueError(
            f"`width` of the picture is needed to tell left from right. Received: width=None, person={person!r}"
        )
    frames = table["frame"].to_numpy() - 1
    usable = (
        table["success"].to_numpy() & np.isfinite(table[list(FEATURES)].to_numpy()).all(axis=1) & (frames < n_frames)
    )
    rows = np.flatnonzero(usable)
    rows = rows[np.argsort(frames[rows], kind="stable")]
    chosen = np.full(n_frames, -1, np.int64)
    if boxes is None and person == "largest" and len(np.unique(frames[rows])) == len(rows):
        chosen[frames[rows]] = rows
        return chosen
    times = table["timestamp"].to_numpy()[rows] if times is None else np.asarray(times)[frames[rows]]
    faces = [_FaceRow(box, row) for box, row in zip(landmark_boxes(table.iloc[rows]), rows.tolist())]
    follower = None if boxes is not None else FaceFollower(person)
    starts = np.flatnonzero(np.diff(frames[rows], prepend=-1, append=n_frames))
    for start, stop in pairwise(starts):
        frame = frames[rows[start]]
        if follower is not None:
            face = follower(faces[start:stop], float(times[start]), width)
        else:
            face = _overlapping(faces[start:stop], np.asarray(boxes[frame], np.float64))
        if face is not None:
            chosen[frame] = face.row
    return chosen


def person_features(table, rows, drop_meta=True):
    """Features of the chosen rows.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`read_openface`.
    rows : array of int, shape (n_frames,)
        From :func:`choose_rows`.
    drop_meta : bool
        Leave out frame number, face number, time, confidence and success: 709 features instead of the 714 of Rasipuram et al. (2020),
        §I-B. Numbers that grow with the length of the video, and belong to no face, tell a network nothing of an emotion.

    Returns
    -------
    values : ndarray of float32, shape (n_frames, 709 or 714)
        Zero in missing frames.
    missing : ndarray of bool, shape (n_frames,)
    """
    rows = np.asarray(rows)
    columns = list(FEATURES if drop_meta else COLUMNS)
    values = np.zeros((len(rows), len(columns)), np.float32)
    missing = rows < 0
    values[~missing] = table.iloc[rows[~missing]][columns].to_numpy(np.float32)
    return values, missing


class _FaceRow(NamedTuple):
    """A face as `FaceFollower` wants it, and its row in the table."""

    box: np.ndarray
    row: int


def _overlapping(faces, box):
    """The face that overlaps a box most, if it does enough."""
    if not np.isfinite(box).all():
        return None
    overlaps = [box_overlap(face.box, box) for face in faces]
    best = int(np.argmax(overlaps))
    return faces[best] if overlaps[best] >= MIN_OVERLAP else None


def _header(path):
    """Column names without the blanks that some versions write after commas."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            names = [name.strip() for name in file.readline().split(",")]
    except UnicodeDecodeError as error:
        raise MediaError(f"{path}: not a text file; {_REMEDY}. Received: {error}") from error
    if set(COLUMNS) <= set(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise MediaError(f"{path}: columns are there twice; {_REMEDY}. Received: {', '.join(twice[:5])}")
        return names
    absent = [name for name in COLUMNS if name not in names]
    if len(absent) == len(COLUMNS):
        what = "not a CSV file of OpenFace"
    elif "face" in names and "frame" not in names:
        what = "written by FaceLandmarkImg, which knows no frames"
    elif "face_id" not in names:
        what = "written by an OpenFace before 2.0, which has neither face numbers nor eye landmarks"
    else:
        what = "written with only part of OpenFace's outputs"
    raise MediaError(
        f"{path}: {what}; {_REMEDY}. Columns missing: {len(absent)} of {len(COLUMNS)} ({', '.join(absent[:4])}, …). "
        f"Received: {len(names)} columns"
    )


def _check_lengths(path, expected):
    """pandas fills short rows up in silence."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            found = line.count(b",") + 1
            if found != expected and line.strip():
                raise MediaError(
                    f"{path}, line {number}: not as long as the header ({expected} values), so the file is cut or damaged; {_REMEDY}. "
                    f"Received: {found} values"
                )


def _parse(path, names, **options):
    return pd.read_csv(
        path, header=0, names=names, skipinitialspace=True, na_values=_NOT_A_NUMBER, keep_default_na=False,
        encoding="utf-8-sig", **options,
    )  # fmt: skip


def _complain_of_cell(path, names):
    """Where the first value lies that is no number."""
    text = _parse(path, names, dtype=str)
    for name in COLUMNS:
        odd = pd.to_numeric(text[name], errors="coerce").isna() & text[name].notna()
        if odd.any():
            row = int(np.argmax(odd))
            return f"{path}, line {row + 2}, column {name}: not a number; {_REMEDY}. Received: {text[name][row]!r}"
    return f"{path}: cannot be read as a table of numbers; {_REMEDY}"


def _typed(path, table):
    """Whole numbers as such, after checking that they are."""
    for name, low, high in (("frame", 1, 2**31), ("face_id", 0, 2**31), ("success", 0, 1)):
        values = table[name].to_numpy()
        bad = ~((values >= low) & (values <= high) & (values == np.round(values)))
        if bad.any():
            row = int(np.argmax(bad))
            rule = {"frame": "counted from 1", "face_id": "0 or more", "success": "0 or 1"}[name]
            raise MediaError(
                f"{path}, line {row + 2}: {name} must be a whole number, {rule}; {_REMEDY}. Received: {values[row]:g}"
            )
    table = table.astype({"frame": np.int64, "face_id": np.int64, "success": bool})
    twice = table.duplicated(["frame", "face_id"]).to_numpy()
    if twice.any():
        row = int(np.argmax(twice))
        raise MediaError(
            f"{path}, line {row + 2}: this frame has a row of this face already (was the file written by two runs?); {_REMEDY}. "
            f"Received: frame {table['frame'][row]}, face_id {table['face_id'][row]}"
        )
    return table.copy()  # astype leaves 714 separate blocks, which would make every later use slow
