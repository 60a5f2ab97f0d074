"""SpecAugment: stripes of a spectrogram are silenced in training (Park et al., Interspeech 2019)."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="abaw_tf")
class SpecAugmentation(layers.Layer):
    """Silence stripes of (batch, time, bands) in training: so many frames in all bands, and so many bands in all frames.

    Each stripe of each example has a width that is uniform in 0 … width - 1, and begins uniformly in 0 … total - its width - 1 (so the
    last frame and the last band are never silenced, as published); stripes may lie on one another, and in sound shorter than a stripe
    they may leave that last frame only. What is silenced becomes zero, the mean of a normalised spectrogram. The published CNN14 trains so
    after its first normalisation, with the values that are the defaults here (Kong et al. 2020, §VI; `SpecAugmentation` of torchlibrosa).

    Parameters
    ----------
    time_width, band_width : int
        Widths that stripes stay below, in frames and in bands.
    stripes : int
        Stripes of either kind.
    seed : int, optional

    Raises
    ------
    ValueError
        If a number is not positive.
    """

    def __init__(self, time_width=64, band_width=8, stripes=2, seed=None, **kwargs):
        for name, value in (("time_width", time_width), ("band_width", band_width), ("stripes", stripes)):
            if value != int(value) or value < 1:
                raise ValueError(f"`{name}` must be a positive whole number. Received: {name}={value}")
        super().__init__(autocast=False, **kwargs)
        self.time_width, self.band_width, self.stripes, self.seed = time_width, band_width, stripes, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x, training=False):
        if not training:
            return x
        batch, time, bands = ops.shape(x)
        frames_kept = ops.expand_dims(self._kept(batch, time, self.time_width), 2)
        bands_kept = ops.expand_dims(self._kept(batch, bands, self.band_width), 1)
        return x * ops.cast(frames_kept & bands_kept, x.dtype)

    def _kept(self, batch, total, width):
        """What lies in no stripe, as truth values (batch, total)."""
        shape = (batch, self.stripes, 1)
        widths = ops.minimum(keras.random.randint(shape, 0, width, seed=self.seed_generator), total - 1)
        room = ops.cast(total - widths, "float32")
        places = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        first = ops.cast(ops.floor(places * room), "int32")
        index = ops.arange(total, dtype="int32")
        return ~ops.any((index >= first) & (index < first + widths), axis=1)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        names = ("time_width", "band_width", "stripes", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
