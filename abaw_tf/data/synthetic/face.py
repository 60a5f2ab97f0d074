"""Drawing one head from its action units."""

import numpy as np

from abaw_tf.data.synthetic import features, head
from abaw_tf.data.synthetic.geometry import deform, smooth
from abaw_tf.data.synthetic.ink import Pose, disc, fill, mix, shade, stroke
from abaw_tf.data.synthetic.subject import Subject
from abaw_tf.data.synthetic.wrinkles import draw_lines


def draw_head(canvas, who: Subject, pose: Pose, units, skew=0.0, gaze=(0.0, 0.0)) -> np.ndarray:
    """Draw the head of `who` into `canvas` (RGB, uint8) and return its landmarks (68, 3) in face units.

    Parameters
    ----------
    units : array (17,)
        Action units in the order of `geometry.ACTION_UNITS`, 0-1.
    skew : float
        See `geometry.deform`.
    gaze : (float, float)
        Direction of the eyes, right and down, in [-1, 1].
    """
    marks = deform(units, skew, who.shape)
    head.skin(canvas, pose, who, marks)
    _beard(canvas, pose, who, marks)
    draw_lines(canvas, pose, who, marks, units)
    for side in (0, 1):
        features.eye(canvas, pose, who, marks, side, gaze, units)
    features.nose(canvas, pose, who, marks)
    features.mouth(canvas, pose, who, marks, units)
    if not who.hat:
        head.front_hair(canvas, pose, who)
    for side in (0, 1):
        features.brow(canvas, pose, who, marks, side)
    if who.hat:
        head.front_hair(canvas, pose, who)
    _glasses(canvas, pose, who)
    return marks


def _beard(canvas, pose, who, marks) -> None:
    if not who.beard:
        return
    colour = mix(who.skin, who.hair, 0.3 if who.beard == "stubble" else 0.85)
    mouth = marks[48:60, :2]
    if who.beard != "moustache":
        jaw = marks[2:15]
        cheeks = [(0.72, 0.5), (0.5, 0.62), (0.42, mouth[:, 1].min() - 0.06), (0, mouth[:, 1].min() - 0.1)]
        inner = np.array(cheeks + [(-x, y) for x, y in cheeks[-2::-1]])
        fill(canvas, smooth(np.concatenate([pose(jaw), pose(inner)]), True), colour)
    if who.beard != "stubble":
        upper = marks[48:55, :2] + (0, -0.05)
        stroke(canvas, smooth(pose(upper)), shade(who.hair, 0.95), 0.11 * pose.scale, 0.6)


def _glasses(canvas, pose, who) -> None:
    if not who.glasses:
        return
    frame, width = (36, 34, 40), 0.045 * pose.scale
    for side in (-1, 1):
        if who.glasses == "round":
            angle = np.linspace(0, 2 * np.pi, 15)[:-1]
            rim = np.column_stack([side * 0.43 + 0.30 * np.cos(angle), -0.12 + 0.28 * np.sin(angle)])
        else:
            rim = np.array(
                [(-0.3, -0.24), (0, -0.26), (0.3, -0.24), (0.33, 0), (0.27, 0.22), (0, 0.25), (-0.27, 0.22), (-0.31, 0)]
            )
            rim = rim * (side, 1) + (side * 0.43, -0.12)
        curve = smooth(pose(np.column_stack([rim, np.full(len(rim), 0.5)])), True)
        stroke(canvas, np.concatenate([curve, curve[:2]]), frame, width)
        arm = [(side * 0.74, -0.16, 0.45), (side * 1.04, -0.16, -0.2)]
        stroke(canvas, pose(arm), frame, width)
    stroke(canvas, smooth(pose([(-0.13, -0.14, 0.52), (0, -0.18, 0.56), (0.13, -0.14, 0.52)])), frame, width)


def draw_hand(canvas, who: Subject, centre, size, angle) -> None:
    """A hand held up before the face; `size` in pixels, `angle` in radians."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    colour, ink = shade(who.skin, 0.93), shade(who.skin, 0.68)
    palm = np.array(
        [(-0.42, 0.5), (-0.45, -0.1), (-0.25, -0.25), (0.25, -0.25), (0.45, -0.05), (0.4, 0.5), (0.3, 1.2), (-0.3, 1.2)]
    )
    for x, length in ((-0.36, 0.75), (-0.12, 0.95), (0.12, 0.9), (0.35, 0.7)):
        finger = np.array([(x, -0.1), (x * 1.12, -0.1 - length)]) @ turn.T * size + centre
        stroke(canvas, finger, ink, 0.27 * size)
        stroke(canvas, finger, colour, 0.22 * size)
        disc(canvas, finger[1], 0.11 * size, colour)
    thumb = np.array([(0.4, 0.25), (0.75, -0.15)]) @ turn.T * size + centre
    stroke(canvas, thumb, colour, 0.24 * size)
    disc(canvas, thumb[1], 0.12 * size, colour)
    fill(canvas, smooth(palm @ turn.T * size + centre, True), colour)
