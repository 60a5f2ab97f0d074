"""The STAT/LSTM network over consecutive frames: blocks as published against chunks, which run the base once per frame."""

import json
import sys
import time

import numpy as np

from abaw_tf.benchmarks.processes import in_a_process, peak_memory
from abaw_tf.benchmarks.results import Result

BAR = 10.0
SIZES = {
    "small": {
        "image_size": 64,
        "blocks": (1, 1, 1, 1),
        "width": 16,
        "lstm_units": 64,
        "expression_units": (128,),
        "regression_units": (128, 128),
    },
    "medium": {
        "image_size": 112,
        "width": 32,
        "lstm_units": 256,
        "expression_units": (512,),
        "regression_units": (512, 512),
    },
    "full": {},
}
WIRINGS = ("block", "chunk")
TASKS = ("inference", "training")


def benchmark_stat_lstm(sizes=("small", "medium"), preset="lstm_va", block=16, blocks_per_step=8, repeats=3):
    """Measure frames per second and memory of both wirings, in inference and in training.

    Both see the same number of images per step, ``blocks_per_step · block``: that many blocks, or one chunk. What is counted are frames
    with an output: one per block, all but the first ``block - 1`` of a chunk. The wirings take turns; the best turn of each counts. Memory
    is the peak of a process of its own, TensorFlow included.

    Parameters
    ----------
    sizes : sequence of {"small", "medium", "full"}
        Sizes of the network; "full" is the published one.
    preset : str
        Derivation, see :func:`abaw_tf.models.stat_lstm.build_stat_lstm`.
    block, blocks_per_step, repeats : int
        Frames per block; blocks per step; turns.

    Returns
    -------
    list of Result
    """
    results = []
    for size in sizes:
        networks = _networks(size, preset, block, blocks_per_step)
        for task in TASKS:
            label = f"{preset}, {size}, {task}"
            speed = _speed(networks, task, repeats)
            results += [Result(f"{label}: {wiring} network", speed[wiring], "frames/s") for wiring in WIRINGS]
            results.append(Result(f"{label}: chunk / block", speed["chunk"] / speed["block"], "", BAR))
            for wiring in WIRINGS:
                peak = in_a_process(__name__, size, preset, block, blocks_per_step, task, wiring)
                results.append(Result(f"{label}: peak memory, {wiring} network", peak, "MiB"))
    return results


def _networks(size, preset, block, blocks_per_step, wirings=WIRINGS):
    """By wiring: the network, a batch of inputs, their targets, and the number of frames with an output."""
    from abaw_tf.models.stat_lstm import build_stat_lstm, compile_stat_lstm, rewire
    from abaw_tf.targets import va_vector

    model = build_stat_lstm(preset, block=block, **SIZES[size])
    side, n_images = model.input["frames"].shape[2], block * blocks_per_step
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n_images, side, side, 3)).astype("float32")
    made = {}
    for wiring in wirings:
        n = blocks_per_step if wiring == "block" else n_images - block + 1
        network = model if wiring == "block" else rewire(model, "chunk", n_frames=n)
        shape = (blocks_per_step, block) if wiring == "block" else (1, n_images)
        valence, arousal = rng.uniform(-1, 1, (2, n))
        truth = {"expression": rng.integers(0, 7, n), "valence": valence, "arousal": arousal}
        truth["va_vector"] = va_vector(valence, arousal)
        targets = {key: truth[key] if wiring == "block" else truth[key][None] for key in network.output}
        compile_stat_lstm(network, jit_compile=False)
        made[wiring] = network, {"frames": images.reshape(*shape, side, side, 3)}, targets, n
    return made


def _step(task, network, inputs, targets):
    if task == "training":
        network.train_on_batch(inputs, targets)
    else:
        network.predict_on_batch(inputs)


def _speed(networks, task, repeats):
    """Frames per second by wiring; the wirings take turns."""
    best = dict.fromkeys(networks, np.inf)
    for turn in range(repeats + 1):
        for wiring, (network, inputs, targets, _) in networks.items():
            start = time.perf_counter()
            _step(task, network, inputs, targets)
            if turn:  # the first one compiles
                best[wiring] = min(best[wiring], time.perf_counter() - start)
    return {wiring: networks[wiring][3] / best[wiring] for wiring in networks}


def _main(size, preset, block, blocks_per_step, task, wiring):
    network, inputs, targets, _ = _networks(size, preset, block, blocks_per_step, (wiring,))[wiring]
    for _ in range(2):
        _step(task, network, inputs, targets)
    print(peak_memory())


if __name__ == "__main__":
    _main(*json.loads(sys.argv[1]))
