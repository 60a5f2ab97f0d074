"""Dirichlet weight search against brute force, and weighted averaging."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import accuracy_score, f1_score

from abaw_tf.fusion import DirichletFusion, weighted_average


def simulated(n_models=3, n_frames=600, n_classes=7, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.choice(n_classes, size=n_frames, p=[0.4, 0.1, 0.05, 0.05, 0.2, 0.1, 0.1])
    logits = rng.normal(size=(n_models, n_frames, n_classes))
    for model in range(n_models):
        logits[model, np.arange(n_frames), y] += 0.6 + 0.4 * model
    probabilities = np.exp(logits)
    return probabilities / probabilities.sum(axis=2, keepdims=True), y


def official(y, predicted):
    macro = f1_score(y, predicted, labels=range(7), average="macro", zero_division=0)
    return 0.67 * macro + 0.33 * accuracy_score(y, predicted)


@pytest.mark.parametrize("level", ["model", "model_class"])
def test_search_is_never_below_the_best_single_model(level):
    probabilities, y = simulated()
    search = DirichletFusion(level, n_draws=50).fit(probabilities, y)
    singles = [official(y, p.argmax(axis=1)) for p in probabilities]
    np.testing.assert_allclose(search.single_scores_, singles)
    assert search.score_ >= max(singles)
    assert search.score_ == pytest.approx(official(y, search.predict(probabilities)))
    np.testing.assert_allclose(search.weights_.sum(axis=0), 1)
    assert search.weights_.shape == ((3,) if level == "model" else (3, 7))


def test_without_draws_the_best_start_wins():
    probabilities, y = simulated(n_models=2)
    search = DirichletFusion(n_draws=0).fit(probabilities, y)
    assert search.score_ == max(*search.single_scores_, search.equal_score_)


def test_two_models_reach_the_brute_force_optimum():
    probabilities, y = simulated(n_models=2)
    grid = [
        official(y, (w * probabilities[0] + (1 - w) * probabilities[1]).argmax(axis=1)) for w in np.linspace(0, 1, 1001)
    ]
    search = DirichletFusion(n_draws=2000).fit(probabilities, y)
    assert search.score_ >= max(grid) - 2e-3


def test_same_seed_same_weights_and_permuted_models_still_fuse_alike():
    probabilities, y = simulated()
    first = DirichletFusion("model_class", n_draws=30, seed=4).fit(probabilities, y)
    again = clone(first).fit(probabilities, y)
    np.testing.assert_array_equal(first.weights_, again.weights_)
    np.testing.assert_allclose(
        weighted_average(probabilities, first.weights_), weighted_average(probabilities[::-1], first.weights_[::-1])
    )


def test_unlabelled_frames_do_not_count():
    probabilities, y = simulated()
    padded = np.concatenate([probabilities, probabilities[:, :50]], axis=1)
    with_missing = DirichletFusion(n_draws=20).fit(padded, np.concatenate([y, np.full(50, -1)]))
    assert with_missing.score_ == DirichletFusion(n_draws=20).fit(probabilities, y).score_


def test_one_hot_weights_give_back_the_model():
    probabilities, _ = simulated()
    np.testing.assert_allclose(weighted_average(probabilities, [0, 1, 0]), probabilities[1])
    np.testing.assert_allclose(weighted_average(probabilities), probabilities.mean(axis=0))


@pytest.mark.parametrize(
    ("weights", "message"),
    [([1, 1], "one per model"), ([1, -1, 1], "non-negative"), ([0, 0, 0], "positive sum"), ([1, np.nan, 1], "finite")],
)
def test_bad_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        weighted_average(simulated()[0], weights)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"level": "class"}, "level must be one of"),
        ({"n_draws": -1}, "n_draws"),
        ({"metric": "abaw4"}, "Did you mean .abaw"),
    ],
)
def test_bad_parameters_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        DirichletFusion(**changes).fit(*simulated())


def test_nan_probabilities_name_model_and_row():
    probabilities, y = simulated()
    probabilities[1, 7, 0] = np.nan
    with pytest.raises(ValueError, match="of model 1 at frame 7"):
        DirichletFusion().fit(probabilities, y)
