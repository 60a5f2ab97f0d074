"""Windows of sound by time: which instants have which label, windows over them, and the way back to the frames of the video.

Time is counted in *instants*, `label_rate` a second, of which number k is at ``k / label_rate`` seconds (Dresvyanskiy et al. 2020: 5, for
the slowest video of Aff-Wild2 has 7.5 frames per second). Windows are runs of instants, so that :mod:`abaw_tf.data.windows` does their
arithmetic; the sound of instant k begins at sample ``round(k · sample_rate / label_rate)``, each rounded from its own time: nothing adds up
from window to window, whatever the rates.
"""

import numpy as np
import pandas as pd
import tensorflow as tf

from abaw_tf.data.balance import balanced_size
from abaw_tf.data.examples import Labels, Order, classes_of_examples
from abaw_tf.features.functionals import majority_label
from abaw_tf.labels import check_option
from abaw_tf.targets import SOUND_TARGETS

_SAME_TIME = 1e-6  # seconds: far more than the rounding of stored times (3e-8), far less than a frame lasts


def count_instants(times, label_rate) -> int:
    """Number of instants from the first frame to the last, both included."""
    # A time such as 0.5999999999999999 s is that of instant 3.
    return int(np.floor((times[-1] + _SAME_TIME) * label_rate)) + 1


def nearest_frames(times, label_rate):
    """Position of the frame nearest in time to each instant, the earlier one at a tie.

    The published code repeats labels up to 3000 per second and keeps every 600th: the same labels, from 600 times the memory.

    Parameters
    ----------
    times : array of float, shape (n_frames,)
        Increasing, in seconds from the first frame of the video.
    label_rate : float
        Instants per second.

    Returns
    -------
    numpy.ndarray of int64, shape (n_instants,)
    """
    times = np.asarray(times, np.float64)
    instants = np.arange(count_instants(times, label_rate)) / label_rate
    return np.searchsorted((times[1:] + times[:-1]) / 2, instants - _SAME_TIME).astype(np.int64)


def instant_table(table, times, label_rate):
    """The labels of a frame table at regular instants.

    Parameters
    ----------
    table : pandas.DataFrame
        ``trial, frame, expression, valence, arousal``, sorted by trial and frame.
    times : callable
        From the name of a trial to the times of all its frames, seconds.
    label_rate : float
        Instants per second.

    Returns
    -------
    pandas.DataFrame
        ``trial, frame, expression, valence, arousal`` with the number of the instant as ``frame``: what the functions for frames take.
    """
    parts = []
    for trial, rows in table.groupby("trial", sort=False):
        clock = np.asarray(times(trial), np.float64)
        numbers = rows["frame"].to_numpy()
        if numbers[-1] >= len(clock):
            raise ValueError(
                f"trial {trial!r}: frame {numbers[-1]} has no time; extract the sound again. Received: {len(clock)} times"
            )
        part = rows[["trial", "frame", "expression", "valence", "arousal"]].iloc[
            nearest_frames(clock[numbers], label_rate)
        ]
        parts.append(part.assign(frame=np.arange(len(part), dtype=np.int64)))
    return pd.concat(parts, ignore_index=True)


def window_table(instants, spans):
    """One row per window: its trial, its first instant as ``frame``, the majority of its expressions, its mean valence and arousal.

    Parameters
    ----------
    instants : pandas.DataFrame
        From `instant_table`.
    spans : array of int, shape (n_windows, 2)
        Start and stop row of each window.

    Returns
    -------
    pandas.DataFrame
        ``trial, frame, expression, valence, arousal``; an expression of -1, or NaN, where no instant of the window has the label. At a
        tie of expressions the one that comes first in the official order (:func:`abaw_tf.features.functionals.majority_label`).
    """
    windows = instants[["trial", "frame"]].iloc[spans[:, 0]].reset_index(drop=True)
    windows["expression"] = majority_label(instants["expression"].to_numpy(), spans)
    for name in ("valence", "arousal"):
        values = instants[name].to_numpy(np.float64)
        known = np.isfinite(values)
        sums = [np.concatenate([[0], np.cumsum(x)]) for x in (np.where(known, values, 0), known)]
        total, count = (x[spans[:, 1]] - x[spans[:, 0]] for x in sums)
        windows[name] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return windows


def to_frames(values, label_rate, times):
    """Linear interpolation from instants to frames; before the first instant and after the last their values hold.

    Parameters
    ----------
    values : array, shape (n_instants, …)
    label_rate : float
        Instants per second.
    times : array of float, shape (n_frames,)
        Seconds.

    Returns
    -------
    numpy.ndarray of float64, shape (n_frames, …)
    """
    values = np.asarray(values, np.float64)
    position = np.clip(np.asarray(times, np.float64) * label_rate, 0, len(values) - 1)
    low = np.floor(position).astype(np.int64)
    high = np.minimum(low + 1, len(values) - 1)
    weight = (position - low).reshape(-1, *[1] * (values.ndim - 1))
    return values[low] * (1 - weight) + values[high] * weight


class SoundSource:
    """Pieces of sound that begin at the rows of a table of instants.

    Parameters
    ----------
    read : callable
        From the name of a trial to its :class:`abaw_tf.features.waveforms.Waveform`.
    instants : pandas.DataFrame
        Columns ``trial`` and ``frame`` (number of the instant) of each row.
    sample_rate : int
        Samples per second.
    label_rate : float
        Instants per second.
    samples : int
        Length of a piece.
    """

    def __init__(self, read, instants, sample_rate, label_rate, samples):
        codes, names = pd.factorize(instants["trial"])
        self._sounds, self._trial = [read(name) for name in names], codes
        # From each instant's own number: no error adds up.
        begins = instants["frame"].to_numpy(np.float64) * sample_rate / label_rate
        self._begin = np.floor(begins + 0.5).astype(np.int64)
        self.samples = int(samples)

    def is_heard(self, rows):
        """Whether the sound of a trial goes on beyond each row, (n_rows,); pieces behind its end are nothing but zeros."""
        ends = np.array([len(sound.samples) for sound in self._sounds], np.int64)
        return self._begin[rows] < ends[self._trial[rows]]

    def read(self, rows):
        """Float32 (n_rows, samples), zero where there is no sound: in its holes and beyond its end."""
        pieces = np.zeros((len(rows), self.samples), np.float32)
        for piece, row in zip(pieces, rows):
            sound, begin = self._sounds[self._trial[row]], self._begin[row]
            found = sound.samples[begin : begin + self.samples]
            piece[: len(found)] = np.nan_to_num(found, nan=0.0) if sound.has_holes else found
        return pieces


def batches(
    source,
    instants,
    spans,
    size,
    target="window",
    outputs=("expression",),
    batch_size=32,
    training=False,
    seed=0,
    start_epoch=0,
    class_weights=None,
    class_balanced=False,
    epoch_length="average",
    name="sound",
):
    """A ``tf.data`` pipeline of sound windows; the order of an epoch is a function of seed and epoch, as in `abaw_tf.data.pipelines`.

    Parameters
    ----------
    source : SoundSource
    instants : pandas.DataFrame
        From `instant_table`.
    spans : array of int, shape (n_windows, 2)
        As from :func:`abaw_tf.data.pipelines.window_spans`, of `instants`.
    size : int
        Instants per window.
    target : {"window", "steps"}
        One target per window (`window_table`), or one per instant; those beyond the end of a short trial weigh nothing.
    outputs, batch_size, training, seed, start_epoch, class_weights, class_balanced, epoch_length
        As in :func:`abaw_tf.data.pipelines.batches`.
    name : str
        Key of the sound among the inputs.

    Returns
    -------
    tf.data.Dataset
        ``({name: float32 (b, samples)}, {output: (b,) or (b, size)}, {output: float32 (b,) or (b, size)})``.
    """
    labels = Labels(_targets(instants, spans, target), outputs, class_weights)
    balanced = _classes(instants, spans, target, outputs) if class_balanced else None
    order = Order(len(spans), training, seed, start_epoch, balanced, epoch_length)
    targets, weights, offsets = list(labels.targets.values()), list(labels.weights.values()), np.arange(size)

    def read(examples):
        sound = source.read(spans[examples, 0])
        if target == "window":
            return [sound, *(t[examples] for t in targets), *(w[examples] for w in weights)]
        starts, stops = spans[examples, :1], spans[examples, 1:]
        rows, counted = np.minimum(starts + offsets, stops - 1), offsets < stops - starts
        return [sound, *(t[rows] for t in targets), *((w[rows] * counted).astype(np.float32) for w in weights)]

    time = () if target == "window" else (size,)
    shapes = [(None, source.samples), *((None, *time, *t.shape[1:]) for t in targets), *[(None, *time)] * len(weights)]
    types = [tf.float32, *(tf.as_dtype(t.dtype) for t in targets), *[tf.float32] * len(weights)]

    def load(epoch, examples, draws):
        flat = tf.numpy_function(read, [examples], types, stateful=False)
        flat = [tf.ensure_shape(value, shape) for value, shape in zip(flat, shapes)]
        n = len(labels.targets)
        return {name: flat[0]}, dict(zip(labels.targets, flat[1 : n + 1])), dict(zip(labels.targets, flat[n + 1 :]))

    return order.batches(batch_size).map(load, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def examples_per_epoch(
    instants, spans, target="window", class_balanced=False, epoch_length="average", outputs=("expression",)
):
    """Windows that an epoch of training visits; parameters as in `batches`."""
    return balanced_size(_classes(instants, spans, target, outputs), epoch_length) if class_balanced else len(spans)


def labelled_windows(instants, spans, outputs=("expression",)):
    """Mask of the windows that have a label of some output."""
    known = np.any([w > 0 for w in Labels(instants, outputs, None).weights.values()], axis=0)
    counted = np.concatenate([[0], np.cumsum(known)])
    return counted[spans[:, 1]] > counted[spans[:, 0]]


def _targets(instants, spans, target):
    check_option("target", target, SOUND_TARGETS)
    return window_table(instants, spans) if target == "window" else instants


def _classes(instants, spans, target, outputs):
    """Class by which a window is drawn in balanced sampling, -1 for none."""
    if target == "window":
        return classes_of_examples(_targets(instants, spans, target), None, "last", outputs)
    return classes_of_examples(instants, spans, "frames", outputs)
