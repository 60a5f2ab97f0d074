"""Which videos a synthetic Aff-Wild2 holds, and which of the real one's irregularities each of them repeats."""

from dataclasses import dataclass, replace

import numpy as np

from abaw_tf.labels import TASKS

NOMINAL_RATES = (30.0, 25.0, 30000 / 1001, 24.0)


@dataclass(frozen=True)
class Configuration:
    """What decides the content of a synthetic dataset; see `abaw_tf.data.make_synthetic`."""

    edition: str
    n_train: int
    n_validation: int
    n_test: int
    seconds: float
    fps: float | None
    size: tuple
    seed: int

    def __post_init__(self):
        for name, least in (("n_train", 1), ("n_validation", 1), ("n_test", 0), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}. Received: {name}={value!r}")
        if not 2 <= self.seconds <= 3600:
            raise ValueError(f"seconds (per video) must lie between 2 and 3600. Received: seconds={self.seconds!r}")
        if self.fps is not None and not 5 <= self.fps <= 60:
            raise ValueError(f"fps must lie between 5 and 60, or be None for a mixture. Received: fps={self.fps!r}")
        if len(self.size) != 2 or any(side < 160 or side % 2 for side in self.size) or self.size[0] < self.size[1]:
            raise ValueError(
                "size must be (width, height), both even, at least 160, not upright (a face must fit). "
                f"Received: size={self.size!r}"
            )


@dataclass(frozen=True)
class Video:
    """One video to be made."""

    name: str
    split: str
    width: int
    height: int
    fps: float
    suffix: str = ".mp4"
    subjects: tuple = ("",)  # ("left", "right") for two people
    tasks: tuple = TASKS  # for which tasks it is labelled, or listed in the test set
    variable: bool = False  # frame rate
    surplus: int = 0  # label rows more than frames

    @property
    def trials(self) -> tuple:
        """Trial names: the video's, with ``_left`` and ``_right`` where there are two people."""
        return tuple(f"{self.name}_{subject}" if subject else self.name for subject in self.subjects)


# Irregularities by split and position; the later videos are regular but for a few with labels of one task only.
_SPECIAL = {
    "train": [
        {"surplus": 1},
        {"subjects": ("left", "right"), "fps": 25.0},
        {"variable": True, "tasks": ("expression",), "fps": 30.0},
        {"tasks": ("valence_arousal",), "fps": 24.0},
    ],
    "validation": [
        {"suffix": ".avi", "fps": 25.0},
        {},
        {"surplus": -1, "fps": 24.0},
        {"tasks": ("expression",)},
        {"tasks": ("valence_arousal",)},
    ],
    "test": [{}, {"tasks": ("expression",)}, {"tasks": ("valence_arousal",)}],
}


def plan_videos(configuration: Configuration) -> list[Video]:
    """The videos of a dataset, in the order of their splits."""
    rng = np.random.default_rng([configuration.seed, 1])
    counts = {"train": configuration.n_train, "validation": configuration.n_validation, "test": configuration.n_test}
    numbers = iter(rng.permutation(np.arange(1, max(560, 2 * sum(counts.values())))))
    videos = []
    for split, count in counts.items():
        for index in range(count):
            special = _SPECIAL[split][index] if index < len(_SPECIAL[split]) else {}
            rate = NOMINAL_RATES[index % len(NOMINAL_RATES)]
            video = replace(Video("", split, *configuration.size, rate), **special)
            if configuration.fps is not None:
                video = replace(video, fps=float(configuration.fps))
            if len(video.subjects) > 1:
                video = replace(video, width=video.width * 3 // 2 // 2 * 2)
            if split == "train" and index >= 4 and index % 6 == 5:
                video = replace(video, tasks=(TASKS[index // 6 % 2],))
            videos.append(replace(video, name=_name(next(numbers), len(videos), video)))
    return videos


def _name(number, index, video) -> str:
    """Names of the kinds that Aff-Wild2 has: some are plain numbers, some end in a digit that is no subject."""
    kinds = (
        f"{number}-{round(video.fps)}-{video.width}x{video.height}",
        f"video{number}",
        f"{number}",
        f"video{number}_1",
    )
    return kinds[(index + index // 4) % 4]
