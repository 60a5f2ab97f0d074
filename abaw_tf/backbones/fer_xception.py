"""The FER-2013 expression networks of Arriaga et al. (2017): mini-Xception and its larger sister, on 64×64 grey faces.

Native Keras 3 builders of the graphs stored in the published files (github.com/oarriaga/face_classification, MIT), with the
published layer names, so that the weights are read by name.

References
----------
O. Arriaga, M. Valdenegro-Toro, P. Plöger, "Real-time Convolutional Neural Networks for Emotion and Gender Classification",
arXiv 1710.07557.
"""

import keras
import numpy as np
from keras import layers, ops

# Weights of red, green and blue in a grey value (ITU-R BT.601, which OpenCV uses and the networks were trained with).
LUMA = (0.299, 0.587, 0.114)


def preprocess(images):
    """Turn faces in 0–255 into the networks' input.

    Parameters
    ----------
    images : array or tensor, (..., height, width, 3) or (..., height, width, 1)
        RGB or grey, any integer or floating type.

    Returns
    -------
    tensor, (..., height, width, 1)
        Grey, ``x / 127.5 - 1``, float32.

    Raises
    ------
    ValueError
        If the last axis holds neither 1 nor 3 channels.
    """
    if images.shape[-1] not in (1, 3):
        raise ValueError(f"`images` must hold 1 or 3 channels on the last axis. Received: shape={tuple(images.shape)}")
    x = ops.cast(images, "float32")
    if images.shape[-1] == 3:
        x = ops.sum(x * ops.convert_to_tensor(LUMA, dtype="float32"), axis=-1, keepdims=True)
    return x / 127.5 - 1.0


def build_mini_xception(input_shape=(64, 64, 1), classes=7, weights=None, name="mini_xception"):
    """Build mini-Xception: two convolutions, four residual modules of separable convolutions, 58,423 parameters.

    Parameters
    ----------
    input_shape : tuple of int
        (height, width, 1), at least 16×16. Published: 64×64.
    classes : int
        Number of expressions. Published: 7, in the order ``"fer2013"`` of :data:`abaw_tf.labels.CLASS_ORDERS`.
    weights : str, Path or None
        ``"fer2013_mini_xception"`` (see :func:`abaw_tf.backbones.checkpoints.locate`), a file, or None for random weights.
    name : str
        Name of the model.

    Returns
    -------
    keras.Model
        What :func:`preprocess` returns, (batch, height, width, 1), to probabilities (batch, classes). The 128 maps before the
        class maps are the layer ``add_4``.

    Raises
    ------
    ValueError
        If an argument has no meaning here, or the weight file belongs to another architecture.
    """
    # Checks
    _check(input_shape, classes)

    # The functional graph
    inputs = keras.Input(input_shape, name="input_1")
    x = inputs
    for i in (1, 2):
        x = _convolution(x, 8, 1, f"conv2d_{i}", f"batch_normalization_{i}")
        x = layers.ReLU(name=f"activation_{i}")(x)
    for i, filters in enumerate((16, 32, 64, 128), start=1):
        shortcut = _projection(x, filters, f"conv2d_{i + 2}", f"batch_normalization_{3 * i}")
        x = _separable(x, filters, f"separable_conv2d_{2 * i - 1}", f"batch_normalization_{3 * i + 1}")
        x = layers.ReLU(name=f"activation_{i + 2}")(x)
        x = _separable(x, filters, f"separable_conv2d_{2 * i}", f"batch_normalization_{3 * i + 2}")
        x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"max_pooling2d_{i}")(x)
        x = layers.Add(name=f"add_{i}")([x, shortcut])
    outputs = _class_maps(x, classes, "conv2d_7")

    # The model and its weights
    return _finish(keras.Model(inputs, outputs, name=name), weights)


def build_big_xception(input_shape=(64, 64, 1), classes=7, weights=None, name="big_xception"):
    """Build the larger network of the same authors: two convolutions, two residual modules, 208,871 parameters.

    Parameters, returned model and errors as for :func:`build_mini_xception`, with the weights ``"fer2013_big_xception"``; the 256
    maps before the class maps are the layer ``add_2``.
    """
    # Checks
    _check(input_shape, classes)

    # The functional graph
    inputs = keras.Input(input_shape, name="input_1")
    x = inputs
    for i, (filters, strides) in enumerate(((32, 2), (64, 1)), start=1):
        x = _convolution(x, filters, strides, f"conv2d_{i}", f"block1_conv{i}_bn")
        x = layers.ReLU(name=f"block1_conv{i}_act")(x)
    for i, filters in enumerate((128, 256), start=1):
        block = f"block{i + 1}"
        shortcut = _projection(x, filters, f"conv2d_{i + 2}", f"batch_normalization_{i}")
        if i > 1:
            x = layers.ReLU(name=f"{block}_sepconv1_act")(x)
        x = _separable(x, filters, f"separable_conv2d_{2 * i - 1}", f"{block}_sepconv1_bn")
        x = layers.ReLU(name=f"{block}_sepconv2_act")(x)
        x = _separable(x, filters, f"separable_conv2d_{2 * i}", f"{block}_sepconv2_bn")
        x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"max_pooling2d_{i}")(x)
        x = layers.Add(name=f"add_{i}")([x, shortcut])
    outputs = _class_maps(x, classes, "conv2d_5")

    # The model and its weights
    return _finish(keras.Model(inputs, outputs, name=name), weights)


def resize_face(image, size=(64, 64)):
    """Resize one uint8 face (h, w), (h, w, 1) or (h, w, 3) to `size` (height, width): area average down, bilinear up."""
    import cv2

    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(
            "a face must be a uint8 array (height, width) or (height, width, 1 or 3). "
            f"Received: dtype={image.dtype}, shape={image.shape}"
        )
    shrinks = image.shape[0] > size[0] or image.shape[1] > size[1]
    resized = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return resized if resized.ndim == 3 else resized[..., None]


def predict_expression(images, model=None, weights="fer2013_mini_xception", batch_size=64):
    """Expression probabilities of face crops, in the official class order.

    Parameters
    ----------
    images : sequence of numpy.ndarray
        Face crops, uint8, RGB (h, w, 3) or grey (h, w) or (h, w, 1), of any size.
    model : keras.Model, optional
        A network with the FER-2013 class order; None builds mini-Xception with `weights`. Pass one to keep it between calls.
    weights : str or Path
        See :func:`build_mini_xception`.
    batch_size : int
        Faces per forward pass.

    Returns
    -------
    numpy.ndarray, (n, 7), float32
        Columns Neutral, Anger, Disgust, Fear, Happiness, Sadness, Surprise.
    """
    from abaw_tf.labels import map_probabilities

    if model is None:
        model = build_mini_xception(weights=weights)
    size = tuple(model.input_shape[1:3])
    results = [np.empty((0, 7), "float32")]
    for start in range(0, len(images), batch_size):
        faces = np.stack([_grey(resize_face(image, size)) for image in images[start : start + batch_size]])
        results.append(np.asarray(model.predict_on_batch(preprocess(faces))))
    probabilities = np.concatenate(results)
    return np.asarray(map_probabilities(probabilities, "fer2013", "affwild2"), "float32")


def _check(input_shape, classes):
    if len(input_shape) != 3 or input_shape[-1] != 1 or any(not size or size < 16 for size in input_shape[:2]):
        raise ValueError(
            "`input_shape` must be (height, width, 1) with fixed sides of at least 16 pixels. "
            f"Received: input_shape={input_shape}"
        )
    if classes < 2:
        raise ValueError(f"`classes` must be at least 2. Received: classes={classes}")


def _convolution(x, filters, strides, name, norm_name):
    x = layers.Conv2D(filters, 3, strides=strides, padding="valid", use_bias=False, name=name)(x)
    return layers.BatchNormalization(name=norm_name)(x)


def _separable(x, filters, name, norm_name):
    x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(name=norm_name)(x)


def _projection(x, filters, name, norm_name):
    """The shortcut of a residual module: 1×1 with stride 2."""
    x = layers.Conv2D(filters, 1, strides=2, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(name=norm_name)(x)


def _class_maps(x, classes, name):
    """One map per class, averaged: no dense layer."""
    x = layers.Conv2D(classes, 3, padding="same", name=name)(x)
    x = layers.GlobalAveragePooling2D(name="global_average_pooling2d_1")(x)
    return layers.Activation("softmax", dtype="float32", name="predictions")(x)


def _grey(face):
    """One channel, (h, w, 1), in 0–255."""
    return face @ np.array(LUMA, "float32")[:, None] if face.shape[-1] == 3 else face.astype("float32")


def _finish(model, weights):
    if keras.backend.backend() == "tensorflow":
        # Left to itself, predict() compiles with XLA, which on a CPU makes separable convolutions about 12 times slower.
        model.jit_compile = False
    if weights is not None:
        from abaw_tf.backbones.checkpoints import load_hdf5_weights, locate

        load_hdf5_weights(model, locate(weights))
    return model
