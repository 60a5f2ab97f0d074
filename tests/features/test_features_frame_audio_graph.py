"""The graph of audio features against the librosa path, under any dtype policy, saved and loaded.

Under JAX: test_models_other_backends.
"""

import keras
import numpy as np
import pytest

from abaw_tf.features import frame_audio as features
from abaw_tf.features import frame_audio_graph as graph
from abaw_tf.features.frame_audio import FrameAudioConfig
from abaw_tf.media.audio import Sound

RATE = 22050
LENGTH = 1764


@pytest.fixture(scope="module")
def segments():
    """Noise from loud to beneath 16 bits, a tone, a click, silence."""
    rng = np.random.default_rng(0)
    rows = [rng.normal(0, level, LENGTH) for level in (0.3, 1e-2, 1e-4, 1e-6)]
    rows += [0.9 * np.sin(0.3 * np.arange(LENGTH)), np.eye(1, LENGTH, 900)[0], np.zeros(LENGTH)]
    return np.array(rows, np.float32)


def assert_same_features(found, expected, n_mfcc=40):
    found, expected = np.asarray(found), np.asarray(expected)
    assert (found.shape, found.dtype) == (expected.shape, np.float32)
    np.testing.assert_allclose(found[..., :n_mfcc], expected[..., :n_mfcc], atol=5e-3)
    np.testing.assert_allclose(found[..., n_mfcc:], expected[..., n_mfcc:], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    "config",
    [
        FrameAudioConfig(),
        FrameAudioConfig(sample_rate=16000, n_fft=512, hop_length=160, n_mfcc=13, n_mels=40),
        FrameAudioConfig(n_fft=1023, hop_length=400),
    ],
)
def test_same_features_as_librosa(segments, config):
    expected = features.segment_features(segments, config)
    assert_same_features(graph.segment_features_in_graph(segments, config), expected, config.n_mfcc)


def test_decibels_on_request(segments):
    config = FrameAudioConfig(mel_decibels=True)
    found = graph.segment_features_in_graph(segments, config)
    np.testing.assert_allclose(found, features.segment_features(segments, config), atol=5e-3)


@pytest.mark.parametrize("length", [200, 735, 5880])
def test_segments_of_other_lengths(length):
    segments = np.random.default_rng(0).normal(0, 0.1, (3, length)).astype(np.float32)
    assert_same_features(graph.segment_features_in_graph(segments), features.segment_features(segments))


def test_any_number_of_segments(segments):
    """More than a step, not a multiple of it, and none."""
    many = np.tile(segments, (80, 1))[:517]
    found = graph.segment_features_in_graph(many)
    assert_same_features(found, np.tile(features.segment_features(segments), (80, 1))[:517])
    assert graph.segment_features_in_graph(many[:0]).shape == (0, 168)


def test_float32_under_a_mixed_policy(segments):
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = graph.build_frame_audio(LENGTH)
        found = model.predict({"samples": segments[4:5], "starts": np.array([[0, 882]], np.int32)}, verbose=0)
    finally:
        keras.config.set_dtype_policy(previous)
    expected = features.segment_features(features.cut_segments(segments[4], [0, 882], LENGTH))
    assert np.square(np.abs(np.fft.rfft(segments[4] * np.hanning(LENGTH)))).max() > np.finfo(np.float16).max
    assert_same_features(found[0], expected)


@pytest.fixture(scope="module", name="sounds")
def make_sounds_once():
    return make_sounds()


def make_sounds():
    """Two sounds of 2 s, each with its own frame times, some of them beyond the ends."""
    rng = np.random.default_rng(1)
    samples = rng.normal(0, 0.1, (2, 2 * RATE)).astype(np.float32)
    starts = np.stack([features.segment_starts(np.arange(60) / 25, RATE), rng.integers(-3000, 2 * RATE, 60)])
    return {"samples": samples, "starts": starts.astype(np.int32)}


def reference(sounds):
    return np.stack(
        [
            features.segment_features(features.cut_segments(samples, starts, LENGTH))
            for samples, starts in zip(*sounds.values())
        ]
    )


def test_cutting_is_exact(sounds):
    found = graph.CutSegments(LENGTH)([sounds["samples"], sounds["starts"]])
    expected = [features.cut_segments(*pair, LENGTH) for pair in zip(*sounds.values())]
    np.testing.assert_array_equal(found, expected)


def test_saved_and_loaded(sounds, tmp_path):
    model = graph.build_frame_audio(LENGTH, FrameAudioConfig(n_mfcc=20))
    model.save(tmp_path / "a.keras")
    loaded = keras.saving.load_model(tmp_path / "a.keras")
    assert loaded.get_layer("segment_features").config == FrameAudioConfig(n_mfcc=20)
    np.testing.assert_array_equal(loaded.predict(sounds, verbose=0), model.predict(sounds, verbose=0))
    assert loaded.output_shape == (None, None, 148)


def test_whole_graph_within_tf_data(sounds):
    import tensorflow as tf

    model = graph.build_frame_audio(LENGTH)
    found = next(iter(tf.data.Dataset.from_tensor_slices(sounds).batch(2).map(model)))
    assert_same_features(found, reference(sounds))


def test_graph_as_the_way_to_compute_a_track(sounds):
    samples = sounds["samples"][0]
    sound = Sound(samples, RATE, 1, RATE, 1.0, ((0.0, 2.0),))
    found = features.frame_audio(sound, np.arange(60) / 25, compute=graph.segment_features_in_graph)
    expected = features.frame_audio(sound, np.arange(60) / 25)
    assert found.missing.sum() == 10
    np.testing.assert_array_equal(found.missing, expected.missing)
    assert_same_features(found.values, expected.values)


def test_errors():
    with pytest.raises(ValueError, match=r"`length` must be at least 1. Received: length=0"):
        graph.CutSegments(0)
    with pytest.raises(ValueError, match=r"length of a segment must be known.*Received: shape=\(None, None\)"):
        graph.SegmentFeatures()(keras.Input((None,)))
