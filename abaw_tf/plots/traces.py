"""Predictions and labels of one trial over time."""

import math

import numpy as np

from abaw_tf import labels as class_names
from abaw_tf.plots.style import CLASS_COLORS, HATCH_COLOR, PREDICTION_COLOR, TRUTH_COLOR, bare, new_axes
from abaw_tf.predictions import edition_of


def plot_expression_timeline(predictions, labels, trial, ax=None):
    """Bands of the true and the predicted expression over time; frames without either are hatched.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Prediction table.
    labels : pandas.DataFrame or None
        Label table; without one only the prediction is drawn.
    trial : str
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        Neither table holds the trial, or the table predicts no expression.
    """
    if "expression" not in predictions:
        raise ValueError(f"the table predicts no expression. Received: columns {', '.join(predictions.columns)}")
    classes = edition_of(predictions).classes
    predicted, true = _of_trial(predictions, labels, trial)
    position, unit = time_axis(predicted)
    ax = new_axes(ax, (10, 2.1))
    rows = [
        ("predicted", predicted["frame"].to_numpy(), predicted["expression"].to_numpy(), frame_step(predicted["frame"]))
    ]
    if true is not None and "expression" in true:
        known = true[true["expression"] != class_names.MISSING_EXPRESSION]
        rows.insert(0, ("true", known["frame"].to_numpy(), known["expression"].to_numpy(), 1))
    ends = [frames[-1] + step for _, frames, _, step in rows if len(frames)]
    if true is not None and len(true):
        ends.append(true["frame"].iloc[-1] + 1)
    end = max(ends, default=1)
    seen = set()
    any_missing = False
    for height, (_, frames, values, step) in zip(range(len(rows))[::-1], rows):
        any_missing |= np.unique(frames // step).size < math.ceil(end / step)
        ax.broken_barh(
            [(position(0), position(end) - position(0))],
            (height + 0.08, 0.84), facecolors="white", edgecolors=HATCH_COLOR, hatch="////", linewidth=0,
        )  # fmt: skip
        for start, stop, value in stretches(frames, values, step):
            seen.add(int(value))
            ax.broken_barh(
                [(position(start), position(stop) - position(start))],
                (height + 0.08, 0.84), facecolors=CLASS_COLORS[classes[int(value)]], linewidth=0,
            )  # fmt: skip
    ax.set_yticks([i + 0.5 for i in range(len(rows))], [name for name, *_ in rows[::-1]])
    ax.set_ylim(0, len(rows))
    ax.set_xlim(position(0), position(end))
    ax.set_xlabel(unit)
    ax.tick_params(axis="y", length=0)
    bare(ax, left=False)
    handles = [legend_patch(CLASS_COLORS[classes[k]], classes[k]) for k in sorted(seen)]
    if any_missing:
        handles.append(legend_patch("white", "none", hatch="////", edgecolor=HATCH_COLOR))
    ax.legend(handles=handles, ncols=1, fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.005, 0.5))
    ax.set_title(f"{trial}: {_agreement(rows)}", fontsize=10, loc="left")
    return ax


def plot_valence_arousal(predictions, labels, trial, axes=None):
    """Valence and arousal over time, prediction against label; gaps stay gaps.

    Parameters
    ----------
    predictions, labels, trial
        As for `plot_expression_timeline`.
    axes : pair of matplotlib Axes, optional

    Returns
    -------
    array of two Axes
        Valence, arousal.
    """
    absent = [name for name in ("valence", "arousal") if name not in predictions]
    if absent:
        raise ValueError(f"the table predicts no {absent[0]}. Received: columns {', '.join(predictions.columns)}")
    predicted, true = _of_trial(predictions, labels, trial)
    position, unit = time_axis(predicted)
    if axes is None:
        import matplotlib.pyplot as plt

        _, axes = plt.subplots(2, 1, figsize=(10, 4.2), sharex=True, sharey=True, layout="constrained")
    for ax, name in zip(axes, ("valence", "arousal")):
        ax.axhline(0, color="#d5d5d5", linewidth=1, zorder=0)
        if true is not None and name in true:
            _trace(ax, position, true["frame"], true[name], TRUTH_COLOR, "label", 1.6)
        _trace(ax, position, predicted["frame"], predicted[name], PREDICTION_COLOR, "prediction", 1.2)
        ax.set_ylim(-1.05, 1.05)
        ax.set_yticks([-1, -0.5, 0, 0.5, 1])
        ax.margins(x=0.01)
        ax.set_ylabel(name)
        bare(ax)
    axes[-1].set_xlabel(unit)
    axes[0].set_title(str(trial), fontsize=10, loc="left")
    axes[0].legend(ncols=2, fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
    return axes


def legend_patch(color, label, **style):
    from matplotlib.patches import Patch

    return Patch(facecolor=color, label=label, **style)


def _of_trial(predictions, labels, trial):
    predicted = predictions[predictions["trial"] == trial]
    true = None if labels is None else labels[labels["trial"] == trial].sort_values("frame")
    if predicted.empty and (true is None or true.empty):
        known = ", ".join(map(str, predictions["trial"].unique()[:5]))
        raise ValueError(f"no such trial; the table holds {known}, ... Received: trial={trial!r}")
    return predicted, true


def frame_step(frames) -> int:
    """The usual distance of predicted frames (2 for a detector that looks at every second frame)."""
    steps = np.diff(np.asarray(frames))
    return int(np.median(steps)) if len(steps) else 1


def time_axis(predicted):
    """From frame numbers to what the axis shows: seconds where the table knows them exactly, else frames."""
    time, frames = predicted["time"].to_numpy(np.float64) if "time" in predicted else np.zeros(0), predicted["frame"]
    frames = frames.to_numpy(np.float64)
    if len(time) < 2 or np.isnan(time).any() or not np.all(np.diff(time) > 0):
        return (lambda frame: np.asarray(frame, np.float64)), "frame"
    rate = (time[-1] - time[0]) / (frames[-1] - frames[0])

    def seconds(frame):
        frame = np.asarray(frame, np.float64)
        inside = np.interp(frame, frames, time)
        inside = np.where(frame > frames[-1], time[-1] + (frame - frames[-1]) * rate, inside)
        return np.where(frame < frames[0], time[0] + (frame - frames[0]) * rate, inside)

    return seconds, "seconds"


def stretches(frames, values, step):
    """Stretches (start, stop, value) of one value without a gap; a frame lasts `step`."""
    if not len(frames):
        return
    cuts = np.flatnonzero((np.diff(values) != 0) | (np.diff(frames) > step)) + 1
    for run in np.split(np.arange(len(frames)), cuts):
        yield frames[run[0]], frames[run[-1]] + step, values[run[0]]


def _trace(ax, position, frames, values, color, label, width):
    frames, values = np.asarray(frames, np.float64), np.asarray(values, np.float64)
    cuts = np.flatnonzero(np.diff(frames) > frame_step(frames)) + 1
    frames, values = np.insert(frames, cuts, np.nan), np.insert(values, cuts, np.nan)
    known = ~np.isnan(values)
    padded = np.concatenate([[False], known, [False]])
    alone = known & ~padded[:-2] & ~padded[2:]
    x = np.where(np.isnan(frames), np.nan, position(np.nan_to_num(frames)))
    ax.plot(x, values, color=color, label=label, linewidth=width, solid_joinstyle="round")
    ax.plot(x[alone], values[alone], ".", color=color, markersize=3)


def _agreement(rows) -> str:
    if len(rows) < 2:
        return "predicted expression (no labels)"
    (_, true_frames, true, _), (_, frames, predicted, _) = rows
    common, i, j = np.intersect1d(true_frames, frames, return_indices=True)
    if not len(common):
        return "no frame has both a label and a prediction"
    return f"{np.mean(true[i] == predicted[j]):.0%} of {len(common)} labelled frames agree"
