"""OpenFace's CSV files of a dataset as feature tracks (the FacePose features of Rasipuram et al., 2020, §I-B).

Which file, and who in it: a trial has its own file ``openface/<trial>.csv``. A trial ``<video>_left`` or ``<video>_right`` without
one shares ``openface/<video>.csv``. Of a shared file, of any file of such a trial, and of a file in which a frame has several rows,
the rows of the right person are chosen by the overlap of landmark boxes (:func:`abaw_tf.media.openface.choose_rows`): with the
trial's own face boxes where they are known (given, or found in ``faces/<trial>.csv``, which `abaw_tf.media.faces.extract_faces`
writes), otherwise by following the left or right (in a trial of the whole video the largest) face from the start. Aff-Wild2's crops
do not say where in the picture they come from. Only an own file of ``_left`` or ``_right`` with one row per frame, without known
boxes, is taken as it is.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from abaw_tf.features.extraction import ExtractionReport, check_extraction, extract_trials
from abaw_tf.features.store import FeatureStore
from abaw_tf.media import face_files
from abaw_tf.media.openface import COLUMNS, FEATURES, MIN_OVERLAP, choose_rows, person_features, read_openface

NAME = "openface"
# Timestamps are rounded to milliseconds: over a shorter time (s) they tell the rate less well than this share of it.
_SHORTEST, _SAME_RATE = 0.1, 0.02


@dataclass
class OpenFaceReport(ExtractionReport):
    """What a run of :func:`extract_openface` did.

    Attributes
    ----------
    found : dict of str to (int, int)
        Of each trial written: frames in which OpenFace found this person, and frames.
    beyond : dict of str to int
        Of trials whose file goes on after the last frame: rows left out.
    rates : dict of str to (float, float)
        Of trials whose file has another frame rate than their video: both.
    """

    found: dict[str, tuple[int, int]] = field(default_factory=dict)
    beyond: dict[str, int] = field(default_factory=dict)
    rates: dict[str, tuple[float, float]] = field(default_factory=dict)

    def format(self):
        """A summary of a few lines."""
        total = np.sum(list(self.found.values()), axis=0) if self.found else np.zeros(2)
        lines = [
            f"{len(self.written)} trials written, {len(self.skipped)} already there, {len(self.failed)} failed; OpenFace found the "
            f"person in {total[0]:.0f} of {total[1]:.0f} frames",
            f"tracks: {self.folder}",
        ]
        if self.renewed:
            lines.append(f"written again because their file, frames or boxes had changed: {', '.join(self.renewed)}")
        lines += [
            f"{trial}: the person is in {found} of {frames} frames only"
            for trial, (found, frames) in self.found.items()
            if found < frames / 2
        ]
        lines += [f"{trial}: {count} rows after the last frame left out" for trial, count in self.beyond.items()]
        lines += [
            f"{trial}: OpenFace's times are those of {of_file:.2f} frames per second, the video has {of_video:.2f}; unless the file was "
            "made from this very video, its rows are of other frames: run OpenFace again"
            for trial, (of_file, of_video) in self.rates.items()
        ]
        return "\n".join(lines)


def extract_openface(
    dataset, store_root, trials=None, shard=(0, 1), drop_meta=True, boxes=None, dtype="float32", progress=True
):
    """Turn the OpenFace files of a dataset into tracks, one per trial.

    Row ``frame`` = n of a file is frame n - 1 of the trial. A frame without a row, with ``success`` 0, with a feature that is not
    finite, or without the right person is missing; nothing is ever shifted. Trials whose track is there already are skipped, so a run
    that was killed at any moment is simply started again.

    Parameters
    ----------
    dataset : abaw_tf.data.AffWild2
    store_root : str or Path
        Folder of all stores; the track goes to ``<store_root>/openface-<key>/<trial>.npy``.
    trials : sequence of str, optional
        Only these; by default all.
    shard : tuple of int
        (i, n): only every n-th trial from the i-th on, 0 <= i < n, for n runs side by side on one store.
    drop_meta : bool
        709 features instead of 714; see :func:`abaw_tf.media.openface.person_features`.
    boxes : mapping of str to array, optional
        Face boxes of trials, (n_frames, 4): left, top, right, bottom in pixels of the video, NaN where unknown. They take the place of
        ``faces/<trial>.csv``.
    dtype : {"float32", "float16"}
        Type on disk. Landmarks are in pixels and millimetres, of which float16 would keep no fractions above 1024.
    progress : bool
        Show a bar.

    Returns
    -------
    OpenFaceReport

    Raises
    ------
    ExtractionError
        At the end, if trials failed (no file, another version's file, …). All others are done.
    ValueError
        If an argument is wrong.
    """
    index, count = check_extraction(shard, dtype)
    store = openface_store(store_root, drop_meta)
    store.clean()
    report = OpenFaceReport(store.folder)
    table = dataset.trials()
    known = dict(zip(table["trial"], zip(table["video"], table["subject"], table["fps"])))
    names = sorted(known if trials is None else trials)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{dataset.root}: no such trials. Received: {', '.join(map(repr, unknown[:5]))}")

    def extract_one(trial):
        _extract_trial(dataset, trial, *known[trial], store, drop_meta, (boxes or {}).get(trial), dtype, report)

    return extract_trials(report, names[index::count], extract_one, NAME, progress)


def openface_store(store_root, drop_meta=True):
    """The store in which :func:`extract_openface` keeps its tracks; the names of the features are ``store.config["columns"]``."""
    config = {"columns": list(FEATURES if drop_meta else COLUMNS), "min_overlap": MIN_OVERLAP}
    return FeatureStore(store_root, NAME, config, weights_hash="OpenFace 2.x")


def _extract_trial(dataset, trial, video, subject, fps, store, drop_meta, boxes, dtype, report):
    path, n_frames = _file_of(dataset, trial, video, subject), int(dataset.n_frames(trial))
    boxes = _boxes_of(dataset, trial, n_frames) if boxes is None else np.asarray(boxes, np.float64)
    state = path.stat()
    source = {
        "file": path.name,
        "bytes": state.st_size,
        "modified": state.st_mtime_ns,
        "n_frames": n_frames,
        "boxes": None if boxes is None else hashlib.sha256(np.ascontiguousarray(boxes)).hexdigest(),
    }
    if store.has(trial, source):
        report.skipped.append(trial)
        return
    renewed = store.has(trial)
    table = read_openface(path)
    rows, rule = _rows_of(dataset, trial, subject, path, table, n_frames, boxes)
    values, missing = person_features(table, rows, drop_meta)
    beyond = int((table["frame"] > n_frames).sum())
    store.write(trial, values, missing, source, dtype, {"file": path.name, "person": rule, "rows_beyond": beyond})
    report.written.append(trial)
    report.found[trial] = int((~missing).sum()), n_frames
    if renewed:
        report.renewed.append(trial)
    if beyond:
        report.beyond[trial] = beyond
    rate = _rate(table)
    if rate is not None and abs(rate / fps - 1) > _SAME_RATE:  # never where no video tells its rate
        report.rates[trial] = rate, float(fps)


def _rate(table):
    """Frames per second by the timestamps; None where OpenFace wrote none, as of a folder of images, or too few."""
    seconds = np.ptp(table["timestamp"].to_numpy())
    return float(np.ptp(table["frame"].to_numpy()) / seconds) if seconds > _SHORTEST else None


def _rows_of(dataset, trial, subject, path, table, n_frames, boxes):
    """The rows of the trial's person, and the rule by which they were chosen."""
    several = bool(table.loc[table["success"]].duplicated("frame").any())
    own = path.stem == trial
    if not several and own and (not subject or boxes is None):
        return choose_rows(table, n_frames), "the only one"
    if boxes is not None:
        return choose_rows(table, n_frames, boxes), "boxes"
    person = subject or "largest"
    video_path = dataset.video_path(trial)
    if video_path is None:
        raise FileNotFoundError(
            f"{path}: which rows are those of {trial!r} cannot be told without its video or the boxes of its face; add the video, "
            f"faces/{trial}.csv, or `boxes`. Received: no video of that name in {dataset.root}"
        )
    from abaw_tf.media import video as videos

    times = np.asarray(dataset.times(trial), np.float64)[:n_frames]
    return choose_rows(table, n_frames, None, person, times, videos.probe(video_path).width), person


def _file_of(dataset, trial, video, subject):
    """The trial's own file, or the one that two people share."""
    own = dataset.openface_path(trial)
    if own is not None:
        return own
    folder = dataset.layout.sidecars.get(NAME)
    wanted = [f"{NAME}/{trial}.csv"] + ([f"{NAME}/{video}.csv with both people"] if subject else [])
    shared = folder / f"{video}.csv" if folder and subject else None
    if shared is not None and shared.is_file():
        return shared
    raise FileNotFoundError(
        f"{Path(dataset.root)}: no OpenFace file of trial {trial!r}; write {' or '.join(wanted)}: "
        f"{'FaceLandmarkVidMulti' if subject else 'FeatureExtraction'} -f {video}.mp4 -out_dir {NAME}"
    )


def _boxes_of(dataset, trial, n_frames):
    """Boxes (n_frames, 4) out of ``faces/<trial>.csv``; None where there is no such file."""
    if not (Path(dataset.root) / "faces" / f"{trial}.csv").is_file():
        return None
    table = face_files.read_face_table(dataset.root, trial)
    table = table[table["frame"] < n_frames]
    boxes = np.full((n_frames, 4), np.nan)
    boxes[table["frame"]] = table[face_files.BOX]
    return boxes
