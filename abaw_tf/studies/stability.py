"""How restless predictions are over time, which needs no labels."""

import numpy as np
import pandas as pd

GAP = 1.5
"""Frames further apart than this many usual distances belong to different stretches."""


def switches_per_second(trial, time, decisions) -> float:
    """Changes of the decided class per second of video.

    Parameters
    ----------
    trial : array of str, shape (n,)
    time : array of float, shape (n,)
        Seconds, ascending within a trial. Steps over a gap (frames without a face) count neither as change nor as time.
    decisions : array of int, shape (n,)
    """
    changes, seconds = 0, 0.0
    decisions, time = np.asarray(decisions), np.asarray(time, float)
    for rows in pd.Series(np.arange(len(decisions))).groupby(np.asarray(trial)).indices.values():
        steps = np.diff(time[rows])
        inside = steps <= GAP * np.median(steps) if len(steps) else np.zeros(0, bool)
        changes += int((np.diff(decisions[rows]) != 0)[inside].sum())
        seconds += float(steps[inside].sum())
    return changes / seconds if seconds else float("nan")


def mean_entropy(probabilities) -> float:
    """Mean Shannon entropy of the rows, in bits: 0 for certainty, log2 k for k equal probabilities."""
    probabilities = np.asarray(probabilities, float)
    bits = np.log2(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    return float(-(probabilities * bits).sum(axis=-1).mean())
