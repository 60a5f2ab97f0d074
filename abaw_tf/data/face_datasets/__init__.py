"""Datasets of single face images with an expression each: AffectNet and RAF-DB, read from their layouts on disk."""

from abaw_tf.data.face_datasets.dataset import LAYOUTS, FaceImages
from abaw_tf.data.face_datasets.records import FaceDatasetError

__all__ = ["LAYOUTS", "FaceDatasetError", "FaceImages"]
