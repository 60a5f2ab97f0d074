"""Random image transforms of training, as functions of (seed, epoch, example): a resumed run sees the same pictures.

They work on tensors in a ``tf.data`` pipeline, so that a saved model holds none of them. The three transforms of Dresvyanskiy
et al. (2020, §III) behave as those of Keras's former ``ImageDataGenerator``, which the authors used: the border repeats the
nearest pixel, and the brightness factor multiplies the pixel values.
"""

import math

import tensorflow as tf

N_DRAWS = 3


def draws(seed, epoch, examples):
    """Random numbers of some training examples.

    Parameters
    ----------
    seed, epoch : int or scalar tensor
        Seed of the run, and epoch.
    examples : int64 tensor, shape (n,)
        Number of each example in the training set: it decides the numbers, not the place in a batch.

    Returns
    -------
    float32 tensor, shape (n, 3)
        Uniform in [0, 1).
    """
    base = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])

    def of_example(example):
        return tf.random.stateless_uniform((N_DRAWS,), tf.random.experimental.stateless_fold_in(base, example))

    return tf.map_fn(of_example, tf.cast(examples, tf.int64), fn_output_signature=tf.TensorSpec((N_DRAWS,), tf.float32))


def augment(images, numbers, rotation=40.0, flip=True, brightness=(0.2, 1.0)):
    """Rotate, mirror and darken images.

    Parameters
    ----------
    images : tensor, shape (n, height, width, channels) or (n, time, height, width, channels)
        Pixel values in 0–255, uint8 or float. All frames of a clip get the same transform.
    numbers : float32 tensor, shape (n, 3)
        Random numbers in [0, 1), as from `draws`: angle, mirror, brightness.
    rotation : float
        Largest angle to either side, degrees.
    flip : bool
        Mirror left to right where the second number is below one half.
    brightness : (float, float)
        Range of the factor.

    Returns
    -------
    tensor
        Shape and type of `images`.

    Raises
    ------
    ValueError
        A negative rotation, a brightness range that is not ``0 <= low <= high``, or images of another rank.
    """
    low, high = brightness
    if rotation < 0 or not 0 <= low <= high:
        raise ValueError(
            "augmentation needs rotation >= 0 and a brightness range 0 <= low <= high. "
            f"Received: rotation={rotation}, brightness={tuple(brightness)}"
        )
    if images.shape.rank not in (4, 5):
        raise ValueError(f"images must have the shape (n, [time,] height, width, channels). Received: {images.shape}")
    shape = tf.shape(images)
    numbers = tf.convert_to_tensor(numbers, tf.float32)
    if images.shape.rank == 5:
        numbers = tf.repeat(numbers, shape[1], axis=0)
    x = tf.reshape(tf.cast(images, tf.float32), tf.concat([[-1], shape[-3:]], 0))
    angle = (2.0 * numbers[:, 0] - 1.0) * (rotation * math.pi / 180.0)
    mirror = tf.where(tf.logical_and(flip, numbers[:, 1] < 0.5), -1.0, 1.0)
    x = tf.raw_ops.ImageProjectiveTransformV3(
        images=x,
        transforms=_transforms(angle, mirror, tf.cast(shape[-3], tf.float32), tf.cast(shape[-2], tf.float32)),
        output_shape=shape[-3:-1],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
    factor = low + (high - low) * numbers[:, 2]
    x = tf.clip_by_value(x * factor[:, None, None, None], 0.0, 255.0)
    if images.dtype.is_integer:
        x = tf.round(x)
    x = tf.cast(x, images.dtype)
    return tf.ensure_shape(tf.reshape(x, shape), images.shape)


def _transforms(angle, mirror, height, width):
    """Rows of 8 coefficients that take an output pixel to its place in the input: mirror, then rotation about the centre."""
    cos, sin = tf.cos(angle), tf.sin(angle)
    centre_x, centre_y = (width - 1.0) / 2.0, (height - 1.0) / 2.0
    a, b, c, d = cos * mirror, -sin, sin * mirror, cos
    zero = tf.zeros_like(angle)
    shift_x = centre_x - a * centre_x - b * centre_y
    shift_y = centre_y - c * centre_x - d * centre_y
    return tf.stack([a, b, shift_x, c, d, shift_y, zero, zero], axis=1)
