"""Sufficient statistics per trial and per video, the scores that follow from them, and their bootstrap.

Every score of the challenge is a function of sums over frames: the confusion matrix for expressions, first and second moments for
valence and arousal. So a resample of videos costs as much as adding up one small matrix per video, however many frames they have.
"""

from dataclasses import dataclass

import numpy as np

from abaw_tf import metrics
from abaw_tf.data.folds import video_of

LEVEL = 0.95
"""Coverage of the intervals."""

N_MOMENTS = 8
"""count, sum t, sum p, sum tt, sum pp, sum tp, sum |t - p|, sum (t - p)²."""


@dataclass(frozen=True)
class TaskStatistics:
    """What the scores of one task need, per trial.

    Attributes
    ----------
    trials : tuple of str
        Trials with scored frames, sorted.
    videos : tuple of str
        The videos they belong to, sorted; ``_left`` and ``_right`` share one.
    video_of_trial : ndarray of int, shape (n_trials,)
    counts : ndarray of int, shape (n_trials,)
        Scored frames.
    sums : ndarray, shape (n_trials, k, k) or (n_trials, 2, N_MOMENTS)
        Confusion matrices (rows = truth), or moments of valence and arousal.
    """

    trials: tuple
    videos: tuple
    video_of_trial: np.ndarray
    counts: np.ndarray
    sums: np.ndarray

    @property
    def per_video(self) -> np.ndarray:
        """The sums of each video."""
        result = np.zeros((len(self.videos), *self.sums.shape[1:]))
        np.add.at(result, self.video_of_trial, self.sums)
        return result


def _of_scored_trials(sums, counts, names) -> TaskStatistics:
    """Only the trials of which a frame is scored, with the videos they belong to."""
    scored = np.flatnonzero(counts)
    names = tuple(names[i] for i in scored)
    videos, of_trial = np.unique([video_of(name) for name in names], return_inverse=True)
    return TaskStatistics(names, tuple(map(str, videos)), of_trial.reshape(-1), counts[scored], sums[scored])


def expression_statistics(codes, names, truth, predicted, n_classes) -> TaskStatistics:
    """Confusion matrix of each trial.

    Parameters
    ----------
    codes : array of int, shape (n,)
        Trial of each scored frame, an index into `names`.
    names : sequence of str
        Trials, sorted.
    truth, predicted : array of int, shape (n,)
    n_classes : int
    """
    cells = (codes * n_classes + truth) * n_classes + predicted
    sums = np.bincount(cells, minlength=len(names) * n_classes**2).reshape(len(names), n_classes, n_classes)
    return _of_scored_trials(sums, sums.sum(axis=(1, 2)), names)


def moment_statistics(codes, names, truth, predicted) -> TaskStatistics:
    """Moments of each trial; `truth` and `predicted` are pairs (valence, arousal) of arrays of shape (n,)."""
    sums = np.empty((len(names), 2, N_MOMENTS))
    for column, (t, p) in enumerate(zip(truth, predicted)):
        error = t - p
        for i, values in enumerate((None, t, p, t * t, p * p, t * p, np.abs(error), error * error)):
            sums[:, column, i] = np.bincount(codes, weights=values, minlength=len(names))
    return _of_scored_trials(sums, sums[:, 0, 0].astype(np.int64), names)


def expression_scores(confusion, variant) -> dict:
    """Scores by name from confusion matrices of shape (..., k, k); each of shape (...), `f1` of shape (..., k)."""
    scores = metrics.scores_from_confusion(confusion, variant)
    names = {"expression_score": "score", "macro_f1": "macro_f1", "weighted_f1": "weighted_f1", "accuracy": "accuracy"}
    return {name: scores[key] for name, key in names.items()} | {"f1": scores["f1"]}


def moment_scores(moments) -> dict:
    """Scores by name from moments of shape (..., 2, N_MOMENTS); each of shape (...).

    The CCC is that of `metrics.ccc` with population moments: NaN where truth and prediction are constant and equal.
    """
    n, t, p, tt, pp, tp, absolute, squared = np.moveaxis(np.asarray(moments, np.float64), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        t, p = t / n, p / n
        covariance = tp / n - t * p
        spread = (tt / n - t * t) + (pp / n - p * p) + (t - p) ** 2
        # What is left of the difference of two sums of squares below 1e-14 is rounding.
        ccc = np.where((spread > 1e-14) & (n > 1), 2 * covariance / spread, np.nan)
        mae, rmse = absolute / n, np.sqrt(squared / n)
    scores = {"valence_arousal_score": ccc.mean(axis=-1)}
    for name, values in (("ccc", ccc), ("mae", mae), ("rmse", rmse)):
        scores |= {f"{name}_valence": values[..., 0], f"{name}_arousal": values[..., 1]}
    return scores


def resampling_weights(n_videos, n_resamples, seed) -> np.ndarray:
    """How often each video occurs in each resample of as many videos as there are; shape (n_resamples, n_videos)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_videos, np.full(n_videos, 1 / n_videos), size=n_resamples).astype(np.float64)


def resampled_sums(weights, per_video) -> np.ndarray:
    """Sums over each resample, shape (n_resamples, ...)."""
    return (weights @ per_video.reshape(len(per_video), -1)).reshape(len(weights), *per_video.shape[1:])


def interval(values, level=LEVEL):
    """Percentile interval over resamples (axis 0): a pair of floats for one score, of arrays for one per class.

    Resamples in which a score is undefined (NaN) are left out; NaN where all are.
    """
    tail = (1 - level) / 2
    if values.ndim > 1:
        return tuple(np.quantile(values, [tail, 1 - tail], axis=0))
    values = values[~np.isnan(values)]
    return tuple(np.quantile(values, [tail, 1 - tail]).tolist()) if len(values) else (np.nan, np.nan)
