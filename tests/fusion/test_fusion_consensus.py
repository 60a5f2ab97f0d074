"""Consensus without labels: CCC-centering and the evaluator weighted estimator."""

import warnings

import audmetric
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from abaw_tf import metrics, predictions
from abaw_tf.fusion.consensus import (
    AgreementWarning,
    ccc_centering,
    centre_tables,
    evaluator_weighted_estimator,
    pairwise_ccc,
)


def agreeing(seed, n_raters=4, n_frames=50, shape=()):
    """Raters who follow the same course, each with a bias, scale and noise of his own."""
    rng = np.random.default_rng(seed)
    course = np.cumsum(rng.normal(size=(n_frames, *shape)), axis=0) / 5
    per_rater = (n_raters, *[1] * course.ndim)
    return (
        rng.normal(0, 0.3, per_rater)
        + rng.uniform(0.5, 1.2, per_rater) * course
        + 0.1 * rng.normal(size=(n_raters, *course.shape))
    )


def gold_standard(ratings):
    """The AVEC procedure step by step: take means off, average, put the means back weighted by agreement."""
    n = len(ratings)
    agreement = []
    for i in range(n):
        agreement.append(np.mean([audmetric.concordance_cc(ratings[i], ratings[j]) for j in range(n) if j != i]))
    centred = [rating - rating.mean() for rating in ratings]
    centre = sum(a * rating.mean() for a, rating in zip(agreement, ratings)) / sum(agreement)
    return sum(centred) / n + centre


class TestCCCCentering:
    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 10**6), st.integers(2, 7), st.integers(5, 80))
    def test_is_the_procedure_step_by_step(self, seed, n_raters, n_frames):
        ratings = agreeing(seed, n_raters, n_frames)
        ccc = pairwise_ccc(ratings)
        assume(((ccc.sum(axis=1) - 1) / (n_raters - 1)).min() > 1e-3)
        np.testing.assert_allclose(ccc_centering(ratings, clip=False), gold_standard(ratings), atol=1e-12)

    def test_only_shifts_the_mean(self):
        ratings = agreeing(1)
        shift = ccc_centering(ratings, clip=False) - ratings.mean(axis=0)
        assert np.ptp(shift) < 1e-14
        assert abs(shift[0]) > 1e-3

    def test_more_raters_than_frames(self):
        ratings = agreeing(2, n_raters=9, n_frames=4)
        assert ccc_centering(ratings).shape == (4,)

    def test_outputs_are_apart(self):
        ratings = agreeing(3, shape=(2,))
        both = ccc_centering(ratings, clip=False)
        for output in range(2):
            np.testing.assert_array_equal(both[:, output], ccc_centering(ratings[..., output], clip=False))

    def test_order_of_the_raters_does_not_matter(self):
        ratings = agreeing(4, n_raters=5)
        np.testing.assert_allclose(ccc_centering(ratings[::-1]), ccc_centering(ratings), atol=1e-14)

    def test_a_shift_of_everything_shifts_the_result(self):
        ratings = agreeing(5)
        far = ccc_centering(ratings + 1e6, clip=False) - 1e6
        np.testing.assert_allclose(far, ccc_centering(ratings, clip=False), atol=1e-8)

    def test_clips_where_asked(self):
        ratings = 3 * agreeing(6)
        plain = ccc_centering(ratings, clip=False)
        assert np.abs(plain).max() > 1
        np.testing.assert_array_equal(ccc_centering(ratings), np.clip(plain, -1, 1))

    def test_a_single_rater_is_returned_unchanged(self):
        rating = np.linspace(-0.5, 0.5, 9)
        for method in (ccc_centering, evaluator_weighted_estimator):
            with pytest.warns(AgreementWarning, match="single rater"):
                np.testing.assert_array_equal(method(rating[None]), rating)

    @pytest.mark.parametrize(
        "ratings",
        [
            [[0.0, 0.5, 1.0], [1.0, 0.5, 0.0]],  # opposite
            [[0.0, 0.5, 1.0], [0.1, 0.6, 0.9], [0.9, 0.4, 0.1]],  # the third is negative
            [[0.2, 0.2], [0.2, 0.2]],  # undefined
            [[0.2, 0.2], [0.4, 0.4]],  # zero
            [[0.2], [0.4]],  # one frame
        ],
    )
    def test_without_agreement_the_plain_mean(self, ratings):
        with pytest.warns(AgreementWarning, match="plain mean"):
            fused = ccc_centering(ratings)
        np.testing.assert_allclose(fused, np.mean(ratings, axis=0), atol=1e-15)

    def test_no_warning_where_raters_agree(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ccc_centering(agreeing(7))
            evaluator_weighted_estimator(agreeing(7))

    @pytest.mark.parametrize("ratings", [np.zeros(4), np.zeros((0, 4)), np.zeros((2, 0)), np.zeros((1, 2, 3, 4))])
    def test_wrong_shapes(self, ratings):
        with pytest.raises(ValueError, match="shape"):
            ccc_centering(ratings)

    def test_a_missing_value_is_named(self):
        ratings = agreeing(8)
        ratings[2, 7] = np.nan
        with pytest.raises(ValueError, match="rater 2 at frame 7"):
            ccc_centering(ratings)

    def test_pairwise_ccc(self):
        ratings = agreeing(9, n_raters=3)
        expected = [[metrics.ccc(a, b) for b in ratings] for a in ratings]
        np.testing.assert_allclose(pairwise_ccc(ratings), expected, atol=1e-13)


class TestEvaluatorWeightedEstimator:
    @pytest.mark.parametrize("leave_one_out", [True, False])
    def test_weights_are_correlations_with_the_mean(self, leave_one_out):
        ratings = agreeing(10, n_raters=5)
        weights = []
        for k in range(5):
            others = np.delete(ratings, k, axis=0) if leave_one_out else ratings
            weights.append(np.corrcoef(ratings[k], others.mean(axis=0))[0, 1])
        expected = np.average(ratings, axis=0, weights=weights)
        found = evaluator_weighted_estimator(ratings, clip=False, leave_one_out=leave_one_out)
        np.testing.assert_allclose(found, expected, atol=1e-13)

    def test_who_contradicts_or_sleeps_has_no_weight(self):
        course = np.linspace(-1, 1, 21)
        wave = 0.1 * np.sin(9 * course)
        ratings = np.stack([course + wave, course - wave, -0.5 * course, np.full(21, 0.3)])
        weights = [np.corrcoef(ratings[k], np.delete(ratings, k, axis=0).mean(axis=0))[0, 1] for k in (0, 1)]
        np.testing.assert_allclose(
            evaluator_weighted_estimator(ratings, clip=False),
            np.average(ratings[:2], axis=0, weights=weights),
            atol=1e-12,
        )

    @pytest.mark.parametrize("ratings", [[[0.0, 1.0], [1.0, 0.0]], [[0.1, 0.1], [0.3, 0.3]], [[0.2], [0.4]]])
    def test_without_agreement_the_plain_mean(self, ratings):
        with pytest.warns(AgreementWarning, match="plain mean"):
            fused = evaluator_weighted_estimator(ratings)
        np.testing.assert_allclose(fused, np.mean(ratings, axis=0), atol=1e-15)


def folds(values, trials, **columns):
    """Prediction tables of several folds from values of shape (folds, frames, 2)."""
    frames = np.concatenate([np.arange(np.sum(trials == name)) for name in dict.fromkeys(trials)])
    return {
        f"fold {number}": predictions.make_table(trials, frames, valence=v[:, 0], arousal=v[:, 1], **columns)
        for number, v in enumerate(values)
    }


class TestCentreTables:
    trials = np.repeat(["a", "b", "c"], [30, 20, 1])

    def values(self):
        values = np.clip(agreeing(11, n_raters=3, n_frames=51, shape=(2,)), -1, 1)
        values[2, 30:50, 0] = -values[0, 30:50, 0]  # disagreement on valence in trial b
        return values

    @pytest.mark.parametrize("method", ["ccc_centering", "ewe"])
    def test_trial_by_trial(self, method):
        values = self.values()
        one = {"ccc_centering": ccc_centering, "ewe": evaluator_weighted_estimator}[method]
        fused = centre_tables(folds(values, self.trials, edition="abaw3"), method)
        predictions.validate(fused)
        assert fused.attrs["edition"] == "abaw3"
        assert "fold 0, fold 1, fold 2" in fused.attrs["model"]
        for trial in "abc":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", AgreementWarning)
                expected = one(values[:, self.trials == trial])
            found = fused.loc[fused["trial"] == trial, ["valence", "arousal"]].to_numpy()
            np.testing.assert_allclose(found, expected, atol=1e-14)

    def test_notes_name_the_trials_that_fell_back(self):
        tables = folds(self.values(), self.trials, notes=["kept"])
        notes = centre_tables(tables).attrs["notes"]
        assert "fold 0: kept" in notes
        of_valence = next(note for note in notes if "valence" in note)
        assert "plain mean" in of_valence
        assert "in 2 trials (b, c)" in of_valence
        assert "in 1 trial (c)" in next(note for note in notes if "arousal" in note)

    def test_tables_of_other_frames_are_refused(self):
        tables = folds(self.values(), self.trials)
        tables["fold 1"] = tables["fold 1"].iloc[:-1]
        with pytest.raises(predictions.PredictionError, match="1 frame"):
            centre_tables(tables)

    def test_frames_that_one_table_lacks_can_be_left_out(self):
        tables = folds(self.values(), self.trials)
        tables["fold 1"] = tables["fold 1"].iloc[:-1]
        fused = centre_tables(tables, missing="drop")
        assert len(fused) == 50
        assert any("fold 1" in note for note in fused.attrs["notes"])

    def test_valence_and_arousal_are_needed(self):
        tables = folds(self.values(), self.trials)
        tables["fold 2"] = tables["fold 2"].drop(columns="arousal")
        with pytest.raises(predictions.PredictionError, match="fold 2 predicts no whole task"):
            centre_tables(tables)

    def test_wrong_method(self):
        with pytest.raises(ValueError, match="method"):
            centre_tables(folds(self.values(), self.trials), "median")
