"""Probabilities from the scores of classifiers, or the margins of pairwise ones, calibrated on held-out folds."""

import itertools
import math
import warnings

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_expit, log_softmax
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold


def class_pairs(n_classes):
    """Pairs (i, j) with i < j, in the order in which pairwise margins come."""
    return list(itertools.combinations(range(n_classes), 2))


def couple(margins, n_classes):
    """Unnormalised log-probabilities log p_i = Σ_j log σ(d_ij) from pairwise margins d_ij = -d_ji.

    Parameters
    ----------
    margins : array, shape (n, n_classes * (n_classes - 1) / 2)
        Margin of each pair of `class_pairs`, positive for the first class.
    n_classes : int
        Number of classes.

    Returns
    -------
    numpy.ndarray of float64, shape (n, n_classes)
        Softmax of it is the coupled probability; with two classes σ(d) and σ(-d).
    """
    scores = np.zeros((len(margins), n_classes))
    for margin, (i, j) in zip(np.asarray(margins, np.float64).T, class_pairs(n_classes)):
        scores[:, i] += log_expit(margin)
        scores[:, j] += log_expit(-margin)
    return scores


def fit_temperature(margins_of, X, y, groups=None, n_folds=5, seed=0):
    """Temperature T that minimises the log loss of softmax(couple(margins / T)) on held-out folds.

    Parameters
    ----------
    margins_of : callable
        ``margins_of(X_train, y_train, X_test)`` fits on the first two and returns the pairwise margins of the third.
    X, y, groups, n_folds, seed
        As of `held_out_scores`.

    Returns
    -------
    float
        1 where fewer than two folds are possible.
    """
    folds = held_out_scores(margins_of, X, y, groups, n_folds, seed)
    return best_temperature([(margins, truth, len(present)) for margins, truth, present in folds], couple)


def held_out_scores(scores_of, X, y, groups=None, n_folds=5, seed=0):
    """Scores of every fold by a classifier that was fitted to the others.

    Parameters
    ----------
    scores_of : callable
        ``scores_of(X_train, y_train, X_test)`` fits on the first two and returns the scores of the third.
    X : array, shape (n, n_features)
    y : array of int, shape (n,)
        Classes 0 … k-1.
    groups : array, shape (n,), optional
        Samples of one group (video, person) stay in one fold.
    n_folds : int
        Largest number of folds; fewer where there are fewer groups or samples of the commonest class.
    seed : int
        Seed of the folds.

    Returns
    -------
    list of (scores, truth, present)
        Per fold: what `scores_of` returned; the held-out samples' classes as positions in `present`; and `present`, the classes that the
        fold's training part has. Samples of other classes are left out. Empty where fewer than two folds are possible.
    """
    units = np.inf if groups is None else len(np.unique(groups))
    n_folds = int(min(n_folds, units, np.bincount(y).max()))
    if n_folds < 2:
        return []
    splitter = (StratifiedKFold if groups is None else StratifiedGroupKFold)(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Rare classes have fewer members than there are folds; that is handled below.
        warnings.filterwarnings("ignore", message="The least populated class")
        folds = list(splitter.split(X, y, groups))
    held_out = []
    for train, test in folds:
        present = np.unique(y[train])
        test = test[np.isin(y[test], present)]
        if len(present) > 1 and len(test):
            scores = scores_of(X[train], np.searchsorted(present, y[train]), X[test])
            held_out.append((scores, np.searchsorted(present, y[test]), present))
    return held_out


def best_temperature(held_out, log_probabilities):
    """Temperature T that minimises the log loss of softmax(log_probabilities(scores / T, n_classes)).

    Parameters
    ----------
    held_out : list of (scores, truth, n_classes)
        Scores and classes of held-out samples, by fold.
    log_probabilities : callable
        Unnormalised log-probabilities, (n, n_classes), of scores.

    Returns
    -------
    float
        1 without samples.
    """
    if not held_out:
        return 1.0

    def log_loss(log_temperature):
        loss = 0.0
        for scores, truth, n_classes in held_out:
            log_p = log_softmax(log_probabilities(scores / math.exp(log_temperature), n_classes), axis=1)
            loss -= log_p[np.arange(len(truth)), truth].sum()
        return loss

    return math.exp(minimize_scalar(log_loss, bounds=(-7.0, 7.0), method="bounded").x)
