"""Build the networks of Do et al. (2020) under tf-keras, as their Keras 2 stored them, in a process of its own.

``stat_lstm_reference.py OUT JOBS`` (JOBS: JSON, folder below OUT to options, see `DEFAULTS`) writes into each folder ``weights.h5`` with
random weights (moments of the batch normalisation included) and ``reference.npz`` with the outputs for a fixed random block of frames.

Facts and their sources: the graph, the layers' names, and how they nest are those of the model summaries stored in the authors'
notebooks. There, names are cut off after 31 characters, so the ends ``_ccc`` and ``_mse`` of three output layers are assumed. In the
networks over frames one base occurs three times (inside TimeDistributed, cut off at its features, and on the current image), so that
its weights are stored three times. The published files are mostly whole models, weights below ``model_weights``; some may not be.
"""

import json
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import h5py
import numpy as np
import tf_keras
from tf_keras import backend, layers

DEFAULTS = {
    "network": "lstm_va",  # or base, image_va, frames_va
    "blocks": [3, 4, 6, 3],
    "width": 64,
    "side": 224,
    "block": 16,
    "hidden": {"class": [1024], "aro": [1024, 1024], "val": [1024, 1024], "aroval": [1024, 1024]},
    "lstm": 1024,
    "recurrent_activation": "sigmoid",
    "keras_version": None,  # written over the version of tf-keras
    "whole_model": False,  # model.save instead of model.save_weights
    "automatic_names": False,  # dense_1, dense_2, ... instead of the published names
    "statistics_of_features": False,  # "V1": the mean of the block's features too
}
MEANS_BGR = (91.4953, 103.8827, 131.0912)
OUTPUTS = {
    "class": (7, "softmax", ""),
    "aro": (1, "tanh", "_ccc"),
    "val": (1, "tanh", "_ccc"),
    "aroval": (5, "tanh", "_mse"),
}


def convolution(x, filters, size, strides, name):
    x = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(name=f"{name}/bn")(x)


def bottleneck(x, filters, strides, project, name):
    shortcut = convolution(x, 4 * filters, 1, strides, f"{name}_1x1_proj") if project else x
    x = layers.Activation("relu")(convolution(x, filters, 1, strides, f"{name}_1x1_reduce"))
    x = layers.Activation("relu")(convolution(x, filters, 3, 1, f"{name}_3x3"))
    x = convolution(x, 4 * filters, 1, 1, f"{name}_1x1_increase")
    return layers.Activation("relu")(layers.add([x, shortcut]))


def build_base(options):
    """Image to features and to probabilities: two networks over the same layers."""
    image = layers.Input((options["side"], options["side"], 3), name="base_input")
    x = layers.Activation("relu")(convolution(image, options["width"], 7, 2, "conv1/7x7_s2"))
    x = layers.MaxPooling2D(3, strides=2)(x)
    for stage, count in enumerate(options["blocks"]):
        for i in range(count):
            strides = 2 if stage > 0 and i == 0 else 1
            x = bottleneck(x, options["width"] * 2**stage, strides, i == 0, f"conv{stage + 2}_{i + 1}")
    x = layers.AveragePooling2D(min(7, x.shape[1]), name="avg_pool")(x)
    features = layers.Dense(32 * options["width"], activation="relu", name="features")(layers.Flatten()(x))
    probabilities = layers.Dense(7, activation="softmax", use_bias=False, name="predictions")(features)
    return (
        tf_keras.Model(image, features, name="model_1"),
        tf_keras.Model(image, probabilities, name="model_2"),
    )


def build_heads(x, options):
    """Four heads, made in this order: class, arousal, valence, the five-component vector."""
    prefix, number, outputs = (
        f"expr_va_{options['network'].replace('lstm_va', 'frames_lstm').removesuffix('_va')}",
        0,
        [],
    )
    for name, (size, activation, ending) in OUTPUTS.items():
        y = x
        widths = options["hidden"][name]
        for i, units in enumerate([*widths, size], start=1):
            number += 1
            last = i > len(widths)
            published = f"{prefix}_predictions_{name}{ending}" if last else f"{prefix}_{name}_feature{i}"
            y = layers.Dropout(0.1)(y)
            y = layers.Dense(
                units,
                activation=activation if last else "relu",
                name=f"dense_{number}" if options["automatic_names"] else published,
            )(y)
        outputs.append(y)
    return outputs


def build_network(options):
    features, probabilities = build_base(options)
    network = options["network"]
    if network == "base":
        return probabilities, features
    if network == "image_va":
        image = layers.Input(features.input_shape[1:], name="input_1")
        return tf_keras.Model(image, build_heads(features(image), options), name="model_2"), features
    block = layers.Input((None, *features.input_shape[1:]), name="input_1")
    image = layers.Input(features.input_shape[1:], name="input_2")
    track = layers.TimeDistributed(probabilities, name="time_distributed_1")(block)
    parts = [
        layers.Lambda(lambda x: backend.max(x, axis=1), name="lambda_1")(track),
        layers.Lambda(lambda x: backend.min(x, axis=1), name="lambda_2")(track),
        layers.Lambda(lambda x: backend.mean(x, axis=1), name="lambda_3")(track),
    ]
    if options["statistics_of_features"]:
        all_features = layers.TimeDistributed(features, name="time_distributed_2")(block)
        parts.append(layers.Lambda(lambda x: backend.mean(x, axis=1), name="lambda_4")(all_features))
    parts += [features(image), probabilities(image)]
    if network == "lstm_va":
        for i, sequences in enumerate((True, False), start=1):
            cell = layers.LSTM(
                options["lstm"],
                dropout=0.1,
                recurrent_dropout=0.1,
                recurrent_activation=options["recurrent_activation"],
                return_sequences=sequences,
                name=f"lstm_{i}",
            )
            track = layers.Bidirectional(cell, name=f"bidirectional_{i}")(track)
        parts.append(track)
    x = layers.concatenate(parts, name="concatenate_1")
    return tf_keras.Model([image, block], build_heads(x, options), name="model_3"), features


def randomise(model, rng):
    """Random weights and moments that leave every output alive: neither a uniform nor a one-hot softmax, tanh not saturated."""
    for variable in model.weights:
        name, kind, shape = variable.name, variable.name.split("/")[-1].split(":")[0], variable.shape.as_list()
        if kind in ("kernel", "recurrent_kernel"):
            value = rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape)
        elif kind in ("gamma", "moving_variance"):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.normal(0, 0.1, shape)
        if kind == "moving_variance" and name.startswith("conv1/7x7_s2/bn"):
            value = value * 1e4  # the images are in the hundreds
        if kind == "gamma" and "increase/bn" in name:
            value = value * 0.3  # sixteen residual blocks add up
        if name == "predictions/kernel:0":
            value = value * 0.15
        if kind == "kernel" and variable.shape[-1] in (1, 5, 7) and name != "predictions/kernel:0":
            value = value * 0.05  # outputs of the heads
        variable.assign(value.astype("float32"))


def write_reference(out, options):
    backend.clear_session()  # automatic names begin anew
    rng = np.random.default_rng(0)
    model, features = build_network(options)
    randomise(model, rng)
    file = out / "weights.h5"
    model.save(str(file), include_optimizer=False) if options["whole_model"] else model.save_weights(str(file))
    if options["keras_version"]:
        with h5py.File(file, "a") as opened:
            for group in (opened, opened.get("model_weights", opened)):
                group.attrs["keras_version"] = options["keras_version"].encode()

    # Frames of patches of different sizes: of plain noise all faces would look alike.
    side = options["side"]
    patches = [max(1, side // (2 ** (1 + i % 5))) for i in range(options["block"])]
    frames = [
        rng.uniform(0, 255, (-(-side // p), -(-side // p), 3)).repeat(p, 0).repeat(p, 1)[:side, :side] for p in patches
    ]
    frames = np.stack(frames).round().astype("float32")
    preprocessed = frames[..., ::-1] - np.float32(MEANS_BGR)
    arrays = {"frames": frames, "features": features(preprocessed, training=False).numpy()}
    network = options["network"]
    if network in ("base", "image_va"):
        outputs = model(preprocessed, training=False)
    else:
        outputs = model([preprocessed[-1:], preprocessed[None]], training=False)
    names = ("expression", "arousal", "valence", "va_vector")
    arrays |= dict(zip(names, outputs)) if network != "base" else {"probabilities": outputs}
    arrays = {name: np.asarray(values) for name, values in arrays.items()}
    np.savez(out / "reference.npz", parameters=np.array(model.count_params()), **arrays)


if __name__ == "__main__":
    for folder, options in json.loads(sys.argv[2]).items():
        target = Path(sys.argv[1]) / folder
        target.mkdir()
        write_reference(target, {**DEFAULTS, **options})
