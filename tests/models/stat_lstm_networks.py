"""What the tests of the STAT/LSTM network share: small networks of random weights, images, partly missing labels."""

import keras
import numpy as np
from model_contract import without_xla

from abaw_tf.models.stat_lstm import build_stat_lstm
from abaw_tf.targets import va_vector

BASE = {"blocks": (1, 1, 1, 1), "width": 4}
SMALL = {
    **BASE,
    "image_size": 32,
    "expression_units": (16,),
    "regression_units": (16, 8),
    "lstm_units": 8,
}
WITHOUT_DROPOUT = {"dropout": 0.0, "recurrent_dropout": 0.0}


def random_network(preset, **changes):
    """A small network none of whose weights has its initial value: all layers and stored statistics count."""
    keras.utils.set_random_seed(0)
    model = build_stat_lstm(preset, **{**SMALL, **changes})
    rng = np.random.default_rng(0)
    for variable in model.get_layer("base").variables + model.get_layer("head").variables:
        if "seed" in variable.path:
            continue
        value = keras.ops.convert_to_numpy(variable)
        positive = "gamma" in variable.path or "moving_variance" in variable.path
        variable.assign(
            rng.uniform(0.5, 1.5, value.shape)
            if positive
            else value + rng.normal(0, 0.1 * value.std() + 0.05, value.shape)
        )
    # features of size one: probabilities that are neither all alike nor all 0 and 1
    base = model.get_layer("base")
    scale = np.asarray(base(images(8))["features"]).std()
    for variable in base.get_layer("features").variables:
        variable.assign(variable / scale)
    return without_xla(model)


def images(n, seed=1):
    return np.random.default_rng(seed).uniform(0, 255, (n, 32, 32, 3)).astype("float32")


def labels(n):
    """Targets and weights of n frames, with labels missing in every output."""
    rng = np.random.default_rng(2)
    valence, arousal = rng.uniform(-1, 1, (2, n)).astype("float32")
    valence[0] = arousal[1] = np.nan
    expression = rng.integers(0, 7, n)
    expression[2] = -1
    return {
        "expression": expression,
        "arousal": arousal,
        "valence": valence,
        "va_vector": va_vector(valence, arousal),
    }
