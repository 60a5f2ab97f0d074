"""Search for fusion weights against the plain loop over draws."""

import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from abaw_tf.benchmarks.results import Result

PRIORS = (0.33, 0.05, 0.04, 0.05, 0.17, 0.17, 0.19)
"""Shares of the classes, about those of the Aff-Wild2 expression labels; cut or filled up for other numbers of
classes."""


def benchmark_fusion(n_frames=318_503, n_models=4, n_classes=7, draws=1000, repeats=3):
    """Time a draw of :func:`abaw_tf.fusion.confusions.count_confusions`, scored, against the plain loop; the same for the CCC.

    Parameters
    ----------
    n_frames, n_models, n_classes : int
        Size of the predictions, by default that of the Aff-Wild2 expression validation set with four models.
    draws : int
        Draws of weights; ten times as many for the CCC.
    repeats : int
        The best turn counts; the plain loop takes one draw per turn, and the scores of both must be identical.

    Returns
    -------
    list of Result

    Raises
    ------
    RuntimeError
        When the plain loop's scores differ.
    """
    import numba

    rng = np.random.default_rng(0)
    results = [*_first_results(n_models, n_classes)]
    rate = multiply_add_rate(numba.get_num_threads())
    for name, simulate in (("random", random_predictions), ("correlated", correlated_predictions)):
        probabilities, y = simulate(rng, n_frames, n_models, n_classes)
        if name == "correlated":
            accuracies = [np.mean(model.argmax(axis=1) == y) for model in probabilities]
            results.append(Result("correlated predictions, accuracy of the best single model", max(accuracies), ""))
        for level in ("SWF", "MCWF"):
            weights = drawn_weights(rng, draws, n_models, n_classes, level)
            results += _against_plain(f"{level}, {name} predictions", probabilities, y, weights, repeats, rate)
    return results + _continuous(rng, n_frames, n_models, 10 * draws, repeats)


def random_predictions(rng, n_frames, n_models, n_classes):
    """Probabilities uniform over the simplex, independent of each other and of the labels."""
    return rng.dirichlet(np.ones(n_classes), size=(n_models, n_frames)), rng.integers(0, n_classes, n_frames)


def correlated_predictions(rng, n_frames, n_models, n_classes, video=1000):
    """Probabilities like those of networks trained on the same data, which are right and wrong on the same frames.

    Labels come in stretches of 50 frames with shares `PRIORS`. The logits of a frame are evidence that all models share
    (2 for the true class, noise of the video and of the frame, the latter smooth over 5 frames) and noise of each
    model's own, per video and per frame; each model has a temperature of its own. Single models are right on some 50-65
    % of the frames.
    """
    priors = np.resize(PRIORS, n_classes)
    y = np.repeat(rng.choice(n_classes, -(-n_frames // 50), p=priors / priors.sum()), 50)[:n_frames]

    def noise(every):
        return np.repeat(rng.normal(size=(-(-n_frames // every), n_classes)), every, axis=0)[:n_frames]

    shared = 2 * np.eye(n_classes)[y] + 0.6 * noise(video) + 0.8 * noise(5)
    probabilities = np.empty((n_models, n_frames, n_classes))
    for model in probabilities:
        logits = (shared + 0.5 * noise(video) + 0.5 * noise(1)) * rng.uniform(1, 2)
        np.exp(logits - logits.max(axis=1, keepdims=True), out=model)
        model /= model.sum(axis=1, keepdims=True)
    return probabilities, y


def drawn_weights(rng, draws, n_models, n_classes, level):
    """Weights uniform over the simplex: (draws, models) for SWF, (draws, models, classes) for MCWF."""
    if level == "SWF":
        return rng.dirichlet(np.ones(n_models), size=draws)
    return rng.dirichlet(np.ones(n_models), size=(draws, n_classes)).transpose(0, 2, 1)


def plain_scores(probabilities, y, weights):
    """Macro F1 and accuracy of one draw, the plain way."""
    from sklearn.metrics import accuracy_score, f1_score

    if weights.ndim == 1:
        fused = np.tensordot(weights, probabilities, axes=1)
    else:
        fused = np.einsum("mfk,mk->fk", probabilities, weights)
    decided = fused.argmax(axis=1)
    classes = range(probabilities.shape[2])
    f1 = f1_score(y, decided, average="macro", labels=classes, zero_division=0)
    return f1, accuracy_score(y, decided)


def multiply_add_rate(threads):
    """Single-precision multiply-adds per second of `threads` threads over data in the first-level cache."""
    import numba

    @numba.njit(nogil=True, fastmath={"contract", "nnan", "ninf", "nsz"})
    def run(factors, total, turns):
        for _turn in range(turns):
            for i in range(64):
                a = b = c = d = factors[i]
                for _ in range(16):
                    a = a * factors[64 + i] + factors[i]
                    b = b * factors[128 + i] + factors[i]
                    c = c * factors[192 + i] + factors[i]
                    d = d * factors[256 + i] + factors[i]
                total[i] += a + b + c + d

    factors = np.random.default_rng(0).random(320, dtype=np.float32)
    turns = 20_000
    run(factors, np.zeros(64, np.float32), 1)
    with ThreadPoolExecutor(threads) as pool:
        totals = np.zeros((threads, 64), np.float32)
        seconds = _best(5, lambda: list(pool.map(lambda total: run(factors, total, turns), totals)))
    return threads * turns * 64 * 16 * 4 / seconds


def _best(repeats, function):
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


FIRST = """
import sys, time
import numpy as np
start = time.perf_counter()
from abaw_tf.fusion import DirichletFusion
frames, models, classes = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
DirichletFusion(n_draws=1000).fit(rng.dirichlet(np.ones(classes), (models, frames)), rng.integers(0, classes, frames))
print(time.perf_counter() - start)
"""
"""A search of 1,000 draws in a process of its own, imports included."""


def _first_results(n_models, n_classes):
    """Seconds to the first result of a process where nothing is compiled: of a small search, and of one that has to
    compile."""
    for name, frames, bar in (("small search", 5_000, 2.0), ("large search", 50_000, 6.0)):
        with tempfile.TemporaryDirectory() as empty:
            command = [sys.executable, "-c", FIRST, *map(str, (frames, n_models, n_classes))]
            environment = {**os.environ, "NUMBA_CACHE_DIR": empty}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        what = f"{name}, {frames:,} frames: first result of a process, nothing compiled before"
        yield Result(what, float(done.stdout), "s", bar, higher_is_better=False)


def _against_plain(what, probabilities, y, weights, repeats, rate):
    from abaw_tf.fusion.confusions import count_confusions
    from abaw_tf.metrics import scores_from_confusion

    plain, ours, brute = [], [], []
    count_confusions(probabilities[:, :1], y[:1], weights[:1], compiled=True)  # compiles
    for turn in range(repeats):
        draw = turn % len(weights)
        start = time.perf_counter()
        expected = plain_scores(probabilities, y, weights[draw])
        plain.append(time.perf_counter() - start)
        start = time.perf_counter()
        scores = scores_from_confusion(count_confusions(probabilities, y, weights, compiled=True))
        ours.append((time.perf_counter() - start) / len(weights))
        found = scores["macro_f1"][draw], scores["accuracy"][draw]
        if found != expected:
            raise RuntimeError(f"{what}: the plain loop scores draw {draw} {expected}. Received: {found}")
        unpruned = _best(1, lambda: count_confusions(probabilities, y, weights, prune=False, compiled=True))
        brute.append(unpruned / len(weights))
    tracemalloc.start()
    count_confusions(probabilities, y, weights, compiled=True)
    peak = 1 + tracemalloc.get_traced_memory()[1] / probabilities.nbytes
    tracemalloc.stop()
    return [
        Result(f"{what}, plain loop", min(plain) * 1e3, "ms/draw"),
        Result(f"{what}, {len(weights):,} draws", min(ours) * 1e3, "ms/draw"),
        Result(
            f"{what}, plain loop / draws at once", min(plain) / min(ours), "x", 300.0 if "correlated" in what else 200.0
        ),
        Result(f"{what}, share of the attainable multiply-adds, unpruned", probabilities.size / min(brute) / rate, ""),
        Result(f"{what}, peak memory / predictions", peak, "x", 3.0, higher_is_better=False),
    ]


def _continuous(rng, n_frames, n_models, draws, repeats):
    from abaw_tf import metrics
    from abaw_tf.fusion.continuous import Moments, ccc_of_weights

    truth = np.clip(np.repeat(rng.normal(0, 0.4, (-(-n_frames // 100), 2)), 100, axis=0)[:n_frames], -1, 1)
    predictions = np.clip(0.6 * truth + rng.normal(0, 0.3, (n_models, n_frames, 2)), -1, 1)
    weights = rng.dirichlet(np.ones(n_models), size=(draws, 2)).transpose(0, 2, 1)
    plain, ours = [], []
    for turn in range(repeats):
        draw = turn % draws
        start = time.perf_counter()
        fused = sum(model * weight for model, weight in zip(predictions, weights[draw]))
        expected = [metrics.ccc(truth[:, output], fused[:, output]) for output in range(2)]
        plain.append(time.perf_counter() - start)
        start = time.perf_counter()
        found = ccc_of_weights(Moments.of(predictions, truth), weights)
        ours.append((time.perf_counter() - start) / draws)
        if not np.allclose(found[draw], expected, rtol=0, atol=1e-9):
            raise RuntimeError(f"CCC: the plain loop scores draw {draw} {expected}. Received: {found[draw].tolist()}")
    return [
        Result("CCC, valence and arousal, plain loop", min(plain) * 1e3, "ms/draw"),
        Result(f"CCC, {draws:,} draws, moments included", min(ours) * 1e3, "ms/draw"),
        Result("CCC, plain loop / from moments", min(plain) / min(ours), "x", 1000.0),
    ]
