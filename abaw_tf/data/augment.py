"""Random image transforms of training, as functions of (seed, epoch, example): a resumed run sees the same pictures.

They work on tensors in a ``tf.data`` pipeline, so that a saved model holds none of them. The three transforms of Dresvyanskiy
et al. (2020, §III) behave as those of Keras's former ``ImageDataGenerator``, which the authors used: the border repeats the
nearest pixel, and the brightness factor multiplies the pixel values. Those of Do et al. (2020; their code names the functions
of Albumentations) add a central crop, shifts and a change of size, and reflect the picture at its border.
"""

import math

import tensorflow as tf

N_DRAWS = 7
BORDERS = ("nearest", "reflect")


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
    float32 tensor, shape (n, 7)
        Uniform in [0, 1).
    """
    base = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])

    def of_example(example):
        return tf.random.stateless_uniform((N_DRAWS,), tf.random.experimental.stateless_fold_in(base, example))

    return tf.map_fn(of_example, tf.cast(examples, tf.int64), fn_output_signature=tf.TensorSpec((N_DRAWS,), tf.float32))


def augment(
    images,
    numbers,
    rotation=40.0,
    flip=True,
    brightness=(0.2, 1.0),
    shift=0.0,
    scale=0.0,
    share=1.0,
    centre=1.0,
    border="nearest",
):
    """Crop, rotate, resize, shift, mirror and darken images, in this order; all but the last in one interpolation.

    Parameters
    ----------
    images : tensor, shape (n, height, width, channels) or (n, time, height, width, channels)
        Pixel values in 0–255, uint8 or float. All frames of a clip get the same transform.
    numbers : float32 tensor, shape (n, 7)
        Random numbers in [0, 1), as from `draws`: angle, mirror, brightness, shift to the right, shift down, size, and whether
        the image is rotated, resized and shifted at all.
    rotation : float
        Largest angle to either side, degrees.
    flip : bool
        Mirror left to right where the second number is below one half.
    brightness : (float, float)
        Range of the factor.
    shift : float
        Largest shift in either direction, as a share of width and height.
    scale : float
        Largest change of size: factors from 1 - scale to 1 + scale.
    share : float
        Share of the images that are rotated, resized and shifted.
    centre : float
        Side of the central part that is kept of every image, and enlarged to the whole, as a share of the image's side.
    border : {"nearest", "reflect"}
        What is seen beyond the picture: its border pixels over and over, or its mirror image.

    Returns
    -------
    tensor
        Shape and type of `images`.

    Raises
    ------
    ValueError
        A value out of range, or images of another rank.
    """
    low, high = brightness
    if rotation < 0 or not 0 <= low <= high:
        raise ValueError(
            "augmentation needs rotation >= 0 and a brightness range 0 <= low <= high. "
            f"Received: rotation={rotation}, brightness={tuple(brightness)}"
        )
    if shift < 0 or not 0 <= scale < 1 or not 0 <= share <= 1 or not 0 < centre <= 1 or border not in BORDERS:
        raise ValueError(
            f"augmentation needs shift >= 0, 0 <= scale < 1, 0 <= share <= 1, 0 < centre <= 1, border of {BORDERS}. "
            f"Received: shift={shift}, scale={scale}, share={share}, centre={centre}, border={border!r}"
        )
    if images.shape.rank not in (4, 5):
        raise ValueError(f"images must have the shape (n, [time,] height, width, channels). Received: {images.shape}")
    shape = tf.shape(images)
    numbers = tf.convert_to_tensor(numbers, tf.float32)
    if images.shape.rank == 5:
        numbers = tf.repeat(numbers, shape[1], axis=0)
    x = tf.reshape(tf.cast(images, tf.float32), tf.concat([[-1], shape[-3:]], 0))
    height, width = tf.cast(shape[-3], tf.float32), tf.cast(shape[-2], tf.float32)
    signed = (2.0 * numbers - 1.0) * tf.cast(numbers[:, 6:] < share, tf.float32)
    x = tf.raw_ops.ImageProjectiveTransformV3(
        images=x,
        transforms=_transforms(
            angle=signed[:, 0] * (rotation * math.pi / 180.0),
            mirror=tf.where(tf.logical_and(flip, numbers[:, 1] < 0.5), -1.0, 1.0),
            zoom=centre / (1.0 + scale * signed[:, 5]),
            right=signed[:, 3] * shift * width,
            down=signed[:, 4] * shift * height,
            centre=((width - 1.0) / 2.0, (height - 1.0) / 2.0),
        ),
        output_shape=shape[-3:-1],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode=border.upper(),
    )
    factor = low + (high - low) * numbers[:, 2]
    x = tf.clip_by_value(x * factor[:, None, None, None], 0.0, 255.0)
    if images.dtype.is_integer:
        x = tf.round(x)
    x = tf.cast(x, images.dtype)
    return tf.ensure_shape(tf.reshape(x, shape), images.shape)


def _transforms(angle, mirror, zoom, right, down, centre):
    """Rows of 8 coefficients that take an output pixel to its place in the input: mirror, shift back, then turn and zoom."""
    cos, sin = zoom * tf.cos(angle), zoom * tf.sin(angle)
    centre_x, centre_y = centre
    a, b, c, d = cos * mirror, -sin, sin * mirror, cos
    zero = tf.zeros_like(angle)
    offset_x = centre_x - a * centre_x - b * centre_y - cos * right + sin * down
    offset_y = centre_y - c * centre_x - d * centre_y - sin * right - cos * down
    return tf.stack([a, b, offset_x, c, d, offset_y, zero, zero], axis=1)
