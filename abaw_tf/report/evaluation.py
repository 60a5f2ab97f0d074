"""One self-contained HTML page per run: scores with their intervals, tables, pictures, and what a reader must know."""

import os
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from abaw_tf import plots
from abaw_tf.evaluation import Comparison, Evaluation
from abaw_tf.evaluation.text import TITLES, number, score_title, span
from abaw_tf.labels import edition as edition_named
from abaw_tf.report.html import flat, html_table, new_figure, notes_box, picture, subtitle, write_page

_OVERVIEW = (
    ("expression_score", "macro_f1", "weighted_f1", "accuracy"),
    ("valence_arousal_score", "ccc_valence", "ccc_arousal"),
)


def write_report(
    path,
    title,
    evaluations,
    predictions=None,
    labels=None,
    history=None,
    run_card=None,
    notes=(),
    comparisons=(),
) -> Path:
    """Write the report of one or more models as an HTML page.

    Parameters
    ----------
    path : path-like
        The page; it appears only when complete.
    title : str
    evaluations : Evaluation or mapping of str to Evaluation
        By the name of the model.
    predictions : pandas.DataFrame or mapping of str to pandas.DataFrame, optional
        Prediction tables by the same names, for the timelines and densities.
    labels : pandas.DataFrame, optional
        Label table.
    history : path, pandas.DataFrame, or mapping of str to those, optional
        Training curves (see `plots.plot_training`).
    run_card : mapping, optional
        What the runner recorded; nested mappings become dotted names.
    notes : str or sequence of str
        Shown in a box at the top, for instance that the data is synthetic.
    comparisons : Comparison or sequence of Comparison
        Paired comparisons of the models.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError
        No evaluation, or predictions of a model that is not evaluated.
    """
    evaluations = _by_name(evaluations, Evaluation)
    names = list(evaluations)
    if not names:
        raise ValueError("a report needs at least one evaluation. Received: none")
    predictions = {} if predictions is None else _by_name(predictions, pd.DataFrame, names[0])
    history = {} if history is None else _by_name(history, (str, os.PathLike, pd.DataFrame), names[0])
    unknown = sorted((set(predictions) | set(history)) - set(names))
    if unknown:
        raise ValueError(
            f"{unknown[0]!r} is not among the evaluated models {', '.join(names)}. Received: {unknown[0]!r}"
        )
    comparisons = [comparisons] if isinstance(comparisons, Comparison) else list(comparisons)
    body = [f"<h1>{escape(str(title))}</h1>", _subtitle(evaluations), notes_box(notes), _overview(evaluations)]
    body += [_comparison(comparison) for comparison in comparisons]
    for name, evaluation in evaluations.items():
        body.append(_model(name, evaluation, predictions.get(name), labels, history.get(name)))
    if run_card:
        body += ["<h2>Run</h2>", html_table(("", ""), flat(run_card), "card")]
    return write_page(path, title, body)


def _by_name(value, kind, name=None) -> dict:
    if isinstance(value, kind):
        return {name or getattr(value, "model", None) or "model": value}
    return {str(key): item for key, item in value.items()}


def _subtitle(evaluations) -> str:
    first = next(iter(evaluations.values()))
    return subtitle(edition_named(first.edition).title)


def _overview(evaluations) -> str:
    """All models side by side, one line each."""
    parts = ["<h2>Scores</h2>"]
    for shown in _OVERVIEW:
        scored = {model: item for model, item in evaluations.items() if shown[0] in item.scores}
        if scored:
            rows = [(model, *(_with_interval(item, name) for name in shown)) for model, item in scored.items()]
            parts.append(html_table(("model", *(TITLES[name] for name in shown)), rows))
    if any(item.intervals for item in evaluations.values()):
        parts.append('<p class="small">In brackets: 95 % bootstrap intervals over videos.</p>')
    return "\n".join(parts)


def _with_interval(evaluation, name) -> str:
    text = number(evaluation.scores.get(name))
    pair = evaluation.intervals.get(name)
    return text if pair is None or np.isnan(pair[0]) else f"{text} [{pair[0]:.3f}, {pair[1]:.3f}]"


def _comparison(comparison) -> str:
    first, second = comparison.names
    rows = [
        (TITLES[name], number(r.a), number(r.b), f"{r.difference:+.4f}", span((r.low, r.high)))
        for name, r in comparison.table.iterrows()
    ]
    parts = [f"<h2>{escape(first)} against {escape(second)}</h2>"]
    parts += [f"<p><strong>{escape(verdict)}</strong></p>" for verdict in comparison.verdicts]
    parts += [html_table(("score", first, second, "difference", "95 % interval"), rows), notes_box(comparison.notes)]
    return "\n".join(parts)


def _model(name, evaluation, predictions, labels, history) -> str:
    parts = [f"<h2>{escape(name)}</h2>", _provenance(predictions)]
    for task, row in evaluation.coverage.iterrows():
        text = f"{task.replace('_', '-')}: {row['scored']:,} of {row['labelled']:,} labelled frames scored, "
        parts.append(f'<p class="small">{text}{row["trials"]} trials, {row["videos"]} videos.</p>')
    parts.append(notes_box(evaluation.notes))
    rows = [
        (score_title(evaluation, key), number(value), span(evaluation.intervals.get(key)))
        for key, value in evaluation.scores.items()
    ]
    heads = [TITLES[names[0]] for names in _OVERVIEW]
    parts.append(
        html_table(
            ("score", "value", "95 % interval over videos"), rows, marked=lambda row: row[0].startswith(tuple(heads))
        )
    )
    if evaluation.variants:
        others = ", ".join(f"{key} {number(value)}" for key, value in evaluation.variants.items())
        parts.append(f'<p class="small">Expression score by other published formulas: {escape(others)}.</p>')
    if evaluation.per_class is not None:
        parts += ["<h3>Expressions</h3>", _classes(evaluation)]
        classes = list(evaluation.per_class.index)
        figure = new_figure((0.92 * len(classes) + 2.0, 0.78 * len(classes) + 1.6))
        plots.plot_confusion(evaluation.confusion, classes, figure.add_subplot())
        parts.append(picture(figure, f"confusion matrix of {name}"))
    parts.append(_densities(name, evaluation, predictions, labels))
    parts.append(_timelines(name, evaluation, predictions, labels))
    if history is not None:
        parts += [
            "<h3>Training</h3>",
            picture(plots.plot_training(history, new_figure((8, 3))), f"training curves of {name}"),
        ]
    parts.append(_trials(evaluation))
    return "\n".join(part for part in parts if part)


def _provenance(predictions) -> str:
    if predictions is None:
        return ""
    known = [(key.replace("_", " "), predictions.attrs.get(key)) for key in ("model", "weights_hash")]
    text = ", ".join(f"{key} {value}" for key, value in known if value)
    return f'<p class="small">{escape(text)}</p>' if text else ""


def _classes(evaluation) -> str:
    rows = [
        (
            name,
            *(number(r[score], 3) for score in ("precision", "recall", "f1")),
            span((r.f1_low, r.f1_high), 3),
            *(f"{int(r[count]):,}" for count in ("support", "predicted")),
        )
        for name, r in evaluation.per_class.iterrows()
    ]
    return html_table(("class", "precision", "recall", "F1", "95 % interval", "true frames", "predicted frames"), rows)


def _densities(name, evaluation, predictions, labels) -> str:
    """Valence and arousal of predictions and labels side by side, where they were scored."""
    if "valence_arousal_score" not in evaluation.scores:
        return ""
    pictures = []
    for table, what in ((predictions, "predicted"), (labels, "labelled")):
        if table is not None and "valence" in table and "arousal" in table and table["valence"].notna().any():
            figure = new_figure((5.2, 4.6))
            plots.plot_va_density(table["valence"], table["arousal"], figure.add_subplot(), title=what.capitalize())
            pictures.append(picture(figure, f"{what} valence and arousal, {name}"))
    if not pictures:
        return ""
    return '<h3>Valence and arousal</h3>\n<div class="pictures">' + "\n".join(pictures) + "</div>"


def _timelines(name, evaluation, predictions, labels) -> str:
    """The trials with the highest, the middle and the lowest score, over time."""
    if predictions is None:
        return ""
    table = evaluation.per_trial
    table = table.assign(score=table.drop(columns="trial").filter(regex="^(accuracy|ccc_)").mean(axis=1))
    table = table.dropna(subset="score").sort_values("score", kind="stable")
    if table.empty:
        return ""
    picked = table["trial"].iloc[np.unique([len(table) - 1, len(table) // 2, 0])[::-1]]
    parts = ["<h3>Over time</h3>", '<p class="small">The trials with the highest, the middle and the lowest score.</p>']
    for trial in picked:
        if "expression" in predictions:
            figure = new_figure((10, 2.1))
            plots.plot_expression_timeline(predictions, labels, trial, figure.add_subplot())
            parts.append(picture(figure, f"expressions of {trial}, {name}"))
        if "valence" in predictions and "arousal" in predictions:
            figure = new_figure((10, 4.2))
            plots.plot_valence_arousal(predictions, labels, trial, figure.subplots(2, 1, sharex=True, sharey=True))
            parts.append(picture(figure, f"valence and arousal of {trial}, {name}"))
    return "\n".join(parts)


def _trials(evaluation) -> str:
    table = evaluation.per_trial
    header = [key.replace("frames_valence_arousal", "frames VA").replace("_", " ") for key in table.columns]
    rows = []
    for row in table.to_dict("records"):
        cells = [
            f"{int(v):,}" if key.startswith("frames") else number(v, 3) for key, v in row.items() if key != "trial"
        ]
        rows.append((row["trial"], *cells))
    why = "A diagnosis: the challenge scores the frames of all trials together, not the mean of these."
    return (
        f"<details{' open' if len(rows) <= 12 else ''}><summary>Per trial ({len(rows)})</summary>"
        f'<p class="small">{why}</p>{html_table(header, rows)}</details>'
    )
