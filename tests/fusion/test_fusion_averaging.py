"""Averages and votes of probabilities against SciPy and plain counting."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import gmean

from abaw_tf.fusion.averaging import EPSILON, checked_weights, fused_scores, majority, weighted_average


def simulated(n_models=3, n_frames=200, n_classes=7, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(n_classes), size=(n_models, n_frames))


def test_mean_of_probabilities():
    probabilities = simulated()
    np.testing.assert_allclose(weighted_average(probabilities), probabilities.mean(axis=0))
    weights = np.array([1.0, 3.0, 4.0])
    np.testing.assert_allclose(
        weighted_average(probabilities, weights), np.average(probabilities, axis=0, weights=weights)
    )


def test_weights_per_class_are_rescaled_over_the_classes():
    probabilities = simulated()
    weights = np.random.default_rng(1).random((3, 7))
    expected = np.einsum("mfc,mc->fc", probabilities, weights / weights.sum(axis=0))
    np.testing.assert_allclose(weighted_average(probabilities, weights), expected / expected.sum(axis=1, keepdims=True))
    one_class_each = [[[1.0, 0.0]], [[0.0, 1.0]]]
    assert weighted_average(one_class_each, [[0, 1], [1, 0]]).tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize("pool", ["probability", "logit"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_hot_weights_give_back_the_model(pool, dtype):
    probabilities = simulated().astype(dtype)
    for model, weights in zip(probabilities, np.eye(3)):
        np.testing.assert_allclose(weighted_average(probabilities, weights, pool), model, rtol=1e-5)


def test_mean_of_logits_is_the_geometric_mean_and_the_softmax_of_averaged_logits():
    logits = np.random.default_rng(0).normal(size=(3, 100, 7))
    probabilities, weights = softmax(logits, axis=2), np.array([0.2, 0.3, 0.5])
    found = weighted_average(probabilities, weights, pool="logit")
    np.testing.assert_allclose(found, softmax(np.tensordot(weights, logits, 1), axis=1))
    expected = gmean(probabilities, axis=0, weights=np.repeat(weights, 700).reshape(3, 100, 7))
    np.testing.assert_allclose(found, expected / expected.sum(axis=1, keepdims=True))


def test_a_zero_is_no_veto_among_logits():
    found = weighted_average([[[1.0, 0.0]], [[0.1, 0.9]], [[0.1, 0.9]]], pool="logit")[0]
    odds = (1 / EPSILON * (1 / 9) ** 2) ** (1 / 3)
    assert found[0] / found[1] == pytest.approx(odds)


def test_float32_is_added_up_in_float64():
    probabilities = simulated().astype(np.float32)
    weights = np.random.default_rng(1).dirichlet(np.ones(3))
    expected = np.zeros(probabilities.shape[1:])
    for model, weight in zip(probabilities, weights):
        expected += model.astype(np.float64) * weight
    found = fused_scores(probabilities, weights)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, expected)
    per_class = np.repeat(weights[:, None], 7, axis=1)
    np.testing.assert_array_equal(fused_scores(probabilities, per_class), expected)


def test_weights_that_sum_to_one_keep_their_bits():
    for weights in np.random.default_rng(0).dirichlet(np.ones(3), size=50):
        np.testing.assert_array_equal(checked_weights(weights, simulated()), weights)
    np.testing.assert_allclose(checked_weights([1, 1, 2], simulated()), [0.25, 0.25, 0.5])


@given(st.integers(1, 5), st.integers(1, 20), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_majority_is_what_counting_says(n_models, n_frames, n_classes, seed):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(n_classes), size=(n_models, n_frames))
    shares = majority(probabilities)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    for frame in range(n_frames):
        votes = np.bincount(probabilities[:, frame].argmax(axis=1), minlength=n_classes)
        np.testing.assert_allclose(shares[frame], votes / n_models, atol=2e-6)
        tied = np.flatnonzero(votes == votes.max())
        mean = probabilities[:, frame].mean(axis=0)
        assert shares[frame].argmax() == tied[mean[tied].argmax()]


def test_votes_are_weighted():
    probabilities = np.array([[[0.9, 0.1]], [[0.4, 0.6]], [[0.45, 0.55]]])
    assert majority(probabilities).argmax() == 1
    assert majority(probabilities, [3, 1, 1]).argmax() == 0
    np.testing.assert_allclose(majority(probabilities, [3, 1, 1]), [[0.6, 0.4]], atol=2e-6)
    with pytest.raises(ValueError, match="one weight per model"):
        majority(probabilities, np.ones((3, 2)))


@pytest.mark.parametrize("fuse", [weighted_average, majority, lambda p, w: weighted_average(p, w, "logit")])
def test_permuting_models_with_their_weights_changes_nothing(fuse):
    probabilities, weights = simulated(n_frames=20), np.array([0.2, 0.3, 0.5])
    expected = fuse(probabilities, weights)
    for order in map(list, itertools.permutations(range(3))):
        np.testing.assert_allclose(fuse(probabilities[order], weights[order]), expected)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 1], "one per model"),
        ([1, -1, 1], "non-negative"),
        ([0, 0, 0], "positive sum"),
        ([1, np.nan, 1], "finite"),
        (np.eye(3, 7), "positive sum"),
    ],
)
def test_bad_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        weighted_average(simulated(), weights)


@pytest.mark.parametrize("fuse", [weighted_average, majority])
@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1])
def test_bad_probabilities_are_named(fuse, value):
    probabilities = simulated()
    probabilities[2, 5, 3] = value
    with pytest.raises(ValueError, match=r"of model 2 at frame 5 \(1 such frames\)"):
        fuse(probabilities)


def test_bad_shape_and_pool_are_refused():
    with pytest.raises(ValueError, match=r"shape \(models, frames, classes\). Received: shape=\(200, 7\)"):
        weighted_average(simulated()[0])
    with pytest.raises(ValueError, match="pool must be one of"):
        weighted_average(simulated(), pool="max")
