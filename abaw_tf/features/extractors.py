"""Networks as feature extractors: uint8 RGB images in, one vector per image out.

:data:`EXTRACTORS` holds the ones that tools/extract_features.py offers by name. Any other network becomes one through
:class:`KerasExtractor`.
"""

import difflib
import hashlib
from dataclasses import dataclass
from typing import Protocol

import keras
import numpy as np
from keras import layers

RANDOM = "random"

# Arguments of Keras layers that change the output without changing a weight.
_CONSTANTS = (
    "strides",
    "padding",
    "pool_size",
    "epsilon",
    "activation",
    "negative_slope",
    "max_value",
    "axis",
    "dilation_rate",
)


class Extractor(Protocol):
    """What :func:`abaw_tf.features.extract.extract` needs of an extractor.

    Attributes
    ----------
    name : str
        Part of a folder's name.
    dim : int
        Features per image.
    input_size : tuple of int
        (height, width) of the images that it takes.
    color_order : {"rgb", "bgr", "grey"}
        What the network sees; the images handed over are RGB always.
    weights_hash : str
        Hash of its weights.
    """

    name: str
    dim: int
    input_size: tuple[int, int]
    color_order: str
    weights_hash: str

    def config(self) -> dict:
        """Everything besides the weights that determines the output, JSON-able."""

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Images uint8 RGB (n, height, width, 3) to features float32 (n, dim)."""


class KerasExtractor:
    """A Keras model, or one of its layers, as an extractor.

    Parameters
    ----------
    model : keras.Model
        Functional model of one image input (height, width, channels) of fixed size.
    layer : str, optional
        Layer whose output is the feature; by default the model's output. Maps (h, w, channels) are averaged over the image.
    preprocess : callable, optional
        From RGB images in 0–255 to the model's input; it becomes part of the graph. None: the model takes RGB in 0–255 itself.
    preprocess_name : str, optional
        What to call `preprocess` in the configuration hash; required with `preprocess`, since code cannot be hashed.
    color_order : {"rgb", "bgr", "grey"}
        What the network sees, for the record.
    name : str, optional
        Name of the extractor; by default that of the model.

    Raises
    ------
    ValueError
        If the model has several inputs or a size that is not fixed, or has no such layer.
    """

    def __init__(self, model, layer=None, preprocess=None, preprocess_name=None, color_order="rgb", name=None):
        shape = model.input_shape
        if layer is None and len(model.outputs) > 1:
            raise ValueError(f"model {model.name!r} has several outputs: choose a `layer`. Received: layer=None")
        if isinstance(shape, (list, dict)) or len(shape) != 4 or None in shape[1:]:
            raise ValueError(
                "an extractor's model must have one image input (height, width, channels) of fixed size. "
                f"Received: input_shape={shape}"
            )
        if preprocess is not None and not preprocess_name:
            raise ValueError(
                "`preprocess_name` is required with `preprocess`: it keeps tracks of different inputs apart"
            )
        known = [inner.name for inner in model.layers]
        if layer is not None and layer not in known:
            near = difflib.get_close_matches(layer, known, n=3)
            raise ValueError(
                f"model {model.name!r} has no layer of that name; near ones: {', '.join(near) or ', '.join(known[-5:])}. "
                f"Received: layer={layer!r}"
            )
        self.name, self.color_order = name or model.name, color_order
        self.input_size = tuple(shape[1:3])
        self.layer, self.preprocess_name = layer, preprocess_name
        features = model.outputs[0] if layer is None else model.get_layer(layer).output
        if len(features.shape) == 4:
            features = layers.GlobalAveragePooling2D(name="extractor_pool")(features)
        if len(features.shape) != 2:
            raise ValueError(
                f"features must be (batch, dim) or (batch, h, w, dim). Received: {features.shape} of {layer!r}"
            )
        self.dim = features.shape[-1]
        inner = keras.Model(model.inputs, features, name="extractor")
        self._architecture = _architecture_hash(inner)
        self.weights_hash = weights_hash(inner)
        self.model = inner
        if preprocess is not None:
            images = keras.Input((*self.input_size, 3), name="extractor_images")
            self.model = keras.Model(images, inner(preprocess(images)), name="extractor_with_preprocessing")
        if keras.backend.backend() == "tensorflow":
            # Left to itself Keras compiles with XLA, which on a CPU is up to 12 times slower for separable convolutions.
            self.model.jit_compile = False

    def config(self):
        """Name of the layer and of the preprocessing, input size, and a hash of the graph."""
        return {
            "layer": self.layer,
            "preprocess": self.preprocess_name,
            "input_size": list(self.input_size),
            "color_order": self.color_order,
            "dim": self.dim,
            "architecture": self._architecture,
        }

    def __call__(self, images):
        features = self.model.predict_on_batch(np.asarray(images))
        return np.asarray(features, dtype=np.float32)


def weights_hash(model):
    """SHA-256 (64 hexadecimal digits) of all weights of a model: shapes and values, in the model's order."""
    digest = hashlib.sha256()
    for variable in model.weights:
        values = np.ascontiguousarray(keras.ops.convert_to_numpy(keras.ops.cast(variable, "float32")))
        digest.update(str(values.shape).encode())
        digest.update(values.data)
    return digest.hexdigest()


def _architecture_hash(model):
    """Hash of what the layers compute, unchanged by a Keras version that describes the same layers with more words."""
    return hashlib.sha256(repr(list(_layer_facts(model))).encode()).hexdigest()


def _layer_facts(model):
    """Yield (class, name, weight shapes, constants) of every layer, those of nested models included."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _layer_facts(layer)
            continue
        config = layer.get_config()
        ours = not type(layer).__module__.startswith(
            "keras."
        )  # of layers that Keras does not ship, every argument counts
        chosen = sorted(
            (key, str(value)) for key, value in config.items() if (ours and key != "dtype") or key in _CONSTANTS
        )
        yield type(layer).__name__, layer.name, [tuple(w.shape) for w in layer.weights], chosen


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


def _keras_file(weights, layer):
    model = keras.saving.load_model(weights, compile=False)  # safe mode: no code is unpickled
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
