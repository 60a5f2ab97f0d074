"""Temperature scaling of each model's probabilities before fusing (Guo et al., ICML 2017, section 4.2)."""

import math

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from abaw_tf import labels
from abaw_tf.fusion.averaging import checked_probabilities, pooled, tempered

BOUNDS = (1 / 50, 50.0)
"""Lowest and highest temperature: a model that is never wrong would get 0, one that knows nothing infinity."""


class TemperatureScaling(BaseEstimator):
    """One temperature per model that makes its probabilities as likely as can be: p^(1/T), scaled to sum to one.

    Networks trained for long say 0.99 where they are right in 80 % of the cases; in an average they outvote better judges. A temperature
    above one takes them at less than their word. The order of one model's classes stays; no single model's decision changes.

    Each temperature minimises the mean negative log-likelihood of the labelled frames, every frame counting the same; it is 1 where no
    temperature is better, as for a model whose classes are always equally probable. Logarithms are taken of probabilities not below
    `abaw_tf.fusion.averaging.EPSILON`.

    Attributes
    ----------
    temperatures_ : numpy.ndarray of shape (models,)
        In `BOUNDS`.
    losses_ : numpy.ndarray of shape (models, 2)
        Negative log-likelihood per frame before and after.

    Examples
    --------
    >>> sure = [[[0.99, 0.01], [0.99, 0.01], [0.99, 0.01], [0.01, 0.99]]]
    >>> scaling = TemperatureScaling().fit(sure, [0, 0, 1, 1])
    >>> scaling.transform(sure)[0, 0].round(3)
    array([0.75, 0.25])
    """

    def fit(self, probabilities, y):
        """Find the temperatures.

        Parameters
        ----------
        probabilities : array-like of shape (models, frames, classes)
            Finite and not negative on labelled frames.
        y : array-like of int, shape (frames,)
            True classes; frames with -1 are left out.

        Returns
        -------
        TemperatureScaling
            Itself.

        Raises
        ------
        ValueError
            When shapes or labels do not fit, a probability is bad, or no frame is labelled.
        """
        probabilities, y = np.asarray(probabilities), np.asarray(y)
        if probabilities.ndim != 3 or y.shape != probabilities.shape[1:2] or not np.issubdtype(y.dtype, np.integer):
            raise ValueError(
                "probabilities must have shape (models, frames, classes), and y one integer class per frame. Received: "
                f"probabilities.shape={probabilities.shape}, y.shape={y.shape}, y.dtype={y.dtype}"
            )
        known = y != labels.MISSING_EXPRESSION
        if not known.any():
            raise ValueError(
                f"no frame has an expression label to fit temperatures to. Received: {len(y)} frames, all -1"
            )
        if y.max() >= probabilities.shape[2] or y.min() < labels.MISSING_EXPRESSION:
            raise ValueError(
                f"y must be -1 or one of the {probabilities.shape[2]} classes. Received: {y.min()} ... {y.max()}"
            )
        probabilities = checked_probabilities(probabilities, known)
        found = [_temperature(pooled(model[known], "logit"), y[known]) for model in probabilities]
        self.temperatures_ = np.array([temperature for temperature, *_ in found])
        self.losses_ = np.array([losses for _, *losses in found])
        return self

    def transform(self, probabilities) -> np.ndarray:
        """Calibrated probabilities: float64, the shape of `probabilities`, rows summing to one; NaN where a model has none.

        A row of ones only (or all below EPSILON) stays without preference.
        """
        check_is_fitted(self)
        probabilities = np.asarray(probabilities)
        if probabilities.ndim != 3 or len(probabilities) != len(self.temperatures_):
            raise ValueError(
                f"probabilities must have shape ({len(self.temperatures_)} models, frames, classes). "
                f"Received: shape={probabilities.shape}"
            )
        if (probabilities < 0).any():
            raise ValueError(f"probabilities must not be negative. Received: {probabilities[probabilities < 0][0]}")
        return tempered(probabilities, self.temperatures_)


def _temperature(logits, y):
    """Best temperature, and loss per frame at 1 and at it."""
    # log p_y = z_y / T - log sum exp(z / T), with the highest z moved to 0 so that nothing overflows.
    logits -= logits.max(axis=1, keepdims=True)
    of_truth = logits[np.arange(len(y)), y].mean()
    scratch = np.empty_like(logits)

    def loss(log_temperature) -> float:
        scale = math.exp(-log_temperature)
        np.multiply(logits, scale, out=scratch)
        np.exp(scratch, out=scratch)
        return float(np.log(scratch.sum(axis=1)).mean() - scale * of_truth)

    before = loss(0.0)
    best = minimize_scalar(loss, bounds=tuple(map(math.log, BOUNDS)), method="bounded", options={"xatol": 1e-6})
    if not best.fun < before:
        return 1.0, before, before
    return float(np.clip(math.exp(best.x), *BOUNDS)), before, float(best.fun)


class CalibratedFusion(ClassifierMixin, BaseEstimator):
    """A fusion of class probabilities that are calibrated first; both are fitted to the same frames.

    In :func:`abaw_tf.fusion.held_out` temperatures, like weights, therefore come from the training folds only.

    Parameters
    ----------
    fusion : DirichletFusion
        Is cloned, not fitted itself.

    Attributes
    ----------
    temperatures_ : numpy.ndarray of shape (models,)
    fusion_ : DirichletFusion
        Fitted to the calibrated probabilities.
    weights_, score_, history_, single_scores_, equal_score_, n_models_, n_classes_, classes_
        Of `fusion_`. Equal weights are those of the calibrated models.
    """

    def __init__(self, fusion):
        self.fusion = fusion

    @property
    def label(self) -> str:
        """What tables and sentences call this fusion."""
        return f"calibrated {self.fusion.label}"

    @property
    def metric_name(self) -> str:
        """Name of the score that is maximised."""
        return self.fusion.metric_name

    def fit(self, probabilities, y, progress=None):
        """Find temperatures, then weights; parameters, errors and result as for `DirichletFusion.fit`."""
        probabilities = self.fusion.arranged(probabilities)
        scaling = TemperatureScaling().fit(probabilities, y)
        self.fusion_ = clone(self.fusion).fit(scaling.transform(probabilities), y, progress)
        self.temperatures_ = scaling.temperatures_
        for name in ("weights_", "score_", "history_", "single_scores_", "equal_score_"):
            setattr(self, name, getattr(self.fusion_, name))
        for name in ("n_models_", "n_classes_", "classes_"):
            setattr(self, name, getattr(self.fusion_, name))
        return self

    def predict_proba(self, probabilities) -> np.ndarray:
        """Fused probabilities of shape (frames, classes)."""
        return self._fitted().predict_proba(self._calibrated(probabilities))

    def predict(self, probabilities) -> np.ndarray:
        """Fused classes of shape (frames,)."""
        return self._fitted().predict(self._calibrated(probabilities))

    def score(self, probabilities, y) -> float:
        """The fusion's `metric` on the labelled frames."""
        return self._fitted().score(self._calibrated(probabilities), y)

    def sums(self, probabilities, y, weights, codes, n_groups) -> np.ndarray:
        """Confusion matrices by group as `DirichletFusion.sums`; of uncalibrated probabilities before the fit."""
        if not hasattr(self, "temperatures_"):
            return self.fusion.sums(probabilities, y, weights, codes, n_groups)
        return self.fusion_.sums(self._calibrated(probabilities), y, weights, codes, n_groups)

    def score_sums(self, sums) -> np.ndarray:
        """The fusion's `metric` of (summed) confusion matrices of shape (..., k, k)."""
        return self.fusion.score_sums(sums)

    def _fitted(self):
        check_is_fitted(self)
        return self.fusion_

    def _calibrated(self, probabilities) -> np.ndarray:
        scaling = TemperatureScaling()
        scaling.temperatures_ = self.temperatures_
        return scaling.transform(self.fusion.arranged(probabilities))
