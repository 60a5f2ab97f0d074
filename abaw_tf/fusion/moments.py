"""First and second moments of several models' predictions and the truth, and the CCC of every weighting that follows from them."""

from dataclasses import dataclass

import numpy as np

BLOCK = 65_536
"""Frames that are copied at a time."""


@dataclass(frozen=True)
class Moments:
    """Joint sums of predictions and truth, from which the CCC of any weighted average of the models follows.

    The variables of one output are ``z = (1, x_1 - o_1, ..., x_m - o_m, t - o_t)``: a one, the models' predictions and the truth, each
    measured from an origin of its own (its first labelled value), so that nothing cancels far from zero and what is constant gives
    exact zeros. The sums of ``z z'`` over frames add up over groups of frames.

    Attributes
    ----------
    sums : numpy.ndarray of shape (outputs, models + 2, models + 2) or (groups, outputs, models + 2, models + 2)
        Sums of ``z z'`` over the labelled frames; ``sums[..., 0, 0]`` is their number.
    origins : numpy.ndarray of shape (outputs, models + 1)
        ``o_1 ... o_m, o_t``.
    """

    sums: np.ndarray
    origins: np.ndarray

    @classmethod
    def of(cls, predictions, truth, codes=None, n_groups=None, origins=None):
        """Moments of arrays.

        Parameters
        ----------
        predictions : array of shape (models, frames, outputs)
            float32 or float64, finite wherever the output is labelled; not copied as a whole.
        truth : array of shape (frames, outputs)
            NaN where there is no label; each output has its own labelled frames.
        codes : array of int of shape (frames,), optional
            Group of each frame, 0 ... n_groups - 1: sums are then kept per group.
        n_groups : int, optional
            Needed with `codes`.
        origins : array broadcast to (outputs, models + 1), optional
            Origins to measure from, where sums of several calls are to be added.

        Raises
        ------
        ValueError
            When shapes do not fit, or a prediction is missing or infinite where the truth is known.
        """
        predictions, truth = checked_arrays(predictions, truth)
        n_models, n_frames, n_outputs = predictions.shape
        codes = None if codes is None else checked_codes(codes, n_groups, n_frames)
        if origins is None:
            origins = _first_labelled(predictions, truth)
        origins = np.broadcast_to(np.asarray(origins, np.float64), (n_outputs, n_models + 1))
        sums = np.zeros((1 if codes is None else n_groups, n_outputs, n_models + 2, n_models + 2))
        for start in range(0, n_frames, BLOCK):
            block = slice(start, start + BLOCK)
            groups = None if codes is None else codes[block]
            for output in range(n_outputs):
                values, known = _variables(predictions[:, block, output], truth[block, output], origins[output], start)
                _add(sums[:, output], values, groups if groups is None else groups[known])
        return cls(sums[0] if codes is None else sums, origins)

    @property
    def n_models(self) -> int:
        return self.sums.shape[-1] - 2

    @property
    def counts(self) -> np.ndarray:
        """Labelled frames, shape (outputs,) or (groups, outputs)."""
        return self.sums[..., 0, 0]

    def total(self):
        """The moments of all groups together."""
        return self if self.sums.ndim == 3 else Moments(self.sums.sum(axis=0), self.origins)

    def without(self, group: int):
        """The moments of all groups but one."""
        return Moments(np.delete(self.sums, group, axis=0).sum(axis=0), self.origins)

    def central(self):
        """What the CCC of a weighted average is made of.

        Returns
        -------
        covariances : numpy.ndarray of shape (..., outputs, models, models)
            Population covariances of the models' predictions.
        with_truth : numpy.ndarray of shape (..., outputs, models)
            Their covariances with the truth.
        differences : numpy.ndarray of shape (..., outputs, models)
            Mean prediction minus mean truth.
        truth_variance : numpy.ndarray of shape (..., outputs)

        NaN where no frame is labelled.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            moments = self.sums / self.counts[..., None, None]
        means = moments[..., 0, 1:]
        covariances = moments[..., 1:, 1:] - means[..., :, None] * means[..., None, :]
        # The difference of the origins first: it is exact where both are far from zero.
        shift = self.origins[..., :-1] - self.origins[..., -1:]
        differences = shift + (means[..., :-1] - means[..., -1:])
        return covariances[..., :-1, :-1], covariances[..., :-1, -1], differences, covariances[..., -1, -1]


def ccc_of_weights(moments: Moments, weights) -> np.ndarray:
    """CCC of the weighted average of the models, for many weightings at once.

    With covariances Σ of the models, s with the truth, mean differences d and variance σ² of the truth (:meth:`Moments.central`):
    ``CCC(w) = 2 s'w / (w'Σw + (d'w)² + σ²)``. A weighting costs the same for a thousand frames as for a million.

    Parameters
    ----------
    moments : Moments
        Groups are added up.
    weights : array of shape (draws, models) or (draws, models, outputs)
        Sums over the models are one.

    Returns
    -------
    numpy.ndarray of shape (draws, outputs)
        NaN where undefined, as in :func:`abaw_tf.metrics.ccc`: fewer than two labelled frames, or both constant and equal.

    Raises
    ------
    ValueError
        When the shape does not fit or weights do not sum to one.
    """
    weights = np.asarray(weights, np.float64)
    moments = moments.total()
    n_outputs, n_models = moments.sums.shape[0], moments.n_models
    if weights.ndim not in (2, 3) or weights.shape[1:] not in {(n_models,), (n_models, n_outputs)}:
        raise ValueError(
            f"weights must have shape (draws, {n_models} models) or (draws, {n_models} models, {n_outputs} outputs). "
            f"Received: shape={weights.shape}"
        )
    if not np.allclose(weights.sum(axis=1), 1, rtol=0, atol=1e-6):
        raise ValueError("weights must sum to one over the models of each draw. Received: other sums")
    result = np.empty((len(weights), n_outputs))
    parts = moments.central()
    for output in range(n_outputs):
        drawn = weights if weights.ndim == 2 else weights[:, :, output]
        result[:, output] = _ccc(drawn, *(part[output] for part in parts))
        if moments.counts[output] < 2:
            result[:, output] = np.nan
    return result


def _ccc(weights, covariances, with_truth, differences, truth_variance):
    """CCC of one output for weights of shape (draws, models)."""
    # A variance; rounding can make it negative where models cancel each other.
    variance = np.maximum(np.einsum("dm,dm->d", weights @ covariances, weights), 0)
    spread = variance + (weights @ differences) ** 2 + truth_variance
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 0, 2 * (weights @ with_truth) / spread, np.nan)


def checked_arrays(predictions, truth):
    """`predictions` and `truth` as arrays whose shapes fit.

    Raises
    ------
    ValueError
        When they do not.
    """
    predictions, truth = np.asarray(predictions), np.asarray(truth)
    if predictions.ndim != 3 or predictions.shape[1:] != truth.shape or 0 in predictions.shape:
        raise ValueError(
            "predictions must have shape (models, frames, outputs) and truth (frames, outputs), with something in them. "
            f"Received: predictions.shape={predictions.shape}, truth.shape={truth.shape}"
        )
    return predictions, truth


def checked_codes(codes, n_groups, n_frames):
    """`codes` as an array: groups 0 ... n_groups - 1 of the frames.

    Raises
    ------
    ValueError
        When they are not whole numbers in this range, one per frame.
    """
    codes = np.asarray(codes)
    if codes.shape != (n_frames,) or codes.dtype.kind not in "iu":
        raise ValueError(
            f"codes must be whole numbers, one for each of the {n_frames} frames. "
            f"Received: shape={codes.shape}, dtype={codes.dtype}"
        )
    if n_groups is None or codes.min() < 0 or codes.max() >= n_groups:
        raise ValueError(
            f"codes must lie in 0 ... n_groups - 1. Received: {codes.min()} ... {codes.max()}, n_groups={n_groups}"
        )
    return codes


def _first_labelled(predictions, truth):
    """First labelled value of every model and of the truth, shape (outputs, models + 1); 0 where nothing is labelled."""
    n_models, _, n_outputs = predictions.shape
    origins = np.zeros((n_outputs, n_models + 1))
    for output in range(n_outputs):
        known = ~np.isnan(truth[:, output])
        first = int(known.argmax())
        if known[first]:
            origins[output, :-1], origins[output, -1] = predictions[:, first, output], truth[first, output]
    return origins


def _variables(predictions, truth, origins, start):
    """The labelled frames of a block as variables z, shape (models + 2, labelled frames), and which frames they are."""
    known = ~np.isnan(truth)
    values = np.empty((len(predictions) + 2, int(known.sum())))
    values[0] = 1
    np.subtract(predictions[:, known], origins[:-1, None], out=values[1:-1], dtype=np.float64)
    np.subtract(truth[known], origins[-1], out=values[-1], dtype=np.float64)
    if not np.isfinite(values).all():
        variable, frame = np.argwhere(~np.isfinite(values))[0]
        what = "truth" if variable == len(values) - 1 else f"the prediction of model {variable - 1}"
        raise ValueError(
            "predictions and truth must be finite wherever a frame is labelled (predictions.fill_missing fills frames without "
            f"prediction). Received: a NaN or infinity in {what} at frame {start + int(np.flatnonzero(known)[frame])}"
        )
    return values, known


def _add(sums, values, codes):
    """Add the sums of z z' to those of each group, shape (groups, n, n)."""
    if codes is None:
        sums[0] += values @ values.T
        return
    order = np.argsort(codes, kind="stable")
    values, groups = values[:, order], codes[order]
    present, starts = np.unique(groups, return_index=True)
    for group, start, end in zip(present, starts, [*starts[1:], len(groups)]):
        run = values[:, start:end]
        sums[group] += run @ run.T
