"""Run with KERAS_BACKEND=jax: load a saved graph of audio features and write what it makes of an input.

Usage: frame_audio_jax_reference.py MODEL.keras IN.npz OUT.npy
"""

import sys

import keras
import numpy as np

import abaw_tf.features.frame_audio_graph  # noqa: F401  (registers the layers)

model_path, input_path, output_path = sys.argv[1:]
assert keras.backend.backend() == "jax"
model = keras.saving.load_model(model_path, compile=False)
np.save(output_path, model.predict(dict(np.load(input_path)), verbose=0))
