"""Do et al. (2020), Table II, on rendered faces: the six derivations of the STAT/LSTM network, and what the printed figures are worth."""

import numpy as np
import pandas as pd

from abaw_tf.evaluation import compare, evaluate, label_table
from abaw_tf.evaluation.label_tables import labelled
from abaw_tf.studies import do2020_paper as paper
from abaw_tf.studies.do2020_networks import DERIVATIONS, FUSED, FUSION, MAJORITY, PROBE, SECOND, TUNED, predict_all
from abaw_tf.studies.result import StudyResult

ROWS = ("ABAW baseline", MAJORITY, PROBE, TUNED, "1 image", "2 image_va", SECOND, *list(DERIVATIONS)[2:], FUSION)
"""Order of the table: as in the paper, with three references before it."""

COLORS = ("#0072b2", "#d55e00")
LABELS = ("paper (Aff-Wild2)", "ours (synthetic videos)")

SCORES = {"official": "expression_score", "aro": "ccc_arousal", "val": "ccc_valence", "VA": "valence_arousal_score"}


def run(work, bootstrap=1000, seed=0, size=None, progress=True) -> StudyResult:
    """Train the six derivations on rendered data and set their scores beside those of the paper.

    Parameters
    ----------
    work : path-like
        Folder of data and runs; what is finished there is used again.
    bootstrap : int
        Resamples of videos for the intervals, 0 for none.
    seed : int
        Of trainings and resamples; the data are the same.
    size : abaw_tf.studies.rendered.Size, optional
        How much is rendered and trained. Default: a few minutes on two processor cores.
    progress : bool
        Show bars.

    Returns
    -------
    StudyResult
        Table: of the paper the printed expression score, the official one that follows from the published confusion matrices, and the
        CCC of arousal, of valence, and their mean (``VA``); of our networks the expression score as the paper printed it, the official
        one with its interval, and the CCCs. NaN where a network does not have it or nothing was published.
    """
    dataset, tables = predict_all(work, seed, size, progress)
    labels = label_table(dataset, "validation")
    found = {row: evaluate(table, labels, bootstrap=bootstrap, seed=seed) for row, table in tables.items()}
    table = score_table(found, as_published(tables, labels))
    gains = {
        row: compare(tables[TUNED], tables[row], labels, bootstrap=bootstrap, seed=seed).table
        for row in (*DERIVATIONS, FUSION)
    }
    notes = _notes(dataset, labels, table, gains, bootstrap)
    title = "Do et al. 2020, Table II: the paper on Aff-Wild2, and this toolkit's small networks on synthetic videos"
    return StudyResult("do2020", title, table, notes, _figure(table, found))


def as_published(tables, labels) -> dict:
    """Expression score as the paper printed it: with the weighted F1, on the frames that have both kinds of labels."""
    both = labels[labelled(labels, "expression") & labelled(labels, "valence_arousal")]
    return {
        row: evaluate(table, both, variant="do2020", bootstrap=0).scores["expression_score"]
        for row, table in tables.items()
    }


def score_table(found, published) -> pd.DataFrame:
    """The study's table.

    Parameters
    ----------
    found : dict of str to abaw_tf.evaluation.Evaluation
        On all labelled frames, by row.
    published : dict of str to float
        As from `as_published`.
    """
    records = {}
    for row in ROWS:
        printed = paper.TABLE_II.get(row, paper.Printed())
        record = {"paper_printed": printed.expression, "paper_official": paper.worth(printed.network)}
        record |= {"paper_aro": printed.arousal, "paper_val": printed.valence, "paper_VA": printed.mean}
        ours = found.get(row)
        scores = {} if ours is None else ours.scores
        low, high = (np.nan, np.nan) if ours is None else ours.intervals.get("expression_score", (np.nan, np.nan))
        values = {name: scores.get(key, np.nan) for name, key in SCORES.items()}
        record |= {"as_published": published.get(row, np.nan), "official": values.pop("official")}
        records[row] = record | {"low": low, "high": high} | values
    return pd.DataFrame.from_dict(records, orient="index").rename_axis("model")


def _notes(dataset, labels, table, gains, bootstrap) -> list:
    expression, rated = labelled(labels, "expression"), labelled(labels, "valence_arousal")
    videos = {split: len(set(dataset.trials(split)["video"])) for split in ("train", "validation")}
    members = {task: [row for row, weight in weights.items() if weight] for task, weights in FUSED.items()}
    return [
        f"ours: trained on {videos['train']} and scored on {videos['validation']} synthetic videos, which say nothing about people; never "
        "compare the two halves of the table with each other, only rows within a half",
        f"as published: 0.66 · weighted F1 + 0.33 · accuracy on the {int((expression & rated).sum()):,} frames with both kinds of labels, "
        f"as in the paper; official: 0.67 · macro F1 + 0.33 · accuracy on all {int(expression.sum()):,} with an expression; aro, val and "
        f"their mean VA: CCC on all {int(rated.sum()):,} with valence and arousal",
        *([f"intervals: {bootstrap:,} resamples of the videos, for the networks as they are"] if bootstrap else []),
        "paper, official: from the confusion matrices in the authors' notebooks; of models 1, 3 and 5 none was published. Row 2 of the "
        f"paper is two networks, t15 (expression) and t12 (VA; official expression score {paper.worth('t12'):.4f}); t8, the second one "
        "here, was part of the paper's fusion alone",
        _paper_ranking(),
        *(_beaten(table, row, "official", "official score") for row in (MAJORITY, PROBE, TUNED)),
        *(_beaten(table, row, "VA", "mean CCC") for row in (PROBE, TUNED)),
        _differences(gains, "expression_score", "official score"),
        _differences(gains, "valence_arousal_score", "mean CCC"),
        "the networks stop at the epoch that is best on the validation videos, which favours them; the references have not seen these",
        "linear probes: logistic and ridge regression on the face model's features of the current frame, as regularised by default (C = 1, "
        "alpha = 1), and tuned: as folds of training videos say; majority class: the most frequent one of the training frames, and their "
        "mean valence and arousal",
        f"fusion: plain mean of probabilities of {', '.join(members['expression'])} (paper: t15, t8, t31), and of valence and arousal of "
        f"{', '.join(members['valence_arousal'])} (paper: t12, t31, t45)",
    ]


def _paper_ranking() -> str:
    """What the official score changes in the order of the published networks, in words."""
    single = [name for name in paper.NETWORKS if name != FUSION]
    printed, official = (
        sorted(single, key=lambda name: -paper.worth(name, variant)) for variant in ("do2020", "abaw2")
    )
    orders = (
        " > ".join(f"{name} {paper.worth(name, variant):.3f}" for name in order)
        for variant, order in (("do2020", printed), ("abaw2", official))
    )
    best = printed[0]
    place = official.index(best) + 1
    return (
        "the paper's networks from their matrices, as published: {}; official: {}; ".format(*orders)
        + f"{best}, the best single network as published, is number {place} of {len(single)} officially"
    )


def _beaten(table, reference, column, what) -> str:
    """Which derivations are better than a reference."""
    values = table.loc[list(DERIVATIONS), column].dropna()
    better = values > table.loc[reference, column]
    named = "all" if better.all() else "none" if not better.any() else ", ".join(values.index[better])
    return f"{what} above that of the row {reference}: {named} ({int(better.sum())} of {len(values)} derivations)"


def _differences(gains, name, what) -> str:
    """What each network gains over the tuned probe, with paired intervals."""
    parts = []
    for row, gain in gains.items():
        if name in gain.index:
            difference, low, high = gain.loc[name, ["difference", "low", "high"]]
            span = "" if np.isnan(low) else f" [{low:+.3f}, {high:+.3f}]"
            parts.append(f"{row} {difference:+.3f}{span}")
    return f"{what} gained over the {TUNED}: {'; '.join(parts)}"


def _figure(table, found):
    """Scores by row: the paper's above, ours below; hollow as published, filled official."""
    from matplotlib.figure import Figure

    from abaw_tf.plots.style import PALE, PREDICTION_COLOR, bare

    figure = Figure(figsize=(11, 5.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.5, 1))
    y = np.arange(len(table))[::-1]
    for ax, hollow, filled, key in ((left, ("paper_printed", "as_published"), ("paper_official", "official"), "expression_score"),
                                    (right, (None, None), ("paper_VA", "VA"), "valence_arousal_score")):  # fmt: skip
        for offset, color, label, as_published, official in zip((0.16, -0.16), COLORS, LABELS, hollow, filled):
            if as_published:
                ax.hlines(y + offset, table[as_published], table[official], color=color, linewidth=1, linestyle=":")
                style = {"mfc": "white", "mec": color, "mew": 1.4, "markersize": 6}
                ax.plot(table[as_published], y + offset, "o", **style, label=f"{label}, as published")
            ax.plot(table[official], y + offset, "o", color=color, markersize=6, label=f"{label}, official")
        ends = [
            found[row].intervals.get(key, (np.nan, np.nan)) if row in found else (np.nan, np.nan) for row in table.index
        ]
        ax.hlines(y - 0.16, *np.transpose(ends), color=PREDICTION_COLOR, linewidth=1.6, zorder=1)
        ax.hlines(y[:-1] - 0.5, 0, 1, color=PALE, linewidth=0.4, zorder=0)
        ax.set(xlim=(0, 1), ylim=(-0.6, len(table) - 0.4))
        ax.tick_params(axis="y", length=0)
        bare(ax)
    left.set_yticks(y, table.index, fontsize=9)
    left.set_title("Expression score, as published (hollow) and official", fontsize=10, loc="left")
    right.set_title("Mean CCC of valence and arousal", fontsize=10, loc="left")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure
