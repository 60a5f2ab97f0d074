"""A Keras network, or one of its layers, as a feature extractor, and what identifies it."""

import difflib
import hashlib
from typing import Protocol

import keras
import numpy as np
from keras import layers

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
