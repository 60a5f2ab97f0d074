"""What other tools would have written about the videos: OpenFace's CSV, OpenPose's JSON, a speech recogniser's words."""

import csv
import json
from pathlib import Path

import numpy as np

from abaw_tf.data.synthetic.geometry import ACTION_UNITS, IRISES, neutral_landmarks

MILLIMETRES = 70.0  # half the width of a face
_PRESENCE = (*ACTION_UNITS[:-1], "AU28", "AU45")


def openface_columns() -> list[str]:
    """The 714 columns of an OpenFace 2 CSV in the order in which FeatureExtraction writes them."""
    eye = [f"eye_lmk_{axis}_{i}" for axis in "xyXYZ" for i in range(56)]
    face = [f"{axis}_{i}" for axis in "xyXYZ" for i in range(68)]
    gaze = [f"gaze_{eye}_{axis}" for eye in (0, 1) for axis in "xyz"] + ["gaze_angle_x", "gaze_angle_y"]
    pose = [f"pose_{name}" for name in ("Tx", "Ty", "Tz", "Rx", "Ry", "Rz")]
    shape = ["p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty"] + [f"p_{i}" for i in range(34)]
    units = [f"{unit}_r" for unit in ACTION_UNITS] + [f"{unit}_c" for unit in _PRESENCE]
    return ["frame", "face_id", "timestamp", "confidence", "success", *gaze, *eye, *pose, *face, *shape, *units]


class OpenFace:
    """Collects one face's rows and writes the CSV.

    Parameters
    ----------
    rng : numpy.random.Generator
        Of the measuring errors.
    size : (int, int)
        Width and height of the picture.
    n : int
        Frames.
    """

    def __init__(self, rng, size, n):
        self.size = np.array(size)
        self.focal = 1.2 * max(size)
        self.rows = np.zeros((n, 714))
        self._unit_noise = _walk(rng, n, 17, 0.22)
        self._unit_offset = np.abs(rng.normal(0, 0.12, 17))
        self._unit_gain = np.clip(rng.normal(0.8, 0.2, 17), 0.3, 1.2)
        self._jitter = rng.normal(0, 0.35, (n, 68, 2))
        self._sure = np.clip(rng.normal(0.95, 0.03, n), 0.7, 0.98)
        # A fixed random basis stands in for the modes of OpenFace's own shape model, which are not public knowledge here.
        self._modes = np.linalg.qr(np.random.default_rng(34).normal(size=(204, 34)))[0]

    def add(self, row, time, marks, pose, angles, units, gaze, found) -> None:
        """Set frame `row` (0-based); `found` False makes it a failure, which OpenFace writes as zeros."""
        head = [row + 1, 0, round(time, 3)]
        if not found:
            self.rows[row, :3] = head
            self.rows[row, 3] = 0.02 + 0.1 * (1 - self._sure[row])
            return
        yaw, pitch, roll = angles
        distance = self.focal * MILLIMETRES / pose.scale
        world = marks @ pose.matrix.T * MILLIMETRES
        world += (*((pose.origin - self.size / 2) / pose.scale * MILLIMETRES), distance)
        world[:, 2] = distance - (marks @ pose.matrix[2]) * MILLIMETRES  # OpenFace's z points away from the camera
        pixels = pose(marks) + self._jitter[row]
        look = np.array([0.35 * gaze[0] + np.sin(yaw), 0.3 * gaze[1] + np.sin(pitch), -1.0])
        look /= np.linalg.norm(look)
        eyes, eyes_world = _eye_landmarks(marks, gaze)
        eye_pixels = pose(eyes)
        eyes_world = eyes_world @ pose.matrix.T * MILLIMETRES * (1, 1, -1)
        eyes_world += (*((pose.origin - self.size / 2) / pose.scale * MILLIMETRES), distance)
        place = [*((pose.origin - self.size / 2) / pose.scale * MILLIMETRES), distance]
        modes = ((marks - neutral_landmarks()).T.reshape(-1) * MILLIMETRES) @ self._modes
        measured = np.clip(units * self._unit_gain + self._unit_offset + self._unit_noise[row], 0, 1) * 5
        present = (measured > 1.0).astype(float)
        pressed = float(units[ACTION_UNITS.index("AU23")] > 0.6)
        self.rows[row] = np.concatenate(
            [
                [*head, self._sure[row], 1],
                [*look, *look, np.arctan2(look[0], -look[2]), np.arctan2(look[1], -look[2])],
                eye_pixels.T.ravel(), eyes_world.T.ravel(),
                [*place, pitch, yaw, roll],
                pixels.T.ravel(), world.T.ravel(),
                [pose.scale / MILLIMETRES, pitch, yaw, roll, *pose.origin], modes,
                measured, present[:-1], [pressed], present[-1:],
            ]
        )  # fmt: skip

    def write(self, path) -> None:
        """Write the CSV."""
        columns = openface_columns()
        formats = ["%d", "%d", "%.3f", "%.2f", "%d"] + ["%.3f"] * 709
        formats[-18:] = ["%d"] * 18
        for i, name in enumerate(columns):
            if "lmk" in name or name[:2] in ("x_", "y_", "X_", "Y_", "Z_"):
                formats[i] = "%.1f"
        line = ",".join(formats)
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = [",".join(columns), *(line % tuple(row) for row in self.rows.tolist())]
        path.write_text("\n".join(text) + "\n", encoding="ascii")


def _walk(rng, n, k, spread) -> np.ndarray:
    """Noise (n, k) that changes slowly."""
    steps, keep = rng.normal(size=(n, k)), 0.85
    values = np.empty((n, k))
    values[0] = steps[0]
    for i in range(1, n):
        values[i] = keep * values[i - 1] + np.sqrt(1 - keep**2) * steps[i]
    return spread * values


def _eye_landmarks(marks, gaze):
    """OpenFace's 28 points per eye: lids (12), iris (8) and pupil (8), as points on the face."""
    parts = []
    angle = np.linspace(0, 2 * np.pi, 9)[:-1]
    ring = np.column_stack([np.cos(angle), np.sin(angle), np.zeros(8)])
    for side in (0, 1):
        lids = marks[36 + 6 * side : 42 + 6 * side]
        lids = np.stack([lids, (lids + np.roll(lids, -1, axis=0)) / 2], axis=1).reshape(12, 3)
        centre = np.array([*(IRISES[side] + np.asarray(gaze) * (0.10, 0.06)), lids[:, 2].mean()])
        parts += [lids, centre + 0.11 * ring, centre + 0.05 * ring]
    points = np.concatenate(parts)
    return points, points


def write_openpose(path, people) -> None:
    """Write one frame's JSON; `people` is a list of (25, 3) arrays."""
    empty = {
        key: [] for key in (
            "face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d", "pose_keypoints_3d",
            "face_keypoints_3d", "hand_left_keypoints_3d", "hand_right_keypoints_3d",
        )
    }  # fmt: skip
    found = [
        {"person_id": [-1], "pose_keypoints_2d": [round(v, 3) for v in p.ravel().tolist()], **empty} for p in people
    ]
    Path(path).write_text(json.dumps({"version": 1.3, "people": found}, separators=(",", ":")), encoding="ascii")


def write_words(path, words) -> None:
    """Write ``word,start,end,confidence`` rows in the order of time."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["word", "start", "end", "confidence"])
        for word in sorted(words, key=lambda w: (w.start, w.text)):
            writer.writerow([word.text, f"{word.start:.3f}", f"{word.stop:.3f}", f"{word.confidence:.3f}"])
