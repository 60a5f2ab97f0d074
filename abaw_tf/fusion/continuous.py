"""Weighted averages of valence and arousal whose weights maximise the CCC: searched like class probabilities', or exact."""

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from abaw_tf.fusion.averaging import fused_scores
from abaw_tf.fusion.ccc_optimum import optimal_weights
from abaw_tf.fusion.moments import BLOCK, Moments, ccc_of_weights, checked_arrays, checked_codes

__all__ = ["CCCFusion", "Moments", "ccc_of_weights", "optimal_weights"]

METHODS = ("optimum", "search")

FARTHEST = 1e4
"""How many times farther from zero than they extend labels may lie where sums are measured from zero (:meth:`CCCFusion.sums`)."""


class CCCFusion(BaseEstimator):
    """Weighted average of the models' predictions with one weight per model and output, chosen by the CCC.

    The weights of each output are non-negative, sum to one and maximise its CCC on the frames they are fitted to, either exactly
    (:func:`optimal_weights`) or by the search that Dresvyanskiy et al. 2020, section 3.3, describe for class probabilities: the best of
    many draws from a Dirichlet distribution. Both also try every model alone and equal weights, so that on these frames the
    fusion is never worse than the best single model. On other frames it can be: score the weights on held-out videos.

    Parameters
    ----------
    method : {"optimum", "search"}
    n_draws : int
        Dirichlet draws of the search (none where there is one model).
    concentration : float
        Parameter of the symmetric Dirichlet distribution; 1 is uniform over the simplex, as in the paper.
    seed : int
        Seed of the draws; the same seed gives the same weights.

    Attributes
    ----------
    weights_ : numpy.ndarray of shape (models, outputs)
        Columns sum to one.
    score_ : float
        Mean of `ccc_`, the score of the valence-arousal challenge.
    ccc_ : numpy.ndarray of shape (outputs,)
        CCC of the fusion on the fitted frames, before clipping.
    single_scores_ : numpy.ndarray of shape (models,)
        Score of each model alone.
    single_ccc_ : numpy.ndarray of shape (models, outputs)
    equal_score_ : float
        Score of equal weights.
    history_ : list of (int, float)
        Number of the draw and score so far, for every draw that improved an output on all before it. Draws are counted from 0 after the
        starting points (single models, then equal weights), which have negative numbers; the exact optimum counts as draw 0.

    Examples
    --------
    >>> truth = np.array([[0.0], [0.5], [1.0], [0.5]])
    >>> models = np.stack([truth + 0.2, truth - 0.2])
    >>> fusion = CCCFusion().fit(models, truth)
    >>> fusion.weights_.round(6).tolist(), round(fusion.score_, 6)
    ([[0.5], [0.5]], 1.0)
    """

    label = "CCC fusion"
    """What `abaw_tf.fusion.held_out` calls the fusion."""

    metric_name = "mean CCC"
    """What it maximises."""

    def __init__(self, method="optimum", n_draws=10_000, concentration=1.0, seed=0):
        self.method = method
        self.n_draws = n_draws
        self.concentration = concentration
        self.seed = seed

    def fit(self, predictions, truth, progress=None):
        """Choose the weights.

        Parameters
        ----------
        predictions : array-like of shape (models, frames, outputs)
            Finite wherever the output is labelled.
        truth : array-like of shape (frames, outputs)
            NaN where there is no label; each output has its own labelled frames.
        progress : callable, optional
            Called with the number of draws done since its last call.

        Returns
        -------
        CCCFusion
            Itself.

        Raises
        ------
        ValueError
            When shapes do not fit, a prediction is missing where the truth is known, or the truth of an output does not vary: whatever
            the weights, its CCC is then 0 or undefined.
        """
        self._check()
        return self.fit_moments(Moments.of(predictions, truth), progress)

    def fit_moments(self, moments, progress=None):
        """Choose the weights as :meth:`fit` does, from the :class:`Moments` of predictions and truth."""
        self._check()
        moments = moments.total()
        _check_truth(moments)
        n_models, n_outputs = moments.n_models, len(moments.sums)
        starts = np.vstack([np.eye(n_models), np.full(n_models, 1 / n_models)])
        start_ccc = ccc_of_weights(moments, starts)
        self.single_ccc_ = start_ccc[:n_models]
        self.single_scores_ = self.single_ccc_.mean(axis=1)
        self.equal_score_ = float(start_ccc[-1].mean())
        if self.method == "search":
            n_draws = self.n_draws if n_models > 1 else 0
            drawn = np.random.default_rng(self.seed).dirichlet(np.full(n_models, self.concentration), size=n_draws)
            tried = np.repeat(np.vstack([starts, drawn])[:, :, None], n_outputs, axis=2)
        else:
            tried = np.concatenate([np.repeat(starts[:, :, None], n_outputs, axis=2), optimal_weights(moments)[None]])
        ccc = np.vstack([start_ccc, ccc_of_weights(moments, tried[len(starts) :])])
        if progress is not None:
            progress(len(tried) - len(starts))
        best = ccc.argmax(axis=0)
        self.weights_ = tried[best, :, np.arange(n_outputs)].T
        self.ccc_ = ccc[best, np.arange(n_outputs)]
        self.score_ = float(self.ccc_.mean())
        self.history_ = _improvements(ccc, len(starts))
        return self

    def fit_folds(self, predictions, truth, fold_codes, n_folds, progress=None) -> list:
        """One estimator per fold, fitted to all frames but the fold's; the arrays are read once for all of them.

        Parameters
        ----------
        predictions, truth
            As in :meth:`fit`.
        fold_codes : array of int of shape (frames,)
            Fold of each frame, 0 ... n_folds - 1.
        n_folds : int
        progress : callable, optional

        Returns
        -------
        list of CCCFusion
        """
        self._check()
        moments = Moments.of(predictions, truth, fold_codes, n_folds)
        return [self._fit_without(moments, fold, progress) for fold in range(n_folds)]

    def _fit_without(self, moments, fold, progress):
        try:
            return clone(self).fit_moments(moments.without(fold), progress)
        except ValueError as error:
            raise ValueError(f"outside fold {fold}: {error}") from error

    def predict(self, predictions, clip=True) -> np.ndarray:
        """Fused predictions.

        Parameters
        ----------
        predictions : array-like of shape (models, frames, outputs)
        clip : bool
            Clip to [-1, 1], the range of valence and arousal. Averages of predictions in this range stay in it anyway.

        Returns
        -------
        numpy.ndarray of shape (frames, outputs)
        """
        check_is_fitted(self)
        fused = weighted_mean(predictions, self.weights_)
        return np.clip(fused, -1, 1, out=fused) if clip else fused

    def sums(self, predictions, truth, weights, codes, n_groups) -> np.ndarray:
        """Additive statistics of the fusion under `weights`; :meth:`score_sums` makes scores of them, or of sums of them.

        Parameters
        ----------
        predictions, truth
            As in :meth:`fit`.
        weights : array of shape (models,) or (models, outputs)
        codes : array of int of shape (frames,)
        n_groups : int

        Returns
        -------
        numpy.ndarray of shape (n_groups, outputs, 3, 3)
            Sums of ``z z'`` with ``z = (1, fused prediction, truth)``, measured from 0 so that results of several calls add up.

        Raises
        ------
        ValueError
            As :meth:`fit`, and when labels lie so far from zero, compared with how much they vary, that rounding would show.
        """
        predictions, truth = checked_arrays(predictions, truth)
        codes = checked_codes(codes, n_groups, len(truth))
        _check_cancellation(truth)
        total = np.zeros((n_groups, truth.shape[1], 3, 3))
        for start in range(0, len(truth), BLOCK):
            block = slice(start, start + BLOCK)
            fused = weighted_mean(predictions[:, block], weights)[None]
            total += Moments.of(fused, truth[block], codes[block], n_groups, origins=0.0).sums
        return total

    def score_sums(self, sums):
        """Mean of the outputs' CCC from :meth:`sums`; shape (..., outputs, 3, 3) becomes (...), NaN where undefined."""
        return ccc_of_sums(sums).mean(axis=-1)

    def _check(self):
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {METHODS}. Received: method={self.method!r}")
        for name in ("n_draws", "seed"):
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 0:
                raise ValueError(f"{name} must be a whole number, 0 or more. Received: {name}={value!r}")
        if not 0 < self.concentration < np.inf:
            raise ValueError(f"concentration must be positive. Received: concentration={self.concentration!r}")


def weighted_mean(predictions, weights) -> np.ndarray:
    """Sum of `predictions` (models, frames, outputs) times `weights` (models,) or (models, outputs), which sum to one; float64.

    Raises
    ------
    ValueError
        When the shapes do not fit.
    """
    predictions, weights = np.asarray(predictions), np.asarray(weights, np.float64)
    if predictions.ndim != 3 or weights.shape not in {predictions.shape[:1], predictions.shape[::2]}:
        raise ValueError(
            "predictions must have shape (models, frames, outputs) and weights (models,) or (models, outputs). "
            f"Received: predictions.shape={predictions.shape}, weights.shape={weights.shape}"
        )
    return fused_scores(predictions, weights)


def ccc_of_sums(sums) -> np.ndarray:
    """CCC from sums of ``z z'`` with ``z = (1, prediction, truth)``, shape (..., 3, 3); NaN where undefined, as in `metrics.ccc`."""
    sums = np.asarray(sums, np.float64)
    n = sums[..., 0, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        p, t = sums[..., 0, 1] / n, sums[..., 0, 2] / n
        pp, pt, tt = (sums[..., i, j] / n for i, j in ((1, 1), (1, 2), (2, 2)))
        spread = (pp - p * p) + (tt - t * t) + (p - t) ** 2
        # What is left of the difference of two sums of squares is rounding below this share of them.
        return np.where((spread > 1e-13 * (pp + tt)) & (n > 1), 2 * (pt - p * t) / spread, np.nan)


def _check_cancellation(truth):
    lowest, highest = np.fmin.reduce(truth, axis=0), np.fmax.reduce(truth, axis=0)
    extent = highest - lowest
    farthest = np.maximum(np.abs(lowest), np.abs(highest))
    # On a rating scale a few frames may well have almost the same label.
    far = (extent > 0) & (farthest > 10) & (farthest > FARTHEST * extent)
    if far.any():
        output = int(far.argmax())
        raise ValueError(
            f"output {output}: its labels lie so far from zero, compared with how much they vary, that rounding would show in the CCC; "
            "subtract the same number from predictions and truth, which leaves the CCC as it is. "
            f"Received: labels from {lowest[output]:.12g} to {highest[output]:.12g}"
        )


def _check_truth(moments):
    variances = moments.central()[3]
    for output, (count, variance) in enumerate(zip(moments.counts, variances)):
        # Measured from a label of another fold, labels that are all the same leave rounding.
        if count < 2 or not variance > 1e-13 * moments.sums[output, -1, -1] / count:
            raise ValueError(
                f"output {output}: a CCC needs two labelled frames or more whose labels differ; leave it out, or fit to more frames. "
                f"Received: {int(count)} labelled frames" + (", all with the same label" if count > 1 else "")
            )


def _improvements(ccc, n_starts):
    """Number and mean CCC so far of every try that improved an output, from the last starting point on."""
    so_far = np.maximum.accumulate(ccc, axis=0)
    first = int(so_far[:n_starts].mean(axis=1).argmax())
    history = [(first - n_starts, float(so_far[n_starts - 1].mean()))]
    better = np.flatnonzero((np.diff(so_far[n_starts - 1 :], axis=0) > 0).any(axis=1))
    return history + [(int(draw), float(so_far[n_starts + draw].mean())) for draw in better]
