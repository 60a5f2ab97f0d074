"""Scores and intervals of decisions that are not searched for, to stand in one table with searched ones."""

import numpy as np

from abaw_tf.evaluation.statistics import interval, resampled_sums, resampling_weights
from abaw_tf.fusion.objectives import objective


def group_confusions(y, decisions, groups, n_classes) -> np.ndarray:
    """Confusion matrix (rows true) of each group, in the groups' sorted order; rows with y == -1 do not count."""
    names, codes = np.unique(groups, return_inverse=True)
    known = np.asarray(y) >= 0
    cells = (codes[known] * n_classes + y[known]) * n_classes + decisions[known]
    return np.bincount(cells, minlength=len(names) * n_classes**2).reshape(len(names), n_classes, n_classes)


def scored(confusions, metric, bootstrap, seed) -> dict:
    """Score of decisions, its interval over groups, and their accuracy.

    Parameters
    ----------
    confusions : array, shape (groups, k, k)
    metric : str
        See `abaw_tf.fusion.objectives.objective`.
    bootstrap : int
        Resamples of the groups; 0 for no interval.
    seed : int

    Returns
    -------
    dict
        ``score``, ``low``, ``high``, ``accuracy``.
    """
    total, low, high = confusions.sum(axis=0), np.nan, np.nan
    if bootstrap:
        weights = resampling_weights(len(confusions), bootstrap, seed)
        low, high = interval(objective(metric).scores(resampled_sums(weights, confusions)))
    score = float(objective(metric).scores(total))
    return {"score": score, "low": low, "high": high, "accuracy": float(objective("accuracy").scores(total))}


def gain(confusions, baseline, metric, bootstrap, seed) -> dict:
    """How much better decisions score than others on the same groups: ``gain`` and the ends of its interval."""
    scores = objective(metric).scores
    result = {"gain": float(scores(confusions.sum(axis=0)) - scores(baseline.sum(axis=0)))}
    low = high = np.nan
    if bootstrap:
        weights = resampling_weights(len(confusions), bootstrap, seed)
        low, high = interval(scores(resampled_sums(weights, confusions)) - scores(resampled_sums(weights, baseline)))
    return result | {"gain_low": low, "gain_high": high}
