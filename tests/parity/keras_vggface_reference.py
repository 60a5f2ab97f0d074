"""Run the original networks in a process of their own and write what they give.

``keras_vggface_reference.py vggface OUT`` runs the package keras-vggface under tf-keras, without its top (folder ``notop``) and with it
(``top``): random weights (batch normalisation moments included) saved by its own ``save_weights``, and its outputs for fixed images.
``keras_vggface_reference.py vgg16 OUT`` does so with its VGG16, at 64×64 pixels and for seven classes.
``keras_vggface_reference.py model OUT FILE`` opens a complete Keras-2 model file with tf-keras and runs it on fixed inputs.

A separate process, because keras-vggface imports ``keras`` as it was before Keras 3: the old module paths are made to lead to tf-keras.
"""

import os
import sys
import types
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np


def alias_old_keras():
    """Let ``import keras...`` of keras-vggface find tf-keras under the module paths of Keras 2.2."""
    import tf_keras

    for name in ("backend", "layers", "models", "utils"):
        sys.modules[f"keras.{name}"] = getattr(tf_keras, name)
    sys.modules["keras"] = tf_keras
    from tf_keras.src.utils import data_utils, layer_utils

    tf_keras.utils.layer_utils = layer_utils
    sys.modules["keras.utils.layer_utils"] = layer_utils
    sys.modules["keras.utils.data_utils"] = data_utils
    engine, topology = types.ModuleType("keras.engine"), types.ModuleType("keras.engine.topology")
    topology.get_source_inputs = tf_keras.utils.get_source_inputs
    engine.topology = topology
    sys.modules["keras.engine"], sys.modules["keras.engine.topology"] = engine, topology
    return tf_keras


def randomise(model, rng):
    """Random weights and moments at the scale of a trained network: the features come out in the tens."""
    for layer in model.layers:
        values = []
        for variable in layer.weights:
            kind, shape = variable.name.split("/")[-1].split(":")[0], variable.shape.as_list()
            if kind == "kernel":
                value = rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape)
            elif kind in ("gamma", "moving_variance"):
                value = rng.uniform(0.5, 1.5, shape)
            else:
                value = rng.normal(0, 0.1, shape)
            if kind == "moving_variance" and layer.name == "conv1/7x7_s2/bn":
                value = value * 1e4  # the images are in the hundreds
            if kind == "gamma" and layer.name.endswith("increase/bn"):
                value = value * 0.3  # sixteen residual blocks add up
            values.append(value.astype("float32"))
        layer.set_weights(values)


def write_vggface(out, options):
    import keras_vggface
    import keras_vggface.utils

    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (2, 224, 224, 3)).astype("float32")
    arrays = {f"preprocessed_v{v}": keras_vggface.utils.preprocess_input(images, version=v) for v in (1, 2)}
    model = keras_vggface.VGGFace(model="resnet50", weights=None, input_shape=(224, 224, 3), **options)
    randomise(model, rng)
    model.save_weights(str(out / "weights.h5"))
    outputs = model.predict_on_batch(arrays["preprocessed_v2"])
    np.savez(out / "reference.npz", images=images, outputs=outputs, parameters=np.array(model.count_params()), **arrays)


def write_vgg16(out):
    import keras_vggface
    import keras_vggface.utils

    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    model = keras_vggface.VGGFace(model="vgg16", weights=None, input_shape=(64, 64, 3), classes=7)
    randomise(model, rng)
    kernel, bias = model.get_layer("conv1_1").get_weights()
    model.get_layer("conv1_1").set_weights([kernel / 50, bias])  # the images are in the hundreds
    model.save_weights(str(out / "weights.h5"))
    layers = ("conv1_1", "pool5", "fc6", "fc6/relu", "fc7", "fc8", "fc8/softmax")
    inner = type(model)(model.inputs, [model.get_layer(name).output for name in layers])
    outputs = inner.predict_on_batch(keras_vggface.utils.preprocess_input(images, version=1))
    arrays = {name.replace("/", "_"): values for name, values in zip(layers, outputs)}
    whole = keras_vggface.VGGFace(model="vgg16", weights=None)
    np.savez(out / "reference.npz", images=images, parameters=np.array(whole.count_params()), **arrays)


def write_model(out, file):
    import tf_keras

    model = tf_keras.models.load_model(file, compile=False)
    # Patches of 32 to 1 pixels: plain noise would drive every network into one corner of its softmax.
    rng, (height, width, channels) = np.random.default_rng(1), model.input_shape[1:]
    inputs = [
        rng.uniform(-1, 1, (height // side, width // side, channels)).repeat(side, 0).repeat(side, 1)
        for side in (32, 16, 16, 8, 8, 4, 2, 1)
    ]
    inputs = np.stack(inputs).astype("float32")
    np.savez(
        out / "reference.npz",
        inputs=inputs,
        outputs=model.predict_on_batch(inputs),
        parameters=np.array(model.count_params()),
    )


if __name__ == "__main__":
    target = Path(sys.argv[2])
    if sys.argv[1] != "model":
        alias_old_keras()
    if sys.argv[1] == "vggface":
        for name, options in (("notop", {"include_top": False, "pooling": "avg"}), ("top", {"include_top": True})):
            (target / name).mkdir()
            write_vggface(target / name, options)
    elif sys.argv[1] == "vgg16":
        write_vgg16(target)
    else:
        write_model(target, sys.argv[3])
