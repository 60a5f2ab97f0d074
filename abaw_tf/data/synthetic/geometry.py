"""The geometry of the drawn face: 68 landmarks in three dimensions, moved by action units, seen under a head pose.

Coordinates are in units of half the face's width: x to the right of the picture, y down, z towards the camera, origin between
the cheekbones. The numbering is the usual one of 68 points (jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, mouth 48-67).
"""

import functools

import numpy as np

# The 17 action units whose intensity OpenFace reports; here every intensity lies in [0, 1].
ACTION_UNITS = (
    "AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU09", "AU10", "AU12",
    "AU14", "AU15", "AU17", "AU20", "AU23", "AU25", "AU26", "AU45",
)  # fmt: skip

# One side of the face (x > 0), from the nose outwards; the other side is its mirror image.
_BROW = [(0.19, -0.42), (0.35, -0.50), (0.52, -0.52), (0.68, -0.48), (0.82, -0.37)]
_EYE = [(0.23, -0.12), (0.34, -0.235), (0.50, -0.235), (0.62, -0.14), (0.50, -0.055), (0.34, -0.05)]
_NOSE = [(0, -0.15), (0, 0.0), (0, 0.15), (0, 0.30), (-0.2, 0.40), (-0.1, 0.44), (0, 0.47), (0.1, 0.44), (0.2, 0.40)]
_NOSE_RIDGE = [0.05, 0.12, 0.20, 0.30, 0.10, 0.14, 0.18, 0.14, 0.10]
_MOUTH = [
    (-0.36, 0.73), (-0.23, 0.665), (-0.09, 0.63), (0, 0.645), (0.09, 0.63), (0.23, 0.665),
    (0.36, 0.73), (0.22, 0.81), (0.09, 0.85), (0, 0.86), (-0.09, 0.85), (-0.22, 0.81),
    (-0.31, 0.73), (-0.11, 0.725), (0, 0.73), (0.11, 0.725), (0.31, 0.73), (0.11, 0.735), (0, 0.74), (-0.11, 0.735),
]  # fmt: skip
IRISES = np.array([(-0.425, -0.145), (0.425, -0.145)])


def depth(x, y):
    """Height above the plane of the cheekbones of an ellipsoidal head's front at (x, y)."""
    return (
        0.8 * np.sqrt(np.maximum(0.0, 1 - 0.9 * np.square(x) - 0.8 * np.square((np.asarray(y) - 0.05) / 1.35))) - 0.35
    )


@functools.lru_cache(maxsize=1)
def neutral_landmarks() -> np.ndarray:
    """The 68 landmarks (68, 3) of an expressionless average face."""
    angle = np.linspace(0, np.pi, 17)
    jaw = np.stack([-np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.82, -0.15 + 1.35 * np.sin(angle) ** 0.95], 1)
    brow, eye = np.array(_BROW), np.array(_EYE)
    mirror = np.array([-1.0, 1.0])
    # On the left half of the picture both rows run from the outer side inwards, lower lids from the nose outwards.
    left_eye = (eye * mirror)[[3, 2, 1, 0, 5, 4]]
    xy = np.concatenate([jaw, (brow * mirror)[::-1], brow, _NOSE, left_eye, eye, _MOUTH])
    z = depth(xy[:, 0], xy[:, 1])
    z[27:36] += _NOSE_RIDGE
    return np.column_stack([xy, z])


@functools.lru_cache(maxsize=1)
def _displacements() -> np.ndarray:
    """How far one full action unit moves each landmark: (side, action unit, 68, 2); side 0 is the left half of the picture."""
    moves = np.zeros((2, len(ACTION_UNITS), 68, 2))
    brow = ([21, 20, 19, 18, 17], [22, 23, 24, 25, 26])
    upper, lower = ([37, 38], [43, 44]), ([40, 41], [46, 47])
    corner, by_corner_up, by_corner_low = ([48, 60], [54, 64]), ([49], [53]), ([59], [55])
    upper_lip, upper_inner = ([49, 50, 51], [53, 52, 51]), ([61, 62], [63, 62])
    lower_lip, lower_inner = ([59, 58, 57], [55, 56, 57]), ([67, 66], [65, 66])
    nostril, jaw = ([31, 32], [35, 34]), ([3, 4, 5, 6, 7, 8], [13, 12, 11, 10, 9, 8])

    for side, out in ((0, -1.0), (1, 1.0)):

        def move(unit, points, x=0.0, y=0.0, side=side, out=out):
            weights = np.where(
                np.isin(points[side], (8, 51, 57, 62, 66)), 0.5, 1.0
            )  # the midline belongs to both sides
            moves[side, ACTION_UNITS.index(unit), points[side], 0] += out * np.asarray(x) * weights
            moves[side, ACTION_UNITS.index(unit), points[side], 1] += np.asarray(y) * weights

        move("AU01", brow, 0.0, [-0.20, -0.14, -0.06, 0, 0])
        move("AU02", brow, 0.0, [-0.03, -0.09, -0.17, -0.20, -0.17])
        move("AU04", brow, [-0.09, -0.07, -0.04, -0.02, 0], [0.15, 0.13, 0.08, 0.03, 0.0])
        move("AU05", upper, 0, -0.095)
        move("AU05", lower, 0, 0.025)
        move("AU06", lower, 0, -0.055)
        move("AU07", upper, 0, 0.055)
        move("AU07", lower, 0, -0.045)
        move("AU09", brow, [-0.04, -0.02, 0, 0, 0], [0.12, 0.09, 0.05, 0.02, 0])
        move("AU09", nostril, 0.04, -0.06)
        move("AU09", lower, 0, -0.035)
        move("AU09", upper_lip, 0, -0.04)
        move("AU09", upper_inner, 0, -0.02)
        move("AU10", upper_lip, 0, [-0.10, -0.11, -0.10])
        move("AU10", upper_inner, 0, [-0.10, -0.10])
        move("AU10", corner, 0, 0.04)
        move("AU12", corner, 0.15, -0.15)
        move("AU12", by_corner_up, 0.07, -0.05)
        move("AU12", by_corner_low, 0.07, -0.05)
        move("AU12", upper_inner, 0, 0.02)
        move("AU12", lower_lip, 0, [0, 0.03, 0.04])
        move("AU12", lower_inner, 0, 0.03)
        move("AU14", corner, 0.06, -0.03)
        move("AU15", corner, -0.01, 0.16)
        move("AU15", by_corner_up, 0, 0.06)
        move("AU15", by_corner_low, 0, 0.05)
        move("AU17", lower_lip, 0, -0.05)
        move("AU17", lower_inner, 0, -0.02)
        move("AU17", upper_lip, 0, -0.02)
        move("AU20", corner, 0.13, 0.05)
        move("AU20", by_corner_low, 0.08, 0.05)
        move("AU20", by_corner_up, 0.06, 0.0)
        move("AU23", upper_lip, 0, [0.03, 0.045, 0.04])
        move("AU23", lower_lip, 0, [-0.03, -0.055, -0.06])
        move("AU23", corner, -0.05, 0.01)
        move("AU25", upper_lip, 0, -0.02)
        move("AU25", upper_inner, 0, -0.025)
        move("AU25", lower_lip, 0, [0.03, 0.07, 0.075])
        move("AU25", lower_inner, 0, 0.075)
        move("AU26", corner, -0.05, 0.08)
        move("AU26", by_corner_up, -0.03, 0.02)
        move("AU26", lower_lip, 0, [0.17, 0.24, 0.25])
        move("AU26", lower_inner, 0, 0.24)
        move("AU26", jaw, 0, [0.03, 0.08, 0.13, 0.17, 0.2, 0.21])
    return moves


def deform(units, skew=0.0, shape=None) -> np.ndarray:
    """Landmarks (68, 3) of a face that shows action units.

    Parameters
    ----------
    units : array (17,)
        Intensities in [0, 1], in the order of `ACTION_UNITS`.
    skew : float
        In [-1, 1]; positive makes the right half of the picture move more than the left (a smirk, one brow raised).
    shape : array (68, 3), optional
        The expressionless landmarks of this person; the average face by default.
    """
    points = (neutral_landmarks() if shape is None else shape).copy()
    moves = _displacements()
    points[:, :2] += np.tensordot(units * (1 - skew), moves[0], 1) + np.tensordot(units * (1 + skew), moves[1], 1)
    blink = float(units[ACTION_UNITS.index("AU45")])
    for top, bottom in ((37, 41), (38, 40), (43, 47), (44, 46)):
        # Lids never cross, and a blink closes whatever is open.
        gap = max(0.012, points[bottom, 1] - points[top, 1])
        points[top, 1] = points[bottom, 1] - max(0.012, gap * (1 - blink))
    for top, bottom in ((61, 67), (62, 66), (63, 65)):
        points[bottom, 1] = max(points[bottom, 1], points[top, 1] + 0.004)
    return points


def rotation(yaw, pitch, roll) -> np.ndarray:
    """Rotation matrix (3, 3); radians. Positive yaw turns the nose to the right of the picture, positive pitch down."""
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


@functools.lru_cache(maxsize=64)
def _spline(n, steps, closed) -> np.ndarray:
    """Matrix (m, n) that turns n control points into points of the Catmull-Rom curve through them."""
    rows = []
    for i in range(n if closed else n - 1):
        index = [(i + k) % n if closed else min(max(i + k, 0), n - 1) for k in (-1, 0, 1, 2)]
        for t in np.arange(steps) / steps:
            row = np.zeros(n)
            weights = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3)
            for j, weight in zip(index, weights):
                row[j] += 0.5 * weight
            rows.append(row)
    if not closed:
        rows.append(np.eye(n)[-1])
    return np.array(rows)


def smooth(points, closed=False, steps=5) -> np.ndarray:
    """A curve through `points` (n, 2), `steps` points per stretch."""
    points = np.asarray(points, dtype=float)
    return _spline(len(points), steps, closed) @ points
