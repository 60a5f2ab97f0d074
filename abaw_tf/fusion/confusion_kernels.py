"""Compiled loops of :mod:`abaw_tf.fusion.confusions`: which class wins, for many draws of weights at once.

Numbers of models and classes are passed as tuples of that length, so that they are constants of the compiled code: the loops over models
and classes unroll, and the innermost loop, over draws or frames, becomes vector instructions.

Layout: packed frames come in blocks of `BLOCK`, class by class and model by model (``block[(c * models + m) * BLOCK + frame]``), scaled
such that the largest magnitude of a frame is 1. Draws come in leaves of `LANES` (``leaf[(c * models + m) * LANES + draw]``), scaled
such that no column sums to more than 1. Scores then lie between -1 and 1, and between 2 and 4 (or 1 and 2 if none is negative) once 3 (or
1) is added to them: there single precision has the same steps everywhere, and one margin in these steps bounds the rounding.
"""

import numba
import numpy as np

LANES = 128
"""Draws that are decided together."""

BLOCK = 128
"""Frames that are bounded together."""

TURN, TRIAL = 64, 4
"""Of so many blocks, so many try out whether bounds pay."""

FAR = np.int32(2**30)
"""More than any lead."""

ORDINARY = 1e100
"""Frames whose largest magnitude is above it, or below its inverse, are decided in double precision."""


def _compiled(fastmath=False):
    def decorate(function):
        try:
            return numba.njit(nogil=True, fastmath=fastmath, cache=True)(function)
        except RuntimeError:  # there is no place to write the cache to
            return numba.njit(nogil=True, fastmath=fastmath)(function)

    return decorate


# Single precision may fuse multiplications and additions: the margin covers it. Double precision may not.
_single = _compiled({"contract", "nnan", "ninf", "nsz"})
_double = _compiled()


@_single
def _key(score):
    """The bits of a positive number: as whole numbers they are in the same order, and processors compare these faster."""
    return np.float32(score).view(np.int32)


@_single
def _decide_all(p, w, bias, bits, models, classes, votes, gap):
    """Add the vote of one frame between all classes for every draw; lower `gap` to the lead of the winner.

    The last bits of a score make room for the class, so that the highest score brings along who has it.
    """
    room = np.int32(1)
    while room < len(classes):
        room *= np.int32(2)
    for lane in range(LANES):
        best = np.int32(0)
        second = np.int32(0)
        for c in range(len(classes)):
            score = bias
            for m in range(len(models)):
                score += w[(c * len(models) + m) * LANES + lane] * p[c * len(models) + m]
            key = np.int32((_key(score) & np.int32(-room)) | np.int32(c))
            lower = best if best < key else key
            second = second if second > lower else lower
            best = best if best > key else key
        lead = np.int32(best - second)
        votes[lane] += np.int32(np.int32(1) << np.int32((best & np.int32(room - 1)) * np.int32(bits)))
        gap[lane] = lead if lead < gap[lane] else gap[lane]


@_single
def _decide_two(p_a, p_b, w_a, w_b, vote_a, vote_b, bias, models, votes, gap):
    """As `_decide_all`, between two classes."""
    for lane in range(LANES):
        a = b = bias
        for m in range(len(models)):
            a += w_a[m * LANES + lane] * p_a[m]
            b += w_b[m * LANES + lane] * p_b[m]
        lead = np.int32(_key(a) - _key(b))
        votes[lane] += vote_a if lead > 0 else vote_b
        lead = np.int32(abs(lead))
        gap[lane] = lead if lead < gap[lane] else gap[lane]


@_single
def _decide_three(p_a, p_b, p_c, w_a, w_b, w_c, vote_a, vote_b, vote_c, bias, models, votes, gap):
    """As `_decide_all`, between three classes."""
    for lane in range(LANES):
        a = b = c = bias
        for m in range(len(models)):
            a += w_a[m * LANES + lane] * p_a[m]
            b += w_b[m * LANES + lane] * p_b[m]
            c += w_c[m * LANES + lane] * p_c[m]
        key_a, key_b, key_c = _key(a), _key(b), _key(c)
        higher = key_a if key_a > key_b else key_b
        lower = key_b if key_a > key_b else key_a
        vote = vote_a if key_a > key_b else vote_b
        votes[lane] += vote_c if key_c > higher else vote
        best = key_c if key_c > higher else higher
        third = higher if key_c > higher else key_c
        lead = np.int32(best - (third if third > lower else lower))
        gap[lane] = lead if lead < gap[lane] else gap[lane]


@_double
def _decide_exactly(p, w, bits, models, classes, votes):
    """Add the vote of one frame in double precision, by the rule of `averaging.fused_scores`."""
    for lane in range(LANES):
        best = -np.inf
        vote = np.int32(0)
        for c in range(len(classes)):
            score = w[c * len(models) * LANES + lane] * p[c * len(models)]
            for m in range(1, len(models)):
                score += w[(c * len(models) + m) * LANES + lane] * p[c * len(models) + m]
            vote = np.int32(1 << (bits * c)) if score > best else vote
            best = score if score > best else best
        votes[lane] += vote


@_single
def _bound_shared(p, region, models, classes, margin, winner, number, possible, own):
    """Which classes can win some draw of a region, for weights that all classes share.

    A class is out if the winner at the region's centre is ahead of it in the whole region (`pruning.regions`): by more than `margin`
    in one of two simplices that hold all draws.
    """
    n = len(models)
    for frame in range(BLOCK):
        best = np.float32(-3e38)
        first = np.int32(0)
        for c in range(len(classes)):
            score = np.float32(0)
            for m in range(n):
                score += region[0, 2 * n + m] * p[(c * n + m) * BLOCK + frame]
            first = np.int32(c) if score > best else first
            best = max(best, score)
        winner[frame] = first
        number[frame] = 0
    for m in range(n):
        for frame in range(BLOCK):
            value = p[m * BLOCK + frame]
            for c in range(1, len(classes)):
                candidate = p[(c * n + m) * BLOCK + frame]
                value = candidate if winner[frame] == c else value
            own[m * BLOCK + frame] = value
    for c in range(len(classes)):
        for frame in range(BLOCK):
            lead = own[frame] - p[c * n * BLOCK + frame]
            lowest = highest = lead
            from_low = region[0, 0] * lead
            from_high = region[0, n] * lead
            for m in range(1, n):
                lead = own[m * BLOCK + frame] - p[(c * n + m) * BLOCK + frame]
                lowest = min(lowest, lead)
                highest = max(highest, lead)
                from_low += region[0, m] * lead
                from_high += region[0, n + m] * lead
            from_low += min(region[0, 3 * n] * lowest, region[0, 3 * n + 1] * lowest)
            from_high -= max(region[0, 3 * n + 2] * highest, region[0, 3 * n + 3] * highest)
            can_win = np.int32(1) if max(from_low, from_high) <= margin else np.int32(0)
            possible[c * BLOCK + frame] = can_win
            number[frame] += can_win


@_single
def _bound_own(p, region, models, classes, margin, winner, number, possible, own):
    """As `_bound_shared`, for weights of each class's own: a class is out if its upper bound is below another's lower bound."""
    n = len(models)
    for frame in range(BLOCK):
        own[frame] = np.float32(-3e38)
        number[frame] = 0
    for c in range(len(classes)):
        for frame in range(BLOCK):
            value = p[c * n * BLOCK + frame]
            lowest = highest = value
            from_low = region[c, 0] * value
            from_high = region[c, n] * value
            for m in range(1, n):
                value = p[(c * n + m) * BLOCK + frame]
                lowest = min(lowest, value)
                highest = max(highest, value)
                from_low += region[c, m] * value
                from_high += region[c, n + m] * value
            lower = max(
                from_low + min(region[c, 3 * n] * lowest, region[c, 3 * n + 1] * lowest),
                from_high - max(region[c, 3 * n + 2] * highest, region[c, 3 * n + 3] * highest),
            )
            winner[frame] = np.int32(c) if lower > own[frame] else winner[frame]
            own[frame] = max(own[frame], lower)
    for c in range(len(classes)):
        for frame in range(BLOCK):
            value = p[c * n * BLOCK + frame]
            lowest = highest = value
            from_low = region[c, 0] * value
            from_high = region[c, n] * value
            for m in range(1, n):
                value = p[(c * n + m) * BLOCK + frame]
                lowest = min(lowest, value)
                highest = max(highest, value)
                from_low += region[c, m] * value
                from_high += region[c, n + m] * value
            upper = min(
                from_low + max(region[c, 3 * n] * highest, region[c, 3 * n + 1] * highest),
                from_high - min(region[c, 3 * n + 2] * lowest, region[c, 3 * n + 3] * lowest),
            )
            can_win = np.int32(1) if upper >= own[frame] - margin else np.int32(0)
            possible[c * BLOCK + frame] = can_win
            number[frame] += can_win


@_double
def pack(source, order, cells, region, shared, prune, margin, models, classes, packed, packed_frames, settled):
    """Copy the frames `order` of `source` (models, frames, classes backwards) into blocks, save those decided all over the region.

    Returns the number of packed frames, the first frame with a value that is not finite, else -1, and the lowest value, or 0.
    `settled` (cells, classes) counts the decided frames.
    """
    n, k = len(models), len(classes)
    block = np.zeros(n * k * BLOCK, np.float32)
    winner, number = np.zeros(BLOCK, np.int32), np.full(BLOCK, k, np.int32)
    possible, own = np.empty(k * BLOCK, np.int32), np.empty(n * BLOCK, np.float32)
    kept, least = 0, 0.0
    for start in range(0, len(order), BLOCK):
        size = min(BLOCK, len(order) - start)
        for f in range(size):
            frame = order[start + f]
            largest = 0.0
            for m in range(n):
                for c in range(k):
                    value = np.float64(source[m, frame, k - 1 - c])
                    magnitude = abs(value)
                    if not magnitude < np.inf:
                        return kept, frame, least
                    least = min(least, value)
                    largest = max(largest, magnitude)
            # A frame of zeros ties everywhere, so that its decisions are left to double precision.
            scale = 1 / largest if 1 / ORDINARY < largest < ORDINARY else 0.0
            for c in range(k):
                for m in range(n):
                    block[(c * n + m) * BLOCK + f] = source[m, frame, k - 1 - c] * scale
        if prune:
            if shared:
                _bound_shared(block, region, models, classes, margin, winner, number, possible, own)
            else:
                _bound_own(block, region, models, classes, margin, winner, number, possible, own)
        for f in range(size):
            frame = order[start + f]
            if prune and number[f] == 1:
                settled[cells[frame], winner[f]] += 1
                continue
            row = packed[kept // BLOCK]
            for i in range(n * k):
                row[i * BLOCK + kept % BLOCK] = block[i * BLOCK + f]
            packed_frames[kept] = frame
            kept += 1
    return kept, -1, least


@_double
def count(
    source, packed, frames, cells, bias, single, double, regions, shared, prune, bound_margin, margin, models, classes, counts,
    settled, scratch
):  # fmt: skip
    """Count the decisions of packed `frames` for some leaves of draws.

    `counts` (leaves, cells, classes, LANES) and `settled` (leaves, cells, classes), the same for all draws of a leaf, are added to.
    Bounds are worth their time where half of the frames keep few classes, which is tried out every now and then.
    A vote is 1 in a class's own few bits of a whole number; as many votes are added up as these can hold. If one of them was too close
    to call, they are taken again one by one, the close ones in double precision.
    """
    n, k = len(models), len(classes)
    bits = min(32 // k, 8)
    winner, number = np.zeros(BLOCK, np.int32), np.full(BLOCK, k, np.int32)
    possible, own = np.empty(k * BLOCK, np.int32), np.empty(n * BLOCK, np.float32)
    rows, row_cells, p_exact = np.empty((BLOCK, n * k), np.float32), np.empty(BLOCK, np.int64), np.empty(n * k)
    few = np.zeros(len(single), np.int64)
    votes, gap, again = scratch[0], scratch[1], scratch[2]
    votes[:] = 0
    gap[:] = FAR
    voting, found = np.empty(2**bits - 1, np.int64), np.empty(k + 3, np.int64)
    for start in range(0, len(frames), BLOCK):
        size = min(BLOCK, len(frames) - start)
        block = packed[start // BLOCK]
        for f in range(size):
            row_cells[f] = cells[frames[start + f]]
            for i in range(n * k):
                rows[f, i] = block[i * BLOCK + f]
        for leaf in range(len(single)):
            w, w_flat = single[leaf], single[leaf].reshape(-1)
            turn = start // BLOCK % TURN
            if turn == 0:
                few[leaf] = 0
            bounded = prune and (turn < TRIAL or few[leaf] * 2 > TRIAL * BLOCK)
            if bounded:
                if shared:
                    _bound_shared(block, regions[leaf], models, classes, bound_margin, winner, number, possible, own)
                else:
                    _bound_own(block, regions[leaf], models, classes, bound_margin, winner, number, possible, own)
                if turn < TRIAL:
                    few[leaf] += np.count_nonzero(number[:size] <= 3)
            f = 0
            while f < size:
                cell = row_cells[f]
                n_voting = 0
                while f < size and n_voting < len(voting) and row_cells[f] == cell:
                    if bounded and number[f] == 1:
                        settled[leaf, cell, winner[f]] += 1
                    else:
                        voting[n_voting] = f
                        n_voting += 1
                        if not bounded or number[f] == k or number[f] > 3:
                            _decide_all(rows[f], w_flat, bias, bits, models, classes, votes, gap)
                        else:
                            _decide_few(rows[f], f, w, bias, bits, models, number[f], possible, found, votes, gap)
                    f += 1
                if n_voting == 0:
                    continue
                if _too_close(gap, margin):
                    votes[:] = 0
                    for i in range(n_voting):
                        again[:] = 0
                        _decide_all(rows[voting[i]], w_flat, bias, bits, models, classes, again, gap)
                        if _too_close(gap, margin):
                            again[:] = 0
                            for c in range(k):
                                for m in range(n):
                                    p_exact[c * n + m] = source[m, frames[start + voting[i]], k - 1 - c]
                            _decide_exactly(p_exact, double[leaf], bits, models, classes, again)
                        for lane in range(LANES):
                            votes[lane] += again[lane]
                _take_votes(votes, bits, classes, counts[leaf, cell])


@_double
def _decide_few(p, f, w, bias, bits, models, number, possible, found, votes, gap):
    """Add the vote of a frame, the f-th of its block, between the two or three classes that are possible."""
    n, n_found = len(models), 0
    for c in range(len(w)):
        found[n_found] = c
        n_found += possible[c * BLOCK + f]
    a, b, c = found[0], found[1], found[2]
    vote_a, vote_b = np.int32(1 << (bits * a)), np.int32(1 << (bits * b))
    if number == 2:
        _decide_two(p[a * n :], p[b * n :], w[a], w[b], vote_a, vote_b, bias, models, votes, gap)
    else:
        vote_c = np.int32(1 << (bits * c))
        _decide_three(
            p[a * n :], p[b * n :], p[c * n :], w[a], w[b], w[c], vote_a, vote_b, vote_c, bias, models, votes, gap
        )  # fmt: skip


@_double
def _too_close(gap, margin):
    """Whether any lead is within the margin; clears `gap`."""
    close = 0
    for lane in range(LANES):
        close += np.int32(1) if gap[lane] <= margin else np.int32(0)
        gap[lane] = FAR
    return close > 0


@_double
def _take_votes(votes, bits, classes, counts):
    """Add the counters packed in `votes` to `counts` (classes, LANES), and clear them."""
    for c in range(len(classes)):
        for lane in range(LANES):
            counts[c, lane] += (votes[lane] >> np.int32(bits * c)) & np.int32((1 << bits) - 1)
    for lane in range(LANES):
        votes[lane] = 0
