"""Training curves."""

import math
from pathlib import Path

import numpy as np
import pandas as pd

from abaw_tf.plots.style import PREDICTION_COLOR, TRUTH_COLOR, bare, new_figure


def plot_training(history, figure=None):
    """Curves of a training run, one panel per quantity, training against validation; the best epoch is marked.

    Parameters
    ----------
    history : path-like or pandas.DataFrame
        One row per epoch as written by the runner (or `keras.callbacks.CSVLogger`): `epoch`, `loss`, `val_loss`, ...
    figure : matplotlib Figure, optional
        An empty one.

    Returns
    -------
    matplotlib.figure.Figure
    """
    table = _history(history)
    epochs = table["epoch"] if "epoch" in table else pd.Series(np.arange(len(table)))
    names = [name for name in table.columns if name != "epoch" and pd.api.types.is_numeric_dtype(table[name])]
    panels = list(dict.fromkeys(name.removeprefix("val_") for name in names))
    if not panels or table.empty:
        raise ValueError(f"history must have a row per epoch and at least one number. Received: {table.shape} table")
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    size = (3.7 * columns + 0.3, 2.6 * rows + 0.2)
    figure = new_figure(figure, size)
    for k, panel in enumerate(panels):
        ax = figure.add_subplot(rows, columns, k + 1)
        for name, color, label in ((panel, TRUTH_COLOR, "training"), (f"val_{panel}", PREDICTION_COLOR, "validation")):
            if name in names:
                ax.plot(epochs, table[name], ".-", color=color, label=label, linewidth=1.3, markersize=4)
        best = _best(table, f"val_{panel}")
        if best is not None:
            value = table[f"val_{panel}"].iloc[best]
            ax.plot(
                epochs.iloc[best],
                value,
                "o",
                mfc="none",
                mec=PREDICTION_COLOR,
                ms=9,
                mew=1.4,
                label=f"best: {value:.3g}",
            )
        if "learning_rate" in panel or panel == "lr":
            ax.set_yscale("log")
        ax.set_title(panel.replace("_", " "), fontsize=10, loc="left")
        ax.set_xlabel("epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
        if len(ax.lines) > 1:
            ax.legend(fontsize=8, frameon=False)
        bare(ax)
    return figure


def _history(history) -> pd.DataFrame:
    if isinstance(history, pd.DataFrame):
        return history.reset_index(drop=True)
    path = Path(history)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such history file; give the CSV that the training run wrote")
    try:
        return pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path}: not a readable CSV of epochs: {error}") from error


def _best(table, name):
    """Row of the best epoch: the least of a loss or error, the most of anything else."""
    if name not in table or table[name].isna().all():
        return None
    lower = any(word in name for word in ("loss", "error", "mae", "mse"))
    return int(np.nanargmin(table[name]) if lower else np.nanargmax(table[name]))
