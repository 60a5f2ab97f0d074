"""Face images side by side."""

import math

import numpy as np

from abaw_tf.plots.style import PALE, new_figure


def face_grid(images, titles=None, columns=8, figure=None):
    """A grid of face images.

    Parameters
    ----------
    images : sequence of array or None
        RGB uint8 (h, w, 3) or grey (h, w); None for a missing face.
    titles : sequence of str, optional
        One per image.
    columns : int
    figure : matplotlib Figure, optional
        An empty one.

    Returns
    -------
    matplotlib.figure.Figure
    """
    images = list(images)
    if not images:
        raise ValueError("there is no image to show. Received: an empty sequence")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"give a title for each image. Received: {len(titles)} titles, {len(images)} images")
    shape = next((np.shape(image)[:2] for image in images if image is not None), (112, 112))
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    lines = max((str(title).count("\n") + 1 for title in titles or ()), default=0)
    size = (1.35 * columns, (1.3 + 0.17 * lines) * rows)
    figure = new_figure(figure, size)
    for k, image in enumerate(images):
        ax = figure.add_subplot(rows, columns, k + 1)
        if image is None:
            image = np.full((*shape, 3), 238, np.uint8)
            ax.text(0.5, 0.5, "no face", ha="center", va="center", fontsize=8, color=PALE, transform=ax.transAxes)
        ax.imshow(np.asarray(image), cmap="gray" if np.ndim(image) == 2 else None)
        ax.set_xticks([])
        ax.set_yticks([])
        for spine in ax.spines.values():
            spine.set_visible(False)
        if titles is not None:
            ax.set_title(str(titles[k]), fontsize=8, pad=3)
    return figure
