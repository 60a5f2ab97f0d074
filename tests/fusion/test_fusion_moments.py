"""Moments of predictions and truth, and the CCC that follows from them."""

import audmetric
import numpy as np
import pytest
from continuous_models import by_frames, material
from hypothesis import given, settings
from hypothesis import strategies as st

from abaw_tf import metrics
from abaw_tf.fusion import moments as moments_module
from abaw_tf.fusion.moments import Moments, ccc_of_weights


class TestMoments:
    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 10**6), st.integers(1, 5), st.integers(2, 60), st.integers(1, 3), st.sampled_from([0.0, 0.3]))
    def test_ccc_is_that_of_the_frames(self, seed, n_models, n_frames, n_outputs, unlabelled):
        predictions, truth = material(seed, n_models, n_frames, n_outputs, unlabelled)
        weights = np.random.default_rng(seed).dirichlet(np.ones(n_models), size=(4, n_outputs)).swapaxes(1, 2)
        found = ccc_of_weights(Moments.of(predictions, truth), weights)
        expected = np.array([by_frames(predictions, truth, drawn) for drawn in weights])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)

    def test_ccc_agrees_with_audmetric(self):
        predictions, truth = material(1, n_outputs=1)
        found = ccc_of_weights(Moments.of(predictions, truth), [[0.2, 0.3, 0.5]])
        fused = np.array([0.2, 0.3, 0.5]) @ predictions[..., 0]
        assert found[0, 0] == pytest.approx(audmetric.concordance_cc(truth[:, 0], fused), abs=1e-12)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_nothing_cancels_far_from_zero(self, dtype):
        rng = np.random.default_rng(0)
        # Steps of 1/16 are exact in float32 around 1e6.
        truth = rng.integers(-30, 30, (500, 1)) / 16
        predictions = (truth + rng.integers(-20, 20, (3, 500, 1)) / 16 + 0.5).astype(dtype)
        near = ccc_of_weights(Moments.of(predictions, truth), np.eye(3))
        far = ccc_of_weights(Moments.of(predictions + dtype(1e6), truth + 1e6), np.eye(3))
        np.testing.assert_allclose(far, near, rtol=0, atol=1e-13)
        only_models = ccc_of_weights(Moments.of(predictions + dtype(1e6), truth), np.eye(3))
        assert (np.abs(only_models) < 1e-10).all()

    def test_groups_add_up_whatever_the_block(self, monkeypatch):
        predictions, truth = material(2, n_frames=101, unlabelled=0.2)
        codes = np.random.default_rng(0).integers(0, 7, 101)
        whole = Moments.of(predictions, truth)
        monkeypatch.setattr(moments_module, "BLOCK", 16)
        grouped = Moments.of(predictions, truth, codes, 8)
        assert grouped.sums.shape == (8, 2, 5, 5)
        assert (grouped.counts[7] == 0).all()
        np.testing.assert_allclose(grouped.total().sums, whole.sums, atol=1e-12)
        np.testing.assert_allclose(
            ccc_of_weights(grouped.without(3), np.eye(3)),
            [by_frames(predictions[:, codes != 3], truth[codes != 3], np.tile(w[:, None], 2)) for w in np.eye(3)],
            atol=1e-12,
        )

    def test_each_output_has_its_own_labelled_frames(self):
        predictions, truth = material(3)
        truth[:10, 0], truth[30:, 1] = np.nan, np.nan
        predictions[:, :10, 0] = np.nan  # no label, so no prediction is needed
        moments = Moments.of(predictions, truth)
        assert moments.counts.tolist() == [30, 30]
        expected = [
            metrics.ccc(truth[10:, 0], predictions[0, 10:, 0]),
            metrics.ccc(truth[:30, 1], predictions[0, :30, 1]),
        ]
        np.testing.assert_allclose(ccc_of_weights(moments, [[1, 0, 0]])[0], expected, atol=1e-12)

    def test_constants_give_exact_zeros(self):
        truth = np.full((7, 1), 0.1)
        predictions = np.stack([truth + 0.2, truth, np.linspace(0, 1, 7)[:, None]])
        found = ccc_of_weights(Moments.of(predictions, truth), np.eye(3))[:, 0]
        assert found[0] == 0
        assert np.isnan(found[1])
        assert found[2] == 0

    def test_a_single_labelled_frame_has_no_ccc(self):
        predictions, truth = material(4)
        truth[1:, 1] = np.nan
        found = ccc_of_weights(Moments.of(predictions, truth), np.eye(3))
        assert np.isnan(found[:, 1]).all()
        assert not np.isnan(found[:, 0]).any()

    def test_missing_prediction_is_named(self):
        predictions, truth = material(5)
        predictions[2, 11, 0] = np.nan
        with pytest.raises(ValueError, match="model 2 at frame 11"):
            Moments.of(predictions, truth)
        truth[4, 1] = np.inf
        with pytest.raises(ValueError, match="truth at frame 4"):
            Moments.of(predictions[:2], truth)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((np.zeros((2, 5)), np.zeros(5)), "shape"),
            ((np.zeros((2, 5, 1)), np.zeros((4, 1))), "shape"),
            ((np.zeros((2, 0, 1)), np.zeros((0, 1))), "something in them"),
            ((np.zeros((2, 5, 1)), np.zeros((5, 1)), np.zeros(5), 1), "whole numbers"),
            ((np.zeros((2, 5, 1)), np.zeros((5, 1)), np.arange(5), 4), "n_groups"),
            ((np.zeros((2, 5, 1)), np.zeros((5, 1)), np.arange(5) - 1, 5), "n_groups"),
        ],
    )
    def test_wrong_arrays(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            Moments.of(*arguments)

    @pytest.mark.parametrize("weights", [np.ones((2, 4)) / 4, np.ones(3) / 3, np.ones((2, 3, 1)) / 3, np.ones((2, 3))])
    def test_wrong_weights(self, weights):
        moments = Moments.of(*material(6))
        with pytest.raises(ValueError, match="weights must"):
            ccc_of_weights(moments, weights)
