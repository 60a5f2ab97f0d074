"""Sound in a TensorFlow graph: resampling against tones that are known at any time, decoding against the reference path."""

import importlib.util
import struct
import warnings

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from abaw_tf.media import audio, audio_graph
from abaw_tf.media.video import MediaWarning

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


def chunk(name, content):
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def wav(*before, after=(), data_size=None, riff_size=None, first=()):
    """A WAV file of 1000 samples of 16 bits at 8 kHz with other chunks around them."""
    samples = np.random.default_rng(0).integers(-9000, 9000, 1000, np.int16).tobytes()
    samples = b"data" + struct.pack("<I", len(samples) if data_size is None else data_size) + samples
    form = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16))
    content = b"".join([b"WAVE", *first, form, *before, samples, *after])
    return b"RIFF" + struct.pack("<I", len(content) if riff_size is None else riff_size) + content


ODD, EVEN = chunk(b"id3 ", b"abcdefg"), chunk(b"LIST", b"INFOISFT" + struct.pack("<I", 14) + b"Lavf58.29.100\0")
WAVS = {
    "plain": wav(),
    "even tags": wav(EVEN, after=[EVEN]),
    "odd tag before": wav(ODD),
    "odd LIST before": wav(chunk(b"LIST", b"INFOabc")),
    "odd tag after": wav(after=[ODD]),
    "odd tag at the end, not padded": wav(after=[ODD[:-1]]),
    "tag first": wav(first=[chunk(b"JUNK", bytes(28))]),
    "garbage after": wav(after=[b"abc"]),
    "streamed": wav(data_size=0xFFFFFFFF, riff_size=0xFFFFFFFF),
    "tag and no size": wav(EVEN, riff_size=0),
    "cut": wav()[:-501],
    "cut tag": wav(after=[EVEN[:-4]]),
}


@needs_tfio
@pytest.mark.parametrize("name", WAVS)
def test_wav_of_any_chunks_is_the_same_on_both_paths(tmp_path, name):
    """tensorflow-io alone returns nothing for some, and for others raises errors that do not name the file."""
    path = tmp_path / "a.wav"
    path.write_bytes(WAVS[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MediaWarning)  # of the cut one
        for rate in (8000, 16000):
            found = audio_graph.load_audio_in_graph(str(path), rate, "tensorflow_io").numpy()
            assert len(found) == soundfile.info(path).frames * rate // 8000 > 0
            if rate == 8000:
                np.testing.assert_array_equal(found, audio_graph.load_audio_in_graph(str(path), rate, "reference"))
    assert audio_graph._is_plain_wav(str(path).encode()) == (name in ("plain", "even tags"))


@needs_tfio
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.wav", {"format": "RF64"}),
        ("a.wav", {"format": "WAV", "endian": "BIG"}),
        ("a.wav", {"format": "AIFF"}),
        ("a.wav", {"format": "WAVEX"}),
        ("a.flac", {}),
    ],
)
def test_other_files_of_16_bits_are_the_same_on_both_paths(tmp_path, name, kind):
    stereo = np.random.default_rng(0).uniform(-0.5, 0.5, (1000, 2))
    soundfile.write(tmp_path / name, stereo, 8000, subtype="PCM_16", **kind)
    found = audio_graph.load_audio_in_graph(str(tmp_path / name), 8000, "tensorflow_io").numpy()
    assert len(found) == 1000
    np.testing.assert_array_equal(found, audio_graph.load_audio_in_graph(str(tmp_path / name), 8000, "reference"))


@pytest.mark.parametrize("backend", [pytest.param("tensorflow_io", marks=needs_tfio), "reference"])
def test_cut_flac_in_a_dataset(tmp_path, backend):
    soundfile.write(tmp_path / "a.flac", np.random.default_rng(0).uniform(-0.5, 0.5, 30000), 8000)
    whole, content = soundfile.read(tmp_path / "a.flac")[0], (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(content[: len(content) // 2])
    dataset = tf.data.Dataset.from_tensors(str(tmp_path / "a.flac")).map(
        lambda path: audio_graph.load_audio_in_graph(path, 8000, backend)
    )
    with pytest.warns(MediaWarning, match=r"a\.flac: damaged or cut"):
        (samples,) = dataset
    assert 10000 < len(samples) < 15000
    np.testing.assert_allclose(samples, whole[: len(samples)], atol=1e-6)


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
