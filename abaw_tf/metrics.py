"""The challenge's scores in NumPy: CCC, F1, accuracy and their weighted sums, with the provenance of each variant.

A missing label (``-1`` for expressions, ``NaN`` for valence and arousal) takes its frame out of the score; a missing *prediction* for
a labelled frame is an error, for the challenge asks a value for every frame. Scores are computed once over all frames of all
trials, one after another: a score averaged over videos or batches is another number.

Degenerate cases: with no labelled frame every score is NaN; the F1 of a class without true or predicted frames is 0
(scikit-learn's ``zero_division=0``) and the class still counts in the macro average; a CCC needs two labelled frames and something
that varies (see :func:`ccc`).
"""

from dataclasses import dataclass

import numpy as np

from abaw_tf import checks, labels


@dataclass(frozen=True)
class Variant:
    """An expression score ``f1_weight · F1 + accuracy_weight · accuracy``.

    Attributes
    ----------
    name : str
    average : {"macro", "weighted"}
        Unweighted mean of the F1 of all classes of the edition, or mean weighted by the number of true frames.
    f1_weight, accuracy_weight : float
    source : str
        Where the formula comes from.
    """

    name: str
    average: str
    f1_weight: float
    accuracy_weight: float
    source: str


VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant("abaw1", "macro", 0.67, 0.33, "First ABAW Competition (FG 2020), expression challenge, 7 classes"),
        Variant("abaw2", "macro", 0.67, 0.33, "Second ABAW Competition (ICCV 2021), expression challenge, 7 classes"),
        Variant("abaw3", "macro", 1.0, 0.0, "Third ABAW Competition (CVPR 2022), expression challenge, 8 classes"),
        Variant(
            "do2020", "weighted", 0.66, 0.33, "Do et al. 2020, validation scores (Table II); not the official score"
        ),
    )
}
"""Expression scores by name: the official one of each edition, and those that papers report under the same heading."""


def variant(name) -> Variant:
    """Return the variant of the expression score called `name` (a variant is returned as it is).

    Raises
    ------
    ValueError
        If there is no such variant.
    """
    if isinstance(name, Variant):
        return name
    if name not in VARIANTS:
        raise ValueError(
            f"variant must be one of {', '.join(VARIANTS)}.{labels.suggestion(name, VARIANTS)} Received: {name!r}"
        )
    return VARIANTS[name]


def ccc(y_true, y_pred, ddof: int = 0) -> float:
    r"""Concordance correlation coefficient.

    .. math:: \rho_c = \frac{2 s_{tp}}{s_t^2 + s_p^2 + (\bar t - \bar p)^2}

    with population moments (divided by n), over all frames in one go, as the ABAW competitions score valence and arousal.
    Lin, L. I.-K.: A concordance correlation coefficient to evaluate reproducibility. Biometrics 45(1), 255-268, 1989.

    Parameters
    ----------
    y_true : array_like of float, shape (n,)
        Labels; frames with NaN do not count.
    y_pred : array_like of float, shape (n,)
        Predictions; finite wherever `y_true` is known.
    ddof : int
        Variances and covariance are divided by ``n - ddof``. The challenge uses 0.

    Returns
    -------
    float
        In [-1, 1]: 1 for identical, 0 for unrelated or if only one of the two is constant. NaN if undefined: fewer than
        two labelled frames (or not more than `ddof`), or truth and prediction constant and equal.

    Raises
    ------
    ValueError
        If the arrays are not one-dimensional numbers of the same length, or a prediction is missing or infinite where
        the truth is known.

    Examples
    --------
    >>> ccc([0.0, 1.0, 2.0], [0.0, 1.0, 1.0])
    0.6666666666666666
    >>> ccc([0.0, 1.0, float("nan"), 2.0], [0.0, 1.0, 5.0, 1.0])
    0.6666666666666666
    >>> ccc([0.5, 0.5], [0.5, 0.5])
    nan
    """
    truth, prediction = checks.continuous(y_true, y_pred)
    n = len(truth)
    if n < 2 or n <= ddof:
        return float("nan")
    # Moments around a value of the truth: exact zeros for constants, no cancellation for data far from zero.
    origin = truth[0]
    truth, prediction = truth - origin, prediction - origin
    difference = truth.mean() - prediction.mean()
    truth, prediction = truth - truth.mean(), prediction - prediction.mean()
    spread = (truth @ truth + prediction @ prediction) / (n - ddof) + difference**2
    return float(2 * (truth @ prediction) / (n - ddof) / spread) if spread > 0 else float("nan")


def valence_arousal_score(valence_true, valence_pred, arousal_true, arousal_pred) -> float:
    """Score of the valence-arousal challenge, all editions: the mean of the CCC of valence and the CCC of arousal.

    Parameters
    ----------
    valence_true, valence_pred, arousal_true, arousal_pred : array_like of float, shape (n,)
        Labels in [-1, 1] or NaN, and predictions; each pair is masked by its own labels (see :func:`ccc`).

    Returns
    -------
    float
        NaN if one of the two CCCs is undefined.

    Raises
    ------
    ValueError
        As :func:`ccc`, and if a label is outside [-1, 1]: on disk -5 says "missing", in arrays NaN does.

    Examples
    --------
    >>> valence_arousal_score([0.0, 0.5, 1.0], [0.0, 0.5, 0.5], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    0.8333333333333333
    """
    for name, truth in (("valence_true", valence_true), ("arousal_true", arousal_true)):
        truth = np.asarray(truth, np.float64)
        wrong = np.abs(truth) > 1
        if wrong.any():
            raise ValueError(
                f"{name} must lie in [-1, 1], NaN where missing (the files' sentinel -5 becomes NaN when read). "
                f"Received: {truth[wrong][0]:g} at index {int(np.argmax(wrong))}"
            )
    return (ccc(valence_true, valence_pred) + ccc(arousal_true, arousal_pred)) / 2


def confusion_matrix(y_true, y_pred, n_classes: int) -> np.ndarray:
    """Count frames by true (row) and predicted (column) class.

    Parameters
    ----------
    y_true : array_like of int, shape (n,)
        Labels, 0…``n_classes - 1``; frames with -1 do not count.
    y_pred : array_like of int, shape (n,)
        Predicted classes, 0…``n_classes - 1`` wherever `y_true` is known.
    n_classes : int
        Number of classes of the edition, whether or not each of them occurs.

    Returns
    -------
    numpy.ndarray of int64, shape (n_classes, n_classes)

    Raises
    ------
    ValueError
        If the arrays are not one-dimensional integers of the same length, or a class is out of range.

    Examples
    --------
    >>> confusion_matrix([0, 0, 1, -1], [0, 1, 1, 0], n_classes=2)
    array([[1, 1],
           [0, 1]])
    """
    truth, prediction = checks.categorical(y_true, y_pred, n_classes)
    return np.bincount(truth * n_classes + prediction, minlength=n_classes**2).reshape(n_classes, n_classes)


def scores_from_confusion(confusion, variant="abaw2") -> dict[str, np.ndarray]:
    """Every expression score, from confusion matrices alone.

    Parameters
    ----------
    confusion : array_like, shape (..., k, k)
        Rows are true, columns predicted classes; leading axes hold several matrices (bootstrap samples, say).
    variant : str or Variant
        Formula of ``score``, a key of :data:`VARIANTS`.

    Returns
    -------
    dict of numpy.ndarray
        ``accuracy``, ``macro_f1``, ``weighted_f1``, ``score`` of shape (...); ``precision``, ``recall``, ``f1`` and ``support`` of
        shape (..., k).

    Raises
    ------
    ValueError
        If the last two axes are not square, a count is negative or not finite, or the variant is unknown.

    Examples
    --------
    >>> scores = scores_from_confusion([[1, 1], [0, 1]])
    >>> scores["f1"].round(4)
    array([0.6667, 0.6667])
    >>> round(float(scores["score"]), 4)
    0.6667
    """
    chosen = _variant(variant)
    confusion = np.asarray(confusion, np.float64)
    if confusion.ndim < 2 or confusion.shape[-1] != confusion.shape[-2]:
        raise ValueError(f"a confusion matrix has as many rows as columns. Received: shape={confusion.shape}")
    if not (np.isfinite(confusion) & (confusion >= 0)).all():
        raise ValueError(f"a confusion matrix holds counts. Received: {confusion[~(confusion >= 0)][:1]}")
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    support, predicted = confusion.sum(-1), confusion.sum(-2)
    total = support.sum(-1)
    f1 = _ratio(2 * hits, support + predicted, otherwise=0.0)
    macro_f1 = np.where(total > 0, f1.mean(-1), np.nan)
    weighted_f1 = _ratio((f1 * support).sum(-1), total, otherwise=np.nan)
    accuracy = _ratio(hits.sum(-1), total, otherwise=np.nan)
    average = macro_f1 if chosen.average == "macro" else weighted_f1
    return {
        "accuracy": accuracy,
        "macro_f1": macro_f1,
        "weighted_f1": weighted_f1,
        "score": chosen.f1_weight * average + chosen.accuracy_weight * accuracy,
        "precision": _ratio(hits, predicted, otherwise=0.0),
        "recall": _ratio(hits, support, otherwise=0.0),
        "f1": f1,
        "support": support,
    }


def f1_per_class(y_true, y_pred, n_classes: int) -> np.ndarray:
    """F1 of each class, ``2 TP / (2 TP + FP + FN)``; 0 for a class that neither occurs nor is predicted.

    Parameters, errors: see :func:`confusion_matrix`. Returns an array of float64, shape (n_classes,).

    Examples
    --------
    >>> f1_per_class([0, 0, 1, 1], [0, 0, 0, 1], n_classes=3).round(4)
    array([0.8   , 0.6667, 0.    ])
    """
    return scores_from_confusion(confusion_matrix(y_true, y_pred, n_classes))["f1"]


def macro_f1(y_true, y_pred, n_classes: int) -> float:
    """Mean of the F1 of all `n_classes` classes, those that do not occur included (as 0).

    scikit-learn's ``f1_score(average="macro", labels=range(n_classes), zero_division=0)``. Parameters, errors: see
    :func:`confusion_matrix`. NaN without labelled frames.

    Examples
    --------
    >>> round(macro_f1([0, 0, 1, 1], [0, 0, 0, 1], n_classes=3), 4)
    0.4889
    """
    return float(scores_from_confusion(confusion_matrix(y_true, y_pred, n_classes))["macro_f1"])


def weighted_f1(y_true, y_pred, n_classes: int) -> float:
    """Mean of the classes' F1, each weighted by its number of true frames; the F1 that Do et al. (2020) report.

    scikit-learn's ``f1_score(average="weighted")``. Parameters, errors: see :func:`confusion_matrix`. NaN without labelled frames.

    Examples
    --------
    >>> round(weighted_f1([0, 0, 1, 1], [0, 0, 0, 1], n_classes=3), 4)
    0.7333
    """
    return float(scores_from_confusion(confusion_matrix(y_true, y_pred, n_classes))["weighted_f1"])


def accuracy(y_true, y_pred) -> float:
    """Share of labelled frames whose class is predicted correctly.

    Parameters
    ----------
    y_true, y_pred : array_like of int, shape (n,)
        As for :func:`confusion_matrix`; classes may be any non-negative integers.

    Returns
    -------
    float
        NaN without labelled frames.

    Examples
    --------
    >>> accuracy([0, 1, -1, 2], [0, 1, 1, 1])
    0.6666666666666666
    """
    truth, prediction = checks.categorical(y_true, y_pred, None)
    return float(np.mean(truth == prediction)) if len(truth) else float("nan")


def expression_score(y_true, y_pred, edition="abaw2", variant=None) -> float:
    """Score of the expression challenge.

    ABAW1 and ABAW2: ``0.67 · macro F1 + 0.33 · accuracy`` over 7 classes. ABAW3: macro F1 over 8 classes.

    Parameters
    ----------
    y_true, y_pred : array_like of int, shape (n,)
        Official class indices of all frames, see :func:`confusion_matrix`.
    edition : str or Edition
        Fixes the number of classes, and the formula unless `variant` is given.
    variant : str or Variant, optional
        Another formula, a key of :data:`VARIANTS`: ``"do2020"`` is 0.66 · weighted F1 + 0.33 · accuracy.

    Returns
    -------
    float
        NaN without labelled frames.

    Raises
    ------
    ValueError
        As :func:`confusion_matrix`, and if the edition or variant is unknown.

    Examples
    --------
    >>> y_true, y_pred = [0, 0, 4, 5, -1], [0, 4, 4, 5, 6]
    >>> round(expression_score(y_true, y_pred), 4)
    0.4708
    >>> round(expression_score(y_true, y_pred, "abaw3"), 4)
    0.2917
    >>> round(expression_score(y_true, y_pred, variant="do2020"), 4)
    0.7425
    """
    edition = labels.edition(edition)
    chosen = _variant(edition.name if variant is None else variant)
    return float(scores_from_confusion(confusion_matrix(y_true, y_pred, edition.n_classes), chosen)["score"])


_variant = variant  # reachable where a parameter is called `variant`


def _ratio(numerator, denominator, otherwise: float) -> np.ndarray:
    """Quotient, `otherwise` where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    return np.divide(numerator, denominator, out=np.full(numerator.shape, otherwise), where=denominator > 0)
