"""What a search maximises: a score of the fused decisions, computed from confusion matrices."""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from abaw_tf import labels, metrics

SCORES = ("macro_f1", "weighted_f1", "accuracy")
"""Scores by name, besides the challenge's formulas (:data:`abaw_tf.metrics.VARIANTS`)."""


@dataclass(frozen=True)
class Objective:
    """A score of confusion matrices, the higher the better.

    Attributes
    ----------
    name : str
    function : callable
        Takes confusion matrices of shape (..., k, k), rows true, and returns scores of shape (...).
    """

    name: str
    function: Callable

    def scores(self, confusions) -> np.ndarray:
        """Scores of confusion matrices (..., k, k), rows true; float64 of shape (...)."""
        return np.asarray(self.function(np.asarray(confusions)), np.float64)


def objective(metric) -> Objective:
    """Return the score called `metric`.

    Parameters
    ----------
    metric : str or callable
        ``"abaw1"``, ``"abaw2"``, ``"abaw3"``, ``"do2020"``: a formula of :data:`abaw_tf.metrics.VARIANTS`, for any number of classes;
        ``"macro_f1"``, ``"weighted_f1"``, ``"accuracy"``: these follow scikit-learn's arithmetic step by step and equal its
        ``f1_score(..., labels=range(k), zero_division=0)`` and ``accuracy_score`` to the last bit;
        a function ``f(y_true, y_pred) -> float`` as in ``sklearn.metrics``, higher is better, or its name ``"module:function"``
        (``"sklearn.metrics:cohen_kappa_score"``). It must not depend on the order of the frames: it is called with the pairs of classes
        of a confusion matrix, sorted. If it has a parameter ``sample_weight``, each pair is passed once with its count as weight, which
        is quick; otherwise as often as it occurs, which is slow.

    Returns
    -------
    Objective

    Raises
    ------
    ValueError
        If there is no such score or function.

    Examples
    --------
    >>> float(objective("accuracy").scores([[1, 1], [0, 2]]))
    0.75
    >>> float(objective("sklearn.metrics:cohen_kappa_score").scores([[1, 1], [0, 2]]))
    0.5
    """
    if callable(metric):
        return Objective(getattr(metric, "__name__", type(metric).__name__), _from_function(metric))
    if not isinstance(metric, str):
        raise ValueError(f"metric must be a name or a function f(y_true, y_pred). Received: metric={metric!r}")
    if metric in metrics.VARIANTS:
        return Objective(metric, lambda confusions: metrics.scores_from_confusion(confusions, metric)["score"])
    if metric in SCORES:
        return Objective(metric, lambda confusions: metrics.scores_from_confusion(confusions)[metric])
    if ":" in metric:
        return Objective(metric, _from_function(_located(metric)))
    known = (*metrics.VARIANTS, *SCORES)
    raise ValueError(
        f"metric must be one of {', '.join(known)}, a function f(y_true, y_pred) or the name of one as 'module:function'."
        f"{labels.suggestion(metric, known)} Received: metric={metric!r}"
    )


def _located(name) -> Callable:
    module, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"the metric's function cannot be imported ({error}); give it as 'module:function'. Received: metric={name!r}"
        ) from error
    if not callable(function):
        raise ValueError(f"the metric must be a function f(y_true, y_pred). Received: metric={name!r}")
    return function


def _from_function(function) -> Callable:
    """`function` of true and predicted classes as a function of confusion matrices."""
    try:
        weighted = "sample_weight" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # some functions written in C tell no signature
        weighted = False

    def one(confusion) -> float:
        true, predicted = np.nonzero(confusion)
        if not len(true):
            return np.nan
        counts = confusion[true, predicted]
        if weighted:
            return float(function(true, predicted, sample_weight=counts))
        counts = np.rint(counts).astype(np.int64)
        return float(function(np.repeat(true, counts), np.repeat(predicted, counts)))

    def scores(confusions) -> np.ndarray:
        flat = confusions.reshape(-1, *confusions.shape[-2:])
        return np.array([one(confusion) for confusion in flat]).reshape(confusions.shape[:-2])

    return scores
