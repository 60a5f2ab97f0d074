"""Drawing with sub-pixel polygons: the few strokes and colours from which faces and bodies are made."""

from functools import lru_cache

import cv2
import numpy as np

from abaw_tf.data.synthetic.geometry import depth, rotation

SHIFT = 4  # fractional bits of OpenCV's drawing coordinates
THINNEST = 0.3  # pixels; a thinner line would not be seen
_SIDEWAYS = np.array([-1.0, 1.0])


def fill(canvas, points, colour) -> None:
    """Fill the polygon `points` (n, 2), anti-aliased."""
    cv2.fillPoly(canvas, [np.round(points * 16).astype(np.int32)], colour, cv2.LINE_AA, SHIFT)


def stroke(canvas, points, colour, width, taper=0.0) -> None:
    """Draw a line along `points` (n, 2) of `width` pixels; `taper` in [0, 1] thins it towards both ends."""
    strokes(canvas, np.asarray(points, dtype=float)[None], colour, np.array([width]), taper)


def strokes(canvas, curves, colour, widths, taper=0.0) -> None:
    """Draw several lines of one colour at once: `curves` (k, n, 2) and `widths` (k,) in pixels."""
    along = np.empty_like(curves)
    along[:, 1:-1] = curves[:, 2:] - curves[:, :-2]
    along[:, 0], along[:, -1] = curves[:, 1] - curves[:, 0], curves[:, -1] - curves[:, -2]
    half = 0.5 * widths[:, None] / np.maximum(np.sqrt(along[..., 0] ** 2 + along[..., 1] ** 2), 1e-6)
    if taper:
        half *= 1 - taper * _squares(curves.shape[1])
    offset = along[..., ::-1] * half[..., None] * _SIDEWAYS
    outlines = np.round(np.concatenate([curves + offset, (curves - offset)[:, ::-1]], axis=1) * 16).astype(
        np.int32, order="C"
    )
    for outline in outlines:
        cv2.fillPoly(canvas, [outline], colour, cv2.LINE_AA, SHIFT)


@lru_cache(maxsize=64)
def _squares(n) -> np.ndarray:
    return np.linspace(-1, 1, n) ** 2


def shade(colour, factor) -> tuple:
    """A lighter (`factor` > 1) or darker colour."""
    return tuple(float(min(255.0, c * factor)) for c in colour)


def mix(a, b, weight) -> tuple:
    """Colour between `a` (weight 0) and `b` (weight 1)."""
    return tuple(float(x + (y - x) * weight) for x, y in zip(a, b))


class Pose:
    """Where a head is in the picture: rotation, scale (pixels per face unit) and the position of the face's origin."""

    def __init__(self, yaw, pitch, roll, scale, x, y):
        self.matrix, self.scale, self.origin = rotation(yaw, pitch, roll), scale, np.array([x, y])

    def __call__(self, points) -> np.ndarray:
        """Picture coordinates (n, 2) of face points (n, 3), or (n, 2) that lie on the head's front."""
        points = np.asarray(points, dtype=float)
        if points.shape[1] == 2:
            points = np.column_stack([points, depth(points[:, 0], points[:, 1])])
        return points @ self.matrix[:2].T * self.scale + self.origin

    def rim(self, points) -> np.ndarray:
        """Picture coordinates of points (n, 2) on the silhouette, which lies a little behind the cheekbones."""
        points = np.asarray(points, dtype=float)
        return self(np.column_stack([points, np.full(len(points), -0.12)]))


def disc(canvas, centre, radius, colour) -> None:
    """Fill a circle, anti-aliased; `centre` and `radius` in pixels."""
    if radius > 0.2:
        position = (round(float(centre[0]) * 16), round(float(centre[1]) * 16))
        cv2.circle(canvas, position, int(radius * 16), colour, -1, cv2.LINE_AA, SHIFT)


def blush(canvas, centre, radius, colour, strength) -> None:
    """Blend a soft round spot of `colour` into the picture; `strength` in [0, 1] at its centre."""
    (x, y), r = centre, int(radius)
    x0, y0, x1, y1 = (
        max(0, int(x) - r),
        max(0, int(y) - r),
        min(canvas.shape[1], int(x) + r),
        min(canvas.shape[0], int(y) + r),
    )
    if x1 <= x0 or y1 <= y0 or r < 2 or strength < 0.03:
        return
    yy, xx = np.ogrid[y0:y1, x0:x1]
    weight = strength * np.maximum(0, 1 - ((xx - x) ** 2 + (yy - y) ** 2) / r**2)[..., None]
    view = canvas[y0:y1, x0:x1]
    view[:] = (view + (np.array(colour) - view) * weight).astype(np.uint8)


def blend(canvas, layer, mask, corner) -> None:
    """Put `layer` (h, w, 3) on the picture at `corner` (x, y) where `mask` (h, w) says so (0-255)."""
    view = canvas[corner[1] : corner[1] + mask.shape[0], corner[0] : corner[0] + mask.shape[1]]
    weight = mask.astype(np.float32) * np.float32(1 / 255)
    view[:] = cv2.blendLinear(layer, np.ascontiguousarray(view), weight, 1 - weight)


def window(canvas, points) -> tuple:
    """Corners (low, high) of the part of the picture around `points` (n, 2); ``None`` when that is outside the picture."""
    low = np.maximum(np.floor(points.min(0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(points.max(0)).astype(int) + 3, canvas.shape[1::-1])
    return (low, high) if (high > low).all() else None
