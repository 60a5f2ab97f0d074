"""Model 4 of Dresvyanskiy et al. (2020): a 1D-CNN on the waveform and two LSTMs, one expression per window of sound or five a second.

References
----------
D. Dresvyanskiy, E. Ryumina, H. Kaya, M. Markitantov, A. Karpov, W. Minker, "An Audio-Video Deep and Transfer Learning Framework
for Multimodal Emotion Recognition in the wild", arXiv 2010.03692, 2020, §3.2. Where it is silent or differs, "code" means what the authors
published.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import keras
from keras import layers

from abaw_tf.training.fields import check_choices
from abaw_tf.training.sound_recipe import SoundRecipe

# Filters, kernel and pooling of the four convolutional blocks; the last one pools by the mean, the others by the maximum (code).
BLOCKS = ((128, 20, 10), (256, 10, 10), (512, 8, 8), (512, 5, 4))
OPTIMIZERS = ("adam", "nadam")


def build_audio_cnn_lstm(
    n_classes=7,
    samples=64000,
    steps=None,
    filters=tuple(block[0] for block in BLOCKS),
    units=(256, 256),
    dropout=0.3,
    amplitude=1.0,
    name="audio_cnn_lstm",
):
    """Build the network: four blocks of convolution, dropout and pooling along the waveform, two LSTMs, softmax.

    Parameters
    ----------
    n_classes : int
        Expression classes: 7, or 8 in the third edition.
    samples : int
        Length of a window: 64,000, 4 s at 16 kHz (code; the 48,000 of the paper are 4 s at 12 kHz, or 3 s at 16 kHz). The blocks divide it
        by 3200.
    steps : int, optional
        Sequence to sequence: labels per window, one for each frame that the blocks leave, 20 for 4 s at 16 kHz. None for one label per
        window.
    filters : tuple of four int
        Widths of the convolutions (code).
    units : (int, int)
        Widths of the LSTMs (code).
    dropout : float
        Rate after every convolution (paper) and every LSTM (code): .3.
    amplitude : float
        Factor of the samples inside the network: 1; the code takes 16-bit integers as they are, that is 32,768.
    name : str
        Name of the model.

    Returns
    -------
    keras.Model
        ``sound`` (batch, samples), float32 in [-1, 1], to ``{"expression": (batch, n_classes)}``, or (batch, steps, n_classes),
        probabilities in the official class order, float32 under any dtype policy. With the defaults 4,005,511 parameters, whether there
        is one label per window or many. The paper says "around 4.5 M".

    Raises
    ------
    ValueError
        An argument is out of range.
    """
    # Checks
    shrink = math.prod(block[2] for block in BLOCKS)
    if n_classes < 2:
        raise ValueError(f"`n_classes` must be at least 2. Received: n_classes={n_classes}")
    if samples < shrink:
        raise ValueError(f"`samples` must be at least {shrink}, one frame after pooling. Received: samples={samples}")
    if len(filters) != len(BLOCKS) or len(units) != 2:
        raise ValueError(
            f"`filters` must hold {len(BLOCKS)} widths and `units` two. Received: filters={filters}, units={units}"
        )
    if not 0 <= dropout < 1:
        raise ValueError(f"`dropout` must be in [0, 1). Received: dropout={dropout}")
    frames = samples // shrink
    if steps is not None and steps != frames:
        raise ValueError(
            f"`steps` must be the number of frames that the blocks leave, samples // {shrink} = {frames}, or None. "
            f"Received: steps={steps}"
        )

    # The functional graph
    sound = keras.Input((samples,), name="sound")
    x = layers.Reshape((samples, 1), name="one_channel")(sound)
    if amplitude != 1:
        x = layers.Rescaling(amplitude, name="amplitude")(x)
    for i, (width, (_, kernel, pool)) in enumerate(zip(filters, BLOCKS), start=1):
        x = layers.Conv1D(width, kernel, padding="same", activation="relu", name=f"conv_{i}")(x)
        x = layers.Dropout(dropout, name=f"conv_{i}_dropout")(x)
        pooling = layers.AveragePooling1D if i == len(BLOCKS) else layers.MaxPooling1D
        x = pooling(pool, name=f"conv_{i}_pool")(x)
    for i, width in enumerate(units, start=1):
        many = i < len(units) or steps is not None
        x = layers.LSTM(width, return_sequences=many, name=f"lstm_{i}")(x)
        x = layers.Dropout(dropout, name=f"lstm_{i}_dropout")(x)
    expression = layers.Dense(n_classes, activation="softmax", dtype="float32", name="expression")(x)
    return keras.Model({"sound": sound}, {"expression": expression}, name=name)


@dataclass(frozen=True)
class AudioCnnLstmRecipe(SoundRecipe):
    """Recipe of the 1D-CNN with LSTMs. Defaults: the paper; ``published_code``: what the authors' script does instead.

    Attributes
    ----------
    window_seconds : float
        4 s (paper: the best of 2 to 12 s).
    step_seconds : float
        2.4 s: windows that share 2/5 (paper); the code steps by 2/5 of the window, 1.6 s.
    filters : tuple of four int
        Convolutions: 128, 256, 512, 512 (code).
    units : (int, int)
        LSTMs: 256 and 256 (code).
    dropout : float
        .3 after every convolution (paper) and LSTM (code).
    amplitude : float
        Factor of the samples, which are in [-1, 1]: 1 (our choice); 32,768 in the code, which takes 16-bit integers.
    optimizer_name : str
        ``"adam"`` (paper), ``"nadam"`` (code).
    learning_rate : float
        2.5e-4 (paper); the code leaves Nadam's 1e-3.
    """

    name = "audio_cnn_lstm"
    presets: ClassVar = {
        "paper": {},
        "published_code": {
            "step_seconds": 1.6,
            "amplitude": 32768.0,
            "optimizer_name": "nadam",
            "learning_rate": 1e-3,
        },
        # The expressions of the synthetic dataset last about a second, and its voices need no separation. They are a dozen and tell little:
        # on others the score is a little above chance.
        "small": {
            "voice": "mixture",
            "window_seconds": 1.2,
            "step_seconds": 0.2,
            "filters": (16, 32, 32, 32),
            "units": (32, 32),
            "dropout": 0.1,
            "amplitude": 10.0,
            "learning_rate": 2e-3,
            "epochs": 30,
            "patience": 30,
            "monitor": "val_macro_f1",
            "mode": "max",
        },
    }

    # Neither the number of epochs nor the end of training is stated (the code trains by two epochs in a loop): our choice.
    batch_size: int = 20  # code
    epochs: int = 60
    patience: int = 10
    window_seconds: float = 4.0
    step_seconds: float = 2.4
    class_weights: str = "balanced"  # code
    filters: tuple[int, int, int, int] = tuple(block[0] for block in BLOCKS)
    units: tuple[int, int] = (256, 256)
    dropout: float = 0.3
    amplitude: float = 1.0
    optimizer_name: str = "adam"
    learning_rate: float = 2.5e-4

    def __post_init__(self):
        super().__post_init__()
        check_choices(self, optimizer_name=OPTIMIZERS)

    def build(self):
        need = self.inputs()["sound"]
        return build_audio_cnn_lstm(
            n_classes=len(self.classes),
            samples=need.samples,
            steps=need.size if self.target == "steps" else None,
            filters=self.filters,
            units=self.units,
            dropout=self.dropout,
            amplitude=self.amplitude,
        )

    def optimizer(self):
        cls = {"adam": keras.optimizers.Adam, "nadam": keras.optimizers.Nadam}[self.optimizer_name]
        return cls(self.learning_rate)
