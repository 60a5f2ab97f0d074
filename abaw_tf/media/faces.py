"""Faces in pictures and videos: detectors, crops in Aff-Wild2's layout. Importing this does not load TensorFlow."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from .align import ARCFACE_TEMPLATE, align, crop, similarity_transform
from .face_files import extract_faces, read_face_table
from .tracking import FaceFollower

__all__ = [
    "ARCFACE_TEMPLATE",
    "Face",
    "FaceDetector",
    "FaceFollower",
    "MtcnnDetector",
    "YuNetDetector",
    "align",
    "crop",
    "extract_faces",
    "read_face_table",
    "similarity_transform",
]


@dataclass(frozen=True)
class Face:
    """A detected face.

    Attributes
    ----------
    box : ndarray of float64, shape (4,)
        Left, top, right, bottom in pixels; can reach beyond the picture.
    score : float
        The detector's confidence, 0-1.
    landmarks : ndarray of float64, shape (5, 2)
        (x, y) of the eyes, the tip of the nose and the corners of the mouth, those on the picture's left first.
    """

    box: np.ndarray
    score: float
    landmarks: np.ndarray


class FaceDetector(Protocol):
    """Finds faces in a uint8 RGB picture of shape (height, width, 3)."""

    def __call__(self, image: np.ndarray) -> list[Face]:
        """Faces in no particular order; an empty list where there is none."""

    def config(self) -> dict:
        """What the result depends on (JSON values): written beside the crops, compared when an extraction is continued."""


class MtcnnDetector:
    """Three cascaded networks (Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks", IEEE
    SPL 2016), in the package ``mtcnn`` 1.0, which holds the weights and runs on TensorFlow.

    Parameters
    ----------
    min_confidence : float
        Faces scored lower are dropped. The package itself drops those below 0.8.
    max_size : int
        A larger picture is shrunk to this longer side before detection. The smallest face found has 20 pixels in the shrunk picture. (The
        package's own ``min_face_size`` is not used: with other values than 20 version 1.0 fails inside and reports "no face".)
    device : str
        TensorFlow device.
    """

    def __init__(self, min_confidence: float = 0.9, max_size: int = 480, device: str = "CPU:0"):
        _check_detector(min_confidence, max_size)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # every picture without a candidate would print warnings
        from mtcnn import MTCNN

        self.min_confidence, self.max_size = min_confidence, max_size
        self._network = MTCNN(device=device)

    def __call__(self, image) -> list[Face]:
        image, zoom = _shrink(image, self.max_size)
        # Rows: picture, box, score, five x, five y. As JSON the package would round to whole pixels.
        rows = np.asarray(self._network.detect_faces(image, output_type="numpy", box_format="xyxy"), np.float64)
        return [
            Face(row[1:5] / np.tile(zoom, 2), float(row[5]), (row[6:16].reshape(2, 5).T + 0.5) / zoom - 0.5)
            for row in rows.reshape(-1, 16)
            if row[5] >= self.min_confidence and (row[3:5] > row[1:3]).all()
        ]

    def config(self) -> dict:
        """What the result depends on."""
        return {"name": "mtcnn", "min_confidence": self.min_confidence, "max_size": self.max_size}


class YuNetDetector:
    """A small single-stage network (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", MIR 2023), run by OpenCV; several times
    faster than MTCNN on a processor.

    Parameters
    ----------
    model_path : path-like
        ``yunet_n_640_640.onnx`` or another of the files at github.com/ShiqiYu/libfacedetection.train under ``onnx/``.
    min_confidence : float
        Faces scored lower are dropped. YuNet scores clear faces about 0.9.
    max_size : int
        A larger picture is shrunk to this longer side before detection.
    """

    def __init__(self, model_path, min_confidence: float = 0.7, max_size: int = 640):
        _check_detector(min_confidence, max_size)
        self.model_path = Path(model_path)
        if not self.model_path.is_file():
            raise FileNotFoundError(
                f"{self.model_path}: no such network; put yunet_n_640_640.onnx from github.com/ShiqiYu/libfacedetection.train (onnx/) there"
            )
        self.min_confidence, self.max_size = min_confidence, max_size
        try:
            self._network = cv2.FaceDetectorYN.create(str(self.model_path), "", (320, 320), min_confidence)
        except cv2.error as error:
            raise ValueError(f"{self.model_path} is not a YuNet network that OpenCV can read ({error.err})") from error

    def __call__(self, image) -> list[Face]:
        image, zoom = _shrink(image, self.max_size)
        self._network.setInputSize(image.shape[1::-1])
        rows = self._network.detect(np.ascontiguousarray(image[:, :, ::-1]))[1]
        if rows is None:
            return []
        rows = rows.astype(np.float64)
        corners = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
        return [
            Face(box / np.tile(zoom, 2), float(row[14]), (row[4:14].reshape(5, 2) + 0.5) / zoom - 0.5)
            for box, row in zip(corners, rows)
        ]

    def config(self) -> dict:
        """What the result depends on."""
        return {
            "name": "yunet",
            "model": self.model_path.name,
            "min_confidence": self.min_confidence,
            "max_size": self.max_size,
        }


def _check_detector(min_confidence, max_size):
    if not 0 <= min_confidence <= 1:
        raise ValueError(f"min_confidence must be between 0 and 1. Received: {min_confidence}")
    if max_size < 48:
        raise ValueError(f"max_size must be at least 48 pixels. Received: {max_size}")


def _shrink(image, max_size):
    """The picture with its longer side at most `max_size`, and the zoom (x, y) that was applied."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or min(image.shape[:2]) < 24:
        raise ValueError(
            "a picture must be uint8 RGB of shape (height, width, 3), at least 24 pixels high and wide. "
            f"Received: {image.dtype} {image.shape}"
        )
    height, width = image.shape[:2]
    zoom = min(1.0, max_size / max(height, width))
    if zoom == 1.0:
        return image, np.ones(2)
    size = (max(24, round(width * zoom)), max(24, round(height * zoom)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.array([size[0] / width, size[1] / height])
