"""The scores of a prediction table against labels."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from abaw_tf import labels as class_names
from abaw_tf import metrics
from abaw_tf.evaluation import statistics as stats
from abaw_tf.evaluation.label_tables import TASK_COLUMNS, TrialCodes, check_labels, labelled, locate
from abaw_tf.predictions import PredictionError, edition_of, validate

FEW_VIDEOS = 10
"""With fewer videos than this an interval is given but called rough."""


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes
    ----------
    edition, variant : str
        `variant` names the formula of ``expression_score`` (the edition's own unless another was asked for).
    model : str or None
        From the prediction table.
    scores : dict of float
        ``expression_score, macro_f1, weighted_f1, accuracy`` and/or ``valence_arousal_score, ccc_valence, ccc_arousal,
        mae_..., rmse_...``: over all scored frames at once.
    variants : dict of float
        The expression score under the other published formulas.
    intervals : dict of (float, float)
        95 % bootstrap intervals over videos, by score; empty where none can be given.
    per_class : pandas.DataFrame or None
        By class: precision, recall, f1, f1_low, f1_high, support, predicted.
    per_trial : pandas.DataFrame
        By trial: scored frames, accuracy, macro F1, CCCs, errors. A diagnosis, not the metric: the challenge's CCC and F1 are
        taken over all trials together, and means of these columns are other numbers.
    confusion : array (k, k) or None
        Rows = truth.
    coverage : pandas.DataFrame
        By task: labelled frames, scored, without a prediction; trials and videos scored.
    notes : tuple of str
        What a reader must know to judge the numbers.
    """

    edition: str
    variant: str
    model: str | None
    scores: dict
    variants: dict
    intervals: dict
    per_class: pd.DataFrame | None
    per_trial: pd.DataFrame
    confusion: np.ndarray | None
    coverage: pd.DataFrame
    notes: tuple
    bootstrap: int
    seed: int

    def to_dict(self) -> dict:
        """Everything as plain Python values; NaN becomes None, so that the result is valid JSON."""
        return {
            "edition": self.edition,
            "variant": self.variant,
            "model": self.model,
            "scores": plain(self.scores),
            "variants": plain(self.variants),
            "intervals": plain(self.intervals),
            "interval_level": stats.LEVEL,
            "bootstrap": self.bootstrap,
            "seed": self.seed,
            "per_class": None if self.per_class is None else plain(self.per_class.reset_index().to_dict("records")),
            "per_trial": plain(self.per_trial.to_dict("records")),
            "confusion": None if self.confusion is None else self.confusion.tolist(),
            "coverage": plain(self.coverage.reset_index().to_dict("records")),
            "notes": list(self.notes),
        }

    def format(self) -> str:
        """The scores as text for a terminal."""
        from abaw_tf.evaluation.text import format_evaluation

        return format_evaluation(self)


def plain(value):
    """NumPy scalars, tuples and NaN as JSON knows them."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def evaluate(predictions, labels, edition=None, variant=None, bootstrap=1000, seed=0, missing="error") -> Evaluation:
    """Score predictions with the challenge's metrics.

    Every labelled frame counts once, whichever trial it is from. Frames without a label are ignored, and so are predictions of
    trials that the labels do not hold.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Prediction table.
    labels : pandas.DataFrame
        Label table (see `label_table`, `read_labels`); another prediction table works too.
    edition : str or Edition, optional
        Default: the prediction table's.
    variant : str, optional
        Formula of ``expression_score``, a name in `abaw_tf.metrics.VARIANTS`. Default: the edition's official one.
    bootstrap : int
        Number of resamples for the intervals; 0 for none. Videos are resampled, not frames: frames of one video are far from
        independent. Both people of a video go together.
    seed : int
        Of the resampling.
    missing : {"error", "drop"}
        What to do about labelled frames without a prediction: refuse, or leave them out and say so.

    Returns
    -------
    Evaluation

    Raises
    ------
    PredictionError
        A labelled frame has no prediction (with the number and the remedy), editions do not fit, or predictions and labels have
        no task in common.
    LabelError
        The labels break a rule.
    """
    edition = edition_of(predictions) if edition is None else class_names.edition(edition)
    chosen = metrics.variant(variant or edition.name)
    if bootstrap < 0 or bootstrap != int(bootstrap):
        raise ValueError(f"bootstrap must be a number of resamples, 0 for no intervals. Received: {bootstrap!r}")
    labels = check_labels(labels, edition)
    trials = TrialCodes.of(labels)
    place = locate(check_predictions(predictions, edition), labels, trials)
    tasks = common_tasks(predictions, labels)
    coverage, kept, notes = {}, {}, []
    for task in tasks:
        kept[task], coverage[task] = scored_rows(labels, task, place >= 0, missing)
        dropped = coverage[task]["missing"]
        if dropped:
            share = dropped / coverage[task]["labelled"]
            notes.append(
                f"{task}: {dropped:,} of {coverage[task]['labelled']:,} labelled frames ({share:.1%}) have no prediction and were "
                "left out: not comparable with scores over all frames"
            )
    scores, intervals, trial_tables = {}, {}, []
    per_class = confusion = None
    others = {}
    for task in tasks:
        sums = task_statistics(predictions, labels, task, kept[task], place, trials, edition)
        coverage[task] |= {"trials": len(sums.trials), "videos": len(sums.videos)}
        resampled = _resample(sums, task, chosen, int(bootstrap), seed)
        if task == "expression":
            confusion = sums.sums.sum(axis=0)
            found = metrics.scores_from_confusion(confusion, chosen)
            others = _other_variants(confusion, chosen)
            per_class = _per_class(confusion, found, resampled, edition)
            notes += _class_notes(sums, resampled is not None, edition)
        trial_tables.append(_per_trial(sums, task, chosen))
        exact = point_scores(sums, task, chosen)
        scores |= exact
        if resampled is not None:
            intervals |= {name: stats.interval(resampled[name]) for name in exact}
        notes += _interval_notes(task, len(sums.videos), bootstrap)
    if chosen.name != edition.name and "expression" in tasks:
        notes.append(
            f"expression_score is the variant {chosen.name} ({chosen.source}), not edition {edition.name}'s own"
        )
    notes += [f"predictions: {note}" for note in predictions.attrs.get("notes") or ()]
    return Evaluation(
        edition=edition.name,
        variant=chosen.name,
        model=predictions.attrs.get("model"),
        scores={name: float(value) for name, value in scores.items()},
        variants=others,
        intervals=intervals,
        per_class=per_class,
        per_trial=_merge(trial_tables),
        confusion=confusion,
        coverage=pd.DataFrame(coverage).T.rename_axis("task"),
        notes=tuple(dict.fromkeys(notes)),
        bootstrap=int(bootstrap),
        seed=seed,
    )


def check_predictions(predictions, edition):
    """A valid prediction table of the same classes, or an error."""
    validate(predictions, "the predictions")
    own = edition_of(predictions)
    if own.classes != edition.classes and "expression" in predictions:
        raise PredictionError(
            f"the predictions are of edition {own.name} ({len(own.classes)} classes), the labels of {edition.name} "
            f"({len(edition.classes)}); score them with edition={own.name!r} or predict again. Received: {edition.name!r}"
        )
    return predictions


def common_tasks(predictions, labels) -> list:
    """Tasks that are both predicted and labelled."""
    predicted = {task for task, columns in TASK_COLUMNS.items() if all(name in predictions for name in columns)}
    tasks = [task for task in class_names.TASKS if task in predicted and labelled(labels, task).any()]
    if not tasks:
        raise PredictionError(
            "nothing to score: the predictions hold none of the tasks that are labelled; check that both are of the same split. "
            f"Received: predictions of {', '.join(sorted(predicted)) or 'no whole task'}, labels of "
            f"{', '.join(task for task in class_names.TASKS if labelled(labels, task).any()) or 'nothing'}"
        )
    return tasks


def scored_rows(labels, task, found, missing):
    """Rows of the labels to score, and their count; `found` says which have a prediction."""
    if missing not in ("error", "drop"):
        raise ValueError(f'missing must be "error" or "drop". Received: {missing!r}')
    wanted = labelled(labels, task)
    lacking = wanted & ~found
    count = {"labelled": int(wanted.sum()), "scored": int((wanted & found).sum()), "missing": int(lacking.sum())}
    if lacking.any() and (missing == "error" or not count["scored"]):
        first = labels.iloc[int(np.flatnonzero(lacking)[0])]
        trials = labels["trial"].to_numpy()[lacking]
        remedy = (
            'fill them (predictions.fill_missing), predict the whole split, or pass missing="drop" (--missing drop) to leave them out'
            if count["scored"]
            else "check that trial names and split are the same in both"
        )
        raise PredictionError(
            f"{task}: {count['missing']:,} of {count['labelled']:,} labelled frames, in {len(pd.unique(trials))} trial(s), have no "
            f"prediction; {remedy}. Received: none for trial {first['trial']}, frame {first['frame']}"
        )
    return wanted & found, count


def task_statistics(predictions, labels, task, rows, place, trials, edition) -> stats.TaskStatistics:
    """Sums per trial over the given rows of the labels; `place` holds the row of each one's prediction."""
    codes, place = trials.codes[rows], place[rows]
    dtype = np.int64 if task == "expression" else np.float64
    truth = [labels[name].to_numpy(dtype)[rows] for name in TASK_COLUMNS[task]]
    predicted = [predictions[name].to_numpy(dtype)[place] for name in TASK_COLUMNS[task]]
    if task == "expression":
        return stats.expression_statistics(codes, trials.names, truth[0], predicted[0], len(edition.classes))
    return stats.moment_statistics(codes, trials.names, truth, predicted)


def score_table(sums, task, variant) -> dict:
    """Scores by name from sums of any shape (resamples, trials, everything)."""
    return stats.expression_scores(sums, variant) if task == "expression" else stats.moment_scores(sums)


def point_scores(statistics, task, variant) -> dict:
    """Scores over all frames of all trials."""
    table = score_table(statistics.sums.sum(axis=0), task, variant)
    return {name: float(value) for name, value in table.items() if name != "f1"}


def _resample(statistics, task, variant, bootstrap, seed):
    if not bootstrap or len(statistics.videos) < 2:
        return None
    weights = stats.resampling_weights(len(statistics.videos), bootstrap, seed)
    return score_table(stats.resampled_sums(weights, statistics.per_video), task, variant)


def _other_variants(confusion, chosen) -> dict:
    """The score under every published formula that differs from the chosen one, under its first name."""
    seen, result = {_formula(chosen)}, {}
    for name, other in metrics.VARIANTS.items():
        if _formula(other) not in seen:
            seen.add(_formula(other))
            result[name] = float(metrics.scores_from_confusion(confusion, other)["score"])
    return result


def _formula(variant):
    return variant.average, variant.f1_weight, variant.accuracy_weight


def _per_class(confusion, found, resampled, edition) -> pd.DataFrame:
    table = pd.DataFrame({name: found[name] for name in ("precision", "recall", "f1")})
    low, high = stats.interval(resampled["f1"]) if resampled is not None else (np.nan, np.nan)
    table = table.assign(f1_low=low, f1_high=high, support=confusion.sum(axis=1), predicted=confusion.sum(axis=0))
    table.index = pd.Index(edition.classes, name="class")
    return table


def _class_notes(statistics, resampled, edition) -> list:
    videos = (statistics.per_video.sum(axis=2) > 0).sum(axis=0)
    absent = [name for name, n in zip(edition.classes, videos) if not n]
    rare = [f"{name} ({n})" for name, n in zip(edition.classes, videos) if 0 < n < FEW_VIDEOS / 2]
    notes = []
    if absent:
        why = "F1 0 by definition, which lowers macro F1 whatever is predicted"
        notes.append(f"no labelled frame of {', '.join(absent)}: {why}")
    if rare and resampled:
        why = (
            "a resample without any of them counts its F1 as 0, as the score would, so intervals of macro F1 reach low"
        )
        notes.append(f"classes of few videos: {', '.join(rare)}; {why}")
    return notes


def _per_trial(statistics, task, variant) -> pd.DataFrame:
    scores = score_table(statistics.sums, task, variant)
    if task == "expression":
        columns = {
            "frames_expression": statistics.counts,
            "accuracy": scores["accuracy"],
            "macro_f1": scores["macro_f1"],
        }
    else:
        columns = {"frames_valence_arousal": statistics.counts}
        columns |= {name: scores[name] for name in ("ccc_valence", "ccc_arousal", "mae_valence", "mae_arousal")}
    return pd.DataFrame({"trial": list(statistics.trials), **columns})


def _merge(tables) -> pd.DataFrame:
    merged = tables[0]
    for table in tables[1:]:
        merged = merged.merge(table, on="trial", how="outer")
    merged = merged.sort_values("trial", ignore_index=True)
    counts = [name for name in merged if name.startswith("frames_")]
    merged[counts] = merged[counts].fillna(0).astype(np.int64)
    return merged


def _interval_notes(task, n_videos, bootstrap) -> list:
    if not bootstrap:
        return []
    if n_videos == 1:
        return [
            f"{task}: no interval can be given, because all frames are from one video (videos are what is resampled)"
        ]
    if n_videos < FEW_VIDEOS:
        return [f"{task}: only {n_videos} videos; the intervals are rough, and likely too narrow"]
    return []
