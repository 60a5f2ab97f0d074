"""ExpNet: a ResNet-101 that estimates the 29 expression coefficients of a 3D face model (Chang et al., 2018).

A native Keras 3 builder of the published network, with the published layer names, so that the TensorFlow 1 checkpoint is read by
name; the 2048 features before its last layer are the face features of Rasipuram et al. (2020), §I-B. With it the published way
from a picture to the network's input: :func:`face_patch`, then :class:`ExpNetPreprocessing`.

References
----------
F.-J. Chang, A. T. Tran, T. Hassner, I. Masi, R. Nevatia, G. Medioni, "ExpNet: Landmark-Free, Deep, 3D Facial Expressions",
FG 2018, arXiv 1802.00542. Network, checkpoint and recipe: github.com/fengju514/Expression-Net.
"""

from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

SCOPE = "exprCNN"
TOP = "exprCNN_fc1"
PREPROCESSING = "preprocessing"
COEFFICIENTS = 29
PATCH_SIZE = 227  # of the face patches on disk
SIZE = 224  # that the network sees
MARGIN = 0.25  # of the face box, added on every side
# Mean face images: names in the weights registry.
MEAN_IMAGES = {"shape": "expnet_shape_mean", "expression": "expnet_expression_mean"}


def face_patch(image, box, jpeg=True):
    """Cut a face out of a picture as the published code does.

    The box is made square (its longer side), widened by a quarter on every side, filled with black where it reaches beyond the
    picture, and resized bicubically to 227 × 227.

    Parameters
    ----------
    image : uint8 array, shape (height, width, 3)
        RGB.
    box : (left, top, right, bottom)
        Of the face, in pixels.
    jpeg : bool
        Pass the patch through a JPEG of quality 95: the published code keeps it in such a file. False gives the exact pixels.

    Returns
    -------
    ndarray of uint8, shape (227, 227, 3)
        RGB.

    Raises
    ------
    ValueError
        If the image is not uint8 RGB or the box is empty.
    """
    import cv2

    from abaw_tf.media.align import crop

    left, top, right, bottom = (float(value) for value in box)
    if not (right > left and bottom > top):
        raise ValueError(
            f"`box` must be (left, top, right, bottom) with right > left and bottom > top. Received: {box}"
        )
    side = max(right - left, bottom - top)
    centre = np.array([(left + right) / 2, (top + bottom) / 2])
    low = np.ceil((centre - side * (0.5 + MARGIN)).astype(np.float32))
    high = np.ceil((centre + side * (0.5 + MARGIN)).astype(np.float32))
    high = low + (high - low).max()
    patch = crop(image, (*low, *high))
    patch = cv2.resize(patch, (PATCH_SIZE, PATCH_SIZE), interpolation=cv2.INTER_CUBIC)
    if jpeg:
        encoded = cv2.imencode(".jpg", patch[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        patch = cv2.imdecode(encoded, cv2.IMREAD_COLOR)[:, :, ::-1]
    return np.ascontiguousarray(patch)


def read_mean_image(source):
    """Read a mean face image.

    Parameters
    ----------
    source : {"shape", "expression"}, path or array
        ``"shape"``: the mean of the identity network's training faces, which the published code subtracts for both networks;
        the published features were computed so. ``"expression"``: the mean of ExpNet's own training faces, which that code loads
        and does not use. Or a ``.npy`` file, or an array (3, height, width) or (height, width, 3); blue, green, red in 0–255.

    Returns
    -------
    ndarray of float32, shape (height, width, 3)
        Blue, green, red.

    Raises
    ------
    FileNotFoundError
        If the file is not on this machine; the message says where to get it.
    ValueError
        If it is not such an image.
    """
    name = "mean_image"
    if isinstance(source, str | Path):
        from abaw_tf.backbones.checkpoints import locate

        name = locate(MEAN_IMAGES.get(str(source), source))
        try:
            source = np.load(name, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"{name}: not an array file (.npy); fetch it again. Received: {error}") from error
    image = np.asarray(source)
    if image.ndim == 3 and image.shape[0] == 3:
        image = image.transpose(1, 2, 0)
    if image.ndim != 3 or image.shape[-1] != 3 or image.dtype.kind not in "fiu" or not np.isfinite(image).all():
        raise ValueError(
            f"{name}: a mean image must be an array of finite numbers, (3, height, width) or (height, width, 3). "
            f"Received: {image.dtype} {image.shape}"
        )
    return image.astype(np.float32)


@keras.saving.register_keras_serializable(package="abaw_tf")
class ExpNetPreprocessing(layers.Layer):
    """RGB patches in 0–255 to what the network was trained on: blue, green, red, resized bilinearly, minus a mean face image.

    The interpolation is that of TensorFlow 1 (row *i* of n out of m lies at *i* · m / n, without half-pixel centres). Everything is
    computed in float32 and cast to the layer's compute type at the end.

    Parameters
    ----------
    size : tuple of int
        (height, width) of the output and of the mean image.
    mean_image : array, shape (height, width, 3), optional
        Blue, green, red in 0–255; zero without it. Kept as a weight that is not trained, so that it is saved with the model.
    """

    def __init__(self, size=(SIZE, SIZE), mean_image=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.size, self._initial = tuple(size), mean_image

    def build(self, input_shape):
        self.mean_image = self.add_weight(
            name="mean_image",
            shape=(*self.size, 3),
            initializer="zeros",
            dtype="float32",
            trainable=False,
            autocast=False,
        )
        if self._initial is not None:
            self.mean_image.assign(self._initial)
        self._rows, self._columns = (_bilinear(*pair) for pair in zip(input_shape[1:3], self.size))
        super().build(input_shape)

    def call(self, images_rgb):
        x = ops.flip(ops.cast(images_rgb, "float32"), axis=-1)
        if x.shape[1:3] != self.size:
            x = ops.einsum("rh,bhwc->brwc", ops.convert_to_tensor(self._rows), x)
            x = ops.einsum("kw,brwc->brkc", ops.convert_to_tensor(self._columns), x)
        return ops.cast(x - self.mean_image, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.size, 3)

    def get_config(self):
        return {**super().get_config(), "size": self.size}


def _bilinear(n_in, n_out):
    """Matrix (n_out, n_in) of bilinear interpolation along one axis, as TensorFlow 1's ``resize_bilinear``."""
    place = np.arange(n_out, dtype=np.float32) * np.float32(n_in / n_out)
    low = np.minimum(np.floor(place).astype(np.int64), n_in - 1)
    share = place - low
    matrix = np.zeros((n_out, n_in), np.float32)
    rows = np.arange(n_out)
    np.add.at(matrix, (rows, low), 1 - share)
    np.add.at(matrix, (rows, np.minimum(low + 1, n_in - 1)), share)
    return matrix


def build_expnet(
    include_top=False,
    input_shape=None,
    mean_image=None,
    coefficients=COEFFICIENTS,
    blocks=(3, 4, 23, 3),
    width=64,
    weights=None,
    name="expnet",
):
    """Build ExpNet.

    Parameters
    ----------
    include_top : bool
        End in the expression coefficients (42,664,925 parameters at the defaults) instead of the 2048 features ``pool5``
        (42,605,504).
    input_shape : tuple of int, optional
        (height, width, 3), at least 32×32. By default 224×224, and with a `mean_image` 227×227 (the published patches).
    mean_image : {None, "shape", "expression"}, path or array
        None: the input is blue, green, red with a mean subtracted already. Otherwise the graph begins with
        :class:`ExpNetPreprocessing` and takes RGB patches in 0–255, and the network sees images of the mean image's size; see
        :func:`read_mean_image`. ``"shape"`` is what the published features need.
    coefficients : int
        Outputs of the top. Published: 29.
    blocks, width
        Residual blocks per stage and filters of the first. The published values give the published network, smaller
        ones the same graph at a size for two processor cores; the features then have ``32 * width`` entries.
    weights : str, Path or None
        ``"expnet"`` (see :func:`abaw_tf.backbones.checkpoints.locate`), the path of a TensorFlow checkpoint, or None for random
        weights.
    name : str
        Name of the model.

    Returns
    -------
    keras.Model
        Images (batch, height, width, 3) to (batch, 32 * width) features or (batch, coefficients).

    Raises
    ------
    FileNotFoundError
        If the weights or the mean image are not on this machine.
    ValueError
        If an argument has no meaning here, or the checkpoint belongs to another architecture.
    """
    # Checks
    mean_image = None if mean_image is None else read_mean_image(mean_image)
    input_shape = input_shape or (2 * (SIZE if mean_image is None else PATCH_SIZE,) + (3,))
    _check(input_shape, mean_image, coefficients, blocks, width)

    # The functional graph
    inputs = keras.Input(input_shape, name="input")
    x = inputs
    if mean_image is not None:
        x = ExpNetPreprocessing(mean_image.shape[:2], mean_image, name=PREPROCESSING)(x)
    x = _convolution(x, width, 7, 2, "conv1", "bn_conv1")
    x = layers.ReLU(name="conv1_relu")(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="pool1")(x)
    for stage, count in enumerate(blocks, start=2):
        for i, block in enumerate(_block_names(stage, count)):
            strides = 2 if i == 0 and stage > 2 else 1
            x = _bottleneck(x, width * 2 ** (stage - 2), strides, i == 0, f"{stage}{block}")
    # Published: 7×7 over 7×7 maps. Maps of other inputs are averaged whole.
    x = layers.GlobalAveragePooling2D(name="pool5")(x)
    if include_top:
        x = layers.Dense(coefficients, dtype="float32", name=TOP)(x)

    # The model and its weights
    model = keras.Model(inputs, x, name=name)
    if weights is not None:
        from abaw_tf.backbones.checkpoints import locate
        from abaw_tf.backbones.tf1_checkpoint import load_tf1_checkpoint

        ignore = (PREPROCESSING,) if include_top else (PREPROCESSING, TOP)
        load_tf1_checkpoint(model, locate(weights), SCOPE, ignore)
    return model


def _check(input_shape, mean_image, coefficients, blocks, width):
    seen = input_shape[:2] if mean_image is None else mean_image.shape[:2]
    if len(input_shape) != 3 or input_shape[-1] != 3 or any(not s or s < 32 for s in (*input_shape[:2], *seen)):
        raise ValueError(
            "`input_shape` must be (height, width, 3) with fixed sides of at least 32 pixels, and so must the mean image. "
            f"Received: input_shape={input_shape}, mean image {None if mean_image is None else mean_image.shape}"
        )
    if len(blocks) != 4 or any(not 1 <= count <= 26 for count in blocks):
        raise ValueError(f"`blocks` must hold four numbers from 1 to 26, one per stage. Received: blocks={blocks}")
    for what, value in (("width", width), ("coefficients", coefficients)):
        if value < 1:
            raise ValueError(f"`{what}` must be positive. Received: {what}={value}")


def _block_names(stage, count):
    """Caffe's names of the blocks of a ResNet-101: a, b, c in the short stages, a, b1, b2, … in the long ones."""
    if stage in (2, 5):
        return [chr(ord("a") + i) for i in range(count)]
    return ["a", *(f"b{i}" for i in range(1, count))]


def _convolution(x, filters, kernel_size, strides, name, norm_name):
    """Convolution without bias, then batch normalisation with Caffe's epsilon."""
    x = layers.Conv2D(filters, kernel_size, strides=strides, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(epsilon=1e-5, name=norm_name)(x)


def _bottleneck(x, filters, strides, project, name):
    """1×1, 3×3, 1×1 around a shortcut; the stride sits on the first 1×1, as in Caffe."""
    shortcut = x
    if project:
        shortcut = _convolution(x, 4 * filters, 1, strides, f"res{name}_branch1", f"bn{name}_branch1")
    for branch, kernel_size in (("2a", 1), ("2b", 3)):
        branch = f"{name}_branch{branch}"
        x = _convolution(x, filters, kernel_size, strides if kernel_size == 1 else 1, f"res{branch}", f"bn{branch}")
        x = layers.ReLU(name=f"res{branch}_relu")(x)
    x = _convolution(x, 4 * filters, 1, 1, f"res{name}_branch2c", f"bn{name}_branch2c")
    x = layers.Add(name=f"res{name}")([x, shortcut])
    return layers.ReLU(name=f"res{name}_relu")(x)
