"""Run with KERAS_BACKEND=jax: load a saved model, write its outputs, and train it for a few steps.

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
outputs = model.predict(inputs, verbose=0)
recipe.compile(model)
targets, rng = {}, np.random.default_rng(1)
for name, values in outputs.items():
    if name == "expression":
        targets[name] = (np.arange(values[..., 0].size) % len(recipe.classes)).reshape(values.shape[:-1])
    else:
        targets[name] = rng.uniform(-0.8, 0.8, values.shape).astype("float32")
history = model.fit(inputs, targets, epochs=8, batch_size=8, verbose=0).history["loss"]
np.savez(output_path, loss=history, loaded_tensorflow="tensorflow" in sys.modules, **outputs)
