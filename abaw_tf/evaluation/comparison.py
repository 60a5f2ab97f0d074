"""Is one model better than another? A paired bootstrap over videos."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from abaw_tf import labels as class_names
from abaw_tf import metrics
from abaw_tf.evaluation import scores as scoring
from abaw_tf.evaluation import statistics as stats
from abaw_tf.evaluation.label_tables import TrialCodes, check_labels, locate
from abaw_tf.predictions import PredictionError, edition_of

HEADLINES = {"expression": "expression_score", "valence_arousal": "valence_arousal_score"}


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    edition, variant : str
    names : (str, str)
        What the two tables are called.
    table : pandas.DataFrame
        By score: a, b, difference (b - a), low, high (95 % interval of the difference, NaN where none can be given) and
        share_b_higher (of the resamples).
    frames, videos : dict of int
        By task.
    verdicts : tuple of str
        One sentence per task.
    notes : tuple of str
    """

    edition: str
    variant: str
    names: tuple
    table: pd.DataFrame
    frames: dict
    videos: dict
    verdicts: tuple
    notes: tuple
    bootstrap: int
    seed: int

    def to_dict(self) -> dict:
        """Everything as plain Python values; NaN becomes None."""
        return {
            "edition": self.edition,
            "variant": self.variant,
            "names": list(self.names),
            "table": scoring.plain(self.table.reset_index().to_dict("records")),
            "frames": scoring.plain(self.frames),
            "videos": scoring.plain(self.videos),
            "verdicts": list(self.verdicts),
            "notes": list(self.notes),
            "interval_level": stats.LEVEL,
            "bootstrap": self.bootstrap,
            "seed": self.seed,
        }

    def format(self) -> str:
        """The comparison as text for a terminal."""
        from abaw_tf.evaluation.text import format_comparison

        return format_comparison(self)


def compare(
    predictions_a,
    predictions_b,
    labels,
    edition=None,
    variant=None,
    bootstrap=1000,
    seed=0,
    missing="error",
    names=("A", "B"),
) -> Comparison:
    """Compare two prediction tables on the same labelled frames.

    Each resample draws videos once and scores both tables on them, so that what makes a video hard for both cancels out. The
    difference is called real when its 95 % interval excludes zero.

    Parameters
    ----------
    predictions_a, predictions_b : pandas.DataFrame
        Prediction tables.
    labels, edition, variant, bootstrap, seed
        As for `evaluate`.
    missing : {"error", "drop"}
        With "drop", frames that either table lacks are left out for both.
    names : pair of str
        What to call the two.

    Returns
    -------
    Comparison

    Raises
    ------
    PredictionError, LabelError
        As `evaluate`; and if the two tables have no task in common.
    """
    edition = edition_of(predictions_a) if edition is None else class_names.edition(edition)
    chosen = metrics.variant(variant or edition.name)
    labels = check_labels(labels, edition)
    tables = [scoring.check_predictions(table, edition) for table in (predictions_a, predictions_b)]
    trials = TrialCodes.of(labels)
    places = [locate(table, labels, trials) for table in tables]
    each = [scoring.common_tasks(table, labels) for table in tables]
    tasks = [task for task in each[0] if task in each[1]]
    if not tasks:
        raise PredictionError(
            f"{names[0]} and {names[1]} predict different tasks; there is nothing to compare. "
            f"Received: {', '.join(each[0])} and {', '.join(each[1])}"
        )
    rows, frames, videos, verdicts, notes = {}, {}, {}, [], []
    for task in tasks:
        both = (places[0] >= 0) & (places[1] >= 0)
        kept, count = scoring.scored_rows(labels, task, both, missing)
        if count["missing"]:
            notes.append(f"{task}: {count['missing']:,} labelled frames that not both tables predict were left out")
        sums = [
            scoring.task_statistics(table, labels, task, kept, place, trials, edition)
            for table, place in zip(tables, places)
        ]
        frames[task], videos[task] = count["scored"], len(sums[0].videos)
        a, b = (scoring.point_scores(item, task, chosen) for item in sums)
        differences = _resampled_differences(sums, task, chosen, int(bootstrap), seed)
        for name in a:
            low = high = share = np.nan
            if differences is not None:
                low, high = stats.interval(differences[name])
                share = float(np.mean(differences[name] > 0))
            rows[name] = {"a": a[name], "b": b[name], "difference": b[name] - a[name], "low": low, "high": high}
            rows[name]["share_b_higher"] = share
        verdicts.append(_verdict(task, rows[HEADLINES[task]], videos[task], names, bootstrap))
    return Comparison(
        edition=edition.name,
        variant=chosen.name,
        names=tuple(names),
        table=pd.DataFrame(rows).T.rename_axis("score"),
        frames=frames,
        videos=videos,
        verdicts=tuple(verdicts),
        notes=tuple(notes),
        bootstrap=int(bootstrap),
        seed=seed,
    )


def _resampled_differences(sums, task, variant, bootstrap, seed):
    n_videos = len(sums[0].videos)
    if not bootstrap or n_videos < 2:
        return None
    weights = stats.resampling_weights(n_videos, bootstrap, seed)
    a, b = (scoring.score_table(stats.resampled_sums(weights, item.per_video), task, variant) for item in sums)
    return {name: b[name] - a[name] for name in a if name != "f1"}


def _verdict(task, row, n_videos, names, bootstrap) -> str:
    first, second = names
    what = f"{task.replace('_', '-')} score"
    head = f"{what}: {first} {row['a']:.4f}, {second} {row['b']:.4f} ({row['difference']:+.4f})"
    if np.isnan(row["difference"]):
        return f"{head}: undefined, because a constant was scored"
    if row["difference"] == 0 and (np.isnan(row["low"]) or row["low"] == row["high"] == 0):
        return f"{head}: the two score the same"
    if n_videos < 2:
        return f"{head}; whether that is chance cannot be told from one video"
    if not bootstrap or np.isnan(row["low"]):
        return f"{head}; whether that is chance was not examined"
    span = f"95% interval of the difference {row['low']:+.4f} ... {row['high']:+.4f} over {n_videos} videos"
    if row["low"] > 0 or row["high"] < 0:
        better, worse = (second, first) if row["low"] > 0 else (first, second)
        rough = f"; with {n_videos} videos a rough result" if n_videos < scoring.FEW_VIDEOS else ""
        return f"{head}: {better} is better than {worse} ({span}){rough}"
    return f"{head}: no difference can be claimed ({span})"
