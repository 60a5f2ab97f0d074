"""Averages and votes of the class probabilities of several models, and the one rule by which a fusion decides."""

import numpy as np

POOLS = ("probability", "logit")

EPSILON = 1e-7
"""Probabilities below it count as it where their logarithm is taken, so that one model's zero is no veto (Keras's epsilon)."""

TIE_SHARE = 1e-6
"""Part of the mean probabilities in the result of `majority`."""


def weighted_average(probabilities, weights=None, pool="probability") -> np.ndarray:
    """Average the class probabilities of several models.

    Parameters
    ----------
    probabilities : array-like of shape (models, frames, classes)
    weights : array-like of shape (models,) or (models, classes), optional
        One weight per model (SWF) or per model and class (MCWF) of Dresvyanskiy et al. 2020, section 3.3; non-negative, each
        column with a positive sum. Columns are scaled to sum to one. Equal weights (Do et al. 2020) where None.
    pool : {"probability", "logit"}
        Arithmetic mean, or geometric mean: the mean of the logarithms (of probabilities not below `EPSILON`), which is what averaging
        the models' logits comes to. Weights per model and class then give each class a geometric mean with weights of its own.

    Returns
    -------
    numpy.ndarray of float64, shape (frames, classes)
        Rows scaled to sum to one; the class with the highest fused score stays the same.

    Raises
    ------
    ValueError
        When a shape does not fit, a probability is negative or not finite, a weight is negative or not finite, or there is no such
        pool.

    Examples
    --------
    >>> weighted_average([[[0.8, 0.2]], [[0.5, 0.5]]])
    array([[0.65, 0.35]])
    >>> weighted_average([[[0.8, 0.2]], [[0.5, 0.5]]], pool="logit").round(4)
    array([[0.6667, 0.3333]])
    """
    probabilities = checked_probabilities(probabilities)
    weights = checked_weights(weights, probabilities)
    fused = fused_scores(pooled(probabilities, pool), weights)
    if pool == "logit":
        fused = np.exp(fused - fused.max(axis=1, keepdims=True))
    total = fused.sum(axis=1, keepdims=True)
    # A row can only sum to zero when class-wise weights cancel every class that any model finds possible.
    return np.divide(fused, total, out=np.full_like(fused, 1 / fused.shape[1]), where=total > 0)


def majority(probabilities, weights=None) -> np.ndarray:
    """Let every model vote for its most probable class.

    Parameters
    ----------
    probabilities : array-like of shape (models, frames, classes)
        A model votes for the first of equally probable classes.
    weights : array-like of shape (models,), optional
        Weight of each model's vote; equal where None.

    Returns
    -------
    numpy.ndarray of float64, shape (frames, classes)
        Shares of the votes, with a millionth (`TIE_SHARE`) of the mean probabilities mixed in: it decides between classes with equally
        many votes and nothing else. Rows sum to one if the probabilities do.

    Raises
    ------
    ValueError
        As :func:`weighted_average`, and for weights per class.

    Examples
    --------
    >>> majority([[[0.6, 0.4]], [[0.1, 0.9]]]).round(3)
    array([[0.5, 0.5]])
    >>> majority([[[0.6, 0.4]], [[0.1, 0.9]]]).argmax(axis=1)
    array([1])
    """
    probabilities = checked_probabilities(probabilities)
    weights = checked_weights(weights, probabilities)
    if weights.ndim != 1:
        raise ValueError(f"a vote has one weight per model, none per class. Received: weights.shape={weights.shape}")
    votes = np.zeros(probabilities.shape[1:])
    rows = np.arange(len(votes))
    for model, weight in zip(probabilities, weights):
        votes[rows, model.argmax(axis=1)] += weight
    return (1 - TIE_SHARE) * votes + TIE_SHARE * fused_scores(probabilities, weights)


def fused_scores(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum of `probabilities` (models, frames, classes) times `weights` (models,) or (models, classes), in float64, not scaled.

    The decision of a fusion is the first class with the highest of these. Added up model by model, so that the result is the same to
    the last bit wherever it is computed.
    """
    total = np.zeros(probabilities.shape[1:])
    for model, weight in zip(probabilities, weights):
        # Without the cast, NumPy 1 multiplies a float32 array by a lone float64 in float32.
        total += model.astype(np.float64, copy=False) * np.asarray(weight, np.float64)
    return total


def pooled(probabilities: np.ndarray, pool: str) -> np.ndarray:
    """What `fused_scores` adds up under a pool: the probabilities as they are, or their logarithms in float64."""
    if pool not in POOLS:
        raise ValueError(f"pool must be one of {POOLS}. Received: pool={pool!r}")
    if pool == "probability":
        return probabilities
    logarithms = np.maximum(probabilities, EPSILON, dtype=np.float64)
    return np.log(logarithms, out=logarithms)


def tempered(probabilities: np.ndarray, temperatures) -> np.ndarray:
    """Softmax of the logarithms of each model's probabilities (models, frames, classes) divided by its temperature; float64."""
    scaled = pooled(probabilities, "logit")
    scaled /= np.asarray(temperatures, np.float64)[:, None, None]
    scaled -= scaled.max(axis=2, keepdims=True)
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(axis=2, keepdims=True)
    return scaled


def checked_probabilities(probabilities, used=None) -> np.ndarray:
    """Probabilities of shape (models, frames, classes), float32 or float64, finite and not negative on the `used` frames.

    Parameters
    ----------
    probabilities : array-like
    used : array of bool, shape (frames,), optional
        All frames where None.

    Raises
    ------
    ValueError
        Naming the first bad model and frame.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.dtype not in (np.float32, np.float64):
        probabilities = probabilities.astype(np.float64)
    if probabilities.ndim != 3 or not probabilities.shape[0] or not probabilities.shape[2]:
        raise ValueError(
            f"probabilities must have shape (models, frames, classes). Received: shape={probabilities.shape}"
        )
    # Minimum and maximum pass NaN on, and need no copy of the probabilities.
    bad = ~((probabilities.min(axis=(0, 2)) >= 0) & (probabilities.max(axis=(0, 2)) < np.inf))
    if used is not None:
        bad &= used
    if bad.any():
        frame = int(np.argmax(bad))
        rows = probabilities[:, frame]
        model = int(np.argmax(~((rows >= 0) & (rows < np.inf)).all(axis=1)))
        raise ValueError(
            "probabilities must be finite and not negative: fill or leave out frames that a model lacks (the `missing` policy of "
            f"fusion.align), and turn logits into probabilities by a softmax. Received: {rows[model].tolist()} of model {model} at "
            f"frame {frame} ({int(bad.sum())} such frames)"
        )
    return probabilities


def checked_weights(weights, probabilities: np.ndarray) -> np.ndarray:
    """Weights in float64, columns summing to one (scaled only where they do not yet); equal ones for None."""
    n_models, _, n_classes = probabilities.shape
    weights = np.full(n_models, 1 / n_models) if weights is None else np.asarray(weights, dtype=np.float64)
    if weights.shape not in {(n_models,), (n_models, n_classes)}:
        raise ValueError(
            f"weights must have shape ({n_models},) or ({n_models}, {n_classes}): one per model, or one per model and class. "
            f"Received: shape={weights.shape}"
        )
    total = weights.sum(axis=0)
    if not np.isfinite(weights).all() or (weights < 0).any() or (total <= 0).any():
        raise ValueError(
            f"weights must be finite and non-negative, with a positive sum over the models. Received: {weights.tolist()}"
        )
    # Weights that sum to one but for rounding keep their bits: scaled ones could decide a tie otherwise than the search did.
    return weights if np.abs(total - 1).max() < 1e-12 else weights / total
