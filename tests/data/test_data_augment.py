"""Augmentation: what each transform does to pixels, and that it follows from seed, epoch and example alone."""

import numpy as np
import pytest
import tensorflow as tf

from abaw_tf.data.augment import augment, draws

STILL = {"rotation": 0.0, "flip": False, "brightness": (1.0, 1.0)}


def pictures(n=2, size=9, dtype="uint8"):
    return tf.constant(np.random.default_rng(0).integers(0, 256, (n, size, size, 3)).astype(dtype))


def numbers(angle=0.5, mirror=0.9, light=0.0, right=0.5, down=0.5, size=0.5, whether=0.0, n=2):
    return np.tile(np.float32([angle, mirror, light, right, down, size, whether]), (n, 1))


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


def test_shifts_move_the_picture_right_and_down():
    x = pictures(size=16, dtype="float32")
    y = augment(x, numbers(right=1.0, down=0.0), **STILL, shift=0.125)
    np.testing.assert_allclose(y[:, :-2, 2:], x[:, 2:, :-2], atol=1e-3)


def test_a_mirrored_picture_is_shifted_first():
    x = pictures(size=16, dtype="float32")
    y = augment(x, numbers(mirror=0.1, right=1.0), **{**STILL, "flip": True}, shift=0.125)
    np.testing.assert_allclose(y[:, :, :-2], x[:, :, -3::-1], atol=1e-3)


@pytest.mark.parametrize(("arguments", "side"), [({"centre": 0.5}, 8), ({"scale": 0.6}, 10)])
def test_central_crop_and_size_enlarge_the_middle(arguments, side):
    ramp = tf.tile(tf.reshape(tf.range(16.0), (1, 1, 16, 1)), (1, 16, 1, 3))
    y = augment(ramp, numbers(size=1.0, n=1), **STILL, **arguments)
    np.testing.assert_allclose(y[0, 5, 3:13, 0], 7.5 + (np.arange(3, 13) - 7.5) * side / 16, atol=1e-3)


def test_a_rotation_about_a_shifted_place_is_rotation_then_shift():
    x = pictures(size=17, dtype="float32")
    turned = augment(x, numbers(1.0), **{**STILL, "rotation": 90.0}, border="reflect")
    both = augment(x, numbers(1.0, right=1.0), **{**STILL, "rotation": 90.0}, shift=2 / 17)
    np.testing.assert_allclose(both[:, :, 2:], turned[:, :, :-2], atol=1e-2)


def test_only_a_share_is_rotated_shifted_and_resized():
    x = pictures()
    n = np.concatenate([numbers(0.9, right=0.9, size=0.9, whether=0.49, n=1), numbers(0.9, whether=0.5, n=1)])
    y = augment(x, n, **{**STILL, "rotation": 40.0}, shift=0.2, scale=0.2, share=0.5)
    assert not np.array_equal(y[0], x[0])
    np.testing.assert_array_equal(y[1], x[1])


def test_the_border_can_reflect_the_picture():
    x = pictures(size=8, dtype="float32")
    y = augment(x, numbers(right=1.0), **STILL, shift=0.25, border="reflect")
    np.testing.assert_allclose(y[:, :, :2], x[:, :, 1::-1], atol=1e-3)


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
    assert np.abs(np.corrcoef(n.T) - np.eye(7)).max() < 0.09


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"rotation": -1}, "rotation=-1"),
        ({"brightness": (0.9, 0.2)}, "0.9"),
        ({"shift": -1}, "shift=-1"),
        ({"scale": 1.0}, "scale=1"),
        ({"share": 2}, "share=2"),
        ({"centre": 0.0}, "centre=0"),
        ({"border": "black"}, "black"),
    ],
)
def test_wrong_ranges_are_refused(arguments, word):
    with pytest.raises(ValueError, match=word):
        augment(pictures(), numbers(), **arguments)
    with pytest.raises(ValueError, match="shape"):
        augment(pictures()[0], numbers(n=1))
