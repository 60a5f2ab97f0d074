"""What training left as it was. A module of its own, for the script under JAX imports no TensorFlow."""

import keras
import numpy as np


def unchanged(model, before):
    """Trainable weights, but for biases, that are as they were `before` training."""
    return [
        variable.path
        for variable, old in zip(model.trainable_variables, before)
        if np.array_equal(keras.ops.convert_to_numpy(variable), old) and "bias" not in variable.path
    ]
