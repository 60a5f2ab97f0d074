"""VGG-Face (Parkhi et al., 2015), the 16-layer network whose version for FER-2013 gives the face features of Dresvyanskiy et al. (2020).

A native Keras 3 builder whose layers bear the published names, one per layer of the MatConvNet network: ``conv1_1``, ``relu1_1``, …,
``pool5``, ``fc6``, ``relu6``, ``fc7``, ``relu7``, ``fc8``, ``prob``. Those 37 layers are the "37-layer architecture" of Dresvyanskiy et
al., §3.1.2. They take "the response of the 33rd layer", which counted strictly is ``relu6``; the code by the same authors to which they
refer takes the 33rd of MatConvNet's results, of which the first is the input, and this is ``fc6``, before the ReLU. Both are
4096-dimensional.

References
----------
O. M. Parkhi, A. Vedaldi, A. Zisserman, "Deep Face Recognition", BMVC 2015.
H. Kaya, F. Gürpınar, A. A. Salah, "Video-based emotion recognition in the wild using deep transfer learning and score fusion", Image and
Vision Computing 65, 2017: the network fine-tuned on FER-2013, published with github.com/frkngrpnr/jcs.
D. Dresvyanskiy et al., arXiv 2010.03692, 2020, §3.1.2.
"""

import keras
import numpy as np
from keras import layers, ops

from abaw_tf.backbones.vgg_fer_weights import BLOCKS, assign, read_weights
from abaw_tf.backbones.vggface2 import MEANS_BGR

PREPROCESSING = "preprocessing"
SIZE = 224
# Filters of the blocks, in widths.
FACTORS = (1, 2, 4, 8, 8)
# Mean red, green, blue of VGG-Face.
AVERAGE_RGB = MEANS_BGR[1][::-1]


def preprocess(images_rgb, average_image=AVERAGE_RGB, size=(SIZE, SIZE)):
    """Subtract the average image from RGB images and resize them.

    The resizing is MATLAB's ``imresize``: bicubic, antialiased where it shrinks, mirrored at the border. The published code subtracts
    first and resizes then. Done in floating point, as here, either order gives the same, because resizing is linear; what must not happen
    is that resized pixels are rounded, or clipped at 0 and 255 where bicubic interpolation overshoots.

    Parameters
    ----------
    images_rgb : array or tensor, shape (batch, height, width, 3)
        Red, green, blue in 0–255, any integer or floating type.
    average_image : array or tensor, shape (3,), (1, 1, 3) or (\\*size, 3)
        Red, green, blue in 0–255; by default the means of VGG-Face. One value per pixel: of the result.
    size : tuple of int
        (height, width) of the result.

    Returns
    -------
    tensor of float32, shape (batch, \\*size, 3)

    Raises
    ------
    ValueError
        If the last axis does not hold three channels.
    """
    if len(images_rgb.shape) != 4 or images_rgb.shape[-1] != 3:
        raise ValueError(f"`images_rgb` must be (batch, height, width, 3). Received: shape={tuple(images_rgb.shape)}")
    x = ops.cast(images_rgb, "float32")
    if tuple(x.shape[1:3]) != tuple(size):
        rows, columns = (ops.convert_to_tensor(_bicubic(*pair)) for pair in zip(x.shape[1:3], size))
        x = ops.einsum("kw,brwc->brkc", columns, ops.einsum("rh,bhwc->brwc", rows, x))
    return x - ops.convert_to_tensor(average_image, dtype="float32")


def _bicubic(n_in, n_out):
    """Matrix (n_out, n_in) of bicubic interpolation (Keys, 1981, a = -1/2) along one axis, as MATLAB's ``imresize``."""
    stretch = max(n_in / n_out, 1.0)  # a wider kernel where the image shrinks
    centre = (np.arange(n_out) + 0.5) * n_in / n_out - 0.5
    index = np.floor(centre - 2 * stretch)[:, None] + np.arange(int(np.ceil(4 * stretch)) + 2)
    t = np.abs(centre[:, None] - index) / stretch
    near, far = (1.5 * t - 2.5) * t**2 + 1, ((-0.5 * t + 2.5) * t - 4) * t + 2
    weights = np.where(t <= 1, near, np.where(t <= 2, far, 0.0))
    weights /= weights.sum(1, keepdims=True)
    index = index.astype(np.int64) % (2 * n_in)
    index = np.minimum(index, 2 * n_in - 1 - index)  # mirrored at the border
    matrix = np.zeros((n_out, n_in))
    np.add.at(matrix, (np.arange(n_out)[:, None], index), weights)
    return matrix.astype(np.float32)


@keras.saving.register_keras_serializable(package="abaw_tf")
class VggFerPreprocessing(layers.Layer):
    """:func:`preprocess` as a layer: RGB in 0–255 in, mean-free RGB of the network's size out.

    Everything is computed in float32 and cast to the layer's compute type at the end. The average image is a weight that is not trained,
    so that it is saved with the model.

    Parameters
    ----------
    size : tuple of int
        (height, width) of the output.
    average_shape : tuple of int
        (1, 1, 3), or (\\*size, 3) for one value per pixel.
    average_image : array of that shape, optional
        Initial value; by default the means of VGG-Face.
    """

    def __init__(self, size=(SIZE, SIZE), average_shape=(1, 1, 3), average_image=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.size, self.average_shape = tuple(size), tuple(average_shape)
        self._initial = np.broadcast_to(AVERAGE_RGB if average_image is None else average_image, self.average_shape)

    def build(self, input_shape):
        self.average_image = self.add_weight(
            name="average_image", shape=self.average_shape, dtype="float32", trainable=False, autocast=False
        )
        self.average_image.assign(self._initial)
        super().build(input_shape)

    def call(self, images_rgb):
        return ops.cast(preprocess(images_rgb, self.average_image, self.size), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.size, 3)

    def get_config(self):
        return {**super().get_config(), "size": self.size, "average_shape": self.average_shape}


def build_vgg_fer(
    classes=None,
    image_size=SIZE,
    width=64,
    fc_units=4096,
    dropout=0.0,
    input_size=None,
    weights=None,
    class_order=None,
    name="vgg_fer",
):
    """Build VGG-Face with a head for expressions.

    Parameters
    ----------
    classes : int, optional
        Outputs. By default as many as the weight file has (2,622 identities in VGG-Face: 145,002,878 parameters, and 3 of the average
        image), and 7 without a file. With another number than the file's, ``fc8`` is new.
    image_size : int
        Height and width of what the network sees, in pixels; 224 as published, at least 32.
    width : int
        Filters of the first block, 64 as published; the other blocks have 2, 4, 8 and 8 times as many.
    fc_units : int
        Units of ``fc6`` and ``fc7``; 4096 as published.
    dropout : float
        Rate of the dropout after ``relu6`` and ``relu7`` in training (.5 in VGG-Face's own); 0 leaves the layers out.
    input_size : int, optional
        Height and width of the images that the model takes; they are resized inside. By default `image_size`.
    weights : str, Path or None
        Name in :data:`abaw_tf.backbones.checkpoints.REGISTRY` (``"vgg_fer"``, ``"vggface_matconvnet"``, ``"vggface_vgg16_top"``), a
        MatConvNet or keras-vggface file of this network, or None for random weights. A file of MatConvNet brings its average image along.
    class_order : str or sequence of str, optional
        Order of the expressions in the file, see :func:`abaw_tf.labels.class_order`, for a file with seven outputs. By default the one
        that the file states, and that of FER-2013 where it names no expressions. The model has them in the official order.
    name : str
        Name of the model.

    Returns
    -------
    keras.Model
        ``image`` (batch, input_size, input_size, 3), RGB in 0–255, to the probabilities ``prob`` (batch, classes), float32 under any dtype
        policy.

    Raises
    ------
    FileNotFoundError
        If the weight file is not on this machine.
    ValueError
        If an argument has no meaning here, or the file belongs to another network.
    """
    # Checks
    input_size = image_size if input_size is None else input_size
    _check(image_size=(image_size, 32), input_size=(input_size, 1), width=(width, 1), fc_units=(fc_units, 1))
    if not 0 <= dropout < 1:
        raise ValueError(f"`dropout` must be in [0, 1). Received: dropout={dropout}")
    stored = average = None
    if weights is not None:
        stored = read_weights(weights, class_order)
        average = _to_size(stored.average_image, image_size)
    elif class_order is not None:
        raise ValueError(f"`class_order` is that of a weight file: give `weights` with it. Received: {class_order!r}")
    if classes is None:
        classes = 7 if stored is None else stored.classes
    _check(classes=(classes, 2))

    # The functional graph
    image = keras.Input((input_size, input_size, 3), name="image")
    average_shape = (1, 1, 3) if average is None else average.shape
    x = VggFerPreprocessing((image_size, image_size), average_shape, average, name=PREPROCESSING)(image)
    for block, (count, factor) in enumerate(zip(BLOCKS, FACTORS), start=1):
        for i in range(1, count + 1):
            # Without normalisation between the layers, training from random weights only starts if the first layer takes pixels (of a
            # standard deviation of about 64) to units and the others keep the scale.
            scale = 2 / 64**2 if block == i == 1 else 2
            initializer = keras.initializers.VarianceScaling(scale, "fan_in", "truncated_normal")
            x = layers.Conv2D(
                factor * width, 3, padding="same", kernel_initializer=initializer, name=f"conv{block}_{i}"
            )(x)
            x = layers.ReLU(name=f"relu{block}_{i}")(x)
        x = layers.MaxPooling2D(2, strides=2, name=f"pool{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    for number in (6, 7):
        x = layers.Dense(fc_units, kernel_initializer="he_normal", name=f"fc{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"dropout{number}")(x)
    x = layers.Dense(classes, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01), name="fc8")(x)
    x = layers.Softmax(dtype="float32", name="prob")(x)

    # The model and its weights
    model = keras.Model(image, x, name=name)
    if stored is not None:
        assign(model, stored)
    return model


def _check(**arguments):
    for name, (value, least) in arguments.items():
        if value < least:
            raise ValueError(f"`{name}` must be at least {least}. Received: {name}={value}")


def _to_size(average_image, size):
    """An average image of many pixels, resized to what the network sees; three means, or None, as they are."""
    if average_image is None or average_image.shape[:2] in ((1, 1), (size, size)):
        return average_image
    rows, columns = (_bicubic(n, size) for n in average_image.shape[:2])
    return np.einsum("rh,hwc,kw->rkc", rows, average_image, columns)
