"""One picture of a synthetic video: the room, the people in it, the camera."""

from dataclasses import dataclass

import cv2
import numpy as np

from abaw_tf.data.synthetic.body import draw_arms, draw_body, joints
from abaw_tf.data.synthetic.face import draw_hand, draw_head
from abaw_tf.data.synthetic.head import back_hair
from abaw_tf.data.synthetic.ink import Pose, fill, shade

OVERSAMPLING = 2  # everything is drawn this much larger and then reduced
_NOISE_TILES = 6


@dataclass
class Actor:
    """A person in the picture: who, how they move, and where they sit (face's middle, in pixels of the finished picture)."""

    who: object
    motion: object
    seat: np.ndarray
    scale: float  # pixels of the finished picture per face unit

    def pose(self, row, factor=1.0) -> Pose:
        """The head's pose in frame `row`, in pixels `factor` times as small as those of the finished picture."""
        motion = self.motion
        scale = self.scale * (1 + motion.sway[row, 2])
        drop = np.array([0.0, 0.55 * motion.slump[row]])
        x, y = self.seat + (motion.sway[row, :2] + drop) * scale
        return Pose(*motion.head[row], scale * factor, x * factor, y * factor)

    def joints(self, row, factor=1.0) -> dict:
        """Joints of the body in frame `row`; `factor` as for `pose`."""
        return joints(self.motion, row, self.scale * factor, self.seat * factor)


class Stage:
    """The room and the camera of one video."""

    def __init__(self, rng, width, height, actors):
        self.width, self.height, self.actors = width, height, actors
        room = _room(rng, width, height)
        grey = cv2.cvtColor(cv2.cvtColor(room, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        self._room, self._grey = room, grey
        who = actors[0].who
        self._light = who.gain * who.tint
        self._blur = who.blur
        self._noise = rng.normal(0, who.noise, (_NOISE_TILES, height, width, 1)).astype(np.int16)
        self._noise = self._noise + rng.normal(0, 0.5 * who.noise, (_NOISE_TILES, height, width, 3)).astype(np.int16)
        self._order = rng.integers(0, _NOISE_TILES, 4096)

    def picture(self, row) -> tuple[np.ndarray, list[np.ndarray]]:
        """Frame `row`: RGB uint8 (height, width, 3), and each actor's facial landmarks (68, 3) in face units."""
        canvas = self._backdrop(*np.mean([actor.motion.scene[row] for actor in self.actors], axis=0))
        marks = []
        for actor in self.actors:
            pose, found = actor.pose(row, OVERSAMPLING), actor.joints(row, OVERSAMPLING)
            motion, scale = actor.motion, actor.scale * OVERSAMPLING
            back_hair(canvas, pose, actor.who)
            draw_body(canvas, actor.who, found, scale)
            marks.append(
                draw_head(canvas, actor.who, pose, motion.units[row], float(motion.skew[row]), motion.gaze[row])
            )
            draw_arms(canvas, actor.who, found, scale)
            if motion.covered[row]:
                draw_hand(canvas, actor.who, np.add(pose.origin, (0.1 * scale, 0.15 * scale)), 0.95 * scale, 0.25)
        frame = cv2.resize(canvas, (self.width, self.height), interpolation=cv2.INTER_AREA)
        frame = cv2.multiply(frame, (*self._light, 0.0))
        if self._blur > 0.3:
            frame = cv2.GaussianBlur(frame, (0, 0), self._blur)
        frame = np.clip(frame + self._noise[self._order[row % len(self._order)]], 0, 255).astype(np.uint8)
        return frame, marks

    def _backdrop(self, valence, arousal) -> np.ndarray:
        """The room: warmer and brighter with valence, more colourful and pinker with arousal."""
        vivid = 0.85 + 0.6 * arousal
        room = cv2.addWeighted(self._room, vivid, self._grey, 1 - vivid, 0)
        mood = (1 + 0.20 * valence) * np.array(
            [1 + 0.13 * valence + 0.05 * arousal, 1 - 0.13 * arousal, 1 - 0.15 * valence + 0.05 * arousal]
        )
        room = cv2.multiply(room, (*mood, 0.0))
        size = (self.width * OVERSAMPLING, self.height * OVERSAMPLING)
        return cv2.resize(room, size, interpolation=cv2.INTER_LINEAR)


def _room(rng, width, height) -> np.ndarray:
    """A wall with a window, a shelf or pictures on it, out of focus."""
    wall = np.array(
        [(168, 158, 142), (140, 152, 160), (160, 150, 160), (150, 160, 146), (178, 166, 150)][rng.integers(5)], float
    )
    fall = (
        np.linspace(1.12, 0.82, height)[:, None, None]
        * np.linspace(*rng.permutation([0.92, 1.08]), width)[None, :, None]
    )
    room = np.clip(wall * fall, 0, 255).astype(np.uint8)

    def box(x0, y0, x1, y1, colour):
        fill(room, np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]) * (width, height), colour)

    if rng.random() < 0.5:
        x = rng.choice((0.02, 0.72)) + rng.uniform(-0.02, 0.04)
        box(x, 0.05, x + 0.26, 0.62, (236, 232, 222))
        for i in range(2):
            for j in range(2):
                left, top = x + 0.015 + 0.12 * i, 0.08 + 0.27 * j
                box(left, top, left + 0.11, top + 0.24, (176, 208, 232))
    else:
        x = rng.choice((0.0, 0.70)) + rng.uniform(0, 0.03)
        for level in (0.18, 0.44, 0.70):
            box(x, level, x + 0.30, level + 0.025, (104, 78, 56))
            at = x + 0.01
            while at < x + 0.26:
                thick, tall = rng.uniform(0.018, 0.04), rng.uniform(0.11, 0.2)
                box(at, level - tall, at + thick, level, tuple(float(c) for c in rng.integers(50, 210, 3)))
                at += thick + rng.choice((0.003, 0.003, 0.03))
    x, y = rng.uniform(0.36, 0.5), rng.uniform(0.02, 0.08)
    box(x, y, x + 0.18, y + 0.16, shade(tuple(wall), 0.6))
    box(x + 0.012, y + 0.02, x + 0.168, y + 0.14, tuple(float(c) for c in rng.integers(110, 220, 3)))
    return cv2.GaussianBlur(room, (0, 0), 2.5)
