"""From a performance to movement: action units, head pose, gaze, posture and gestures for every frame."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from abaw_tf.data.synthetic.expressions import SKEW, shades, variants
from abaw_tf.data.synthetic.geometry import ACTION_UNITS
from abaw_tf.data.synthetic.scenario import CLOCK, Performance, wander
from abaw_tf.data.synthetic.subject import Subject


@dataclass
class Motion:
    """One row per frame."""

    units: np.ndarray  # (n, 17) action units, 0-1
    skew: np.ndarray  # (n,)
    head: np.ndarray  # (n, 3) yaw, pitch, roll in radians
    gaze: np.ndarray  # (n, 2) right, down in [-1, 1]
    sway: np.ndarray  # (n, 3) head position in face units and relative size
    shoulders: np.ndarray  # (n,) how far the shoulders are raised, in face units
    openness: np.ndarray  # (n,) how far they are spread, in face units
    slump: np.ndarray  # (n,) how far the upper body sinks, in face units
    hands: np.ndarray  # (n, 2) how high the left and right hand of the picture are raised, 0-1
    covered: np.ndarray  # (n,) bool: a hand is before the face
    scene: np.ndarray  # (n, 2) valence and arousal as the surroundings show them
    talking: np.ndarray  # (n,) 0-1


def move(rng, who: Subject, performance: Performance, speech, times, covered) -> Motion:
    """Move `who` through a performance.

    Parameters
    ----------
    speech : array (n,)
        How far the mouth is opened by speaking, on the scenario's clock.
    times : array (m,)
        Frame times in seconds.
    covered : array (m,) of bool
        Frames in which a hand hides the face.
    """
    n = len(performance.valence)
    seen = performance.seen
    units, skew = _units(rng, who, performance, speech)
    head = wander(rng, n, 1.0, 0.8, 3) * (0.13, 0.07, 0.06) + rng.normal(0, (0.14, 0.06, 0.05), 3)
    head[:, 1] += 0.12 * np.maximum(0, -seen["face"][:, 0]) * (seen["face"][:, 1] < 0.1) - 0.05 * seen["face"][:, 1]
    head[:, 1] = gaussian_filter1d(head[:, 1], 0.1 * CLOCK)
    gaze = np.clip(np.add(wander(rng, n, 0.35, 0.25, 2), (0, 0.12)), -1, 1)
    sway = wander(rng, n, 1.0, 1.0, 3) * (0.10, 0.05, 0.025)
    posture = seen["posture"]
    low = np.clip(-posture[:, 0] - 0.4 * posture[:, 1], 0, 1)
    lively = np.clip(posture[:, 1], 0, 1)
    shoulders = 0.34 * posture[:, 1] + wander(rng, n, 0.04, 0.7)
    openness = 0.30 * posture[:, 0] + wander(rng, n, 0.03, 0.9)
    slump = 0.24 * low - 0.12 * np.clip(posture[:, 0], 0, 1) + wander(rng, n, 0.03, 0.9)
    beat = np.abs(wander(rng, n, 0.5, 0.22, 2))
    hands = np.clip(1.5 * (lively[:, None] - 0.25) * (0.5 + beat) + wander(rng, n, 0.12, 0.4, 2), 0, 1)
    hands = gaussian_filter1d(hands, 0.12 * CLOCK, axis=0)
    scene = gaussian_filter1d(seen["scene"], 0.4 * CLOCK, axis=0)
    at = performance.at
    return Motion(
        units=at(units, times), skew=at(skew, times), head=at(head, times), gaze=at(gaze, times), sway=at(sway, times),
        shoulders=at(shoulders, times), openness=at(openness, times), slump=at(slump, times), hands=at(hands, times),
        covered=np.asarray(covered), scene=at(scene, times), talking=at(speech, times),
    )  # fmt: skip


def _units(rng, who, performance, speech) -> tuple[np.ndarray, np.ndarray]:
    n = len(performance.valence)
    clock = np.arange(n) / CLOCK
    units, skew = np.zeros((n, len(ACTION_UNITS))), np.zeros(n)
    for segment in performance.segments:
        inside = (clock >= segment.start) & ((clock < segment.stop) | (segment is performance.segments[-1]))
        kinds = variants(segment.name)
        kind = kinds[int(segment.variant * len(kinds))] * rng.normal(1, 0.12, len(ACTION_UNITS))
        units[inside] = kind * segment.shown
        skew[inside] = SKEW.get(segment.name, 0.0) * rng.choice((-1, 1))
    units = gaussian_filter1d(units, 0.1 * CLOCK, axis=0, mode="nearest")
    skew = gaussian_filter1d(skew, 0.1 * CLOCK, mode="nearest")
    emotional = np.clip(units.sum(1) / 2.5, 0, 1)
    units += shades(*performance.seen["face"].T)
    units += who.resting * (1 - 0.6 * emotional)[:, None]
    units = units * who.gains + wander(rng, n, 0.05, 0.3, len(ACTION_UNITS))
    for name, share in (("AU25", 0.55), ("AU26", 0.28)):
        index = ACTION_UNITS.index(name)
        units[:, index] += share * speech * (1 - 0.5 * np.clip(units[:, index], 0, 1))
    blink = np.zeros(n)
    for start in np.cumsum(rng.exponential(3.0, int(n / CLOCK) + 2)):
        blink[int(start * CLOCK) : int(start * CLOCK) + 8] = 1.0
    lids = ACTION_UNITS.index("AU45")
    units[:, lids] = np.maximum(np.minimum(units[:, lids], 0.55), gaussian_filter1d(blink, 1.5))
    return np.clip(units, 0, 1), skew
