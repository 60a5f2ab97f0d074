"""Sound inside a TensorFlow graph, for `tf.data`: decoded and resampled by tensorflow-io where it is installed (``abaw_tf[io]``).

The reference path is `abaw_tf.media.audio` (libsndfile, FFmpeg, soxr) called from the graph. tests/end_to_end/test_real_frame_audio.py
holds the two paths to these tolerances on GRID and Emo-DB sound:

==============================================  =============  ==============================================
what                                            no resampling  16, 22.05 and 44.1 kHz to one another
==============================================  =============  ==============================================
waveform, error / signal (rms)                  0              5 %; 0.1 % below 0.8 of the lower Nyquist rate
MFCC, error / spread over the video (rms)       1e-5           0.1
a single MFCC (decibels)                        0.002          6
mel power below 0.85 of the lower Nyquist rate  0.1 %          10 %
==============================================  =============  ==============================================

tensorflow-io's resampler (Speex, quality 4) begins to cut at 0.84 of the lower Nyquist rate, soxr's at 0.91: above that they differ.
So train and predict on one path, or choose the recordings' own sample rate. It is also 60 to 90 times slower than soxr.
"""

import importlib.util
import os

import numpy as np
import soundfile
import tensorflow as tf

from .audio import load_audio
from .riff import is_plain

BACKENDS = ("tensorflow_io", "reference")
# tensorflow-io resamples with Speex at its default quality: a filter of 64 samples at the lower of the two rates.
_FILTER_LENGTH = 64


def default_backend() -> str:
    """``"tensorflow_io"`` where it is installed, else ``"reference"``."""
    return BACKENDS[0] if importlib.util.find_spec("tensorflow_io") else BACKENDS[1]


def load_audio_in_graph(path, sample_rate: int, backend: str | None = None):
    """Mono sound of a file as a tensor; may be mapped over a `tf.data.Dataset` of paths.

    Parameters
    ----------
    path : scalar string tensor, or str
    sample_rate : int
        Samples per second of the result.
    backend : {"tensorflow_io", "reference"}, optional
        ``"tensorflow_io"``: plain WAV files of 16 bits (intact, without tags of odd size: nearly all of them) are decoded by
        tensorflow-io, others (24 bits, FLAC, sound of videos) by `abaw_tf.media.audio`; all are resampled by tensorflow-io.
        ``"reference"``: all by `abaw_tf.media.audio`. By default `default_backend`.

    Returns
    -------
    tensor of float32, shape (n,)
        In [-1, 1]; of a video, sample 0 sounds with the first frame.

    Raises
    ------
    ImportError
        tensorflow-io is asked for and not installed.
    tf.errors.OpError
        When run: the file cannot be read or has no sound; it holds the message of `abaw_tf.media.audio.load_audio`, whose own error is
        raised outside of graphs.
    """
    backend = backend or default_backend()
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}. Received: {backend!r}")
    path = tf.convert_to_tensor(path, tf.string)
    if backend == "reference":
        return _reference(path, sample_rate)[0]
    _tensorflow_io()
    decodes = tf.ensure_shape(tf.numpy_function(_is_plain_wav, [path], tf.bool), [])
    samples, rate = tf.cond(decodes, lambda: _decode(path), lambda: _reference(path, None))
    return resample_in_graph(samples, rate, sample_rate)


def resample_in_graph(samples, rate_in, rate_out):
    """Samples at another rate by tensorflow-io, its delay taken out.

    tensorflow-io leaves Speex's delay of half a filter (about 2 ms at 16 kHz) in its output; a feature of frame-long segments would
    see other sound. Here output sample ``k`` is sound of time ``k / rate_out``, as it is with soxr.

    Parameters
    ----------
    samples : tensor of float32, shape (n,)
    rate_in, rate_out : int, or scalar integer tensor
        Samples per second.

    Returns
    -------
    tensor of float32, shape (round(n · rate_out / rate_in),)
    """
    tfio = _tensorflow_io()
    samples = tf.convert_to_tensor(samples, tf.float32)
    rate_in, rate_out = tf.cast(rate_in, tf.int64), tf.cast(rate_out, tf.int64)

    def changed():
        # Speex lengthens its filter by the ratio when the rate goes down, and rounds up to a multiple of eight.
        stretched = (_FILTER_LENGTH * tf.maximum(rate_in, rate_out) // rate_out + 7) // 8 * 8
        delay = stretched // 2  # in samples of the input, seldom a whole number of output samples ...
        # ... but with so much silence in front, delay and silence are one second: exactly rate_out samples of the output.
        padded = tf.pad(samples, [[rate_in - delay, stretched]])
        length = (2 * tf.size(samples, tf.int64) * rate_out + rate_in) // (2 * rate_in)
        return tfio.audio.resample(padded, rate_in, rate_out)[rate_out : rate_out + length]

    result = tf.cond(tf.equal(rate_in, rate_out), lambda: samples, changed)
    result.set_shape([None])
    return result


def _decode(path):
    sound = _tensorflow_io().audio.AudioIOTensor(path, dtype=tf.int16)
    samples = tf.reduce_mean(tf.cast(sound.to_tensor(), tf.float32) / 32768.0, axis=1)
    return samples, tf.cast(sound.rate, tf.int64)


def _is_plain_wav(path):
    """Whether tensorflow-io reads this file right.

    Of samples of another width it would return noise (the type of samples is part of the graph). Of WAV files that are not plain it
    returns empty sound or raises an error that does not name the file; so it does of a damaged FLAC file, which cannot be told from an
    intact one before it is decoded.
    """
    path = _text(path)
    try:
        plain = path.lower().endswith(".wav") and os.path.isfile(path) and is_plain(path)
        return np.bool_(plain and soundfile.info(path).subtype == "PCM_16")
    except (OSError, soundfile.LibsndfileError):  # the reference path says why
        return np.bool_(False)


def _reference(path, sample_rate):
    def load(path):
        samples, rate = load_audio(_text(path), sample_rate)
        return samples, np.int64(rate)

    samples, rate = tf.numpy_function(load, [path], (tf.float32, tf.int64))
    return tf.ensure_shape(samples, [None]), tf.ensure_shape(rate, [])


def _text(path):
    return np.asarray(path).item().decode()


def _tensorflow_io():
    try:
        import tensorflow_io
    except ImportError as error:
        raise ImportError(
            'resampling in the graph needs tensorflow-io: pip install "abaw_tf[io]" (TensorFlow 2.16), or use backend="reference"'
        ) from error
    return tensorflow_io
