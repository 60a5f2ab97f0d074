"""Evaluations and comparisons as text for a terminal."""

import numpy as np

from abaw_tf.evaluation.statistics import LEVEL

TITLES = {
    "expression_score": "expression score",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "accuracy": "accuracy",
    "valence_arousal_score": "valence-arousal score (mean CCC)",
    "ccc_valence": "CCC valence",
    "ccc_arousal": "CCC arousal",
    "mae_valence": "MAE valence",
    "mae_arousal": "MAE arousal",
    "rmse_valence": "RMSE valence",
    "rmse_arousal": "RMSE arousal",
}
WORST = 12
"""Trials listed in a terminal."""


def number(value, digits=4) -> str:
    """A number, or a dash where it is undefined."""
    return "–" if value is None or np.isnan(value) else f"{value:.{digits}f}"


def span(pair, digits=4) -> str:
    """An interval, or a dash where there is none."""
    return "–" if pair is None or np.isnan(pair[0]) else f"{pair[0]:.{digits}f} … {pair[1]:.{digits}f}"


def score_title(evaluation, name) -> str:
    """What to call a score; the expression score says which formula it is."""
    return TITLES[name] + (f" ({evaluation.variant})" if name == "expression_score" else "")


def columns(header, rows) -> list:
    """Lines of a table: the first column to the left, the others to the right."""
    cells = [list(map(str, header)), *[list(map(str, row)) for row in rows]]
    widths = [max(len(row[k]) for row in cells) for k in range(len(header))]
    pad = lambda row: "  ".join(c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths)))  # noqa: E731
    return [pad(cells[0]), "  ".join("-" * width for width in widths), *map(pad, cells[1:])]


def format_evaluation(evaluation) -> str:
    """See `Evaluation.format`."""
    lines = [f"edition {evaluation.edition}" + (f", model {evaluation.model}" if evaluation.model else "")]
    for task, row in evaluation.coverage.iterrows():
        missing = f", {row['missing']:,} without a prediction" if row["missing"] else ""
        lines.append(
            f"{task}: {row['scored']:,} of {row['labelled']:,} labelled frames scored{missing}; {row['trials']} trials, "
            f"{row['videos']} videos"
        )
    level = f"{LEVEL:.0%} interval over videos"
    rows = []
    for name, value in evaluation.scores.items():
        rows.append((score_title(evaluation, name), number(value), span(evaluation.intervals.get(name))))
    lines += ["", *columns(("score", "value", level), rows)]
    if evaluation.variants:
        others = ", ".join(f"{name} {number(value)}" for name, value in evaluation.variants.items())
        lines += ["", f"expression score by other formulas: {others}"]
    if evaluation.per_class is not None:
        rows = [
            (
                name,
                *(number(r[score], 3) for score in ("precision", "recall", "f1")),
                span((r.f1_low, r.f1_high), 3),
                *(f"{int(r[count]):,}" for count in ("support", "predicted")),
            )
            for name, r in evaluation.per_class.iterrows()
        ]
        lines += ["", *columns(("class", "precision", "recall", "F1", "F1 interval", "true", "predicted"), rows)]
    lines += ["", *_trials(evaluation.per_trial)]
    lines += ["", *[f"note: {note}" for note in evaluation.notes]] if evaluation.notes else []
    return "\n".join(lines)


def _trials(table) -> list:
    """The trials with the lowest scores first."""
    by = "accuracy" if "accuracy" in table else "ccc_valence"
    table = table.sort_values(by)
    more = len(table) - WORST
    rows = []
    for row in table.head(WORST).to_dict("records"):
        rows.append([row["trial"], *(_cell(name, value) for name, value in row.items() if name != "trial")])
    header = [name.replace("_", " ").replace("frames valence arousal", "frames VA") for name in table.columns]
    head = "per trial, lowest first (a diagnosis: the challenge scores all trials together, not their mean)"
    return [head, *columns(header, rows), *([f"... and {more} more trials"] if more > 0 else [])]


def _cell(name, value) -> str:
    return f"{int(value):,}" if name.startswith("frames") else number(value, 3)


def format_comparison(comparison) -> str:
    """See `Comparison.format`."""
    first, second = comparison.names
    rows = [
        (
            TITLES[name],
            number(r.a),
            number(r.b),
            f"{r.difference:+.4f}",
            span((r.low, r.high)),
            number(r.share_b_higher, 3),
        )
        for name, r in comparison.table.iterrows()
    ]
    header = ("score", first, second, "difference", f"its {LEVEL:.0%} interval", f"{second} higher")
    frames = ", ".join(
        f"{task}: {n:,} frames, {comparison.videos[task]} videos" for task, n in comparison.frames.items()
    )
    lines = [f"{first} against {second}, edition {comparison.edition}; {frames}", "", *columns(header, rows), ""]
    return "\n".join([*lines, *comparison.verdicts, *(f"note: {note}" for note in comparison.notes)])
