"""The linear equations of a kernel extreme learning machine, built and solved in place in the precision of the data.

With targets T, weights W = diag(w) and cost C, the machine's coefficients are, over samples or (linear kernel) over features,

    (K + (C·W)⁻¹) A = T        or        (Xᵀ W X + I/C) B = Xᵀ W T,

and both give the same scores, K(x, X) A = x B. Each is a symmetric matrix, of which only the lower triangle is ever filled, plus 1/C times
a diagonal. One matrix serves all costs.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import blas, lapack

_COLUMNS = 128  # of the kernel matrix that are worked on at a time
_ROWS = 2048  # samples that are weighted at a time
_FEATURES = 1024  # that are centred at a time


class Equations(NamedTuple):
    """``(matrix + diag(diagonal) / C) X = right``; `matrix` is in Fortran order and its lower triangle counts."""

    matrix: np.ndarray
    diagonal: np.ndarray
    right: np.ndarray


def feature_equations(X, targets, weights):
    """Equations over the features, for the linear kernel: cheaper where there are fewer features than samples.

    Parameters
    ----------
    X : array of float32 or float64, shape (n, n_features), C order
    targets : array of the same type, shape (n, n_classes)
    weights : array of the same type, shape (n,)

    Returns
    -------
    Equations
    """
    syrk = blas.get_blas_funcs("syrk", (X,))
    matrix = np.zeros((X.shape[1], X.shape[1]), X.dtype, order="F")
    for start in range(0, len(X), _ROWS):
        block = X[start : start + _ROWS] * np.sqrt(weights[start : start + _ROWS, None])
        matrix = syrk(1.0, block.T, beta=1.0, c=matrix, lower=1, overwrite_c=1)
    return Equations(matrix, np.ones(len(matrix), X.dtype), X.T @ (weights[:, None] * targets))


def sample_equations(X, targets, weights, kernel, gamma, degree, coef0):
    """Equations over the samples, for any kernel; parameters as of `feature_equations` and `kernel_matrix`."""
    return Equations(kernel_matrix(X, kernel, gamma, degree, coef0), 1 / weights, targets)


def kernel_matrix(X, kernel, gamma, degree, coef0):
    """Lower triangle of the kernel matrix of X with itself.

    Parameters
    ----------
    X : array of float32 or float64, shape (n, n_features), C order
    kernel : {"linear", "rbf", "poly"}
        x·y, exp(-gamma·|x - y|²), (gamma·x·y + coef0)^degree.
    gamma, degree, coef0 : float
        Its parameters.

    Returns
    -------
    numpy.ndarray, shape (n, n), Fortran order
        In the precision of X. It is the only large array that is made.
    """
    syrk = blas.get_blas_funcs("syrk", (X,))
    if kernel == "rbf":
        # Of centred features, which have the same distances: squares of large offsets would drown these.
        matrix = np.zeros((len(X), len(X)), X.dtype, order="F")
        for start in range(0, X.shape[1], _FEATURES):
            part = X[:, start : start + _FEATURES]
            matrix = syrk(1.0, (part - part.mean(axis=0)).T, beta=1.0, c=matrix, trans=1, lower=1, overwrite_c=1)
    else:
        matrix = syrk(1.0, X.T, trans=1, lower=1)
    if kernel == "linear":
        return matrix
    squares = matrix.diagonal().copy()
    for start in range(0, len(X), _COLUMNS):
        part = matrix[start:, start : start + _COLUMNS]
        if kernel == "rbf":
            part *= -2
            part += squares[start:, None]
            part += squares[start : start + _COLUMNS]
            np.maximum(part, 0, out=part)  # rounding
            part *= -gamma
            np.exp(part, out=part)
        else:
            part *= gamma
            part += coef0
            np.power(part, degree, out=part)
    return matrix


def solutions(equations, costs):
    """Solve for each cost C by a Cholesky decomposition; the last one overwrites the matrix.

    Parameters
    ----------
    equations : Equations
    costs : sequence of float

    Returns
    -------
    numpy.ndarray, shape (n_costs, n_unknowns, n_classes)
        NaN for a cost whose matrix is not positive definite in its precision.
    """
    matrix, diagonal, right = equations
    potrf, potrs = lapack.get_lapack_funcs(("potrf", "potrs"), (matrix,))
    own = matrix.diagonal().copy()
    found = []
    for number, cost in enumerate(costs):
        last = number == len(costs) - 1
        np.fill_diagonal(matrix, own + diagonal / matrix.dtype.type(cost))
        factor, failed = potrf(matrix, lower=1, clean=0, overwrite_a=last)
        if not failed:
            solution, _ = potrs(factor, right, lower=1)
        is_solved = not failed and np.isfinite(solution).all()
        found.append(solution if is_solved else np.full_like(right, np.nan))
    return np.stack(found)
