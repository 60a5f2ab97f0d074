"""In a process of its own: load saved networks, write their outputs, and train them, one after another.

Usage: other_backends_reference.py (jax | mirrored) FOLDER...

"jax" runs under KERAS_BACKEND=jax, "mirrored" under a MirroredStrategy over two logical processors. Of every network NAME.keras in the
folders and its inputs NAME.inputs.npz come NAME.<how>.npz, or NAME.<how>.txt with the error where one fails.
"""

import contextlib
import importlib
import pkgutil
import sys
import traceback
from pathlib import Path

import keras
import numpy as np
from unchanged import unchanged

import abaw_tf.models
from abaw_tf.training import Recipe


def strategy_scope(how):
    if how != "mirrored":
        assert keras.backend.backend() == "jax"
        return contextlib.nullcontext
    import tensorflow as tf

    processor = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert strategy.num_replicas_in_sync == 2
    return strategy.scope


def try_network(path, how, scope):
    """Predict, and a few steps of training."""
    with scope():
        model = keras.saving.load_model(path, compile=False)
        losses = dict.fromkeys(model.output, "mse")
        # Replicas in turn, without a graph: test_training_sequences trains with one.
        model.compile(keras.optimizers.SGD(0.1), losses, jit_compile=how == "jax", run_eagerly=how == "mirrored")
    inputs = dict(np.load(path.with_suffix(".inputs.npz")))
    trained_under_jax = inputs.pop("trained_under_jax")
    outputs = model.predict(inputs, batch_size=4, verbose=0)
    if how == "jax" and not trained_under_jax:
        return outputs
    before = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    # Not the same target everywhere: a softmax that answers evenly has no gradient towards that, and weights would change or not by chance.
    keras.utils.set_random_seed(0)
    targets = {name: np.random.default_rng(0).uniform(size=y.shape).astype("float32") for name, y in outputs.items()}
    losses = model.fit(inputs, targets, batch_size=4, epochs=2, verbose=0).history["loss"]
    return {**outputs, "losses": losses, "unchanged": unchanged(model, before)}


def try_recipe(path):
    """Predict, and some epochs of training on the classes that are in the inputs."""
    inputs = dict(np.load(path.with_suffix(".inputs.npz")))
    recipe = Recipe.from_preset(str(inputs.pop("recipe")), "small")
    kinds = inputs.pop("class")  # 0 … 3, one per example
    model = keras.saving.load_model(path, compile=False)
    outputs = model.predict(inputs, verbose=0)
    recipe.compile(model)
    before = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    targets = {}
    for name, values in outputs.items():
        if name == "expression":
            shape, target = values.shape[:-1], kinds
        else:
            shape, target = values.shape, (kinds / 2 - 0.75).astype("float32")
        targets[name] = np.broadcast_to(target.reshape(-1, *[1] * (len(shape) - 1)), shape)
    keras.utils.set_random_seed(0)
    losses = model.fit(inputs, targets, epochs=16, batch_size=8, verbose=0).history["loss"]
    return {**outputs, "losses": losses, "unchanged": unchanged(model, before)}


def try_part(path):
    """Predict only."""
    inputs = dict(np.load(path.with_suffix(".inputs.npz")))
    del inputs["part"]
    return keras.saving.load_model(path, compile=False).predict(inputs, verbose=0)


how, *folders = sys.argv[1:]
scope = strategy_scope(how)
modules = [f"abaw_tf.models.{module.name}" for module in pkgutil.iter_modules(abaw_tf.models.__path__)]
for module in (*modules, "abaw_tf.backbones.expnet", "abaw_tf.features.frame_audio_graph"):
    importlib.import_module(module)  # registers its layers
for path in [path for folder in folders for path in sorted(Path(folder).glob("*.keras"))]:
    try:
        given = np.load(path.with_suffix(".inputs.npz"))
        if "part" in given:
            found = try_part(path)
        else:
            found = try_recipe(path) if "recipe" in given else try_network(path, how, scope)
        np.savez(path.with_suffix(f".{how}.npz"), **found)
    except Exception:
        path.with_suffix(f".{how}.txt").write_text(traceback.format_exc(), encoding="utf-8")
