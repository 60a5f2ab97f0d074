"""What fusing two modalities gains when the "models" are people: votes on voice and on face against the vote on both (CREMA-D)."""

from pathlib import Path

import numpy as np
import pandas as pd

from abaw_tf.fusion.averaging import majority, weighted_average
from abaw_tf.fusion.calibration import CalibratedFusion
from abaw_tf.fusion.dirichlet import DirichletFusion
from abaw_tf.fusion.held_out_estimate import held_out
from abaw_tf.studies.cremad_votes import CLASSES, acted, actors, read_counts, winners
from abaw_tf.studies.held_out_rows import chosen_inside, fusion_rows, row, rows_table
from abaw_tf.studies.result import StudyResult
from abaw_tf.studies.scoring import group_confusions

FOLDER = "votes_cremad"
MODELS = ("voice", "face")
METRIC = "macro_f1"
N_FOLDS = 10
PSEUDO_VOTES = 1.0
"""Spread evenly over the classes before logarithms are taken: ten people who do not name a class do not rule it out."""


def run(realdata, draws=None, bootstrap=1000, seed=0) -> StudyResult:
    """Fuse the shares of the votes on voice and on face; the class with the most votes on both is the label.

    Parameters
    ----------
    realdata : path-like
        Folder that holds ``votes_cremad``.
    draws : int, optional
        Draws of each search. Default: 1,000 for SWF and 10,000 for MCWF, as in the paper's code.
    bootstrap : int
        Resamples of actors for the intervals, 0 for none.
    seed : int

    Returns
    -------
    StudyResult
        Table: macro F1 over the six classes on the search set and held out over actors, the latter's interval, the held-out accuracy, and
        the gain over the modality that is best on the other folds.
    """
    folder = Path(realdata) / FOLDER
    counts = {name: read_counts(folder, name) for name in (*MODELS, "audiovisual")}
    clips = counts["audiovisual"].index
    if not all(clips.equals(table.index) for table in counts.values()):
        raise ValueError(f"{folder}: the three presentations must be of the same clips. Received: other clips in one")
    y, groups = winners(counts["audiovisual"]), actors(clips)
    plain, smooth = (np.stack([shares(counts[name], extra) for name in MODELS]) for extra in (0.0, PSEUDO_VOTES))

    def search(level, pool="probability"):
        return DirichletFusion(level, n_draws=draws, metric=METRIC, pool=pool, seed=seed)

    options = {"n_folds": N_FOLDS, "bootstrap": bootstrap, "seed": seed, "names": MODELS, "unit": "actors"}
    linear = {"SWF": search("model"), "MCWF": search("model_class")}
    logits = {
        "SWF, logits": search("model", "logit"),
        "MCWF, logits": search("model_class", "logit"),
        "SWF, calibrated": CalibratedFusion(search("model")),
    }
    found = held_out(plain, y, groups, linear, **options)
    found_logits = held_out(smooth, y, groups, logits, **options)

    confusions = lambda decisions: group_confusions(y, decisions, groups, len(CLASSES))  # noqa: E731
    best = confusions(chosen_inside(found, plain, groups))
    common = np.full(len(y), np.bincount(y[y >= 0]).argmax())
    fixed = {
        "most frequent class": common,
        "voice": plain[0].argmax(axis=1),
        "face": plain[1].argmax(axis=1),
        "majority": majority(plain).argmax(axis=1),
        "equal weights": weighted_average(plain).argmax(axis=1),
        # Rounded, because logarithms differ in their last bits between processors, and votes tie often.
        "equal weights, logits": weighted_average(smooth, pool="logit").round(9).argmax(axis=1),
    }
    score = {"metric": METRIC, "bootstrap": bootstrap, "seed": seed}
    rows = {name: row(confusions(decisions), best, **score) for name, decisions in fixed.items()}
    rows |= fusion_rows(found, linear, plain, y, groups, best, **score)
    rows |= fusion_rows(found_logits, logits, smooth, y, groups, best, **score)
    table = rows_table(rows)
    notes = _notes(counts, clips, y, found, bootstrap)
    title = "CREMA-D: votes on voice and on face, fused, against the vote on both (macro F1 over six classes)"
    return StudyResult("fusion_votes", title, table, notes, _figure(table, found, bootstrap))


def shares(counts, extra=0.0) -> np.ndarray:
    """Shares of the votes, shape (clips, classes), after `extra` votes are spread evenly over the classes."""
    values = counts.to_numpy(np.float64) + extra / len(CLASSES)
    return values / values.sum(axis=1, keepdims=True)


def _notes(counts, clips, y, found, bootstrap) -> list:
    ties = {name: int((winners(counts[name]) < 0).sum()) for name in MODELS}
    targets = acted(clips)
    rates = {}
    for name, table in counts.items():
        values = table.to_numpy()
        rates[name] = values[np.arange(len(values)), targets].sum() / values.sum()
    inside = pd.Series(found.chosen).value_counts()
    return [
        f"{len(y):,} clips of {len(set(actors(clips)))} actors; {int((y < 0).sum())} whose audio-visual vote is a tie are not scored",
        f"six classes: Surprise was no choice, so macro F1 is the mean over {', '.join(CLASSES)}",
        f"a tie within one modality ({ties['voice']} clips by voice, {ties['face']} by face) falls to the first class in that order",
        f"logits, calibrated (one temperature per modality): of the shares after {PSEUDO_VOTES:g} vote was spread evenly over the classes",
        f"held out: {len(found.chosen)} folds of whole actors; gain: over the single modality that is best on the other folds ("
        + ", ".join(f"{name} in {count}" for name, count in inside.items())
        + ")",
        *([f"intervals: {bootstrap:,} resamples of actors, given the weights found"] if bootstrap else []),
        *found.verdict.split("\n"),
        "single votes for the acted expression: "
        + ", ".join(f"{rates[name]:.1%} {name}" for name in counts)
        + " (published, over more ratings: 40.9, 58.2 and 63.6 %): people recognise more from both than from either",
        "the label is a vote of other people on the same clip, with noise of its own: 1 cannot be reached",
    ]


def _figure(table, found, bootstrap):
    from matplotlib.figure import Figure

    from abaw_tf.plots.fusion import plot_fold_weights, plot_held_out, plot_weights

    figure = Figure(figsize=(11, 5.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.15, 1))
    shown = table.drop(index="most frequent class").rename(
        columns={"search_set": "search_score", "held_out": "held_out_score"}
    )
    ax = plot_held_out(shown, left.subplots(), title="Macro F1")
    ax.set_xlabel("macro F1" + ("" if bootstrap else " (no intervals)"))
    upper, lower = right.subplots(2, 1, height_ratios=(1, 1.5))
    plot_weights(found.weights["MCWF"], MODELS, CLASSES, upper, "MCWF weights from all actors")
    plot_fold_weights(
        np.stack(found.fold_weights["MCWF"]), MODELS, CLASSES, lower, f"MCWF weights found in {len(found.chosen)} folds"
    )
    return figure
