"""The small expression network of face-api.js, read from its 8-bit weights for TensorFlow.js.

Architecture and preprocessing: github.com/justadudewhohacks/face-api.js (MIT), ``src/faceFeatureExtractor``, ``src/faceExpressionNet``.
Files: ``weights/face_expression_model*`` there. What it was trained on is not published.
"""

import json
import math
from pathlib import Path

import keras
import numpy as np
from keras import layers

from abaw_tf.labels import map_probabilities

CLASSES = ("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise")
"""Order of the network's outputs."""

SIZE = 112
MEAN = (122.782, 117.001, 104.298)
"""Mean red, green, blue that is taken away before the division by 255."""

MANIFEST = "face_expression_model-weights_manifest.json"


def read_tfjs_weights(manifest) -> dict:
    """Weights of a TensorFlow.js model, 8-bit or 16-bit values turned back into numbers.

    A quantised value ``q`` stands for ``q · scale + min`` (TensorFlow.js converter, ``quantization`` of the manifest).

    Parameters
    ----------
    manifest : path-like
        ``…-weights_manifest.json``; the shards that it names lie beside it.

    Returns
    -------
    dict of str to numpy.ndarray of float32

    Raises
    ------
    FileNotFoundError
        The manifest or a shard is missing.
    ValueError
        The shards hold more or fewer bytes than the manifest says, or a type is unknown.
    """
    manifest = Path(manifest)
    if not manifest.is_file():
        raise FileNotFoundError(
            f"{manifest}: no such file; take it, and the shards it names, from face-api.js, folder weights"
        )
    weights = {}
    for group in json.loads(manifest.read_text(encoding="utf-8")):
        data, position = b"".join((manifest.parent / name).read_bytes() for name in group["paths"]), 0
        for entry in group["weights"]:
            stored = entry.get("quantization", {})
            dtype = stored.get("dtype", entry["dtype"])
            if dtype not in ("uint8", "uint16", "float32"):
                raise ValueError(f"{manifest}: {entry['name']} must be uint8, uint16 or float32. Received: {dtype}")
            count = math.prod(entry["shape"])
            end = position + count * np.dtype(dtype).itemsize
            if end > len(data):
                raise ValueError(f"{manifest}: the shards end within {entry['name']}. Received: {len(data)} bytes")
            values = np.frombuffer(data[position:end], np.dtype(dtype).newbyteorder("<")).astype(np.float64)
            values = values * stored.get("scale", 1.0) + stored.get("min", 0.0)
            weights[entry["name"]] = values.astype(np.float32).reshape(entry["shape"])
            position = end
        if position != len(data):
            raise ValueError(
                f"{manifest}: the shards hold more than it lists. Received: {len(data)} bytes, not {position}"
            )
    return weights


def build_faceapi_expression(folder) -> keras.Model:
    """Four blocks of separable convolutions (32, 64, 128, 256 channels, each halving the picture), their mean, seven classes.

    Parameters
    ----------
    folder : path-like
        Holds the manifest and its shard.

    Returns
    -------
    keras.Model
        What `preprocess` returns, (batch, 112, 112, 3), to probabilities (batch, 7) in the order `CLASSES`.
    """
    # Checks
    weights = read_tfjs_weights(Path(folder) / MANIFEST)

    # The functional graph
    inputs = keras.Input((SIZE, SIZE, 3), name="faces")
    x = inputs
    for block, filters in enumerate((32, 64, 128, 256)):
        first = layers.Conv2D if block == 0 else layers.SeparableConv2D
        x = first(filters, 3, strides=2, padding="same", activation="relu", name=f"dense{block}_conv0")(x)
        outputs = [x]
        for k in (1, 2, 3):
            # Each convolution sees the sum of all before it, without ReLU on the summands.
            x = layers.SeparableConv2D(filters, 3, padding="same", name=f"dense{block}_conv{k}")(x)
            outputs.append(x)
            x = layers.ReLU(name=f"dense{block}_relu{k}")(layers.Add(name=f"dense{block}_add{k}")(outputs))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = layers.Dense(7, activation="softmax", name="fc", dtype="float32")(x)

    # The model and its weights
    model = keras.Model(inputs, outputs, name="faceapi_expression")
    parts = ("filters", "weights", "depthwise_filter", "pointwise_filter", "bias")
    for layer in model.layers:
        if layer.weights:
            name = layer.name.replace("_", "/")
            layer.set_weights([weights[f"{name}/{part}"] for part in parts if f"{name}/{part}" in weights])
    if keras.backend.backend() == "tensorflow":
        model.jit_compile = False
    return model


def preprocess(faces) -> np.ndarray:
    """RGB faces in 0-255, (n, 112, 112, 3), as the network's input."""
    return (np.asarray(faces, np.float32) - np.asarray(MEAN, np.float32)) / 255.0


def predict_faceapi(images, model, batch_size=64) -> np.ndarray:
    """Expression probabilities of RGB uint8 face crops of any size, official class order, float32 (n, 7)."""
    from abaw_tf.backbones.fer_xception import resize_face

    results = [np.empty((0, 7), np.float32)]
    for start in range(0, len(images), batch_size):
        faces = np.stack([resize_face(image, (SIZE, SIZE)) for image in images[start : start + batch_size]])
        results.append(np.asarray(model.predict_on_batch(preprocess(faces))))
    return np.asarray(map_probabilities(np.concatenate(results), CLASSES, "affwild2"), np.float32)
