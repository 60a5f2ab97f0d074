"""Where predictions fall: the confusion matrix and the plane of valence and arousal."""

import numpy as np

from abaw_tf.plots.style import INK, PALE, bare, new_axes


def plot_confusion(confusion, classes, ax=None, title=None):
    """Confusion matrix: the numbers are frames and the share of the true class; the shade is that share.

    Parameters
    ----------
    confusion : array of int, shape (k, k)
        Rows = truth, columns = prediction.
    classes : sequence of str, length k
    ax : matplotlib Axes, optional
    title : str, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    confusion = np.asarray(confusion)
    if confusion.ndim != 2 or confusion.shape != (len(classes), len(classes)):
        raise ValueError(
            f"confusion must be a square matrix, a row and a column for each of {len(classes)} classes. "
            f"Received: shape {confusion.shape}"
        )
    ax = new_axes(ax, (0.92 * len(classes) + 2.0, 0.78 * len(classes) + 1.6))
    support = confusion.sum(axis=1, keepdims=True)
    share = np.divide(confusion, support, out=np.zeros(confusion.shape), where=support > 0)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i in range(len(classes)):
        for j in range(len(classes)):
            color = "white" if share[i, j] > 0.55 else (INK if confusion[i, j] else "#b5b5b5")
            text = _short(confusion[i, j])
            if confusion[i, j]:
                text += f"\n{share[i, j]:.0%}"
            ax.text(j, i, text, ha="center", va="center", fontsize=8, color=color, linespacing=1.2)
    ax.set_xticks(range(len(classes)), classes, rotation=40, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(classes)), [f"{name}\n{_short(n)}" for name, n in zip(classes, support[:, 0])])
    ax.tick_params(length=0, labelsize=9)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true (frames)")
    ax.set_xticks(np.arange(len(classes) + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(len(classes) + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="minor", length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_title(title or "Confusion matrix (shade: share of the true class)", fontsize=10, loc="left")
    return ax


def plot_va_density(valence, arousal, ax=None, title=None, bins=41):
    """How often each valence and arousal occurs, on the plane of the circumplex (Russell 1980).

    Parameters
    ----------
    valence, arousal : array, shape (n,)
        In [-1, 1]; pairs with NaN are left out.
    ax : matplotlib Axes, optional
    title : str, optional
    bins : int
        Cells per axis.

    Returns
    -------
    matplotlib.axes.Axes
    """
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Circle
    from matplotlib.patheffects import withStroke

    valence, arousal = np.asarray(valence, np.float64).ravel(), np.asarray(arousal, np.float64).ravel()
    if valence.shape != arousal.shape:
        raise ValueError(
            f"valence and arousal must have the same length. Received: {len(valence)} and {len(arousal)} values"
        )
    known = ~(np.isnan(valence) | np.isnan(arousal))
    ax = new_axes(ax, (5.2, 4.6))
    counts, edges, _ = np.histogram2d(valence[known], arousal[known], bins=bins, range=[[-1, 1], [-1, 1]])
    ax.axhline(0, color="#cccccc", linewidth=0.8, zorder=1)
    ax.axvline(0, color="#cccccc", linewidth=0.8, zorder=1)
    ax.add_patch(Circle((0, 0), 1, fill=False, color=PALE, linewidth=0.9, zorder=3))
    if counts.any():
        cells = np.ma.masked_equal(counts.T, 0)
        mesh = ax.pcolormesh(edges, edges, cells, cmap="viridis_r", norm=LogNorm(1, max(2, counts.max())), zorder=2)
        ax.figure.colorbar(mesh, ax=ax, label="frames", fraction=0.046, pad=0.03)
    words = {(0.72, 0.9): "excited", (-0.72, 0.9): "distressed", (-0.72, -0.95): "depressed", (0.72, -0.95): "relaxed"}
    for (x, y), word in words.items():
        text = ax.text(x, y, word, ha="center", va="center", fontsize=8, style="italic", color="#555555", zorder=4)
        text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
    ax.set_xlim(-1.05, 1.05)
    ax.set_ylim(-1.05, 1.05)
    ax.set_xticks([-1, -0.5, 0, 0.5, 1])
    ax.set_yticks([-1, -0.5, 0, 0.5, 1])
    ax.set_aspect("equal")
    ax.set_xlabel("valence")
    ax.set_ylabel("arousal")
    bare(ax)
    ax.set_title(f"{title or 'Valence and arousal'} ({int(known.sum()):,} frames)", fontsize=10, loc="left")
    return ax


def _short(number) -> str:
    number = int(number)
    if number < 10_000:
        return str(number)
    return f"{number / 1000:.0f}k" if number < 1_000_000 else f"{number / 1e6:.1f}M"
