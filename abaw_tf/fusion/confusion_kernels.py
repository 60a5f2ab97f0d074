"""Compiled loops of :mod:`abaw_tf.fusion.confusions`: which class wins, for many draws of weights at once.

Numbers of models and classes are passed as tuples of that length, so that they are constants of the compiled code: the loops over models
and classes unroll, and the innermost loop, over draws or frames, becomes vector instructions.

Layout: packed frames come in blocks of `BLOCK`, class by class and model by model (``block[(c * models + m) * BLOCK + frame]``), scaled
such that the largest magnitude of a frame is 1. Draws come in leaves of `LANES` (``leaf[(c * models + m) * LANES + draw]``), scaled
such that no column sums to more than 1. Scores are then at most 1, and one margin bounds the rounding of all of them.
"""

import numba
import numpy as np

LANES = 128
"""Draws that are decided together."""

BLOCK = 128
"""Frames that are bounded together."""

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
def _decide_all(p, w, bits, models, classes, votes, gap):
    """Add the vote of one frame between all classes for every draw; lower `gap` to the lead of the winner."""
    for lane in range(LANES):
        best = np.float32(-3e38)
        second = np.float32(-3e38)
        vote = np.int32(0)
        for c in range(len(classes)):
            score = w[c * len(models) * LANES + lane] * p[c * len(models)]
            for m in range(1, len(models)):
                score += w[(c * len(models) + m) * LANES + lane] * p[c * len(models) + m]
            second = max(second, min(best, score))
            vote = np.int32(1 << (bits * c)) if score > best else vote
            best = max(best, score)
        votes[lane] += vote
        gap[lane] = min(gap[lane], best - second)


@_single
def _decide_two(p, w_a, w_b, vote_a, vote_b, models, votes, gap):
    """As `_decide_all`, between two classes."""
    for lane in range(LANES):
        a = w_a[lane] * p[0]
        b = w_b[lane] * p[len(models)]
        for m in range(1, len(models)):
            a += w_a[m * LANES + lane] * p[m]
            b += w_b[m * LANES + lane] * p[len(models) + m]
        votes[lane] += vote_a if a > b else vote_b
        gap[lane] = min(gap[lane], abs(a - b))


@_single
def _decide_three(p, w_a, w_b, w_c, vote_a, vote_b, vote_c, models, votes, gap):
    """As `_decide_all`, between three classes."""
    for lane in range(LANES):
        a = w_a[lane] * p[0]
        b = w_b[lane] * p[len(models)]
        c = w_c[lane] * p[2 * len(models)]
        for m in range(1, len(models)):
            a += w_a[m * LANES + lane] * p[m]
            b += w_b[m * LANES + lane] * p[len(models) + m]
            c += w_c[m * LANES + lane] * p[2 * len(models) + m]
        higher = max(a, b)
        vote = vote_a if a > b else vote_b
        votes[lane] += vote_c if c > higher else vote
        gap[lane] = min(gap[lane], max(higher, c) - max(min(a, b), min(higher, c)))


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

    Returns the number of packed frames and -1, or the first frame with a value that is not finite. `settled` (cells, classes) counts the
    decided frames.
    """
    n, k = len(models), len(classes)
    block = np.zeros(n * k * BLOCK, np.float32)
    winner, number = np.zeros(BLOCK, np.int32), np.full(BLOCK, k, np.int32)
    possible, own = np.empty(k * BLOCK, np.int32), np.empty(n * BLOCK, np.float32)
    kept = 0
    for start in range(0, len(order), BLOCK):
        size = min(BLOCK, len(order) - start)
        for f in range(size):
            frame = order[start + f]
            largest = 0.0
            for m in range(n):
                for c in range(k):
                    magnitude = abs(np.float64(source[m, frame, k - 1 - c]))
                    if not magnitude < np.inf:
                        return kept, frame
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
    return kept, -1


@_double
def count(
    source,
    packed,
    frames,
    cells,
    single,
    double,
    regions,
    shared,
    prune,
    margins,
    models,
    classes,
    counts,
    settled,
    votes,
    gap,
):
    """Count the decisions of packed `frames` for some leaves of draws.

    `counts` (leaves, cells, classes, LANES) and `settled` (leaves, cells, classes), the same for all draws of a leaf, are added to; `votes`
    and `gap` (LANES) are scratch memory.
    """
    n, k = len(models), len(classes)
    bits = min(32 // k, 8)
    most = 2**bits - 1
    winner, number = np.zeros(BLOCK, np.int32), np.full(BLOCK, k, np.int32)
    possible, own = np.empty(k * BLOCK, np.int32), np.empty(n * BLOCK, np.float32)
    p, p_exact = np.empty(n * k, np.float32), np.empty(n * k)
    votes[:] = 0
    gap[:] = 1
    voting, three = np.empty(most, np.int64), np.empty(k + 3, np.int64)
    for start in range(0, len(frames), BLOCK):
        size = min(BLOCK, len(frames) - start)
        block = packed[start // BLOCK]
        for leaf in range(len(single)):
            w = single[leaf]
            if prune:
                if shared:
                    _bound_shared(block, regions[leaf], models, classes, margins[1], winner, number, possible, own)
                else:
                    _bound_own(block, regions[leaf], models, classes, margins[1], winner, number, possible, own)
            f = 0
            while f < size:
                cell = cells[frames[start + f]]
                n_voting = 0
                while f < size and n_voting < most and cells[frames[start + f]] == cell:
                    if number[f] == 1 and prune:
                        settled[leaf, cell, winner[f]] += 1
                        f += 1
                        continue
                    voting[n_voting] = frames[start + f]
                    n_voting += 1
                    if number[f] > 3 or number[f] == k:
                        for i in range(n * k):
                            p[i] = block[i * BLOCK + f]
                        _decide_all(p, w.reshape(-1), bits, models, classes, votes, gap)
                    else:
                        found = 0
                        for c in range(k):
                            three[found] = c
                            found += possible[c * BLOCK + f]
                        for j in range(number[f]):
                            for m in range(n):
                                p[j * n + m] = block[(three[j] * n + m) * BLOCK + f]
                        a, b, c = three[0], three[1], three[2]
                        vote_a, vote_b = np.int32(1 << (bits * a)), np.int32(1 << (bits * b))
                        if number[f] == 2:
                            _decide_two(p, w[a], w[b], vote_a, vote_b, models, votes, gap)
                        else:
                            vote_c = np.int32(1 << (bits * c))
                            _decide_three(p, w[a], w[b], w[c], vote_a, vote_b, vote_c, models, votes, gap)
                    f += 1
                if n_voting:
                    close = 0
                    for lane in range(LANES):
                        close += np.int32(1) if gap[lane] <= margins[0] else np.int32(0)
                        gap[lane] = 1
                    if close:
                        votes[:] = 0
                        for i in range(n_voting):
                            for c in range(k):
                                for m in range(n):
                                    p_exact[c * n + m] = source[m, voting[i], k - 1 - c]
                            _decide_exactly(p_exact, double[leaf], bits, models, classes, votes)
                    _take_votes(votes, bits, classes, counts[leaf, cell])


@_double
def _take_votes(votes, bits, classes, counts):
    """Add the counters packed in `votes` to `counts` (classes, LANES), and clear them."""
    for c in range(len(classes)):
        for lane in range(LANES):
            counts[c, lane] += (votes[lane] >> np.int32(bits * c)) & np.int32((1 << bits) - 1)
    for lane in range(LANES):
        votes[lane] = 0
