"""Run with KERAS_BACKEND=jax: load a saved model, write its outputs, and train it on the classes in it for some epochs.

Usage: jax_reference.py RECIPE MODEL.keras IN.npz OUT.npz
"""

import sys

import keras
import numpy as np

from abaw_tf.training import Recipe

recipe_name, model_path, input_path, output_path = sys.argv[1:]
assert keras.backend.backend() == "jax"
recipe = Recipe.from_preset(recipe_name, "small")  # registers the model's own layers
model = keras.saving.load_model(model_path, compile=False)
inputs = dict(np.load(input_path))
kinds = inputs.pop("class")  # 0 … 3, one per example
outputs = model.predict(inputs, verbose=0)
recipe.compile(model)
targets = {}
for name, values in outputs.items():
    if name == "expression":
        shape, target = values.shape[:-1], kinds
    else:
        shape, target = values.shape, (kinds / 2 - 0.75).astype("float32")
    targets[name] = np.broadcast_to(target.reshape(-1, *[1] * (len(shape) - 1)), shape)
keras.utils.set_random_seed(0)
history = model.fit(inputs, targets, epochs=16, batch_size=8, verbose=0).history["loss"]
np.savez(output_path, loss=history, loaded_tensorflow="tensorflow" in sys.modules, **outputs)
