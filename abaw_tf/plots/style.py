"""What the pictures have in common: colours, bare axes, figures made on demand."""

# Okabe and Ito's colours: people with any common colour vision can tell them apart.
CLASS_COLORS = {
    "Neutral": "#bbbbbb",
    "Anger": "#d55e00",
    "Disgust": "#009e73",
    "Fear": "#cc79a7",
    "Happiness": "#f0e442",
    "Sadness": "#0072b2",
    "Surprise": "#56b4e9",
    "Other": "#333333",
}
TRUTH_COLOR, PREDICTION_COLOR = "#222222", "#d55e00"
INK, PALE = "#333333", "#999999"
HATCH_COLOR = "#c8c8c8"


def new_axes(ax, size):
    """The axes given, or those of a new figure of that size (inches)."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def bare(ax, left=True):
    """Take away the frame's upper and right side."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines["left"].set_visible(left)


def new_figure(figure, size):
    """An empty figure of that size, new unless given one."""
    if figure is None:
        import matplotlib.pyplot as plt

        return plt.figure(figsize=size, layout="constrained")
    figure.set_size_inches(*size)
    figure.set_layout_engine("constrained")
    return figure
