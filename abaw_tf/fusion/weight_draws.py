"""Random fusion weights, and a record of the best of them."""

import numpy as np

KEPT = 5
"""Best weights that are kept, and around which a round of refinement draws."""

DRAWS_PER_PASS, CELLS_PER_PASS = 20_000, 8_000_000
"""Most draws of one pass over the frames, and most counts in their confusion matrices; more go into the next pass."""


class Found:
    """Scores of the weights tried so far, and the best weights.

    The first weights added must be the single models, then equal weights.

    Attributes
    ----------
    scores : list of numpy.ndarray
        In the order of trying.
    top : numpy.ndarray, shape (up to KEPT, models[, classes])
        The best weights, best first; of equally good ones the first tried comes first. NaN scores rank last.
    top_scores : numpy.ndarray
        Their scores, -inf for NaN.
    """

    def __init__(self, n_models, n_classes):
        self.n_models, self.n_classes = n_models, n_classes
        self.scores, self.top, self.top_scores = [], None, np.empty(0)

    def add(self, weights, scores):
        """Add the next weights tried, shape (n, models[, classes]), and their scores."""
        self.scores.append(scores)
        rank = np.where(np.isnan(scores), -np.inf, scores)
        best = np.argsort(-rank, kind="stable")[:KEPT]
        top = weights[best] if self.top is None else np.concatenate([self.top, weights[best]])
        ranks = np.concatenate([self.top_scores, rank[best]])
        order = np.argsort(-ranks, kind="stable")[:KEPT]
        self.top, self.top_scores = top[order], ranks[order]

    @property
    def history(self) -> list:
        """Number and score of the best start and of every later draw that improved on all before it; starts count below 0."""
        scores = np.concatenate(self.scores)
        rank, starts = np.where(np.isnan(scores), -np.inf, scores), self.n_models + 1
        before = np.maximum.accumulate(rank)[starts - 1 : -1]
        improved = starts + np.flatnonzero(rank[starts:] > before)
        return [(int(i) - starts, float(scores[i])) for i in (np.argmax(rank[:starts]), *improved)]


def passes(n_draws, n_models, n_classes, concentration, seed, cells):
    """Weights to try, pass by pass: single models, equal weights, then draws of the symmetric Dirichlet distribution.

    Parameters
    ----------
    n_draws, n_models : int
    n_classes : int or None
        A column of weights for each class, independently drawn; None: one column for all.
    concentration : float
    seed : int
    cells : int
        Counts that one draw's confusion matrices need.

    Yields
    ------
    numpy.ndarray of shape (n, models) or (n, models, classes)
        The same draws however they are dealt out to passes.
    """
    rng = np.random.default_rng(seed)
    per_pass = int(np.clip(CELLS_PER_PASS // cells, 100, DRAWS_PER_PASS))
    alpha = np.full(n_models, float(concentration))
    starts = np.vstack([np.eye(n_models), np.full(n_models, 1 / n_models)])
    if n_classes is not None:
        starts = np.repeat(starts[:, :, None], n_classes, axis=2)
    while len(starts) or n_draws:
        n = min(n_draws, per_pass)
        if n_classes is None:
            drawn = rng.dirichlet(alpha, size=n)
        else:
            drawn = rng.dirichlet(alpha, size=(n, n_classes)).transpose(0, 2, 1)
        yield np.concatenate([starts, drawn])
        starts, n_draws = starts[:0], n_draws - n


def refinements(found, n_rounds, n_draws, seed):
    """Weights to try around the best of `found`, round by round; `found` is to be told the scores of a round before the next.

    In round r = 0, 1, ... columns are drawn from Dirichlet(1 + 16 · 4^r · w) around each of the best weights w in turn: w is the mode,
    and the spread halves from round to round. Weights per class: every second turn changes a single class.

    Yields
    ------
    numpy.ndarray of shape (n_draws, models[, classes])
    """
    rng = np.random.default_rng([seed, 1])
    for number in range(n_rounds):
        centres = found.top[np.arange(n_draws) % len(found.top)]
        drawn = rng.standard_gamma(1 + 16.0 * 4.0**number * centres)
        drawn /= drawn.sum(axis=1, keepdims=True)
        if drawn.ndim == 3:
            n_classes = drawn.shape[2]
            changed = np.arange(n_classes) == rng.integers(n_classes, size=n_draws)[:, None]
            changed[np.arange(n_draws) // len(found.top) % 2 == 0] = True
            drawn = np.where(changed[:, None, :], drawn, centres)
        yield drawn
