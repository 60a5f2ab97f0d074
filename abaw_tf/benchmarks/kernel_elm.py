"""The kernel ELM beside scikit-learn's KernelRidge and SVC, on the same windows."""

import json
import os
import sys
import threading
import time

import numpy as np

from abaw_tf.benchmarks.processes import in_a_process, peak_memory
from abaw_tf.benchmarks.results import Result

SIZES = {"small": (2_000, 1024), "medium": (5_000, 2048), "full": (20_000, 8192)}
"""Windows and functionals; the 8192 are mean and deviation of 4096 features."""

LARGEST_SVC = 10_000
"""Windows up to which SVC is waited for: its time grows with their square and more, in one thread."""

SVC_SECONDS, SVC_FITS = 60, 10
"""What SVC's fit is given beyond that: so many seconds, or so many times those of KernelELM's fit if these are more."""

CLASSES = 7
NEW = 500  # further windows, that are classified


def benchmark_kernel_elm(sizes=("small", "medium"), kernels=("linear", "rbf"), C=1.0):
    """Measure fit, prediction, peak memory and agreement.

    Each machine runs in a process of its own, and is given the same float32 windows of 7 classes. All are told to use ``C`` (KernelRidge
    ``alpha=1/C`` and float32 targets ±1) and the same gamma. Peak memory is that of the process, with the windows and the libraries.

    Parameters
    ----------
    sizes : sequence of {"small", "medium", "full"}
        Keys of `SIZES`. Above `LARGEST_SVC` windows SVC is stopped after a while; its figures are then lower bounds, marked ``>``.
    kernels : sequence of {"linear", "rbf", "poly"}
    C : float

    Returns
    -------
    list of Result
    """
    results = []
    for size in sizes:
        n, dim = SIZES[size]
        for kernel in kernels:
            label = f"{n:,} × {dim}, {kernel}"
            figures = {}
            for name in MACHINES:
                limit = None
                if name == "SVC" and n > LARGEST_SVC:
                    limit = max(SVC_SECONDS, SVC_FITS * figures["KernelELM"]["fit"])
                figures[name] = in_a_process(__name__, name, n, dim, kernel, C, limit)
            stopped = {name: figures.pop(name)["stopped"] for name in MACHINES if "stopped" in figures[name]}
            for name, found in figures.items():
                results.append(Result(f"{label}: {name}, fit", found["fit"], "s"))
                results.append(Result(f"{label}: {name}, {NEW} new windows", found["predict"], "s"))
                results.append(Result(f"{label}: {name}, peak memory", found["peak"], "MiB"))
                results.append(Result(f"{label}: {name}, accuracy on new windows", found["accuracy"], ""))
            own = figures.pop("KernelELM")
            for name, found in figures.items():
                results.append(Result(f"{label}: {name} / KernelELM, fit", found["fit"] / own["fit"], "x", 1.0))
                results.append(Result(f"{label}: {name} / KernelELM, memory", found["peak"] / own["peak"], "x", 1.0))
            for name, limit in stopped.items():
                results.append(Result(f"{label}: {name}, fit >", limit, "s"))
                results.append(Result(f"{label}: {name} / KernelELM, fit >", limit / own["fit"], "x", 1.0))
            difference = np.abs(np.subtract(own["scores"], figures["KernelRidge"]["scores"])).max()
            results.append(Result(f"{label}: largest difference of scores, KernelELM and KernelRidge", difference, ""))
    return results


def windows(n, dim, seed=0):
    """Windows of `CLASSES` classes that differ in a few directions, and their labels: (n, dim) float32, (n,) int."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, n)
    X = rng.standard_normal((n, dim), dtype=np.float32)
    means = np.float32(6 / np.sqrt(dim)) * np.random.default_rng(1).standard_normal((CLASSES, dim), dtype=np.float32)
    for row, label in zip(X, y):  # one by one: making the windows must not take more memory than they do
        row += means[label]
    return X, y


def _kernel_elm(X, y, kernel, gamma, C):
    from abaw_tf.models.kernel_elm import KernelELM

    machine = KernelELM(C, kernel, gamma).fit(X, y)
    return machine.scores, lambda scores: scores.argmax(axis=1)


def _kernel_ridge(X, y, kernel, gamma, C):
    from sklearn.kernel_ridge import KernelRidge

    targets = np.where(y[:, None] == np.arange(CLASSES), 1, -1).astype(np.float32)
    machine = KernelRidge(alpha=1 / C, kernel=kernel, gamma=gamma).fit(X, targets)
    return machine.predict, lambda scores: scores.argmax(axis=1)


def _svc(X, y, kernel, gamma, C):
    from sklearn.svm import SVC

    machine = SVC(C=C, kernel=kernel, gamma=gamma, cache_size=1000).fit(X, y)
    return machine.predict, lambda classes: classes


MACHINES = {"KernelELM": _kernel_elm, "KernelRidge": _kernel_ridge, "SVC": _svc}


def _stop(limit):
    print(json.dumps({"stopped": limit}), flush=True)
    os._exit(0)  # of the whole process: no exception would reach LIBSVM's loop


def _main(name, n, dim, kernel, C, limit):
    MACHINES[name](*windows(50, 8), kernel, 0.1, C)  # imports, and starts the threads
    X, y = windows(n, dim)
    X_new, y_new = windows(NEW, dim, seed=2)
    timer = threading.Timer(limit, _stop, (limit,))
    timer.daemon = True  # a fit that fails shall not wait for it
    if limit is not None:
        timer.start()
    start = time.perf_counter()
    scores_of, decide = MACHINES[name](X, y, kernel, 1 / dim, C)
    middle = time.perf_counter()
    timer.cancel()
    scores = scores_of(X_new)
    end = time.perf_counter()
    accuracy = float(np.mean(decide(scores) == y_new))
    figures = {"fit": middle - start, "predict": end - middle, "peak": peak_memory(), "accuracy": accuracy}
    print(json.dumps({**figures, "scores": np.asarray(scores, float).tolist()}))


if __name__ == "__main__":
    _main(*json.loads(sys.argv[1]))
