"""The prediction table: what everything that predicts returns, and everything that scores or fuses takes.

A pandas table with one row per predicted frame, sorted by trial and frame, each (trial, frame) once:

========== ======= =====================================================================================
column     type    meaning
========== ======= =====================================================================================
trial      str     name of the trial (one annotated subject of one video)
frame      int64   0-based frame number; the image is ``{frame + 1:05d}.jpg``
time       float64 seconds from the start of the video, NaN where unknown
p_<Class>  float64 probability of each class of the edition (all of them or none), official names and order
expression int64   official class index
valence    float64 in [-1, 1]
arousal    float64 in [-1, 1]
========== ======= =====================================================================================

Columns that a model does not predict are absent; a frame that was not predicted has no row. ``table.attrs`` holds
``edition``, ``classes``, ``model``, ``weights_hash`` and ``notes`` (what was changed on the way: filled frames,
renormalised probabilities, ...).
"""

from abaw_tf.predictions.column_map import ColumnMap, column_map
from abaw_tf.predictions.columns import read_columns
from abaw_tf.predictions.filling import fill_missing
from abaw_tf.predictions.loading import FORMATS, load
from abaw_tf.predictions.pyfeat import read_pyfeat
from abaw_tf.predictions.rules import PredictionError, edition_of
from abaw_tf.predictions.storage import read, write
from abaw_tf.predictions.submission import Finding, read_submission, validate_submission, write_submission
from abaw_tf.predictions.table import (
    add_note,
    classes_of,
    concatenate,
    make_table,
    probabilities,
    validate,
)

__all__ = [
    "FORMATS",
    "ColumnMap",
    "Finding",
    "PredictionError",
    "add_note",
    "classes_of",
    "column_map",
    "concatenate",
    "edition_of",
    "fill_missing",
    "load",
    "make_table",
    "probabilities",
    "read",
    "read_columns",
    "read_pyfeat",
    "read_submission",
    "validate",
    "validate_submission",
    "write",
    "write_submission",
]
