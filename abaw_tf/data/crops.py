"""One trial's folder of face crops, indexed by frame number."""

import os
from pathlib import Path

import numpy as np

from abaw_tf.data.layout import is_litter


class CropFolder:
    """The images ``NNNNN.jpg`` of a folder; image number *n* shows frame *n* - 1.

    Parameters
    ----------
    folder : path-like or None
        Folder to list, once; None for a trial without crops.

    Attributes
    ----------
    folder : Path or None
    frames : numpy.ndarray of int64
        0-based numbers of the frames that have an image, ascending.
    odd : tuple of str
        Names that are no image of a frame (number 0, a second file of the same number, anything else but system litter).
    """

    def __init__(self, folder):
        self.folder = None if folder is None else Path(folder)
        names = os.listdir(folder) if folder is not None else []
        # Millions of files: nearly all have the official name, and only the others are looked at closely.
        regular = [
            name for name in names if len(name) == 9 and name[5:] == ".jpg" and name[:5].isdecimal() and name.isascii()
        ]
        numbers = {int(name[:5]) for name in regular} - {0}
        self._names, odd = {}, []  # names by number, only of images that are not named by five digits and ".jpg"
        for name in sorted(set(names) - {_name(number) for number in numbers}) if len(names) > len(numbers) else ():
            stem, dot, suffix = name.rpartition(".")
            is_image = dot and suffix.casefold() in ("jpg", "jpeg") and stem.isascii() and stem.isdecimal()
            number = int(stem) if is_image else 0
            if number and number not in numbers:
                numbers.add(number)
                self._names[number] = name
            elif not is_litter(name):
                odd.append(name)
        self.frames = np.array(sorted(numbers), dtype=np.int64) - 1
        self.odd = tuple(odd)

    @property
    def last(self):
        """Number of the last frame that has an image; -1 where there is none."""
        return int(self.frames[-1]) if len(self.frames) else -1

    def path(self, frame):
        """Path of a frame's image, or None where there is none."""
        position = np.searchsorted(self.frames, frame)
        if position == len(self.frames) or self.frames[position] != frame:
            return None
        return self.folder / self._names.get(int(frame) + 1, _name(int(frame) + 1))

    def paths(self, n_frames):
        """Paths of the first `n_frames` frames as an object array of str, None where there is no image."""
        paths = np.full(n_frames, None, dtype=object)
        inside = self.frames[: np.searchsorted(self.frames, n_frames)]
        if len(inside):
            prefix = f"{self.folder}{os.sep}"
            if self._names:
                paths[inside] = [prefix + self._names.get(n, _name(n)) for n in (inside + 1).tolist()]
            else:
                paths[inside] = [f"{prefix}{number:05d}.jpg" for number in (inside + 1).tolist()]
        return paths


def _name(number):
    return f"{number:05d}.jpg"
