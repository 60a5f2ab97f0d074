"""Consensus of several raters or folds without labels: CCC-centering and the evaluator weighted estimator (EWE)."""

import warnings

import numpy as np

from abaw_tf.fusion.alignment import align
from abaw_tf.predictions import make_table


class AgreementWarning(UserWarning):
    """Raters do not agree enough for the method asked for; the message says what was used instead."""


def ccc_centering(predictions, clip=True) -> np.ndarray:
    r"""Mean of several raters or folds of one trial, moved to where those sit who agree most with the others.

    Zhang et al. 2022, section 3.5, use it for the predictions of six folds, after the gold standard of the AVEC challenges: every rater's
    mean over time is taken off, the rest averaged, and the means come back weighted by agreement. That leaves, for each trial,

    .. math:: y(t) = \frac1m\sum_i x_i(t) + \left[\frac{\sum_i a_i \bar x_i}{\sum_i a_i} - \frac1m\sum_i \bar x_i\right]

    with :math:`a_i` the mean CCC of rater `i` with each of the others and :math:`\bar x_i` the rater's mean over time: the plain mean,
    shifted by a constant. It does not change the shape of the prediction.

    Fall-backs: a single rater is returned unchanged; where an agreement is negative or undefined (a trial of one frame, two raters
    constant and equal), or all are zero, the plain mean. Both with an :class:`AgreementWarning`.

    Parameters
    ----------
    predictions : array-like of shape (raters, frames) or (raters, frames, outputs)
        One trial, finite. Each output is treated by itself.
    clip : bool
        Clip to [-1, 1], the range of valence and arousal, as in the paper.

    Returns
    -------
    numpy.ndarray of shape (frames,) or (frames, outputs)

    Raises
    ------
    ValueError
        When the shape does not fit or a value is not finite.

    Examples
    --------
    >>> ccc_centering([[0.0, 0.2], [0.1, 0.3], [0.6, 0.4]]).round(3)  # the third disagrees: plain mean, with a warning
    array([0.233, 0.3  ])
    """
    return _consensus(predictions, _centred, clip)


def evaluator_weighted_estimator(predictions, clip=True, leave_one_out=True) -> np.ndarray:
    r"""Evaluator weighted estimator (EWE): mean of several raters, weighted by their correlation with the mean rating.

    Grimm, M. and Kroschel, K.: Evaluation of natural emotions using self assessment manikins. ASRU 2005:
    :math:`y(t) = \sum_k r_k x_k(t) / \sum_k r_k`. Negative and undefined correlations (a constant rater) count as zero.

    Fall-backs: a single rater is returned unchanged; where no correlation is positive, the plain mean. Both with an
    :class:`AgreementWarning`.

    Parameters
    ----------
    predictions : array-like of shape (raters, frames) or (raters, frames, outputs)
        Finite. Each output is treated by itself.
    clip : bool
        Clip to [-1, 1], the range of valence and arousal.
    leave_one_out : bool
        Correlate each rater with the mean of the *others*, so that nobody agrees with himself. False takes the mean of all
        raters, as published.

    Returns
    -------
    numpy.ndarray of shape (frames,) or (frames, outputs)

    Raises
    ------
    ValueError
        When the shape does not fit or a value is not finite.
    """
    return _consensus(predictions, lambda x: _weighted_by_correlation(x, leave_one_out), clip)


def centre_tables(tables, method="ccc_centering", missing="error"):
    """Consensus of prediction tables, trial by trial, for valence and arousal, clipped to [-1, 1].

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        Prediction tables (of folds, models, raters) with valence and arousal.
    method : {"ccc_centering", "ewe"}
    missing : {"error", "drop", "hold", "uniform", "mean"}
        What to do about a frame that a table lacks, see :func:`abaw_tf.fusion.align`.

    Returns
    -------
    pandas.DataFrame
        The prediction table of the consensus; its notes name the trials in which the plain mean stands instead.

    Raises
    ------
    PredictionError
        As :func:`abaw_tf.fusion.align`.
    ValueError
        When `method` is another word.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {tuple(METHODS)}. Received: method={method!r}")
    title, one = METHODS[method]
    aligned = align(tables, missing, task="valence_arousal")
    keys, values = aligned.keys, aligned.continuous
    fused, reasons = np.empty(values.shape[1:]), {}
    for trial, rows in keys.groupby("trial", sort=False).indices.items():
        for output, name in enumerate(("valence", "arousal")):
            fused[rows, output], reason = one(values[:, rows, output])
            if reason is not None:
                reasons.setdefault((name, reason), []).append(trial)
    notes = [f"{title} of {name}: {reason} in {_named(trials)}" for (name, reason), trials in reasons.items()]
    np.clip(fused, -1, 1, out=fused)
    return make_table(
        keys["trial"].to_numpy(),
        keys["frame"].to_numpy(),
        time=keys["time"].to_numpy(),
        valence=fused[:, 0],
        arousal=fused[:, 1],
        edition=aligned.edition,
        model=f"{title} of " + ", ".join(aligned.names),
        notes=[*aligned.notes, *notes],
    )


def pairwise_ccc(predictions) -> np.ndarray:
    """CCC of every rater with every other, shape (raters, raters); NaN where undefined, as in :func:`abaw_tf.metrics.ccc`.

    Parameters
    ----------
    predictions : array-like of shape (raters, frames)
    """
    predictions = np.asarray(predictions, np.float64)
    origins = predictions[:, :1]
    # Moments around each rater's first value: exact zeros for constants, no cancellation for data far from zero.
    deviations = predictions - origins
    shifts = deviations.mean(axis=1, keepdims=True)
    means = origins + shifts
    deviations -= shifts
    covariances = deviations @ deviations.T / predictions.shape[1]
    variances = np.diag(covariances)
    spread = variances[:, None] + variances + (means - means.T) ** 2
    defined = (spread > 0) & (predictions.shape[1] > 1)
    return np.divide(2 * covariances, spread, out=np.full_like(spread, np.nan), where=defined)


def _centred(x):
    """CCC-centering of one output, shape (raters, frames); the fused values and why it fell back, or None."""
    mean = x.mean(axis=0)
    if len(x) == 1:
        return mean, "a single rater, returned unchanged"
    ccc = pairwise_ccc(x)
    agreement = (ccc.sum(axis=1) - np.diag(ccc)) / (len(x) - 1)
    if not (agreement.min() >= 0 and agreement.sum() > 0):  # also where one is NaN
        return mean, "plain mean, for the raters' agreement is negative, zero or undefined"
    means = x.mean(axis=1)
    return mean + (agreement @ means / agreement.sum() - means.mean()), None


def _weighted_by_correlation(x, leave_one_out=True):
    """EWE of one output, shape (raters, frames); the fused values and why it fell back, or None."""
    mean = x.mean(axis=0)
    if len(x) == 1:
        return mean, "a single rater, returned unchanged"
    deviations = x - x[:, :1]
    deviations -= deviations.mean(axis=1, keepdims=True)
    reference = deviations.sum(axis=0) - (deviations if leave_one_out else 0)
    scale = np.sqrt((deviations**2).sum(axis=1) * (reference**2).sum(axis=-1))
    correlation = np.divide((deviations * reference).sum(axis=1), scale, out=np.zeros(len(x)), where=scale > 0)
    # Below this, a correlation is what rounding leaves of raters who cancel each other.
    weights = np.where(correlation > 1e-12, correlation, 0)
    if not weights.any():
        return mean, "plain mean, for no rater's correlation with the others is positive"
    return weights @ x / weights.sum(), None


def _consensus(predictions, method, clip):
    x = np.asarray(predictions, np.float64)
    if x.ndim not in (2, 3) or 0 in x.shape:
        raise ValueError(
            "predictions must have shape (raters, frames) or (raters, frames, outputs), with something in them. "
            f"Received: shape={x.shape}"
        )
    if not np.isfinite(x).all():
        rater, frame = np.argwhere(~np.isfinite(x))[0][:2]
        raise ValueError(
            "predictions must be finite (predictions.fill_missing fills frames without prediction). "
            f"Received: a NaN or infinity of rater {rater} at frame {frame}"
        )
    results = [method(x[..., output]) for output in range(x.shape[2])] if x.ndim == 3 else [method(x)]
    for reason in dict.fromkeys(reason for _, reason in results if reason is not None):
        warnings.warn(reason, AgreementWarning, stacklevel=3)
    fused = np.stack([values for values, _ in results], axis=1) if x.ndim == 3 else results[0][0]
    return np.clip(fused, -1, 1) if clip else fused


def _named(trials):
    """Number and first names of trials."""
    names = ", ".join(trials[:5]) + (", …" if len(trials) > 5 else "")
    return f"{len(trials)} trial{'' if len(trials) == 1 else 's'} ({names})"


METHODS = {"ccc_centering": ("CCC-centering", _centred), "ewe": ("EWE", _weighted_by_correlation)}
"""Names of the methods of :func:`centre_tables`, their titles and what they do."""
