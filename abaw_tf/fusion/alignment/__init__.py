"""Prediction tables of several models, and labels, brought to the same frames and classes."""

from abaw_tf.fusion.alignment.missing import MISSING
from abaw_tf.fusion.alignment.models import Aligned, align
from abaw_tf.fusion.alignment.truth import AlignedLabels, align_labels

__all__ = ["MISSING", "Aligned", "AlignedLabels", "align", "align_labels"]
