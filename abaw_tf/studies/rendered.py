"""What the studies of whole systems start from where nothing real is needed: rendered faces and videos, and a small face model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from abaw_tf.data import AffWild2, FaceImages, make_synthetic, make_synthetic_faces
from abaw_tf.training import Recipe, Run, train


@dataclass(frozen=True)
class Size:
    """How much is rendered and trained.

    Attributes
    ----------
    faces : (int, int)
        Single faces for training and validation of the face model. A face model that has seen few hundreds of them serves badly in videos.
    videos : (int, int)
        Videos for training and validation.
    unseen : int
        Further videos of other subjects, on which neither a weight nor an epoch hangs.
    seconds, fps : float
        Length of a video, and its frames per second; by default, a rate drawn for each.
    face_model, networks : mapping
        Fields of the recipe ``face_model``, and of that of the study's networks, that differ from their small presets.
    """

    faces: tuple = (2800, 350)
    videos: tuple = (14, 10)
    unseen: int = 0
    seconds: float = 8.0
    fps: float | None = None
    face_model: Mapping = field(default_factory=lambda: {"batch_size": 32})
    networks: Mapping = field(default_factory=dict)


def render(work, size, progress=True) -> tuple:
    """Render what is not there yet.

    Parameters
    ----------
    work : path-like
        Folder; the faces go to ``faces``, the videos to ``affwild2``.
    size : Size
    progress : bool
        Show bars.

    Returns
    -------
    faces : FaceImages
    dataset : AffWild2

    Raises
    ------
    FileExistsError
        The folder holds other data than these.
    """
    n_train, n_validation = size.faces
    images = make_synthetic_faces(
        Path(work) / "faces", n_train=n_train, n_validation=n_validation, seed=0, progress=progress
    )
    n_train, n_validation = size.videos
    videos = make_synthetic(
        Path(work) / "affwild2",
        n_train=n_train,
        n_validation=n_validation,
        seconds=size.seconds,
        fps=size.fps,
        seed=0,
        progress=progress,
    )
    return FaceImages(images), AffWild2(videos)


def render_unseen(work, size, progress=True) -> AffWild2:
    """Render the videos that only the scores come from, where they are not there yet: the validation split of ``unseen``.

    Raises
    ------
    FileExistsError
        The folder holds other data than these.
    """
    folder = Path(work) / "unseen"
    # One training video, because a dataset has both splits.
    made = make_synthetic(
        folder,
        n_train=1,
        n_validation=size.unseen,
        n_test=0,
        seconds=size.seconds,
        fps=size.fps,
        seed=1,
        progress=progress,
    )
    return AffWild2(made)


def train_face_model(faces, folder, size, seed=0, name="face_model") -> Run:
    """The small face model, or other network of this name, trained on the rendered faces, or as found in its run folder."""
    recipe = Recipe.from_preset(name, "small", seed=seed, **size.face_model)
    return train(recipe, faces, folder, progress=False)
