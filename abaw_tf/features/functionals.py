"""From a track of frames to one vector, and one label, per window."""

import numpy as np


def mean_and_std(track, windows, ddof=0):
    """Mean and standard deviation of a track over each window (Dresvyanskiy et al. 2020, §III).

    Parameters
    ----------
    track : array, shape (n_frames, dim)
        Features per frame without NaN, any float type.
    windows : array of int, shape (n_windows, 2)
        Start and stop frame of each window, as from :mod:`abaw_tf.data.windows`.
    ddof : {0, 1}
        What is subtracted from the number of frames in the variance: 0 (NumPy), 1 (MATLAB). A single frame has deviation 0 either way.

    Returns
    -------
    numpy.ndarray of float32, shape (n_windows, 2 * dim)
        mean ‖ std, computed in float64: neither half-precision tracks nor a large offset cost accuracy.

    Raises
    ------
    ValueError
        Wrong shapes, NaN in the track, an empty window, or one that leaves the track.
    """
    track, windows = _checked(track, windows, 2)
    dim = track.shape[1]
    result = np.empty((len(windows), 2 * dim), np.float32)
    for row, (start, stop) in zip(result, windows):
        frames = np.asarray(track[start:stop], np.float64)
        row[:dim] = frames.mean(axis=0)
        row[dim:] = frames.std(axis=0, ddof=min(ddof, len(frames) - 1))
    finite = np.isfinite(result).all(axis=1)
    if not finite.all():
        start, stop = windows[~finite][0]
        raise ValueError(
            f"frames {start} to {stop - 1} of the track hold NaN or infinity; fill missing faces, or extract again"
        )
    return result


def majority_label(labels, windows):
    """Class of each window: the most frequent class of its labelled frames, the smaller one at a tie.

    This is the majority of Dresvyanskiy et al., and also what their notebook does (take the mode; where that is -1, the second
    most frequent value).

    Parameters
    ----------
    labels : array of int, shape (n_frames,)
        Class per frame, -1 where there is none.
    windows : array of int, shape (n_windows, 2)
        Start and stop frame of each window.

    Returns
    -------
    numpy.ndarray of int64, shape (n_windows,)
        -1 where no frame is labelled.
    """
    labels, windows = _checked(labels, windows, 1)
    result = np.full(len(windows), -1, np.int64)
    for i, (start, stop) in enumerate(windows):
        known = labels[start:stop][labels[start:stop] >= 0]
        if len(known):
            result[i] = np.bincount(known).argmax()
    return result


def _checked(values, windows, ndim):
    values, windows = np.asanyarray(values), np.asarray(windows)
    if values.ndim != ndim:
        expected = "(n_frames, dim)" if ndim == 2 else "(n_frames,)"
        raise ValueError(f"one row per frame is needed, shape {expected}. Received: shape {values.shape}")
    if windows.size == 0:
        windows = np.zeros((0, 2), np.int64)
    if windows.ndim != 2 or windows.shape[1] != 2 or windows.dtype.kind not in "iu":
        raise ValueError(
            f"windows must be whole numbers, shape (n_windows, 2): start and stop. "
            f"Received: shape {windows.shape}, {windows.dtype}"
        )
    bad = (windows[:, 0] < 0) | (windows[:, 0] >= windows[:, 1]) | (windows[:, 1] > len(values))
    if bad.any():
        raise ValueError(
            f"a window must lie within the {len(values)} frames and not be empty. Received: {windows[bad][0].tolist()}"
        )
    return values, windows
