"""What can be wrong with the files of one trial; each check returns findings with their remedy (see `abaw_tf.data.doctor`)."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from abaw_tf.data import annotations

ALIGNED_SIZE = 112
# Published copies disagree by one or two frames (label rows, decoded frames, crops); more than that is worth a warning.
USUAL_DIFFERENCE = 2
SAMPLE = 12
NAMED = 3


class Finding(NamedTuple):
    """One thing that is odd about a dataset.

    Attributes
    ----------
    severity : str
        ``"error"`` (unusable or wrong until repaired), ``"warning"`` (usable; know what you do) or ``"note"`` (for information).
    trial : str
        Trial concerned, or ``""``.
    path : str
        File or folder concerned, or ``""``.
    message : str
        What is odd.
    remedy : str
        What to do about it.
    """

    severity: str
    trial: str
    path: str
    message: str
    remedy: str


def check_label_file(trial, path, task, edition):
    """Read a label file.

    Parameters
    ----------
    trial, path, task : str
        Which file.
    edition : Edition
        Decides header and classes.

    Returns
    -------
    values : numpy.ndarray or None
        As from `abaw_tf.data.annotations`, None where the file cannot be read.
    findings : list of Finding
    """
    read = annotations.read_expression if task == "expression" else annotations.read_valence_arousal
    try:
        values = read(path, edition)
    except (ValueError, OSError) as error:
        message = str(error).removeprefix(str(path)).lstrip(", :")
        remedy = "correct the row as the message says, or unpack the file again from the annotation archive"
        return None, [Finding("error", trial, path, message, remedy)]
    known = values >= 0 if task == "expression" else ~np.isnan(values).any(axis=1)
    if known.any():
        return values, []
    what = "no label rows after the header" if not len(values) else f"none of its {len(values)} rows holds a label"
    return values, [
        Finding("warning", trial, path, what, "nothing to repair if it is published so: the trial counts as unlabelled")
    ]


def check_video(trial, path, decode=True):
    """Count the frames of a video.

    Parameters
    ----------
    trial, path : str
        Which video.
    decode : bool
        Decode all of it (finds what is truncated or damaged); otherwise trust its header.

    Returns
    -------
    n_frames : int or None
        Frames that decode (or that the header announces), None where the file cannot be read.
    findings : list of Finding
    """
    from abaw_tf.media import video

    try:
        if not decode:
            return video.probe(path).n_frames_header, []
        result = video.scan(path)
    except (ValueError, OSError) as error:
        message = str(error).removeprefix(str(path)).lstrip(", :")
        return None, [Finding("error", trial, path, message, "copy or download the video again")]
    severity = "error" if result.truncated else "warning"
    remedy = (
        "copy or download the video again: frames beyond the damage have neither picture nor sound"
        if result.truncated
        else "compare with another copy; frames and times may be off after the damage"
    )
    return len(result.times), [Finding(severity, trial, path, problem, remedy) for problem in result.problems]


def check_crops(trial, folder, kind, images="sample"):
    """Look at a trial's crops.

    Parameters
    ----------
    trial : str
        Name of the trial.
    folder : CropFolder
        Its listing.
    kind : str
        ``"cropped_aligned"`` images must be 112×112.
    images : {"all", "sample", "none"}
        Which images to decode: all, the first, the last and some between, or none.

    Returns
    -------
    list of Finding
    """
    path, findings = str(folder.folder), []
    if not len(folder.frames):
        remedy = "unpack the crops of this trial again, or delete the empty folder"
        findings.append(Finding("warning", trial, path, "the folder holds no image of a frame", remedy))
    zero = [name for name in folder.odd if name.partition(".")[0].strip("0") == "" and name[0] == "0"]
    if zero:
        message = f"{zero[0]} exists, but images count from 1 (frame 0 is 00001.jpg): all may be one frame off"
        remedy = "rename the images so that the first frame is 00001.jpg, or delete number 0 if it is a stray"
        findings.append(Finding("error", trial, path, message, remedy))
    odd = [name for name in folder.odd if name not in zero]
    if odd:
        message = f"{_count(odd, 'file')} no image of a frame: {_some(odd)}"
        findings.append(Finding("warning", trial, path, message, "rename to five digits and .jpg, or delete"))
    frames = _chosen(folder.frames, images)
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda frame: image_fault(folder.path(frame)), frames))
    faults = {}
    for frame, (fault, size) in zip(frames, results):
        name = folder.path(frame).name
        if fault:
            faults.setdefault(fault, []).append(name)
        elif kind == "cropped_aligned" and size != (ALIGNED_SIZE, ALIGNED_SIZE):
            faults.setdefault(size, []).append(name)
    for fault, names in faults.items():
        if isinstance(fault, tuple):
            size = f"{fault[1]}×{fault[0]} pixels instead of {ALIGNED_SIZE}×{ALIGNED_SIZE}"
            message = f"{_count(names, 'aligned image')} {size}: {_some(names)}"
            remedy = "check that these are the official aligned crops; a network trained on those expects their framing"
            findings.append(Finding("warning", trial, path, message, remedy))
        else:
            message = f"{_count(names, 'image')} {fault}: {_some(names)}"
            remedy = "unpack these images again; until then extraction masks them like frames without a face"
            findings.append(Finding("error", trial, path, message, remedy))
    return findings


def image_fault(path):
    """What is wrong with a JPEG file.

    Parameters
    ----------
    path : path-like
        Image.

    Returns
    -------
    fault : str or None
        ``"empty"``, ``"not JPEG"``, ``"truncated"``, ``"not decodable"``, ``"unreadable"``, or None for a sound image.
    size : tuple of int or None
        Height and width of a sound image.
    """
    try:
        data = Path(path).read_bytes()
    except OSError:
        return "unreadable", None
    if not data:
        return "empty", None
    if data[:2] != b"\xff\xd8":
        return "not JPEG", None
    # Decoders fill a cut image up with grey and say nothing: only the end marker tells.
    if b"\xff\xd9" not in data[-1024:]:
        return "truncated", None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return ("not decodable", None) if image is None else (None, image.shape[:2])


def check_lengths(trial, rows, decoded, last_crop, labelled):
    """Compare what should have the same length.

    Parameters
    ----------
    trial : str
        Name of the trial.
    rows : dict of str to int
        Label rows by task.
    decoded : int or None
        Frames of the video.
    last_crop : dict of str to int
        Number of the last crop by kind, 0 without any.
    labelled : dict of str to int
        0-based number of the last labelled frame plus one, by task.

    Returns
    -------
    list of Finding
    """
    findings = []
    if len(set(rows.values())) > 1:
        message = ", ".join(f"{count} rows of {task.replace('_', '-')}" for task, count in rows.items())
        remedy = (
            "nothing to do: rows and frames are matched by number, and the shorter file counts as unlabelled at its end"
        )
        findings.append(_by_size(trial, max(rows.values()) - min(rows.values()), message, remedy))
    if not rows:
        return findings
    n_rows = max(rows.values())
    if decoded is not None and decoded != n_rows:
        message = f"{n_rows} label rows, {decoded} video frames ({n_rows - decoded:+d})"
        remedy = "rows and frames are matched by number; where the difference is large, check that video and labels belong together"
        findings.append(_by_size(trial, abs(n_rows - decoded), message, remedy))
    for kind, last in last_crop.items():
        if last > n_rows:
            message = f"the last image in {kind} is number {last}, the labels end at row {n_rows} ({last - n_rows:+d})"
            remedy = "images beyond the labels are not used; where there are many, check that crops and labels belong together"
            findings.append(_by_size(trial, last - n_rows, message, remedy))
    if any(labelled.values()) and not any(last_crop.values()):
        remedy = "unpack the crops of this trial, or make them from its video (abaw_tf.media.faces.extract_faces)"
        findings.append(Finding("warning", trial, "", "labelled, but without any crop", remedy))
    return findings


def _by_size(trial, difference, message, remedy):
    return Finding("note" if difference <= USUAL_DIFFERENCE else "warning", trial, "", message, remedy)


def _chosen(frames, images):
    if images == "none" or not len(frames):
        return []
    if images == "all" or len(frames) <= SAMPLE:
        return frames.tolist()
    return frames[np.unique(np.linspace(0, len(frames) - 1, SAMPLE).round().astype(int))].tolist()


def _count(names, what):
    return f"1 {what} is" if len(names) == 1 else f"{len(names)} {what}s are"


def _some(names):
    return ", ".join(names[:NAMED]) + (f", … {names[-1]}" if len(names) > NAMED else "")
