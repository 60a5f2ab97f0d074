"""Weights of the highest CCC: search and exact optimum."""

import numpy as np
import pytest
from continuous_models import by_frames, material
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.base import clone

from abaw_tf.fusion.continuous import CCCFusion, ccc_of_sums, optimal_weights, weighted_mean
from abaw_tf.fusion.moments import Moments, ccc_of_weights


def grid(n_models, steps):
    """All weights that are multiples of 1/steps."""
    axes = np.meshgrid(*[np.arange(steps + 1)] * (n_models - 1), indexing="ij")
    points = np.stack([axis.ravel() for axis in axes], axis=1)
    points = points[points.sum(axis=1) <= steps]
    return np.column_stack([points, steps - points.sum(axis=1)]) / steps


class TestOptimum:
    @pytest.mark.parametrize(("n_models", "steps"), [(2, 20_000), (3, 600)])
    @pytest.mark.parametrize("seed", range(8))
    def test_no_point_of_a_fine_grid_is_better(self, n_models, steps, seed):
        predictions, truth = material(seed, n_models)
        moments = Moments.of(predictions, truth)
        best = ccc_of_weights(moments, optimal_weights(moments)[None])[0]
        of_grid = ccc_of_weights(moments, grid(n_models, steps)).max(axis=0)
        assert (best >= of_grid - 1e-14).all()
        np.testing.assert_allclose(best, of_grid, atol=1e-4)

    @pytest.mark.parametrize("seed", range(12))
    def test_agrees_with_a_general_solver(self, seed):
        n_models = 2 + seed % 9
        moments = Moments.of(*material(seed, n_models, n_frames=5 + 4 * seed, n_outputs=1))

        def loss(weights):
            return -ccc_of_weights(moments, (weights / weights.sum())[None])[0, 0]

        starts = [np.full(n_models, 1 / n_models), *(0.9 * np.eye(n_models) + 0.1 / n_models)]
        constraint = {"type": "eq", "fun": lambda w: w.sum() - 1}
        options = {"ftol": 1e-14, "maxiter": 500}
        solved = min(
            minimize(
                loss, start, bounds=[(0, 1)] * n_models, constraints=constraint, method="SLSQP", options=options
            ).fun
            for start in starts
        )
        weights = optimal_weights(moments)
        assert weights.min() >= 0
        assert weights.sum() == pytest.approx(1, abs=1e-15)
        assert loss(weights[:, 0]) == pytest.approx(solved, abs=1e-9)
        assert loss(weights[:, 0]) <= solved + 1e-14

    @settings(max_examples=60, deadline=None)
    @given(
        st.integers(0, 10**6),
        st.integers(1, 14),
        st.integers(2, 40),
        st.sampled_from([0.0, 0.2]),
        st.sampled_from(["plain", "duplicates", "constants", "collinear", "negative", "tiny", "huge"]),
    )
    def test_conditions_of_optimality(self, seed, n_models, n_frames, unlabelled, kind):
        """No direction from the optimum to a single model, or to any drawn weights, leads upwards."""
        predictions, truth = material(seed, n_models, n_frames, 1, unlabelled)
        rng = np.random.default_rng(seed)
        if kind == "duplicates":
            predictions = predictions[rng.integers(0, n_models, n_models)]
        elif kind == "constants":
            predictions[::2] = rng.normal()
        elif kind == "collinear":
            predictions = np.concatenate([predictions, predictions.mean(axis=0, keepdims=True)])
        elif kind == "negative":
            predictions = -np.nan_to_num(truth)[None] + 0.1 * predictions
        elif kind == "tiny":
            predictions *= 1e-9
        elif kind == "huge":
            predictions[::2] *= 1e6
        known = truth[~np.isnan(truth)]
        assume(len(known) > 1 and np.ptp(known) > 0)
        moments = Moments.of(predictions, truth)
        weights = optimal_weights(moments)
        assert weights.min() >= 0
        assert weights.sum() == pytest.approx(1, abs=1e-12)
        best = ccc_of_weights(moments, weights[None])[0, 0]
        others = np.vstack([np.eye(len(predictions)), rng.dirichlet(np.full(len(predictions), 0.5), 200)])
        for step in (1, 1e-2, 1e-4):
            tried = ccc_of_weights(moments, (1 - step) * weights[:, 0] + step * others)
            assert tried.max() <= best + 1e-12

    def test_unconstrained_closed_form_is_the_top_generalised_eigenvalue(self):
        scipy_linalg = pytest.importorskip("scipy.linalg")
        rng = np.random.default_rng(0)
        truth = rng.normal(size=(300, 1))
        predictions = truth + rng.normal(size=(4, 300, 1))  # alike, so that the optimum lies inside the simplex
        moments = Moments.of(predictions, truth)
        covariances, s, d, variance = (part[0] for part in moments.central())
        q, one = covariances + np.outer(d, d) + variance, np.ones(4)
        largest = scipy_linalg.eigh(np.outer(s, one) + np.outer(one, s), q, eigvals_only=True)[-1]
        weights = optimal_weights(moments)
        assert weights.min() > 0.1
        assert ccc_of_weights(moments, weights[None])[0, 0] == pytest.approx(largest, abs=1e-13)

    def test_where_nobody_correlates_a_single_model_is_best(self):
        rng = np.random.default_rng(0)
        truth = rng.normal(size=(200, 1))
        predictions = -truth + rng.normal(size=(3, 200, 1)) * np.array([0.1, 3, 0.5])[:, None, None]
        fusion = CCCFusion().fit(predictions, truth)
        assert fusion.weights_[:, 0].tolist() == [0, 1, 0]
        assert fusion.score_ < 0

    def test_a_constant_model_serves_to_shrink(self):
        """A model twice as wide as the truth: half of it and half of a constant is perfect."""
        truth = np.linspace(-1, 1, 11)[:, None]
        fusion = CCCFusion().fit(np.stack([2 * truth, 0 * truth]), truth)
        np.testing.assert_allclose(fusion.weights_[:, 0], [0.5, 0.5], atol=1e-12)
        assert fusion.score_ == pytest.approx(1, abs=1e-14)

    def test_many_models(self):
        predictions, truth = material(9, n_models=60, n_frames=500, n_outputs=1)
        fusion = CCCFusion().fit(predictions, truth)
        assert fusion.score_ > CCCFusion("search", n_draws=2000).fit(predictions, truth).score_
        gradient_step = 1e-6 * np.eye(60) + (1 - 1e-6) * fusion.weights_[:, 0]
        assert by_frames(predictions, truth, fusion.weights_)[0] >= max(
            by_frames(predictions, truth, w[:, None])[0] for w in gradient_step
        )


class TestCCCFusion:
    @pytest.mark.parametrize("seed", range(6))
    def test_optimum_search_single_in_this_order(self, seed):
        predictions, truth = material(seed, n_models=4, unlabelled=0.1)
        optimum = CCCFusion().fit(predictions, truth)
        search = CCCFusion("search", n_draws=3000).fit(predictions, truth)
        assert (optimum.ccc_ >= search.ccc_ - 1e-15).all()
        assert (search.ccc_ >= search.single_ccc_.max(axis=0)).all()
        assert search.score_ >= search.equal_score_
        np.testing.assert_allclose(search.ccc_, optimum.ccc_, atol=0.02)
        for fusion in (optimum, search):
            np.testing.assert_allclose(fusion.weights_.sum(axis=0), 1, atol=1e-12)
            np.testing.assert_allclose(by_frames(predictions, truth, fusion.weights_), fusion.ccc_, atol=1e-12)
            assert fusion.score_ == pytest.approx(fusion.ccc_.mean())
            assert [score for _, score in fusion.history_] == sorted(score for _, score in fusion.history_)
            assert fusion.history_[-1][1] == fusion.score_
            np.testing.assert_allclose(fusion.single_scores_, fusion.single_ccc_.mean(axis=1))

    def test_search_is_the_best_of_its_draws(self):
        predictions, truth = material(11)
        search = CCCFusion("search", n_draws=50, seed=3).fit(predictions, truth)
        drawn = np.random.default_rng(3).dirichlet(np.ones(3), size=50)
        tried = np.vstack([np.eye(3), np.full((1, 3), 1 / 3), drawn])
        scores = np.array([by_frames(predictions, truth, np.tile(w[:, None], 2)) for w in tried])
        np.testing.assert_array_equal(search.weights_, tried[scores.argmax(axis=0)].T)
        assert (
            CCCFusion("search", n_draws=50, seed=3).fit(predictions, truth).weights_.tolist()
            == search.weights_.tolist()
        )

    def test_a_perfect_model_gets_weight_one(self):
        predictions, truth = material(12)
        predictions[1] = truth
        for method in ("optimum", "search"):
            fusion = CCCFusion(method, n_draws=100).fit(predictions, truth)
            np.testing.assert_allclose(fusion.weights_, np.tile([[0], [1], [0]], 2), atol=1e-9)
            np.testing.assert_allclose(fusion.predict(predictions, clip=False), truth, atol=1e-8)

    def test_permuting_models_permutes_the_weights(self):
        predictions, truth = material(13, n_models=5, n_frames=200)
        order = np.array([3, 0, 4, 1, 2])
        fusion = CCCFusion().fit(predictions, truth)
        np.testing.assert_allclose(
            CCCFusion().fit(predictions[order], truth).weights_, fusion.weights_[order], atol=1e-10
        )

    def test_one_model_needs_no_search(self):
        predictions, truth = material(14, n_models=1)
        for method in ("optimum", "search"):
            fusion = CCCFusion(method, n_draws=10).fit(predictions, truth)
            assert fusion.weights_.tolist() == [[1, 1]]
            assert fusion.score_ == fusion.equal_score_ == fusion.single_scores_[0]

    @pytest.mark.parametrize("labelled", [0, 1, 5])
    def test_truth_that_does_not_vary(self, labelled):
        predictions, truth = material(15)
        truth[:, 1] = np.nan
        truth[:labelled, 1] = 0.25
        with pytest.raises(ValueError, match=f"output 1.*Received: {labelled} labelled"):
            CCCFusion().fit(predictions, truth)

    @pytest.mark.parametrize("seed", range(5))
    def test_truth_that_varies_in_one_fold_only(self, seed):
        rng = np.random.default_rng(seed)
        predictions, truth = rng.normal(size=(3, 100, 1)), np.full((100, 1), 0.3)
        truth[:20, 0] = rng.uniform(-1, 1, 20)
        with pytest.raises(ValueError, match=r"output 0.*Received: 80 labelled frames, all with the same label"):
            CCCFusion().fit_folds(predictions, truth, np.repeat(np.arange(5), 20), 5)

    @pytest.mark.parametrize(
        "options",
        [
            {"method": "best"},
            {"n_draws": -1},
            {"n_draws": 1.5},
            {"n_draws": None},
            {"seed": -1},
            {"seed": None},
            {"concentration": 0},
            {"concentration": np.inf},
            {"concentration": np.nan},
        ],
    )
    def test_wrong_options(self, options):
        with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
            CCCFusion(**options).fit(*material(16))

    def test_no_draws_leave_the_starting_points(self):
        predictions, truth = material(17)
        fusion = CCCFusion("search", n_draws=0).fit(predictions, truth)
        assert fusion.history_[0][0] < 0
        assert len(fusion.history_) == 1

    def test_predict_clips_where_asked(self):
        predictions, truth = material(18)
        fusion = CCCFusion().fit(predictions, truth)
        plain = fusion.predict(3 * predictions, clip=False)
        np.testing.assert_allclose(plain, np.einsum("mfo,mo->fo", 3 * predictions, fusion.weights_), atol=1e-12)
        assert np.abs(plain).max() > 1
        np.testing.assert_array_equal(fusion.predict(3 * predictions), np.clip(plain, -1, 1))
        with pytest.raises(ValueError, match="shape"):
            fusion.predict(predictions[:2])

    def test_folds_are_fits_to_the_rest(self):
        predictions, truth = material(19, n_frames=90, unlabelled=0.2)
        folds = np.arange(90) // 30
        for method in ("optimum", "search"):
            fusion = CCCFusion(method, n_draws=200)
            together = fusion.fit_folds(predictions, truth, folds, 3)
            for fold, estimator in enumerate(together):
                apart = clone(fusion).fit(predictions[:, folds != fold], truth[folds != fold])
                np.testing.assert_allclose(estimator.weights_, apart.weights_, atol=1e-8)
                assert estimator.score_ == pytest.approx(apart.score_, abs=1e-12)
            assert not hasattr(fusion, "weights_")

    def test_sums_score_like_the_frames_and_add_up(self):
        predictions, truth = material(20, n_frames=70, unlabelled=0.2)
        codes = np.random.default_rng(0).integers(0, 5, 70)
        fusion = CCCFusion()
        for weights in (np.array([0.2, 0.5, 0.3]), np.array([[0.2, 0.0], [0.5, 0.4], [0.3, 0.6]])):
            sums = fusion.sums(predictions, truth, weights, codes, 6)
            columns = weights if weights.ndim == 2 else np.tile(weights[:, None], 2)
            assert fusion.score_sums(sums.sum(axis=0)) == pytest.approx(
                by_frames(predictions, truth, columns).mean(), abs=1e-12
            )
            per_group = fusion.score_sums(sums)
            assert per_group.shape == (6,)
            assert np.isnan(per_group[5])
            one = by_frames(predictions[:, codes == 2], truth[codes == 2], columns).mean()
            assert per_group[2] == pytest.approx(one, abs=1e-12)
            half = codes < 3
            parts = [fusion.sums(predictions[:, part], truth[part], weights, codes[part], 6) for part in (half, ~half)]
            np.testing.assert_allclose(sum(parts), sums, atol=1e-12)

    def test_sums_refuse_what_would_be_rounding(self):
        predictions, truth = material(21)
        with pytest.raises(ValueError, match="far from zero"):
            CCCFusion().sums(predictions + 1e6, truth + 1e6, np.full(3, 1 / 3), np.zeros(40, int), 1)

    def test_almost_equal_labels_are_no_reason_to_refuse(self):
        predictions, truth = material(24)
        truth = 0.5 + 1e-6 * truth
        sums = CCCFusion().sums(predictions, truth, np.full(3, 1 / 3), np.zeros(40, int), 1)
        assert abs(CCCFusion().score_sums(sums)[0]) < 1e-4

    def test_constant_sums(self):
        truth = np.full((9, 1), 0.3)
        fusion = CCCFusion()
        codes = np.zeros(9, int)
        assert np.isnan(fusion.score_sums(fusion.sums(truth[None], truth, np.ones(1), codes, 1))[0])
        assert fusion.score_sums(fusion.sums(truth[None] + 0.1, truth, np.ones(1), codes, 1))[0] == pytest.approx(0)
        assert ccc_of_sums(np.zeros((2, 3, 3))).tolist() == pytest.approx([np.nan] * 2, nan_ok=True)

    def test_progress_counts_the_draws(self):
        counted = []
        CCCFusion("search", n_draws=25).fit(*material(22), progress=counted.append)
        assert sum(counted) == 25

    def test_inputs_are_left_alone(self):
        predictions, truth = material(23, unlabelled=0.2)
        copies = predictions.copy(), truth.copy()
        CCCFusion().fit(predictions, truth).predict(predictions)
        weighted_mean(predictions, np.full(3, 1 / 3))
        np.testing.assert_array_equal(predictions, copies[0])
        np.testing.assert_array_equal(truth, copies[1])
