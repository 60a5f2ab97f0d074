"""Run with KERAS_BACKEND=jax: load a saved backbone and write what it makes of an input.

Usage: backbone_jax_reference.py MODULE MODEL.keras IN.npy OUT.npy
"""

import importlib
import sys

import keras
import numpy as np

module, model_path, input_path, output_path = sys.argv[1:]
assert keras.backend.backend() == "jax"
importlib.import_module(module)  # registers its layers
model = keras.saving.load_model(model_path)
np.save(output_path, model.predict(np.load(input_path), verbose=0))
