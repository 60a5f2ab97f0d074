"""The weights that maximise the CCC of a weighted average, exactly."""

import numpy as np
from scipy.optimize import brentq, nnls

from abaw_tf.fusion.moments import Moments

SMALLEST = 1e-14
"""Smallest eigenvalue of the scaled matrix Q as a share of the largest; below is rounding: models that are combinations of others."""


def optimal_weights(moments: Moments) -> np.ndarray:
    r"""Non-negative weights, summing to one, with the highest CCC of the weighted average.

    With covariances :math:`\Sigma` of the models, :math:`s` with the truth, mean differences :math:`d` and variance
    :math:`\sigma^2` of the truth, the CCC of weights on the simplex is

    .. math:: \rho(w) = \frac{2 s'w}{w'\Sigma w + (d'w)^2 + \sigma^2} = \frac{2\,(s'w)(1'w)}{w'Qw},
              \qquad Q = \Sigma + dd' + \sigma^2 11',

    and the right-hand side does not depend on the scale of `w`: the simplex becomes the cone :math:`w \ge 0`.

    - Without the sign constraint the optimum is the leading generalised eigenvector of :math:`(s1' + 1s', Q)`, of rank two:
      :math:`w \propto \sqrt\beta\,Q^{-1}s + \sqrt\alpha\,Q^{-1}1` and :math:`\rho = \gamma + \sqrt{\alpha\beta}`, where
      :math:`\alpha = s'Q^{-1}s`, :math:`\beta = 1'Q^{-1}1`, :math:`\gamma = s'Q^{-1}1`.
    - Where :math:`s'w > 0`, the CCC is a positive linear over a positive convex function, hence pseudo-concave: a point that
      fulfils the Karush-Kuhn-Tucker conditions is a global optimum. They say that `w` is proportional to the solution
      :math:`y(\theta)` of the non-negative least squares problem :math:`\min_{y \ge 0} y'Qy/2 - (s + \theta 1)'y` with
      :math:`\theta = s'y / 1'y`. The difference of the two sides is positive at 0 and not at :math:`\max s`: one root, found by
      bracketing. The models with positive weight are then known and the closed form above, on these models, gives the last digits.
    - Where no model correlates positively with the truth, the CCC is quasi-convex on the simplex: the best single model is optimal.

    Parameters
    ----------
    moments : Moments
        Groups are added up. The truth of every output must vary.

    Returns
    -------
    numpy.ndarray of shape (models, outputs)
        Where several weightings are equally good (one model is a combination of others), one of them.
    """
    parts = moments.total().central()
    return np.stack([_optimum(*output) for output in zip(*parts)], axis=1)


def _optimum(covariances, s, d, truth_variance):
    q = covariances + np.outer(d, d) + truth_variance
    # In units in which Q has a unit diagonal and the largest of s and of the ones is 1: neither moves the optimum on the cone.
    scale = 1 / np.sqrt(np.diag(q))
    q, s, one = q * np.outer(scale, scale), s * scale, scale / scale.max()
    candidates = list(np.eye(len(s)))
    if len(s) > 1 and s.max() > 0:
        s = s / s.max()
        found = _constrained(q, s, one)
        candidates += [found, *_closed_form(q, s, one, np.flatnonzero(found > 1e-9 * found.max()))]
    best = max(candidates, key=lambda y: (s @ y) * (one @ y) / (y @ q @ y))
    weights = best * scale
    return weights / weights.sum()


def _constrained(q, s, one):
    """Optimum on the cone, by the root in θ of the conditions of optimality."""
    values, vectors = np.linalg.eigh(q)
    roots = np.sqrt(np.maximum(values, SMALLEST * values[-1]))
    factor = roots[:, None] * vectors.T  # factor' factor = Q

    def solution(theta):
        return nnls(factor, (vectors.T @ (s + theta * one)) / roots)[0]

    def excess(theta):
        y = solution(theta)
        return (s @ y) / (one @ y) - theta

    upper = (s / one).max()
    return solution(brentq(excess, 0, upper * (1 + 1e-9), xtol=1e-15 * upper, rtol=1e-14))


def _closed_form(q, s, one, support):
    """Optimum over weights of any sign of the models in `support`; nothing where it is not unique or has a negative weight."""
    q, s_part, one_part = q[np.ix_(support, support)], s[support], one[support]
    if np.linalg.cond(q) > 1e12:
        return []
    for_s, for_one = np.linalg.solve(q, np.column_stack([s_part, one_part])).T
    alpha, beta = s_part @ for_s, one_part @ for_one
    y = np.zeros(len(s))
    y[support] = np.sqrt(max(beta, 0)) * for_s + np.sqrt(max(alpha, 0)) * for_one
    return [y] if y[support].min() > 0 else []
