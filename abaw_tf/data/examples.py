"""What pipelines are made of: which rows form an example, their targets and weights, and the order of an epoch."""

import numpy as np
import tensorflow as tf

from abaw_tf.data.balance import NO_EXPRESSION, balanced_indices, sample_weights
from abaw_tf.data.windows import runs, sliding_windows
from abaw_tf.targets import va_vector

OUTPUTS = ("expression", "valence", "arousal", "valence_arousal", "va_vector")
TARGETS = ("frames", "last")


def window_spans(table, size, stride, target="frames", tail="last", across_gaps=False):
    """Start and stop row of every window of a frame table whose rows are sorted by trial and frame; (n_windows, 2) int64.

    Parameters and padding as in `image_windows`; a span is what is left of a window without its padding.

    Raises
    ------
    ValueError
        No trial is long enough, or `size`, `stride`, `tail` or `target` is wrong.
    """
    if target not in TARGETS:
        raise ValueError(f"`target` must be one of {TARGETS}. Received: {target!r}")
    trials, frame_numbers = table["trial"].to_numpy(dtype=object), table["frame"].to_numpy()
    starts = np.flatnonzero(np.append(True, trials[1:] != trials[:-1]))
    spans = []
    for start, stop in zip(starts, np.append(starts[1:], len(table))):
        numbers, n = frame_numbers[start:stop], int(stop - start)
        if target == "frames":
            spans.append(start + sliding_windows(n, size, stride, tail, numbers, across_gaps))
            continue
        for first, end in [(0, n)] if across_gaps else runs(numbers).tolist():
            last = np.arange(first, end, stride)
            spans.append(start + np.stack([np.maximum(first, last + 1 - size), last + 1], axis=1))
    spans = np.concatenate(spans)
    if not len(spans):
        raise ValueError(f"no trial is long enough for a window. Received: size={size}, tail={tail!r}")
    return spans


def first_rows(table, spans, across_gaps=False):
    """First row to which the context of a window may reach back, (n_windows,) int64: that of its run of frames, or of its trial."""
    trials, numbers = table["trial"].to_numpy(dtype=object), table["frame"].to_numpy()
    begins = np.append(True, trials[1:] != trials[:-1])
    if not across_gaps:
        begins |= np.append(True, np.diff(numbers) != 1)
    starts = np.flatnonzero(begins)
    return starts[np.searchsorted(starts, spans[:, 0], side="right") - 1]


class Labels:
    """Targets and weights of every row, by output."""

    def __init__(self, table, outputs, class_weights):
        self.targets, self.weights = {}, {}
        for output in outputs:
            if output not in OUTPUTS:
                raise ValueError(f"outputs must be of {', '.join(OUTPUTS)}. Received: {output!r}")
            columns = ["valence", "arousal"] if output == "va_vector" else output.split("_")
            lacking = [column for column in columns if column not in table]
            if lacking:
                raise ValueError(f"the frame table lacks the column {lacking[0]!r}. Received: {list(table.columns)}")
            values = table[columns].to_numpy()
            known = ~np.isnan(values).any(axis=1) if output != "expression" else values[:, 0] >= 0
            values = np.where(known[:, None], values, 0)
            if output == "expression":
                values = values.astype(np.int32)
                weights = np.ones(values.max() + 1) if class_weights is None else class_weights
                self.weights[output] = sample_weights(np.where(known, values[:, 0], -1), weights)
            else:
                self.weights[output] = known.astype(np.float32)
                values = va_vector(*values.T) if output == "va_vector" else values.astype(np.float32)
            self.targets[output] = values if len(columns) > 1 else values[:, 0]


def classes_of_examples(table, spans=None, target="last", outputs=("expression",)):
    """Class by which an example is drawn in balanced sampling, -1 for none.

    That of its frame; of the last frame of a window with ``target="last"``; of windows with a target per frame the one among their classes
    that is rarest in the table, so that every window with a label is somewhere to be drawn and rare classes are not hidden behind
    their neighbours.

    A frame without an expression that has the label of another output is of the class `NO_EXPRESSION`: half of the task must not be
    left out because the other half has no label.
    """
    labels = table["expression"].to_numpy()
    others = Labels(table, [output for output in outputs if output != "expression"], None).weights.values()
    if others:
        labels = np.where((labels < 0) & np.any([weights > 0 for weights in others], axis=0), NO_EXPRESSION, labels)
    if spans is None:
        return labels
    if target == "last":
        return labels[spans[:, 1] - 1]
    counts = np.bincount(labels[labels >= 0], minlength=1)
    by_rarity = np.append(np.argsort(counts, kind="stable"), -1)
    # The last rank is that of a missing label, whose index is -1.
    rank = np.append(np.argsort(by_rarity[:-1], kind="stable"), len(counts))
    ranks = np.append(rank[labels], len(counts))  # one more, so that a window may end with the table
    # reduceat goes from each row given to the next one: every second result is that of a window
    return by_rarity[np.minimum.reduceat(ranks, spans.ravel())[::2]]


class Order:
    """Which examples an epoch visits, and when."""

    def __init__(self, n, training, seed, start_epoch, balance_labels=None, epoch_length="average"):
        self.n, self.training, self.seed, self.start_epoch = n, training, int(seed), int(start_epoch)
        self.labels, self.epoch_length = balance_labels, epoch_length

    def batches(self, batch_size):
        """Dataset of (epoch, examples (b,), draws (b,)), all int64.

        The draw decides an example's random transforms: its own number, or its place in an epoch that may visit it twice.
        """
        if not self.training:
            return self._batched(tf.data.Dataset.range(self.n), tf.constant(0, tf.int64), batch_size)
        epochs = tf.data.Dataset.range(self.start_epoch, np.iinfo(np.int64).max)
        return epochs.flat_map(lambda epoch: self._batched(self._examples(epoch), epoch, batch_size))

    def _examples(self, epoch):
        if self.labels is None:
            seed = tf.stack([tf.constant(self.seed, tf.int64), epoch])
            last = tf.constant(self.n - 1, tf.int64)
            shuffle = tf.random.experimental.index_shuffle
            return tf.data.Dataset.range(self.n).map(lambda example: shuffle(example, seed=seed, max_index=last))

        def draw(number):
            return balanced_indices(self.labels, seed=(self.seed, int(number)), mode=self.epoch_length)

        return tf.data.Dataset.from_tensor_slices(tf.ensure_shape(tf.numpy_function(draw, [epoch], tf.int64), (None,)))

    def _batched(self, examples, epoch, batch_size):
        if self.labels is None or not self.training:
            return examples.batch(batch_size).map(lambda batch: (epoch, batch, batch))
        return examples.enumerate().batch(batch_size).map(lambda places, batch: (epoch, batch, places))


def reader(sources, labels, spans, size, target, context=0, reach=None, without_context=()):
    """A function from examples (b,) to a list of arrays (inputs, targets, weights), and the shapes and types of these."""
    targets, weights = list(labels.targets.values()), list(labels.weights.values())
    offsets, before = np.arange(size or 1), np.arange(-context, 0)

    def rows_of(examples):
        if spans is None:
            return examples, np.ones(len(examples), bool)
        starts, stops = spans[examples].T
        if target == "frames":
            return np.minimum(starts[:, None] + offsets, stops[:, None] - 1), offsets < (stops - starts)[:, None]
        rows = np.maximum(stops[:, None] - size + offsets, starts[:, None])
        return rows, np.ones(rows.shape, bool)

    def with_context(rows, examples):
        earlier = np.maximum(spans[examples, :1] + before, reach[examples, None])
        return np.concatenate([earlier, rows], axis=1)

    def read(examples):
        rows, counted = rows_of(examples)
        inputs, wide = [], with_context(rows, examples) if context else rows
        for name, source in sources.items():
            values, valid = source.read(rows if name in without_context else wide)
            inputs.append(values)
            counted = counted & (valid if spans is None else valid[:, -size:])
        if spans is not None and target == "last":
            rows, counted = rows[:, -1], counted[:, -1]
        return [*inputs, *(t[rows] for t in targets), *(w[rows] * counted for w in weights)]

    time = () if spans is None else (size,)
    label_time = time if target == "frames" else ()
    wide = () if spans is None else (context + size,)
    shapes = [(None, *(time if name in without_context else wide), *s.shape) for name, s in sources.items()]
    shapes += [(None, *label_time, *t.shape[1:]) for t in targets] + [(None, *label_time)] * len(weights)
    types = [source.dtype for source in sources.values()] + [t.dtype for t in targets] + [np.float32] * len(weights)
    return read, shapes, [tf.as_dtype(dtype) for dtype in types]
