"""``tf.data`` pipelines over a frame table: frames, blocks and windows, from face crops and from stored tracks.

Every element is ``(inputs, targets, sample_weight)``, three dictionaries of batches. A missing label is target 0 with weight 0 in its
own output, so that one missing label never costs the other (and no NaN reaches a loss). In training the datasets go on for ever,
epoch after epoch: give ``steps_per_epoch=n_batches(…)`` to ``fit``. The order of epoch *e* is a function of (seed, e) alone,
computed without a shuffle buffer, so that a run resumed with ``start_epoch=e`` sees what the uninterrupted run saw. Memory is
bounded by a few batches.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from abaw_tf.data import augment as augmenting
from abaw_tf.data.balance import balanced_size
from abaw_tf.data.examples import Labels, Order, classes_of_examples, first_rows, reader, window_spans
from abaw_tf.data.sources import ImageSource, TrackSource

MISSING_IMAGE = ("skip", "black")


def frames(
    table,
    image_size,
    batch_size=32,
    outputs=("expression",),
    training=False,
    seed=0,
    start_epoch=0,
    class_weights=None,
    class_balanced=False,
    augmentation=None,
    missing_image="skip",
    unreadable=None,
    name="image",
):
    """Single face crops.

    Parameters
    ----------
    table : pandas.DataFrame
        ``trial, frame, path, expression, valence, arousal``, as from ``AffWild2.frame_table``; columns of absent outputs may lack.
        With ``left, top, right, bottom`` (pixels, NaN for none) too, the face is cut out of a larger picture.
    image_size : int
        Height and width of the images.
    batch_size : int
        Frames per batch; the last batch of an epoch may be smaller.
    outputs : sequence of str
        Targets wanted, of ``expression``, ``valence``, ``arousal``, ``valence_arousal`` (both, shape (2,), one weight) and ``va_vector``
        (shape (5,), one weight, see :func:`abaw_tf.targets.va_vector`).
    training : bool
        Shuffle, augment, repeat. Otherwise one pass in the table's order.
    seed, start_epoch : int
        Decide order and augmentation; epochs are numbered from 0.
    class_weights : array, shape (n_classes,), optional
        Factor of the weight of ``expression``.
    class_balanced : bool
        In training, draw the classes in turn (Do et al. 2020, §I) instead of every frame once. Frames without an expression that have
        the label of another output are one class more.
    augmentation : dict, optional
        Arguments of :func:`abaw_tf.data.augment.augment`; ``None`` for none. Only in training.
    missing_image : {"skip", "black"}
        Leave frames without a crop out, or show a black image.
    unreadable : dict, optional
        Gets ``{path: message}`` of images that cannot be decoded, whose weights are then 0. Without it such an image is an error
        that names the file.
    name : str
        Key of the images among the inputs.

    Returns
    -------
    tf.data.Dataset
        ``({name: uint8 (b, size, size, 3)}, {output: (b,) or (b, 2)}, {output: float32 (b,)})``; expression int32, others float32.

    Raises
    ------
    ValueError
        No frame is left, an unknown output, or a label out of range.
    """
    table = usable(table, missing_image)
    return batches(
        {name: ImageSource.of(table, image_size, unreadable)},
        table,
        batch_size,
        outputs,
        training=training,
        seed=seed,
        start_epoch=start_epoch,
        class_weights=class_weights,
        class_balanced=class_balanced,
        augmentation=augmentation,
    )


def image_windows(
    table,
    image_size,
    size,
    stride,
    batch_size=8,
    outputs=("expression",),
    target="frames",
    training=False,
    seed=0,
    start_epoch=0,
    class_weights=None,
    augmentation=None,
    missing_image="black",
    unreadable=None,
    tail="last",
    across_gaps=False,
    context=0,
    name="image",
):
    """Blocks (``stride=size``) or overlapping windows of face crops; parameters as in `frames`, and:

    Parameters
    ----------
    size, stride : int
        Frames per window, and frames from one start to the next.
    target : {"frames", "last"}
        One target per frame; or windows that end with every `stride`-th frame of a run and have that frame's target (causal blocks,
        Do et al. 2020). Those that begin before the run are padded in front by repeating its first frame; `tail` is ignored.
    missing_image : {"black", "skip"}
        Frames without a crop are black, or do not count as frames of the trial.
    tail : {"last", "short", "drop"}
        What becomes of the frames after the last whole window, see :func:`abaw_tf.data.windows.sliding_windows`. A window that is
        shorter than `size` is padded by repeating its last frame, with weight 0.
    across_gaps : bool
        Let windows span holes in the frame numbers.
    context : int
        Further frames in front of each window, seen but without targets; where the run does not reach back so far, its first frame is
        repeated. Only with ``target="frames"``.

    Returns
    -------
    tf.data.Dataset
        ``({name: uint8 (b, context + size, h, w, 3)}, {output: (b, size)}, {output: float32 (b, size)})``; without the axis of time in
        targets and weights where ``target="last"``.
    """
    table = usable(table, missing_image)
    return batches(
        {name: ImageSource.of(table, image_size, unreadable)},
        table,
        batch_size,
        outputs,
        window_spans(table, size, stride, target, tail, across_gaps),
        size,
        target,
        context,
        across_gaps=across_gaps,
        training=training,
        seed=seed,
        start_epoch=start_epoch,
        class_weights=class_weights,
        augmentation=augmentation,
    )


def track_windows(
    stores,
    table,
    size,
    stride,
    batch_size=32,
    outputs=("expression",),
    target="frames",
    training=False,
    seed=0,
    start_epoch=0,
    class_weights=None,
    fill="previous",
    tail="last",
    across_gaps=False,
    context=0,
    without_context=(),
):
    """Blocks or overlapping windows of stored feature tracks, side by side from several stores.

    Parameters
    ----------
    stores : dict of str to FeatureStore
        One store per model input.
    table : pandas.DataFrame
        ``trial, frame`` and the labels of the outputs, every frame a row; no paths needed.
    fill : {"previous", "zeros", "nan"} or dict
        What stands in for frames without an image, for all stores or by input name.
    size, stride, target, tail, across_gaps, context
        As in `image_windows`.
    without_context : sequence of str
        Inputs that have the frames of the windows alone.
    batch_size, outputs, training, seed, start_epoch, class_weights
        As in `frames`.

    Returns
    -------
    tf.data.Dataset
        ``({name: float32 (b, context + size, dim)}, {output: (b, size)}, {output: float32 (b, size)})``.

    Raises
    ------
    FileNotFoundError, ValueError
        A store lacks a trial or its track does not fit; see :class:`abaw_tf.data.sources.TrackSource`.
    """
    _check_rows(table)
    fills = fill if isinstance(fill, Mapping) else dict.fromkeys(stores, fill)
    return batches(
        {name: TrackSource(store, table, fills[name]) for name, store in stores.items()},
        table,
        batch_size,
        outputs,
        window_spans(table, size, stride, target, tail, across_gaps),
        size,
        target,
        context,
        without_context,
        across_gaps,
        training=training,
        seed=seed,
        start_epoch=start_epoch,
        class_weights=class_weights,
    )


def batches(
    sources,
    table,
    batch_size=32,
    outputs=("expression",),
    spans=None,
    size=None,
    target="frames",
    context=0,
    without_context=(),
    across_gaps=False,
    training=False,
    seed=0,
    start_epoch=0,
    class_weights=None,
    class_balanced=False,
    augmentation=None,
    epoch_length="average",
):
    """What `frames`, `image_windows` and `track_windows` are made of, for any mixture of inputs.

    Parameters
    ----------
    sources : dict of str to ImageSource or TrackSource
        Of the rows of `table`, by input name.
    table : pandas.DataFrame
        Labels, one row per frame that counts.
    spans : array of int, shape (n_windows, 2), optional
        As from `window_spans`; single frames without it.
    size : int, optional
        Frames per window.
    batch_size, outputs, target, context, without_context, across_gaps
        As in `frames`, `image_windows` and `track_windows`; `across_gaps` tells here how far the context may reach back.
    training, seed, start_epoch, class_weights, class_balanced, augmentation
        As in `frames`; augmentation concerns images alone, and is the same for all images of a window. Windows are balanced by the class of
        their last frame, or, if they have a target per frame, by the rarest of their classes.
    epoch_length : {"average", "max", "min"}
        Of balanced sampling, see :func:`abaw_tf.data.balance.balanced_indices`; :func:`examples_per_epoch` counts it.

    Returns
    -------
    tf.data.Dataset
    """
    _check_rows(table)
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: batch_size={batch_size}")
    n = len(table) if spans is None else len(spans)
    if context < 0 or (context and (spans is None or target != "frames")):
        raise ValueError(
            f"`context` must not be negative, and needs windows with target='frames'. Received: context={context}, target={target!r}"
        )
    reach = first_rows(table, spans, across_gaps) if context else None
    balanced = classes_of_examples(table, spans, target, outputs) if class_balanced else None
    order = Order(n, training, seed, start_epoch, balanced, epoch_length)
    labels = Labels(table, outputs, class_weights)
    read, shapes, types = reader(sources, labels, spans, size, target, context, reach, without_context)
    k, outputs = len(sources), list(labels.targets)

    def load(epoch, examples, draws):
        flat = tf.numpy_function(read, [examples], types, stateful=False)
        flat = [tf.ensure_shape(value, shape) for value, shape in zip(flat, shapes)]
        inputs = dict(zip(sources, flat))
        if augmentation is not None and training:
            numbers = augmenting.draws(seed, epoch, draws)
            for name in (name for name, source in sources.items() if source.is_image):
                inputs[name] = augmenting.augment(inputs[name], numbers, **augmentation)
        return inputs, dict(zip(outputs, flat[k:])), dict(zip(outputs, flat[k + len(outputs) :]))

    return order.batches(batch_size).map(load, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def examples_per_epoch(
    table, spans=None, target="frames", class_balanced=False, epoch_length="average", outputs=("expression",)
):
    """Examples that an epoch of training visits; parameters as in `batches`."""
    if class_balanced:
        return balanced_size(classes_of_examples(table, spans, target, outputs), epoch_length)
    return len(table) if spans is None else len(spans)


def n_batches(n_examples, batch_size):
    """Batches per epoch, the last one perhaps smaller."""
    return -(-n_examples // batch_size)


def usable(table, missing_image="skip"):
    """Rows of a frame table that a pipeline with this policy reads (its frames, in order)."""
    if missing_image not in MISSING_IMAGE:
        raise ValueError(f"`missing_image` must be one of {MISSING_IMAGE}. Received: {missing_image!r}")
    _check_rows(table)
    if missing_image == "black":
        return table
    kept = table[table["path"].notna()]
    if not len(kept):
        raise ValueError(
            f"none of the {len(table)} frames has a face crop; extract the crops, or choose another kind of crop "
            "(tools/doctor.py shows what is there)"
        )
    return kept


def labelled(table, outputs, every=False):
    """Mask of the rows of a frame table that have a label for at least one of `outputs`, or for every one."""
    labels = Labels(table, outputs, None)
    return (np.all if every else np.any)([weights > 0 for weights in labels.weights.values()], axis=0)


def _check_rows(table):
    if not len(table):
        raise ValueError("the frame table is empty: there is nothing to read")
