"""Rehearses the performances of a dataset and films them: video, sound, crops, sidecars."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from abaw_tf.data.synthetic import scenario, sound, speech
from abaw_tf.data.synthetic.body import keypoints
from abaw_tf.data.synthetic.motion import move
from abaw_tf.data.synthetic.plan import Video
from abaw_tf.data.synthetic.scene import Actor, Stage
from abaw_tf.data.synthetic.sidecars import OpenFace, write_openpose, write_words
from abaw_tf.data.synthetic.subject import make_subject
from abaw_tf.media.align import align
from abaw_tf.media.video_writer import write_video

_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 92]


@dataclass
class Take:
    """A video, fully planned: per person a performance, the labels and the frames in which the face is found."""

    video: Video
    rng: np.random.Generator
    times: np.ndarray  # (n,) seconds
    people: list
    performances: list
    labels: list  # per person (expression (m,), valence and arousal (m, 2)); m is the number of label rows
    covered: list  # per person (n,) bool: a hand hides the face
    detected: list  # per person (n,) bool


def rehearse(videos, classes, configuration) -> list[Take]:
    """Plan all videos; those of a split that have expression labels share the classes out among them."""
    takes = []
    for split in dict.fromkeys(video.split for video in videos):
        chosen = [video for video in videos if video.split == split]
        labelled = [video for video in chosen if split != "test" and "expression" in video.tasks]
        others = [video for video in chosen if video not in labelled]
        rng = np.random.default_rng([configuration.seed, 2, ("train", "validation", "test").index(split)])
        plans = {}
        for group in (labelled, others):
            cast = [trial for video in group for trial in video.trials]
            if cast:
                dealt = scenario.deal_segments(rng, classes, [configuration.seconds] * len(cast))
                plans |= dict(zip(cast, dealt))
        takes += _plan_split(chosen, labelled, plans, classes, configuration)
    return takes


def _plan_split(videos, labelled, plans, classes, configuration) -> list[Take]:
    takes, counts = [], np.zeros(len(classes), dtype=np.int64)
    for video in videos:
        rng = np.random.default_rng([configuration.seed, 3, *video.name.encode()])
        times = _frame_times(rng, video, configuration.seconds)
        rows = len(times) + video.surplus
        label_times = np.append(times, times[-1] + 1 / video.fps)[:rows]
        people, performances, labels = [], [], []
        for trial in video.trials:
            people.append(make_subject(rng))
            performances.append(scenario.perform(rng, classes, plans[trial], configuration.seconds))
            labels.append(scenario.annotate(rng, performances[-1], label_times))
            if video in labelled:
                counts += np.bincount(labels[-1][0], minlength=len(classes))
        takes.append(Take(video, rng, times, people, performances, labels, [], []))
    for index, take in enumerate(takes):
        for expression, valence_arousal in take.labels:
            n, rng = len(take.times), take.rng
            spare = counts if take.video in labelled else np.full(len(classes), 10**9)
            truth = np.where(expression < 0, 0, expression)[: min(n, len(expression))]
            covered, detected = np.zeros(n, dtype=bool), rng.random(n) > 0.012
            if index == 0 or rng.random() < 0.5:
                covered[scenario.choose_stretch(rng, truth, int(rng.uniform(0.3, 0.8) * take.video.fps), spare)] = True
            if index == 0 or rng.random() < 0.6:
                expression[scenario.choose_stretch(rng, truth, int(rng.uniform(0.05, 0.1) * n), spare)] = -1
            if index == 0 or rng.random() < 0.6:
                start = int(rng.integers(0, n * 4 // 5))
                valence_arousal[start : start + int(rng.uniform(0.05, 0.1) * n)] = np.nan
            take.covered.append(covered)
            take.detected.append(detected & ~covered)
    return takes


def _frame_times(rng, video, seconds) -> np.ndarray:
    times = np.arange(round(seconds * video.fps)) / video.fps
    if video.variable:
        # A camera in poor light: it skips a frame now and then.
        times = times[(rng.random(len(times)) > 0.12) | (times == 0)]
    return times


def shoot(take: Take, root: Path, path: Path, advance) -> None:
    """Write a video to `path`, and its crops and sidecars below `root`; `advance` is called after every frame."""
    video, rng, n = take.video, take.rng, len(take.times)
    seconds = take.times[-1] + 1 / video.fps
    spoken = _conversation(rng, take, seconds)
    actors, voices = [], []
    for index, (who, performance, words) in enumerate(zip(take.people, take.performances, spoken)):
        opening = speech.mouth_opening(words, len(performance.valence))
        motion = move(rng, who, performance, opening, take.times, take.covered[index])
        seat = np.array([video.width * (index + 1) / (len(take.people) + 1), video.height * 0.46])
        if len(take.people) > 1:
            seat[0] = video.width * (0.27, 0.73)[index]
        seat = seat + rng.uniform(-0.02, 0.02, 2) * video.width
        crowd = 0.9 if len(take.people) > 1 else 1.0
        actors.append(Actor(who, motion, seat, who.size * video.height * crowd))
        voices.append(sound.speak(rng, who, performance, words, seconds))
    stage = Stage(rng, video.width, video.height, actors)
    files = [_Trial(rng, root, trial, video, n) for trial in video.trials]
    poses = root / "openpose" / f"{video.name}_openpose_body25" / "json"
    poses.mkdir(parents=True, exist_ok=True)

    def frames():
        for row in range(n):
            picture, marks = stage.picture(row)
            bodies = []
            for actor, trial, points, detected in zip(actors, files, marks, take.detected):
                trial.add(row, take.times[row], picture, actor, points, detected[row])
                size, covered = (video.width, video.height), actor.motion.covered[row]
                bodies.append(keypoints(rng, actor.joints(row), points, actor.pose(row), size, covered))
            write_openpose(poses / f"{row + 1:05d}_keypoints.json", bodies)
            advance(1)
            yield picture

    audio = sound.mix_down([sound.room(rng, seconds), *voices])
    times = {"times": take.times} if video.variable else {"fps": video.fps}
    write_video(path, frames(), audio=audio, sample_rate=sound.SAMPLE_RATE, crf=24, **times)
    for trial in files:
        trial.finish()
    write_words(root / "asr" / f"{video.name}.csv", [word for words in spoken for word in words])


def _conversation(rng, take, seconds) -> list:
    """Words per person; two people speak in turns."""
    if len(take.people) == 1:
        return [speech.talk(rng, take.performances[0], seconds)]
    turns, now, speaker = [[], []], 0.0, int(rng.integers(2))
    while now < seconds:
        stop = min(now + rng.uniform(1.4, 2.6), seconds)
        turns[speaker].append((now, stop))
        now, speaker = stop, 1 - speaker
    return [speech.talk(rng, performance, seconds, turn) for performance, turn in zip(take.performances, turns)]


class _Trial:
    """The files of one subject of a video: both kinds of crops and the OpenFace CSV."""

    def __init__(self, rng, root, trial, video, n):
        self.size = (video.width, video.height)
        self.path = root / "openface" / f"{trial}.csv"
        self.openface = OpenFace(rng, self.size, n)
        self.folders = [root / kind / trial for kind in ("cropped", "cropped_aligned")]
        for folder in self.folders:
            folder.mkdir(parents=True, exist_ok=True)
        # The face detector's own inaccuracy, as a fraction of the face's width.
        self.error = rng.normal(0, 0.012, (n, 5, 2)) + rng.normal(0, 0.01, (1, 5, 2))

    def add(self, row, time, picture, actor, marks, detected) -> None:
        pose, motion = actor.pose(row), actor.motion
        gaze, angles, units = motion.gaze[row], motion.head[row], motion.units[row]
        self.openface.add(row, time, marks, pose, angles, units, gaze, detected)
        if not detected:
            return
        pixels = pose(marks)
        eyes = pixels[36:42].mean(0), pixels[42:48].mean(0)
        five = np.stack([*eyes, pixels[30], pixels[48], pixels[54]]) + self.error[row] * 2 * pose.scale
        name = f"{row + 1:05d}.jpg"
        _save(self.folders[0] / name, _crop(picture, pixels))
        _save(self.folders[1] / name, align(picture, five))

    def finish(self) -> None:
        self.openface.write(self.path)


def _crop(picture, pixels) -> np.ndarray:
    """The face with a margin, as far as it is in the picture."""
    low, high = pixels.min(0), pixels.max(0)
    margin = 0.18 * (high - low).max()
    low = np.maximum(np.floor(low - (margin, 1.6 * margin)).astype(int), 0)
    high = np.minimum(np.ceil(high + margin).astype(int), picture.shape[1::-1])
    return picture[low[1] : high[1], low[0] : high[0]]


def _save(path, image) -> None:
    if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _QUALITY):
        raise OSError(f"cannot write {path}: is the disk full?")
