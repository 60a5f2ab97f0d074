"""What several models predict for one trial, a band each."""

import numpy as np

from abaw_tf.plots.style import CLASS_COLORS, HATCH_COLOR, bare, new_axes
from abaw_tf.plots.traces import frame_step, legend_patch, stretches, time_axis
from abaw_tf.predictions import edition_of


def plot_expression_bands(tables, trial, ax=None, title=None):
    """Expression over time as several models (or fusions of them) predict it; frames without a prediction are hatched.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        Prediction tables, drawn from top to bottom.
    trial : str
    ax : matplotlib Axes, optional
    title : str, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        There is no table, or one of them does not hold the trial or predicts no expression.
    """
    if not tables:
        raise ValueError("give the prediction table of at least one model. Received: none")
    parts = {}
    for name, table in tables.items():
        parts[name] = table[table["trial"] == trial]
        if parts[name].empty or "expression" not in table:
            what = "predicts no expression" if "expression" not in table else "does not hold the trial"
            raise ValueError(f"{name}: the table {what}. Received: trial={trial!r}")
    longest = max(parts.values(), key=lambda part: part["frame"].iloc[-1])
    position, unit = time_axis(longest)
    end = position(longest["frame"].iloc[-1] + frame_step(longest["frame"]))
    ax = new_axes(ax, (10, 0.42 * len(parts) + 1.0))
    seen = set()
    for row, (part, table) in enumerate(zip(parts.values(), tables.values())):
        classes = edition_of(table).classes
        ax.broken_barh([(position(0), end - position(0))], (row + 0.1, 0.8), facecolors="white", edgecolors=HATCH_COLOR,
                       hatch="////", linewidth=0)  # fmt: skip
        frames, values = part["frame"].to_numpy(), part["expression"].to_numpy()
        for start, stop, value in stretches(frames, values, frame_step(frames)):
            seen.add(classes[int(value)])
            ax.broken_barh([(position(start), position(stop) - position(start))], (row + 0.1, 0.8),
                           facecolors=CLASS_COLORS[classes[int(value)]], linewidth=0)  # fmt: skip
    ax.set_yticks(np.arange(len(parts)) + 0.5, list(parts))
    ax.set_ylim(len(parts), 0)
    ax.set_xlim(position(0), end)
    ax.set_xlabel(unit)
    ax.tick_params(axis="y", length=0)
    bare(ax, left=False)
    handles = [legend_patch(color, name) for name, color in CLASS_COLORS.items() if name in seen]
    ax.legend(handles=handles, fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.005, 0.5))
    ax.set_title(title or str(trial), fontsize=10, loc="left")
    return ax
