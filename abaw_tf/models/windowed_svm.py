"""Model 2 of Dresvyanskiy et al. (2020): functionals of face embeddings over windows of 4 s, told apart by an SVM.

References
----------
D. Dresvyanskiy et al., arXiv 2010.03692, 2020, §III (see `abaw_tf.models.frame_cnn`). "code" means the authors' notebook.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.svm import SVC
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_X_y

from abaw_tf.features.functionals import majority_label, mean_and_std
from abaw_tf.training.calibration import class_pairs, couple, fit_temperature
from abaw_tf.training.class_weights import estimator_class_weights
from abaw_tf.training.estimator_files import SavedEstimator
from abaw_tf.training.needs import Track
from abaw_tf.training.recipe import EstimatorRecipe

HAPPINESS = 4
_ROWS = 4096  # windows per block of the kernel matrix in prediction


class WindowedSVM(SavedEstimator, ClassifierMixin, BaseEstimator):
    """Support vector machine on window functionals, with class weights max(1, ln(r·N/n)) and calibrated probabilities.

    Parameters
    ----------
    C : float
        Cost; 3 (paper), 2 (code).
    kernel : str
        ``"poly"`` (paper, code), or another kernel of :class:`sklearn.svm.SVC` that is given by a name.
    degree : int
        3 (the default of the library that the paper names no other value for); 1 in the code.
    gamma : float, "scale" or "auto"
        .1 (paper), .001 (code).
    coef0 : float
        0 (library default).
    r : float, "auto" or None
        Ratio of the logarithmic class weights (paper, eq. 1), computed from the labels given to `fit`: .47 (paper).
        ``"auto"``: the largest multiple of .01 that leaves the weight of Happiness at 1 (code). ``None``: no weights.
    calibration_folds : int
        Largest number of folds for the temperature of the probabilities; 0: none, the temperature is 1.
    max_iter : int
        Largest number of solver iterations, after which scikit-learn warns; LIBSVM's own limit (scikit-learn has none: a cubic
        kernel on features of large norm can run for ever). -1: no limit.
    random_state : int, optional
        Seed of the calibration folds.

    Attributes
    ----------
    classes_, support_vectors_, dual_coef_, intercept_, n_support_ : numpy.ndarray
        As in :class:`sklearn.svm.SVC`.
    class_weight_ : numpy.ndarray, shape (n_classes,)
    r_, gamma_, temperature_ : float
        Values that were used (``r_`` is NaN without weights).
    n_features_in_ : int
    n_iter_ : int
        Solver iterations of the pair of classes that took most.

    Notes
    -----
    The code takes libsvm's probabilities, which are calibrated on folds that share videos (and overlapping windows) and which
    scikit-learn gives up. Here the pairwise margins d_ij are coupled as p_i ∝ Π_j σ(d_ij / T), with the one temperature T that
    minimises the log loss on held-out folds; pass ``groups`` (videos or people) to `fit` to keep each in one fold. With two classes
    this is temperature scaling. `predict` returns the most probable class.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.r_[np.zeros((20, 2)), np.ones((20, 2))] + np.random.default_rng(0).normal(0, 0.1, (40, 2))
    >>> y = np.repeat([0, 1], 20)
    >>> float(WindowedSVM(gamma=1.0, degree=1).fit(x, y).score(x, y))
    1.0
    """

    saved_attributes = (
        *("classes_", "class_weight_", "support_vectors_", "dual_coef_", "intercept_", "n_support_"),
        *("gamma_", "temperature_", "r_", "n_features_in_", "n_iter_"),
    )

    def __init__(
        self,
        C=3.0,
        kernel="poly",
        degree=3,
        gamma=0.1,
        coef0=0.0,
        r=0.47,
        calibration_folds=5,
        max_iter=10_000_000,
        random_state=0,
    ):
        self.C = C
        self.kernel = kernel
        self.degree = degree
        self.gamma = gamma
        self.coef0 = coef0
        self.r = r
        self.calibration_folds = calibration_folds
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X, y, groups=None):
        """Fit the SVM and the temperature of its probabilities.

        Parameters
        ----------
        X : array, shape (n_windows, n_features)
            Functionals, as from :func:`abaw_tf.features.functionals.mean_and_std`.
        y : array, shape (n_windows,)
            Class of each window; leave out windows without a label.
        groups : array, shape (n_windows,), optional
            Video or person of each window, kept together in the calibration folds.

        Returns
        -------
        WindowedSVM
            Itself.

        Raises
        ------
        ValueError
            Fewer than two classes, a parameter out of range, or bad arrays.
        """
        X, y = check_X_y(X, y, dtype=np.float64)
        check_classification_targets(y)
        if not isinstance(self.kernel, str) or self.kernel == "precomputed":
            raise ValueError(f"`kernel` must be the name of a kernel on features. Received: kernel={self.kernel!r}")
        self.n_features_in_ = X.shape[1]
        self.classes_, index, counts = np.unique(y, return_inverse=True, return_counts=True)
        if len(self.classes_) < 2:
            raise ValueError(f"`y` must hold at least two classes. Received: one class, {self.classes_[0]}")
        self.gamma_ = self._gamma(X)
        self.r_ = self._ratio(counts)
        self.class_weight_ = self._weights(index)
        self.temperature_ = 1.0
        if self.calibration_folds:
            self.temperature_ = fit_temperature(
                self._held_out_margins, X, index, groups, self.calibration_folds, self.random_state
            )
        svc = self._fit_svc(X, index, self.class_weight_)
        for name in ("support_vectors_", "dual_coef_", "intercept_", "n_support_"):
            setattr(self, name, np.asarray(getattr(svc, name)))
        self.n_iter_ = int(np.max(svc.n_iter_))
        return self

    def pairwise_margins(self, X):
        """Margin of each pair of classes i < j, positive for i; (n_windows, n_classes * (n_classes - 1) / 2) float64."""
        X = self.checked(X, np.float64)
        blocks = [self._margins(X[i : i + _ROWS]) for i in range(0, len(X), _ROWS)]
        return np.concatenate(blocks)

    def predict_proba(self, X):
        """Probability of each class in `classes_`; (n_windows, n_classes) float64, rows sum to one."""
        scores = couple(self.pairwise_margins(X) / self.temperature_, len(self.classes_))
        return softmax(scores, axis=1)

    def predict(self, X):
        """Most probable class of each window, shape (n_windows,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def _gamma(self, X):
        if self.gamma == "auto":
            return 1.0 / X.shape[1]
        if self.gamma == "scale":
            return 1.0 / (X.shape[1] * X.var()) if X.var() else 1.0
        if isinstance(self.gamma, str) or not self.gamma > 0:
            raise ValueError(f'`gamma` must be positive, "scale" or "auto". Received: gamma={self.gamma!r}')
        return float(self.gamma)

    def _ratio(self, counts):
        if self.r is None:
            return math.nan
        if self.r == "auto":
            if HAPPINESS not in self.classes_:
                raise ValueError(f'r="auto" needs windows of class {HAPPINESS} (Happiness). Received: {self.classes_}')
            # ln(r·N/n) <= 1  <=>  r <= e·n/N
            largest = math.e * counts[self.classes_ == HAPPINESS][0] / counts.sum()
            return max(0.01, math.floor(largest * 100) / 100)
        if isinstance(self.r, str) or not self.r > 0:
            raise ValueError(f'`r` must be positive, "auto" or None. Received: r={self.r!r}')
        return float(self.r)

    def _weights(self, index):
        return estimator_class_weights(None if math.isnan(self.r_) else self.r_, np.unique(index), index)

    def _fit_svc(self, X, index, weights):
        svc = SVC(
            C=self.C,
            kernel=self.kernel,
            degree=self.degree,
            gamma=self.gamma_,
            coef0=self.coef0,
            class_weight=dict(enumerate(weights)),
            decision_function_shape="ovo",
            max_iter=self.max_iter,
            cache_size=500,
        )
        return svc.fit(X, index)

    def _held_out_margins(self, X_train, index, X_test):
        svc = self._fit_svc(X_train, index, self._weights(index))
        margins = svc.decision_function(X_test)
        return margins if margins.ndim == 2 else -margins[:, None]

    def _margins(self, X):
        parameters = {"gamma": self.gamma_, "degree": self.degree, "coef0": self.coef0}
        kernel = pairwise_kernels(X, self.support_vectors_, metric=self.kernel, filter_params=True, **parameters)
        if len(self.classes_) == 2:  # libsvm's sign is the other way round here
            return -(kernel @ self.dual_coef_.T + self.intercept_)
        ends = np.cumsum(self.n_support_)
        of = [slice(end - count, end) for end, count in zip(ends, self.n_support_)]
        columns = []
        for i, j in class_pairs(len(self.classes_)):
            margin = kernel[:, of[i]] @ self.dual_coef_[j - 1, of[i]] + kernel[:, of[j]] @ self.dual_coef_[i, of[j]]
            columns.append(margin + self.intercept_[len(columns)])
        return np.stack(columns, axis=1)


@dataclass(frozen=True)
class WindowedSvmRecipe(EstimatorRecipe):
    """Recipe of the windowed SVM. Defaults: the paper; ``published_notebook``: what the authors' notebook does instead.

    Windows of 4 s with 50 % overlap (paper, code); a frame's probabilities are the mean of its windows'; frames without a face
    take the embedding of the previous one.

    Attributes
    ----------
    frame_cnn_run : str
        Run folder of a trained frame CNN, whose 1024-d layer ``dense`` gives the embeddings; empty: the caller hands the
        runner a feature store named ``embedding``.
    C : float
        Cost: 3 (paper), 2 (code).
    kernel : str
        ``"poly"`` (paper, code).
    degree : int
        3, the library's default (the paper names no other); 1 in the code.
    gamma : float
        .1 (paper), .001 (code).
    r : float or "auto", optional
        Ratio of the class weights: .47 (paper); ``"auto"`` is the code's rule, the largest that leaves Happiness at 1.
    """

    name = "windowed_svm"
    runs: ClassVar = {"frame_cnn_run": "frame_cnn"}
    presets: ClassVar = {
        "paper": {},
        "published_notebook": {"C": 2.0, "degree": 1, "gamma": 0.001, "r": "auto"},
        # The synthetic trials are seconds long: windows of 4 s would be too few, and those of 0.5 s ask for a simpler kernel.
        "small": {"window_seconds": 0.5, "C": 2.0, "degree": 1},
    }

    frame_cnn_run: str = ""
    C: float = 3.0
    kernel: str = "poly"
    degree: int = 3
    gamma: float = 0.1
    r: float | str | None = 0.47

    def track(self):
        return Track("embedding", run=self.frame_cnn_run, layer="dense")

    def functionals(self, track, windows):
        return mean_and_std(track, windows)

    def window_labels(self, labels, windows):
        return majority_label(labels, windows)

    def build(self):
        return WindowedSVM(self.C, self.kernel, self.degree, self.gamma, r=self.r, random_state=self.seed)

    @staticmethod
    def load(path):
        return WindowedSVM.load(path)
