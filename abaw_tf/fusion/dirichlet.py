"""Random search for fusion weights drawn from a Dirichlet distribution (Dresvyanskiy et al. 2020, section 3.3)."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from abaw_tf import labels, metrics
from abaw_tf.fusion.averaging import fused_scores, weighted_average

LEVELS = ("model", "model_class")


class DirichletFusion(BaseEstimator):
    """Weighted fusion of class probabilities; the weights are the best of many Dirichlet draws.

    The search also tries every single model alone and equal weights, so that on the frames it was fitted to the fused score is never
    below the best single model's. On other frames it can be: the searched weights are fitted parameters, score them on held-out videos.

    Parameters
    ----------
    level : {"model", "model_class"}
        One weight per model ("SWF"), or one per model and class ("MCWF").
    n_draws : int
        Number of Dirichlet draws. 1,000 for SWF in the paper's code.
    concentration : float
        Parameter of the symmetric Dirichlet distribution; 1 is uniform over the simplex, as in the paper.
    edition : str
        Edition whose expression score is maximised (see :func:`abaw_tf.metrics.expression_score`).
    variant : str, optional
        An as-published variant of the score instead of the edition's own.
    seed : int
        Seed of the draws; the same seed gives the same weights.

    Attributes
    ----------
    weights_ : numpy.ndarray of shape (models,) or (models, classes)
        Columns sum to one.
    score_ : float
        Score of `weights_` on the fitted frames.
    single_scores_ : numpy.ndarray of shape (models,)
        Score of each model alone.
    equal_score_ : float
        Score of equal weights.
    history_ : list of (int, float)
        Number of the draw and its score, for every draw that improved on all before it. Draws are counted from 0 after the starting
        points (single models, then equal weights), which have negative numbers.
    """

    def __init__(self, level="model", n_draws=1000, concentration=1.0, edition="abaw2", variant=None, seed=0):
        self.level = level
        self.n_draws = n_draws
        self.concentration = concentration
        self.edition = edition
        self.variant = variant
        self.seed = seed

    def fit(self, probabilities, y, progress=None):
        """Search the weights.

        Parameters
        ----------
        probabilities : array-like of shape (models, frames, classes)
        y : array-like of shape (frames,)
            True classes in the official order; frames with -1 are left out.
        progress : callable, optional
            Wraps the iterable of draws, for example ``tqdm``.

        Returns
        -------
        DirichletFusion
            Itself.
        """
        probabilities, y = self._checked(probabilities, y)
        n_models, _, n_classes = probabilities.shape
        draws = np.random.default_rng(self.seed).dirichlet(
            np.full(n_models, self.concentration), size=(self.n_draws, n_classes if self.level == "model_class" else 1)
        )
        starts = [*np.eye(n_models), np.full(n_models, 1 / n_models)]
        start_scores = [self._score(probabilities, y, weights) for weights in starts]
        self.single_scores_ = np.array(start_scores[:n_models])
        self.equal_score_ = start_scores[-1]

        best = int(np.argmax(start_scores))
        weights, score = starts[best], start_scores[best]
        self.history_ = [(best - len(starts), score)]
        if self.level == "model_class":
            weights = np.repeat(weights[:, None], n_classes, axis=1)
        numbers = range(self.n_draws)
        for number in numbers if progress is None else progress(numbers):
            drawn = draws[number, 0] if self.level == "model" else draws[number].T
            drawn_score = self._score(probabilities, y, drawn)
            if drawn_score > score:
                weights, score = drawn, drawn_score
                self.history_.append((number, score))
        self.weights_, self.score_ = weights, score
        return self

    def predict_proba(self, probabilities) -> np.ndarray:
        """Fused probabilities of shape (frames, classes)."""
        check_is_fitted(self)
        return weighted_average(probabilities, self.weights_)

    def predict(self, probabilities) -> np.ndarray:
        """Fused classes of shape (frames,)."""
        check_is_fitted(self)
        return fused_scores(np.asarray(probabilities), self.weights_).argmax(axis=1)

    def _score(self, probabilities, y, weights) -> float:
        return metrics.expression_score(
            y, fused_scores(probabilities, weights).argmax(axis=1), self.edition, self.variant
        )

    def _checked(self, probabilities, y):
        if self.level not in LEVELS:
            raise ValueError(f"level must be one of {LEVELS}. Received: level={self.level!r}")
        if self.n_draws < 0 or self.concentration <= 0:
            raise ValueError(
                f"n_draws must not be negative and concentration must be positive. Received: n_draws={self.n_draws}, "
                f"concentration={self.concentration}"
            )
        probabilities, y = np.asarray(probabilities, dtype=np.float64), np.asarray(y)
        n_classes = len(labels.edition(self.edition).classes)
        if probabilities.ndim != 3 or probabilities.shape[1:] != (len(y), n_classes):
            raise ValueError(
                f"probabilities must have shape (models, {len(y)} frames, {n_classes} classes of {self.edition}). "
                f"Received: shape={probabilities.shape}"
            )
        if not np.isfinite(probabilities).all():
            model, frame = np.argwhere(~np.isfinite(probabilities))[0][:2]
            raise ValueError(f"probabilities must be finite. Received: a NaN or infinity in model {model}, row {frame}")
        known = y != labels.MISSING_EXPRESSION
        if not known.any():
            raise ValueError("no frame has an expression label (all are -1); nothing to search on")
        return probabilities[:, known], y[known]
