"""Three ways to counter a skewed class distribution: class weights, thinning, class-balanced sampling.

Each is a plain function on arrays; :mod:`abaw_tf.data.balance_pipeline` has the same as steps on a ``tf.data.Dataset``. A frame without
an expression label (-1) is nobody's class: it gets weight 0, is never drawn by balanced sampling, and is thinned only if asked to. For a
model with several outputs use weights per output, never Keras's ``class_weight``.
"""

from fractions import Fraction

import numpy as np

from abaw_tf import labels as classes

MODES = ("average", "max", "min")
RULES = ("balanced", "max")

NO_EXPRESSION = len(classes.EXPRESSIONS_8)
"""Class under which balanced sampling draws what has no expression but another label that is wanted."""


def class_counts(labels, n_classes):
    """Number of frames of each class; missing labels (-1) are not counted.

    Parameters
    ----------
    labels : array-like of int, shape (n,)
        Class index per frame, -1 where missing.
    n_classes : int
        Number of classes.

    Returns
    -------
    numpy.ndarray of int64, shape (n_classes,)
    """
    labels = _as_labels(labels, n_classes)
    return np.bincount(labels[labels >= 0], minlength=n_classes).astype(np.int64)


def log_class_weights(counts, r=0.34):
    """Logarithmic class weights, Dresvyanskiy et al. (2020), eq. 1: ``max(1, ln(r · N / n_i))`` with ``N = Σ n_i``.

    Parameters
    ----------
    counts : array-like of int, shape (n_classes,)
        Frames per class, n_i.
    r : float
        Scale; the paper has 0.34 for its CNN and 0.47 for its SVM.

    Returns
    -------
    numpy.ndarray of float64, shape (n_classes,)
        Weights of at least 1. A class without frames has weight 1: eq. 1 is infinite there, and nothing is weighted by it.

    Raises
    ------
    ValueError
        Negative counts, no frames at all, or a scale that is not positive.

    Examples
    --------
    >>> log_class_weights([700, 200, 100], r=1.0).round(4).tolist()
    [1.0, 1.6094, 2.3026]
    """
    counts = _as_counts(counts)
    if not (np.isfinite(r) and r > 0):
        raise ValueError(f"r must be positive. Received: r={r}")
    present = np.where(counts > 0, counts, np.inf)
    ratios = np.where(counts > 0, r * counts.sum() / present, 1.0)
    return np.maximum(1.0, np.log(ratios))


def inverse_class_weights(counts, rule="balanced"):
    """Class weights in inverse proportion to the size of a class.

    Parameters
    ----------
    counts : array-like of int, shape (n_classes,)
        Frames (or windows) per class, n_i.
    rule : {"balanced", "max"}
        ``"balanced"``: ``N / (K · n_i)`` with the K classes that occur, scikit-learn's (the published code of Dresvyanskiy et al. 2020 for
        its 1D-CNN); ``"max"``: ``max(n) / n_i`` (for its PANN). They differ by a common factor.

    Returns
    -------
    numpy.ndarray of float64, shape (n_classes,)
        A class without frames has weight 1: nothing is weighted by it.

    Raises
    ------
    ValueError
        Negative counts, no frames at all, or an unknown rule.

    Examples
    --------
    >>> inverse_class_weights([60, 20, 0]).round(4).tolist()
    [0.6667, 2.0, 1.0]
    >>> inverse_class_weights([60, 20, 0], "max").tolist()
    [1.0, 3.0, 1.0]
    """
    classes.check_option("rule", rule, RULES)
    counts = _as_counts(counts)
    share = counts.sum() / np.count_nonzero(counts) if rule == "balanced" else counts.max()
    return np.where(counts > 0, share / np.where(counts > 0, counts, 1.0), 1.0)


def sample_weights(labels, class_weights):
    """Weight of every frame: its class's weight, 0 where the label is missing.

    Parameters
    ----------
    labels : array-like of int, shape (n,)
        Class index per frame, -1 where missing.
    class_weights : array-like of float, shape (n_classes,)
        Weight of each class.

    Returns
    -------
    numpy.ndarray of float32, shape (n,)
    """
    class_weights = np.asarray(class_weights, dtype=np.float32)
    labels = _as_labels(labels, len(class_weights))
    return np.append(class_weights, np.float32(0))[labels]  # index -1 is the appended zero


def thin(labels, groups, every):
    """Keep every k-th frame of a class in each group, the first one included (Dresvyanskiy et al. 2020: per class and video).

    Parameters
    ----------
    labels : array-like of int, shape (n,)
        Class index per frame, -1 where missing, in order of time within each group.
    groups : array-like, shape (n,)
        Video (or trial) of each frame.
    every : dict of int or str to int
        k by class index or official class name; classes that are not named are kept whole. The paper has Neutral 10,
        Anger, Disgust, Fear and Surprise 2, Happiness and Sadness 5.

    Returns
    -------
    numpy.ndarray of bool, shape (n,)
        True for the frames to keep.

    Raises
    ------
    ValueError
        Unknown class, k below 1, or arrays of different lengths.
    """
    steps = thinning_steps(every)
    labels, groups = _as_labels(labels, len(classes.EXPRESSIONS_8)), np.asarray(groups)
    if groups.shape != labels.shape:
        raise ValueError(f"groups must be as long as labels, {labels.shape}. Received: shape {groups.shape}")
    _, group = np.unique(groups, return_inverse=True)
    cell = group.reshape(labels.shape) * len(steps) + labels + 1
    order = np.argsort(cell, kind="stable")
    sorted_cells = cell[order]
    begins = np.searchsorted(sorted_cells, sorted_cells, side="left")
    rank = np.empty(len(labels), np.int64)
    rank[order] = np.arange(len(labels)) - begins
    return rank % steps[labels + 1] == 0


def balanced_indices(labels, n=None, seed=None, mode="average"):
    """Indices that visit the classes in turn (Do et al. 2020): draw *i* is of class ``i mod K``, item ``i ÷ K mod n_class``.

    Parameters
    ----------
    labels : array-like of int, shape (n_frames,)
        Class index per frame, or `NO_EXPRESSION`; -1 is never drawn. K is the number of classes that occur.
    n : int, optional
        Number of draws; by default K times the average, largest or smallest class, as `mode` says.
    seed : int or sequence of int, optional
        Shuffles the items within each class; pass ``(seed, epoch)`` for a new order every epoch. None keeps their order.
    mode : {"average", "max", "min"}
        Epoch length: K times the mean class size (rounded to nearest, half to even), the largest (nothing is left out) or the
        smallest (nothing is repeated). Which one the paper used is not stated; average is our choice.

    Returns
    -------
    numpy.ndarray of int64, shape (n,)
        Positions in `labels`.

    Raises
    ------
    ValueError
        No label at all, an unknown mode, or n negative.
    """
    classes.check_option("mode", mode, MODES)
    labels = _as_labels(labels, NO_EXPRESSION + 1)
    items = [np.flatnonzero(labels == value) for value in np.unique(labels[labels >= 0])]
    if n is None:
        n = balanced_size(labels, mode)
    elif n < 0:
        raise ValueError(f"n must not be negative. Received: n={n}")
    elif not items:
        raise _nothing_to_balance(labels)
    if seed is not None:
        rng = np.random.default_rng(seed)
        items = [rng.permutation(item) for item in items]
    result = np.empty(n, np.int64)
    for k, item in enumerate(items):
        draws = len(range(k, n, len(items)))
        result[k :: len(items)] = item[np.arange(draws) % len(item)]
    return result


def balanced_size(labels, mode="average") -> int:
    """Number of draws of :func:`balanced_indices` with the same `labels` and `mode`.

    Raises
    ------
    ValueError
        No label at all, or an unknown mode.
    """
    classes.check_option("mode", mode, MODES)
    labels = _as_labels(labels, NO_EXPRESSION + 1)
    sizes = np.unique(labels[labels >= 0], return_counts=True)[1].tolist()
    if not sizes:
        raise _nothing_to_balance(labels)
    per_class = {"average": round(Fraction(sum(sizes), len(sizes))), "max": max(sizes), "min": min(sizes)}[mode]
    return len(sizes) * per_class


def _nothing_to_balance(labels):
    return ValueError(f"no frame has a label, so there is nothing to balance. Received: {len(labels)} frames")


def thinning_steps(every):
    """k of each class, int64 of shape (1 + 8,): position 0 is for missing labels, position 1 + c for class c."""
    steps = np.ones(1 + len(classes.EXPRESSIONS_8), np.int64)
    for name, k in every.items():
        known = [*classes.EXPRESSIONS_8, *range(classes.MISSING_EXPRESSION, len(classes.EXPRESSIONS_8))]
        if name not in known:
            raise ValueError(
                f"every must be by official class name or index.{classes.suggestion(name, classes.EXPRESSIONS_8)} "
                f"Received: {name!r}"
            )
        if not isinstance(k, (int, np.integer)) or k < 1:
            raise ValueError(f"every must hold whole numbers of at least 1. Received: {name!r}: {k!r}")
        steps[1 + (classes.EXPRESSIONS_8.index(name) if isinstance(name, str) else name)] = k
    return steps


def _as_counts(counts):
    counts = np.asarray(counts, dtype=np.float64)
    if counts.ndim != 1 or not np.isfinite(counts).all() or (counts < 0).any() or counts.sum() == 0:
        raise ValueError(f"counts must be frames per class, none negative, not all zero. Received: {counts.tolist()}")
    return counts


def _as_labels(labels, n_classes):
    labels = np.asarray(labels)
    if labels.ndim != 1 or (labels.size and labels.dtype.kind not in "iu"):
        raise ValueError(
            f"labels must be a one-dimensional array of class indices. Received: shape {labels.shape}, dtype {labels.dtype}"
        )
    labels = labels.astype(np.int64)
    outside = np.flatnonzero((labels < classes.MISSING_EXPRESSION) | (labels >= n_classes))
    if len(outside):
        raise ValueError(
            f"labels must lie in 0…{n_classes - 1}, or be -1 where missing. Received: labels[{outside[0]}] = {labels[outside[0]]}"
        )
    return labels
