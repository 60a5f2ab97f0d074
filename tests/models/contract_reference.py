"""In a process of its own: load a saved model, write its outputs, and train it for a few steps.

Usage: contract_reference.py (jax | mirrored) MODEL.keras IN.npz OUT.npz

"jax" runs under KERAS_BACKEND=jax, "mirrored" under a MirroredStrategy over two logical processors.
"""

import contextlib
import importlib
import pkgutil
import sys

import keras
import numpy as np

import abaw_tf.models

how, model_path, input_path, output_path = sys.argv[1:]
for module in pkgutil.iter_modules(abaw_tf.models.__path__):  # registers the layers of every model
    importlib.import_module(f"abaw_tf.models.{module.name}")
scope = contextlib.nullcontext()
if how == "mirrored":
    import tensorflow as tf

    processor = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert strategy.num_replicas_in_sync == 2
    scope = strategy.scope()
else:
    assert keras.backend.backend() == "jax"
with scope:
    model = keras.saving.load_model(model_path, compile=False)
    model.compile(keras.optimizers.SGD(0.01), loss=dict.fromkeys(model.output, "mse"), jit_compile=how == "jax")
inputs = dict(np.load(input_path))
outputs = model.predict(inputs, batch_size=4, verbose=0)
before = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
# Not the same target everywhere: a softmax that answers evenly has no gradient towards that, and weights would change or not by chance.
keras.utils.set_random_seed(0)
targets = {name: np.random.default_rng(0).uniform(size=y.shape).astype("float32") for name, y in outputs.items()}
losses = model.fit(inputs, targets, batch_size=4, epochs=2, verbose=0).history["loss"]
changed = [not np.array_equal(keras.ops.convert_to_numpy(v), old) for v, old in zip(model.trainable_variables, before)]
np.savez(output_path, **outputs, losses=losses, changed=np.mean(changed))
