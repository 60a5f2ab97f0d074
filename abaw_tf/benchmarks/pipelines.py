"""The windowed pipeline over stored tracks, against a plain gather from the same memory-mapped files."""

import tempfile
import time

import numpy as np
import pandas as pd

from abaw_tf.benchmarks.results import Result

BAR = 400_000.0


def benchmark_track_windows(n_trials=16, n_frames=3000, dim=2048, size=300, stride=200, batch_size=8, repeats=5):
    """Measure frames per second of shuffled training windows as float32 batches, in files that lie in the page cache.

    Parameters
    ----------
    n_trials, n_frames, dim : int
        Size of the dataset: float16 tracks, 197 MB at the defaults.
    size, stride, batch_size : int
        Windows of 300 frames every 200 (Zhang et al. 2022), and windows per batch.
    repeats : int
        Turns, in which pipeline and plain gather alternate; the best one of each counts.

    Returns
    -------
    list of Result
        Frames per second of both; the pipeline's frames per second of processor time on two cores, which holds even while other
        programs compete for the processor; and the memory that reading takes on top of mapped files.
    """
    from abaw_tf.data.pipelines import n_batches, track_windows, window_spans
    from abaw_tf.features.store import FeatureStore

    rng = np.random.default_rng(0)
    trials = [f"trial{i:03d}" for i in range(n_trials)]
    table = pd.DataFrame({"trial": np.repeat(trials, n_frames), "frame": np.tile(np.arange(n_frames), n_trials)})
    table["expression"] = rng.integers(-1, 7, len(table))
    wall, plain, work, memory = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(folder, "benchmark", {}, "0" * 64)
        for trial in trials:
            store.write(trial, rng.standard_normal((n_frames, dim), np.float32))
        spans = window_spans(table, size, stride)
        steps = n_batches(len(spans), batch_size)
        batches = iter(track_windows({"track": store}, table, size, stride, batch_size, training=True))
        next(batches)
        for _ in range(repeats):
            start, worked, before = time.perf_counter(), time.process_time(), _resident()
            frames = sum(int(next(batches)[0]["track"].shape[0]) * size for _ in range(steps))
            wall.append(frames / (time.perf_counter() - start))
            work.append(frames / (time.process_time() - worked))
            memory.append(_resident() - before)
            plain.append(_plain_gather(store, trials, n_frames, spans, size, batch_size, rng))
    return [
        Result("windows from tracks: pipeline, float16 tracks to float32 batches", max(wall), "frames/s", BAR),
        Result("windows from tracks: plain memory-mapped gather, one core", max(plain), "frames/s"),
        Result("windows from tracks: pipeline, per second of processor time, times 2 cores", 2 * max(work), "frames/s"),
        Result("windows from tracks: memory that a pass adds", max(memory) / 2**20, "MiB"),
    ]


def _plain_gather(store, trials, n_frames, spans, size, batch_size, rng):
    values = [store.read(trial).values for trial in trials]
    order = rng.permutation(len(spans))
    start = time.perf_counter()
    for begin in range(0, len(order), batch_size):
        chosen = spans[order[begin : begin + batch_size]]
        batch = np.empty((len(chosen), size, values[0].shape[1]), np.float32)
        for out, (first, last) in zip(batch, chosen):
            trial = first // n_frames
            out[: last - first] = values[trial][first - trial * n_frames : last - trial * n_frames]
    return len(order) * size / (time.perf_counter() - start)


def _resident():
    """Anonymous resident memory in bytes (mapped files are the kernel's to drop); 0 where /proc does not tell."""
    try:
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith("RssAnon"))
    except (OSError, StopIteration):
        return 0
    return int(line.split()[1]) * 1024
