"""Frame-synchronous audio features in a Keras graph, a batch of segments at a time, on any backend.

The same features as `abaw_tf.features.frame_audio`, which documents the choices, within the tolerances that the tests hold real speech to.
All of it is float32 under any dtype policy: powers overflow float16.
"""

import functools
from dataclasses import asdict

import keras
import librosa
import numpy as np
import scipy.fft
import scipy.signal
from keras import layers, ops

from abaw_tf.features.frame_audio import DYNAMIC_RANGE, SMALLEST_POWER, FrameAudioConfig

_REGISTER = keras.saving.register_keras_serializable(package="abaw_tf")
# Segments per step of `segment_features_in_graph`.
_BATCH = 256


@_REGISTER
class CutSegments(layers.Layer):
    """Cut segments out of sound: [samples (batch, n_samples), starts (batch, n) integer] to (batch, n, length) float32.

    Zero before the beginning and beyond the end, as `abaw_tf.features.frame_audio.cut_segments`. The starts must be computed in float64
    (`abaw_tf.features.frame_audio.segment_starts`): float32 cannot number the samples of an hour.

    Parameters
    ----------
    length : int
        Samples per segment.
    """

    def __init__(self, length, **kwargs):
        if length < 1:
            raise ValueError(f"`length` must be at least 1. Received: length={length}")
        super().__init__(autocast=False, **_in_float32(kwargs))
        self.length = length

    def call(self, inputs):
        samples, starts = inputs
        samples = ops.cast(samples, "float32")
        batch, n_samples = ops.shape(samples)[0], ops.shape(samples)[1]
        index = ops.cast(starts, "int32")[..., None] + ops.arange(self.length, dtype="int32")
        inside = (index >= 0) & (index < n_samples)
        index = ops.where(inside, index, 0)
        found = ops.take_along_axis(samples, ops.reshape(index, (batch, -1)), axis=1)
        return ops.where(inside, ops.reshape(found, ops.shape(index)), 0.0)

    def compute_output_shape(self, input_shape):
        return (*input_shape[1], self.length)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((*inputs[1].shape, self.length), dtype="float32")

    def get_config(self):
        return {**super().get_config(), "length": self.length}


@_REGISTER
class SegmentFeatures(layers.Layer):
    """MFCCs and mel coefficients of segments: (…, length) to (…, n_mfcc + n_mels) float32; the length must be known.

    Parameters
    ----------
    sample_rate, n_fft, hop_length, n_mfcc, n_mels, mel_decibels
        As in `abaw_tf.features.frame_audio.FrameAudioConfig`.
    """

    def __init__(
        self, sample_rate=22050, n_fft=2048, hop_length=512, n_mfcc=40, n_mels=128, mel_decibels=False, **kwargs
    ):
        super().__init__(autocast=False, **_in_float32(kwargs))
        self.config = FrameAudioConfig(sample_rate, n_fft, hop_length, n_mfcc, n_mels, mel_decibels)
        self._window = scipy.signal.get_window("hann", n_fft).astype(np.float32)
        self._mel = librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels).T
        self._cosines = scipy.fft.dct(np.eye(n_mels), norm="ortho")[:, :n_mfcc].astype(np.float32)

    def build(self, input_shape):
        if input_shape[-1] is None:
            raise ValueError(
                f"the length of a segment must be known when the graph is built. Received: shape={tuple(input_shape)}"
            )
        self.built = True

    def call(self, segments):
        config, length = self.config, segments.shape[-1]
        margin = config.n_fft // 2
        padding = [(0, 0)] * (len(segments.shape) - 1) + [(margin, margin)]
        padded = ops.pad(ops.cast(segments, "float32"), padding)
        columns = range(0, length + 2 * margin - config.n_fft + 1, config.hop_length)
        windowed = ops.stack([padded[..., i : i + config.n_fft] for i in columns], axis=-2) * self._window
        real, imaginary = ops.rfft(windowed)
        power = ops.matmul(ops.square(real) + ops.square(imaginary), self._mel)
        decibels = 10.0 * ops.log10(ops.maximum(power, SMALLEST_POWER))
        decibels = ops.maximum(decibels, ops.max(decibels, axis=(-2, -1), keepdims=True) - DYNAMIC_RANGE)
        # The cosine transform is linear: of the mean column it is the mean of the columns' MFCCs.
        mean_decibels = ops.mean(decibels, axis=-2)
        mel = mean_decibels if config.mel_decibels else ops.mean(power, axis=-2)
        return ops.concatenate([ops.matmul(mean_decibels, self._cosines), mel], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.config.dim)

    def compute_output_spec(self, segments):
        return keras.KerasTensor(self.compute_output_shape(segments.shape), dtype="float32")

    def get_config(self):
        return {**super().get_config(), **asdict(self.config)}


def build_frame_audio(length, config: FrameAudioConfig | None = None):
    """Build the graph from sound to the features of every frame; it has no weights.

    Parameters
    ----------
    length : int
        Samples per segment: `abaw_tf.features.frame_audio.segment_length`.
    config : FrameAudioConfig, optional

    Returns
    -------
    keras.Model
        ``{"samples": (batch, n_samples) float32, "starts": (batch, n_frames) int32}`` to (batch, n_frames, dim) float32.
    """
    config = config or FrameAudioConfig()
    samples = keras.Input((None,), dtype="float32", name="samples")
    starts = keras.Input((None,), dtype="int32", name="starts")
    segments = CutSegments(length, name="cut_segments")([samples, starts])
    features = SegmentFeatures(**asdict(config), name="segment_features")(segments)
    return _uncompiled(keras.Model({"samples": samples, "starts": starts}, features, name="frame_audio"))


def segment_features_in_graph(segments, config: FrameAudioConfig | None = None) -> np.ndarray:
    """As `abaw_tf.features.frame_audio.segment_features`, by the graph; may be given to `frame_audio` as ``compute``."""
    config = config or FrameAudioConfig()
    segments = np.asarray(segments, np.float32)
    network = _network(segments.shape[1], config)
    values = np.empty((len(segments), config.dim), np.float32)
    for i in range(0, len(segments), _BATCH):
        part = segments[i : i + _BATCH]
        # Steps of one size: no step compiles the graph anew.
        full = np.concatenate([part, np.zeros((_BATCH - len(part), part.shape[1]), np.float32)])
        values[i : i + len(part)] = np.asarray(network.predict_on_batch(full))[: len(part)]
    return values


@functools.lru_cache(maxsize=8)
def _network(length, config):
    segments = keras.Input((length,), dtype="float32", name="segments")
    features = SegmentFeatures(**asdict(config), name="segment_features")(segments)
    return _uncompiled(keras.Model(segments, features, name="frame_audio_segments"))


def _uncompiled(model):
    if keras.backend.backend() == "tensorflow":
        model.jit_compile = False
    return model


def _in_float32(arguments):
    return {**arguments, "dtype": "float32"}
