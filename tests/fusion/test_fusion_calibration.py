"""Temperatures against known ones, a grid and scikit-learn's log loss."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.base import clone
from sklearn.metrics import log_loss

from abaw_tf.fusion.averaging import EPSILON, weighted_average
from abaw_tf.fusion.calibration import BOUNDS, CalibratedFusion, TemperatureScaling
from abaw_tf.fusion.dirichlet import DirichletFusion


def simulated(temperatures, n_frames=20_000, n_classes=7, seed=0):
    """Models of equal skill whose probabilities are those of calibrated ones, sharpened by temperatures."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(len(temperatures), n_frames, n_classes)) * 1.5
    together = softmax(logits.sum(axis=0), axis=1)
    y = (together.cumsum(axis=1) < rng.random((n_frames, 1))).sum(axis=1).clip(max=n_classes - 1)
    return softmax(logits * np.asarray(temperatures)[:, None, None], axis=2), y


def test_the_temperature_that_sharpened_the_truth_is_found():
    for temperature in (0.4, 1.0, 3.0):
        probabilities, y = simulated([temperature])
        found = TemperatureScaling().fit(probabilities, y)
        assert found.temperatures_[0] == pytest.approx(temperature, rel=0.03)


def test_no_temperature_of_a_grid_has_a_lower_log_loss():
    probabilities, y = simulated([2.0, 0.5], n_frames=500)
    scaling = TemperatureScaling().fit(probabilities, y)
    for model, calibrated, losses in zip(probabilities, scaling.transform(probabilities), scaling.losses_):
        assert log_loss(y, model, labels=range(7)) == pytest.approx(losses[0])
        assert log_loss(y, calibrated, labels=range(7)) == pytest.approx(losses[1])
        grid = [
            log_loss(y, softmax(np.log(model) / temperature, axis=1), labels=range(7))
            for temperature in np.geomspace(*BOUNDS, 200)
        ]
        assert losses[1] <= min(grid)
        np.testing.assert_array_equal(calibrated.argmax(axis=1), model.argmax(axis=1))
        np.testing.assert_allclose(calibrated.sum(axis=1), 1)


def test_degenerate_models():
    y = np.arange(60) % 3
    right = np.eye(3)[y]
    wrong = np.eye(3)[(y + 1) % 3]
    uniform = np.full((60, 3), 1 / 3)
    unsure = 0.9 * uniform + 0.1 * right
    scaling = TemperatureScaling().fit([right, wrong, uniform, unsure], y)
    # Always right and sure of it: nothing to gain, beyond rounding, from being surer.
    assert scaling.losses_[0, 1] <= 3 * EPSILON
    assert scaling.temperatures_[1] == pytest.approx(BOUNDS[1], rel=1e-3)
    assert scaling.temperatures_[2] == 1
    assert scaling.temperatures_[3] == pytest.approx(BOUNDS[0], rel=1e-3)
    assert (scaling.losses_[:, 1] <= scaling.losses_[:, 0]).all()
    assert np.isfinite(scaling.transform([right, wrong, uniform, unsure])).all()


def test_unlabelled_frames_do_not_count_and_missing_rows_stay_missing():
    probabilities, y = simulated([2.0, 0.5], n_frames=300)
    padded = np.concatenate([probabilities, np.full((2, 9, 7), np.nan)], axis=1)
    scaling = TemperatureScaling().fit(padded, np.concatenate([y, np.full(9, -1)]))
    np.testing.assert_array_equal(scaling.temperatures_, TemperatureScaling().fit(probabilities, y).temperatures_)
    assert np.isnan(scaling.transform(padded)[:, 300:]).all()
    assert np.isfinite(scaling.transform(padded)[:, :300]).all()


def test_one_frame():
    scaling = TemperatureScaling().fit([[[0.2, 0.8]]], [1])
    assert BOUNDS[0] <= scaling.temperatures_[0] < 0.1
    np.testing.assert_allclose(scaling.transform([[[0.2, 0.8]]]), [[[0, 1]]], atol=1e-6)


def test_calibration_keeps_the_overconfident_from_outvoting_the_others():
    probabilities, y = simulated([8.0, 1.0, 1.0], n_frames=4000)
    equal = lambda p: np.mean(weighted_average(p).argmax(axis=1) == y)  # noqa: E731
    calibrated = TemperatureScaling().fit(probabilities, y).transform(probabilities)
    assert equal(calibrated) > equal(probabilities) + 0.02
    fusion = CalibratedFusion(DirichletFusion(n_draws=30, metric="accuracy")).fit(probabilities, y)
    assert fusion.equal_score_ == equal(calibrated)


def test_calibrated_fusion_is_scaling_then_fusion():
    probabilities, y = simulated([3.0, 1.0, 0.5], n_frames=600)
    fusion = CalibratedFusion(DirichletFusion("model_class", n_draws=40, n_models=3))
    codes = np.arange(600) % 4
    raw = fusion.sums(probabilities, y, np.eye(3)[0], codes, 4)
    np.testing.assert_array_equal(raw, fusion.fusion.sums(probabilities, y, np.eye(3)[0], codes, 4))

    fusion.fit(probabilities, y)
    scaling = TemperatureScaling().fit(probabilities, y)
    calibrated = scaling.transform(probabilities)
    alone = clone(fusion.fusion).fit(calibrated, y)
    np.testing.assert_array_equal(fusion.temperatures_, scaling.temperatures_)
    np.testing.assert_array_equal(fusion.weights_, alone.weights_)
    assert (fusion.score_, fusion.history_) == (alone.score_, alone.history_)
    np.testing.assert_array_equal(fusion.predict(probabilities), alone.predict(calibrated))
    np.testing.assert_array_equal(fusion.predict_proba(probabilities), alone.predict_proba(calibrated))
    assert fusion.score(probabilities, y) == fusion.score_
    summed = fusion.sums(probabilities, y, fusion.weights_, codes, 4)
    assert fusion.score_sums(summed.sum(axis=0)) == fusion.score_
    # The layout of scikit-learn, and its cloning.
    X = probabilities.transpose(1, 0, 2).reshape(600, -1)
    again = clone(fusion).fit(X, y)
    np.testing.assert_array_equal(again.weights_, fusion.weights_)
    np.testing.assert_array_equal(again.predict(X), fusion.predict(probabilities))
    assert not hasattr(fusion.fusion, "weights_")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, y: (p, np.full_like(y, -1)), "all -1"),
        (lambda p, y: (p, y + 7), r"one of the 7 classes"),
        (lambda p, y: (p, y[1:]), "one integer class per frame"),
        (lambda p, y: (p, y.astype(float)), "y.dtype=float64"),
        (lambda p, y: (np.log(p), y), "softmax"),
    ],
)
def test_bad_input_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        TemperatureScaling().fit(*change(*simulated([1.0], n_frames=20)))


def test_transform_takes_as_many_models_as_were_fitted():
    probabilities, y = simulated([1.0, 1.0], n_frames=20)
    scaling = TemperatureScaling().fit(probabilities, y)
    with pytest.raises(ValueError, match=r"\(2 models, frames, classes\)"):
        scaling.transform(probabilities[:1])
    with pytest.raises(ValueError, match="not be negative"):
        scaling.transform(-probabilities)
