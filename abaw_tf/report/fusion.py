"""One self-contained HTML page about a fusion: whether it gains anything on unseen videos, with which weights, and how they were found."""

from html import escape
from pathlib import Path

import numpy as np

from abaw_tf import labels
from abaw_tf.evaluation.text import number, span
from abaw_tf.plots.fusion import plot_fold_weights, plot_held_out, plot_search, plot_weights
from abaw_tf.report.html import flat, html_table, new_figure, notes_box, picture, subtitle, write_page

UNFITTED = ("average", "majority")
HEADINGS = {"expression": "Expression", "valence_arousal": "Valence and arousal"}
_LIMITS = (
    "The intervals are over {unit}, for the weights found: they do not contain how the weights would vary with other {unit} to search "
    "on, and say nothing about {unit} of another kind."
)


def write_fusion_report(path, search, title="Fusion of predictions", notes=(), classes=None) -> Path:
    """Write the report of a search for fusion weights as an HTML page.

    Parameters
    ----------
    path : path-like
        The page (``.html``), or a folder that gets ``report.html``; it appears only when complete.
    search : FusionSearch or HeldOut
        What :func:`abaw_tf.fusion.search_tables` found, with or without its held-out estimate, or an estimate by itself
        (:func:`abaw_tf.fusion.held_out`).
    title : str
    notes : str or sequence of str
        Shown in a box at the top, for instance that the data is synthetic.
    classes : sequence of str, optional
        Names of the weights' columns. Default: the edition's classes, or valence and arousal.

    Returns
    -------
    pathlib.Path
        The page.
    """
    path = Path(path)
    path = path if path.suffix.lower() in (".html", ".htm") else path / "report.html"
    whole = hasattr(search, "held_out")
    models = search.weights.models if whole else search.names
    head = [f"<h1>{escape(str(title))}</h1>", subtitle(f"{len(models)} models: {', '.join(models)}"), notes_box(notes)]
    return write_page(path, title, [*head, *(_searched if whole else _estimated)(search, classes)])


def _searched(search, classes) -> list:
    """Everything about a `FusionSearch`, task by task."""
    weights, parts = search.weights, []
    for task, one in weights.tasks.items():
        names = labels.edition(weights.edition).classes if task == "expression" else ("valence", "arousal")
        estimate, fitted = search.held_out.get(task), one.method not in UNFITTED
        called = one.method if estimate is None else estimate.fusions[0]
        parts += [
            f"<h2>{HEADINGS[task]}</h2>",
            *_verdict(estimate, fitted or one.temperatures is not None),
            *_scores(estimate, one.found),
        ]
        if fitted:
            parts += _weights(weights.models, classes or names, {called: one.weights}, estimate)
            parts += _search(search.fusions[task], weights.models)
        parts.append(_provenance(weights, task, estimate))
    if weights.notes:
        parts += ["<h2>Alignment of the predictions</h2>", notes_box(weights.notes)]
    return parts


def _estimated(estimate, classes) -> list:
    """Everything about a `HeldOut`."""
    weights = _weights(estimate.names, classes, estimate.weights, estimate)
    card = html_table(("", ""), flat(_estimate_card(estimate)), "card")
    return [*_verdict(estimate, True), *_scores(estimate, {}), *weights, card]


def _verdict(estimate, fitted) -> list:
    if estimate is not None:
        lines = [line[:1].upper() + line[1:] for line in estimate.verdict.split("\n")]
    elif fitted:
        lines = ["Not examined on held-out videos: the score of a fusion on the frames it is fitted to is optimistic"]
    else:
        lines = ["Nothing is fitted: the scores would be the same if they were held out"]
    return [f"<p><strong>{escape(line)}.</strong></p>" for line in lines]


def _scores(estimate, found) -> list:
    """Search-set and held-out scores side by side, then the gains."""
    if estimate is None:
        rows = [(name, number(score)) for name, score in found["single_scores"].items()]
        rows += [("equal weights", number(found["equal_score"])), ("this fusion", number(found["score"]))]
        return ["<h3>Scores</h3>", html_table(("method", f"{found['metric']}, search set"), rows)]
    rows = [
        (name, number(r.search_score), number(r.held_out_score), span((r.low, r.high)))
        for name, r in estimate.table.iterrows()
    ]
    gains = [
        (f"{r.fusion} over {r.over}", f"{r.gain:+.4f}", "–" if np.isnan(r.low) else f"{r.low:+.4f} … {r.high:+.4f}")
        for r in estimate.gains.itertuples()
    ]
    size = (7.6, 0.36 * len(rows) + 1.5)
    figure = new_figure(size)
    plot_held_out(estimate, figure.add_subplot())
    explained = (
        f"{estimate.metric}. Search set: weights chosen and scored on the same {estimate.n_frames:,} frames. Held out: weights from "
        f"{len(estimate.chosen) - 1} folds of whole {estimate.unit} decide the other fold, {len(estimate.chosen)} times."
    )
    return [
        "<h3>Scores</h3>",
        f'<p class="small">{escape(explained)}</p>',
        html_table(
            ("method", "search set", "held out", "95 % interval"), rows, marked=lambda row: row[0] in estimate.fusions
        ),
        picture(figure, "scores on the search set and held out"),
        "<h3>Gains, held out</h3>",
        html_table(("gain", "difference", "95 % interval"), gains),
        f'<p class="small">{escape(_LIMITS.format(unit=estimate.unit))}</p>' if estimate.bootstrap else "",
    ]


def _weights(models, classes, weights, estimate) -> list:
    """Heat map of the weights to use, and those of each fold."""
    parts = []
    for label, values in weights.items():
        values = np.asarray(values)
        n_columns = 1 if values.ndim == 1 else values.shape[1]
        figure = new_figure((0.78 * n_columns + 1.6 + 0.09 * max(map(len, models)), 0.5 * len(models) + 1.3))
        plot_weights(values, models, classes, figure.add_subplot(), title=f"{label}, from all frames")
        parts.append(picture(figure, f"fusion weights, {label}"))
        if estimate is not None and label in estimate.fold_weights:
            folds = np.stack(estimate.fold_weights[label])
            figure = new_figure((max(4.5, 0.32 * len(models) * n_columns + 2.4), 2.9))
            plot_fold_weights(folds, models, classes, figure.add_subplot())
            parts.append(picture(figure, f"fusion weights found in each fold, {label}"))
    return ["<h3>Weights</h3>", '<div class="pictures">' + "\n".join(parts) + "</div>"]


def _search(fusion, models) -> list:
    """The curve of a search; nothing for weights that were computed or given."""
    fusion = getattr(fusion, "fusion_", fusion)
    if getattr(fusion, "method", "search") != "search" or not len(getattr(fusion, "history_", ())):
        return []
    scores = getattr(fusion, "scores_", None)
    figure = plot_search(
        fusion.history_,
        scores if scores is not None and len(scores) else None,
        fusion.single_scores_,
        fusion.equal_score_,
        list(models),
        new_figure((7.6, 3.0)),
    )
    return ["<h3>Search</h3>", picture(figure, "best score over the draws, and the scores of all draws")]


def _provenance(weights, task, estimate) -> str:
    one = weights.tasks[task]
    what = "model" if one.level == "model" else f"model and {'class' if task == 'expression' else 'output'}"
    card = {"edition": weights.edition, "method": one.method, "weights": f"one per {what}", "pool": one.pool}
    if one.temperatures is not None:
        card["temperatures"] = {name: f"{value:.3f}" for name, value in zip(weights.models, one.temperatures)}
    scores = ("single_scores", "equal_score", "score")
    card["search"] = {key: value for key, value in one.found.items() if key not in scores and value is not None}
    if estimate is not None:
        card["held out"] = _estimate_card(estimate)
    return "<h3>How it was made</h3>" + html_table(("", ""), flat(card), "card")


def _estimate_card(estimate) -> dict:
    return {
        "metric": estimate.metric,
        "frames": f"{estimate.n_frames:,}",
        estimate.unit: len(estimate.groups),
        "folds": len(estimate.chosen),
        "best single model inside each fold": list(estimate.chosen),
        "resamples": estimate.bootstrap,
        "seed": estimate.seed,
    }
