"""What the readers of the layouts share: the rows that they return, folder listings, and errors that name file and line."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from abaw_tf.data.layout import is_litter
from abaw_tf.data.sources import BOX

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
MAX_DEPTH = 3
_MANY = 200  # a folder with more files than this is not searched further


class FaceDatasetError(ValueError):
    """A face dataset whose files are not as its layout says."""


def make_records(image, split, file, code, valence=np.nan, arousal=np.nan, boxes=None, source="", line=0):
    """Table of what a dataset lists, one row per image.

    Parameters
    ----------
    image : sequence of str
        Name of each image in the dataset.
    split : str or sequence of str
        ``"train"`` or ``"validation"``.
    file : sequence of Path or str
        Where the image should be.
    code : sequence of int
        Label in the dataset's own order.
    valence, arousal : sequence of float, or NaN
    boxes : array, shape (n, 4), optional
        Left, top, right, bottom of the face in pixels.
    source, line : sequence or scalar
        Label file and line of it from which the row comes; line 0 where the file holds this label alone.

    Returns
    -------
    pandas.DataFrame
    """
    n = len(image)
    columns = {"image": image, "split": split, "file": [str(path) for path in file], "code": code}
    columns |= {"valence": valence, "arousal": arousal}
    columns |= dict(zip(BOX, np.full((4, n), np.nan) if boxes is None else np.asarray(boxes, np.float64).T))
    table = pd.DataFrame({**columns, "source": source, "line": line}, index=range(n))
    return table.astype({"code": np.int64, "valence": np.float32, "arousal": np.float32})


def folders(root):
    """The folder `root` and those below it, down to three levels, nearest first; folders of many files are not searched further."""
    level = [Path(root)]
    for _ in range(MAX_DEPTH + 1):
        below = []
        for folder in level:
            yield folder
            below += _subfolders(folder)
        level = below


def _subfolders(folder):
    found, files = [], 0
    with os.scandir(folder) as entries:
        for entry in entries:
            # AffectNet has more than a thousand numbered folders of images.
            if not entry.is_dir():
                files += 1
            elif not is_litter(entry.name) and not entry.name.isdecimal():
                found.append(Path(entry.path))
            if files > _MANY:
                return []
    return sorted(found)


def find_file(root, names):
    """The nearest file below `root` with one of these names, or None."""
    return next((folder / name for folder in folders(root) for name in names if (folder / name).is_file()), None)


def find_folder(root, name):
    """The nearest folder below `root` of this name (capitals do not matter), or None."""
    return next((folder for folder in folders(root) if folder.name.casefold() == name), None)


def image_files(folder):
    """Names of the images in a folder, sorted."""
    names = os.listdir(folder) if folder.is_dir() else []
    return sorted(name for name in names if name.lower().endswith(IMAGE_SUFFIXES) and not is_litter(name))


class Presence:
    """Which files exist, by listing each folder once: a dataset has hundreds of thousands of images in few folders."""

    def __init__(self):
        self._names = {}

    def __contains__(self, path):
        folder, name = os.path.split(path)
        if folder not in self._names:
            self._names[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        return name in self._names[folder]
