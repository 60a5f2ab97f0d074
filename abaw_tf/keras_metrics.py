"""Streaming Keras metrics: over any sequence of batches the same number as :mod:`abaw_tf.metrics` over all frames at once.

``keras.metrics.ConcordanceCorrelation`` and an F1 averaged over batches are other numbers than the challenge's. The metrics here keep
sums over frames (moments, a confusion matrix) and compute the score from them. The sums of several replicas add up, so they
also hold under ``tf.distribute``.

Missing truth (-1, NaN) does not count. `sample_weight` is a mask: frames of weight 0 do not count, others count once, so that class
weights do not change a score; pass the metrics as ``weighted_metrics`` for the mask to reach them. Before the first labelled
frame a metric is 0, as usual in Keras. What the NumPy functions refuse (a class out of range, a prediction that is NaN on a
labelled frame) makes a metric NaN, for a graph cannot raise.
"""

import keras
from keras import ops

from abaw_tf import labels, metrics
from abaw_tf.masking import as_float, check_dimensions, truth_like, weights_like

_REGISTER = keras.saving.register_keras_serializable(package="abaw_tf")


def expression_metrics(n_classes, edition):
    """Metrics of a network of expressions: ``accuracy``, ``macro_f1``, ``macro_recall`` and the ``expression_score`` of the edition."""
    return [
        keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
        MacroF1(n_classes, name="macro_f1"),
        MacroRecall(n_classes, name="macro_recall"),
        ExpressionScore(edition, name="expression_score"),
    ]


def compile_expression(model, optimizer, n_classes, edition, loss="sparse_categorical_crossentropy"):
    """Compile a model whose only output is ``expression``, with :func:`expression_metrics`."""
    model.compile(
        optimizer=optimizer,
        loss={"expression": loss},
        weighted_metrics={"expression": expression_metrics(n_classes, edition)},
    )


@_REGISTER
class ConcordanceCorrelation(keras.metrics.Metric):
    """Concordance correlation coefficient over all frames seen (see :func:`abaw_tf.metrics.ccc`).

    Keeps six sums per dimension (frames, truth, prediction, their squares and product), each as a float32 pair of value and
    rounding error, so that millions of frames lose no digits. The variances are differences of these sums: four digits are right
    as long as the mean is not more than some thirty standard deviations from zero, which valence and arousal never are.

    Parameters
    ----------
    dimensions : int
        1: truth and prediction of shape (n,), (n, 1), (n, t) or (n, t, 1), every element a frame. More: (n, d) or (n, t, d), the
        mean of the CCCs of the d dimensions; with valence and arousal, ``dimensions=2`` is the challenge's score.
    name : str
    dtype : str, optional
        As for any Keras metric; the sums are float32 whatever it is.

    Notes
    -----
    Where the CCC of NumPy is NaN (fewer than two frames, truth and prediction constant and equal) this one is 0: training loops
    compare it.
    """

    def __init__(self, dimensions=1, name="ccc", dtype=None):
        super().__init__(name=name, dtype=dtype)
        if not isinstance(dimensions, int) or dimensions < 1:
            raise ValueError(f"dimensions must be a positive integer. Received: dimensions={dimensions!r}")
        self._direction = "up"
        self.dimensions = dimensions
        self.sums = self.add_variable((6, dimensions), "zeros", dtype="float32", name="sums")
        self.errors = self.add_variable((6, dimensions), "zeros", dtype="float32", name="errors")

    def update_state(self, y_true, y_pred, sample_weight=None):
        p = as_float(y_pred)
        check_dimensions(p.shape, self.dimensions)
        t = truth_like(as_float(y_true), p)
        counted = (weights_like(p, sample_weight) != 0) & ~ops.isnan(t)
        t, p = ops.where(counted, t, 0.0), ops.where(counted, p, 0.0)
        terms = ops.stack([as_float(counted), t, p, t * t, p * p, t * p])
        batch = ops.sum(ops.reshape(terms, (6, -1, self.dimensions)), axis=1)
        # Knuth's two-sum: sums + batch = total + error, exactly
        sums = ops.convert_to_tensor(self.sums)
        total = sums + batch
        added = total - sums
        self.errors.assign_add((sums - (total - added)) + (batch - added))
        self.sums.assign(total)

    def result(self):
        sums = ops.convert_to_tensor(self.sums) + ops.convert_to_tensor(self.errors)
        n, t, p, tt, pp, tp = (sums[i] for i in range(6))
        n = ops.maximum(n, 1.0)
        t, p, tt, pp, tp = t / n, p / n, tt / n, pp / n, tp / n
        spread = (tt - t * t) + (pp - p * p) + ops.square(t - p)
        # a spread below the resolution of the squares is rounding: truth and prediction are constant and equal
        ccc = ops.where(spread <= 1e-6 * (tt + pp), 0.0, 2.0 * (tp - t * p) / spread)
        return ops.mean(ccc)

    def get_config(self):
        return {**super().get_config(), "dimensions": self.dimensions}


class ConfusionMetric(keras.metrics.Metric):
    """Base: a score of the confusion matrix of all frames seen; subclasses implement :meth:`score`.

    Truth is class indices of shape (n,), (n, t) or with a last axis of 1; the prediction is probabilities or logits of shape (n, k)
    or (n, t, k), of which the largest counts. Cells are float32 and exact up to 16 million frames each.
    """

    def __init__(self, n_classes, name, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self._direction = "up"
        self.n_classes = int(n_classes)
        self.confusion = self.add_variable((self.n_classes,) * 2, "zeros", dtype="float32", name="confusion")

    def update_state(self, y_true, y_pred, sample_weight=None):
        p = as_float(y_pred)
        if len(p.shape) < 2 or p.shape[-1] not in (self.n_classes, None):
            raise ValueError(
                f"the prediction must have {self.n_classes} classes on its last axis. Received: shape={tuple(p.shape)}"
            )
        t = truth_like(as_float(y_true), p[..., 0])
        counted = (weights_like(t, sample_weight) != 0) & (t != labels.MISSING_EXPRESSION) & ~ops.isnan(t)
        wrong = counted & ((t < 0) | (t >= self.n_classes) | ops.any(ops.isnan(p), axis=-1))
        rows = self._one_hot(ops.where(counted & ~wrong, t, -1.0))  # an index of -1 is a row of zeros
        columns = self._one_hot(ops.argmax(p, axis=-1))
        poison = ops.where(ops.any(wrong), float("nan"), 0.0)
        self.confusion.assign_add(ops.matmul(ops.transpose(rows), columns) + poison)

    def result(self):
        confusion = ops.convert_to_tensor(self.confusion)
        hits, support = ops.diagonal(confusion), ops.sum(confusion, axis=1)
        return self.score(hits, support, predicted=ops.sum(confusion, axis=0))

    def score(self, hits, support, predicted):
        """Score from true positives, true frames and predicted frames of each class, each of shape (n_classes,)."""
        raise NotImplementedError

    def get_config(self):
        return {**super().get_config(), "n_classes": self.n_classes}

    def _one_hot(self, classes):
        return ops.one_hot(ops.reshape(ops.cast(classes, "int32"), (-1,)), self.n_classes, dtype="float32")


@_REGISTER
class MacroF1(ConfusionMetric):
    """Mean F1 of all classes, absent ones as 0 (see :func:`abaw_tf.metrics.macro_f1`).

    Parameters
    ----------
    n_classes : int
        Number of classes of the edition.
    name : str
    dtype : str, optional
    """

    def __init__(self, n_classes, name="macro_f1", dtype=None):
        super().__init__(n_classes, name, dtype)

    def score(self, hits, support, predicted):
        return ops.mean(_f1(hits, support, predicted))


@_REGISTER
class MacroRecall(ConfusionMetric):
    """Mean recall of all classes, absent ones as 0 (unweighted average recall where all classes occur).

    Parameters
    ----------
    n_classes : int
        Number of classes of the edition.
    name : str
    dtype : str, optional
    """

    def __init__(self, n_classes, name="macro_recall", dtype=None):
        super().__init__(n_classes, name, dtype)

    def score(self, hits, support, predicted):
        return ops.mean(_ratio(hits, support))


@_REGISTER
class ExpressionScore(ConfusionMetric):
    """Score of the expression challenge (see :func:`abaw_tf.metrics.expression_score`).

    Parameters
    ----------
    edition : str or Edition
        Fixes the number of classes, and the formula unless `variant` is given.
    variant : str, optional
        Another formula, a key of :data:`abaw_tf.metrics.VARIANTS`.
    name : str
    dtype : str, optional
    """

    def __init__(self, edition="abaw2", variant=None, name="expression_score", dtype=None):
        self.edition = labels.edition(edition)
        self.variant = metrics.variant(self.edition.name if variant is None else variant)
        super().__init__(self.edition.n_classes, name, dtype)

    def score(self, hits, support, predicted):
        f1 = _f1(hits, support, predicted)
        frames = ops.sum(support)
        weighted = self.variant.average == "weighted"
        average = _ratio(ops.sum(f1 * support), frames) if weighted else ops.mean(f1)
        return self.variant.f1_weight * average + self.variant.accuracy_weight * _ratio(ops.sum(hits), frames)

    def get_config(self):
        config = super().get_config()
        del config["n_classes"]
        return {**config, "edition": self.edition.name, "variant": self.variant.name}


def _ratio(numerator, denominator):
    """Quotient; 0 where the denominator is 0."""
    return ops.where(denominator == 0, 0.0, numerator / ops.where(denominator == 0, 1.0, denominator))


def _f1(hits, support, predicted):
    return _ratio(2.0 * hits, support + predicted)
