"""Augmentation: what each transform does to pixels, and that it follows from seed, epoch and example alone."""

import numpy as np
import pytest
import tensorflow as tf

from abaw_tf.data.augment import augment, draws

STILL = {"rotation": 0.0, "flip": False, "brightness": (1.0, 1.0)}


def pictures(n=2, size=9, dtype="uint8"):
    return tf.constant(np.random.default_rng(0).integers(0, 256, (n, size, size, 3)).astype(dtype))


def numbers(angle=0.5, mirror=0.9, light=0.0, n=2):
    return np.tile(np.float32([angle, mirror, light]), (n, 1))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_nothing_asked_nothing_changed(dtype):
    x = pictures(dtype=dtype)
    y = augment(x, numbers(0.1, 0.1, 0.7), **STILL)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, x)


def test_the_mirror_swaps_left_and_right_below_one_half():
    x = pictures()
    mixed = np.concatenate([numbers(mirror=0.49, n=1), numbers(mirror=0.5, n=1)])
    y = augment(x, mixed, **{**STILL, "flip": True})
    np.testing.assert_array_equal(y[0], x[0, :, ::-1])
    np.testing.assert_array_equal(y[1], x[1])


@pytest.mark.parametrize(("angle", "turns"), [(0.0, 1), (1.0, -1)])
def test_a_quarter_turn_is_exact(angle, turns):
    x = pictures(dtype="float32")
    y = augment(x, numbers(angle), **{**STILL, "rotation": 90.0})
    candidates = [np.rot90(x, k, axes=(1, 2)) for k in (turns, -turns)]
    error = [np.abs(y - candidate).max() for candidate in candidates]
    assert min(error) < 1e-2
    opposite = augment(x, numbers(1.0 - angle), **{**STILL, "rotation": 90.0})
    np.testing.assert_allclose(opposite, candidates[1 - int(np.argmin(error))], atol=1e-2)


def test_the_border_repeats_the_nearest_pixel():
    x = tf.fill((1, 21, 21, 3), tf.constant(200, tf.uint8))
    np.testing.assert_array_equal(augment(x, numbers(0.0, n=1), rotation=40.0, flip=True, brightness=(1.0, 1.0)), x)


def test_brightness_multiplies_and_clips():
    x = pictures(dtype="float32")
    dark = augment(x, numbers(light=0.25), **{**STILL, "brightness": (0.2, 1.0)})
    np.testing.assert_allclose(dark, x * 0.4, rtol=1e-5)
    bright = augment(pictures(), numbers(), **{**STILL, "brightness": (2.0, 2.0)})
    np.testing.assert_array_equal(bright, np.minimum(pictures().numpy().astype(int) * 2, 255))


def test_all_frames_of_a_clip_get_the_same_transform():
    clip = tf.stack([pictures(), pictures()], axis=1)
    n = draws(0, 0, tf.constant([3, 4], tf.int64))
    y = augment(clip, n)
    assert y.shape == clip.shape
    np.testing.assert_array_equal(y[:, 0], y[:, 1])
    np.testing.assert_array_equal(y[:, 0], augment(pictures(), n))


def test_numbers_follow_from_seed_epoch_and_example_alone():
    all_of_them = draws(1, 2, tf.range(6, dtype=tf.int64)).numpy()
    np.testing.assert_array_equal(draws(1, 2, tf.constant([4, 1], tf.int64)), all_of_them[[4, 1]])
    for seed, epoch in ((1, 3), (2, 2), (2, 1)):
        assert not np.isin(draws(seed, epoch, tf.range(6, dtype=tf.int64)), all_of_them).any()


def test_numbers_are_uniform():
    n = draws(0, 0, tf.range(2000, dtype=tf.int64)).numpy()
    assert n.min() >= 0
    assert n.max() < 1
    np.testing.assert_allclose(n.mean(axis=0), 0.5, atol=0.03)
    assert np.abs(np.corrcoef(n.T) - np.eye(3)).max() < 0.08


@pytest.mark.parametrize(
    ("arguments", "word"), [({"rotation": -1}, "rotation=-1"), ({"brightness": (0.9, 0.2)}, "0.9")]
)
def test_wrong_ranges_are_refused(arguments, word):
    with pytest.raises(ValueError, match=word):
        augment(pictures(), numbers(), **arguments)
    with pytest.raises(ValueError, match="shape"):
        augment(pictures()[0], numbers(n=1))
