"""An honest estimate of what fusing gains: weights from some videos, scored on others."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.base import clone

from abaw_tf import labels
from abaw_tf.evaluation import statistics as stats
from abaw_tf.fusion import held_out_result as result
from abaw_tf.fusion.group_folds import deal_groups, given_folds, strata_of
from abaw_tf.fusion.held_out_result import BEST, EQUAL, HeldOut


def held_out(
    predictions,
    truth,
    groups,
    fusion=None,
    n_folds=5,
    bootstrap=1000,
    seed=0,
    names=None,
    folds=None,
    unit="videos",
    progress=None,
) -> HeldOut:
    """Estimate what fusing with searched weights gains on videos that the weights were not searched on.

    Whole groups of frames are dealt to folds. Weights come from all folds but one and decide the frames of that one, for every fold;
    so does the choice of the best single model, which is what a user would do without fusing. The decisions of all folds
    together are scored once over all frames, as the challenge does. (Scores of single folds, averaged, would be another number.)

    The intervals are a paired bootstrap over groups: how the held-out scores and their differences would vary with other videos of
    the same kind, *given the weights found*. They do not cover how the weights themselves would vary with other videos to search on,
    nor other dealings of the groups to folds, nor videos of another kind; and they are too narrow where groups are few or depend on each
    other (videos of one person). In simulations with 6, 12 and 40 videos and errors shared within a video, the estimated gain was right
    on average (to one point, where the search set overstated it by 1 to 7), and the 95 % interval contained the true gain of
    the weights from all frames in 72 to 88 % (6 and 12 videos) and 83 to 92 % (40 videos) of the cases: the uncertainty is at
    least what the interval says.

    Parameters
    ----------
    predictions : array-like of shape (models, frames, classes) or (models, frames, outputs)
        Class probabilities, or valence and arousal.
    truth : array-like of shape (frames,) or (frames, outputs)
        Classes, -1 for no label; or values, NaN for no label. Frames without any label are left out.
    groups : array-like of shape (frames,)
        Name of the group of each frame, which is never divided between folds: its video, or its person.
    fusion : estimator or mapping of str to estimator, optional
        `DirichletFusion` (the default for classes), `CCCFusion` (for values), `CalibratedFusion`, or several of them by name, compared on
        the same folds. Single models and equal weights are scored as the first of them does, without calibration.
    n_folds : int
        Fewer where there are fewer groups.
    bootstrap : int
        Resamples for the intervals; 0 for none.
    seed : int
        Of the resampling, and of the dealing between groups of equal size.
    names : sequence of str, optional
        Of the models.
    folds : array-like of int, shape (frames,), optional
        Fold of each frame instead of dealing: for blocks of time, say. No group may lie in two folds.
    unit : str
        What the groups are, in the plural, for the verdict.
    progress : callable, optional
        Called with the number of draws done since its last call.

    Returns
    -------
    HeldOut

    Raises
    ------
    ValueError
        Fewer than two groups have labelled frames, a group lies in two folds, shapes or names do not fit, fusions maximise different
        scores; or as the fusion's ``fit``.
    """
    if bootstrap < 0 or bootstrap != int(bootstrap):
        raise ValueError(
            f"bootstrap must be a whole number, not negative; 0 leaves out the intervals. Received: bootstrap={bootstrap}"
        )
    predictions, truth, groups, names = _checked(predictions, truth, groups, names)
    fusions = _fusions(fusion, truth, names)
    labelled = truth != labels.MISSING_EXPRESSION if truth.ndim == 1 else ~np.isnan(truth).all(axis=1)
    if not labelled.all():
        predictions, truth, groups = predictions[:, labelled], truth[labelled], groups[labelled]
        folds = None if folds is None else np.asarray(folds)[labelled]
    group_names, codes = np.unique(groups, return_inverse=True)
    if len(group_names) < 2:
        raise ValueError(
            f"a held-out estimate needs labelled frames of at least two {unit}: cut a single one into blocks of time and give these as "
            f"groups. Received: {len(group_names)} {unit}, {len(codes)} labelled frames"
        )
    if folds is None:
        fold_of = deal_groups(codes, strata_of(truth), n_folds, seed)
    else:
        fold_of = given_folds(codes, folds, group_names)
    base = clone(next(iter(fusions.values())))
    sums, search, chosen = _baselines(base, predictions, truth, codes, fold_of, names)
    weights, fold_weights = {}, {}
    for label, one in fusions.items():
        whole, fitted = _fitted(one, predictions, truth, fold_of[codes], progress)
        sums[label] = _out_of_fold(fitted, predictions, truth, codes, fold_of)
        search[label], weights[label] = float(whole.score_), whole.weights_
        fold_weights[label] = tuple(each.weights_ for each in fitted)
    best = names[int(np.argmax([np.nan_to_num(search[name], nan=-np.inf) for name in names]))]
    table, gains = _scores(base, sums, search, tuple(fusions), bootstrap, seed)
    surplus = {label: search[label] - search[best] for label in fusions}
    verdicts, recommended, verdict = _judged(table, gains, surplus, best, len(group_names), unit)
    return HeldOut(
        names=names,
        fusions=tuple(fusions),
        metric=getattr(base, "metric_name", "score"),
        groups=tuple(map(str, group_names)),
        unit=unit,
        n_frames=len(codes),
        folds=pd.DataFrame({"fold": fold_of, "frames": np.bincount(codes)}, pd.Index(group_names, name="group")),
        table=table,
        gains=gains,
        weights=weights,
        fold_weights=fold_weights,
        chosen=tuple(names[i] for i in chosen),
        verdicts=verdicts,
        recommended=recommended,
        verdict=verdict,
        bootstrap=int(bootstrap),
        seed=seed,
    )


def _judged(table, gains, surplus, best, n_groups, unit):
    """Verdict on each fusion, by how much it was ahead of the best model where it was searched; the one that is advised; all in words."""
    rows = {(row.fusion, row.over): (row.gain, row.low, row.high) for row in gains.itertuples()}
    verdicts = {label: result.verdict(label, rows, best, ahead, n_groups, unit) for label, ahead in surplus.items()}
    useful = {result.advice(label, rows, best) for label in surplus}
    searched = [label for label in surplus if label in useful]
    recommended = max(searched, key=lambda label: table.loc[label, "held_out_score"]) if searched else useful.pop()
    if len(verdicts) == 1:
        return verdicts, recommended, next(iter(verdicts.values()))
    lines = [f"{label}: {sentence}" for label, sentence in verdicts.items()]
    return verdicts, recommended, "\n".join([*lines, result.conclusion(tuple(verdicts), table, rows, recommended)])


def _baselines(base, predictions, truth, codes, fold_of, names):
    """Statistics per group and search scores of single models, of the best of them chosen inside, and of equal weights."""
    n_models, n_groups = len(predictions), len(fold_of)
    alone = np.stack([base.sums(predictions, truth, one, codes, n_groups) for one in np.eye(n_models)])
    scores = base.score_sums(alone.sum(axis=1))
    inside = [base.score_sums(alone[:, fold_of != fold].sum(axis=1)) for fold in range(fold_of.max() + 1)]
    chosen = np.argmax(np.nan_to_num(inside, nan=-np.inf), axis=1)
    sums, search = dict(zip(names, alone)), dict(zip(names, map(float, scores)))
    sums[BEST] = alone[chosen[fold_of], np.arange(n_groups)]
    search[BEST] = float(np.max(np.nan_to_num(scores, nan=-np.inf)))
    sums[EQUAL] = base.sums(predictions, truth, np.full(n_models, 1 / n_models), codes, n_groups)
    search[EQUAL] = float(base.score_sums(sums[EQUAL].sum(axis=0)))
    return sums, search, chosen


def _fitted(fusion, predictions, truth, folds, progress):
    """The fusion fitted to all frames, and to the frames outside each fold."""
    n_folds, whole = int(folds.max()) + 1, clone(fusion)
    if hasattr(whole, "fit_folds"):
        fitted = whole.fit_folds(predictions, truth, folds, n_folds, progress)
    else:
        outside = (folds != fold for fold in range(n_folds))
        fitted = [clone(fusion).fit(predictions[:, frames], truth[frames], progress) for frames in outside]
    if not hasattr(whole, "weights_"):
        whole.fit(predictions, truth, progress)
    return whole, fitted


def _out_of_fold(fitted, predictions, truth, codes, fold_of):
    """Statistics per group, each group under the weights that were fitted without it."""
    total = 0
    for fold, one in enumerate(fitted):
        frames = fold_of[codes] == fold
        total = total + one.sums(predictions[:, frames], truth[frames], one.weights_, codes[frames], len(fold_of))
    return total


def _scores(base, sums, search, fusions, bootstrap, seed):
    """Held-out scores and their differences with intervals over groups, as two tables."""
    held = {name: float(base.score_sums(each.sum(axis=0))) for name, each in sums.items()}
    resampled = None
    if bootstrap:
        drawn = stats.resampling_weights(len(next(iter(sums.values()))), int(bootstrap), seed)
        resampled = {name: base.score_sums(stats.resampled_sums(drawn, each)) for name, each in sums.items()}
    rows = {}
    for name in sums:
        low, high = stats.interval(resampled[name]) if bootstrap else (np.nan, np.nan)
        rows[name] = {"search_score": search[name], "held_out_score": held[name], "low": low, "high": high}
    pairs = [(label, over) for label in fusions for over in (BEST, EQUAL)]
    pairs += [(EQUAL, BEST)] + [(b, a) for i, b in enumerate(fusions) for a in fusions[:i]]
    gains = []
    for one, over in pairs:
        low, high = stats.interval(resampled[one] - resampled[over]) if bootstrap else (np.nan, np.nan)
        gains.append({"fusion": one, "over": over, "gain": held[one] - held[over], "low": low, "high": high})
    return pd.DataFrame(rows).T, pd.DataFrame(gains)


def _fusions(fusion, truth, names) -> dict:
    if fusion is None:
        if truth.ndim == 1:
            from abaw_tf.fusion.dirichlet import DirichletFusion as default
        else:
            from abaw_tf.fusion.continuous import CCCFusion as default
        fusion = default()
    if not isinstance(fusion, Mapping):
        fusion = {getattr(fusion, "label", type(fusion).__name__): fusion}
    fusions = {str(label): one for label, one in fusion.items()}
    if not fusions:
        raise ValueError("give at least one fusion to examine. Received: an empty mapping")
    called = [*names, BEST, EQUAL, *fusions]
    twice = [name for name in called if called.count(name) > 1]
    if twice:
        raise ValueError(
            f"models and fusions need names of their own; call the model otherwise (names=..., NAME=PATH). Received: {twice[0]!r} more "
            "than once"
        )
    metrics = {getattr(one, "metric_name", "score") for one in fusions.values()}
    if len(metrics) > 1:
        raise ValueError(
            f"fusions that are compared must maximise the same score. Received: {', '.join(sorted(metrics))}"
        )
    return fusions


def _checked(predictions, truth, groups, names):
    predictions, truth, groups = np.asarray(predictions), np.asarray(truth), np.asarray(groups)
    if predictions.ndim != 3 or truth.ndim not in (1, 2) or predictions.shape[1] != len(truth):
        raise ValueError(
            "predictions must have shape (models, frames, classes or outputs) and truth (frames,) or (frames, outputs). "
            f"Received: predictions.shape={predictions.shape}, truth.shape={truth.shape}"
        )
    if groups.shape != (len(truth),):
        raise ValueError(
            f"groups must name the group of each of the {len(truth)} frames. Received: shape={groups.shape}"
        )
    names = tuple(map(str, names)) if names is not None else tuple(f"model {i + 1}" for i in range(len(predictions)))
    if len(names) != len(predictions):
        raise ValueError(f"names must be as many as models. Received: {len(names)} names, {len(predictions)} models")
    return predictions, truth, groups.astype(str), names
