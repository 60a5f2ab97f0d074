"""Coupled probabilities and their temperature."""

import itertools

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from abaw_tf.training.calibration import class_pairs, couple, fit_temperature, held_out_scores


def test_pairs_come_in_the_order_of_margins():
    assert class_pairs(4) == list(itertools.combinations(range(4), 2))


def test_two_classes_have_the_logistic_probability():
    margins = np.linspace(-5, 5, 11)[:, None]
    np.testing.assert_allclose(softmax(couple(margins, 2), axis=1)[:, 0], expit(margins[:, 0]))


def test_probabilities_are_products_of_pairwise_ones():
    d = np.array([[0.3, -1.2, 2.0]])  # 0 against 1, 0 against 2, 1 against 2
    s = expit(d[0])
    products = np.array([s[0] * s[1], (1 - s[0]) * s[2], (1 - s[1]) * (1 - s[2])])
    np.testing.assert_allclose(softmax(couple(d, 3), axis=1)[0], products / products.sum())


def margins_of(X_train, y_train, X_test):
    scores = LogisticRegression(C=1e4, max_iter=500).fit(X_train, y_train).decision_function(X_test)
    return -scores[:, None]


def test_the_temperature_undoes_a_scale():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 1))
    y = (rng.random(3000) < expit(1.5 * X[:, 0])).astype(int)
    plain = fit_temperature(margins_of, X, y)
    scaled = fit_temperature(lambda *a: 8 * margins_of(*a), X, y)
    assert plain == pytest.approx(1.0, rel=0.2)
    assert scaled == pytest.approx(8 * plain, rel=1e-3)


def test_groups_stay_together_and_folds_may_lack_a_class():
    seen = []

    def spy(X_train, y_train, X_test):
        seen.append((set(X_train[:, 0]), set(X_test[:, 0]), set(y_train)))
        return np.zeros((len(X_test), 1 if len(set(y_train)) == 2 else 3))

    groups = np.repeat(np.arange(6), 5)
    y = np.tile([0, 1, 0, 1, 0], 6)
    y[:5] = 2  # a class that only one group has
    fit_temperature(spy, groups[:, None], y, groups, n_folds=3)
    assert len(seen) == 3
    for train, test, classes in seen:
        assert not train & test
        assert classes == set(range(len(classes)))


@pytest.mark.parametrize(("per_class", "n_folds"), [(3, 3), (2, 2), (1, 0), (7, 5)])
def test_the_commonest_class_limits_the_folds_of_groups_too(per_class, n_folds):
    y = np.arange(4 * per_class) % 4
    everyone = np.arange(len(y))  # each is a group
    for groups in (everyone, None):
        held_out = held_out_scores(lambda X, y, new: np.zeros((len(new), 4)), y[:, None], y, groups, 5)
        assert len(held_out) == n_folds


def test_without_two_folds_the_temperature_is_one():
    assert fit_temperature(None, np.zeros((4, 1)), np.arange(4), groups=np.arange(4)) == 1.0
    assert fit_temperature(None, np.zeros((4, 1)), np.array([0, 1, 0, 1]), groups=np.zeros(4)) == 1.0
    assert fit_temperature(None, np.zeros((2, 1)), np.array([0, 1])) == 1.0
