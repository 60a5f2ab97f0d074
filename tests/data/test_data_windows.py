"""Windows over positions, checked against slow rules written out one position at a time."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from abaw_tf.data import windows

SIZES = st.integers(1, 9)
TAILS = st.sampled_from(windows.TAILS)
FRAMES = st.sets(st.integers(0, 40)).map(sorted)


def slow_windows(frames, size, stride, tail):
    """Windows as tuples of frame numbers: walk through the frames, breaking at every hole."""
    runs, run = [], []
    for frame in frames:
        if run and frame != run[-1] + 1:
            runs.append(run)
            run = []
        run.append(frame)
    runs += [run] if run else []
    found = []
    for run in runs:
        covered, start = 0, 0
        while start + size <= len(run):
            found.append(tuple(run[start : start + size]))
            covered = start + size
            start += stride
        if covered < len(run) and tail == "short":
            found.append(tuple(run[start:]))
        if covered < len(run) and tail == "last":
            found.append(tuple(run[-size:]))
    return found


@settings(deadline=None)
@given(FRAMES, SIZES, SIZES, TAILS)
def test_windows_follow_the_rules(frames, size, stride, tail):
    assume(stride <= size)
    found = windows.sliding_windows(len(frames), size, stride, tail, frames=np.array(frames, int))
    assert found.dtype == np.int64
    assert [tuple(frames[start:stop]) for start, stop in found] == slow_windows(frames, size, stride, tail)


@settings(deadline=None)
@given(st.integers(0, 40), SIZES, SIZES, TAILS)
def test_without_frames_there_are_no_gaps(n, size, stride, tail):
    assume(stride <= size)
    expected = windows.sliding_windows(n, size, stride, tail, frames=np.arange(n))
    np.testing.assert_array_equal(windows.sliding_windows(n, size, stride, tail), expected)
    scattered = 3 * np.arange(n)
    across = windows.sliding_windows(n, size, stride, tail, frames=scattered, across_gaps=True)
    np.testing.assert_array_equal(across, expected)


@settings(deadline=None)
@given(FRAMES, SIZES, SIZES, st.sampled_from(["short", "last"]))
def test_kept_tails_cover_every_position_and_no_window_bridges_a_gap(frames, size, stride, tail):
    assume(stride <= size)
    frames = np.array(frames, int)
    found = windows.sliding_windows(len(frames), size, stride, tail, frames=frames)
    covered = np.zeros(len(frames), bool)
    for start, stop in found:
        covered[start:stop] = True
        assert frames[stop - 1] - frames[start] == stop - 1 - start < size
    assert covered.all()
    assert (np.diff(found[:, 0]) > 0).all()


def test_the_published_windows():
    # Zhang et al. 2022: 300 frames, hop 200, and one more window over the last 300.
    assert windows.sliding_windows(750, 300, 200, "last").tolist() == [[0, 300], [200, 500], [400, 700], [450, 750]]
    assert windows.sliding_windows(700, 300, 200, "last").tolist() == [[0, 300], [200, 500], [400, 700]]
    assert windows.sliding_windows(120, 300, 200, "last").tolist() == [[0, 120]]
    # Dresvyanskiy et al. 2020: 4 s, half overlapping, a shorter one at the end.
    size = windows.seconds_to_frames(4, 7.5)
    assert windows.sliding_windows(70, size, round(size / 2)).tolist() == [[0, 30], [15, 45], [30, 60], [45, 70]]


def test_blocks_do_not_overlap():
    assert windows.blocks(10, 4).tolist() == [[0, 4], [4, 8], [8, 10]]
    assert windows.blocks(10, 4, "drop").tolist() == [[0, 4], [4, 8]]
    assert windows.blocks(10, 4, "last").tolist() == [[0, 4], [4, 8], [6, 10]]
    assert windows.blocks(5, 3, frames=[0, 1, 7, 8, 9]).tolist() == [[0, 2], [2, 5]]
    assert windows.blocks(0, 4).shape == (0, 2)


@pytest.mark.parametrize(
    ("seconds", "fps", "frames"), [(4, 30, 120), (4, 29.97, 120), (4, 7.5, 30), (4, 23.976, 96), (0.01, 25, 1)]
)
def test_seconds_to_frames(seconds, fps, frames):
    assert windows.seconds_to_frames(seconds, fps) == frames


@settings(deadline=None)
@given(FRAMES, SIZES, st.booleans())
def test_causal_blocks(frames, size, across_gaps):
    indices, valid = windows.causal_blocks(len(frames), size, frames=np.array(frames, int), across_gaps=across_gaps)
    assert indices.shape == valid.shape == (len(frames), size)
    for position in range(len(frames)):
        block = [position]
        while len(block) < size:
            before = block[0] - 1
            if before < 0 or (frames[before] != frames[block[0]] - 1 and not across_gaps):
                break
            block.insert(0, before)
        padding = size - len(block)
        assert indices[position].tolist() == [block[0]] * padding + block
        assert valid[position].tolist() == [False] * padding + [True] * len(block)


def test_causal_blocks_of_some_positions():
    every, every_valid = windows.causal_blocks(20, 16)
    some, some_valid = windows.causal_blocks(20, 16, positions=[19, 0, 3])
    np.testing.assert_array_equal(some, every[[19, 0, 3]])
    np.testing.assert_array_equal(some_valid, every_valid[[19, 0, 3]])
    assert windows.causal_blocks(0, 4)[0].shape == (0, 4)


@settings(deadline=None)
@given(st.integers(0, 30), SIZES, SIZES, st.sampled_from([None, 9, 12]))
def test_window_indices_repeat_the_last_position(n, size, stride, width):
    assume(stride <= size)
    pairs = windows.sliding_windows(n, size, stride)
    indices, valid = windows.window_indices(pairs, width)
    assert indices.shape[0] == len(pairs)
    for (start, stop), row, real in zip(pairs, indices, valid):
        padding = len(row) - (stop - start)
        assert row.tolist() == [*range(start, stop), *[stop - 1] * padding]
        assert real.tolist() == [True] * (stop - start) + [False] * padding


VALUES = st.floats(-5, 5) | st.just(np.nan)


@settings(deadline=None)
@given(st.data(), st.integers(1, 25), SIZES, SIZES, TAILS)
def test_stitching_is_the_mean_of_what_covers(data, n, size, stride, tail):
    assume(stride <= size)
    pairs = windows.sliding_windows(n, size, stride, tail)
    values = np.array(data.draw(st.lists(VALUES, min_size=len(pairs), max_size=len(pairs))))
    result = windows.stitch(pairs, values, n)
    for position in range(n):
        over = [v for (start, stop), v in zip(pairs, values) if start <= position < stop and not np.isnan(v)]
        np.testing.assert_allclose(result[position], np.mean(over) if over else np.nan, atol=1e-12)


@settings(deadline=None)
@given(st.integers(1, 25), SIZES, SIZES, st.integers(0, 5))
def test_stitching_frames_gives_back_what_was_cut(n, size, stride, seed):
    assume(stride <= size)
    track = np.random.default_rng(seed).normal(size=(n, 3))
    pairs = windows.sliding_windows(n, size, stride)
    indices, valid = windows.window_indices(pairs, size + 2)
    cut = np.where(valid[..., None], track[indices], 1e9)  # padding must not leak into the result
    np.testing.assert_allclose(windows.stitch_frames(pairs, cut, n), track, atol=1e-12)


def test_stitching_frames_averages_each_position_on_its_own():
    result = windows.stitch_frames([[0, 3], [1, 4]], [[1.0, 2.0, np.nan], [4.0, 6.0, 8.0]], 5)
    np.testing.assert_array_equal(result, [1, 3, 6, 8, np.nan])


def test_stitching_vectors_and_nothing():
    result = windows.stitch([[0, 2], [1, 3]], [[1.0, 0.0], [0.0, 1.0]], 4)
    np.testing.assert_array_equal(result, [[1, 0], [0.5, 0.5], [0, 1], [np.nan, np.nan]])
    assert windows.stitch(np.empty((0, 2), int), np.empty((0, 7)), 2).shape == (2, 7)


def test_stitching_follows_holes():
    frames = np.array([0, 1, 2, 10, 11])
    pairs = windows.sliding_windows(5, 2, 1, frames=frames)
    assert frames[pairs[:, 0]].tolist() == [0, 1, 10]
    np.testing.assert_array_equal(windows.stitch(pairs, [0.0, 1.0, 5.0], 5), [0, 0.5, 1, 5, 5])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: windows.sliding_windows(10, 0, 1), "size must be a whole number of at least 1. Received: size=0"),
        (lambda: windows.sliding_windows(10, 4, 5), "stride must not exceed size"),
        (lambda: windows.sliding_windows(10, 4.0, 2), r"Received: size=4\.0"),
        (lambda: windows.sliding_windows(-1, 4, 2), "Received: n=-1"),
        (
            lambda: windows.sliding_windows(10, 4, 2, "pad"),
            "tail must be one of short, last, drop. Received: tail='pad'",
        ),
        (lambda: windows.sliding_windows(3, 2, 1, frames=[4, 4, 5]), "strictly increasing.*4 before 4 at position 1"),
        (lambda: windows.sliding_windows(3, 2, 1, frames=[4, 5]), "Received: 2 frames for n=3"),
        (lambda: windows.sliding_windows(2, 2, 1, frames=np.array([True, False])), r"numpy.flatnonzero.*bool"),
        (lambda: windows.causal_blocks(5, 2, positions=[5]), "positions must lie in 0…4. Received: 5…5"),
        (lambda: windows.window_indices([[3, 3]]), r"must not be empty. Received: windows\[0\] = \[3, 3\]"),
        (lambda: windows.window_indices([[0, 5]], 4), "Received: size=4, longest 5"),
        (lambda: windows.stitch([[0, 5]], [1.0], 4), "windows must lie within 0…4. Received: 0…5"),
        (lambda: windows.stitch([[0, 2]], [1.0, 2.0], 4), r"one entry per window, 1. Received: shape \(2,\)"),
        (
            lambda: windows.stitch_frames([[0, 2]], [[1.0]], 4),
            r"at least the longest window, 2. Received: shape \(1, 1\)",
        ),
        (lambda: windows.stitch([0, 2], [1.0], 4), r"shape \(n_windows, 2\)"),
        (lambda: windows.seconds_to_frames(4, np.nan), "fps=nan"),
        (lambda: windows.seconds_to_frames(0, 25), "seconds=0"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
