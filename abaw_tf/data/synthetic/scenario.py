"""What happens in a synthetic video: expressions in turn, valence and arousal drifting with them, and what gets labelled.

Everything is planned on a regular clock of `CLOCK` ticks per second and sampled wherever it is needed: at the frames of a video
of any frame rate, at its words, along its sound.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import gaussian_filter1d

CLOCK = 50
# Share of the labelled time of each class, as unequal as in Aff-Wild2 (Disgust and Fear a little less rare than there, so that
# a few minutes of film hold several of each).
SHARES = {
    "Neutral": 0.40, "Happiness": 0.17, "Sadness": 0.13, "Surprise": 0.09,
    "Anger": 0.09, "Fear": 0.06, "Disgust": 0.06, "Other": 0.08,
}  # fmt: skip
# Where the classes lie in the plane of valence and arousal.
CENTRES = {
    "Neutral": (0.05, -0.05), "Anger": (-0.55, 0.55), "Disgust": (-0.6, 0.2), "Fear": (-0.45, 0.75),
    "Happiness": (0.7, 0.4), "Sadness": (-0.6, -0.4), "Surprise": (0.2, 0.75), "Other": (-0.1, 0.1),
}  # fmt: skip
MODALITIES = ("face", "voice", "words", "posture", "scene")
# How much each modality distorts valence and arousal: spread of its gain and offset between people, and of its slow error.
DISTORTION = {
    "face": (0.15, 0.08, 0.15),
    "voice": (0.20, 0.12, 0.25),
    "words": (0.20, 0.12, 0.25),
    "posture": (0.25, 0.12, 0.25),
    "scene": (0.30, 0.15, 0.30),
}


@dataclass(frozen=True)
class Segment:
    """A stretch of one expression, in seconds; `shown` is how strongly the face shows it, 0-1."""

    name: str
    start: float
    stop: float
    intensity: float
    shown: float
    variant: float  # in [0, 1): which prototype of the class


@dataclass
class Performance:
    """What one person does in one video, on the clock."""

    classes: tuple
    segments: list[Segment]
    valence: np.ndarray  # (n,) true
    arousal: np.ndarray
    seen: dict = field(default_factory=dict)  # modality -> (n, 2) valence and arousal as it shows them

    def class_at(self, times) -> np.ndarray:
        """Index of the expression at each of `times`."""
        starts = np.array([s.start for s in self.segments])
        names = np.array([self.classes.index(s.name) for s in self.segments])
        return names[np.clip(np.searchsorted(starts, times, side="right") - 1, 0, None)]

    def at(self, values, times) -> np.ndarray:
        """Sample `values` (n,) or (n, k), given on the clock, at `times`."""
        values = np.asarray(values)
        position = np.clip(np.asarray(times) * CLOCK, 0, len(values) - 1)
        low = np.minimum(position.astype(int), len(values) - 2)
        weight = (position - low).reshape(-1, *[1] * (values.ndim - 1))
        return values[low] * (1 - weight) + values[low + 1] * weight


def wander(rng, n, spread, seconds, columns=None) -> np.ndarray:
    """Smooth noise of standard deviation `spread` that changes within about `seconds`, on the clock."""
    sigma = seconds * CLOCK
    raw = rng.normal(size=(n + int(6 * sigma), *(() if columns is None else (columns,))))
    filtered = gaussian_filter1d(raw, sigma, axis=0, mode="wrap")[:n]
    # A white noise filtered with a Gaussian keeps 1 / sqrt(2 sigma sqrt(pi)) of its deviation.
    return spread * filtered * np.sqrt(2 * sigma * np.sqrt(np.pi))


def deal_segments(rng, classes, durations) -> list[list[Segment]]:
    """Plan the expressions of several videos together, so that every class occurs among them.

    Parameters
    ----------
    classes : sequence of str
        ``classes[0]`` is Neutral, which fills what the others leave.
    durations : sequence of float
        Length of each video in seconds.

    Returns
    -------
    list of list of Segment
        One list per video, without gaps, from 0 to its end.
    """
    total, free = float(sum(durations)), np.array(durations, dtype=float) * 0.72
    wanted = []
    for name in classes[1:]:
        budget = SHARES[name] * total
        count = max(1, round(budget / (1.3 if SHARES[name] > 0.1 else 0.95)))
        length = max(budget / count, min(0.6, 0.6 * total / len(classes)))
        wanted += [(name, length * rng.uniform(0.8, 1.2)) for _ in range(count)]
    # The rare ones choose first, each a video that has room and does not have the class yet.
    wanted.sort(key=lambda item: SHARES[item[0]])
    chosen = [[] for _ in durations]
    for name, length in wanted:
        repeated = np.array([sum(n == name for n, _ in have) for have in chosen])
        index = int(np.argmax(free - 2.0 * repeated + rng.uniform(0, 0.8, len(free))))
        length = min(length, max(free[index], 0.25 * durations[index] / len(classes)))
        free[index] -= length
        chosen[index].append((name, length))
    return [_lay_out(rng, classes[0], have, duration) for have, duration in zip(chosen, durations)]


def _lay_out(rng, neutral, chosen, duration) -> list[Segment]:
    order = [chosen[i] for i in rng.permutation(len(chosen))]
    rest = max(0.0, duration - sum(length for _, length in order))
    gaps = rest * rng.dirichlet(np.full(len(order) + 1, 1.5))
    segments, now = [], 0.0
    for (name, length), gap in zip([*order, (None, 0.0)], gaps):
        if gap > 0.15:
            segments.append(Segment(neutral, now, now + gap, 1.0, 1.0, rng.random()))
            now += gap
        if name:
            intensity = rng.uniform(0.6, 1.0)
            # Now and then a face hides what its owner feels.
            shown = intensity * (rng.uniform(0.3, 0.5) if rng.random() < 0.12 else rng.uniform(0.8, 1.15))
            segments.append(Segment(name, now, now + length, intensity, min(shown, 1.0), rng.random()))
            now += length
    last = segments[-1]
    segments[-1] = Segment(last.name, last.start, duration, last.intensity, last.shown, last.variant)
    return segments


def perform(rng, classes, segments, duration) -> Performance:
    """Valence and arousal that go with the `segments`, and each modality's own view of them."""
    n = int(np.ceil(duration * CLOCK)) + CLOCK
    clock = np.arange(n) / CLOCK
    target = np.zeros((n, 2))
    for segment in segments:
        inside = (clock >= segment.start) & ((clock < segment.stop) | (segment is segments[-1]))
        target[inside] = np.array(CENTRES[segment.name]) * segment.intensity
    drift = wander(rng, n, 0.2, 1.4, 2)
    true = np.clip(gaussian_filter1d(target, 0.3 * CLOCK, axis=0, mode="nearest") + drift, -0.98, 0.98)
    performance = Performance(tuple(classes), segments, true[:, 0], true[:, 1])
    for modality in MODALITIES:
        gain, offset, error = DISTORTION[modality]
        view = true * rng.normal(1, gain, 2) + rng.normal(0, offset, 2) + wander(rng, n, error, 0.9, 2)
        performance.seen[modality] = np.clip(view, -1, 1)
    return performance


def annotate(rng, performance, times) -> tuple[np.ndarray, np.ndarray]:
    """Labels by an imperfect annotator: expression (n,) int64 and valence and arousal (n, 2), for frames at `times`.

    The annotator notices changes of expression some 0.05 s late and traces valence and arousal with a small slow error.
    """
    late = np.clip(np.asarray(times) - np.abs(rng.normal(0, 0.05)), 0, None)
    expression = performance.class_at(late)
    traced = np.stack([performance.valence, performance.arousal], 1)
    traced = traced + wander(rng, len(traced), 0.05, 0.7, 2)
    return expression.astype(np.int64), np.clip(performance.at(traced, late), -1, 1)


def choose_stretch(rng, expression, length, counts) -> slice:
    """A stretch of `length` frames to lose, chosen where the classes are common so that no rare one vanishes with it.

    `counts` is the number of frames of each class in the whole split; it is reduced by what is lost.
    """
    length = min(length, len(expression) // 3)
    starts = rng.integers(0, len(expression) - length + 1, 24)

    def cost(start):
        lost = np.bincount(expression[start : start + length], minlength=len(counts))
        return np.max(lost / np.maximum(counts, 1))

    start = int(min(starts, key=cost))
    counts -= np.bincount(expression[start : start + length], minlength=len(counts))
    return slice(start, start + length)
