"""The upper half of the STAT/LSTM network of Do et al. (2020): from what the base made of the frames of a block to the outputs.

See :mod:`abaw_tf.models.stat_lstm`.
"""

from dataclasses import dataclass

import keras
from keras import layers

from abaw_tf.labels import check_option
from abaw_tf.models.layers import CurrentFrame, StatisticsOverTime, hard_sigmoid_keras2

RECURRENT_ACTIVATIONS = {"sigmoid": "sigmoid", "hard_sigmoid_keras2": hard_sigmoid_keras2}
STATS = ("v0", "v1")
REGRESSIONS = {"arousal": 1, "valence": 1, "va_vector": 5}


@dataclass(frozen=True)
class Derivation:
    """One of the paper's six networks (table I).

    Attributes
    ----------
    frames : bool
        Whether it sees a block of frames (STAT) or the current image alone.
    lstm : bool
        Whether it has the LSTM module.
    valence_arousal : bool
        Whether it has the three regression branches.
    expression_units, regression_units : tuple of int
        Dense layers of the branches.
    """

    frames: bool
    lstm: bool
    valence_arousal: bool
    expression_units: tuple[int, ...] = (1024,)
    regression_units: tuple[int, ...] = (1024, 1024)


# Widths of `image_va`, `frames_va` and `lstm_va`: code (submissions t8 and t15, t31, t45). The authors' third image network (t12) has
# (2048,) in all branches. Those of the networks without regression are not known: the same as with it.
PRESETS = {
    "image": Derivation(False, False, False, (1024, 1024)),
    "image_va": Derivation(False, False, True, (1024, 1024)),
    "frames": Derivation(True, False, False),
    "frames_va": Derivation(True, False, True),
    "lstm": Derivation(True, True, False),
    "lstm_va": Derivation(True, True, True),
}


def build_stat_lstm_head(
    preset="lstm_va",
    n_features=2048,
    n_classes=7,
    block=16,
    stat="v0",
    expression_units=None,
    regression_units=None,
    dropout=0.1,
    lstm_units=1024,
    lstm_layers=2,
    recurrent_dropout=0.1,
    recurrent_activation="sigmoid",
):
    """Build the head of one of the six networks.

    Parameters
    ----------
    preset : {"lstm_va", "lstm", "frames_va", "frames", "image_va", "image"}
        Derivation, see :data:`PRESETS`.
    n_features : int
        Features per frame: 2048 as published, or those of another network.
    n_classes : int
        Expression classes: 7, or 8 in the third edition.
    block : int
        Frames per block, the current one included: 16 or 32 (paper).
    stat : {"v0", "v1"}
        STAT of the probabilities (the networks submitted), or also the mean of the features of the block (paper; code, "V1").
    expression_units, regression_units : tuple of int, optional
        Widths of the dense layers of a branch, ``()`` for none; those of the preset by default.
    dropout, recurrent_dropout : float
        Rates of all dropouts (LSTM inputs included), and of that on the recurrent state.
    lstm_units, lstm_layers : int
        Units per direction; bidirectional layers, one or two (paper).
    recurrent_activation : {"sigmoid", "hard_sigmoid_keras2"}
        Activation of the gates: that of Keras from 2.3 on, or of the versions before. Reading published weights
        tells which one they need.

    Returns
    -------
    keras.Model
        Named "head". ``features`` (batch, n_features), or (batch, block, n_features) with ``stat="v1"``, and ``probabilities`` (batch,
        block, n_classes) to the outputs of :func:`abaw_tf.models.stat_lstm.build_stat_lstm`. An image network takes features alone.

    Raises
    ------
    ValueError
        An argument is out of range.
    """
    # Checks
    check_option("preset", preset, tuple(PRESETS))
    check_option("stat", stat, STATS)
    check_option("recurrent_activation", recurrent_activation, tuple(RECURRENT_ACTIVATIONS))
    for key, value, least in (("n_classes", n_classes, 2), ("block", block, 1), ("n_features", n_features, 1)):
        if value < least:
            raise ValueError(f"`{key}` must be at least {least}. Received: {key}={value}")
    if lstm_layers not in (1, 2):
        raise ValueError(f"`lstm_layers` must be 1 or 2. Received: lstm_layers={lstm_layers}")
    for key, rate in (("dropout", dropout), ("recurrent_dropout", recurrent_dropout)):
        if not 0 <= rate < 1:
            raise ValueError(f"`{key}` must be in [0, 1). Received: {key}={rate}")
    derivation = PRESETS[preset]
    units = dict.fromkeys(REGRESSIONS, derivation.regression_units if regression_units is None else regression_units)
    units["expression"] = derivation.expression_units if expression_units is None else expression_units

    # The functional graph
    if derivation.frames:
        lstm = {"dropout": dropout, "recurrent_dropout": recurrent_dropout}
        lstm["recurrent_activation"] = RECURRENT_ACTIVATIONS[recurrent_activation]
        n_layers = lstm_layers if derivation.lstm else 0
        inputs, x = _fused_block(n_features, n_classes, block, stat, lstm_units, n_layers, lstm)
    else:
        x = keras.Input((n_features,), name="features")
        inputs = {"features": x}
    outputs = {"expression": n_classes, **(REGRESSIONS if derivation.valence_arousal else {})}
    branches = {name: _branch(x, name, size, units[name], dropout) for name, size in outputs.items()}
    return keras.Model(inputs, branches, name="head")


def _fused_block(n_features, n_classes, block, stat, lstm_units, lstm_layers, lstm):
    """Inputs by name, and the vector [max, min, mean, features, probabilities, LSTM]."""
    probabilities = keras.Input((block, n_classes), name="probabilities")
    current_probabilities = CurrentFrame(name="current_probabilities")(probabilities)
    joined = [StatisticsOverTime(name="stat")(probabilities)]
    if stat == "v1":
        given = keras.Input((block, n_features), name="features")
        joined += [StatisticsOverTime(("mean",), name="stat_features")(given)]
        current = CurrentFrame(name="current_features")(given)
    else:
        given = current = keras.Input((n_features,), name="features")
    joined += [current, current_probabilities]
    x = probabilities
    for i in range(1, lstm_layers + 1):
        x = layers.Bidirectional(layers.LSTM(lstm_units, return_sequences=i < lstm_layers, **lstm), name=f"lstm_{i}")(x)
    if lstm_layers:
        joined.append(x)
    inputs = {"features": given, "probabilities": probabilities}
    return inputs, layers.Concatenate(name="fusion")(joined)


def _branch(x, name, size, units, dropout):
    """(Dropout → Dense) for each width, the further dropouts that were published, and the output layer."""
    for i, width in enumerate(units, start=1):
        x = layers.Dropout(dropout, name=f"{name}_dropout_{i}")(x)
        x = layers.Dense(width, activation="relu", name=f"{name}_dense_{i}")(x)
    # The published branches have three dropouts whether they have one or two dense layers.
    for i in range(len(units) + 1, max(3, len(units) + 1) + 1):
        x = layers.Dropout(dropout, name=f"{name}_dropout_{i}")(x)
    activation = "softmax" if name == "expression" else "tanh"
    return layers.Dense(size, activation=activation, dtype="float32", name=name)(x)


def block_of(head):
    """Frames per block that a head takes; 1 of the image networks."""
    return head.input["probabilities"].shape[1] if "probabilities" in head.input else 1


def takes_block_features(head):
    """Whether a head takes the features of the whole block (``stat="v1"``), not of the current frame alone."""
    return len(head.input["features"].shape) == 3
