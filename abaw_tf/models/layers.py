"""Layers that bring frames, blocks of frames and batches of either into one another's shape; statistics over time; standardisation.

Those of shape and statistics hold no weights. A *block* is the run of `block` consecutive frames that ends with the current one; a *chunk*
is a longer run, in which every frame from the block-th on is the current one of a block.
"""

import keras
import numpy as np
from keras import layers, ops

_REGISTER = keras.saving.register_keras_serializable(package="abaw_tf")
STATISTICS = ("max", "min", "mean")


@_REGISTER
class FramesToBatch(layers.Layer):
    """(batch, time, …) to (batch · time, …): every frame becomes an example of its own."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, x):
        return ops.reshape(x, (-1, *x.shape[2:]))

    def compute_output_shape(self, input_shape):
        batch, time, *rest = input_shape
        return (None if batch is None or time is None else batch * time, *rest)


@_REGISTER
class BatchToFrames(layers.Layer):
    """(batch · time, …) back to (batch, time, …).

    Called on a list: the tensor to reshape, and any tensor of shape (batch, time, …) that tells how many frames an example has.
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, inputs):
        x, like = inputs
        return ops.reshape(x, (-1, ops.shape(like)[1], *x.shape[1:]))

    def compute_output_shape(self, input_shape):
        shape, like = input_shape
        return (*like[:2], *shape[1:])

    def compute_output_spec(self, inputs):
        x, like = inputs
        return keras.KerasTensor((*like.shape[:2], *x.shape[1:]), dtype=x.dtype)


@_REGISTER
class CurrentFrame(layers.Layer):
    """(batch, time, …) to (batch, …): the last frame of each example."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, x):
        return x[:, -1]

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *input_shape[2:])


class _OfBlocks(layers.Layer):
    """Base of the layers that know the length of a block."""

    def __init__(self, block, **kwargs):
        if block < 1:
            raise ValueError(f"`block` must be at least 1. Received: block={block}")
        super().__init__(autocast=False, **kwargs)
        self.block = block

    def _check(self, shape):
        if shape[1] is not None and shape[1] < self.block:
            raise ValueError(
                f"a chunk must have at least as many frames as a block, {self.block}. Received: shape={tuple(shape)}"
            )

    def _output_shape(self, shape, *rest):
        self._check(shape)
        return (shape[0], None if shape[1] is None else shape[1] - self.block + 1, *rest)

    def get_config(self):
        return {**super().get_config(), "block": self.block}


@_REGISTER
class SlidingBlocks(_OfBlocks):
    """(batch, block - 1 + time, …) to (batch, time, block, …): the block that ends with each frame.

    Parameters
    ----------
    block : int
        Frames per block.
    """

    def call(self, x):
        self._check(x.shape)
        # shifted views beside one another; the end is counted from behind, so that the number of frames may be unknown
        shifted = [x[:, i : i + 1 - self.block or None] for i in range(self.block)]
        return ops.stack(shifted, axis=2)

    def compute_output_shape(self, input_shape):
        return self._output_shape(input_shape, self.block, *input_shape[2:])


@_REGISTER
class CurrentFrames(_OfBlocks):
    """(batch, block - 1 + time, …) to (batch, time, …): the frames with which the blocks of a chunk end.

    Parameters
    ----------
    block : int
        Frames per block.
    """

    def call(self, x):
        self._check(x.shape)
        return x[:, self.block - 1 :]

    def compute_output_shape(self, input_shape):
        return self._output_shape(input_shape, *input_shape[2:])


@_REGISTER
class StatisticsOverTime(layers.Layer):
    """(batch, time, k) to (batch, len(statistics) · k): statistics over the frames of a block, in float32.

    The STAT module of Do et al. (2020), §II-C.

    Parameters
    ----------
    statistics : sequence of {"max", "min", "mean"}
        Which ones, in order of concatenation.
    """

    def __init__(self, statistics=STATISTICS, **kwargs):
        unknown = [name for name in statistics if name not in STATISTICS]
        if unknown or not statistics:
            raise ValueError(f"`statistics` must be some of {STATISTICS}. Received: statistics={tuple(statistics)}")
        super().__init__(**{"dtype": "float32", **kwargs})
        self.statistics = tuple(statistics)

    def call(self, x):
        compute = {"max": ops.max, "min": ops.min, "mean": ops.mean}
        return ops.concatenate([compute[name](x, axis=1) for name in self.statistics], axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], len(self.statistics) * input_shape[2])

    def get_config(self):
        return {**super().get_config(), "statistics": self.statistics}


@_REGISTER
class FixedBatchNormalization(layers.BatchNormalization):
    """Batch normalisation with its stored mean and variance in training, too; scale and offset are trained as usual.

    Keras' own layer does so only where nothing of it is trainable: ``training=True`` of an outer model overrides the ``training=False``
    with which a network was called.
    """

    def call(self, inputs, training=None, mask=None):
        return super().call(inputs, training=False, mask=mask)


@_REGISTER
def hard_sigmoid_keras2(x):
    """The hard sigmoid of Keras 2, clip(0.2 x + 0.5, 0, 1); that of Keras 3 is clip(x / 6 + 0.5, 0, 1)."""
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


@_REGISTER
class ModalityDropout(layers.Layer):
    """Silence whole modalities in training: each of a list of tensors is zero for an example with probability `rate`, never all of them.

    What is left is not scaled up: outside training all modalities are there, each as loud as it was.

    Parameters
    ----------
    rate : float
        In [0, 1).
    seed : int, optional
    """

    def __init__(self, rate, seed=None, **kwargs):
        if not 0 <= rate < 1:
            raise ValueError(f"`rate` must be in [0, 1). Received: rate={rate}")
        super().__init__(**kwargs)
        self.rate, self.seed = rate, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        if not training or self.rate == 0 or len(inputs) == 1:
            return inputs
        batch, count = ops.shape(inputs[0])[0], len(inputs)
        kept = keras.random.uniform((batch, count), seed=self.seed_generator) >= self.rate
        # Where all would be silent, one is drawn that stays.
        spared = keras.random.randint((batch,), 0, count, seed=self.seed_generator)
        rescued = ~ops.any(kept, axis=1, keepdims=True) & (ops.expand_dims(spared, 1) == ops.arange(count))
        kept = kept | rescued
        return [
            x * ops.cast(ops.reshape(kept[:, i], (-1, *[1] * (len(x.shape) - 1))), x.dtype)
            for i, x in enumerate(inputs)
        ]

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@_REGISTER
class Standardization(layers.Normalization):
    """Features of (…, k) minus their mean, over their standard deviation, where a frame that is NaN becomes zero: an average frame.

    In float32 under any dtype policy: raw features reach thousands (pixels, millimetres), which half precision blurs.
    """

    # A feature whose deviation is this much smaller than its mean is constant but for rounding.
    _CONSTANT = 1e-6

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def adapt(self, data):
        """Set mean and variance from training data.

        A feature that is constant in them gets the variance 1: over a deviation of zero, any other value of it would be enormous.

        Parameters
        ----------
        data : tf.data.Dataset
            Batches (b, frames, k), or any iterable of such arrays, one pass. Frames that are NaN do not count.

        Raises
        ------
        ValueError
            All of them are NaN.
        """
        from sklearn.preprocessing import StandardScaler

        # In double precision: in single, as Keras' own `adapt` counts, a constant of .1 seems to vary by 1e-5 of it.
        seen = StandardScaler()
        for batch in data:
            frames = np.asarray(batch, np.float64).reshape(-1, batch.shape[-1])
            frames = frames[~np.isnan(frames).any(axis=-1)]
            if len(frames):
                seen.partial_fit(frames)
        if not hasattr(seen, "mean_"):
            raise ValueError(f"{self.name}: there is nothing to adapt to. Received: no frame that is not NaN")
        constant = seen.var_ <= (self._CONSTANT * seen.mean_) ** 2
        self.adapt_mean.assign(seen.mean_)
        self.adapt_variance.assign(np.where(constant, 1.0, seen.var_))
        self.finalize_state()

    def call(self, inputs):
        # With the variables, not with the copies that Keras' own layer keeps of them: an exported ONNX file would ask for copies as inputs,
        # and compiled programs would not see the variables change.
        inputs = ops.cast(inputs, self.compute_dtype)
        deviation = ops.maximum(ops.sqrt(self.adapt_variance), keras.config.epsilon())
        return ops.where(ops.isnan(inputs), 0.0, (inputs - self.adapt_mean) / deviation)
