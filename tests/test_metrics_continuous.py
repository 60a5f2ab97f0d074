"""CCC and the valence-arousal score against audmetric, by hand, and on annotations by people."""

import warnings

import audmetric
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from abaw_tf import metrics

values = st.floats(-1, 1, width=32)
series = st.integers(2, 50).flatmap(
    lambda n: st.tuples(hnp.arrays(np.float64, n, elements=values), hnp.arrays(np.float64, n, elements=values))
)


@settings(max_examples=300, deadline=None)
@given(series)
def test_ccc_equals_audmetric(arrays):
    truth, prediction = arrays
    expected = audmetric.concordance_cc(truth, prediction)
    if np.ptp(truth) < 1e-6 and np.ptp(prediction) < 1e-6:
        return  # nearly constant: audmetric divides rounding errors
    assert metrics.ccc(truth, prediction) == pytest.approx(expected, abs=1e-9)
    assert metrics.ccc(prediction, truth) == pytest.approx(expected, abs=1e-9)
    gaps = np.insert(truth, 1, np.nan)
    assert metrics.ccc(gaps, np.insert(prediction, 1, 0.7)) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(series)
def test_ccc_is_bounded_by_the_correlation(arrays):
    truth, prediction = arrays
    found = metrics.ccc(truth, prediction)
    if np.std(truth) > 1e-3 and np.std(prediction) > 1e-3:
        assert abs(found) <= abs(np.corrcoef(truth, prediction)[0, 1]) + 1e-9
        assert metrics.ccc(truth, truth) == pytest.approx(1)
        assert metrics.ccc(truth, truth + 0.5) < 1


def test_ccc_is_one_number_over_all_frames_not_a_mean_over_videos():
    rng = np.random.default_rng(0)
    truth = np.concatenate([rng.normal(-0.5, 0.05, 400), rng.normal(0.5, 0.05, 100)])
    prediction = np.where(truth < 0, -0.5, 0.5) + rng.normal(0, 0.05, 500)
    per_video = np.mean([metrics.ccc(truth[:400], prediction[:400]), metrics.ccc(truth[400:], prediction[400:])])
    assert metrics.ccc(truth, prediction) > 0.95
    assert abs(per_video) < 0.2


def test_ccc_moments_by_hand():
    truth, prediction = np.array([0.0, 1.0, 2.0, 5.0]), np.array([1.0, 1.0, 3.0, 4.0])
    # means 2 and 2.25; sums of squares 14 and 6.75; sum of products 9
    assert metrics.ccc(truth, prediction) == pytest.approx(2 * 9 / 4 / (14 / 4 + 6.75 / 4 + 0.0625))
    assert metrics.ccc(truth, prediction, ddof=1) == pytest.approx(2 * 9 / 3 / (14 / 3 + 6.75 / 3 + 0.0625))


def test_ccc_far_from_zero_keeps_its_digits():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=1000)
    prediction = truth + rng.normal(size=1000)
    assert metrics.ccc(truth + 1e7, prediction + 1e7) == pytest.approx(metrics.ccc(truth, prediction), abs=1e-7)


@pytest.mark.parametrize(
    ("truth", "prediction", "expected"),
    [
        ([0.1] * 3, [0.1] * 3, np.nan),  # constant and equal: undefined
        ([0.1] * 3, [0.2] * 3, 0.0),
        ([0.1] * 3, [0.1, 0.2, 0.3], 0.0),
        ([0.1, 0.2, 0.3], [0.2] * 3, 0.0),
        ([0.1], [0.3], np.nan),
        ([0.1, np.nan], [0.3, 0.1], np.nan),
        ([np.nan] * 3, [0.0] * 3, np.nan),
        ([np.nan] * 3, [np.nan] * 3, np.nan),
        ([], [], np.nan),
        ([0, 1], [0, 1], 1.0),
        ([0, 1], [1, 0], -1.0),
    ],
)
def test_degenerate_ccc(truth, prediction, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(metrics.ccc(truth, prediction), expected, atol=1e-15)


def test_real_raters_against_the_objective_truth(realdata):
    """Ten raters of a green intensity (multi-rater annotations, task A): the figures of the material's description."""
    folder = realdata / "multirater_green_TaskA"
    truth = np.genfromtxt(folder / "objective_truth" / "TaskA_normalized_10hz.csv", delimiter=",", skip_header=1)[:, 1]
    raters = [
        np.genfromtxt(folder / "annotations_10hz" / f"TaskA_ann{i}.csv", delimiter=",", skip_header=1)[:, 1]
        for i in range(1, 11)
    ]
    n = min(map(len, [truth, *raters]))
    single = [metrics.ccc(truth[:n], rater[:n]) for rater in raters]
    assert len(single) == 10
    assert round(min(single), 3) == 0.410
    assert round(max(single), 3) == 0.704
    mean = np.mean([rater[:n] for rater in raters], axis=0)
    assert metrics.ccc(truth[:n], mean) == pytest.approx(0.639372, abs=1e-6)


def test_valence_arousal_score_masks_each_dimension_by_its_own_labels():
    v, a = np.array([0.1, 0.5, np.nan, -0.3]), np.array([np.nan, 0.2, 0.4, 0.9])
    pv, pa = np.array([0.2, 0.4, 0.9, -0.1]), np.array([0.0, 0.1, 0.5, 0.4])
    expected = (audmetric.concordance_cc(v[[0, 1, 3]], pv[[0, 1, 3]]) + audmetric.concordance_cc(a[1:], pa[1:])) / 2
    assert metrics.valence_arousal_score(v, pv, a, pa) == pytest.approx(expected)
    assert np.isnan(metrics.valence_arousal_score(v, pv, a * np.nan, pa))


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        ([0.0, 1.0], [0.0], "equal length"),
        (np.zeros((3, 2)), np.zeros((3, 2)), r"one-dimensional.*y_true\.shape=\(3, 2\)"),
        ([0.0, 1.0], [np.nan, 1.0], r"y_pred must be finite.*Received: nan at index 0 \(1 such frames\)"),
        ([0.0, 1.0], [0.0, np.inf], "Received: inf at index 1"),
        ([0.0, -np.inf], [0.0, 1.0], "y_true must be finite.*Received: -inf at index 1"),
        (["a", "b"], [0.0, 1.0], "y_true must be real numbers"),
        ([1j, 0], [0.0, 1.0], "y_true must be real numbers"),
    ],
)
def test_wrong_values_are_refused(truth, prediction, message):
    with pytest.raises(ValueError, match=message):
        metrics.ccc(truth, prediction)


def test_sentinels_left_in_valence_or_arousal_are_refused():
    good = [0.0, 0.5, 0.2]
    with pytest.raises(ValueError, match=r"arousal_true must lie in \[-1, 1\].*Received: -5 at index 2"):
        metrics.valence_arousal_score(good, good, [0.1, 0.2, -5.0], good)
    with pytest.raises(ValueError, match=r"valence_true .*Received: 1\.5 at index 0"):
        metrics.valence_arousal_score([1.5, 0, 0], good, good, good)
