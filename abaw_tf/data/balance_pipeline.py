"""Thinning, class-balanced sampling and weighting as steps on a ``tf.data.Dataset``.

They give on a stream what :mod:`abaw_tf.data.balance` gives on arrays.
"""

import numpy as np
import tensorflow as tf

from abaw_tf.data.balance import thinning_steps


def thin_dataset(dataset, every, label, group):
    """:func:`abaw_tf.data.balance.thin` as a ``tf.data`` step.

    Parameters
    ----------
    dataset : tf.data.Dataset
        Single elements (not batches), each group's elements one after another and in order of time: a group that comes back after
        another one counts as a new one.
    every : dict of int or str to int
        As in :func:`abaw_tf.data.balance.thin`.
    label, group : callable
        Take an element (its parts as arguments) and return its class index and its group, scalar tensors.

    Returns
    -------
    tf.data.Dataset
        The elements that :func:`abaw_tf.data.balance.thin` keeps.
    """
    steps = tf.constant(thinning_steps(every))
    no_group = tf.zeros([], dataset.map(group).element_spec.dtype)
    initial = (tf.zeros_like(steps), no_group, tf.constant(False))

    def count(state, element):
        counts, previous, started = state
        own_group, column = group(*_parts(element)), tf.cast(label(*_parts(element)), tf.int64) + 1
        counts = tf.where(tf.logical_and(started, own_group == previous), counts, tf.zeros_like(counts))
        keep = counts[column] % steps[column] == 0
        counts += tf.one_hot(column, len(steps), dtype=tf.int64)
        return (counts, own_group, tf.constant(True)), (keep, element)

    return dataset.scan(initial, count).filter(lambda keep, _: keep).map(lambda _, element: element)


def balanced_dataset(dataset, label, n_classes, n=None):
    """:func:`abaw_tf.data.balance.balanced_indices` as a ``tf.data`` step: the classes in turn, each in its order and over again.

    The dataset is run through once per class at the same time, so let it be cheap (indices or paths: decode images afterwards),
    and shuffle it before this step.

    Parameters
    ----------
    dataset : tf.data.Dataset
        Single elements (not batches).
    label : callable
        Takes an element (its parts as arguments) and returns its class index, -1 where missing.
    n_classes : int
        Number of classes; classes that do not occur are passed over.
    n : int, optional
        Number of elements; endless by default.

    Returns
    -------
    tf.data.Dataset
    """

    def of_class(value):
        return dataset.filter(lambda *element: tf.cast(label(*element), tf.int64) == value).repeat()

    choices = tf.data.Dataset.range(n_classes).repeat()
    streams = [of_class(value) for value in range(n_classes)]
    balanced = tf.data.Dataset.choose_from_datasets(streams, choices, stop_on_empty_dataset=False)
    return balanced if n is None else balanced.take(n)


def weighted_dataset(dataset, class_weights, output=None):
    """:func:`abaw_tf.data.balance.sample_weights` as a ``tf.data`` step: multiplies the weight of each element by that of its class.

    Parameters
    ----------
    dataset : tf.data.Dataset
        ``(x, y)`` or ``(x, y, sample_weight)``, single elements or batches, of any shape.
    class_weights : array-like of float, shape (n_classes,)
        Weight of each class; a missing label (-1) gets 0.
    output : str, optional
        Key of the class labels where ``y`` is a dictionary; the other outputs' weights stay as they are, or are 1.

    Returns
    -------
    tf.data.Dataset
        ``(x, y, sample_weight)``, the weight a dictionary where ``y`` is one.
    """
    table = tf.constant(np.append(np.asarray(class_weights, np.float32), np.float32(0)))

    def weigh(x, y, weight=None):
        labels = tf.cast(y if output is None else y[output], tf.int32)
        by_class = tf.gather(table, tf.where(labels < 0, len(table) - 1, labels))
        if output is None:
            return x, y, by_class if weight is None else weight * by_class
        # Weights are per example (and time step): 1 for outputs that nobody has weighted yet.
        weights = dict(weight) if weight is not None else {key: tf.ones_like(by_class) for key in y}
        weights[output] = weights[output] * by_class
        return x, y, weights

    return dataset.map(weigh, num_parallel_calls=tf.data.AUTOTUNE)


def _parts(element):
    return element if isinstance(element, tuple) else (element,)
