"""Networks as feature extractors: uint8 RGB images in, one vector per image out.

:data:`EXTRACTORS` holds the ones that tools/extract_features.py offers by name. Any other network becomes one through
:class:`KerasExtractor`.
"""

import difflib
import importlib
from dataclasses import dataclass

import keras
import numpy as np

from abaw_tf.features.keras_extractor import Extractor, KerasExtractor, weights_hash

__all__ = ["EXTRACTORS", "RANDOM", "Extractor", "ExtractorEntry", "KerasExtractor", "make_extractor", "weights_hash"]

RANDOM = "random"

# Modules of the toolkit's own layers: Keras finds them in a file by what these modules register.
LAYERS = ("backbones.expnet", "backbones.vgg_fer", "backbones.vggface2", "models.layers")


def _set_random_weights(model, seed=0):
    """Reproducible random kernels: an untrained network whose tracks can still be resumed.

    LeCun's scale (variance 1 / fan in): He's would let the features of 50 layers grow beyond float16.
    """
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        shape = tuple(variable.shape)
        if "kernel" in variable.name:
            fan_in = shape[0] * shape[1] if "depthwise" in variable.name else int(np.prod(shape[:-1]))
            variable.assign(rng.normal(0, np.sqrt(1 / fan_in), shape).astype("float32"))


@dataclass(frozen=True)
class ExtractorEntry:
    """An extractor that the tool offers.

    Parameters
    ----------
    build : callable
        Takes ``weights`` (a path, a name in the weights registry, :data:`RANDOM`) and ``layer`` (a name or None).
    weights : str or None
        What is taken when no weights are given; None means that they must be.
    summary : str
        One line for ``--help``.
    """

    build: object
    weights: str | None
    summary: str


def _with_weights(build, weights, **options):
    """Build a network and fill it from a file, or at random if asked for in so many words."""
    if weights == RANDOM:
        model = build(weights=None, **options)
        _set_random_weights(model)
        return model
    return build(weights=weights, **options)


def _vggface2(variant, name, **options):
    def build(weights, layer):
        from abaw_tf.backbones.vggface2 import build_vggface2_resnet50

        model = _with_weights(build_vggface2_resnet50, weights, variant=variant, preprocessing=2, **options)
        return KerasExtractor(model, layer, color_order="bgr", name=name)

    return build


def _fer_xception(function_name, layer_name, name):
    def build(weights, layer):
        from abaw_tf.backbones import fer_xception

        model = _with_weights(getattr(fer_xception, function_name), weights)
        return KerasExtractor(
            model,
            layer or layer_name,
            fer_xception.preprocess,
            "fer_xception.preprocess",
            color_order="grey",
            name=name,
        )

    return build


def _expnet(name, size, **options):
    def build(weights, layer):
        from abaw_tf.backbones.expnet import build_expnet

        # An untrained network has no mean image of its own: mid-grey.
        mean = np.full((*size, 3), 127.5) if weights == RANDOM else "shape"
        model = _with_weights(build_expnet, weights, mean_image=mean, **options)
        return KerasExtractor(model, layer, color_order="bgr", name=name)

    return build


def _vgg_fer(name, **options):
    def build(weights, layer):
        from abaw_tf.backbones.vgg_fer import build_vgg_fer

        model = _with_weights(build_vgg_fer, weights, **options)
        return KerasExtractor(model, layer or "fc6", name=name)

    return build


def _keras_file(weights, layer):
    for module in LAYERS:
        importlib.import_module(f"abaw_tf.{module}")
    try:
        model = keras.saving.load_model(weights, compile=False)  # safe mode: no code is unpickled
    except (TypeError, ValueError, OSError) as error:  # TypeError: a layer that nobody has registered
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{weights}: not a model that Keras can read; layers of your own must be registered, and imported before. Received: {reason}"
        ) from error
    return KerasExtractor(model, layer, name=f"{model.name}-{layer or 'output'}")


_SMALL = {"blocks": (1, 1, 1, 1), "width": 16, "input_shape": (112, 112, 3)}

EXTRACTORS: dict[str, ExtractorEntry] = {
    "vggface2": ExtractorEntry(
        _vggface2("keras_vggface", "vggface2"),
        "vggface2_resnet50",
        "VGGFace2 ResNet-50 of keras-vggface, 224×224, 2048 features (Dresvyanskiy et al.)",
    ),
    "vggface2_weidi_xie": ExtractorEntry(
        _vggface2("weidi_xie", "vggface2_weidi_xie", include_top=True),
        "vggface2_resnet50_rafdb",
        "VGGFace2 ResNet-50 tuned on AffectNet and RAF-DB by Do et al., 224×224, 7 probabilities (layer `features`: 2048)",
    ),
    "vggface2_small": ExtractorEntry(
        _vggface2("keras_vggface", "vggface2_small", **_SMALL),
        RANDOM,
        "the same graph with 4 blocks of width 16, 112×112, 512 features, untrained: for trials on two cores",
    ),
    "fer_xception": ExtractorEntry(
        _fer_xception("build_mini_xception", "add_4", "fer_xception"),
        "fer2013_mini_xception",
        "mini-Xception of Arriaga et al. (FER-2013), 64×64 grey, 128 features (layer `predictions`: 7 probabilities)",
    ),
    "fer_big_xception": ExtractorEntry(
        _fer_xception("build_big_xception", "add_2", "fer_big_xception"),
        "fer2013_big_xception",
        "its larger sister, 64×64 grey, 256 features",
    ),
    "expnet": ExtractorEntry(
        _expnet("expnet", (224, 224)),
        "expnet",
        "ExpNet of Chang et al. (a ResNet-101), patches 227×227, 2048 features (Rasipuram et al.)",
    ),
    "expnet_small": ExtractorEntry(
        _expnet("expnet_small", (112, 112), **_SMALL),
        RANDOM,
        "the same graph with 4 blocks of width 16, 112×112, 512 features, untrained: for trials on two cores",
    ),
    # Aligned crops have 112×112 pixels; the network resizes them itself, without rounding.
    "vgg_fer": ExtractorEntry(
        _vgg_fer("vgg_fer", input_size=112),
        "vgg_fer",
        "VGG-Face tuned on FER-2013 by Kaya et al., 112×112, 4096 features before the ReLU (layer `relu6`: after it; Dresvyanskiy et al.)",
    ),
    "vgg_fer_small": ExtractorEntry(
        _vgg_fer("vgg_fer_small", image_size=64, width=8, fc_units=256),
        RANDOM,
        "the same graph of width 8, 64×64, 256 features, untrained: for trials on two cores",
    ),
    "keras": ExtractorEntry(
        _keras_file, None, "any saved model (.keras) that takes RGB images in 0–255; choose the layer"
    ),
}


def make_extractor(name, weights=None, layer=None):
    """Build an extractor of :data:`EXTRACTORS`.

    Parameters
    ----------
    name : str
        Key of the registry.
    weights : str or Path, optional
        File, name in :data:`abaw_tf.backbones.checkpoints.REGISTRY`, or ``"random"`` for an untrained network (seed 0). By
        default the published weights of that network.
    layer : str, optional
        Layer to take the features from instead of the usual one.

    Returns
    -------
    KerasExtractor

    Raises
    ------
    FileNotFoundError
        If the weights are not on this machine.
    ValueError
        If the name, the layer or the weight file is wrong.
    """
    entry = EXTRACTORS.get(name)
    if entry is None:
        near = difflib.get_close_matches(name, EXTRACTORS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown extractor{hint} Known: {', '.join(EXTRACTORS)}. Received: {name!r}")
    weights = weights if weights is not None else entry.weights
    if weights is None:
        raise ValueError(f"extractor {name!r} needs weights: the path of a saved .keras model. Received: weights=None")
    return entry.build(weights, layer)
