"""What moves in a face: eyes, brows and mouth; and the nose between them."""

import numpy as np

from abaw_tf.data.synthetic.geometry import ACTION_UNITS, IRISES, smooth
from abaw_tf.data.synthetic.ink import blend, disc, fill, mix, shade, stroke, window

_UNIT = {name: i for i, name in enumerate(ACTION_UNITS)}


def eye(canvas, pose, who, marks, side, gaze, units) -> None:
    """One eye; `side` 0 is the left half of the picture, `gaze` (x, y) in [-1, 1]."""
    s, ink = pose.scale, mix(who.skin, (30, 16, 16), 0.8)
    outline = pose(marks[36 + 6 * side : 42 + 6 * side])
    closed = smooth(outline, True)
    fill(canvas, outline.mean(0) + (closed - outline.mean(0)) * (1.22, 1.5), shade(who.skin, 0.88))
    corners = window(canvas, closed)
    if corners is not None:
        low, high = corners
        mask = np.zeros(tuple((high - low)[::-1]), np.uint8)
        fill(mask, closed - low, 255)
        layer = np.full((*mask.shape, 3), (246, 244, 242), np.uint8)
        centre = pose([IRISES[side] + np.asarray(gaze) * (0.10, 0.06)])[0] - low
        disc(layer, centre, 0.125 * s, shade(who.eyes, 0.55))
        disc(layer, centre, 0.105 * s, who.eyes)
        disc(layer, centre, 0.055 * s, (14, 12, 14))
        disc(layer, centre + np.array([-0.04, -0.045]) * s, 0.028 * s, (255, 255, 255))
        blend(canvas, layer, mask, low)
    # The upper lid runs from the outer to the inner corner on the left and back on the right: the same four points.
    upper, lower = smooth(outline[[0, 1, 2, 3]]), smooth(outline[[3, 4, 5, 0]])
    stroke(canvas, lower, mix(who.skin, ink, 0.5), 0.028 * s)
    stroke(canvas, upper, ink, 0.065 * s, 0.35)
    stroke(canvas, upper - (0, 0.08 * s), shade(who.skin, 0.7), 0.025 * s * (1 - 0.7 * units[_UNIT["AU05"]]), 0.8)
    bag = max(units[_UNIT["AU06"]], 0.7 * units[_UNIT["AU07"]]) * (0.5 + 0.5 * who.wrinkles)
    stroke(canvas, np.add(lower, (0, 0.065 * s)), shade(who.skin, 0.74), 0.04 * s * bag, 0.8)


def brow(canvas, pose, who, marks, side) -> None:
    """One brow, thick at the inner end."""
    points = marks[17:22][::-1] if side == 0 else marks[22:27]
    line = smooth(pose(points))
    half = 0.5 * who.brow_width * pose.scale * np.linspace(1.3, 0.35, len(line))[:, None]
    colour = mix(who.hair, (60, 44, 36), 0.35) if sum(who.hair) > 330 else shade(who.hair, 0.85)
    fill(canvas, np.concatenate([line - half * (0, 1), (line + half * (0, 1))[::-1]]), colour)


def nose(canvas, pose, who, marks) -> None:
    """Ridge, wings and nostrils."""
    s, deep, points = pose.scale, shade(who.skin, 0.6), pose(marks[27:36])
    sign, wing = (-1, 31) if who.light[0] > 0 else (1, 35)
    side = [
        (0.07 * sign, marks[27, 1] + 0.05),
        (0.09 * sign, marks[28, 1] + 0.1),
        marks[wing, :2] + (-0.02 * sign, -0.08),
    ]
    stroke(canvas, smooth(pose(side)), shade(who.skin, 0.84), 0.06 * s, 0.9)
    stroke(canvas, smooth(points[1:4]), shade(who.skin, 1.07), 0.08 * s, 0.9)
    stroke(canvas, smooth(points[4:9]), shade(who.skin, 0.66), 0.045 * s, 0.6)
    for point, outwards in ((points[4], -1), (points[8], 1)):
        line = point + np.array([(0.0, 0.02), (0.07 * outwards, -0.04), (0.06 * outwards, -0.12)]) * s
        stroke(canvas, smooth(line), deep, 0.04 * s, 0.8)
    for index in (5, 7):
        disc(canvas, points[index], 0.035 * s, mix(who.skin, (30, 10, 10), 0.6))


def mouth(canvas, pose, who, marks, units) -> None:
    """Lips, teeth and tongue."""
    s, points = pose.scale, pose(marks[48:68])
    thick = 1.0 - 0.25 * units[_UNIT["AU23"]]
    upper = np.concatenate([smooth(points[:7], steps=4), smooth(points[[16, 15, 14, 13, 12]], steps=4)])
    lower = np.concatenate(
        [smooth(points[[6, 7, 8, 9, 10, 11, 0]], steps=4), smooth(points[[12, 19, 18, 17, 16]], steps=4)]
    )
    inner = np.concatenate([smooth(points[12:17], steps=4), smooth(points[[16, 17, 18, 19, 12]], steps=4)])
    fill(canvas, upper, shade(who.lips, 0.86 * thick))
    fill(canvas, lower, shade(who.lips, 1.02 * thick))
    gap = float(np.linalg.norm(points[14] - points[18])) / s
    corners = window(canvas, inner)
    if gap > 0.02 and corners is not None:
        low, high = corners
        mask = np.zeros(tuple((high - low)[::-1]), np.uint8)
        fill(mask, inner - low, 255)
        layer = np.full((*mask.shape, 3), (70, 16, 22), np.uint8)
        left, right = points[12] - low, points[16] - low
        bottom = points[18] - low
        if gap > 0.16:
            fill(
                layer,
                smooth(
                    [
                        left + (bottom - left) * 0.75,
                        bottom - (0, 0.07 * s),
                        right + (bottom - right) * 0.75,
                        np.add(bottom, (0, 0.1 * s)),
                    ],
                    True,
                ),
                (196, 84, 92),
            )
        # Teeth: an upper row that follows the upper lip, and a lower row when the lips are drawn apart over a closed jaw.
        shown = min(gap * 0.8, 0.10) * s
        row = smooth(points[12:17] - low, steps=4)
        fill(layer, np.concatenate([row - (0, 0.03 * s), np.add(row, (0, shown))[::-1]]), (248, 246, 238))
        if units[_UNIT["AU20"]] + units[_UNIT["AU10"]] > 0.6 and units[_UNIT["AU26"]] < 0.5:
            row = smooth((points[[12, 19, 18, 17, 16]]) - low, steps=4)
            fill(layer, np.concatenate([np.add(row, (0, 0.03 * s)), (row - (0, shown * 0.75))[::-1]]), (240, 236, 226))
        blend(canvas, layer, mask, low)
        stroke(canvas, smooth(points[12:17]), shade(who.lips, 0.5), 0.025 * s, 0.5)
    else:
        stroke(canvas, smooth(points[[12, 13, 14, 15, 16]]), shade(who.lips, 0.42), 0.045 * s, 0.5)
    for point in (points[0], points[6]):
        disc(canvas, point, 0.022 * s, shade(who.lips, 0.5))
    stroke(canvas, np.add(smooth(points[[11, 10, 9, 8, 7]]), (0, 0.05 * s)), shade(who.skin, 0.8), 0.05 * s, 0.9)
