"""Where the inputs of a batch come from: face crops, or stored feature tracks, read by row of a frame table.

A source reads what a batch needs and nothing more. It knows neither TensorFlow nor the order in which rows are asked for.
"""

import sys
import threading

import numpy as np

from abaw_tf.data.half import widen
from abaw_tf.features.images import read_image
from abaw_tf.features.track import BLANKS

BOX = ("left", "top", "right", "bottom")


class ImageSource:
    """Face crops of the rows of a frame table.

    Parameters
    ----------
    paths : sequence of str or None
        Image of each row; a row with None is black.
    size : int
        Height and width to which images are resized.
    unreadable : dict, optional
        Without it an unreadable image is an error. With it such an image is black, its row is invalid, and the dictionary gets
        ``{path: message}``.
    boxes : array of float, shape (n, 4), optional
        ``left, top, right, bottom`` of the part of each image that is read, in pixels; NaN for the whole.
    """

    dtype = np.uint8
    is_image = True

    def __init__(self, paths, size, unreadable=None, boxes=None):
        if size < 1:
            raise ValueError(f"image size must be positive. Received: {size}")
        self.paths, self.size, self.unreadable = np.asarray(paths, dtype=object), int(size), unreadable
        self.boxes = boxes
        self.shape = (self.size, self.size, 3)

    @classmethod
    def of(cls, table, size, unreadable=None):
        """The images of a frame table, cut out where it has boxes (`BOX`)."""
        boxes = table[list(BOX)].to_numpy(np.float64) if set(BOX) <= set(table.columns) else None
        return cls(table["path"], size, unreadable, boxes)

    def read(self, rows):
        """Return the images of `rows` (any shape) as uint8 RGB (*rows.shape, size, size, 3), and which are valid."""
        images = np.zeros((rows.size, *self.shape), np.uint8)
        valid = np.ones(rows.size, bool)
        for i, row in enumerate(rows.ravel()):
            path = self.paths[row]
            if path is None:
                continue
            try:
                box = None if self.boxes is None or np.isnan(self.boxes[row]).any() else self.boxes[row]
                images[i] = read_image(path, self.shape[:2], box)
            except (ValueError, OSError) as error:
                message = str(error) if str(path) in str(error) else f"{path}: {error}"
                if self.unreadable is None:
                    raise ValueError(f"{message} (tools/doctor.py lists all damaged files)") from error
                self.unreadable[str(path)] = message
                valid[i] = False
        return images.reshape(*rows.shape, *self.shape), valid.reshape(rows.shape)


class TrackSource:
    """Rows of memory-mapped feature tracks, which are opened when first needed and never loaded whole.

    Parameters
    ----------
    store : FeatureStore
        Or any object whose ``read(trial)`` returns a `FeatureTrack`.
    table : pandas.DataFrame
        Columns ``trial`` and ``frame`` of each row.
    fill : {"previous", "zeros", "nan"}
        What stands in for frames without an image.
    optional : bool
        A trial without any image is NaN.

    Raises
    ------
    FileNotFoundError
        The store lacks a trial of the table.
    ValueError
        A track is shorter than its trial, dimensions differ, or ``fill="previous"`` meets a trial without any image that is not optional.
    """

    dtype = np.float32
    is_image = False

    def __init__(self, store, table, fill="previous", optional=False):
        names, self._trial = np.unique(table["trial"].to_numpy(dtype=object).astype(str), return_inverse=True)
        frames = table["frame"].to_numpy()
        self._row = np.empty(len(frames), np.int64)
        self._values, self._blank = [], []
        order = np.argsort(self._trial, kind="stable")
        ends = np.cumsum(np.bincount(self._trial, minlength=len(names)))
        for name, rows in zip(names, np.split(order, ends[:-1])):
            track = store.read(str(name))
            last = frames[rows].max()
            if last >= len(track):
                raise ValueError(
                    f"trial {str(name)!r}: its track has {len(track)} frames but frame {last} is wanted; extract its features again"
                )
            absent = optional and track.missing.all()
            self._row[rows] = -1 if absent else track.source_rows(fill)[frames[rows]]
            self._values.append(track.values)
            self._blank.append(np.nan if absent else BLANKS.get(fill, 0.0))
        dims = {values.shape[1] for values in self._values}
        if len(dims) > 1:
            raise ValueError(f"all tracks of a store must have one dimension. Received: {sorted(dims)}")
        self.shape = (dims.pop(),)
        self._buffers = _Buffers()

    def read(self, rows):
        """Return the features of `rows` (single rows, or windows of one trial each) as float32, and which are valid."""
        result = self._buffers.take((*rows.shape, *self.shape))
        for wanted, out in zip(np.atleast_2d(rows), result.reshape(-1, rows.shape[-1], *self.shape)):
            if rows.ndim == 1:  # single frames of any trials
                for i, row in enumerate(wanted):
                    self._copy(self._trial[row], self._row[row : row + 1], out[i : i + 1])
            else:
                self._copy(self._trial[wanted[0]], self._row[wanted], out)
        return result, np.ones(rows.shape, bool)

    def _copy(self, trial, source, out):
        values = self._values[trial]
        if source[0] >= 0 and (np.diff(source) == 1).all():
            chosen = values[source[0] : source[0] + len(source)]
        else:
            chosen = values[np.maximum(source, 0)]
        if values.dtype == np.float16:
            widen(chosen, out)
        else:
            out[:] = chosen
        out[source < 0] = self._blank[trial]


class _Buffers:
    """Float32 arrays at multiples of 64 bytes, which TensorFlow takes over without copying, in memory that is used again.

    Fresh memory for every batch costs as much as filling it: the kernel zeroes each page. A buffer is free again when nobody, TensorFlow
    included, refers to it.
    """

    def __init__(self, most=8):
        self._raw, self._most, self._lock = [], most, threading.Lock()

    def take(self, shape):
        """Uninitialised array of that shape."""
        size = int(np.prod(shape)) * 4
        with self._lock:
            raw = self._free(size + 64)
            offset = -raw.ctypes.data % 64
            return raw[offset : offset + size].view(np.float32).reshape(shape)

    def _free(self, size):
        for raw in self._raw:
            # Referred to by the list, by the name `raw` and by the argument of getrefcount.
            if len(raw) >= size and sys.getrefcount(raw) == 3:
                return raw
        raw = np.empty(size, np.uint8)
        self._raw = [*self._raw[-self._most + 1 :], raw]
        return raw
