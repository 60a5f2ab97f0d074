"""Writes a synthetic Aff-Wild2 to disk in the official layout."""

from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from abaw_tf.data.annotations import write_expression, write_valence_arousal
from abaw_tf.data.synthetic import film
from abaw_tf.data.synthetic.manifest import make_folder, write_manifest
from abaw_tf.data.synthetic.plan import Configuration, plan_videos
from abaw_tf.labels import edition as find_edition

NOTE = (
    "This is SYNTHETIC data, rendered by abaw_tf.data.make_synthetic in the on-disk layout of Aff-Wild2. It contains no frame, "
    "sound or label of Aff-Wild2; scores on it say nothing about real faces."
)
_VIDEO_FOLDERS = {"abaw1": ("batch1", "batch2"), "abaw2": ("videos/both_batches",) * 2, "abaw3": ("batch1", "batch2")}
_TEST_LISTS = {
    "abaw1": {"expression": "expression_test_set.txt", "valence_arousal": "va_test_set.txt"},
    "abaw2": {"expression": "expression_test_set.txt", "valence_arousal": "va_test_set.txt"},
    "abaw3": {
        "expression": "Expression_Classification_Challenge_test_set_release.txt",
        "valence_arousal": "Valence_Arousal_Estimation_Challenge_test_set_release.txt",
    },
}
# What macOS leaves in folders that it has shown or zipped; readers must step over it.
_DS_STORE = b"\x00\x00\x00\x01Bud1" + bytes(24)
_APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(8)


def make_synthetic(
    root,
    edition="abaw2",
    n_train: int = 12,
    n_validation: int = 6,
    n_test: int = 2,
    seconds: float = 8.0,
    fps: float | None = None,
    size: tuple = (320, 240),
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Render a small Aff-Wild2 look-alike in the official layout of an edition.

    Everything is made from the seed: the same arguments give byte-identical pictures, labels and sidecar files. Each subject
    appears in one video only. With at least 4 training and 3 validation videos the dataset has one video of each odd kind: two
    people (trials ``_left`` and ``_right``), a variable frame rate, AVI, labels of one task only, one label row more and one
    less than frames; and every class occurs among the training and among the validation labels.

    Parameters
    ----------
    root : path-like
        Folder to make. It appears when it is complete; an interrupted call leaves nothing behind under this name.
    edition : str or Edition
        ``"abaw1"``, ``"abaw2"`` or ``"abaw3"``: folder names, header lines, 7 or 8 classes.
    n_train, n_validation, n_test : int
        Number of *videos* per split. One training video has two subjects, so that there is one trial more.
    seconds : float
        Length of each video.
    fps : float, optional
        Frame rate of every video; by default 24, 25, 29.97 and 30 are mixed.
    size : (int, int)
        Width and height of the videos in pixels, even; the video with two people is half as wide again.
    seed : int
        Decides everything random.
    overwrite : bool
        Replace an existing synthetic dataset that was made with other arguments. A folder without the manifest
        ``synthetic.json`` is never touched.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Path
        `root`, holding ``synthetic.json`` with the configuration. An existing dataset with the same configuration is reused.

    Raises
    ------
    ValueError
        An argument is out of range.
    FileExistsError
        `root` exists and is something else.
    """
    edition = find_edition(edition)
    configuration = Configuration(edition.name, n_train, n_validation, n_test, float(seconds), fps, tuple(size), seed)
    return make_folder(
        root, configuration, overwrite, lambda folder: _write_dataset(folder, edition, configuration, progress)
    )


def _write_dataset(root, edition, configuration, progress) -> None:
    videos = plan_videos(configuration)
    takes = film.rehearse(videos, edition.classes, configuration)
    total = sum(len(take.times) for take in takes)
    described = []
    with tqdm(total=total, unit="frame", desc="synthetic Aff-Wild2", disable=not progress) as bar:
        for index, take in enumerate(takes):
            folder = root / _VIDEO_FOLDERS[edition.name][index % 2]
            film.shoot(take, root, folder / f"{take.video.name}{take.video.suffix}", bar.update)
            _write_labels(root, edition, take)
            described.append(_describe(take))
    _write_test_lists(root, edition, videos)
    _leave_litter(root, edition, videos)
    write_manifest(root, NOTE, configuration, videos=described)


def _describe(take) -> dict:
    video = take.video
    return {
        "video": video.name, "split": video.split, "trials": list(video.trials), "tasks": list(video.tasks),
        "fps": round(video.fps, 5), "variable_frame_rate": video.variable, "frames": len(take.times),
        "label_rows": len(take.times) + video.surplus if video.split != "test" else 0,
        "missing_crops": [int((~detected).sum()) for detected in take.detected],
    }  # fmt: skip


def _task_folder(root, edition, task) -> Path:
    return root / edition.annotation_roots[0] / edition.task_folders[task][0]


def _write_labels(root, edition, take) -> None:
    if take.video.split == "test":
        return
    for trial, (expression, valence_arousal) in zip(take.video.trials, take.labels):
        for task in take.video.tasks:
            folder = _task_folder(root, edition, task) / edition.split_folders[take.video.split][0]
            folder.mkdir(parents=True, exist_ok=True)
            if task == "expression":
                write_expression(folder / f"{trial}.txt", expression, edition)
            else:
                write_valence_arousal(folder / f"{trial}.txt", np.round(valence_arousal, 3), edition)


def _write_test_lists(root, edition, videos) -> None:
    for task, name in _TEST_LISTS[edition.name].items():
        trials = [trial for video in videos if video.split == "test" and task in video.tasks for trial in video.trials]
        if trials:
            (root / edition.annotation_roots[0] / name).write_text("\n".join(trials) + "\n", encoding="ascii")


def _leave_litter(root, edition, videos) -> None:
    first = videos[0].trials[0]
    places = [
        root,
        root / "cropped",
        root / "cropped_aligned",
        root / "cropped_aligned" / first,
        root / "cropped" / first,
    ]
    for task in ("expression", "valence_arousal"):
        places.append(_task_folder(root, edition, task))
    for folder in places:
        if folder.is_dir():
            (folder / ".DS_Store").write_bytes(_DS_STORE)
    (root / "cropped_aligned" / first / "._00001.jpg").write_bytes(_APPLE_DOUBLE)
