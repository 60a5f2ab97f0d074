"""What networks are trained towards beside the labels themselves, computed from them."""

import numpy as np

SOUND_TARGETS = ("window", "steps")
"""What a window of sound is trained towards: one target, or one for each of its labels."""


def va_vector(valence, arousal):
    """Five numbers that Do et al. (2020) predict beside valence and arousal: [a, v, m, |a - m|, |v - m|], m = (a + v) / 2 (§II-D).

    Parameters
    ----------
    valence, arousal : array-like of float, shape (…)
        NaN where there is no label.

    Returns
    -------
    numpy.ndarray of float32, shape (…, 5)
        NaN in the components that need a missing label; the masked loss leaves them out one by one, the pipelines the whole vector.
    """
    v, a = np.asarray(valence, np.float32), np.asarray(arousal, np.float32)
    if v.shape != a.shape:
        raise ValueError(
            f"valence and arousal must have the same shape. Received: valence {v.shape}, arousal {a.shape}"
        )
    mean = (a + v) / 2
    return np.stack([a, v, mean, np.abs(a - mean), np.abs(v - mean)], axis=-1)
