"""Ten people follow the green of a video: their ratings, fused, against the objective truth (CCC)."""

from pathlib import Path

import numpy as np
import pandas as pd

from abaw_tf import metrics
from abaw_tf.evaluation.statistics import interval, resampled_sums, resampling_weights
from abaw_tf.fusion.consensus import ccc_centering, evaluator_weighted_estimator
from abaw_tf.fusion.continuous import CCCFusion, ccc_of_sums
from abaw_tf.fusion.moments import Moments
from abaw_tf.plots.fusion import SEARCH_COLOR
from abaw_tf.plots.style import INK, PALE, PREDICTION_COLOR, TRUTH_COLOR, bare
from abaw_tf.studies.rater_files import RATE, read_ratings
from abaw_tf.studies.result import StudyResult

FOLDER = "multirater_green_TaskA"
INFORMED = ("eval_dep", "distort")
"""Published fusions that were made with the video's green intensity, which is the truth itself but for rounding."""

N_BLOCKS, N_FOLDS = 20, 5
GAP = 7.0
"""Seconds left out of the training on both sides of the held-out blocks: after 6.3 s the truth's autocorrelation has fallen to zero."""

COMPARED = (
    ("optimal weights", "best rater"),
    ("plain mean, best lag", "best rater"),
    ("optimal weights, best lag", "plain mean, best lag"),
)
"""Pairs of fitted methods of which the notes tell the difference."""

LAGS = np.arange(0, 5 * RATE + 1)
"""Common lags of the raters that are tried, in values."""


def run(realdata, draws=None, bootstrap=1000, seed=0) -> StudyResult:
    """Fuse the ratings by every method; score on all frames, and held out in blocks of time where weights are fitted.

    Parameters
    ----------
    realdata : path-like
        Folder that holds ``multirater_green_TaskA``.
    draws : int, optional
        Draws of the weight search. Default: 10,000.
    bootstrap : int
        Resamples of blocks for the intervals, 0 for none.
    seed : int

    Returns
    -------
    StudyResult
        Table: ``search_set`` is the CCC on the frames the method was fitted to (NaN where nothing is fitted), ``held_out`` that on
        frames it has not seen, with its interval; ``gain`` is held-out CCC minus that of the plain mean, with its interval.
    """
    material = read_ratings(Path(realdata) / FOLDER)
    truth, ratings = material.truth, material.ratings
    rows = {name: (np.nan, fused) for name, fused in _unfitted(material).items()}
    for name, method in _fitted(10_000 if draws is None else draws, seed).items():
        rows[name] = (metrics.ccc(truth, method(ratings, truth)), held_out_in_time(method, ratings, truth))
    resampled = _resampled(rows, truth, bootstrap, seed)
    table = _table(rows, resampled, truth)
    for name in INFORMED:
        fused = material.published[name]
        table.loc[f"published {name}", "search_set"] = metrics.ccc(truth[: len(fused)], fused)
    table.index.name = "method"
    figure = _figure(truth, table, {name: rows[name][1] for name in SHOWN}, bootstrap)
    notes = _notes(material, bootstrap) + [_compared(table, resampled, one, other) for one, other in COMPARED]
    title = "Ten raters of one video against the objective truth (CCC)"
    return StudyResult("fusion_raters", title, table, notes, figure)


def held_out_in_time(method, ratings, truth) -> np.ndarray:
    """Fused values of every frame by a method fitted to frames of other blocks, :data:`GAP` seconds away at least.

    Parameters
    ----------
    method : callable
        Takes ratings (raters, frames) and truth (frames,), NaN where it may not look; returns fused values (frames,).
    ratings : array of shape (raters, frames)
    truth : array of shape (frames,)
    """
    frames, fold_of = np.arange(len(truth)), _folds(len(truth))
    fused = np.empty(len(truth))
    for fold in range(N_FOLDS):
        held = np.flatnonzero(fold_of == fold)
        near = (frames >= held[0] - GAP * RATE) & (frames <= held[-1] + GAP * RATE)
        fused[held] = method(ratings, np.where(near, np.nan, truth))[held]
    return fused


def _blocks(n_frames):
    """Block of each frame: contiguous and equally long, give or take one frame."""
    return np.arange(n_frames) * N_BLOCKS // n_frames


def _folds(n_frames):
    """Fold of each frame: as many neighbouring blocks each."""
    return _blocks(n_frames) * N_FOLDS // N_BLOCKS


def _unfitted(material):
    """Fusions that do not look at the truth. The raters' scale is [0, 1], so nothing is clipped to [-1, 1]."""
    ratings = material.ratings
    return {
        **{f"rater {k}": rating for k, rating in enumerate(ratings, start=1)},
        "plain mean": ratings.mean(axis=0),
        "median": np.median(ratings, axis=0),
        "EWE": evaluator_weighted_estimator(ratings, clip=False),
        "CCC-centering": ccc_centering(ratings, clip=False),
        "published simple_average": material.published["simple_average"],
    }


def _fitted(draws, seed):
    """Methods that are fitted to the truth."""

    def best_rater(ratings, truth):
        return ratings[np.nanargmax([metrics.ccc(truth, rating) for rating in ratings])]

    def weighted(fusion):
        return lambda ratings, truth: fusion.fit(ratings[..., None], truth[:, None]).predict(ratings[..., None], False)[
            :, 0
        ]

    def mean(ratings, truth):
        return ratings.mean(axis=0)

    optimum = weighted(CCCFusion("optimum"))
    return {
        "best rater": best_rater,
        "searched weights": weighted(CCCFusion("search", n_draws=draws, seed=seed)),
        "optimal weights": optimum,
        "plain mean, best lag": lambda ratings, truth: best_lag(mean, ratings, truth)[1],
        "optimal weights, best lag": lambda ratings, truth: best_lag(optimum, ratings, truth)[1],
    }


def best_lag(method, ratings, truth):
    """The lag (in values), the same for all raters, with the highest CCC of `method`, and the fused values under it.

    Takes what :func:`held_out_in_time` takes.
    """
    candidates = [method(_earlier(ratings, lag), truth) for lag in LAGS]
    lag = int(np.nanargmax([metrics.ccc(truth, fused) for fused in candidates]))
    return lag, candidates[lag]


def _earlier(ratings, lag):
    """Ratings moved `lag` values earlier; the last value is held."""
    return np.concatenate([ratings[:, lag:], np.repeat(ratings[:, -1:], lag, axis=1)], axis=1)


def _resampled(rows, truth, bootstrap, seed) -> dict:
    """CCC of each method over resamples of the blocks, the same ones for all methods."""
    blocks, weights = _blocks(len(truth)), resampling_weights(N_BLOCKS, bootstrap, seed)
    result = {}
    for name, (_, fused) in rows.items():
        sums = Moments.of(fused[None, :, None], truth[:, None], blocks, N_BLOCKS, origins=0.0).sums
        result[name] = ccc_of_sums(resampled_sums(weights, sums))[:, 0]
    return result


def _table(rows, resampled, truth) -> pd.DataFrame:
    """The figures of `rows`: by name, the CCC on the search set and the fused values to score."""
    held_out = {name: metrics.ccc(truth, fused) for name, (_, fused) in rows.items()}
    records = {}
    for name, (search_set, _) in rows.items():
        gain = (held_out[name] - held_out["plain mean"], *interval(resampled[name] - resampled["plain mean"]))
        no_gain = (np.nan,) * 3
        ends = interval(resampled[name])
        records[name] = (search_set, held_out[name], *ends, *(no_gain if name == "plain mean" else gain))
    columns = ("search_set", "held_out", "low", "high", "gain", "gain_low", "gain_high")
    return pd.DataFrame.from_dict(records, orient="index", columns=columns)


def _compared(table, resampled, one, other) -> str:
    """Held-out gain of a method over another in words."""
    low, high = interval(resampled[one] - resampled[other])
    text = f"{one} against {other}, held out: {table['held_out'][one] - table['held_out'][other]:+.4f}"
    return text if np.isnan(low) else f"{text}, 95 % interval {low:+.4f} … {high:+.4f}"


def _notes(material, bootstrap) -> list:
    truth, ratings = material.truth, material.ratings
    weights = CCCFusion().fit(ratings[..., None], truth[:, None]).weights_[:, 0]
    named = ", ".join(f"rater {k + 1} {weights[k]:.2f}" for k in np.argsort(-weights) if weights[k] > 0)
    lag = best_lag(lambda ratings, truth: ratings.mean(axis=0), ratings, truth)[0]
    seconds = len(truth) / RATE
    notes = [
        f"{len(truth)} values at {RATE} Hz ({seconds:.0f} s), cut to the common length; a scale of [0, 1], nothing is clipped",
        f"held out: {N_FOLDS} folds of {N_BLOCKS // N_FOLDS} neighbouring blocks of {seconds / N_BLOCKS:.1f} s; weights, best rater and "
        f"lag come from the other folds without {GAP:g} s next to the fold; the CCC is that of all held-out values together",
        "methods without a search set are not fitted to the truth, their CCC is the same on any account",
        f"optimal weights on all values: {named}, all others 0",
        f"the raters lag behind: moved {lag / RATE:g} s earlier, their plain mean fits best",
        f"published eval_dep ({len(material.published['eval_dep'])} values) and distort ({len(material.published['distort'])}) were made "
        "with the video's green intensity, from which the truth derives: they count as fitted to all values",
        "one video: the figures tell about its raters, not about raters in general",
    ]
    if bootstrap:
        notes.insert(
            2,
            f"intervals: {bootstrap:,} resamples of the {N_BLOCKS} blocks, the fusions as they are; with so few blocks rather too narrow",
        )
    return notes


SHOWN = ("plain mean", "optimal weights, best lag")
"""Fusions whose traces are drawn."""


def _figure(truth, table, traces, bootstrap):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7.4), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=(1, 1.35))
    time, fold_of = np.arange(len(truth)) / RATE, _folds(len(truth))
    styles = (TRUTH_COLOR, 1.6), (PALE, 1.4), (PREDICTION_COLOR, 1.4)
    for (name, values), (color, width) in zip({"objective truth": truth, **traces}.items(), styles):
        top.plot(time, values, color=color, linewidth=width, label=name)
    for border in time[1:][np.diff(fold_of) > 0]:
        top.axvline(border, color=PALE, linewidth=0.8, linestyle=":", zorder=0)
    top.set(xlim=(0, time[-1]), ylim=(0, 1.12), xlabel="time (s)", ylabel="green intensity")
    title = "Fitted values are held out: each stretch between the dotted lines by weights and lag from the others"
    top.set_title(title, fontsize=10, loc="left")
    top.legend(fontsize=8, frameon=False, loc="upper center", ncols=3)
    bare(top)
    _bars(bottom, table)
    bottom.set_title("CCC with the truth" + (", 95 % intervals" if bootstrap else ""), fontsize=10, loc="left")
    return figure


def _bars(ax, table):
    """Held-out CCC as bars with intervals, that on the search set as hollow bars; the single raters as dots in one row."""
    single = table.index.str.fullmatch(r"rater \d+")
    methods = table[~single & (table.index != "published simple_average")].iloc[::-1]
    held, search = methods["held_out"].to_numpy(), methods["search_set"].to_numpy()
    both = np.isfinite(held) & np.isfinite(search)
    y, height = np.arange(len(methods)), 0.38
    lower, upper = y - np.where(both, height / 2, 0), y + np.where(both, height / 2, 0)
    ax.barh(lower, held, height, color=PREDICTION_COLOR, alpha=0.85, label="held out, or not fitted")
    ends = np.nan_to_num(np.stack([held - methods["low"], methods["high"] - held]))
    ax.errorbar(held, lower, xerr=ends, fmt="none", ecolor=INK, elinewidth=1.2)
    ax.barh(upper, search, height, facecolor="white", edgecolor=SEARCH_COLOR, label="on the search set")
    raters = table.loc[single, "held_out"]
    ax.plot(raters, np.full(len(raters), len(methods)), "o", color=PALE, markersize=4)
    ax.set_yticks([*y, len(methods)], [*methods.index, "each rater"], fontsize=8)
    ax.set_xlim(0, 1)
    ax.legend(fontsize=8, frameon=False, loc="upper right")
    ax.tick_params(axis="y", length=0)
    bare(ax)
