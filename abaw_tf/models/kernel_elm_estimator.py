"""The kernel extreme learning machine as a scikit-learn estimator.

References
----------
G.-B. Huang et al., "Extreme learning machine for regression and multiclass classification", IEEE Trans. SMC-B 42(2), 2012, eq. 24.

W. Zong, G.-B. Huang, Y. Chen, "Weighted extreme learning machine for imbalance learning", Neurocomputing 101, 2013.
"""

import copy
import warnings
from numbers import Integral, Real

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import f1_score
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.preprocessing import StandardScaler, normalize
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_X_y

from abaw_tf.models.kernel_elm_solver import feature_equations, sample_equations, solutions
from abaw_tf.training.calibration import best_temperature, held_out_scores
from abaw_tf.training.class_weights import estimator_class_weights
from abaw_tf.training.estimator_files import SavedEstimator

KERNELS = ("linear", "rbf", "poly")
COSTS = tuple(10.0**exponent for exponent in range(-4, 3))
"""Grid of ``C="auto"``."""

_FLOATS = (np.float64, np.float32)
_ROWS = 2048  # windows that are normalised or compared with the training windows at a time


class KernelELM(SavedEstimator, ClassifierMixin, BaseEstimator):
    """Kernel extreme learning machine: regularised least squares on targets ±1, solved in closed form (Huang et al., 2012).

    The scores of a window x are ``K(x, X) (K(X, X) + (C·W)⁻¹)⁻¹ T``, where T holds 1 for the class of a training window and -1 for the
    others, and W its class weight (Zong et al., 2013). Without normalisation and class weights this is
    :class:`sklearn.kernel_ridge.KernelRidge` with ``alpha=1/C`` on T; there is no intercept.

    Parameters
    ----------
    C : float or "auto"
        Cost: the ridge is 1/C. ``"auto"``: the one of `COSTS` with the best macro F1 on held-out folds, the smallest one at a tie. Costs
        whose equations cannot be solved in the precision of the features, in some fold, do not take part.
    kernel : {"linear", "rbf", "poly"}
        x·y, exp(-gamma·|x - y|²), (gamma·x·y + coef0)^degree. JCS writes the second one exp(-|x - y|²/p): gamma is 1/p.
    gamma : float, optional
        By default 1 / n_features as in KernelRidge, or with `normalize` 1, since windows of norm 1 are never further apart than 2.
    class_weight : None, "balanced", float or dict
        See :func:`abaw_tf.training.class_weights.estimator_class_weights`; a number is the ratio r of logarithmic weights.
    degree, coef0 : float
        Of the polynomial kernel; its degree is a whole number.
    normalize : bool
        Bring each feature to mean 0 and variance 1 over the training windows, then each window to Euclidean norm 1.
    folds : int
        Largest number of held-out folds, for the cost and the temperature.
    random_state : int, optional
        Seed of the folds.

    Attributes
    ----------
    classes_ : numpy.ndarray, shape (n_classes,)
    class_weight_ : numpy.ndarray, shape (n_classes,)
    C_, gamma_, temperature_ : float
        Values that were used.
    coef_ : numpy.ndarray, shape (n_classes, n_features)
        Of the linear kernel.
    X_fit_, dual_coef_ : numpy.ndarray, shape (n_windows, n_features) and (n_windows, n_classes)
        Of the other kernels: the training windows (normalised) and their coefficients.
    mean_, scale_ : numpy.ndarray, shape (n_features,)
        With `normalize`: of the training windows.
    n_features_in_ : int

    Notes
    -----
    float32 features are worked on in float32, all others in float64; of normalised windows, the scores usually differ by less than
    1e-3 for the costs of `COSTS`. The linear kernel is solved over features where they are fewer than the windows. Memory is about
    that of one kernel matrix, twice that while several costs are compared, and of the normalised features. With ``C="auto"`` or `groups`
    each fold also copies the features of its training windows: about 0.5 GB at 20,000 windows × 8192 float32 features.

    The authors do not say how they made probabilities of the scores s. Here they are softmax(s / T). With `groups` (videos or people) the
    temperature T minimises the log loss on held-out folds that keep each group in one fold; without, T is 1, because folds that share
    videos would flatter the scores. With two classes s is (-d, d), so that the probability is σ(2d / T).

    Examples
    --------
    >>> import numpy as np
    >>> x = np.r_[np.full((20, 2), -1.0), np.ones((20, 2))] + np.random.default_rng(0).normal(0, 0.1, (40, 2))
    >>> y = np.repeat([0, 1], 20)
    >>> float(KernelELM().fit(x, y).score(x, y))
    1.0
    """

    saved_attributes = ("classes_", "class_weight_", "C_", "gamma_", "temperature_", "n_features_in_")

    def __init__(
        self,
        C=1.0,
        kernel="linear",
        gamma=None,
        class_weight=None,
        degree=3,
        coef0=1.0,
        normalize=False,
        folds=5,
        random_state=0,
    ):
        self.C = C
        self.kernel = kernel
        self.gamma = gamma
        self.class_weight = class_weight
        self.degree = degree
        self.coef0 = coef0
        self.normalize = normalize
        self.folds = folds
        self.random_state = random_state

    def fit(self, X, y, groups=None):
        """Fit the machine, and the cost and the temperature if they are to be found.

        Parameters
        ----------
        X : array, shape (n_windows, n_features)
            Functionals, as from :func:`abaw_tf.features.functionals.mean_and_std`.
        y : array, shape (n_windows,)
            Class of each window; leave out windows without a label.
        groups : array, shape (n_windows,), optional
            Video or person of each window, kept together in the folds.

        Returns
        -------
        KernelELM
            Itself.

        Raises
        ------
        ValueError
            Fewer than two classes, a parameter out of range, bad arrays, or a matrix that is not positive definite in their precision.

        Warns
        -----
        UserWarning
            The cost that ``C="auto"`` has found can be solved on the folds, but not on all windows; a smaller one is taken.
        """
        X, y = check_X_y(X, y, dtype=_FLOATS, order="C")
        check_classification_targets(y)
        self._check_parameters()
        for name in ("mean_", "scale_", "coef_", "X_fit_", "dual_coef_"):  # of an earlier fit
            vars(self).pop(name, None)
        self.n_features_in_ = X.shape[1]
        self.classes_, index = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"`y` must hold at least two classes. Received: one class, {self.classes_[0]}")
        default_gamma = 1.0 if self.normalize else 1.0 / X.shape[1]
        self.gamma_ = default_gamma if self.gamma is None else float(self.gamma)
        self.class_weight_ = estimator_class_weights(self.class_weight, self.classes_, index)
        weights = self.class_weight_[index].astype(X.dtype)
        held_out = self._held_out(X, index, weights, groups)
        self.C_, coefficients = self._learn_best(X, index, weights, held_out)
        own = [(scores, truth, len(present)) for scores, truth, present in held_out[self.C_]]
        self.temperature_ = 1.0 if groups is None else best_temperature(own, lambda scores, n_classes: scores)
        if self.kernel == "linear":
            self.coef_ = np.ascontiguousarray(coefficients.T)
        else:
            self.dual_coef_ = np.ascontiguousarray(coefficients)
        return self

    def scores(self, X):
        """Score of each class in `classes_`, near 1 for the window's own and near -1 for the others; (n_windows, n_classes)."""
        X = self.checked(X, _FLOATS)
        return self._scores(X, self.coef_.T if self.kernel == "linear" else self.dual_coef_)

    def decision_function(self, X):
        """Scores as scikit-learn wants them: of two classes that of the second alone, shape (n_windows,)."""
        scores = self.scores(X)
        return scores[:, 1] if len(self.classes_) == 2 else scores

    def predict_proba(self, X):
        """Probability of each class in `classes_`, softmax(scores / temperature_); (n_windows, n_classes) float64."""
        return softmax(self.scores(X).astype(np.float64) / self.temperature_, axis=1)

    def predict(self, X):
        """Most probable class of each window, shape (n_windows,)."""
        best = self.scores(X).argmax(axis=1)
        return self.classes_[best]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # Without an intercept no class weight makes every answer one class, which scikit-learn's check of class_weight asks for.
        tags.classifier_tags.poor_score = True
        return tags

    def _check_parameters(self):
        if self.kernel not in KERNELS:
            raise ValueError(f"`kernel` must be one of {', '.join(KERNELS)}. Received: kernel={self.kernel!r}")
        for name, others in (("C", ("auto",)), ("gamma", (None,)), ("degree", ())):
            value = getattr(self, name)
            if value not in others and not (isinstance(value, Real) and 0 < value < np.inf):
                rule = " or ".join(["positive", *map(repr, others)])
                raise ValueError(f"`{name}` must be {rule}. Received: {name}={value!r}")
        if self.kernel == "poly" and self.degree % 1:  # powers of negative numbers
            raise ValueError(f'`degree` must be a whole number for kernel="poly". Received: degree={self.degree!r}')
        for name, kind, rule in (("coef0", Real, "a number"), ("folds", Integral, "a whole number")):
            value = getattr(self, name)
            if not isinstance(value, kind) or not 0 <= value < np.inf:
                raise ValueError(f"`{name}` must be {rule} of at least 0. Received: {name}={value!r}")

    def _held_out(self, X, index, weights, groups):
        """Scores on held-out folds, as of `held_out_scores`, of each cost that may be taken; none where they are not needed."""
        costs = COSTS if self.C == "auto" else (float(self.C),)
        if len(costs) == 1 and groups is None:
            return {costs[0]: []}
        is_solved = np.ones(len(costs), bool)

        def scores_of(train, classes, test):
            fold = copy.copy(self)
            coefficients = fold._learn(X[train], classes, weights[train], costs)
            is_solved[:] &= np.isfinite(coefficients).all(axis=(1, 2))
            return np.stack([fold._scores(X[test], of_cost) for of_cost in coefficients]).astype(np.float64)

        held_out = held_out_scores(scores_of, np.arange(len(X)), index, groups, self.folds, self.random_state)
        if not held_out and len(costs) > 1:
            raise ValueError(
                'C="auto" needs two folds, each with two classes outside of it: give more groups or windows, or a number for C. '
                f"Received: {len(X)} windows, {'no' if groups is None else len(np.unique(groups))} groups, folds={self.folds}"
            )
        if not is_solved.any():
            raise _unsolvable(costs, X.dtype)
        return {
            costs[number]: [(scores[number], truth, present) for scores, truth, present in held_out]
            for number in np.flatnonzero(is_solved)
        }

    def _learn_best(self, X, index, weights, held_out):
        """The cost with the best scores, or the next smaller one that all windows together can be solved with, and its coefficients."""
        best = max(held_out, key=lambda cost: _macro_f1(held_out[cost])) if len(held_out) > 1 else next(iter(held_out))
        costs = [cost for cost in reversed(held_out) if cost <= best]
        for cost in costs:
            (coefficients,) = self._learn(X, index, weights, (cost,))
            if np.isfinite(coefficients).all():
                break
        else:
            raise _unsolvable(COSTS if self.C == "auto" else costs, X.dtype)
        if cost != best:
            warnings.warn(
                f'C="auto": C={best:g}, the best one, can be solved on the folds, but not on all windows in {X.dtype}; C={cost:g} is taken',
                stacklevel=3,
            )
        return cost, coefficients

    def _learn(self, X, index, weights, costs):
        """Learn the normalisation, keep what the kernel needs, and return the coefficients, (n_costs, n_unknowns, n_classes)."""
        if self.normalize:
            scaler = StandardScaler()
            for start in range(0, len(X), _ROWS):
                scaler.partial_fit(X[start : start + _ROWS])
            self.mean_, self.scale_ = scaler.mean_.astype(X.dtype), scaler.scale_.astype(X.dtype)
        X = self._normalized(X)
        targets = np.where(index[:, None] == np.arange(index.max() + 1), 1, -1).astype(X.dtype)
        linear = self.kernel == "linear"
        if linear and X.shape[1] < len(X):
            return solutions(feature_equations(X, targets, weights), costs)
        equations = sample_equations(X, targets, weights, self.kernel, self.gamma_, self.degree, self.coef0)
        found = solutions(equations, costs)
        if linear:
            return X.T @ found
        self.X_fit_ = X
        return found

    def _normalized(self, X):
        if not self.normalize:
            return X
        X = X - self.mean_
        X /= self.scale_
        return normalize(X, copy=False)

    def _scores(self, X, coefficients):
        blocks = []
        for start in range(0, len(X), _ROWS):
            block = self._normalized(X[start : start + _ROWS])
            if self.kernel != "linear":
                parameters = {"gamma": self.gamma_, "degree": self.degree, "coef0": self.coef0}
                block = pairwise_kernels(block, self.X_fit_, metric=self.kernel, filter_params=True, **parameters)
            blocks.append(block @ coefficients)
        return np.concatenate(blocks)


def _macro_f1(held_out):
    """Macro F1 of the scores on all folds together."""
    truth = np.concatenate([present[truth] for _, truth, present in held_out])
    decided = np.concatenate([present[scores.argmax(axis=1)] for scores, _, present in held_out])
    return f1_score(truth, decided, average="macro", zero_division=0)


def _unsolvable(costs, dtype):
    remedies = "features of a smaller range (normalize=True)" + (", or float64 features" if dtype == np.float32 else "")
    if len(costs) == 1:
        return ValueError(
            f"the kernel matrix plus 1/C is not positive definite in {dtype}: take a smaller C, {remedies}. Received: C={costs[0]:g}"
        )
    return ValueError(
        f"with none of the costs is the kernel matrix plus 1/C positive definite in {dtype}: take {remedies}. "
        f'Received: C="auto", of {", ".join(f"{cost:g}" for cost in costs)}'
    )
