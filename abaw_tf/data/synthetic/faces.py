"""Small stand-ins for RAF-DB and AffectNet: one rendered face per image, in the layouts that `abaw_tf.data.face_datasets` reads.

Each image shows another person, none of whom appears in the synthetic Aff-Wild2. A face is planned as there: an expression at some
intensity, valence and arousal that go with it, and the face's own imperfect view of them.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm.auto import tqdm

from abaw_tf.data.synthetic import scenario
from abaw_tf.data.synthetic.manifest import make_folder, write_manifest
from abaw_tf.data.synthetic.motion import move
from abaw_tf.data.synthetic.scene import Actor, Stage
from abaw_tf.data.synthetic.subject import make_subject
from abaw_tf.labels import CLASS_ORDERS, EXPRESSIONS_8, check_option
from abaw_tf.media.align import align, crop

LAYOUTS = ("rafdb", "affectnet", "affectnet_npy")
NOTE = (
    "This is SYNTHETIC data, rendered by abaw_tf.data.make_synthetic_faces in the on-disk layout of {}. It contains no picture or "
    "label of it; scores on it say nothing about real faces."
)
# Training images per class in the real datasets, in their own orders: RAF-DB's labels 1-7, AffectNet's 0-6.
TRAINING_COUNTS = {
    "rafdb": (1290, 281, 717, 4772, 1982, 705, 2524),
    "affectnet": (74874, 134415, 25459, 14090, 6378, 3803, 24882),
}
FEWEST = 8  # training images of a class, however rare
SIDE = 176  # pixels of the rendered picture
MOMENT = 0.3  # seconds into the performance at which the picture is taken
AFFECTNET_HEADER = (
    "subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks",
    "expression", "valence", "arousal",
)  # fmt: skip
_CONTEMPT, _NONE, _UNCERTAIN, _NO_FACE = 7, 8, 9, 10
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 92]


@dataclass(frozen=True)
class FaceConfiguration:
    """What decides the content of a synthetic face dataset; see `make_synthetic_faces`."""

    layout: str
    n_train: int
    n_validation: int
    seed: int

    def __post_init__(self):
        check_option("layout", self.layout, LAYOUTS)
        for name, least in (("n_train", 7 * FEWEST), ("n_validation", 7), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}. Received: {name}={value!r}")


@dataclass
class Portrait:
    """A rendered picture (RGB) and what is to be known about the face in it."""

    picture: np.ndarray
    landmarks: np.ndarray  # (68, 2) pixels
    valence: float
    arousal: float

    @property
    def box(self) -> tuple:
        """The face as (left, top, right, bottom) in whole pixels: a square, as a face detector gives it."""
        low, high = self.landmarks.min(0), self.landmarks.max(0)
        middle, half = (low + high) / 2 - (0, 0.05 * (high - low)[1]), 0.6 * (high - low).max()
        left, top = np.round(middle - half).astype(int).tolist()
        side = round(2 * half)
        return left, top, left + side, top + side


def make_synthetic_faces(
    root,
    layout: str = "rafdb",
    n_train: int = 420,
    n_validation: int = 140,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Render a small look-alike of RAF-DB or AffectNet in its layout on disk.

    The same arguments give the same files. Training images are distributed over the classes as unequally as in the real
    dataset (but at least 8 of each); validation images equally, as in AffectNet.

    Parameters
    ----------
    root : path-like
        Folder to make. It appears when it is complete; an identical dataset that is already there is reused.
    layout : {"rafdb", "affectnet", "affectnet_npy"}
        RAF-DB's basic part; AffectNet's manually annotated pictures with their lists (some rows show contempt, no face, or nothing
        certain, as the real ones); AffectNet as cropped faces with one file per annotation.
    n_train, n_validation : int
        Number of images with one of the seven expressions.
    seed : int
        Decides everything random.
    overwrite : bool
        Replace an existing synthetic dataset that was made with other arguments.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Path
        `root`, holding ``synthetic.json``.

    Raises
    ------
    ValueError
        An argument is out of range.
    FileExistsError
        `root` exists and is something else.
    """
    configuration = FaceConfiguration(layout, n_train, n_validation, seed)
    write = {"rafdb": _write_rafdb, "affectnet": _write_affectnet, "affectnet_npy": _write_affectnet_npy}[layout]

    def fill(folder):
        plans = {split: _plan(configuration, split) for split in ("train", "validation")}
        with tqdm(total=sum(map(len, plans.values())), unit="image", desc=label, disable=not progress) as bar:
            write(folder, plans, configuration, bar.update)
        title = "RAF-DB" if layout == "rafdb" else "AffectNet"
        write_manifest(folder, NOTE.format(title), configuration)

    label = f"synthetic {layout}"
    return make_folder(root, configuration, overwrite, fill)


def render(rng, name: str) -> Portrait:
    """A picture of a new person who shows the expression called `name` (one of `EXPRESSIONS_8`)."""
    who = make_subject(rng)
    intensity = rng.uniform(0.6, 1.0)
    shown = min(1.0, intensity * (rng.uniform(0.35, 0.6) if rng.random() < 0.06 else rng.uniform(0.85, 1.15)))
    segment = scenario.Segment(name, 0.0, 2 * MOMENT, intensity, shown, rng.random())
    performance = scenario.perform(rng, EXPRESSIONS_8, [segment], 2 * MOMENT)
    silence = np.zeros(len(performance.valence))
    motion = move(rng, who, performance, silence, np.array([MOMENT]), np.array([False]))
    seat = np.array([0.5, 0.5]) * SIDE + rng.uniform(-0.05, 0.05, 2) * SIDE
    actor = Actor(who, motion, seat, 0.26 * rng.uniform(0.85, 1.1) * SIDE)
    picture, marks = Stage(rng, SIDE, SIDE, [actor]).picture(0)
    felt = performance.at(np.stack([performance.valence, performance.arousal], 1), np.array([MOMENT]))[0]
    return Portrait(picture, actor.pose(0)(marks[0]), *np.round(felt, 4).tolist())


def _plan(configuration, split) -> list:
    """The expression of each image of a split, by official name, in random order."""
    layout = "rafdb" if configuration.layout == "rafdb" else "affectnet"
    order = CLASS_ORDERS["rafdb" if layout == "rafdb" else "affectnet7"]
    total = configuration.n_train if split == "train" else configuration.n_validation
    counts = np.full(len(order), total // len(order))
    if split == "train":
        shares = np.array(TRAINING_COUNTS[layout]) / sum(TRAINING_COUNTS[layout])
        counts = FEWEST + np.floor(shares * (total - FEWEST * len(order))).astype(int)
    counts[np.argmax(counts)] += total - counts.sum()
    rng = np.random.default_rng([configuration.seed, 21, LAYOUTS.index(configuration.layout), split == "train"])
    return [order[k] for k in rng.permutation(np.repeat(np.arange(len(order)), counts))]


def _rng(configuration, split, number):
    return np.random.default_rng(
        [configuration.seed, 22, LAYOUTS.index(configuration.layout), split == "train", number]
    )


def _write_rafdb(folder, plans, configuration, advance) -> None:
    images, lines = folder / "Image" / "aligned", []
    images.mkdir(parents=True)
    for split, prefix, digits in (("train", "train", 5), ("validation", "test", 4)):
        for number, name in enumerate(plans[split], start=1):
            portrait = render(_rng(configuration, split, number), name)
            marks = portrait.landmarks
            five = np.stack([marks[36:42].mean(0), marks[42:48].mean(0), marks[30], marks[48], marks[54]])
            stem = f"{prefix}_{number:0{digits}d}"
            _save(images / f"{stem}_aligned.jpg", align(portrait.picture, five, 100))
            lines.append(f"{stem}.jpg {CLASS_ORDERS['rafdb'].index(name) + 1}")
            advance(1)
    (folder / "EmoLabel").mkdir()
    (folder / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(lines) + "\n", encoding="ascii")


def _write_affectnet(folder, plans, configuration, advance) -> None:
    pictures, lists = folder / "Manually_Annotated_Images", folder / "Manually_Annotated_file_lists"
    lists.mkdir(parents=True)
    for split, file in (("train", "training.csv"), ("validation", "validation.csv")):
        # Every list has some rows that are of no use to a model of seven expressions.
        extra = [_CONTEMPT, _NONE, _UNCERTAIN, _NO_FACE] * 2
        with open(lists / file, "w", newline="", encoding="ascii") as stream:
            writer = csv.writer(stream)
            writer.writerow(AFFECTNET_HEADER)
            for number, name in enumerate([*plans[split], *extra]):
                rng = _rng(configuration, split, number)
                code = name if isinstance(name, int) else CLASS_ORDERS["affectnet"].index(name)
                portrait = render(rng, {_CONTEMPT: "Other"}.get(code, name if isinstance(name, str) else "Neutral"))
                relative = f"{1 + number % 5}/{rng.bytes(28).hex()}.jpg"
                left, top, right, bottom = portrait.box
                landmarks = ";".join(f"{value:.2f}" for value in portrait.landmarks.ravel())
                affect = (-2, -2) if code > _CONTEMPT else (portrait.valence, portrait.arousal)
                writer.writerow([relative, left, top, right - left, bottom - top, landmarks, code, *affect])
                (pictures / relative).parent.mkdir(parents=True, exist_ok=True)
                _save(pictures / relative, portrait.picture if code != _NO_FACE else portrait.picture[:40])
                advance(number < len(plans[split]))


def _write_affectnet_npy(folder, plans, configuration, advance) -> None:
    for split, part in (("train", "train_set"), ("validation", "val_set")):
        images, annotations = folder / part / "images", folder / part / "annotations"
        images.mkdir(parents=True)
        annotations.mkdir()
        for number, name in enumerate([*plans[split], "Other"]):  # one face shows contempt
            portrait = render(_rng(configuration, split, number), name)
            face = crop(portrait.picture, portrait.box)
            _save(images / f"{number}.jpg", cv2.resize(face, (224, 224), interpolation=cv2.INTER_LINEAR))
            code = _CONTEMPT if name == "Other" else CLASS_ORDERS["affectnet"].index(name)
            # The real files hold text.
            values = {"exp": str(code), "val": f"{portrait.valence:.6f}", "aro": f"{portrait.arousal:.6f}"}
            for key, value in values.items():
                np.save(annotations / f"{number}_{key}.npy", np.array(value))
            advance(number < len(plans[split]))


def _save(path, image) -> None:
    if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _QUALITY):
        raise OSError(f"cannot write {path}: is the disk full?")
