"""What a held-out estimate comes to, in tables and in words."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from abaw_tf.evaluation.scores import FEW_VIDEOS, plain
from abaw_tf.evaluation.statistics import LEVEL
from abaw_tf.evaluation.text import columns, number, span

BEST, EQUAL = "best single (chosen inside)", "equal weights"
"""Rows of the table that every fusion is compared with."""


@dataclass(frozen=True)
class HeldOut:
    """What `held_out` found.

    Attributes
    ----------
    names : tuple of str
        Models.
    fusions : tuple of str
        Labels of the fusions examined.
    metric : str
    groups : tuple of str
        Groups with labelled frames, sorted.
    unit : str
        What the groups are, in the plural ("videos").
    n_frames : int
        Labelled frames.
    folds : pandas.DataFrame
        By group: fold and number of labelled frames.
    table : pandas.DataFrame
        One row per model, then "best single (chosen inside)", "equal weights" and the fusions; columns ``search_score`` (chosen and
        scored on all frames), ``held_out_score`` (chosen on the other folds), ``low`` and ``high`` (95 % interval of the latter,
        NaN where none was computed).
    gains : pandas.DataFrame
        Differences of held-out scores: columns fusion, over, gain, low, high.
    weights : dict of numpy.ndarray
        By fusion: the weights from all frames, the ones to use.
    fold_weights : dict of tuple of numpy.ndarray
        By fusion: the weights from all folds but one, for each fold.
    chosen : tuple of str
        For each fold, the best single model on the others.
    verdicts : dict of str
        By fusion: one sentence.
    recommended : str or None
        The fusion with the highest held-out score of those that clearly beat both the best single model and equal weights (or equal
        weights only as good as the best single model); without one, equal weights if they clearly beat the best single model, or a
        fusion that does, else that model. None without intervals.
    verdict : str
        The sentence about the only fusion; of several, one line for each and one about which to use.
    bootstrap, seed : int
    """

    names: tuple
    fusions: tuple
    metric: str
    groups: tuple
    unit: str
    n_frames: int
    folds: pd.DataFrame
    table: pd.DataFrame
    gains: pd.DataFrame
    weights: dict
    fold_weights: dict
    chosen: tuple
    verdicts: dict
    recommended: str | None
    verdict: str
    bootstrap: int
    seed: int

    def to_dict(self) -> dict:
        """Everything as plain Python values; NaN becomes None."""
        return {
            "names": list(self.names),
            "fusions": list(self.fusions),
            "metric": self.metric,
            "unit": self.unit,
            "frames": self.n_frames,
            "groups": len(self.groups),
            "folds": plain({name: int(fold) for name, fold in self.folds["fold"].items()}),
            "table": plain(self.table.rename_axis("method").reset_index().to_dict("records")),
            "gains": plain(self.gains.to_dict("records")),
            "weights": {label: value.tolist() for label, value in self.weights.items()},
            "fold_weights": {label: [one.tolist() for one in value] for label, value in self.fold_weights.items()},
            "chosen": list(self.chosen),
            "verdicts": dict(self.verdicts),
            "recommended": self.recommended,
            "verdict": self.verdict,
            "interval_level": LEVEL,
            "bootstrap": self.bootstrap,
            "seed": self.seed,
        }

    def format(self) -> str:
        """Tables and verdict as text for a terminal."""
        n_folds = len(self.chosen)
        level = f"{LEVEL:.0%} interval"
        rows = [
            (name, number(r.search_score), number(r.held_out_score), span((r.low, r.high)))
            for name, r in self.table.iterrows()
        ]
        head = (
            f"{self.metric}: {self.n_frames:,} frames of {len(self.groups)} {self.unit}, weights from {n_folds - 1} folds scored on "
            f"the other, {n_folds} times"
        )
        gains = [
            (f"{r.fusion} over {r.over}", f"{r.gain:+.4f}", f"{r.low:+.4f} … {r.high:+.4f}" if r.low == r.low else "–")
            for r in self.gains.itertuples()
        ]
        chosen = [name for name in self.names if name in self.chosen]
        inside = ", ".join(f"{name} ({self.chosen.count(name)} folds)" for name in chosen)
        return "\n".join(
            [
                head,
                "",
                *columns(("method", "search set", "held out", level), rows),
                "",
                *columns(("gain, held out", "gain", level), gains),
                "",
                f"best single model inside the folds: {inside}",
                *self.verdict.split("\n"),
            ]
        )


def advice(label, gains, best) -> str | None:
    """Name of what to use, of a fusion, equal weights and the model `best`: the simplest unless another is clearly better.

    None where there are no intervals to tell what is clear.

    Parameters
    ----------
    label : str
        The fusion.
    gains : dict of (str, str) to (float, float, float)
        Gain, low and high of a row over another.
    best : str
    """
    if np.isnan(gains[label, BEST][1]):
        return None
    equal = EQUAL if gains[EQUAL, BEST][1] > 0 else best
    if not gains[label, BEST][1] > 0:
        return equal
    _, low, high = gains[label, EQUAL]
    return EQUAL if high < 0 or (equal == EQUAL and not low > 0) else label


def verdict(label, gains, best, looked, n_groups, unit) -> str:
    """One sentence about a fusion.

    Parameters
    ----------
    label, gains, best
        As for `advice`.
    looked : float
        Gain over the best single model on the frames that the weights were searched on.
    n_groups : int
    unit : str
        What the groups are, in the plural.
    """
    gain, low, high = gains[label, BEST]
    if np.isnan(gain):
        return "whether fusing gains is undefined, because a score is"
    what = f"fusing {'loses' if gain < 0 else 'gains'} {_points(abs(gain))} points over the best single model"
    seemed = f" (on its own search set it seemed to gain {_points(looked)})"
    if np.isnan(low):
        return f"{what}{seemed}; whether that is chance was not examined"
    rough = ", so few that this is rough" if n_groups < FEW_VIDEOS else ""
    interval = f"{LEVEL:.0%} interval {_points(low)} to {_points(high)}, over {n_groups} {unit}{rough}"
    use = advice(label, gains, best)
    if low > 0:
        return f"{what}, {interval}{seemed}; {_against_equal(gains[label, EQUAL], use)}"
    remedy = f"use {best}"
    if use == EQUAL:
        remedy = f"equal weights gain {_points(gains[EQUAL, BEST][0])}, and clearly: prefer them"
    if high < 0:
        return f"{what}, {interval}{seemed}: {remedy}"
    sign = "loss" if gain < 0 else "gain"
    return f"the {sign} of {_points(abs(gain))} points over the best single model is within noise, {interval}{seemed}: {remedy}"


def _against_equal(gain, use) -> str:
    value, low, high = gain
    if use == EQUAL:
        better = "do better" if high < 0 else "do as well"
        return f"equal weights {better} (the search gains {_points(value)} over them): prefer them"
    if low > 0:
        return f"{_points(value)} over equal weights, interval {_points(low)} to {_points(high)}"
    return f"over equal weights the difference of {_points(value)} is within noise"


def conclusion(labels, table, gains, use) -> str:
    """Which of several fusions to use; says so where the search set and the held-out estimate rank them differently."""
    rows = table.loc[list(labels)]
    text = "which to use was not examined" if use is None else f"use {use}"
    if rows[["search_score", "held_out_score"]].isna().any(axis=None):
        return text
    first, better = rows["search_score"].idxmax(), rows["held_out_score"].idxmax()
    if first == better:
        return text
    _, low, high = gains[first, better] if (first, better) in gains else gains[better, first]
    why = "the difference is within noise"
    if np.isnan(low):
        why = "whether that is chance was not examined"
    elif low > 0 or high < 0:
        why = f"the weights of {first} fit its search set, not the task"
    return (
        f"{text}; {first} has the highest score on its own search set, but held out {better} has "
        f"({rows.loc[better, 'held_out_score']:.4f} against {rows.loc[first, 'held_out_score']:.4f}): {why}"
    )


def _points(value) -> str:
    return f"{round(100 * value, 2) + 0.0:.2f}"  # adding 0 makes of -0.00 what it is
