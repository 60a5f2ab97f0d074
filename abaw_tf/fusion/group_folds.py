"""Folds of whole groups of frames, alike in size and in labels."""

import numpy as np


def deal_groups(codes, strata, n_folds, seed=0) -> np.ndarray:
    """Deal groups to folds that are alike in frames and in labels.

    From the largest to the smallest, each group goes to the fold with which it has least in common so far: the least sum, over the
    kinds of labels and the number of frames (which weighs as much as all kinds together), of the products of fold's and group's shares.
    So no fold stays empty, and rare labels are spread as far as whole groups allow.

    Parameters
    ----------
    codes : array of int, shape (frames,)
        Group of each frame, 0, 1, ..., each with at least one frame.
    strata : array of int, shape (frames,)
        Kind of label of each frame, see `strata_of`.
    n_folds : int
        Fewer where there are fewer groups.
    seed : int
        Decides between groups of equal size.

    Returns
    -------
    numpy.ndarray of int, shape (groups,)
        Fold of each group, 0, 1, ...

    Raises
    ------
    ValueError
        For fewer than two folds, or a part of one.
    """
    if n_folds < 2 or n_folds != int(n_folds):
        raise ValueError(f"n_folds must be a whole number, 2 or more. Received: n_folds={n_folds}")
    n_groups, n_strata = int(codes.max()) + 1, int(strata.max()) + 1
    counts = np.bincount(codes * n_strata + strata, minlength=n_groups * n_strata).reshape(n_groups, n_strata)
    counts = counts[:, counts.any(axis=0)]
    shares = counts / counts.sum(axis=0)
    frames = counts.sum(axis=1, keepdims=True) / counts.sum()
    shares = np.hstack([shares, np.sqrt(shares.shape[1]) * frames])
    order = np.random.default_rng(seed).permutation(n_groups)
    order = order[np.argsort(-(shares[order] ** 2).sum(axis=1), kind="stable")]
    loads = np.zeros((min(int(n_folds), n_groups), shares.shape[1]))
    fold_of = np.empty(n_groups, np.int64)
    for group in order:
        fold = int(np.argmin(loads @ shares[group]))
        fold_of[group] = fold
        loads[fold] += shares[group]
    return fold_of


def strata_of(truth) -> np.ndarray:
    """Kind of label of each frame: its class, or which of its outputs are positive."""
    if truth.ndim == 1:
        return truth.astype(np.int64)
    return (truth > 0) @ (1 << np.arange(truth.shape[1]))


def given_folds(codes, folds, names) -> np.ndarray:
    """Fold of each group, 0, 1, ..., from the fold of each frame.

    Raises
    ------
    ValueError
        When a group lies in two folds, or all in one.
    """
    folds = np.asarray(folds)
    if folds.shape != codes.shape:
        raise ValueError(f"folds must tell the fold of each of the frames. Received: shape={folds.shape}")
    values, folds = np.unique(folds, return_inverse=True)
    if len(values) < 2:
        raise ValueError(f"folds must divide the labelled frames in at least two. Received: {values.tolist()}")
    fold_of = np.empty(len(names), np.int64)
    fold_of[codes] = folds
    astray = fold_of[codes] != folds
    if astray.any():
        frame = int(np.argmax(astray))
        group = codes[frame]
        raise ValueError(
            f"no group may lie in two folds, or its frames are on both sides; give blocks of time group names of their own. Received: "
            f"{str(names[group])!r} in folds {values[folds[frame]]} and {values[fold_of[group]]}"
        )
    return fold_of
