"""Random search for fusion weights drawn from a Dirichlet distribution (Dresvyanskiy et al. 2020, section 3.3)."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from abaw_tf import labels
from abaw_tf.fusion.averaging import POOLS, checked_probabilities, fused_scores, pooled, weighted_average
from abaw_tf.fusion.confusions import count_confusions
from abaw_tf.fusion.objectives import objective
from abaw_tf.fusion.weight_draws import Found, passes, refinements

LEVELS = {"model": "SWF", "model_class": "MCWF"}
"""Levels of weights and the names of the paper for them: simple, and model- and class-based weighted fusion."""

N_DRAWS = {"model": 1_000, "model_class": 10_000}
"""Draws of the paper's code by level."""


class DirichletFusion(ClassifierMixin, BaseEstimator):
    """Weighted fusion of class probabilities; the weights are the best of many Dirichlet draws.

    The search also tries every single model alone and equal weights, so that on the frames it was fitted to the fused score is never
    below the best single model's. On other frames it can be: the searched weights are fitted parameters, see
    :func:`abaw_tf.fusion.held_out`. Of equally good weights the first wins: single models, then equal weights, then the draws in order.

    Parameters
    ----------
    level : {"model", "model_class"}
        One weight per model ("SWF"), or one per model and class ("MCWF").
    n_draws : int, optional
        Number of Dirichlet draws; None: as in the paper's code, 1,000 for SWF and 10,000 for MCWF.
    concentration : float
        Parameter of the symmetric Dirichlet distribution; 1 is uniform over the simplex, as in the paper.
    metric : str or callable
        Score to maximise, see :func:`abaw_tf.fusion.objectives.objective`: ``"abaw2"`` is 0.67 · macro F1 + 0.33 · accuracy,
        ``"abaw3"`` macro F1; or the name of a function of true and predicted classes, such as ``"sklearn.metrics:cohen_kappa_score"``.
    refine : int
        Rounds of local refinement after the draws (0: none, as in the paper). Each round tries a tenth as many draws again (100 at
        least) around the five best weights w so far, from Dirichlet(1 + 16 · 4^round · w), whose mode is w; with weights per class
        every second one changes a single class. Weights are replaced by better ones only.
    pool : {"probability", "logit"}
        What is averaged, see :func:`abaw_tf.fusion.averaging.weighted_average`.
    n_models : int, optional
        Tells that inputs come in scikit-learn's layout (frames, models · classes), all classes of the first model first, as
        ``GridSearchCV`` needs. Inputs of shape (models, frames, classes) are then still understood.
    seed : int
        Seed of the draws; the same seed gives the same weights, whatever the number of threads.

    Attributes
    ----------
    weights_ : numpy.ndarray of shape (models,) or (models, classes)
        Columns sum to one.
    score_ : float
        Score of `weights_` on the fitted frames.
    scores_ : numpy.ndarray
        Score of every draw, those of the refinement last.
    single_scores_ : numpy.ndarray of shape (models,)
        Score of each model alone.
    equal_score_ : float
        Score of equal weights.
    history_ : list of (int, float)
        Number of the draw and its score, for every draw that improved on all before it. Draws are counted from 0 after the starting
        points (single models, then equal weights), which have negative numbers.
    n_models_, n_classes_ : int
    classes_ : numpy.ndarray of shape (classes,)

    Examples
    --------
    >>> import numpy as np
    >>> voice = [[0.6, 0.4], [0.4, 0.6], [0.45, 0.55]]
    >>> face = [[0.1, 0.9], [0.2, 0.8], [0.9, 0.1]]
    >>> fusion = DirichletFusion(n_draws=100, metric="accuracy").fit([voice, face], [0, 1, 0])
    >>> fusion.single_scores_.round(4), fusion.score_
    (array([0.6667, 0.6667]), 1.0)
    """

    def __init__(
        self,
        level="model",
        n_draws=None,
        concentration=1.0,
        metric="abaw2",
        refine=0,
        pool="probability",
        n_models=None,
        seed=0,
    ):
        self.level = level
        self.n_draws = n_draws
        self.concentration = concentration
        self.metric = metric
        self.refine = refine
        self.pool = pool
        self.n_models = n_models
        self.seed = seed

    @property
    def label(self) -> str:
        """What tables and sentences call this fusion."""
        return LEVELS.get(self.level, str(self.level)) + ("" if self.pool == "probability" else f" ({self.pool}s)")

    @property
    def metric_name(self) -> str:
        """Name of the score that is maximised."""
        return objective(self.metric).name

    def fit(self, probabilities, y, progress=None):
        """Search the weights.

        Parameters
        ----------
        probabilities : array-like of shape (models, frames, classes)
            Finite and not negative on labelled frames.
        y : array-like of int, shape (frames,)
            True classes; frames with -1 are left out.
        progress : callable, optional
            Called with the number of draws done since its last call, for example ``tqdm(...).update``.

        Returns
        -------
        DirichletFusion
            Itself.

        Raises
        ------
        ValueError
            When a parameter, a shape or a label does not fit, no frame is labelled, or a labelled frame has a bad probability (the
            error names model and frame).
        """
        probabilities, y = self._checked(probabilities, y)
        return self._take(self._search(probabilities, y, None, 0, progress)[0])

    def fit_folds(self, probabilities, y, fold_codes, n_folds, progress=None) -> list:
        """Search on all folds but one, for every fold, in one pass over the frames; fits this estimator to all of them besides.

        Confusion matrices of folds add up, so only the refinement is done fold by fold.

        Parameters
        ----------
        probabilities, y, progress
            As for `fit`.
        fold_codes : array-like of int, shape (frames,)
            Fold of each frame, 0 ... `n_folds` - 1.
        n_folds : int

        Returns
        -------
        list of DirichletFusion
            As many as folds; the one at position i equals a fit to the frames outside fold i.
        """
        probabilities, y = self._checked(probabilities, y)
        found = self._search(probabilities, y, np.asarray(fold_codes), n_folds, progress)
        self._take(found[-1])
        return [clone(self)._take(fold) for fold in found[:-1]]

    def predict_proba(self, probabilities) -> np.ndarray:
        """Fused probabilities of shape (frames, classes)."""
        check_is_fitted(self)
        return weighted_average(self._fitting(probabilities), self.weights_, self.pool)

    def predict(self, probabilities) -> np.ndarray:
        """Fused classes of shape (frames,)."""
        check_is_fitted(self)
        probabilities = checked_probabilities(self._fitting(probabilities))
        return fused_scores(pooled(probabilities, self.pool), self.weights_).argmax(axis=1)

    def score(self, probabilities, y) -> float:
        """`metric` of the fused classes on the labelled frames."""
        check_is_fitted(self)
        y = np.asarray(y)
        return float(
            self.score_sums(self.sums(self._fitting(probabilities), y, self.weights_, np.zeros(len(y), int), 1)[0])
        )

    def sums(self, probabilities, y, weights, codes, n_groups) -> np.ndarray:
        """Confusion matrices (n_groups, k, k), rows true, of the fusion by `weights` in the groups `codes` of the frames.

        `weights`: (models,) or (models, classes). Needs no fit.
        """
        probabilities, y = self._checked(probabilities, y)
        pool = pooled(probabilities, self.pool)
        return count_confusions(pool, y, np.asarray(weights, np.float64)[None], groups=codes, n_groups=n_groups)[0]

    def score_sums(self, sums) -> np.ndarray:
        """`metric` of (summed) confusion matrices of shape (..., k, k)."""
        return objective(self.metric).scores(sums)

    def arranged(self, probabilities) -> np.ndarray:
        """Probabilities in the layout (models, frames, classes), whichever they come in."""
        probabilities = np.asarray(probabilities)
        if self.n_models is None:
            return probabilities
        if not isinstance(self.n_models, (int, np.integer)) or self.n_models < 1:
            raise ValueError(
                f"n_models must be a whole number, 1 or more, or None. Received: n_models={self.n_models!r}"
            )
        if probabilities.ndim == 2 and probabilities.shape[1] % self.n_models == 0:
            return probabilities.reshape(len(probabilities), self.n_models, -1).transpose(1, 0, 2)
        if probabilities.ndim == 3 and len(probabilities) == self.n_models:
            return probabilities
        raise ValueError(
            f"with n_models={self.n_models}, probabilities must have shape (frames, {self.n_models} * classes) or "
            f"({self.n_models}, frames, classes). Received: shape={probabilities.shape}"
        )

    def _search(self, probabilities, y, codes, n_folds, progress) -> list:
        """What was found on the frames outside each fold and, last, on all."""
        score = objective(self.metric).scores
        values = pooled(probabilities, self.pool)
        n_models, _, n_classes = values.shape
        n_draws = N_DRAWS[self.level] if self.n_draws is None else self.n_draws
        per_class = n_classes if self.level == "model_class" else None
        found = [Found(n_models, n_classes) for _ in range(n_folds + 1)]
        for weights in passes(
            n_draws, n_models, per_class, self.concentration, self.seed, max(1, n_folds) * n_classes**2
        ):
            counts = count_confusions(values, y, weights, groups=codes, n_groups=n_folds or None, progress=progress)
            total = counts.sum(axis=1) if n_folds else counts
            for fold in range(n_folds):
                found[fold].add(weights, score(total - counts[:, fold]))
            found[-1].add(weights, score(total))
        for fold, one in enumerate(found):
            if not np.isfinite(one.top_scores[0]):
                where = "on these frames" if fold == n_folds else f"outside fold {fold}"
                raise ValueError(f"the score {self.metric_name} of no weights is a finite number {where}")
            kept = y if fold == n_folds or not self.refine else np.where(codes == fold, labels.MISSING_EXPRESSION, y)
            for weights in refinements(one, self.refine, max(100, n_draws // 10), self.seed):
                one.add(weights, score(count_confusions(values, kept, weights, progress=progress)))
        return found

    def _take(self, found):
        scores = np.concatenate(found.scores)
        self.weights_, self.score_ = found.top[0].copy(), float(found.top_scores[0])
        self.single_scores_, self.equal_score_ = scores[: found.n_models], float(scores[found.n_models])
        self.scores_ = scores[found.n_models + 1 :]
        self.history_ = found.history
        self.n_models_, self.n_classes_ = found.n_models, found.n_classes
        self.classes_ = np.arange(found.n_classes)
        return self

    def _fitting(self, probabilities) -> np.ndarray:
        """Probabilities of as many models and classes as in the fit."""
        probabilities = self.arranged(probabilities)
        if probabilities.ndim != 3 or probabilities.shape[::2] != (self.n_models_, self.n_classes_):
            raise ValueError(
                f"the fusion was fitted to {self.n_models_} models and {self.n_classes_} classes: probabilities must have shape "
                f"({self.n_models_}, frames, {self.n_classes_}). Received: shape={probabilities.shape}"
            )
        return probabilities

    def _checked(self, probabilities, y):
        if self.level not in LEVELS:
            raise ValueError(
                f"level must be one of {tuple(LEVELS)}.{labels.suggestion(self.level, tuple(LEVELS))} Received: level={self.level!r}"
            )
        objective(self.metric)
        for name in ("n_draws", "refine", "seed"):
            value = getattr(self, name)
            whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= 0
            if not (whole or (name == "n_draws" and value is None)):
                raise ValueError(f"{name} must be a whole number, 0 or more. Received: {name}={value!r}")
        if not self.concentration > 0 or not np.isfinite(self.concentration):
            raise ValueError(f"concentration must be positive. Received: concentration={self.concentration!r}")
        if self.pool not in POOLS:
            raise ValueError(f"pool must be one of {POOLS}. Received: pool={self.pool!r}")
        y = np.asarray(y)
        if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
            raise ValueError(
                f"y must hold one integer class per frame, -1 for no label. Received: shape={y.shape}, dtype={y.dtype}"
            )
        known = y != labels.MISSING_EXPRESSION
        if not known.any():
            raise ValueError(
                f"no frame has an expression label; nothing to search on. Received: {len(y)} frames, all -1"
            )
        probabilities = self.arranged(probabilities)
        if probabilities.ndim != 3 or probabilities.shape[1] != len(y):
            raise ValueError(
                f"probabilities must have shape (models, {len(y)} frames, classes). Received: shape={probabilities.shape}"
            )
        probabilities = checked_probabilities(probabilities, known)
        outside = (y < labels.MISSING_EXPRESSION) | (y >= probabilities.shape[2])
        if outside.any():
            frame = int(np.argmax(outside))
            raise ValueError(
                f"y must be -1 or one of the {probabilities.shape[2]} classes, 0 ... {probabilities.shape[2] - 1}. "
                f"Received: {int(y[frame])} at frame {frame}"
            )
        return probabilities, y
