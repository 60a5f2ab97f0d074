"""Confusion matrices of many fusions at once."""

import numpy as np

from abaw_tf import labels
from abaw_tf.fusion.averaging import fused_scores


def count_confusions(probabilities, y, weights, groups=None, n_groups=None, prune=True, progress=None) -> np.ndarray:
    """Confusion matrix of the fused decision for every draw of weights.

    Parameters
    ----------
    probabilities : array, shape (models, frames, classes)
        Finite.
    y : array of int, shape (frames,)
        True classes; frames with -1 are left out.
    weights : array, shape (draws, models) or (draws, models, classes)
    groups : array of int, shape (frames,), optional
        Group 0 ... n_groups - 1 of each frame (fold, video).
    n_groups : int, optional
    prune : bool
        Count frames whose decision no weights can change only once; the result is the same.
    progress : callable, optional
        Called with the number of draws done since its last call.

    Returns
    -------
    numpy.ndarray of int64, shape (draws, k, k) or, with `groups`, (draws, n_groups, k, k)
        Rows are true, columns fused classes.
    """
    probabilities, y, weights = np.asarray(probabilities), np.asarray(y), np.asarray(weights, np.float64)
    known = y != labels.MISSING_EXPRESSION
    n_classes, total = probabilities.shape[2], 1 if groups is None else n_groups
    codes = np.zeros(len(y), np.int64) if groups is None else np.asarray(groups)
    probabilities, cells = probabilities[:, known], (codes[known] * n_classes + y[known]) * n_classes
    result = np.empty((len(weights), total, n_classes, n_classes), np.int64)
    for draw, drawn in enumerate(weights):
        decided = fused_scores(probabilities, drawn).argmax(axis=1)
        counts = np.bincount(cells + decided, minlength=total * n_classes**2)
        result[draw] = counts.reshape(total, n_classes, n_classes)
        if progress is not None:
            progress(1)
    return result[:, 0] if groups is None else result
