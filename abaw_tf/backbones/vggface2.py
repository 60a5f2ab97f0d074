"""VGGFace2 ResNet-50: the face network of Cao et al. (2018), in the two forms that published systems start from.

Both share one Caffe-style trunk (stride on the first 1×1 convolution of a stage, convolutions without bias) and differ in what
follows ``avg_pool``. Layer names are the published ones with ``/`` replaced by ``_`` (Keras 3 refuses ``/``), so that
:func:`abaw_tf.backbones.checkpoints.load_hdf5_weights` reads the published weight files.

References
----------
Q. Cao, L. Shen, W. Xie, O. M. Parkhi, A. Zisserman, "VGGFace2: A dataset for recognising faces across pose and age", FG 2018.
"""

import keras
from keras import layers, ops

VARIANTS = ("keras_vggface", "weidi_xie")
POOLINGS = ("avg", "max", None)

# Mean blue, green, red of the training images; version 1 belongs to VGGFace (VGG-16), version 2 to VGGFace2 (ResNet-50).
MEANS_BGR = {1: (93.5940, 104.7624, 129.1863), 2: (91.4953, 103.8827, 131.0912)}


def preprocess(images_rgb, version=2):
    """Turn RGB images into what the networks were trained on: BGR with the training mean subtracted.

    Parameters
    ----------
    images_rgb : array or tensor, (..., height, width, 3)
        Red, green, blue in 0–255, any integer or floating type.
    version : {2, 1}
        2: the means of VGGFace2, right for this ResNet-50. 1: those of VGGFace, which Dresvyanskiy et al. used with the
        ResNet-50 (their code; needed for their weights).

    Returns
    -------
    tensor, (..., height, width, 3)
        float32 (or the floating type given), blue, green, red.

    Raises
    ------
    ValueError
        If `version` is unknown or the last axis does not hold three channels.
    """
    _check_version(version)
    if images_rgb.shape[-1] != 3:
        raise ValueError(
            f"`images_rgb` must hold 3 channels on its last axis. Received: shape={tuple(images_rgb.shape)}"
        )
    x = ops.convert_to_tensor(images_rgb)
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype)):
        x = ops.cast(x, "float32")
    return ops.flip(x, axis=-1) - ops.convert_to_tensor(MEANS_BGR[version], dtype=x.dtype)


@keras.saving.register_keras_serializable(package="abaw_tf")
class VggFacePreprocessing(layers.Layer):
    """:func:`preprocess` as a layer: RGB in 0–255 in, mean-free BGR out.

    The subtraction is computed in float32 and cast to the layer's compute type afterwards.

    Parameters
    ----------
    version : {2, 1}
        Which means to subtract.
    """

    def __init__(self, version=2, **kwargs):
        _check_version(version)
        super().__init__(autocast=False, **kwargs)
        self.version = version

    def call(self, images_rgb):
        return ops.cast(preprocess(ops.cast(images_rgb, "float32"), self.version), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "version": self.version}


def build_vggface2_resnet50(
    variant="keras_vggface",
    include_top=False,
    input_shape=(224, 224, 3),
    pooling="avg",
    classes=None,
    blocks=(3, 4, 6, 3),
    width=64,
    preprocessing=None,
    l2=0.0,
    weights=None,
    name="vggface2_resnet50",
):
    """Build a VGGFace2 ResNet-50.

    Parameters
    ----------
    variant : {"keras_vggface", "weidi_xie"}
        ``"keras_vggface"``: the network of the package keras-vggface (``VGGFace(model="resnet50")``), used by Dresvyanskiy
        et al. ``"weidi_xie"``: the one of Do et al. (§II-B of arXiv 2002.09120; layout from their stored summaries), with
        the dense layer ``features`` after the pooling and a softmax ``predictions`` without bias.
    include_top : bool
        ``keras_vggface``: end in the softmax ``classifier``. ``weidi_xie``: end in ``predictions`` (27,771,840 parameters at
        the defaults) instead of the 2048 ``features`` (27,757,504).
    input_shape : tuple of int
        (height, width, 3), at least 32×32. Published: 224×224.
    pooling : {"avg", "max", None}
        How ``keras_vggface`` without its top reduces the maps left after ``avg_pool``; None keeps (h, w, channels).
        The other forms always flatten and ignore it.
    classes : int or None
        Outputs of the top. None: as published (8,631 identities; 7 expressions).
    blocks, width
        Residual blocks per stage and filters of the first. The published values give the published network, smaller
        ones the same graph at a size for two processor cores; the features then have ``32 * width`` entries.
    preprocessing : {None, 1, 2}
        None: the input is what :func:`preprocess` returns. 1 or 2: the graph begins with :class:`VggFacePreprocessing` of
        that version and takes RGB images in 0–255.
    l2 : float
        Weight of the L2 penalty on the convolution kernels (the Weidi Xie builder attaches 1e-4; whether Do et al. kept
        it is not known, hence 0).
    weights : str, Path or None
        Name in :data:`abaw_tf.backbones.checkpoints.REGISTRY`, path of a Keras-2 HDF5 file, or None for random weights.
    name : str
        Name of the model.

    Returns
    -------
    keras.Model
        Images (batch, height, width, 3) to (batch, classes) or (batch, 32 * width) features.

    Raises
    ------
    ValueError
        If an argument has no meaning here, or the weight file belongs to another architecture.
    """
    # Checks
    if variant not in VARIANTS:
        raise ValueError(f"`variant` must be one of {VARIANTS}. Received: variant={variant!r}")
    if pooling not in POOLINGS:
        raise ValueError(f"`pooling` must be one of {POOLINGS}. Received: pooling={pooling!r}")
    if len(input_shape) != 3 or input_shape[-1] != 3 or any(not size or size < 32 for size in input_shape[:2]):
        raise ValueError(
            "`input_shape` must be (height, width, 3) with fixed sides of at least 32 pixels. "
            f"Received: input_shape={input_shape}"
        )
    if len(blocks) != 4 or any(count < 1 for count in blocks):
        raise ValueError(f"`blocks` must hold four positive numbers, one per stage. Received: blocks={blocks}")
    if width < 1:
        raise ValueError(f"`width` must be positive. Received: width={width}")
    if preprocessing is not None:
        _check_version(preprocessing)
    if classes is None:
        classes = 8631 if variant == "keras_vggface" else 7

    # The functional graph
    regularizer = keras.regularizers.L2(l2) if l2 else None
    inputs = keras.Input(input_shape, name="base_input")
    x = inputs if preprocessing is None else VggFacePreprocessing(preprocessing, name="preprocessing")(inputs)
    x = _convolution(x, width, 7, 2, "conv1_7x7_s2", regularizer)
    x = layers.ReLU(name="conv1_relu")(x)
    x = layers.MaxPooling2D(3, strides=2, padding="valid", name="pool1")(x)
    for stage, count in enumerate(blocks, start=2):
        for block in range(1, count + 1):
            strides = 2 if block == 1 and stage > 2 else 1
            x = _bottleneck(x, width * 2 ** (stage - 2), strides, block == 1, f"conv{stage}_{block}", regularizer)
    # Published: 7×7. A smaller input leaves smaller maps, which are then averaged whole.
    x = layers.AveragePooling2D([min(7, side) for side in x.shape[1:3]], name="avg_pool")(x)
    if variant == "weidi_xie":
        x = layers.Flatten(name="flatten")(x)
        x = layers.Dense(32 * width, activation="relu", kernel_regularizer=regularizer, name="features")(x)
        if include_top:
            x = layers.Dense(
                classes,
                activation="softmax",
                use_bias=False,
                kernel_regularizer=regularizer,
                dtype="float32",
                name="predictions",
            )(x)
    elif include_top:
        x = layers.Flatten(name="flatten")(x)
        x = layers.Dense(classes, activation="softmax", dtype="float32", name="classifier")(x)
    elif pooling == "avg":
        x = layers.GlobalAveragePooling2D(name="global_pool")(x)
    elif pooling == "max":
        x = layers.GlobalMaxPooling2D(name="global_pool")(x)

    # The model and its weights
    model = keras.Model(inputs, x, name=name)
    if weights is not None:
        from abaw_tf.backbones.checkpoints import load_hdf5_weights, locate

        load_hdf5_weights(model, locate(weights))
    return model


def _check_version(version):
    if version not in MEANS_BGR:
        raise ValueError(f"`version` of the preprocessing must be 1 or 2. Received: version={version!r}")


def _convolution(x, filters, kernel_size, strides, name, regularizer):
    """Convolution without bias, then batch normalisation with the Keras defaults (epsilon 1e-3) that the weights expect."""
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_regularizer=regularizer,
        name=name,
    )(x)
    return layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)


def _bottleneck(x, filters, strides, project, name, regularizer):
    """1×1 reduce, 3×3, 1×1 increase around a shortcut; the stride sits on the reduce, as in Caffe."""
    shortcut = x
    if project:
        shortcut = _convolution(x, 4 * filters, 1, strides, f"{name}_1x1_proj", regularizer)
    x = _convolution(x, filters, 1, strides, f"{name}_1x1_reduce", regularizer)
    x = layers.ReLU(name=f"{name}_1x1_reduce_relu")(x)
    x = _convolution(x, filters, 3, 1, f"{name}_3x3", regularizer)
    x = layers.ReLU(name=f"{name}_3x3_relu")(x)
    x = _convolution(x, 4 * filters, 1, 1, f"{name}_1x1_increase", regularizer)
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.ReLU(name=f"{name}_relu")(x)
