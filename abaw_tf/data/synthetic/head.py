"""The head without its expression: ears, skin under a light, hair, hats."""

from functools import lru_cache

import cv2
import numpy as np

from abaw_tf.data.synthetic.geometry import depth, smooth
from abaw_tf.data.synthetic.ink import blend, disc, fill, shade, stroke, window

_TEXTURE = 160  # pixels of the square shading texture, which spans [-1.6, 1.6] face units


@lru_cache(maxsize=16)
def _light_texture(light: tuple, ambient: float, colour: tuple) -> np.ndarray:
    """Skin of a `colour` on a head-shaped ellipsoid under a light, (160, 160, 3) uint8."""
    x, y = np.meshgrid(*[np.linspace(-1.6, 1.6, _TEXTURE)] * 2)
    z = np.sqrt(np.maximum(0.03, 1 - (x / 1.12) ** 2 - (y / 1.55) ** 2))
    normal = np.stack([x / 1.12**2, y / 1.55**2, z], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    lit = ambient + (1 - ambient) * 1.25 * np.maximum(0, normal @ (np.asarray(light) / np.linalg.norm(light)))
    lit = cv2.GaussianBlur(np.clip(lit, 0.35, 1.2), (0, 0), 4)
    return np.clip(lit[..., None] * np.array(colour), 0, 255).astype(np.uint8)


def arc(x_radius, y_radius, y, start=180, stop=360, n=9) -> np.ndarray:
    angle = np.deg2rad(np.linspace(start, stop, n))
    return np.column_stack([x_radius * np.cos(angle), y + y_radius * np.sin(angle)])


def back_hair(canvas, pose, who) -> None:
    """The hair that falls behind the head."""
    if who.haircut == "long":
        fall = [(1.3, 0.6), (1.25, 1.6), (0.9, 1.9), (-0.9, 1.9), (-1.25, 1.6), (-1.3, 0.6)]
        points = np.concatenate([arc(1.22, 1.25, -0.25), fall])
    elif who.haircut == "bob":
        fall = [(1.34, 0.5), (1.2, 1.0), (0.7, 1.1), (-0.7, 1.1), (-1.2, 1.0), (-1.34, 0.5)]
        points = np.concatenate([arc(1.25, 1.2, -0.25), fall])
    elif who.haircut == "bun" and not who.hat:
        points = arc(0.5, 0.45, -1.5, 0, 340, 12)
    elif who.haircut == "curly":
        for point in pose.rim(np.concatenate([arc(1.18, 1.1, -0.3, 165, 375, 15), arc(1.0, 0.95, -0.4, 180, 360, 9)])):
            disc(canvas, point, 0.3 * pose.scale, shade(who.hair, 0.9))
        return
    else:
        return
    fill(canvas, smooth(pose.rim(points), closed=True), shade(who.hair, 0.8))


_HAIRLINES = {
    "short": [(0.85, -0.12), (0.84, -0.5), (0.62, -0.82), (0, -0.86), (-0.62, -0.82), (-0.84, -0.5), (-0.85, -0.12)],
    "side": [(0.85, -0.12), (0.84, -0.5), (0.75, -0.72), (0.1, -0.72), (-0.45, -0.95), (-0.84, -0.5), (-0.85, -0.12)],
    "long": [(1.0, 0.3), (0.86, -0.45), (0.1, -1.0), (-0.86, -0.45), (-1.0, 0.3)],
    "bob": [(1.02, 0.4), (0.9, -0.45), (0.5, -0.68), (-0.5, -0.68), (-0.9, -0.45), (-1.02, 0.4)],
    "curly": [(0.86, -0.12), (0.86, -0.4), (0.6, -0.75), (0, -0.8), (-0.6, -0.75), (-0.86, -0.4), (-0.86, -0.12)],
    "receding": [
        (0.86, -0.12),
        (0.86, -0.4),
        (0.8, -0.85),
        (0.3, -1.12),
        (-0.3, -1.12),
        (-0.8, -0.85),
        (-0.86, -0.4),
        (-0.86, -0.12),
    ],
    "bun": [(0.86, -0.12), (0.86, -0.4), (0.75, -0.75), (0, -0.98), (-0.75, -0.75), (-0.86, -0.4), (-0.86, -0.12)],
}


def front_hair(canvas, pose, who) -> None:
    """The hair above the forehead, or the hat that hides it."""
    x = np.linspace(-1.0, 1.0, 7)
    if who.hat:
        edge = [(0.8, -0.62), (0, -0.68), (-0.8, -0.62)]
        dome = arc(1.13, 1.2, -0.5) if who.hat == "beanie" else arc(1.1, 1.0, -0.55)
        fill(canvas, smooth(pose.rim(np.concatenate([dome, edge])), True), who.clothes)
        reach, width, taper = (0.4, 0.24, 0.0) if who.hat == "beanie" else (0.85, 0.17, 0.6)
        brim = np.column_stack(
            [x * (1.12 if who.hat == "beanie" else 0.95), -0.64 - 0.04 * (1 - x**2), reach * (1 - x**4)]
        )
        stroke(canvas, smooth(pose(brim)), shade(who.clothes, 0.7), width * pose.scale, taper)
        return
    if who.haircut == "bald":
        return
    front = np.array(_HAIRLINES[who.haircut])
    line = pose(np.column_stack([front, 0.7 * depth(front[:, 0], front[:, 1])]))
    crown = pose.rim(arc(1.1, 1.17, -0.2, 178, 362))
    fill(canvas, smooth(np.concatenate([crown, line]), True), who.hair)
    for start, stop in ((215, 300), (240, 330)):
        strand = smooth(pose.rim(arc(0.85, 0.98, -0.2, start, stop, 6)))
        stroke(canvas, strand, shade(who.hair, 1.3), 0.045 * pose.scale, 1)


def skin(canvas, pose, who, marks) -> None:
    """Ears and the lit skin; `marks` are the landmarks (68, 3) in face units."""
    for side in (-1, 1):
        ear = np.array([(1.0, -0.2), (1.14, -0.24), (1.17, 0.02), (1.07, 0.22), (0.98, 0.15)]) * (side, 1)
        points = pose(np.column_stack([ear, np.full(5, -0.25)]))
        fill(canvas, smooth(points, True), shade(who.skin, 0.88))
        stroke(
            canvas,
            smooth(pose(np.column_stack([ear[1:4] * 0.97, np.full(3, -0.25)]))),
            shade(who.skin, 0.7),
            0.03 * pose.scale,
            1,
        )
        if who.earrings:
            disc(canvas, points[3] + (0, 0.06 * pose.scale), 0.05 * pose.scale, (224, 196, 110))
    forehead = arc(np.abs(marks[[0, 16], 0]).mean(), 1.02, marks[0, 1], 345, 195, 9)
    outline = smooth(np.concatenate([pose(marks[:17]), pose.rim(forehead)]), True, 3)
    corners = window(canvas, outline)
    if corners is None:
        return
    low, high = corners
    mask = np.zeros(tuple((high - low)[::-1]), np.uint8)
    fill(mask, outline - low, 255)
    # The shading moves with the head but does not turn with it: the light stays where it is.
    target = np.array([(-1.6, -1.6), (1.6, -1.6), (-1.6, 1.6)]) * pose.scale + pose.origin - low
    source = np.float32([(0, 0), (_TEXTURE - 1, 0), (0, _TEXTURE - 1)])
    matrix = cv2.getAffineTransform(source, np.float32(target))
    texture = _light_texture(tuple(float(v) for v in who.light), who.ambient, tuple(who.skin))
    blend(canvas, cv2.warpAffine(texture, matrix, mask.shape[::-1], borderMode=cv2.BORDER_REPLICATE), mask, low)
