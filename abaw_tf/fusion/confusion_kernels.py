"""Compiled loops of :mod:`abaw_tf.fusion.confusions`: which class wins, for many draws of weights at once.

Compiled once for all numbers of models and classes. The innermost loops run over draws or frames and become vector
instructions; that they do hangs on details. Offsets are unsigned: for signed ones Numba would ask at every step whether
they count from the end. What a loop reads and writes lies in few arrays: LLVM asks before the loop whether arrays
overlap, and gives up where there are many. Numbers are stored as int32 at once: Numba computes with 64 bits, which
fills half as many lanes. Arrays to work in come from outside (`Room`): allocating them here would double the time that
compiling takes.

Layout: packed frames come in blocks of `BLOCK`, class by class and model by model (``block[c * models + m, frame]``),
scaled such that the largest magnitude of a frame is 1. Draws come in leaves of `LANES` (``leaf[c * models + m,
draw]``), scaled such that no column sums to more than 1. Scores then lie between -1 and 1, and between 2 and 4 (or 1
and 2 if none is negative) once 3 (or 1) is added to them: there single precision has the same steps everywhere, and one
margin in these steps bounds the rounding.
"""

from typing import NamedTuple

import numba
import numpy as np

from abaw_tf.compiling import compiled, widest_vectors

LANES = 128
"""Draws that are decided together."""

BLOCK = 128
"""Frames that are bounded together."""

TURN, TRIAL = 64, 4
"""Of so many blocks, so many try out whether bounds pay."""

ORDINARY = 1e100
"""Frames whose largest magnitude is above it, or below its inverse, are decided in double precision."""

_0, _1, _2, _3, _4 = (np.uintp(number) for number in range(5))

# Multiplications and additions may be fused: the margins cover it.
_compiled = compiled(fastmath={"contract", "nnan", "ninf", "nsz"})


class Room(NamedTuple):
    """Arrays that the kernels work in; `BLOCK` and `LANES` are the same."""

    rows: np.ndarray
    """float32 (BLOCK, classes * models rounded up to fours): frames of a block, one after the other; zero behind the
    models."""
    scores: np.ndarray
    """float32 (2, LANES): the bias with which a score begins, and what was added up so far."""
    keys: np.ndarray
    """int32 (2 * LANES,): the highest and the second highest of the classes so far."""
    votes: np.ndarray
    """int32 (2, LANES): votes that are not counted yet, and what they were before the last frame."""
    sums: np.ndarray
    """float32 (5 * BLOCK,): sums for low and for high weights, lowest and highest value, and the highest lower bound so
    far."""
    reference: np.ndarray
    """float32 (models, BLOCK): zero, or values of the reference."""
    upper: np.ndarray
    """float32 (classes, BLOCK): upper bounds."""
    possible: np.ndarray
    """int32 (classes, BLOCK): whether a class can win."""
    counted: np.ndarray
    """int32 (1, 2 * BLOCK): how many classes can win, and one that certainly can."""
    left: np.ndarray
    """int32 (classes,): the classes that can win."""
    voting: np.ndarray
    """int64 (votes that fit,): frames of the block whose votes are not counted yet."""


def room(n_models, n_classes, bias, empty=np.empty) -> Room:
    """Room for so many models and classes; `bias` makes all scores positive."""
    result = Room(
        empty((BLOCK, n_classes * (-(-n_models // 4) * 4)), np.float32),
        empty((2, LANES), np.float32),
        empty(2 * LANES, np.int32),
        empty((2, LANES), np.int32),
        empty(5 * BLOCK, np.float32),
        empty((n_models, BLOCK), np.float32),
        empty((n_classes, BLOCK), np.float32),
        empty((n_classes, BLOCK), np.int32),
        empty((1, 2 * BLOCK), np.int32),
        empty(n_classes, np.int32),
        empty(2 ** min(32 // n_classes, 8) - 1, np.int64),
    )
    for array in result:
        array[...] = 0
    result.scores[...] = bias
    return result


@numba.njit(inline="always")
def _decide(rows, f, w, classes, n_classes, mask, bits, n_models, scores, keys, votes):
    """Add the vote of a frame between some classes for every draw; returns the narrowest lead.

    A score's bits, read as a whole number, are in the order of the scores, and are faster to compare. The last of them
    make room for the class (`mask`), so that the highest score brings along who has it.
    """
    f, last, padded = np.uintp(f), np.uintp(n_models - 1), np.uintp((n_models + 3) // 4 * 4)
    for lane in range(LANES):
        keys[lane] = 0
        keys[LANES + lane] = 0
    for index in range(n_classes):
        tag = classes[index]
        a, p, start = np.uintp(tag) * np.uintp(n_models), np.uintp(tag) * padded, _0
        end = a + last
        while a + _3 < end:
            b, c, d = a + _1, a + _2, a + _3
            p_a, p_b, p_c, p_d = rows[f, p], rows[f, p + _1], rows[f, p + _2], rows[f, p + _3]
            for lane in range(LANES):
                scores[_1, lane] = (
                    scores[start, lane] + w[a, lane] * p_a + w[b, lane] * p_b + w[c, lane] * p_c + w[d, lane] * p_d
                )
            a, p, start = a + _4, p + _4, _1
        # Beyond the last model p is zero, whatever the weight.
        b = a + _1 if a + _1 < end else end
        c = a + _2 if a + _2 < end else end
        d = a + _3 if a + _3 < end else end
        p_a, p_b, p_c, p_d = rows[f, p], rows[f, p + _1], rows[f, p + _2], rows[f, p + _3]
        for lane in range(LANES):
            score = scores[start, lane] + w[a, lane] * p_a + w[b, lane] * p_b + w[c, lane] * p_c + w[d, lane] * p_d
            key = np.int32(np.int32(np.float32(score).view(np.int32) & mask) | tag)
            best, second = keys[lane], keys[LANES + lane]
            lower = best if best < key else key
            keys[lane] = best if best > key else key
            keys[LANES + lane] = second if second > lower else lower
    narrowest = np.int32(2**30)
    for lane in range(LANES):
        best = keys[lane]
        lead = np.int32(best - keys[LANES + lane])
        votes[_0, lane] += np.int32(np.int32(1) << np.int32(np.int32(best & np.int32(~mask)) * bits))
        narrowest = lead if lead < narrowest else narrowest
    return narrowest


@compiled
def pack(source, frames, blocks):
    """Copy `frames` of `source` (models, frames, classes backwards) into `blocks` (blocks, classes * models, BLOCK), scaled.

    Returns the first frame with a value that is not finite, else -1, and the lowest value, or 0.
    """
    n, _, k = source.shape
    least = 0.0
    for f in range(len(frames)):
        frame, block, at = frames[f], blocks[f // BLOCK], f % BLOCK
        largest = 0.0
        for m in range(n):
            for c in range(k):
                value = np.float64(source[m, frame, k - 1 - c])
                magnitude = abs(value)
                if not magnitude < np.inf:
                    return frame, least
                least = value if value < least else least
                largest = magnitude if magnitude > largest else largest
        # A frame of zeros ties everywhere, so that its decisions are left to double precision.
        scale = 1 / largest if 1 / ORDINARY < largest < ORDINARY else 0.0
        for m in range(n):
            for c in range(k):
                block[c * n + m, at] = source[m, frame, k - 1 - c] * scale
    return -1, least


@_compiled
def bound(blocks, region, shared, margin, sums, reference, upper, possible, counted):
    """Which classes can win some draw of a region (`pruning.regions`), for every frame of some blocks.

    A class is out if its upper bound is more than `margin` below another's lower bound. Both come from the better of
    two simplices that hold all draws. Weights that all classes share are not applied to a class's values but to what
    these are ahead of a reference, the winner at the region's centre; the lower bound is then the reference's, 0. The
    result is `counted` (blocks, 2 * BLOCK), and `possible` for the last of the blocks.
    """
    widest_vectors()
    n, k = len(reference), len(upper)
    for index in range(len(blocks)):
        block, found = blocks[index], counted[index]
        for frame in range(BLOCK):
            sums[4 * BLOCK + frame] = np.float32(-3e38)
            found[frame] = 0
        if shared:
            for c in range(k):
                for frame in range(BLOCK):
                    sums[frame] = 0
                for m in range(n):
                    centre, row = region[0, 2 * n + m], np.uintp(c * n + m)
                    for frame in range(BLOCK):
                        sums[frame] += centre * block[row, frame]
                for frame in range(BLOCK):
                    ahead = sums[frame] > sums[4 * BLOCK + frame]
                    sums[4 * BLOCK + frame] = sums[frame] if ahead else sums[4 * BLOCK + frame]
                    found[BLOCK + frame] = np.int32(c) if ahead else found[BLOCK + frame]
            for m in range(n):
                for frame in range(BLOCK):
                    reference[m, frame] = block[np.uintp(found[BLOCK + frame] * n + m), frame]
            for frame in range(BLOCK):
                sums[4 * BLOCK + frame] = 0
        for c in range(k):
            column = 0 if shared else c
            for frame in range(BLOCK):
                sums[frame] = 0
                sums[BLOCK + frame] = 0
                sums[2 * BLOCK + frame] = np.float32(3e38)
                sums[3 * BLOCK + frame] = np.float32(-3e38)
            for m in range(n):
                low, high, row, own = region[column, m], region[column, n + m], np.uintp(c * n + m), np.uintp(m)
                for frame in range(BLOCK):
                    value = block[row, frame] - reference[own, frame]
                    lowest, highest = sums[2 * BLOCK + frame], sums[3 * BLOCK + frame]
                    sums[frame] += low * value
                    sums[BLOCK + frame] += high * value
                    sums[2 * BLOCK + frame] = value if value < lowest else lowest
                    sums[3 * BLOCK + frame] = value if value > highest else highest
            s, t, u, v = (
                region[column, 3 * n],
                region[column, 3 * n + 1],
                region[column, 3 * n + 2],
                region[column, 3 * n + 3],
            )
            row = np.uintp(c)
            for frame in range(BLOCK):
                lowest, highest = sums[2 * BLOCK + frame], sums[3 * BLOCK + frame]
                from_low = sums[frame] + (s if highest < 0 else t) * highest
                from_high = sums[BLOCK + frame] - (u if lowest > 0 else v) * lowest
                upper[row, frame] = from_low if from_low < from_high else from_high
            if shared:
                continue
            for frame in range(BLOCK):
                lowest, highest = sums[2 * BLOCK + frame], sums[3 * BLOCK + frame]
                from_low = sums[frame] + (t if lowest < 0 else s) * lowest
                from_high = sums[BLOCK + frame] - (v if highest > 0 else u) * highest
                lower = from_low if from_low > from_high else from_high
                ahead = lower > sums[4 * BLOCK + frame]
                sums[4 * BLOCK + frame] = lower if ahead else sums[4 * BLOCK + frame]
                found[BLOCK + frame] = np.int32(c) if ahead else found[BLOCK + frame]
        for c in range(k):
            row = np.uintp(c)
            for frame in range(BLOCK):
                can_win = np.int32(1) if upper[row, frame] >= sums[4 * BLOCK + frame] - margin else np.int32(0)
                possible[row, frame] = can_win
                found[frame] += can_win


@_compiled
def count(packed, cells, single, regions, shared, prune, bound_margin, margin, room, few, counts, settled, close):
    """Count the decisions of packed frames, of these `cells`, for some leaves of draws.

    `counts` (leaves, cells, classes, LANES) and `settled` (leaves, cells, classes), the same for all draws of a leaf,
    are added to. Frames that are too close to call for some draw are not counted, but noted in `close` (leaves,
    frames). Bounds are worth their time where half of the frames keep few classes, which is tried out every now and
    then (`few`, one per leaf). A vote is 1 in a class's own few bits of a whole number; as many votes are added up as
    these can hold. If one of them was too close, they are taken again one by one.
    """
    widest_vectors()
    rows, scores, keys, votes, sums, reference, upper, possible, counted, left, voting = room
    n, k = len(reference), len(upper)
    padded = (n + 3) // 4 * 4
    bits, mask = np.int32(32 // k if k > 4 else 8), np.int32(-1)
    while -mask < k:
        mask = np.int32(mask * 2)
    for start in range(0, len(cells), BLOCK):
        size = min(BLOCK, len(cells) - start)
        index, turn = start // BLOCK, start // BLOCK % TURN
        one, found = packed[index : index + 1], counted[0]
        for f in range(size):
            for c in range(k):
                for m in range(n):
                    rows[f, c * padded + m] = one[0, c * n + m, f]
        for leaf in range(len(single)):
            if turn == 0:
                few[leaf] = 0
            bounded = prune and (turn < TRIAL or few[leaf] * 2 > TRIAL * BLOCK)
            if bounded:
                bound(one, regions[leaf], shared, bound_margin, sums, reference, upper, possible, counted)
                for f in range(size):
                    few[leaf] += turn < TRIAL and found[f] <= 3
            f = 0
            while f < size:
                cell, n_voting = cells[start + f], 0
                while f < size and n_voting < len(voting) and cells[start + f] == cell:
                    if bounded and found[f] == 1:
                        settled[leaf, cell, found[BLOCK + f]] += 1
                    else:
                        voting[n_voting] = f
                        n_voting += 1
                    f += 1
                if n_voting == 0:
                    continue
                careful, certain = False, False
                while not certain:
                    certain = True
                    for i in range(n_voting):
                        n_left = 0
                        for c in range(k):
                            left[n_left] = c
                            n_left += possible[c, voting[i]] if bounded else 1
                        if careful:
                            for lane in range(LANES):
                                votes[1, lane] = votes[0, lane]
                        lead = _decide(rows, voting[i], single[leaf], left, n_left, mask, bits, n, scores, keys, votes)
                        if lead > margin:
                            continue
                        if careful:
                            close[leaf, start + voting[i]] = True
                        for lane in range(LANES):
                            votes[0, lane] = votes[1, lane] if careful else 0
                        if not careful:
                            careful, certain = True, False
                            break
                for c in range(k):
                    for lane in range(LANES):
                        counts[leaf, cell, c, lane] += (votes[0, lane] >> np.int32(bits * c)) & np.int32(
                            (1 << bits) - 1
                        )
                for lane in range(LANES):
                    votes[0, lane] = 0
