"""One self-contained HTML page per run: scores with their intervals, tables, pictures, and what a reader must know.

Pictures are embedded; the page loads nothing from elsewhere. Whatever comes from outside (names, notes, run cards) is escaped.
"""

import base64
import datetime
import io
import os
from collections.abc import Mapping
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

import abaw_tf
from abaw_tf import plots
from abaw_tf.evaluation import Comparison, Evaluation
from abaw_tf.evaluation.text import TITLES, number, score_title, span
from abaw_tf.files import replacing
from abaw_tf.labels import edition as edition_named

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; color: #222; background: #fff;
  max-width: 1080px; margin: 2rem auto 4rem; padding: 0 1.25rem; }
h1 { font-size: 1.7rem; margin: 0 0 .2rem; } h2 { font-size: 1.3rem; margin: 2.4rem 0 .6rem; border-bottom: 1px solid #ddd; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; } p { margin: .4rem 0; } .small { color: #666; font-size: .87rem; }
.notes { background: #fff6e0; border-left: 4px solid #e69f00; padding: .5rem .9rem; margin: .9rem 0; }
.notes p { margin: .2rem 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; margin: .5rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .22rem .7rem; border-bottom: 1px solid #e6e6e6; text-align: right; white-space: nowrap; }
th { background: #f6f6f6; font-weight: 600; } th:first-child, td:first-child { text-align: left; }
tr.head td { font-weight: 700; } .card td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; } .pictures figure { flex: 1 1 320px; max-width: 520px; }
img { max-width: 100%; height: auto; } figure { margin: .6rem 0; } summary { cursor: pointer; }
"""
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
    body = [f"<h1>{escape(str(title))}</h1>", _subtitle(evaluations), _notes(notes), _overview(evaluations)]
    body += [_comparison(comparison) for comparison in comparisons]
    for name, evaluation in evaluations.items():
        body.append(_model(name, evaluation, predictions.get(name), labels, history.get(name)))
    if run_card:
        body += ["<h2>Run</h2>", _table(("", ""), _flat(run_card), "card")]
    page = (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(str(title))}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>\n<body>\n'
        + "\n".join(part for part in body if part)
        + "\n</body></html>\n"
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(path)


def _by_name(value, kind, name=None) -> dict:
    if isinstance(value, kind):
        return {name or getattr(value, "model", None) or "model": value}
    return {str(key): item for key, item in value.items()}


def _subtitle(evaluations) -> str:
    first = next(iter(evaluations.values()))
    when = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    kind = edition_named(first.edition).title
    return f'<p class="small">{escape(kind)} · abaw_tf {escape(abaw_tf.__version__)} · {when}</p>'


def _notes(notes) -> str:
    notes = [notes] if isinstance(notes, str) else [note for note in notes or () if note]
    if not notes:
        return ""
    return '<div class="notes">' + "".join(f"<p>{escape(str(note))}</p>" for note in notes) + "</div>"


def _overview(evaluations) -> str:
    """All models side by side, one line each."""
    parts = ["<h2>Scores</h2>"]
    for shown in _OVERVIEW:
        scored = {model: item for model, item in evaluations.items() if shown[0] in item.scores}
        if scored:
            rows = [(model, *(_with_interval(item, name) for name in shown)) for model, item in scored.items()]
            parts.append(_table(("model", *(TITLES[name] for name in shown)), rows))
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
    parts += [_table(("score", first, second, "difference", "95 % interval"), rows), _notes(comparison.notes)]
    return "\n".join(parts)


def _model(name, evaluation, predictions, labels, history) -> str:
    parts = [f"<h2>{escape(name)}</h2>", _provenance(predictions)]
    for task, row in evaluation.coverage.iterrows():
        text = f"{task.replace('_', '-')}: {row['scored']:,} of {row['labelled']:,} labelled frames scored, "
        parts.append(f'<p class="small">{text}{row["trials"]} trials, {row["videos"]} videos.</p>')
    parts.append(_notes(evaluation.notes))
    rows = [
        (score_title(evaluation, key), number(value), span(evaluation.intervals.get(key)))
        for key, value in evaluation.scores.items()
    ]
    heads = [TITLES[names[0]] for names in _OVERVIEW]
    parts.append(
        _table(
            ("score", "value", "95 % interval over videos"), rows, marked=lambda row: row[0].startswith(tuple(heads))
        )
    )
    if evaluation.variants:
        others = ", ".join(f"{key} {number(value)}" for key, value in evaluation.variants.items())
        parts.append(f'<p class="small">Expression score by other published formulas: {escape(others)}.</p>')
    if evaluation.per_class is not None:
        parts += ["<h3>Expressions</h3>", _classes(evaluation)]
        classes = list(evaluation.per_class.index)
        figure = _figure((0.92 * len(classes) + 2.0, 0.78 * len(classes) + 1.6))
        plots.plot_confusion(evaluation.confusion, classes, figure.add_subplot())
        parts.append(_picture(figure, f"confusion matrix of {name}"))
    parts.append(_densities(name, predictions, labels))
    parts.append(_timelines(name, evaluation, predictions, labels))
    if history is not None:
        parts += [
            "<h3>Training</h3>",
            _picture(plots.plot_training(history, _figure((8, 3))), f"training curves of {name}"),
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
    return _table(("class", "precision", "recall", "F1", "95 % interval", "true frames", "predicted frames"), rows)


def _densities(name, predictions, labels) -> str:
    """Valence and arousal of predictions and labels side by side."""
    pictures = []
    for table, what in ((predictions, "predicted"), (labels, "labelled")):
        if table is not None and "valence" in table and "arousal" in table and table["valence"].notna().any():
            figure = _figure((5.2, 4.6))
            plots.plot_va_density(table["valence"], table["arousal"], figure.add_subplot(), title=what.capitalize())
            pictures.append(_picture(figure, f"{what} valence and arousal, {name}"))
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
            figure = _figure((10, 2.1))
            plots.plot_expression_timeline(predictions, labels, trial, figure.add_subplot())
            parts.append(_picture(figure, f"expressions of {trial}, {name}"))
        if "valence" in predictions and "arousal" in predictions:
            figure = _figure((10, 4.2))
            plots.plot_valence_arousal(predictions, labels, trial, figure.subplots(2, 1, sharex=True, sharey=True))
            parts.append(_picture(figure, f"valence and arousal of {trial}, {name}"))
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
        f'<p class="small">{why}</p>{_table(header, rows)}</details>'
    )


def _flat(mapping, prefix="") -> list:
    """Rows (dotted name, text) of nested mappings."""
    rows = []
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{name}.")
        else:
            rows.append((name, ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)))
    return rows


def _table(header, rows, kind="", marked=None) -> str:
    lines = ["<tr>" + "".join(f"<th>{escape(str(cell))}</th>" for cell in header) + "</tr>"] if any(header) else []
    for row in rows:
        strong = ' class="head"' if marked and marked(row) else ""
        lines.append(f"<tr{strong}>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>")
    return f'<div class="scroll"><table class="{kind}">' + "".join(lines) + "</table></div>"


def _figure(size):
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def _picture(figure, text) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<figure><img alt="{escape(text, quote=True)}" src="data:image/png;base64,{data}"></figure>'
