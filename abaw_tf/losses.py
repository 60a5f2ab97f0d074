"""Keras losses for partly labelled frames: concordance, squared error, cross-entropy.

Keras' own losses do not fit missing labels. A missing valence is NaN, and a weight of zero does not remove it (0 · NaN = NaN); a
missing expression is -1, on which a cross-entropy fails; and the mean over *all* frames of a batch shrinks with the share of labels
that are missing. The losses here take the truth as it is stored, leave out every element that is unlabelled or has weight 0,
and divide by the number of elements that are left. Weights other than 0 and 1 (class weights) multiply, as in Keras. A batch with
nothing labelled has loss 0. Everything is computed in float32 under any dtype policy.
"""

import keras
from keras import ops

from abaw_tf.masking import as_float, check_dimensions, truth_like, weights_like

_REGISTER = keras.saving.register_keras_serializable(package="abaw_tf")


class MaskedLoss(keras.losses.Loss):
    """Base: a loss that decides itself how weights and missing labels enter.

    Subclasses implement :meth:`value`; they are called as any Keras loss, ``loss(y_true, y_pred, sample_weight=None)``, and may be
    given to ``compile`` for one of several outputs.
    """

    elementwise = True  # truth and weights have the shape of the prediction; if False, that shape less its class axis

    def __init__(self, name):
        super().__init__(name=name, reduction="sum_over_batch_size", dtype="float32")

    def __call__(self, y_true, y_pred, sample_weight=None):
        # A mask that a Masking or Embedding layer attached to the prediction; lost in the conversion below.
        mask = getattr(y_pred, "_keras_mask", None)
        y_pred = as_float(y_pred)
        y_true = truth_like(as_float(y_true), y_pred) if self.elementwise else as_float(y_true)
        weights = weights_like(y_pred if self.elementwise else y_pred[..., 0], mask, sample_weight)
        value = self.value(y_true, y_pred, weights)
        # Keras' reduction of this one value only divides by the number of replicas under a tf.distribute strategy.
        return super().__call__(ops.reshape(value, (1,)), ops.reshape(value, (1,)))

    def value(self, y_true, y_pred, weights):
        """Scalar loss of float32 tensors; `weights` of 0 and missing truth leave an element out."""
        raise NotImplementedError

    def call(self, y_true, y_pred):
        return y_pred

    def get_config(self):
        return {"name": self.name}


@_REGISTER
class ConcordanceLoss(MaskedLoss):
    r"""One minus the concordance correlation coefficient.

    .. math:: 1 - \frac{2 s_{tp}}{s_t^2 + s_p^2 + (\bar t - \bar p)^2 + 10^{-8}}

    with population moments, weighted by `sample_weight` (see :func:`abaw_tf.metrics.ccc`, whose value this loss has over the same
    frames). Unlike the published code of some systems, variance and covariance are divided by the same number, so that a
    perfect prediction has loss 0.

    Parameters
    ----------
    axis : {"batch", "time"}
        ``"batch"``: one CCC over all elements of the batch, frames of windows included. ``"time"``: one CCC per window, then
        the mean over the windows that have at least two labelled frames.
    dimensions : int
        Number of affect dimensions on the last axis. 1: shapes (n,), (n, 1), (n, t) or (n, t, 1). More: (n, d) or (n, t, d), one
        CCC per dimension, then their mean.
    name : str

    Notes
    -----
    Truth that is NaN and frames of weight 0 do not count. With fewer than two labelled frames the loss is 0. A window whose
    truth is constant has a loss near 1 and no gradient: prefer ``axis="batch"`` for short windows.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, `axis` or `dimensions`.
    """

    def __init__(self, axis="batch", dimensions=1, name="concordance_loss"):
        super().__init__(name)
        if axis not in ("batch", "time"):
            raise ValueError(f"axis must be 'batch' or 'time'. Received: axis={axis!r}")
        if not isinstance(dimensions, int) or dimensions < 1:
            raise ValueError(f"dimensions must be a positive integer. Received: dimensions={dimensions!r}")
        self.axis, self.dimensions = axis, dimensions

    def value(self, y_true, y_pred, weights):
        y_true, y_pred, weights = (self._windows(x) for x in (y_true, y_pred, weights))
        y_true, weights = _without_missing(y_true, weights)
        y_pred = ops.where(weights != 0, y_pred, 0.0)
        total = ops.maximum(ops.sum(weights, axis=1, keepdims=True), keras.config.epsilon())

        def mean(x):
            return ops.sum(weights * x, axis=1, keepdims=True) / total

        mean_true, mean_pred = mean(y_true), mean(y_pred)
        centred_true, centred_pred = y_true - mean_true, y_pred - mean_pred
        spread = mean(ops.square(centred_true) + ops.square(centred_pred)) + ops.square(mean_true - mean_pred)
        ccc = (2.0 * mean(centred_true * centred_pred) / (spread + 1e-8))[:, 0]
        defined = as_float(ops.sum(as_float(weights != 0), axis=1) >= 2.0)
        return ops.sum(defined * (1.0 - ccc)) / ops.maximum(ops.sum(defined), 1.0)

    def _windows(self, x):
        """Bring to shape (windows, frames, dimensions)."""
        check_dimensions(x.shape, self.dimensions)
        if self.axis == "batch":
            return ops.reshape(x, (1, -1, self.dimensions))
        if len(x.shape) == 2 and self.dimensions == 1:
            x = ops.expand_dims(x, -1)
        if len(x.shape) != 3 or x.shape[1] == 1:
            raise ValueError(f"axis='time' needs windows of more than one frame. Received: shape={tuple(x.shape)}")
        return x

    def get_config(self):
        return {**super().get_config(), "axis": self.axis, "dimensions": self.dimensions}


@_REGISTER
class MaskedMeanSquaredError(MaskedLoss):
    """Mean of the squared errors of all labelled elements (NaN truth and weight 0 leave an element out).

    Truth and prediction have the same shape; elements are masked one by one, so that arousal counts where valence is missing.
    """

    def __init__(self, name="masked_mean_squared_error"):
        super().__init__(name)

    def value(self, y_true, y_pred, weights):
        y_true, weights = _without_missing(y_true, weights)
        return _mean(ops.square(ops.where(weights != 0, y_true - y_pred, 0.0)), weights)


class _CrossEntropy(MaskedLoss):
    elementwise = False

    def __init__(self, from_logits, name):
        super().__init__(name)
        self.from_logits = bool(from_logits)

    def _uniform_where_masked(self, y_pred, weights):
        # any finite row will do; it keeps what a padded frame may hold (NaN) out of the gradient
        return ops.where(ops.expand_dims(weights != 0, -1), y_pred, 1.0 / y_pred.shape[-1])

    def get_config(self):
        return {**super().get_config(), "from_logits": self.from_logits}


@_REGISTER
class MaskedSparseCategoricalCrossentropy(_CrossEntropy):
    """Cross-entropy with class indices; frames labelled -1 (or NaN) or of weight 0 are left out.

    Parameters
    ----------
    from_logits : bool
        Whether the prediction is logits rather than probabilities.
    name : str

    Notes
    -----
    Truth of shape (n,), (n, t) or with a last axis of 1; prediction (n, k) or (n, t, k). A class above k - 1 makes the loss NaN (a
    graph cannot raise): the labels are of another edition.
    """

    def __init__(self, from_logits=False, name="masked_sparse_categorical_crossentropy"):
        super().__init__(from_logits, name)

    def value(self, y_true, y_pred, weights):
        n_classes = y_pred.shape[-1]
        y_true = truth_like(y_true, weights)
        weights = ops.where(y_true >= 0.0, weights, 0.0)  # false for NaN too
        out_of_range = (weights != 0) & (y_true >= n_classes)
        target = ops.cast(ops.where((weights != 0) & (y_true < n_classes), y_true, 0.0), "int32")
        y_pred = self._uniform_where_masked(y_pred, weights)
        entropies = ops.sparse_categorical_crossentropy(target, y_pred, from_logits=self.from_logits)
        return _mean(ops.where(out_of_range, float("nan"), entropies), weights)


@_REGISTER
class MaskedCategoricalCrossentropy(_CrossEntropy):
    """Cross-entropy with class probabilities as truth (soft votes); frames with a NaN in the truth or of weight 0 are left out.

    Parameters
    ----------
    from_logits : bool
        Whether the prediction is logits rather than probabilities.
    name : str

    Notes
    -----
    Truth and prediction of shape (n, k) or (n, t, k).
    """

    def __init__(self, from_logits=False, name="masked_categorical_crossentropy"):
        super().__init__(from_logits, name)

    def value(self, y_true, y_pred, weights):
        y_true = truth_like(y_true, y_pred)
        weights = ops.where(ops.any(ops.isnan(y_true), axis=-1), 0.0, weights)
        y_true, y_pred = (self._uniform_where_masked(y, weights) for y in (y_true, y_pred))
        return _mean(ops.categorical_crossentropy(y_true, y_pred, from_logits=self.from_logits), weights)


def _without_missing(y_true, weights):
    """Truth with zeros for NaN, and weights that are zero there."""
    missing = ops.isnan(y_true)
    return ops.where(missing, 0.0, y_true), ops.where(missing, 0.0, weights)


def _mean(values, weights):
    """Weighted sum divided by the number of elements whose weight is not 0."""
    counted = weights != 0
    # where, not a product: a NaN beside a weight of 0 must not get through
    total = ops.sum(ops.where(counted, values, 0.0) * weights)
    return total / ops.maximum(ops.sum(as_float(counted)), 1.0)
