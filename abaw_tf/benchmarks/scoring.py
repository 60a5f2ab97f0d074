"""Scoring a million frames, plain and with intervals."""

import time

import numpy as np
import pandas as pd

from abaw_tf.benchmarks.results import Result


def benchmark_scoring(n_frames=1_000_000, n_videos=100, resamples=1000, repeats=3):
    """Time `abaw_tf.evaluation.evaluate` on random predictions of both tasks.

    Parameters
    ----------
    n_frames, n_videos : int
        Size of the tables.
    resamples : int
        Of the bootstrap.
    repeats : int
        The best turn counts.

    Returns
    -------
    list of Result
        Seconds of the plain scores (bar 1) and of the scores with intervals (bar 10).
    """
    from abaw_tf import predictions
    from abaw_tf.evaluation import evaluate

    per_video = n_frames // n_videos
    rng = np.random.default_rng(0)
    n = per_video * n_videos
    trial = pd.Series(np.repeat([f"video{number:03d}" for number in range(n_videos)], per_video)).astype(str)
    frame = np.tile(np.arange(per_video), n_videos)
    values = rng.uniform(-1, 1, (n, 4))
    table = predictions.make_table(
        trial, frame, expression=rng.integers(0, 7, n), valence=values[:, 0], arousal=values[:, 1]
    )
    labels = pd.DataFrame(
        {
            "trial": trial,
            "frame": frame,
            "expression": rng.integers(0, 7, n),
            "valence": values[:, 2],
            "arousal": values[:, 3],
        }
    )
    results = []
    for what, bootstrap, bar in (("plain scores", 0, 1.0), (f"{resamples} resamples of videos", resamples, 10.0)):
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            evaluate(table, labels, bootstrap=bootstrap)
            seconds.append(time.perf_counter() - start)
        results.append(Result(f"scoring {n:,} frames, {what}", min(seconds), "s", bar, higher_is_better=False))
    return results
