"""Counting many fusions at once gives what counting them one by one gives, to the last frame."""

import json
import runpy
import subprocess
import sys
import tracemalloc

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from abaw_tf.fusion.averaging import fused_scores
from abaw_tf.fusion.confusions import count_confusions
from abaw_tf.fusion.pruning import neighbours, regions

SHAPES = [(1, 1), (1, 3), (2, 2), (3, 7), (4, 8), (5, 7), (9, 13), (24, 8), (2, 32)]
"""Models and classes. Models are added up four at a time, and up to eight bits count a class's votes."""


def one_by_one(probabilities, y, weights, groups=None, n_groups=1):
    """Confusions of every draw by NumPy alone."""
    known = y >= 0
    n_classes = probabilities.shape[2]
    codes = np.zeros(len(y), int) if groups is None else groups
    result = np.zeros((len(weights), n_groups, n_classes, n_classes), np.int64)
    for counts, drawn in zip(result, weights):
        decided = fused_scores(probabilities[:, known], drawn).argmax(axis=1)
        np.add.at(counts, (codes[known], y[known], decided), 1)
    return result[:, 0] if groups is None else result


def drawn_weights(rng, n_draws, n_models, n_classes, level):
    alpha = np.ones(n_models)
    if level == "model":
        return rng.dirichlet(alpha, size=n_draws)
    return rng.dirichlet(alpha, size=(n_draws, n_classes)).transpose(0, 2, 1)


def material(seed, n_models, n_classes, n_frames, n_draws, level, kind, dtype=np.float64):
    """Probabilities, labels and weights; `kind` is how the probabilities come about."""
    rng = np.random.default_rng(seed)
    shape = (n_models, n_frames, n_classes)
    weights = drawn_weights(rng, n_draws, n_models, n_classes, level)
    if kind == "random":
        probabilities = rng.dirichlet(np.ones(n_classes), size=shape[:2])
    elif kind == "alike":  # models that agree on most frames
        scores = rng.normal(size=(1, n_frames, n_classes)) * 3 + rng.normal(size=shape)
        probabilities = np.exp(scores) / np.exp(scores).sum(axis=2, keepdims=True)
    elif kind == "ties":  # few different values, of probabilities and weights
        probabilities = rng.integers(0, 5, shape) / 4
        weights = rng.integers(0, 3, weights.shape) / 8
    elif kind == "near ties":  # differences that single precision cannot see
        probabilities = 1 / n_classes + rng.integers(-3, 4, shape) * 2.0**-30
    elif kind == "logarithms":
        probabilities = np.log(np.maximum(rng.dirichlet(np.ones(n_classes), size=shape[:2]), 1e-7))
    elif kind == "uniform":
        probabilities = np.full(shape, 1 / n_classes)
    elif kind == "magnitudes":
        probabilities = rng.random(shape) * 10.0 ** rng.integers(-30, 30, (1, n_frames, 1))
        weights = weights * 10.0 ** rng.integers(-120, 120, (n_draws,) + (1,) * (weights.ndim - 1))
    return probabilities.astype(dtype), rng.integers(-1, n_classes, n_frames), weights


KINDS = ["random", "alike", "ties", "near ties", "logarithms", "uniform", "magnitudes"]


@settings(max_examples=70, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.sampled_from(SHAPES),
    n_frames=st.sampled_from([1, 2, 31, 127, 128, 300]),
    n_draws=st.sampled_from([1, 5, 128, 131, 300]),
    level=st.sampled_from(["model", "model_class"]),
    kind=st.sampled_from(KINDS),
    n_groups=st.sampled_from([None, 1, 4]),
)
def test_counts_equal_one_by_one_however_they_are_made(seed, shape, n_frames, n_draws, level, kind, n_groups):
    probabilities, y, weights = material(seed, *shape, n_frames, n_draws, level, kind)
    groups = None if n_groups is None else np.random.default_rng(seed).integers(0, max(1, n_groups - 1), n_frames)
    expected = one_by_one(probabilities, y, weights, groups, n_groups or 1)
    for how in ({"compiled": True}, {"compiled": True, "prune": False}, {"compiled": False}):
        counted = count_confusions(probabilities, y, weights, groups, n_groups, **how)
        assert counted.dtype == np.int64
        np.testing.assert_array_equal(counted, expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", ["model", "model_class"])
@pytest.mark.parametrize("spread", [1.0, 0.05, 1e-7])
def test_many_frames_and_close_draws(kind, level, spread):
    probabilities, y, weights = material(3, 3, 7, 9_000, 132, level, kind, np.float32)
    if kind not in ("ties", "magnitudes"):
        weights = weights[:1] * (1 - spread) + weights * spread
    counted = count_confusions(probabilities, y, weights, compiled=True)
    np.testing.assert_array_equal(counted, one_by_one(probabilities, y, weights))


@pytest.mark.parametrize("compiled", [True, False])
def test_float32_is_decided_in_double_precision(compiled):
    """The scores differ by less than single precision resolves, the other way round than their roundings."""
    probabilities = np.float32([[[0.3, 0.7]], [[0.7, 0.3]]])
    step = 2.0**-40
    weights = np.array([[0.5 + step, 0.5 - step], [0.5 - step, 0.5 + step], [0.5, 0.5]])
    counted = count_confusions(probabilities, [0], weights, compiled=compiled)
    assert counted[:, 0].tolist() == [[0, 1], [1, 0], [1, 0]]


@pytest.mark.parametrize("compiled", [True, False])
def test_products_are_rounded_before_they_are_added(compiled):
    """A fused multiply-add would decide some of these ties of rounding otherwise."""
    rng = np.random.default_rng(0)
    probabilities = np.repeat(rng.random((3, 2000, 1)), 2, axis=2)
    probabilities[:, :, 1] = probabilities[[1, 2, 0], :, 0]
    weights = np.stack([rng.dirichlet(np.ones(3), size=50)] * 2, axis=2)
    weights[:, :, 1] = weights[:, [1, 2, 0], 0]  # the same products, added in another order
    y = np.zeros(2000, int)
    expected = one_by_one(probabilities, y, weights)
    assert (expected[:, 0] > 0).all()
    np.testing.assert_array_equal(count_confusions(probabilities, y, weights, compiled=compiled), expected)


def test_one_hot_weights_reproduce_single_models():
    probabilities, y, _ = material(1, 3, 7, 2000, 1, "model", "random")
    known = y >= 0
    counted = count_confusions(probabilities, y, np.eye(3))
    for model, counts in zip(probabilities, counted):
        expected = confusion_matrix(y[known], model[known].argmax(axis=1), labels=range(7))
        np.testing.assert_array_equal(counts, expected)


@pytest.mark.parametrize("level", ["model", "model_class"])
def test_the_number_of_threads_changes_nothing(level):
    probabilities, y, weights = material(2, 3, 7, 5000, 700, level, "alike")
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = count_confusions(probabilities, y, weights, compiled=True)
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(count_confusions(probabilities, y, weights, compiled=True), alone)
    np.testing.assert_array_equal(alone[:3], one_by_one(probabilities, y, weights[:3]))


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_memory_layouts(dtype, compiled, tmp_path):
    probabilities, y, weights = material(4, 3, 7, 500, 20, "model", "random", dtype)
    expected = one_by_one(probabilities, y, weights)
    np.save(tmp_path / "p.npy", probabilities)
    mapped = np.load(tmp_path / "p.npy", mmap_mode="r")
    strided = np.repeat(probabilities, 2, axis=1)[:, ::2]
    for same in (np.asfortranarray(probabilities), mapped, strided, probabilities.tolist()):
        np.testing.assert_array_equal(count_confusions(same, y.tolist(), weights.tolist(), compiled=compiled), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("prune", [True, False])
def test_memory_stays_below_three_times_the_input(dtype, prune):
    probabilities, y, weights = material(5, 4, 8, 60_000, 256, "model", "random", dtype)
    count_confusions(probabilities[:, :10], y[:10], weights, prune=prune, compiled=True)
    tracemalloc.start()
    count_confusions(probabilities, y, weights, prune=prune, compiled=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak + probabilities.nbytes < 3 * probabilities.nbytes


@pytest.mark.parametrize("compiled", [True, False])
def test_no_draws_and_no_labelled_frames(compiled):
    probabilities, y, weights = material(6, 3, 7, 10, 4, "model", "random")
    assert count_confusions(probabilities, y, weights[:0], compiled=compiled).shape == (0, 7, 7)
    assert count_confusions(probabilities, np.full(10, -1), weights, compiled=compiled).sum() == 0
    assert count_confusions(probabilities[:, :0], y[:0], weights, compiled=compiled).shape == (4, 7, 7)


@pytest.mark.parametrize("compiled", [True, False])
def test_what_is_not_labelled_may_be_missing(compiled):
    probabilities, y, weights = material(7, 3, 7, 50, 4, "model", "random")
    y[10] = -1
    expected = count_confusions(probabilities, y, weights, compiled=compiled)
    probabilities[1, 10] = np.nan
    np.testing.assert_array_equal(count_confusions(probabilities, y, weights, compiled=compiled), expected)


@pytest.mark.parametrize("compiled", [True, False])
def test_progress_counts_the_draws(compiled):
    probabilities, y, weights = material(8, 3, 7, 50, 2500, "model", "random")
    done = []
    count_confusions(probabilities, y, weights, progress=done.append, compiled=compiled)
    assert sum(done) == 2500
    assert len(done) > 1


def test_a_small_search_does_not_wait_for_the_compiler():
    """What a process has done without it counts: the first search here is small, the second one is not."""
    program = """
import sys
import numpy as np
from abaw_tf.fusion import DirichletFusion, confusions
rng = np.random.default_rng(0)
p, y = rng.dirichlet(np.ones(7), (4, 500)), rng.integers(0, 7, 500)
first = DirichletFusion(n_draws=1000).fit(p, y)
print("numba" in sys.modules)
confusions.PLAIN_WORK = 1.5 * 1000 * p.size
second = DirichletFusion(n_draws=1000).fit(p, y)
print("numba" in sys.modules, (first.scores_ == second.scores_).all())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "True", "True"], done.stderr


def test_without_a_place_for_the_cache_functions_are_compiled_in_memory(monkeypatch):
    from numba.core.caching import CacheImpl

    from abaw_tf.compiling import compiled

    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    assert compiled(lambda x: x + 1)(2) == 3


def test_errors_name_what_is_wrong():
    probabilities, y, weights = material(9, 3, 7, 50, 4, "model", "random")
    y[:] = 3
    holed = probabilities.copy()
    holed[2, 17, 4] = np.nan
    for compiled in (True, False):
        with pytest.raises(ValueError, match=r"finite on labelled frames.*of model 2 at frame 17"):
            count_confusions(holed, y, weights, compiled=compiled)
    with pytest.raises(ValueError, match=r"y must lie in -1 \.\.\. 6\. Received: 7 at frame 5"):
        count_confusions(probabilities, np.where(np.arange(50) == 5, 7, y), weights)
    with pytest.raises(ValueError, match=r"groups must lie in 0 \.\.\. 1\. Received: -1 at frame 0"):
        count_confusions(probabilities, y, weights, np.full(50, -1), 2)
    with pytest.raises(ValueError, match="need n_groups"):
        count_confusions(probabilities, y, weights, np.zeros(50, int))
    with pytest.raises(ValueError, match="y must be whole numbers"):
        count_confusions(probabilities, y[:-1], weights)
    with pytest.raises(ValueError, match="in draw 2"):
        count_confusions(probabilities, y, np.where(np.arange(4)[:, None] == 2, -0.5, weights))
    with pytest.raises(ValueError, match="weights must have shape"):
        count_confusions(probabilities, y, weights[:, :2])
    with pytest.raises(ValueError, match="probabilities must have shape"):
        count_confusions(probabilities[0], y, weights)


def test_neighbours_come_in_runs_and_regions_hold_them():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(4), size=1000)
    order = neighbours(weights, 100)
    assert sorted(order) == list(range(1000))
    runs = weights[order].reshape(10, 100, 1, 4)
    assert np.ptp(runs, axis=1).mean() < 0.6 * np.ptp(weights, axis=0).mean()
    found = regions(runs)[:, 0]
    low, high = found[:, None, :4], found[:, None, 4:8]
    assert (runs[:, :, 0] >= low - 1e-6).all()
    assert (runs[:, :, 0] <= high + 1e-6).all()
    np.testing.assert_allclose(found[:, 12], 1 - low[:, 0].sum(axis=1), atol=1e-6)


@pytest.mark.slow
def test_the_benchmark_prints_a_table_and_writes_json(project, tmp_path, capsys):
    main = runpy.run_path(str(project / "tools" / "benchmark.py"))["main"]
    out = tmp_path / "fusion.json"
    size = ["--frames", "3000", "--models", "3", "--draws", "200", "--repeats", "1"]
    assert main(["fusion", *size, "--json", str(out)]) == 0
    assert "SWF" in capsys.readouterr().out
    content = json.loads(out.read_text())
    assert content["benchmark"] == "fusion"
    assert {200.0, 1000.0, 3.0} <= {result["bar"] for result in content["results"]}
    assert all(result["value"] > 0 for result in content["results"])
