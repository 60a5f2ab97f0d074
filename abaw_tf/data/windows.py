"""Blocks, windows and the way back to frames: index arithmetic only, no data.

Positions count what a trial *has* (rows of a track, usable frames); a window is a pair of positions ``start, stop``, the stop
excluded. Where the positions stand for frames with holes between them, pass their frame numbers as `frames`: no window then reaches
across a hole unless asked to, and ``frames[start:stop]`` are its frame numbers.
"""

import numpy as np

TAILS = ("short", "last", "drop")


def seconds_to_frames(seconds, fps):
    """Number of frames nearest to a time span, at least one.

    Dresvyanskiy's notebook writes a window of 4 s as ``round(fps * 30 / 7.5)`` frames: the same number.

    Parameters
    ----------
    seconds : float
        Time span in s, positive.
    fps : float
        Frames per second, positive.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        Either is not a positive, finite number.
    """
    if not (np.isfinite(seconds) and np.isfinite(fps) and seconds > 0 and fps > 0):
        raise ValueError(
            f"seconds and fps must be positive and finite; give the frame rate of the video, or the one assumed for trials "
            f"without a video. Received: seconds={seconds}, fps={fps}"
        )
    return max(1, round(seconds * fps))


def runs(frames):
    """Maximal runs of consecutive frame numbers.

    Parameters
    ----------
    frames : array-like of int, shape (n,)
        Frame numbers, strictly increasing.

    Returns
    -------
    numpy.ndarray of int64, shape (n_runs, 2)
        Start and stop position of each run.
    """
    frames = np.asarray(frames)
    if frames.ndim != 1 or (frames.size and frames.dtype.kind not in "iu"):
        raise ValueError(
            "frames must be a one-dimensional array of frame numbers; of a mask take numpy.flatnonzero. "
            f"Received: shape {frames.shape}, dtype {frames.dtype}"
        )
    steps = np.diff(frames.astype(np.int64))
    if (steps <= 0).any():
        position = int(np.flatnonzero(steps <= 0)[0])
        raise ValueError(
            f"frames must be strictly increasing; sort them and drop repetitions. Received: {frames[position]} before "
            f"{frames[position + 1]} at position {position + 1}"
        )
    if not len(frames):
        return np.empty((0, 2), np.int64)
    starts = np.concatenate([[0], np.flatnonzero(steps > 1) + 1])
    return np.stack([starts, np.append(starts[1:], len(frames))], axis=1).astype(np.int64)


def blocks(n, size, tail="short", frames=None, across_gaps=False):
    """Windows that follow one another without overlap: `sliding_windows` with the stride equal to the size."""
    return sliding_windows(n, size, size, tail, frames, across_gaps)


def sliding_windows(n, size, stride, tail="short", frames=None, across_gaps=False):
    """Windows of `size` positions, one every `stride`.

    Parameters
    ----------
    n : int
        Number of positions.
    size, stride : int
        Window length and distance between starts, in positions.
    tail : {"short", "last", "drop"}
        What to do where whole windows leave positions at the end uncovered. ``"short"``: one shorter window at the next start
        (Dresvyanskiy et al.). ``"last"``: one window of full size that ends with the last position, overlapping more than the others
        (Zhang et al. 2022); shorter than `size` only where there are fewer positions. ``"drop"``: leave them uncovered. To pad short
        windows, see `window_indices`.
    frames : array-like of int, shape (n,), optional
        Frame number of each position; each run of consecutive frames then has windows (and a tail) of its own.
    across_gaps : bool
        Let windows span holes in `frames`.

    Returns
    -------
    numpy.ndarray of int64, shape (n_windows, 2)
        Start and stop position of each window, in order of start.

    Raises
    ------
    ValueError
        `size` or `stride` below 1, a stride above the size (frames between windows would silently be left out), unknown `tail`,
        or `frames` that do not fit `n`.
    """
    _check_integers(n=(n, 0), size=(size, 1), stride=(stride, 1))
    if stride > size:
        raise ValueError(
            f"stride must not exceed size: frames between windows would be left out. Received: stride={stride}, size={size}"
        )
    if tail not in TAILS:
        raise ValueError(f"tail must be one of {', '.join(TAILS)}. Received: tail={tail!r}")
    windows = [_windows_of_run(*run, size, stride, tail) for run in _spans(n, frames, across_gaps)]
    return np.concatenate([np.empty((0, 2), np.int64), *windows])


def causal_blocks(n, size=16, positions=None, frames=None, across_gaps=False):
    """For each position, the `size` positions that end with it (Do et al. 2020: 16 usable frames up to the current one).

    Blocks that begin before the first position of the run are padded in front by repeating that position, as in the original. The
    original takes the last 16 *usable* frames whatever lies between them: that is ``across_gaps=True``.

    Parameters
    ----------
    n : int
        Number of positions.
    size : int
        Block length.
    positions : array-like of int, shape (m,), optional
        Positions for which a block is wanted; all `n` by default.
    frames, across_gaps
        As in `sliding_windows`.

    Returns
    -------
    indices : numpy.ndarray of int64, shape (m, size)
        Positions in order of time, the last column the block's own position.
    valid : numpy.ndarray of bool, shape (m, size)
        False where a position was repeated as padding.
    """
    _check_integers(n=(n, 0), size=(size, 1))
    first = np.empty(n, np.int64)
    for start, stop in _spans(n, frames, across_gaps):
        first[start:stop] = start
    own = np.arange(n) if positions is None else np.asarray(positions, dtype=np.int64)
    if own.size and not (own.min() >= 0 and own.max() < n):
        raise ValueError(f"positions must lie in 0…{n - 1}. Received: {own.min()}…{own.max()}")
    indices = own[:, None] + np.arange(1 - size, 1)
    valid = indices >= first[own, None]
    return np.where(valid, indices, first[own, None]), valid


def window_indices(windows, size=None):
    """Windows as rows of positions, short ones padded at the end by repeating their last position.

    Parameters
    ----------
    windows : array-like of int, shape (n_windows, 2)
        Start and stop positions.
    size : int, optional
        Row length; by default that of the longest window.

    Returns
    -------
    indices : numpy.ndarray of int64, shape (n_windows, size)
        Always existing positions, ready for gathering.
    valid : numpy.ndarray of bool, shape (n_windows, size)
        False where the last position was repeated: weights for losses, metrics and `stitch_frames`.

    Raises
    ------
    ValueError
        A window is empty or longer than `size`.
    """
    windows = _as_windows(windows)
    lengths = windows[:, 1] - windows[:, 0]
    size = int(lengths.max(initial=0)) if size is None else size
    if len(lengths) and lengths.max() > size:
        raise ValueError(f"size must not be below the longest window. Received: size={size}, longest {lengths.max()}")
    offsets = np.arange(size)
    valid = offsets < lengths[:, None]
    return windows[:, :1] + np.minimum(offsets, lengths[:, None] - 1), valid


def stitch(windows, values, n):
    """Back to positions from one value (or vector) per window: the mean over all windows that cover a position.

    Parameters
    ----------
    windows : array-like of int, shape (n_windows, 2)
        Start and stop positions within 0…n.
    values : array-like, shape (n_windows, …)
        One value or array per window. NaN does not count, so that a window without a prediction spoils no other.
    n : int
        Number of positions.

    Returns
    -------
    numpy.ndarray of float64, shape (n, …)
        NaN where nothing covers a position.

    Raises
    ------
    ValueError
        Another number of values than of windows, or a window outside 0…n.
    """
    windows, values = _checked(windows, values, n)
    return _average(((start, stop, value) for (start, stop), value in zip(windows, values)), values.shape[1:], n)


def stitch_frames(windows, values, n):
    """Back to positions from one value (or vector) per position of each window: the mean over overlapping windows.

    Parameters
    ----------
    windows : array-like of int, shape (n_windows, 2)
        Start and stop positions within 0…n.
    values : array-like, shape (n_windows, size, …)
        ``values[w, j]`` belongs to position ``windows[w, 0] + j``; what exceeds a window's length (padding) is ignored, and so is NaN.
    n : int
        Number of positions.

    Returns
    -------
    numpy.ndarray of float64, shape (n, …)
        NaN where nothing covers a position.

    Raises
    ------
    ValueError
        Another number of values than of windows, windows longer than `values`, or a window outside 0…n.
    """
    windows, values = _checked(windows, values, n)
    longest = int((windows[:, 1] - windows[:, 0]).max(initial=0))
    if values.ndim < 2 or values.shape[1] < longest:
        raise ValueError(
            f"values must have shape (n_windows, size, …) with size at least the longest window, {longest}. "
            f"Received: shape {values.shape}"
        )
    pieces = ((start, stop, value[: stop - start]) for (start, stop), value in zip(windows, values))
    return _average(pieces, values.shape[2:], n)


def _average(pieces, shape, n):
    total, count = np.zeros((n, *shape)), np.zeros((n, *shape), np.int64)
    for start, stop, value in pieces:
        known = ~np.isnan(value)
        total[start:stop] += np.where(known, value, 0.0)
        count[start:stop] += known
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _windows_of_run(start, stop, size, stride, tail):
    starts = np.arange(start, stop - size + 1, stride, dtype=np.int64)
    windows = np.stack([starts, starts + size], axis=1)
    covered = windows[-1, 1] if len(windows) else start
    if covered < stop and tail != "drop":
        begin = max(start, stop - size) if tail == "last" else (starts[-1] + stride if len(starts) else start)
        windows = np.concatenate([windows, [[begin, stop]]])
    return windows


def _spans(n, frames, across_gaps):
    if frames is None:
        return [(0, n)] if n else []
    found = runs(frames)
    if len(frames) != n:
        raise ValueError(f"frames must hold one number per position. Received: {len(frames)} frames for n={n}")
    return [(0, n)] if across_gaps and n else [tuple(run) for run in found.tolist()]


def _check_integers(**bounds):
    for name, (value, least) in bounds.items():
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}. Received: {name}={value!r}")


def _as_windows(windows):
    windows = np.asarray(windows)
    if windows.size == 0:
        return np.empty((0, 2), np.int64)
    if windows.ndim != 2 or windows.shape[1] != 2 or windows.dtype.kind not in "iu":
        raise ValueError(
            f"windows must be whole numbers of shape (n_windows, 2). Received: shape {windows.shape}, dtype {windows.dtype}"
        )
    empty = np.flatnonzero(windows[:, 0] >= windows[:, 1])
    if len(empty):
        raise ValueError(f"a window must not be empty. Received: windows[{empty[0]}] = {windows[empty[0]].tolist()}")
    return windows.astype(np.int64)


def _checked(windows, values, n):
    windows, values = _as_windows(windows), np.asarray(values, dtype=np.float64)
    _check_integers(n=(n, 0))
    if len(windows) and not (windows.min() >= 0 and windows.max() <= n):
        raise ValueError(f"windows must lie within 0…{n}. Received: {windows.min()}…{windows.max()}")
    if values.ndim < 1 or len(values) != len(windows):
        raise ValueError(f"values must have one entry per window, {len(windows)}. Received: shape {values.shape}")
    return windows, values
