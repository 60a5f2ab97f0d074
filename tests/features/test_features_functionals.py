"""Functionals and labels of windows, against NumPy and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from abaw_tf.features.functionals import majority_label, mean_and_std


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_mean_and_population_deviation_of_each_window(dtype):
    track = np.random.default_rng(0).normal(size=(30, 4)).astype(dtype)
    windows = np.array([[0, 12], [6, 18], [24, 30], [29, 30]])
    result = mean_and_std(track, windows)
    assert result.shape == (4, 8)
    for row, (start, stop) in zip(result, windows):
        part = track[start:stop].astype(np.float64)
        np.testing.assert_allclose(row, np.r_[part.mean(0), part.std(0, ddof=0)], rtol=1e-6, atol=1e-7)
    assert not result[3, 4:].any()  # one frame does not vary


def test_the_deviation_may_be_that_of_a_sample():
    track = np.random.default_rng(0).normal(size=(30, 4))
    result = mean_and_std(track, [[0, 12], [29, 30]], ddof=1)
    np.testing.assert_allclose(result[0, 4:], stats.tstd(track[:12], axis=0), rtol=1e-6)
    assert not result[1, 4:].any()


def test_a_large_offset_costs_no_accuracy():
    track = (1000 + np.random.default_rng(0).integers(0, 2, (1000, 1))).astype(np.float16)
    result = mean_and_std(track, [[0, 1000]])
    np.testing.assert_allclose(result[0], [track.astype(float).mean(), track.astype(float).std()], rtol=1e-6)


def test_no_windows_no_rows():
    assert mean_and_std(np.zeros((5, 3)), np.zeros((0, 2), int)).shape == (0, 6)


@given(st.lists(st.integers(-1, 6), min_size=1, max_size=20))
def test_the_majority_is_the_mode_of_the_labelled_frames_as_in_the_published_rule(labels):
    labels = np.array(labels)
    known = labels[labels >= 0]
    expected = stats.mode(known).mode if len(known) else -1
    assert majority_label(labels, [[0, len(labels)]])[0] == expected
    # The notebook: the mode, or where that is -1 the second most frequent value.
    values, counts = np.unique(labels, return_counts=True)
    ranked = values[np.lexsort((values, -counts))]
    published = ranked[0] if ranked[0] >= 0 or len(ranked) == 1 else ranked[1]
    assert published == expected


@pytest.mark.parametrize("window", [[-1, 3], [3, 3], [5, 11], [4, 2]])
def test_windows_that_leave_the_track_are_refused(window):
    with pytest.raises(ValueError, match="within the 10 frames"):
        mean_and_std(np.zeros((10, 2)), [window])
    with pytest.raises(ValueError, match="within the 10 frames"):
        majority_label(np.zeros(10, int), [window])


def test_holes_and_wrong_shapes_are_refused():
    track = np.zeros((10, 2))
    track[7] = np.nan
    with pytest.raises(ValueError, match=r"frames 5 to 9 .* fill missing faces"):
        mean_and_std(track, [[0, 5], [5, 10]])
    with pytest.raises(ValueError, match=r"shape \(10,\)"):
        mean_and_std(np.zeros(10), [[0, 5]])
    with pytest.raises(ValueError, match="whole numbers"):
        majority_label(np.zeros(10, int), [[0.0, 5.0]])
