"""CNN14, a network trained on the 527 sound classes of AudioSet, from the waveform to class scores (Kong et al., 2020).

One of the "pretrained audio neural networks" (PANNs). Dresvyanskiy et al. (2020) fine-tune it for the seven expressions.

A checkpoint is bound to a sample rate: its filters are those of one rate. Here the graph carries that rate, a checkpoint of another
rate is refused when it is loaded, and :func:`abaw_tf.backbones.log_mel.check_sound_rate` refuses sound of another rate.

References
----------
Q. Kong, Y. Cao, T. Iqbal, Y. Wang, W. Wang, M. D. Plumbley, "PANNs: Large-Scale Pretrained Audio Neural Networks for Audio Pattern
Recognition", IEEE/ACM TASLP 28, 2020, arXiv 1912.10211. Checkpoints: zenodo.org/record/3987831.
"""

import keras
from keras import layers, ops

from abaw_tf.backbones.cnn14_weights import (
    FRONT_ENDS,
    HEAD,
    MELS,
    MISMATCHES,
    load_cnn14_weights,
    locate_cnn14_weights,
)
from abaw_tf.backbones.log_mel import LogMelSpectrogram
from abaw_tf.backbones.spec_augment import SpecAugmentation

CLASSES = 527  # of AudioSet
WIDTHS = (64, 128, 256, 512, 1024, 2048)
FRONT_END = "log_mel"
# Five of the six blocks halve the time axis.
MIN_FRAMES = 2**5


@keras.saving.register_keras_serializable(package="abaw_tf")
class PoolFrequencyAndTime(layers.Layer):
    """(batch, time, frequency, channels) to (batch, channels): mean over frequency, then maximum plus mean over time, in float32."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, x):
        x = ops.mean(ops.cast(x, "float32"), axis=2)
        return ops.cast(ops.max(x, axis=1) + ops.mean(x, axis=1), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])


def build_cnn14(
    classes=CLASSES,
    sample_rate=32000,
    samples=None,
    widths=WIDTHS,
    embedding=2048,
    activation="sigmoid",
    weights=None,
    mismatch=None,
    spec_augment=(64, 8),
    fourier="fft",
    name="cnn14",
):
    """Build CNN14.

    Parameters
    ----------
    classes : int
        Outputs. 527 is the head of AudioSet, 80,753,615 trainable parameters at the defaults; any other number is a new head.
    sample_rate : {32000, 16000}
        Samples per second of the sound that is fed. Frames of 32 ms every 10 ms, 64 mel bands from 50 Hz to 14 kHz (32 kHz sound) or
        8 kHz (16 kHz sound).
    samples : int, optional
        Length of the sound where it is always the same. At least 0.31 s in any case.
    widths : sequence of six int
        Filters of the blocks. The published values give the published network, smaller ones the same graph at a size for two
        processor cores.
    embedding : int
        Units of the layer ``embedding`` before the head. Published: 2048.
    activation : str
        Of the head: ``"sigmoid"`` for classes that sound together (AudioSet), ``"softmax"`` for one class at a time, ``"linear"`` for
        logits.
    weights : {"cnn14_32k", "cnn14_16k"}, str, Path or None
        A name in the registry (see :func:`abaw_tf.backbones.checkpoints.locate`), the path of a checkpoint, or None for random weights.
        The head is loaded if `classes` is 527, otherwise it stays random.
    mismatch : {"dresvyanskiy2020"}, optional
        Feed sound of 16 kHz to the network of 32 kHz, as the published code of Dresvyanskiy et al. (2020) does without saying so: every
        frequency is heard an octave too high, and a frame lasts 64 ms every 20 ms. Needs ``sample_rate=16000``, and ``cnn14_32k`` if
        weights are loaded.
    spec_augment : (int, int) or None
        In training two stripes of so many frames, and two of so many bands, are silenced at most
        (:class:`abaw_tf.backbones.spec_augment.SpecAugmentation`); None: nothing is. The default is what the published network trains
        with; sound much shorter than 3 s needs less.
    fourier : {"fft", "matmul"}
        How spectra are computed, see :class:`abaw_tf.backbones.log_mel.LogMelSpectrogram`; ``"matmul"`` for export to ONNX.
    name : str
        Name of the model.

    Returns
    -------
    keras.Model
        Input ``sound``, (batch, samples) float32 in [-1, 1], to (batch, classes) float32. The layer ``log_mel`` gives the spectrogram
        (batch, 1 + samples // hop, 64) in decibels, ``embedding`` the features (batch, embedding).

    Raises
    ------
    FileNotFoundError
        If the weights are not on this machine.
    ValueError
        If an argument has no meaning here, or the checkpoint is of another sample rate or network.
    """
    # Checks
    trained_rate = _trained_rate(sample_rate, mismatch)
    _check(classes, widths, embedding)
    path = None
    if weights is not None:
        path = locate_cnn14_weights(weights, trained_rate)

    # The functional graph
    sound = keras.Input((samples,), dtype="float32", name="sound")
    front_end = LogMelSpectrogram(
        trained_rate,
        **FRONT_ENDS[trained_rate],
        n_mels=MELS,
        sound_rate=sample_rate,
        min_frames=MIN_FRAMES,
        fourier=fourier,
        name=FRONT_END,
    )
    # In float32: halves are too coarse for decibels that are not normalised yet.
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype="float32", name="bn0")(front_end(sound))
    if spec_augment is not None:
        x = SpecAugmentation(*spec_augment, dtype="float32", name="spec_augment")(x)
    x = layers.Reshape((-1, MELS, 1), name="one_channel")(x)
    for i, filters in enumerate(widths, start=1):
        x = _block(x, filters, f"conv_block{i}")
        if i < len(widths):
            x = layers.AveragePooling2D(2, name=f"conv_block{i}_pool")(x)
        x = layers.Dropout(0.2, name=f"conv_block{i}_dropout")(x)
    x = PoolFrequencyAndTime(name="pool")(x)
    x = layers.Dropout(0.5, name="pool_dropout")(x)
    x = layers.Dense(embedding, activation="relu", name="embedding")(x)
    x = layers.Dropout(0.5, name="embedding_dropout")(x)
    x = layers.Dense(classes, activation=activation, dtype="float32", name=HEAD)(x)

    # The model and its weights
    model = keras.Model(sound, x, name=name)
    if path is not None:
        load_cnn14_weights(model, path, head=classes == CLASSES)
    return model


def _trained_rate(sample_rate, mismatch):
    """Sample rate of the network that hears sound of `sample_rate`."""
    if sample_rate not in FRONT_ENDS:
        raise ValueError(
            f"`sample_rate` must be one of {', '.join(map(str, FRONT_ENDS))}: resample the sound "
            f"(abaw_tf.media.audio.load_audio). Received: sample_rate={sample_rate}"
        )
    if mismatch is None:
        return sample_rate
    if mismatch not in MISMATCHES:
        raise ValueError(f"`mismatch` must be None or one of {', '.join(MISMATCHES)}. Received: {mismatch!r}")
    fed, trained = MISMATCHES[mismatch]
    if sample_rate != fed:
        raise ValueError(
            f"the mismatch {mismatch!r} is sound of {fed} samples per second in the network of {trained}. "
            f"Received: sample_rate={sample_rate}"
        )
    return trained


def _check(classes, widths, embedding):
    if len(widths) != len(WIDTHS):
        raise ValueError(f"`widths` must hold {len(WIDTHS)} numbers, one per block. Received: widths={widths}")
    for what, value in [("classes", classes), ("embedding", embedding), *(("widths", width) for width in widths)]:
        if value < 1:
            raise ValueError(f"`{what}` must be positive. Received: {value}")


def _block(x, filters, name):
    """Twice a 3×3 convolution without bias, batch normalisation, ReLU."""
    for i in (1, 2):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_conv{i}")(x)
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn{i}")(x)
        x = layers.ReLU(name=f"{name}_relu{i}")(x)
    return x
