"""The faces of a video as image files in Aff-Wild2's layout, with a table of where they were."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from abaw_tf.files import replacing

from .align import TEMPLATE_SIZE, align, crop
from .tracking import FaceFollower
from .video import probe, read_frames

KINDS = ("cropped", "cropped_aligned")
BOX = ["left", "top", "right", "bottom"]
LANDMARKS = [f"{axis}_{k}" for k in range(5) for axis in "xy"]
COLUMNS = ["frame", "time", "score", *BOX, "track", "detected", *LANDMARKS]


def extract_faces(
    video,
    out_root,
    trial: str | None = None,
    detector=None,
    person: str = "largest",
    stride: int = 1,
    margin: float = 0.2,
    size: int = TEMPLATE_SIZE,
    restart_after: float = 1.0,
    quality: int = 95,
    overwrite: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Write the face of one person in a video as ``cropped/<trial>/NNNNN.jpg`` and ``cropped_aligned/<trial>/NNNNN.jpg``.

    ``NNNNN`` is the frame number counted from 1. A frame without a face has no file. Every file is complete when it appears. A run that was
    interrupted is continued after the last frame it finished, with the same result; one that is finished is not repeated. What was found is
    kept in ``faces/<trial>.csv`` with the settings in ``faces/<trial>.json``.

    Parameters
    ----------
    video : path-like
    out_root : path-like
        Folder of the dataset.
    trial : str, optional
        Default: the video's name without suffix, with ``_left`` or ``_right`` for that `person`.
    detector : FaceDetector
        For example ``MtcnnDetector()``.
    person : {"largest", "left", "right"}
        Whom to follow: see `FaceFollower`.
    stride : int
        Detect on every `stride`-th frame only; between two of them with the same face, box and landmarks are interpolated linearly in time.
        A frame next to a hole gets no face.
    margin : float
        Share of the box that ``cropped`` shows beyond it on every side.
    size : int
        Side of the ``cropped_aligned`` images in pixels.
    restart_after : float
        Seconds of absence after which another face may be followed.
    quality : int
        JPEG quality, 1-100.
    overwrite : bool
        Delete the trial's images and start afresh instead of continuing.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        One row per frame that decodes: ``frame`` (0-based), ``time`` (s), ``score``, ``left``, ``top``, ``right``, ``bottom`` (pixels),
        ``track`` (grows each time that the pursuit starts afresh), ``detected`` (False for interpolated faces and holes), ``x_0``,
        ``y_0`` … ``y_4``. NaN, and track -1, where there is no face.

    Raises
    ------
    FileNotFoundError, MediaError
        From reading the video. One that is cut gives the faces of what decodes, with a `MediaWarning`.
    ValueError
        An argument out of range; a trial whose images come from somewhere else or from other settings, without `overwrite`.
    """
    video = Path(video)
    _check(detector, stride, size, quality)
    info = probe(video)
    follower = FaceFollower(person, restart_after)
    trial = trial if trial is not None else video.stem + ("" if person == "largest" else f"_{person}")
    files = _Files(out_root, trial, size, margin, quality)
    settings = {
        "video": {"name": video.name, "bytes": video.stat().st_size},
        "detector": detector.config(),
        "person": person,
        "stride": stride,
        "margin": margin,
        "size": size,
        "restart_after": restart_after,
        "quality": quality,
    }
    files.claim(settings, overwrite)
    if files.table.exists():
        return read_face_table(out_root, trial)
    last = files.resume(stride)
    if last is not None and last["seen"] is not None:
        follower.resume(*last["seen"])
    done = 0 if last is None else last["frame"] + 1
    previous = None if last is None else last["face"]
    with (
        open(files.journal, "a", encoding="utf-8") as journal,
        tqdm(desc=trial, unit="frame", total=info.n_frames_header, initial=done, disable=not progress) as bar,
    ):
        for *skipped, (number, time, image) in _up_to_detection(read_frames(video, start=done), stride):
            face = follower(detector(image), time, image.shape[1])
            current = None if face is None else _record(time, face, follower.track)
            for frame, moment, picture in skipped:
                files.write(journal, frame, moment, picture, _between(previous, current, moment), False)
            files.write(journal, number, time, image, current, True)
            bar.update(len(skipped) + 1)
            previous = current
    files.journal.replace(files.table)
    return read_face_table(out_root, trial)


def _up_to_detection(frames, stride):
    """Yield lists of (frame, time, image), each of which ends with a frame to detect on; the last list with the last frame."""
    pending = []
    for item in frames:
        pending.append(item)
        if item[0] % stride == 0:
            yield pending
            pending = []
    if pending:
        yield pending


def read_face_table(out_root, trial: str) -> pd.DataFrame:
    """The table that `extract_faces` returned for a trial."""
    path = Path(out_root) / "faces" / f"{trial}.csv"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such table; run extract_faces for trial {trial!r} to its end")
    return _read_rows(path)


def _read_rows(path):
    # As text first: what pandas' own parser makes of a number can differ from what was written in the last digit.
    text = pd.read_csv(path, dtype=str, keep_default_na=False)
    columns = {name: [float(value or "nan") for value in text[name]] for name in COLUMNS if name != "detected"}
    table = pd.DataFrame({**columns, "detected": text["detected"] == "True"})[COLUMNS]
    return table.astype({"frame": np.int64, "track": np.int64})


def _check(detector, stride, size, quality):
    if detector is None:
        raise ValueError("extract_faces needs a detector, for example MtcnnDetector(). Received: detector=None")
    for name, value, low, high in (
        ("stride", stride, 1, 10_000),
        ("size", size, 8, 4096),
        ("quality", quality, 1, 100),
    ):
        if value != int(value) or not low <= value <= high:
            raise ValueError(f"{name} must be a whole number from {low} to {high}. Received: {value}")


def _record(time, face, track):
    return {"time": time, "score": face.score, "box": face.box, "landmarks": face.landmarks, "track": track}


def _between(before, after, time):
    """The face at a moment between two that belong to one pursuit; None where they do not."""
    if before is None or after is None or before["track"] != after["track"]:
        return None
    share = (time - before["time"]) / (after["time"] - before["time"])
    mixed = {key: (1 - share) * before[key] + share * after[key] for key in ("box", "landmarks")}
    return {**mixed, "time": time, "score": min(before["score"], after["score"]), "track": after["track"]}


class _Files:
    """Where a trial's images, table, settings and journal are."""

    def __init__(self, out_root, trial, size, margin, quality):
        if not trial or trial.startswith(".") or re.search(r"[/\\]", trial):
            raise ValueError(f"trial must be a plain name without slashes. Received: {trial!r}")
        out_root = Path(out_root)
        self.trial, self.size, self.margin, self.quality = trial, size, margin, quality
        self.images = {kind: out_root / kind / trial for kind in KINDS}
        folder = out_root / "faces"
        self.table, self.settings = folder / f"{trial}.csv", folder / f"{trial}.json"
        self.journal = folder / f".{trial}.partial.csv"

    def claim(self, settings, overwrite):
        """Make sure that what is there belongs to these settings, or that nothing is there."""
        if overwrite:
            for path in [*self._existing(), self.table, self.journal, self.settings]:
                path.unlink(missing_ok=True)
        elif self.settings.exists():
            known = json.loads(self.settings.read_text(encoding="utf-8"))
            differing = [key for key in settings if known.get(key) != settings[key]]
            if differing:
                key = differing[0]
                raise ValueError(
                    f"{self.settings}: the faces of {self.trial!r} were extracted with {key}={known.get(key)!r}; use overwrite=True to "
                    f"replace them, or another folder. Received: {key}={settings[key]!r}"
                )
        elif self._existing():
            raise ValueError(
                f"{self._existing()[0].parent} holds images that extract_faces did not write; use overwrite=True to delete them, "
                "or another folder"
            )
        for folder in [*self.images.values(), self.settings.parent]:
            folder.mkdir(parents=True, exist_ok=True)
        _replace(self.settings, json.dumps(settings, indent=2).encode())

    def _existing(self):
        return [
            p
            for folder in self.images.values()
            if folder.is_dir()
            for p in folder.iterdir()
            if re.fullmatch(r"\d+\.jpg", p.name)
        ]

    def resume(self, stride):
        """Cut the journal back to its last detection and return that row and the last face seen; None at the beginning."""
        lines = self.journal.read_bytes().splitlines(keepends=True) if self.journal.exists() else []
        lines = [line for line in lines if line.endswith(b"\n")]
        keep = (len(lines) - 2) // stride * stride + 2 if len(lines) > 1 else 1
        header = (",".join(COLUMNS) + "\n").encode()
        _replace(self.journal, b"".join(lines[:keep]) if lines else header)
        if keep < 2:
            return None
        table = _read_rows(self.journal)
        faces = table[table["track"] >= 0]
        seen = None
        if len(faces):
            row = faces.iloc[-1]
            seen = (row[BOX].to_numpy(np.float64), float(row["time"]), int(row["track"]))
        last = table.iloc[-1]
        face = None
        if last["track"] >= 0:
            face = {
                "time": float(last["time"]),
                "score": float(last["score"]),
                "box": last[BOX].to_numpy(np.float64),
                "landmarks": last[LANDMARKS].to_numpy(np.float64).reshape(5, 2),
                "track": int(last["track"]),
            }
        return {"frame": int(last["frame"]), "face": face, "seen": seen}

    def write(self, journal, frame, time, image, face, detected):
        """Write one frame's images, then its row."""
        if face is None:
            row = [frame, time, *[""] * 5, -1, False, *[""] * 10]
        else:
            self._write_image("cropped", frame, crop(image, face["box"], self.margin))
            self._write_image("cropped_aligned", frame, align(image, face["landmarks"], self.size))
            values = [*face["box"], face["track"], detected, *face["landmarks"].ravel()]
            row = [frame, time, face["score"], *values]
        journal.write(",".join(repr(v.item()) if isinstance(v, np.generic) else str(v) for v in row) + "\n")
        journal.flush()

    def _write_image(self, kind, frame, image):
        encoded = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, self.quality])[1]
        _replace(self.images[kind] / f"{frame + 1:05d}.jpg", encoded.tobytes())


def _replace(path, data: bytes) -> None:
    with replacing(path) as partial:
        partial.write_bytes(data)
