"""Draws of fusion weights in groups of neighbours, and the regions that hold them: what no draw of a region can choose need not be tried.

All draws of a group lie in two simplices: one grows from the lowest weight of each model in the group, the other shrinks from the highest.
A weighted sum ``w'q`` is linear in the weights, so that with ``low <= w <= high`` and total ``t = sum(w - low)``,

    low'q + t min(q)  <=  w'q  <=  low'q + t max(q)

and likewise from ``high``. For the whole simplex (``low = 0``, ``t = 1``) these are the rules that a class which is lower than another in
every model never wins (one weight per model: q is the difference of the two classes), and that a class whose maximum over the models
is below another's minimum never wins (weights per model and class: q is the class itself). For close draws they leave next to nothing
open. The bounds are computed in single precision and trusted only beyond a margin that covers its rounding and that of the
decisions in double precision (:func:`bound_margin`), so that whatever is left out never wins, ties included.
"""

import numpy as np


def neighbours(weights, size: int) -> np.ndarray:
    """Order of the draws in which every run of `size` draws lies close together.

    Splits at the middle of the widest weight until no more than `size` draws are left.

    Parameters
    ----------
    weights : array, shape (draws, n)
    size : int

    Returns
    -------
    numpy.ndarray of int, shape (draws,)
    """
    order = np.arange(len(weights))
    pending = [(0, len(weights))]
    while pending:
        start, stop = pending.pop()
        n_runs = -(-(stop - start) // size)
        if n_runs < 2:
            continue
        part = order[start:stop]
        values = weights[part]
        widest = np.ptp(values, axis=0).argmax()
        middle = n_runs // 2 * size
        order[start:stop] = part[np.argsort(values[:, widest], kind="stable")]
        pending += [(start, start + middle), (start + middle, stop)]
    return order


def regions(weights) -> np.ndarray:
    """Bounds of groups of draws.

    Parameters
    ----------
    weights : array, shape (groups, draws, columns, models)
        Columns are classes, or 1 for weights that all classes share.

    Returns
    -------
    numpy.ndarray of float32, shape (groups, columns, 3 * models + 4)
        Lowest and highest weights and their mean, lowest and highest of ``sum(w - low)``, and of ``sum(high - w)``.
    """
    low, high = weights.min(axis=1), weights.max(axis=1)
    above = (weights - low[:, None]).sum(axis=-1)
    below = (high[:, None] - weights).sum(axis=-1)
    spreads = [above.min(axis=1), above.max(axis=1), below.min(axis=1), below.max(axis=1)]
    parts = [low, high, weights.mean(axis=1), *(spread[..., None] for spread in spreads)]
    return np.ascontiguousarray(np.concatenate(parts, axis=-1), np.float32)


def bound_margin(n_models: int) -> np.float32:
    """What rounding to single precision can do to the bound of a score or lead, where magnitudes of scores are at most 1.

    A bound is a sum of products whose factors are rounded too; it takes up to m + 8 roundings of terms that add up to 4 m at most. That
    is generous enough to cover the rounding of the scores in double precision, a billion times smaller.
    """
    return np.float32(4 * n_models * (n_models + 8) * 2.0**-24)


def lead_margin(n_models: int, n_classes: int) -> np.int32:
    """What rounding can do to a lead, in steps of single precision, where all scores lie in an interval of equal steps.

    A score is off by half a step for each of m additions, by half a step for its products, and by one for their rounded factors; a
    lead by twice that. The class takes the place of the last bits: less than the next power of two. Two steps are more than the rounding
    in double precision.
    """
    return np.int32(n_models + 3 + 2 ** (n_classes - 1).bit_length() + 2)
