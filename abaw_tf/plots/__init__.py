"""Pictures of faces, labels, predictions, training and fusion. Each draws into what it is given, or makes a figure of its own.

Whatever has no label or no prediction is hatched or left out, never drawn as if it were a class or a value.
"""

from abaw_tf.plots.bands import plot_expression_bands
from abaw_tf.plots.distributions import plot_confusion, plot_va_density
from abaw_tf.plots.faces import face_grid
from abaw_tf.plots.fusion import plot_fold_weights, plot_held_out, plot_search, plot_simplex, plot_weights
from abaw_tf.plots.overview import plot_overview
from abaw_tf.plots.style import CLASS_COLORS
from abaw_tf.plots.traces import plot_expression_timeline, plot_valence_arousal
from abaw_tf.plots.training import plot_training

__all__ = [
    "CLASS_COLORS",
    "face_grid",
    "plot_confusion",
    "plot_expression_bands",
    "plot_expression_timeline",
    "plot_fold_weights",
    "plot_held_out",
    "plot_overview",
    "plot_search",
    "plot_simplex",
    "plot_training",
    "plot_va_density",
    "plot_valence_arousal",
    "plot_weights",
]
