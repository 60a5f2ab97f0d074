"""Face crops from disk, strictly: a damaged file is an error, never a half-grey picture."""

import cv2
import numpy as np

from abaw_tf.media.align import crop

_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"


def read_image(path, size, box=None):
    """Read an image file at a given size.

    Parameters
    ----------
    path : str or Path
        JPEG or PNG file.
    size : tuple of int
        (height, width) to resize to: bilinear where it grows, area average where it shrinks.
    box : (left, top, right, bottom), optional
        Part of the picture to read, in pixels; black where it reaches beyond the picture.

    Returns
    -------
    numpy.ndarray, (height, width, 3), uint8
        RGB.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not an image, or a JPEG that ends early (OpenCV would fill the rest with grey); if the box is empty.
    """
    data = np.fromfile(path, np.uint8)
    content = data.tobytes()
    if content.startswith(b"\xff\xd8") and content.rfind(_END_OF_IMAGE) < content.rfind(_START_OF_SCAN):
        raise ValueError(f"{path}: truncated JPEG; copy or extract it again. Received: {len(content)} bytes")
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except cv2.error:
        image = None
    if image is None:
        raise ValueError(f"{path}: not an image; copy or extract it again. Received: {len(content)} bytes")
    if box is not None:
        image = crop(image, box)
    if image.shape[:2] != tuple(size):
        shrinks = image.shape[0] > size[0] or image.shape[1] > size[1]
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
