"""Log-mel spectrograms inside a Keras graph, and the sample rate that such a graph is bound to.

Everything is float32 under any dtype policy: powers overflow float16, and bfloat16 knows decibels to one half only.
"""

import keras
import numpy as np
from keras import layers, ops

SMALLEST_POWER = 1e-10
FOURIER = ("fft", "matmul")


@keras.saving.register_keras_serializable(package="abaw_tf")
class LogMelSpectrogram(layers.Layer):
    r"""Sound (batch, samples) to decibels (batch, 1 + samples // hop_length, n_mels), float32.

    Frame :math:`t` is centred on sample :math:`t \cdot \text{hop\_length}`; beyond both ends the sound is mirrored. With a periodic
    Hann window, Slaney's mel filters :math:`M` (each of unit area) and the spectrum :math:`X_t` of the windowed frame,

    .. math:: L_t = 10 \log_{10} \max(M |X_t|^2, 10^{-10}).

    The result is that of ``librosa.power_to_db(librosa.feature.melspectrogram(..., pad_mode="reflect"), top_db=None)`` and of
    torchlibrosa's ``Spectrogram`` and ``LogmelFilterBank``. The layer holds no weights.

    Parameters
    ----------
    sample_rate : int
        Samples per second that the mel filters are made for.
    n_fft, hop_length : int
        Length of a frame and distance of two frames, in samples. `n_fft` must be even.
    n_mels : int
        Mel bands.
    f_min, f_max : float
        Lower edge of the first and upper edge of the last band, in Hz.
    sound_rate : int, optional
        Samples per second of the sound that is fed (see :func:`sound_rate`); `sample_rate` unless a mismatch is wanted.
    min_frames : int
        Fewest frames with which the network that follows can do something. Shorter sound is refused.
    fourier : {"fft", "matmul"}
        How spectra are computed: by a fast Fourier transform, or by a product with a matrix of cosines and sines, which takes longer and,
        where a GPU rounds the factors of products (TensorFloat-32), loses quiet bands. Only the product can be exported to ONNX; the
        attribute of this name may be set before a model is exported.

    Raises
    ------
    ValueError
        If an argument has no meaning here; when called, if the sound is too short (`tf.errors.InvalidArgumentError` in a graph that was
        traced for sound of any length).
    """

    def __init__(
        self,
        sample_rate,
        n_fft,
        hop_length,
        n_mels=64,
        f_min=50.0,
        f_max=None,
        sound_rate=None,
        min_frames=1,
        fourier="fft",
        **kwargs,
    ):
        super().__init__(autocast=False, **{**kwargs, "dtype": "float32"})
        self.sample_rate, self.n_fft, self.hop_length, self.n_mels = sample_rate, n_fft, hop_length, n_mels
        self.f_min, self.f_max = f_min, sample_rate / 2 if f_max is None else f_max
        self.sound_rate = sample_rate if sound_rate is None else sound_rate
        self.min_frames, self.fourier = min_frames, fourier
        self._check()
        self.mel_filters = mel_filters(sample_rate, n_fft, n_mels, self.f_min, self.f_max)
        # The periodic window, which is symmetric about sample n_fft / 2.
        self._window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)

    def _check(self):
        for name in ("sample_rate", "n_fft", "hop_length", "n_mels", "sound_rate", "min_frames"):
            value = getattr(self, name)
            if value != int(value) or value < 1:
                raise ValueError(f"`{name}` must be a positive whole number. Received: {name}={value}")
        if self.n_fft % 2:
            raise ValueError(f"`n_fft` must be even. Received: n_fft={self.n_fft}")
        if not 0 <= self.f_min < self.f_max <= self.sample_rate / 2:
            raise ValueError(
                "the bands must lie between zero and half the sample rate. "
                f"Received: f_min={self.f_min}, f_max={self.f_max}, sample_rate={self.sample_rate}"
            )

        if self.fourier not in FOURIER:
            raise ValueError(f"`fourier` must be one of {FOURIER}. Received: fourier={self.fourier!r}")

    @property
    def min_samples(self):
        """Samples of the shortest sound that can be computed."""
        return max(self.n_fft // 2 + 1, (self.min_frames - 1) * self.hop_length)

    def call(self, sound):
        self._check_length(sound.shape[1])
        margin = self.n_fft // 2
        padded = ops.pad(ops.cast(sound, "float32"), [(0, 0), (margin, margin)], mode="reflect")
        first = ops.arange(1 + ops.shape(sound)[1] // self.hop_length, dtype="int32") * self.hop_length
        index = ops.expand_dims(first, 1) + ops.arange(self.n_fft, dtype="int32")
        real, imaginary = self._transform(ops.take(padded, index, axis=1) * self._window)
        power = ops.matmul(ops.square(real) + ops.square(imaginary), self.mel_filters)
        decibels = 10.0 * ops.log10(ops.maximum(power, SMALLEST_POWER))
        return decibels if sound.shape[1] is not None else self._with_enough_frames(decibels)

    def _transform(self, frames):
        if self.fourier == "fft":
            return ops.rfft(frames)
        # Whole turns are taken off before the angle is rounded.
        turns = np.outer(np.arange(self.n_fft), np.arange(self.n_fft // 2 + 1)) % self.n_fft
        angles = 2 * np.pi / self.n_fft * turns
        return [ops.matmul(frames, matrix(angles).astype(np.float32)) for matrix in (np.cos, np.sin)]

    def _with_enough_frames(self, decibels):
        """The same, in a graph for sound of any length: run with too short sound it fails, as a slice that is out of range."""
        shape = (ops.shape(decibels)[0], self.min_frames, self.n_mels)
        return ops.concatenate([ops.slice(decibels, (0, 0, 0), shape), decibels[:, self.min_frames :]], axis=1)

    def _check_length(self, samples):
        if samples is not None and samples < self.min_samples:
            raise ValueError(
                f"the sound is too short: at least {self.min_samples} samples "
                f"({self.min_samples / self.sound_rate:.2f} s) are needed; pad it with zeros. Received: {samples} samples"
            )

    def compute_output_shape(self, input_shape):
        batch, samples = input_shape
        self._check_length(samples)
        return (batch, None if samples is None else 1 + samples // self.hop_length, self.n_mels)

    def compute_output_spec(self, sound):
        return keras.KerasTensor(self.compute_output_shape(sound.shape), dtype="float32")

    def get_config(self):
        names = (
            "sample_rate",
            "n_fft",
            "hop_length",
            "n_mels",
            "f_min",
            "f_max",
            "sound_rate",
            "min_frames",
            "fourier",
        )
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def mel_filters(sample_rate, n_fft, n_mels, f_min, f_max):
    """Slaney's mel filters as a float32 array (n_fft // 2 + 1, n_mels)."""
    import librosa

    return librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=f_min, fmax=f_max).T


def front_end(model):
    """The :class:`LogMelSpectrogram` of a model, wherever it is nested.

    Raises
    ------
    ValueError
        If the model has none, or several.
    """
    found = list(_front_ends(model))
    if len(found) != 1:
        raise ValueError(f"the model {model.name!r} must have one log-mel front end. Received: {len(found)}")
    return found[0]


def _front_ends(layer):
    if isinstance(layer, LogMelSpectrogram):
        yield layer
    inner = [layer.layer] if isinstance(layer, layers.Wrapper) else getattr(layer, "layers", ())
    for child in inner:
        yield from _front_ends(child)


def sound_rate(model):
    """Samples per second of the sound that a model is to be fed; kept in its ``.keras`` file.

    Parameters
    ----------
    model : keras.Model
        A model with a :class:`LogMelSpectrogram`, e.g. of :func:`abaw_tf.backbones.cnn14.build_cnn14`.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If the model has no log-mel front end, or several.
    """
    return front_end(model).sound_rate


def check_sound_rate(model, rate):
    """Refuse sound of another sample rate than a model is to be fed.

    A network hears sound of half its rate an octave too high and twice as fast, and says nothing: call this wherever sound goes into
    one.

    Parameters
    ----------
    model : keras.Model
        As of :func:`sound_rate`.
    rate : int
        Samples per second of the sound at hand.

    Raises
    ------
    ValueError
        If the rates differ; the message tells the remedy.
    """
    expected = sound_rate(model)
    if rate != expected:
        raise ValueError(
            f"the model {model.name!r} takes sound of {expected} samples per second: resample it "
            f"(abaw_tf.media.audio.load_audio(path, sample_rate={expected})) or build the network for the other rate. "
            f"Received: {rate} samples per second"
        )
