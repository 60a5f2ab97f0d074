"""Fusion weights, how they were found, and what they are worth on data that the search has not seen."""

import numpy as np

from abaw_tf import labels
from abaw_tf.plots.style import INK, PALE, PREDICTION_COLOR, bare, new_axes, new_figure

# Okabe and Ito's colours without yellow, which is too pale for thin marks; the marker changes when they are used up.
MODEL_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#333333")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SEARCH_COLOR = "#0072b2"


def plot_weights(weights, models, classes=None, ax=None, title=None):
    """Heat map of fusion weights: a row per model, a column per class (MCWF) or output, or one column (SWF).

    Parameters
    ----------
    weights : array, shape (models,), (models, classes) or (models, outputs)
        Columns sum to one; the shade runs from 0 to 1.
    models : sequence of str
    classes : sequence of str, optional
        Names of the columns. Default: the official classes for 7 or 8 columns, valence and arousal for 2.
    ax : matplotlib Axes, optional
    title : str, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        The names do not fit the shape, or a weight is not in [0, 1].
    """
    weights, columns = _named(weights, models, classes, axes=1)
    ax = new_axes(ax, (0.78 * len(columns) + 1.2 + 0.09 * max(map(len, models)), 0.5 * len(models) + 1.3))
    image = ax.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, row in enumerate(weights):
        for j, weight in enumerate(row):
            color = _readable(image.to_rgba(weight))
            ax.text(j, i, f"{weight:.2f}", ha="center", va="center", fontsize=9, color=color)
    turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if len(columns) > 2 else {}
    ax.set_xticks(range(len(columns)), columns, **turned)
    ax.set_yticks(range(len(models)), models)
    ax.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(len(models) + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="both", length=0, labelsize=9)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_title(title or "Fusion weights (each column sums to 1)", fontsize=10, loc="left")
    return ax


def plot_fold_weights(fold_weights, models, classes=None, ax=None, title=None):
    """Weights found in each fold: a dot per fold, a bar from the least to the most, the mean as a dash.

    Weights that jump from fold to fold are fitted to the frames at hand, not to the models.

    Parameters
    ----------
    fold_weights : array, shape (folds, models) or (folds, models, columns)
    models, classes, ax, title
        As for `plot_weights`.

    Returns
    -------
    matplotlib.axes.Axes
    """
    fold_weights, columns = _named(fold_weights, models, classes, axes=2)
    n_folds, n_models, n_columns = fold_weights.shape
    ax = new_axes(ax, (max(4.5, 0.32 * n_models * n_columns + 2.4), 2.9))
    gap = 0.8 / n_models
    for i, name in enumerate(models):
        color, marker = MODEL_COLORS[i % len(MODEL_COLORS)], MARKERS[i % len(MARKERS)]
        x = np.arange(n_columns) + gap * (i - (n_models - 1) / 2)
        values = fold_weights[:, i]
        ax.vlines(x, values.min(axis=0), values.max(axis=0), color=color, alpha=0.35, linewidth=5)
        ax.plot(
            np.tile(x, n_folds), values.ravel(), marker, color=color, markersize=3.5, alpha=0.8, linewidth=0, label=name
        )
        ax.hlines(values.mean(axis=0), x - 0.4 * gap, x + 0.4 * gap, color=INK, linewidth=1.4)
    ax.axhline(1 / n_models, color=PALE, linewidth=0.8, linestyle=":", zorder=0)
    ax.text(1.0, 1 / n_models, " equal", transform=ax.get_yaxis_transform(), va="center", fontsize=8, color=PALE)
    turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if n_columns > 4 else {}
    ax.set_xticks(range(n_columns), columns, **turned)
    ax.set_xlim(-0.5, n_columns - 0.5)
    ax.set_ylim(-0.03, 1.03)
    ax.set_ylabel("weight")
    ax.tick_params(axis="x", length=0)
    bare(ax)
    ax.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.1, 0.5))
    ax.set_title(title or f"Weights found in {n_folds} folds", fontsize=10, loc="left")
    return ax


def plot_held_out(held_out, ax=None, title=None):
    """Score on the search set and on held-out data of every method, one below the other.

    Parameters
    ----------
    held_out : HeldOut or pandas.DataFrame
        What `abaw_tf.fusion.held_out` returned, or a table with a row per method and the columns ``search_score``,
        ``held_out_score``, ``low`` and ``high`` (the interval of the held-out score).
    ax : matplotlib Axes, optional
    title : str, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    table = getattr(held_out, "table", held_out)
    absent = [name for name in ("search_score", "held_out_score", "low", "high") if name not in table]
    if absent:
        raise ValueError(
            f"the table has no column {absent[0]!r}. Received: columns {', '.join(map(str, table.columns))}"
        )
    ax = new_axes(ax, (7.2, 0.36 * len(table) + 1.5))
    y = np.arange(len(table))
    search, held, low, high = (
        table[name].to_numpy(float) for name in ("search_score", "held_out_score", "low", "high")
    )
    ax.hlines(y - 0.14, np.fmin(search, held), np.fmax(search, held), color="#d9d9d9", linewidth=1, zorder=1)
    ax.plot(search, y - 0.14, "o", mfc="white", mec=SEARCH_COLOR, mew=1.5, markersize=6, label="on the search set")
    ax.hlines(y + 0.14, low, high, color=PREDICTION_COLOR, linewidth=1.6, zorder=1)
    ax.plot(held, y + 0.14, "o", color=PREDICTION_COLOR, markersize=6, label="held out, 95 % interval")
    ax.set_yticks(y, [str(name) for name in table.index])
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="#eeeeee", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set_xlabel(str(getattr(held_out, "metric", None) or "score"))
    bare(ax, left=False)
    ax.legend(fontsize=8, frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
    ax.set_title(title or "Search set and held out", fontsize=10, loc="left")
    return ax


def plot_search(history, scores=None, single_scores=None, equal_score=None, models=None, figure=None):
    """Best score over the draws, and how the scores of all draws are spread.

    Parameters
    ----------
    history : sequence of (int, float)
        Number of the draw and its score, for every draw that improved on all before it; the starting points of the
        search have negative numbers (`history_` of the searches).
    scores : array, shape (draws,), optional
        Score of every draw; adds the histogram.
    single_scores : array, shape (models,), optional
        Score of each model alone, drawn as lines.
    equal_score : float, optional
        Score of equal weights.
    models : sequence of str, optional
        Names beside the lines.
    figure : matplotlib Figure, optional
        An empty one.

    Returns
    -------
    matplotlib.figure.Figure
    """
    history = np.asarray([(number, score) for number, score, *_ in history], float).reshape(-1, 2)
    if not len(history):
        raise ValueError("history must hold at least the starting point of the search. Received: an empty history")
    widths = (2,) if scores is None else (2, 1)
    figure = new_figure(figure, (2.0 + 1.9 * sum(widths), 3.0))
    axes = figure.subplots(1, len(widths), sharey=True, squeeze=False, width_ratios=widths)[0]
    # Starting points count as draw 0 of an axis that begins with draw 1.
    x, best = np.maximum(history[:, 0] + 1, 0), history[:, 1]
    end = max(x[-1], 1) if scores is None else max(len(scores), x[-1], 1)
    axes[0].step(np.append(x, end), np.append(best, best[-1]), where="post", color=INK, linewidth=1.5)
    axes[0].plot(x, best, ".", color=INK, markersize=5)
    axes[0].set_xscale("symlog", linthresh=1)
    axes[0].set_xlim(0, end * 1.1)
    axes[0].set_xlabel("draws")
    axes[0].set_ylabel("best score so far")
    axes[0].set_title(f"Best: {best[-1]:.4f}", fontsize=10, loc="left")
    if scores is not None:
        scores = np.asarray(scores, float)
        axes[1].hist(scores[np.isfinite(scores)], bins=40, orientation="horizontal", color="#c9d8e6")
        axes[1].set_xlabel("draws with that score")
        axes[1].set_title(f"All {len(scores):,} draws", fontsize=10, loc="left")
    singles = [] if single_scores is None else single_scores
    names = models or [f"model {k + 1}" for k in range(len(singles))]
    lines = [
        (name, score, MODEL_COLORS[k % len(MODEL_COLORS)], "--") for k, (name, score) in enumerate(zip(names, singles))
    ]
    lines += [] if equal_score is None else [("equal weights", equal_score, INK, ":")]
    for ax in axes:
        for name, score, color, style in lines:
            label = f"{name} {score:.4f}"
            ax.axhline(score, color=color, linewidth=1.1, linestyle=style, zorder=0, label=label)
        bare(ax)
    if lines:
        axes[-1].legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.02, 0.5))
    return figure


def plot_simplex(weights, scores, models, ax=None, title=None):
    """Score over all weights of two models (a curve) or of three (a triangle); the best is marked.

    Parameters
    ----------
    weights : array, shape (draws, models)
        Rows sum to one.
    scores : array, shape (draws,)
    models : sequence of str
        Two or three names.
    ax : matplotlib Axes, optional
    title : str, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    weights, scores = np.asarray(weights, float), np.asarray(scores, float)
    if weights.ndim != 2 or weights.shape != (len(scores), len(models)) or len(models) not in (2, 3):
        raise ValueError(
            "weights must have a row per score and a column for each of two or three models. "
            f"Received: shape {weights.shape}, {len(scores)} scores, {len(models)} models"
        )
    best = int(np.argmax(scores))
    if len(models) == 2:
        ax = new_axes(ax, (5.2, 3.0))
        order = np.argsort(weights[:, 0], kind="stable")
        ax.plot(weights[order, 0], scores[order], color=SEARCH_COLOR, linewidth=1.4)
        ax.plot(weights[best, 0], scores[best], "o", color=PREDICTION_COLOR, markersize=6)
        ax.set_xlim(0, 1)
        ax.set_xticks([0, 0.25, 0.5, 0.75, 1], [f"0\n{models[1]}", "0.25", "0.5", "0.75", f"1\n{models[0]}"])
        ax.set_xlabel(f"weight of {models[0]}")
        ax.set_ylabel("score")
        bare(ax)
    else:
        ax = new_axes(ax, (5.2, 4.2))
        corners = np.array([[0.5, np.sqrt(3) / 2], [0, 0], [1, 0]])
        points = weights @ corners
        drawn = ax.scatter(*points.T, c=scores, s=14, cmap="viridis", linewidth=0)
        ax.fill(*corners.T, fill=False, edgecolor=PALE, linewidth=0.9)
        ax.plot(*points[best], "o", mfc="none", mec=PREDICTION_COLOR, mew=2, markersize=10)
        for (px, py), name, va in zip(corners, models, ("bottom", "top", "top")):
            ax.text(px, py + (0.03 if va == "bottom" else -0.03), name, ha="center", va=va, fontsize=9)
        ax.set_aspect("equal")
        ax.set_xlim(-0.15, 1.15)
        ax.set_ylim(-0.12, 1.0)
        ax.axis("off")
        ax.figure.colorbar(drawn, ax=ax, label="score", fraction=0.046, pad=0.03)
    shares = ", ".join(f"{name} {weight:.2f}" for name, weight in zip(models, weights[best]))
    ax.set_title(title or f"Best {scores[best]:.4f}: {shares}", fontsize=10, loc="left")
    return ax


def _named(weights, models, classes, axes):
    """The weights with a last axis of columns, and the columns' names; `axes` is the number of axes without columns."""
    weights = np.asarray(weights, float)
    single = weights.ndim == axes
    if single:
        weights = weights[..., None]
    n_columns = weights.shape[-1] if weights.ndim == axes + 1 else 0
    if classes is None or single:
        default = {1: ("weight",), 2: ("valence", "arousal"), 7: labels.EXPRESSIONS_7, 8: labels.EXPRESSIONS_8}
        classes = default.get(n_columns, ())
    if not n_columns or weights.shape[axes - 1] != len(models) or n_columns != len(classes):
        raise ValueError(
            f"weights must have a row for each of {len(models)} models, and one column or a column for each class. "
            f"Received: shape {weights.shape}, {len(classes)} classes"
        )
    if not ((weights >= 0) & (weights <= 1 + 1e-9)).all():
        raise ValueError(f"weights must lie in [0, 1]. Received: from {weights.min()} to {weights.max()}")
    return weights, list(classes)


def _readable(ground) -> str:
    """White or ink, whichever stands out more from the ground (contrast of WCAG 2.1)."""
    from matplotlib.colors import to_rgb

    def luminance(color):
        channels = np.asarray(to_rgb(color))
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    lightness = luminance(ground) + 0.05
    return "white" if 1.05 / lightness > lightness / (luminance(INK) + 0.05) else INK
