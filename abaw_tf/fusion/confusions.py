"""Confusion matrices of many fusions at once.

The plain way, one fused score, argmax and confusion matrix per draw of weights, takes minutes for a thousand draws of a
validation set. Here a compiled loop (:mod:`abaw_tf.fusion.confusion_kernels`) decides a frame for 128 draws at a time,
in single precision. Where the winner leads by less than single precision can tell, NumPy decides again in double
precision, so that the counts are those of the plain way to the last frame. Before that, bounds
(:mod:`abaw_tf.fusion.pruning`) settle the frames that no draw, or none of 128 neighbouring draws, decides otherwise,
and drop the classes that cannot win. What NumPy alone does sooner than a compiler starts is left to it.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from abaw_tf import labels
from abaw_tf.fusion.pruning import bound_margin, lead_margin, neighbours, regions

MAX_CLASSES = 32

PLAIN_WORK = 1e9
"""Multiplications that a process does in NumPy before it compiles: they take about as long as compiling."""

PLAIN_DRAWS, PLAIN_FRAMES = 64, 128
"""Draws and frames that NumPy decides together: their scores stay in the processor's cache."""

LEAVES = 8
"""Groups of draws that share one pass over the frames."""

STRETCH = 4096
"""Frames that are sorted together."""

PACKING = 100
"""Draws in whose time the frames are packed."""

COUNTERS = 2**22
"""Counters per task, at most, unless one group of draws alone needs more."""

_plain_work = 0.0


def count_confusions(
    probabilities, y, weights, groups=None, n_groups=None, prune=True, progress=None, compiled=None
) -> np.ndarray:
    """Confusion matrix of the fused decision for every draw of weights.

    Decides by the rule of :func:`abaw_tf.fusion.averaging.fused_scores`: the first class with the highest score in
    double precision. The result does not depend on `prune`, `compiled` or the number of threads
    (``numba.set_num_threads``).

    Parameters
    ----------
    probabilities : array, shape (models, frames, classes)
        float32 or float64, in any memory layout, memory-mapped too; finite on labelled frames. Logarithms will do as
        well.
    y : array of int, shape (frames,)
        True classes; frames with -1 are left out.
    weights : array, shape (draws, models) or (draws, models, classes)
        Finite and not negative.
    groups : array of int, shape (frames,), optional
        Group 0 ... n_groups - 1 of each frame (fold, video).
    n_groups : int, optional
        Needed with `groups`.
    prune : bool
        Count frames whose decision no weights can change only once; the result is the same.
    progress : callable, optional
        Called with the number of draws done since its last call.
    compiled : bool, optional
        Whether to use the compiled loops. Default: once the process has done `PLAIN_WORK` multiplications without them.

    Returns
    -------
    numpy.ndarray of int64, shape (draws, k, k) or, with `groups`, (draws, n_groups, k, k)
        Rows are true, columns fused classes.

    Raises
    ------
    ValueError
        When a shape does not fit, there are more than 32 classes, a probability or weight is not finite, a weight is
        negative, or a label or group is out of range.

    Examples
    --------
    >>> models = [[[0.9, 0.1], [0.6, 0.4]], [[0.8, 0.2], [0.1, 0.9]]]
    >>> count_confusions(models, [0, 1], [[1.0, 0.0], [0.5, 0.5]]).tolist()
    [[[1, 0], [1, 0]], [[1, 0], [0, 1]]]
    """
    probabilities = _checked_probabilities(probabilities)
    n_models, n_frames, n_classes = probabilities.shape
    weights = _checked_weights(weights, n_models, n_classes)
    y = _checked_codes("y", y, n_frames, labels.MISSING_EXPRESSION, n_classes)
    cells = y
    if groups is not None:
        if n_groups is None:
            raise ValueError("groups need n_groups, their number. Received: n_groups=None")
        cells = np.where(y < 0, -1, _checked_codes("groups", groups, n_frames, 0, n_groups) * n_classes + y)
    total = n_classes * (1 if groups is None else n_groups)
    result = np.zeros((len(weights), total, n_classes), np.int64)
    if compiled is None:
        compiled = _compiling_pays(len(weights) * probabilities.size)
    if compiled and len(weights):
        _count_compiled(result, probabilities, cells, weights, prune, progress)
    else:
        _count_plainly(result, probabilities, cells, weights, progress)
    shape = (n_classes, n_classes) if groups is None else (n_groups, n_classes, n_classes)
    return result.reshape(len(weights), *shape)


def _compiling_pays(work) -> bool:
    """Whether the compiled loops are loaded, or NumPy would have done more than `PLAIN_WORK` with this work."""
    global _plain_work
    if "abaw_tf.fusion.confusion_kernels" in sys.modules:
        return True
    _plain_work += work
    return _plain_work > PLAIN_WORK


def _count_plainly(result, probabilities, cells, weights, progress):
    """Add the confusion rows of all draws to `result` (draws, cells, classes), by NumPy alone."""
    known, (_, n_cells, n_classes) = np.flatnonzero(cells >= 0), result.shape
    for first in range(0, len(weights), PLAIN_DRAWS):
        some = weights[first : first + PLAIN_DRAWS]
        draws = np.arange(len(some))[:, None] * n_cells
        for start in range(0, len(known), PLAIN_FRAMES):
            frames = known[start : start + PLAIN_FRAMES]
            entries = (draws + cells[frames]) * n_classes + _decisions(probabilities, frames, some)
            counts = np.bincount(entries.ravel(), minlength=len(some) * n_cells * n_classes)
            result[first : first + len(some)] += counts.reshape(len(some), n_cells, n_classes)
        if progress is not None:
            progress(len(some))


def _decisions(probabilities, frames, weights) -> np.ndarray:
    """Classes (draws, frames) by the rule of `averaging.fused_scores`."""
    values = probabilities[:, frames].transpose(2, 0, 1).astype(np.float64)
    if not np.isfinite(values).all():
        raise _not_finite(probabilities, frames[~np.isfinite(values).all(axis=(0, 1))][0])
    shape = len(weights), len(frames)
    highest, decisions, score, product = np.full(shape, -np.inf), np.zeros(shape, np.int64), *np.empty((2, *shape))
    for c, of_models in enumerate(values):
        of_draws = weights if weights.ndim == 2 else weights[..., c]
        np.multiply(of_draws[:, :1], of_models[0], out=score)
        for m in range(1, len(of_models)):
            score += np.multiply(of_draws[:, m, None], of_models[m], out=product)
        decisions[score > highest] = c
        np.maximum(highest, score, out=highest)
    return decisions


def _count_compiled(result, probabilities, cells, weights, prune, progress):
    """As `_count_plainly`, by the compiled loops."""
    import numba  # not at the top: it takes longer to import than all else here

    counter = _Counter(probabilities, cells, weights, result.shape[1], prune)
    leaves, lanes, threads = counter.leaves, counter.kernels.LANES, numba.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        try:
            order = _by_cell(cells, result.shape[1])
            parts = list(pool.map(counter.pack, np.array_split(order, threads)))
            for part in parts:
                result += part.settled
            per_leaf = result.shape[1] * result.shape[2] * lanes
            at_once = max(1, min(LEAVES, -(-leaves.n // threads), COUNTERS // per_leaf))
            tasks = [range(start, min(start + at_once, leaves.n)) for start in range(0, leaves.n, at_once)]
            n_lots = -(-threads // len(tasks))
            jobs = [[pool.submit(counter.count, parts[i::n_lots], some) for i in range(n_lots)] for some in tasks]
            for some, job in zip(tasks, jobs):
                while job:
                    for leaf, rows in zip(some, job.pop().result()):
                        draws = leaves.order[leaf * lanes : (leaf + 1) * lanes]
                        result[draws] += np.moveaxis(rows, -1, 0)[: len(draws)]
                if progress is not None:
                    progress(len(leaves.order[some[0] * lanes : (some[-1] + 1) * lanes]))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


class _Counter:
    """Calls of the kernels for parts of the frames and groups of the draws."""

    def __init__(self, probabilities, cells, weights, n_cells, prune):
        from abaw_tf.fusion import confusion_kernels

        self.kernels = confusion_kernels
        self.n_models, _, self.n_classes = probabilities.shape
        self.probabilities, self.cells, self.n_cells, self.prune = probabilities, cells, n_cells, prune
        # Backwards and not to be written to, arrays of every memory layout are of one type to the compiler.
        self.source = probabilities[:, :, ::-1]
        self.source.flags.writeable = False
        self.shared = weights.ndim == 2
        self.leaves = _Leaves(weights, self.n_classes, confusion_kernels.LANES)

    def pack(self, frames):
        """`frames` in the layout of the kernels, but for those that all draws decide alike, if these are many."""
        shape = self.n_models * self.n_classes, self.kernels.BLOCK
        blocks = np.zeros((-(-len(frames) // shape[1]), *shape), np.float32)
        bad, least = self.kernels.pack(self.source, frames, blocks)
        if bad >= 0:
            raise _not_finite(self.probabilities, bad)
        settled = np.zeros((self.n_cells, self.n_classes), np.int64)
        if self.prune:
            number, winner = self._possible(blocks)[:, : len(frames)]
            alike = number == 1
            if alike.sum() * len(self.leaves.weights) > PACKING * len(frames):
                np.add.at(settled, (self.cells[frames[alike]], winner[alike]), 1)
                frames = frames[~alike]
                blocks = blocks[: -(-len(frames) // shape[1])]
                self.kernels.pack(self.source, frames, blocks)
        return _Part(blocks, frames, self.cells[frames], settled, np.float32(3 if least < 0 else 1))

    def _possible(self, blocks):
        """How many classes can win some draw, and one that certainly can, for every frame of `blocks`."""
        room, counted = self._room(0), np.empty((len(blocks), 2 * self.kernels.BLOCK), np.int32)
        self.kernels.bound(
            blocks, self.leaves.root, self.shared, bound_margin(self.n_models), room.sums, room.reference, room.upper,
            room.possible, counted
        )  # fmt: skip
        return counted.reshape(len(blocks), 2, self.kernels.BLOCK).transpose(1, 0, 2).reshape(2, -1)

    def _room(self, bias):
        return self.kernels.room(self.n_models, self.n_classes, bias, _aligned)

    def count(self, parts, some):
        """Counts of `some` groups of draws over `parts`, shape (groups, cells, classes, draws)."""
        draws, single, bounds = self.leaves.of(some)
        counts = _aligned((len(some), self.n_cells, self.n_classes, self.kernels.LANES), np.int32)
        counts[...] = 0
        settled = np.zeros(counts.shape[:-1], np.int32)
        few = np.zeros(len(some), np.int64)
        for part in parts:
            close = np.zeros((len(some), len(part.frames)), bool)
            self.kernels.count(
                part.blocks, part.cells, single, bounds, self.shared, self.prune, bound_margin(self.n_models),
                lead_margin(self.n_models, self.n_classes), self._room(part.bias), few, counts, settled, close
            )  # fmt: skip
            for leaf in range(len(some)):
                self._count_close(counts[leaf], part.frames[close[leaf]], draws[leaf])
        counts += settled[..., None]
        return counts

    def _count_close(self, counts, frames, draws):
        """Add the decisions on `frames` in double precision to the `counts` (cells, classes, draws) of a group of
        draws."""
        for start in range(0, len(frames), PLAIN_FRAMES):
            part = frames[start : start + PLAIN_FRAMES]
            decisions = _decisions(self.probabilities, part, self.leaves.weights[draws])
            counters = (self.cells[part] * self.n_classes + decisions) * len(draws) + np.arange(len(draws))[:, None]
            np.add.at(counts.reshape(-1), counters.ravel(), 1)  # much faster with a single index


class _Part(NamedTuple):
    blocks: np.ndarray
    frames: np.ndarray
    cells: np.ndarray
    settled: np.ndarray
    """Counts (cells, classes) of the frames that all draws decide alike."""
    bias: np.float32
    """What makes all scores positive."""


def _by_cell(cells, n_cells):
    """Labelled frames, sorted by cell within stretches of neighbours: the counters of a cell stay at hand, and so do
    the frames."""
    known = np.flatnonzero(cells >= 0)
    return known[np.argsort(known // STRETCH * n_cells + cells[known], kind="stable")]


class _Leaves:
    """Draws in groups of neighbours, in the layout of the kernels; the last group is filled up with its last draw.

    Attributes
    ----------
    n : int
        Number of groups.
    order : numpy.ndarray
        Draws, group after group.
    root : numpy.ndarray
        Region of all draws.
    """

    def __init__(self, weights, n_classes, lanes):
        self.weights, self.n_classes, self.lanes = weights, n_classes, lanes
        self.n = -(-len(weights) // lanes)
        self.order = neighbours(weights.reshape(len(weights), -1), lanes)
        self.root = regions(self._scaled(weights)[None])[0]

    def of(self, some):
        """Draws (groups, lanes), their weights in the layout of the kernels, and regions of `some` groups."""
        draws = self.order[some[0] * self.lanes : (some[-1] + 1) * self.lanes]
        draws = np.concatenate([draws, np.repeat(draws[-1:], len(some) * self.lanes - len(draws))])
        scaled = self._scaled(self.weights[draws]).reshape(len(some), self.lanes, -1, self.weights.shape[1])
        single = _aligned((len(some), self.n_classes, self.weights.shape[1], self.lanes), np.float32)
        single[...] = scaled.transpose(0, 2, 3, 1)
        return draws.reshape(len(some), -1), single.reshape(len(some), -1, self.lanes), regions(scaled)

    def _by_column(self, weights):
        """(draws, models[, classes]) to (draws, columns, models), with one column for weights that all classes
        share."""
        return weights[:, None] if weights.ndim == 2 else weights.transpose(0, 2, 1)

    def _scaled(self, weights):
        """Weights by column such that the largest column of a draw sums to 1; zero, hence decided exactly, where the sum is no
        ordinary number."""
        weights = self._by_column(weights)
        total = weights.sum(axis=-1).max(axis=-1)
        ordinary = (total > 1e-100) & (total < 1e100)
        factor = np.divide(1, total, out=np.zeros_like(total), where=ordinary)
        return np.where(ordinary[:, None, None], weights, 0) * factor[:, None, None]


def _aligned(shape, dtype):
    """Uninitialised array that starts at a multiple of 64 bytes: vector loads then stay within a cache line."""
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(n_bytes + 63, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + n_bytes].view(dtype).reshape(shape)


def _checked_probabilities(probabilities):
    probabilities = np.asarray(probabilities)
    if probabilities.dtype not in (np.float32, np.float64):
        probabilities = probabilities.astype(np.float64)
    if probabilities.ndim != 3 or not probabilities.shape[0] or not 0 < probabilities.shape[2] <= MAX_CLASSES:
        raise ValueError(
            f"probabilities must have shape (models, frames, classes) with 1 to {MAX_CLASSES} classes. "
            f"Received: shape={probabilities.shape}"
        )
    return probabilities


def _checked_weights(weights, n_models, n_classes):
    weights = np.asarray(weights, np.float64)
    if weights.shape[1:] not in {(n_models,), (n_models, n_classes)}:
        raise ValueError(
            f"weights must have shape (draws, {n_models}) or (draws, {n_models}, {n_classes}): for every draw one per model, or one per "
            f"model and class. Received: shape={weights.shape}"
        )
    good = (weights >= 0) & (weights < np.inf)
    if not good.all():
        draw = int(np.argwhere(~good)[0, 0])
        raise ValueError(f"weights must be finite and not negative. Received: {weights[draw].tolist()} in draw {draw}")
    return weights


def _checked_codes(name, codes, n_frames, lowest, n_codes):
    codes = np.asarray(codes)
    if codes.shape != (n_frames,) or (codes.dtype.kind not in "iu" and codes.size):
        raise ValueError(
            f"{name} must be whole numbers, one for each of the {n_frames} frames. "
            f"Received: shape={codes.shape}, dtype={codes.dtype}"
        )
    bad = (codes < lowest) | (codes >= n_codes)
    if bad.any():
        frame = int(bad.argmax())
        raise ValueError(f"{name} must lie in {lowest} ... {n_codes - 1}. Received: {codes[frame]} at frame {frame}")
    return codes.astype(np.int64, copy=False)


def _not_finite(probabilities, frame):
    rows = probabilities[:, frame]
    model = int(np.isfinite(rows).all(axis=1).argmin())
    return ValueError(
        "probabilities must be finite on labelled frames: fill or leave out frames that a model lacks. "
        f"Received: {rows[model].tolist()} of model {model} at frame {frame}"
    )
