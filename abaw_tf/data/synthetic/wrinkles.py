"""The lines that an expression draws on the skin: wrinkles, folds, dimples, and blushing cheeks."""

import numpy as np

from abaw_tf.data.synthetic.geometry import ACTION_UNITS, smooth
from abaw_tf.data.synthetic.ink import THINNEST, blush, mix, shade, strokes

# Below this intensity an action unit draws no line.
_ONSET = 0.12


def draw_lines(canvas, pose, who, marks, units) -> None:
    """Draw what the action units `units` (17,) leave on the skin; `marks` are the landmarks (68, 3) in face units."""
    deep = 0.55 + 0.45 * who.wrinkles
    u = dict(zip(ACTION_UNITS, np.maximum(0.0, units - _ONSET) / (1 - _ONSET) * deep))
    fine = _Lines()
    raised = max(u["AU01"], u["AU02"]) * (1 - 0.4 * u["AU04"])
    half = 0.55 if u["AU02"] > 0.35 else 0.3
    for row, y in enumerate((-0.66, -0.75, -0.83)):
        y -= 0.08 * raised
        fine.add([(-half, y), (0, y - 0.03), (half, y)], 0.04 * raised * (1 - 0.15 * row))
    chin = marks[8, 1] - 0.2
    fine.add([(-0.2, chin + 0.02), (0, chin - 0.03), (0.2, chin + 0.02)], 0.05 * max(0.3, u["AU17"]))
    for x, y in ((-0.12, 0.1), (0.0, 0.12), (0.12, 0.1)):
        fine.add([(x, chin + 0.05), (x + 0.01, chin + 0.5 * (0.05 + y)), (x + 0.02, chin + y)], 0.04 * u["AU17"])

    bold = _Lines()
    frown = max(u["AU04"], 0.8 * u["AU09"])
    fold = max(u["AU12"], u["AU10"], 0.9 * u["AU09"], 0.5 * u["AU20"], 0.35 * u["AU15"])
    for side, corner, wing, outer in ((-1, 48, 31, 36), (1, 54, 35, 45)):
        away = np.array([side, 1.0])
        corner, wing, outer = marks[corner, :2], marks[wing, :2], marks[outer, :2]
        bold.add(np.array([(0.075, -0.58), (0.09, -0.45), (0.065, -0.30)]) * away, 0.055 * frown)
        for k in (0, 1, 2):
            crow = np.array([(0.06, -0.04 + 0.05 * k), (0.15, -0.07 + 0.08 * k), (0.22, -0.10 + 0.11 * k)])
            fine.add(outer + crow * away, 0.035 * u["AU06"])
            top = -0.13 + 0.09 * k
            bold.add(np.array([(0.02, top - 0.03), (0.1, top), (0.2, top + 0.07)]) * away, 0.045 * u["AU09"])
        middle = (wing + corner) / 2 + away * (0.16 + 0.08 * u["AU12"], -0.02)
        bold.add([wing + away * (0.06, -0.08), middle, corner + away * (0.12, 0.04)], 0.055 * fold)
        bold.add(corner + np.array([(0.03, 0.03), (0.07, 0.12), (0.05, 0.2)]) * away, 0.045 * u["AU15"])
        dimple = max(u["AU14"], 0.5 * u["AU12"])
        bold.add(corner + np.array([(0.06, -0.09), (0.10, 0.0), (0.06, 0.09)]) * away, 0.045 * dimple)
        cheek = pose([(side * 0.6, 0.28)])[0]
        blush(canvas, cheek, 0.33 * pose.scale, mix(who.skin, (226, 84, 84), 0.6), 0.12 + 0.4 * u["AU06"])
    fine.draw(canvas, pose, shade(who.skin, 0.72))
    bold.draw(canvas, pose, shade(who.skin, 0.56))


class _Lines:
    """Lines through three points each, drawn together."""

    def __init__(self):
        self.points, self.widths = [], []

    def add(self, points, width) -> None:
        """`points` (3, 2) and `width` in face units."""
        self.points.append(points)
        self.widths.append(width)

    def draw(self, canvas, pose, colour) -> None:
        """Draw the lines that are wide enough to be seen."""
        widths = np.array(self.widths) * pose.scale
        seen = widths > THINNEST
        if seen.any():
            points = np.array(self.points)[seen]
            curves = smooth(pose(points.reshape(-1, 2)).reshape(-1, 3, 2).transpose(1, 0, 2).reshape(3, -1))
            curves = curves.reshape(len(curves), -1, 2).transpose(1, 0, 2)
            strokes(canvas, curves, colour, widths[seen], taper=1.0)
