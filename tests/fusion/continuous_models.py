"""Simulated models of continuous labels, and the CCC of their weightings from the frames themselves."""

import numpy as np

from abaw_tf import metrics


def material(seed, n_models=3, n_frames=40, n_outputs=2, unlabelled=0.0):
    """Models of different quality, bias and scale."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n_frames, n_outputs))
    shape = (n_models, 1, 1)
    predictions = rng.normal(0.3, 0.8, shape) * truth + rng.normal(size=shape) * 0.5
    predictions = predictions + rng.exponential(0.7, shape) * rng.normal(size=(n_models, n_frames, n_outputs))
    truth[rng.random(truth.shape) < unlabelled] = np.nan
    return predictions, truth


def by_frames(predictions, truth, weights):
    """CCC of one weighting from the frames themselves, per output."""
    fused = np.einsum("mfo,mo->fo", predictions, weights)
    return np.array([metrics.ccc(truth[:, o], fused[:, o]) for o in range(truth.shape[1])])
