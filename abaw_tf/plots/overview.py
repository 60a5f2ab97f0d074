"""Faces of one trial above what was predicted for it."""

import numpy as np

from abaw_tf.plots.style import bare
from abaw_tf.plots.traces import plot_expression_timeline
from abaw_tf.predictions import edition_of


def plot_overview(predictions, labels, trial, images, columns=8):
    """Faces of a trial at even distances, each with its predicted and true expression, above the expression timeline.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Prediction table.
    labels : pandas.DataFrame
        Label table.
    trial : str
    images : mapping of int to array
        RGB uint8 (h, w, 3) crops by frame number (from 0); frames without a face are absent.
    columns : int
        Number of faces.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        There is no image, or the tables do not hold the trial.
    """
    import matplotlib.pyplot as plt

    if not images:
        raise ValueError(f"there is no image of the trial to show. Received: trial={trial!r}, images={images!r}")
    classes = edition_of(predictions).classes
    shown = np.array(sorted(images))
    shown = shown[np.unique(np.linspace(0, len(shown) - 1, columns).round().astype(int))]
    figure = plt.figure(figsize=(1.35 * columns, 3.9), layout="constrained")
    grid = figure.add_gridspec(2, len(shown), height_ratios=(1.0, 1.15))
    timeline = plot_expression_timeline(predictions, labels, trial, ax=figure.add_subplot(grid[1, :]))
    names = {
        "predicted": predictions[predictions["trial"] == trial].set_index("frame")["expression"],
        "true": labels[labels["trial"] == trial].set_index("frame")["expression"],
    }
    for column, frame in enumerate(shown):
        ax = figure.add_subplot(grid[0, column])
        ax.imshow(images[int(frame)])
        ax.set_xticks([])
        ax.set_yticks([])
        bare(ax, left=False)
        ax.spines["bottom"].set_visible(False)
        predicted, true = (names[kind].get(frame, -1) for kind in ("predicted", "true"))
        ax.set_title(f"frame {frame}\n{classes[predicted] if predicted >= 0 else '–'}", fontsize=9, pad=3)
        ax.set_xlabel(f"true: {classes[true] if true >= 0 else '–'}", fontsize=8)
    timeline.set_title(timeline.get_title(loc="left"), fontsize=9, loc="left")
    return figure
