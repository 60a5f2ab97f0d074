"""Sound in a TensorFlow graph: resampling against tones that are known at any time, decoding against the reference path."""

import importlib.util

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from abaw_tf.media import audio, audio_graph

HAS_TFIO = importlib.util.find_spec("tensorflow_io") is not None
needs_tfio = pytest.mark.skipif(not HAS_TFIO, reason='tensorflow-io is not installed: pip install "abaw_tf[io]"')
RATES = [(16000, 22050), (44100, 22050), (44100, 16000), (48000, 16000), (22050, 48000), (8000, 44100), (11025, 8000)]


def tone(rate, seconds=1.0, frequency=700.0):
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate).astype(np.float32)


@pytest.fixture
def sounds(tmp_path):
    """Stereo noise in several formats."""
    stereo = np.random.default_rng(0).uniform(-0.5, 0.5, (4000, 2)).astype(np.float32)
    files = {"a.wav": "PCM_16", "b.WAV": "PCM_24", "c.flac": "PCM_16", "d.flac": "PCM_24", "e.ogg": "VORBIS"}
    for name, subtype in files.items():
        soundfile.write(tmp_path / name, stereo, 16000, subtype=subtype)
    return [str(tmp_path / name) for name in files]


@needs_tfio
@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_resampled_tone_keeps_its_place_in_time(rate_in, rate_out):
    """Also tells a delay: 1 µs of it would be an error of 0.004."""
    found = audio_graph.resample_in_graph(tone(rate_in), rate_in, rate_out).numpy()
    expected = tone(rate_out)
    assert found.shape == expected.shape
    inner = slice(rate_out // 20, -rate_out // 20)
    np.testing.assert_allclose(found[inner], expected[inner], atol=1e-3)


@needs_tfio
@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_resampled_click_begins_and_ends_as_with_soxr(rate_in, rate_out):
    """The edges too: low-passed clicks in the first and the last 10 ms."""
    samples = np.zeros(rate_in, np.float32)
    pulse = np.hanning(rate_in // 400).astype(np.float32)
    samples[: len(pulse)], samples[-len(pulse) :] = pulse, pulse
    found = audio_graph.resample_in_graph(samples, rate_in, rate_out).numpy()
    expected = audio.resample(samples, rate_in, rate_out)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-3)


@needs_tfio
def test_equal_rates_change_nothing():
    samples = tone(16000)
    np.testing.assert_array_equal(audio_graph.resample_in_graph(samples, 16000, 16000), samples)


@pytest.mark.parametrize("backend", [pytest.param("tensorflow_io", marks=needs_tfio), "reference"])
def test_any_format_within_a_dataset(sounds, backend):
    """16 and 24 bits, stereo: at the files' own rate both backends give the very samples."""
    dataset = tf.data.Dataset.from_tensor_slices(sounds).map(
        lambda path: audio_graph.load_audio_in_graph(path, 16000, backend)
    )
    assert dataset.element_spec.shape.as_list() == [None]
    for path, samples in zip(sounds, dataset, strict=True):
        np.testing.assert_allclose(samples, soundfile.read(path)[0].mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("backend", [pytest.param("tensorflow_io", marks=needs_tfio), "reference"])
@pytest.mark.parametrize("name", ["nowhere.wav", "broken.wav", "broken.mp4"])
def test_bad_files_are_named(tmp_path, backend, name):
    if name.startswith("broken"):
        (tmp_path / name).write_bytes(b"not sound" * 30)
    dataset = tf.data.Dataset.from_tensors(str(tmp_path / name)).map(
        lambda path: audio_graph.load_audio_in_graph(path, 16000, backend)
    )
    with pytest.raises((tf.errors.OpError, OSError, ValueError), match=name):
        next(iter(dataset))


def test_default_backend():
    assert audio_graph.default_backend() == ("tensorflow_io" if HAS_TFIO else "reference")
    with pytest.raises(ValueError, match=r"backend must be one of tensorflow_io, reference.*'soxr'"):
        audio_graph.load_audio_in_graph("a.wav", 16000, backend="soxr")


@pytest.mark.skipif(HAS_TFIO, reason="tensorflow-io is installed")
def test_absent_tensorflow_io_is_told():
    with pytest.raises(ImportError, match=r"abaw_tf\[io\].*backend=\"reference\""):
        audio_graph.load_audio_in_graph("a.wav", 16000, backend="tensorflow_io")
