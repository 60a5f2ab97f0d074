"""Silenced stripes: where they lie, how wide they are, how much they silence."""

import keras
import numpy as np
import pytest

from abaw_tf.backbones.spec_augment import SpecAugmentation

FRAMES, BANDS = 120, 40


def stripes(layer, examples=400, frames=FRAMES):
    """What is silenced whole: (examples, frames) and (examples, bands)."""
    x = np.ones((examples, frames, BANDS), "float32")
    kept = np.asarray(layer(x, training=True))
    assert ((kept == 0) | (kept == 1)).all()
    silent_frames, silent_bands = ~kept.any(axis=2), ~kept.any(axis=1)
    # nothing else is silenced
    np.testing.assert_array_equal(kept == 0, silent_frames[:, :, None] | silent_bands[:, None, :])
    return silent_frames, silent_bands


def runs(row):
    """Lengths of the runs of truth."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]]).astype(int)))
    return edges[1::2] - edges[::2]


def simulated(total, width, count, draws=20000):
    """Share of every place that is silenced, by the definition: width in 0 … width - 1, first place in 0 … total - width - 1."""
    rng, place = np.random.default_rng(0), np.arange(total)
    length = rng.integers(0, width, (draws, count, 1))
    first = rng.integers(0, total - length)
    return ((first <= place) & (place < first + length)).any(axis=1).mean(axis=0)


def test_outside_training_nothing_changes():
    x = np.random.default_rng(0).normal(size=(2, FRAMES, BANDS)).astype("float32")
    np.testing.assert_array_equal(SpecAugmentation()(x), x)
    np.testing.assert_array_equal(SpecAugmentation()(x, training=False), x)


@pytest.mark.parametrize("count", [1, 3])
def test_stripes(count):
    layer = SpecAugmentation(time_width=16, band_width=6, stripes=count, seed=1)
    frames, bands = stripes(layer, 2000)
    for silent, width in ((frames, 16), (bands, 6)):
        lengths = [runs(row) for row in silent]
        assert max(map(len, lengths)) == count
        assert max(map(np.sum, lengths)) <= count * (width - 1)
        if count == 1:  # every width, and every place
            assert set(np.concatenate(lengths)) == set(range(1, width))
            assert silent[:, :-1].any(axis=0).all()
            assert not silent[:, -1].any()  # the published one never silences the last
    assert len({row.tobytes() for row in frames}) > 1000  # every example has its own


def test_as_much_as_the_published_ones_silence():
    layer = SpecAugmentation(time_width=32, band_width=8, seed=0)
    for silent, width in zip(stripes(layer, 4000), (32, 8)):
        np.testing.assert_allclose(silent.mean(axis=0), simulated(silent.shape[1], width, 2), atol=0.04)


def test_sound_shorter_than_a_stripe():
    frames, _ = stripes(SpecAugmentation(time_width=64, seed=0), frames=10)
    assert frames[:, :-1].any(axis=0).all()
    assert not frames[:, -1].any()


def test_drawn_anew_with_a_seed_to_repeat():
    x = np.ones((4, FRAMES, BANDS), "float32")
    first, again = SpecAugmentation(seed=3), SpecAugmentation.from_config(SpecAugmentation(seed=3).get_config())
    np.testing.assert_array_equal(first(x, training=True), again(x, training=True))
    assert not np.array_equal(first(x, training=True), SpecAugmentation(seed=3)(x, training=True))


def test_the_type_and_an_unknown_length_are_kept():
    inputs = keras.Input((None, BANDS))
    model = keras.Model(inputs, SpecAugmentation(8, 4)(inputs))
    assert model.output_shape == (None, None, BANDS)
    x = keras.ops.ones((2, FRAMES, BANDS), "bfloat16")
    assert keras.backend.standardize_dtype(SpecAugmentation()(x, training=True).dtype) == "bfloat16"


@pytest.mark.parametrize("name", ["time_width", "band_width", "stripes"])
def test_wrong_arguments(name):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive whole number. Received: {name}=0"):
        SpecAugmentation(**{name: 0})
