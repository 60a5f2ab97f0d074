"""From a picture and a face's place in it to the two kinds of crops that Aff-Wild2 is delivered with."""

import cv2
import numpy as np

# Where ArcFace's 112 x 112 crops have the two eyes, the tip of the nose and the corners of the mouth; first those on the picture's left.
# Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019.
ARCFACE_TEMPLATE = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)], np.float64
)
TEMPLATE_SIZE = 112


def similarity_transform(source, target) -> np.ndarray:
    """The rotation, scaling and translation (no reflection, no shear) that best takes points to others in the least-squares sense.

    Parameters
    ----------
    source, target : array, shape (n, 2)
        At least two different points.

    Returns
    -------
    ndarray of float64, shape (2, 3)
        ``matrix @ (x, y, 1)`` is the place of ``(x, y)``.

    Raises
    ------
    ValueError
        Shapes that differ, values that are not finite, or source points that all coincide.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2 or len(source) < 2:
        raise ValueError(
            f"two lists of at least two points, shape (n, 2), are needed. Received: {source.shape} and {target.shape}"
        )
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise ValueError("points must be finite. Received: NaN or infinity")
    # Complex numbers: z -> a z + b is exactly a similarity without reflection; centring separates a from b.
    z, w = source @ (1, 1j), target @ (1, 1j)
    z0, w0 = z.mean(), w.mean()
    spread = np.sum(np.abs(z - z0) ** 2)
    if spread == 0:
        raise ValueError(
            f"the points coincide, so that no size or angle follows from them. Received: {source.tolist()}"
        )
    a = np.sum(np.conj(z - z0) * (w - w0)) / spread
    b = w0 - a * z0
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def align(image, landmarks, size: int = TEMPLATE_SIZE) -> np.ndarray:
    """Turn, scale and cut a face so that its five landmarks come to lie on ArcFace's template, as in Aff-Wild2's ``cropped_aligned``.

    Parameters
    ----------
    image : uint8 array, shape (height, width, 3)
    landmarks : array, shape (5, 2)
        (x, y) in pixels of the eyes, nose tip and mouth corners, those on the picture's left first.
    size : int
        Side of the result; the template is scaled with it.

    Returns
    -------
    ndarray of uint8, shape (size, size, 3)
        Zero where it reaches beyond the image.
    """
    image = _check_image(image)
    landmarks = np.asarray(landmarks, np.float64)
    if landmarks.shape != (5, 2):
        raise ValueError(f"five landmarks (x, y) are needed. Received: shape {landmarks.shape}")
    # Pixel centres: (x + 1/2) scales, x does not.
    template = (ARCFACE_TEMPLATE + 0.5) * (size / TEMPLATE_SIZE) - 0.5
    matrix = similarity_transform(landmarks, template)
    scale = np.hypot(matrix[0, 0], matrix[1, 0])
    if scale < 0.5:
        # Shrunk by more than half, bilinear interpolation skips pixels: most of the way is done by averaging areas.
        height, width = (max(1, round(2 * scale * side)) for side in image.shape[:2])
        zoom = np.array([width / image.shape[1], height / image.shape[0]])
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        matrix = similarity_transform((landmarks + 0.5) * zoom - 0.5, template)
    return cv2.warpAffine(
        image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0
    )


def crop(image, box, margin: float = 0.0) -> np.ndarray:
    """Cut a box out of a picture, as in Aff-Wild2's ``cropped``.

    Parameters
    ----------
    image : uint8 array, shape (height, width, 3)
    box : (left, top, right, bottom)
        In pixels, right and bottom excluded; may reach beyond the picture.
    margin : float
        Share of the box's width and height that is added on every side.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
        Size of the box, margins included, rounded to whole pixels; zero where it reaches beyond the picture.
    """
    image = _check_image(image)
    left, top, right, bottom = np.asarray(box, np.float64)
    if not (np.isfinite([left, top, right, bottom]).all() and right > left and bottom > top):
        raise ValueError(f"box must be (left, top, right, bottom) with right > left and bottom > top. Received: {box}")
    if margin < 0:
        raise ValueError(f"margin must not be negative. Received: {margin}")
    dx, dy = margin * (right - left), margin * (bottom - top)
    x0, y0 = round(left - dx), round(top - dy)
    x1, y1 = max(x0 + 1, round(right + dx)), max(y0 + 1, round(bottom + dy))
    result = np.zeros((y1 - y0, x1 - x0, 3), np.uint8)
    height, width = image.shape[:2]
    inside = image[max(0, y0) : max(0, min(y1, height)), max(0, x0) : max(0, min(x1, width))]
    if inside.size:
        top, left = max(0, -y0), max(0, -x0)
        result[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return result


def _check_image(image):
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"image must be uint8 of shape (height, width, 3). Received: {image.dtype} {image.shape}")
    return image
