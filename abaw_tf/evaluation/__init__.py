"""Scores of prediction tables: with intervals over videos, per class and per trial, and in comparison. No TensorFlow."""

from abaw_tf.evaluation.comparison import Comparison, compare
from abaw_tf.evaluation.label_tables import LabelError, label_table, read_labels
from abaw_tf.evaluation.scores import Evaluation, evaluate

__all__ = ["Comparison", "Evaluation", "LabelError", "compare", "evaluate", "label_table", "read_labels"]
