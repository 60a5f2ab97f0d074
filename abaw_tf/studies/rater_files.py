"""Reader of ten people's continuous ratings of one video's green intensity, and of the objective truth.

B. Booth, K. Mundnich, S. Narayanan, "Continuous real-time annotation fusion correction via rank-based spatial warping" (2017), task A.
Files: github.com/brandon-m-booth/2016_continuous_annotations (MIT).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from abaw_tf.studies.material import read_csv

N_RATERS = 10
RATE = 10
"""Values per second."""

PUBLISHED = ("simple_average", "eval_dep", "distort")
"""Fusions that come with the data."""


@dataclass(frozen=True)
class Ratings:
    """The material of the study, cut to the common length of ratings and truth.

    Attributes
    ----------
    truth : numpy.ndarray of shape (frames,)
        Green intensity in [0, 1], ten values per second.
    ratings : numpy.ndarray of shape (raters, frames)
    published : dict of str to numpy.ndarray
        Fusions that come with the data; some are a little shorter.
    """

    truth: np.ndarray
    ratings: np.ndarray
    published: dict


def read_ratings(folder) -> Ratings:
    """Read ratings, truth and published fusions.

    Parameters
    ----------
    folder : path-like
        Holds ``annotations_10hz``, ``objective_truth`` and ``ground_truth_baselines``.

    Raises
    ------
    FileNotFoundError
        A file is missing.
    ValueError
        Naming the file, if it is not two columns of finite numbers, or its times are not 0, 0.1, 0.2, … seconds.
    """
    folder = Path(folder)
    ratings = [_read(folder / "annotations_10hz" / f"TaskA_ann{k}.csv") for k in range(1, N_RATERS + 1)]
    truth = _read(folder / "objective_truth" / "TaskA_normalized_10hz.csv")
    length = min(map(len, [truth, *ratings]))
    published = {
        name: _read(folder / "ground_truth_baselines" / name / f"{name}_ground_truth_10hz.csv")[:length]
        for name in PUBLISHED
    }
    return Ratings(truth[:length], np.stack([rating[:length] for rating in ratings]), published)


def _read(path) -> np.ndarray:
    remedy = (
        "take it from github.com/brandon-m-booth/2016_continuous_annotations, annotation_tasks/TaskA/AnnotationData"
    )
    table = read_csv(path, remedy)
    if table.shape[1] != 2 or not len(table):
        raise ValueError(
            f"{path}: must have two columns, time and value; {remedy}. "
            f"Received: {len(table)} rows of the columns {', '.join(map(str, table.columns))}"
        )
    values = table.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    wrong = ~np.isfinite(values).all(axis=1) | (np.abs(values[:, 0] - np.arange(len(values)) / RATE) > 1e-6)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"{path}, line {row + 2}: the time must be {row / RATE:g} s (ten values per second from 0 on) and the value a number; "
            f"{remedy}. Received: {', '.join(map(str, table.iloc[row]))}"
        )
    return values[:, 1]
