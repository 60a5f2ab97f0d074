"""Class weights, thinning and balanced sampling, as functions and as tf.data steps."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abaw_tf.data import balance

LABELS = st.lists(st.integers(-1, 7), min_size=1, max_size=60).map(lambda values: np.array(values, np.int64))
EVERY = {"Neutral": 10, "Anger": 2, "Disgust": 2, "Fear": 2, "Surprise": 2, "Happiness": 5, "Sadness": 5}


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=8).filter(any), st.floats(0.01, 2))
def test_log_class_weights_are_equation_1(counts, r):
    expected = [max(1.0, math.log(r * sum(counts) / n)) if n else 1.0 for n in counts]
    np.testing.assert_allclose(balance.log_class_weights(counts, r), expected, rtol=1e-12)


def test_log_class_weights_of_the_published_counts():
    # Do et al.'s training counts, official order: the rare classes weigh more than 1, the frequent ones exactly 1.
    counts = [451062, 18470, 7095, 9864, 116562, 85803, 32775]
    weights = balance.log_class_weights(counts, 0.34)
    assert weights.round(3).tolist() == [1.0, 2.587, 3.543, 3.214, 1.0, 1.051, 2.013]
    assert (balance.log_class_weights(counts, 0.47) >= weights).all()


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any))
def test_inverse_class_weights_are_scikit_learns_and_a_multiple_of_them(counts):
    from sklearn.utils.class_weight import compute_class_weight

    present = np.flatnonzero(counts)
    labels = np.repeat(np.arange(len(counts)), counts)
    weights = balance.inverse_class_weights(counts)
    np.testing.assert_allclose(weights[present], compute_class_weight("balanced", classes=present, y=labels))
    largest = balance.inverse_class_weights(counts, "max")
    np.testing.assert_allclose(largest[present], [max(counts) / counts[i] for i in present])
    assert (np.delete(weights, present) == 1).all()
    assert (np.delete(largest, present) == 1).all()


def test_class_counts_leave_missing_labels_out():
    assert balance.class_counts([0, -1, 6, 6, -1], 7).tolist() == [1, 0, 0, 0, 0, 0, 2]


def test_sample_weights_are_zero_without_a_label():
    weights = balance.sample_weights([2, -1, 0], [1.0, 2.0, 3.0])
    assert weights.dtype == np.float32
    assert weights.tolist() == [3.0, 0.0, 1.0]


def slow_thin(labels, groups, steps):
    seen, kept = {}, []
    for label, group in zip(labels, groups):
        rank = seen.get((group, label), 0)
        seen[group, label] = rank + 1
        kept.append(rank % steps.get(label, 1) == 0)
    return kept


@settings(deadline=None)
@given(LABELS, st.data())
def test_thinning_counts_per_class_and_group(labels, data):
    groups = data.draw(st.lists(st.sampled_from(["a", "b", "ü"]), min_size=len(labels), max_size=len(labels)))
    steps = data.draw(st.dictionaries(st.integers(-1, 7), st.integers(1, 5)))
    assert balance.thin(labels, groups, steps).tolist() == slow_thin(labels, groups, steps)


def test_thinning_by_name_as_published():
    labels = np.repeat([0, 1, 4, -1], 20)
    keep = balance.thin(labels, np.zeros(80, int), EVERY)
    assert [int(keep[labels == value].sum()) for value in (0, 1, 4, -1)] == [2, 10, 4, 20]
    assert np.flatnonzero(keep)[:2].tolist() == [0, 10]


@settings(deadline=None)
@given(LABELS.filter(lambda labels: (labels >= 0).any()), st.integers(0, 100))
def test_balanced_draws_follow_the_rule(labels, n):
    present = sorted(set(labels[labels >= 0].tolist()))
    items = {value: [i for i, label in enumerate(labels) if label == value] for value in present}
    expected = []
    for i in range(n):
        own = items[present[i % len(present)]]
        expected.append(own[(i // len(present)) % len(own)])
    assert balance.balanced_indices(labels, n).tolist() == expected


def test_epoch_length_and_seed():
    labels = np.array([0] * 10 + [1] * 4 + [3] * 1 + [-1] * 5)
    assert {mode: len(balance.balanced_indices(labels, mode=mode)) for mode in balance.MODES} == {
        "average": 15,
        "max": 30,
        "min": 3,
    }
    whole = balance.balanced_indices(labels, seed=3, mode="max")
    assert set(whole) == set(range(15))  # nothing is left out, nothing without a label is drawn
    assert np.bincount(labels[whole]).tolist() == [10, 10, 0, 10]
    np.testing.assert_array_equal(whole, balance.balanced_indices(labels, seed=3, mode="max"))
    assert not np.array_equal(whole, balance.balanced_indices(labels, seed=(3, 1), mode="max"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: balance.log_class_weights([0, 0]), "not all zero"),
        (lambda: balance.log_class_weights([3, -1]), "none negative"),
        (lambda: balance.log_class_weights([3, 1], 0), "r must be positive. Received: r=0"),
        (lambda: balance.inverse_class_weights([0, 0]), "not all zero"),
        (lambda: balance.inverse_class_weights([1, 2], "log"), "rule.*Received: rule='log'"),
        (lambda: balance.thin([0, 9], ["a", "a"], {}), r"labels\[1\] = 9"),
        (lambda: balance.thin([0, 1], ["a"], {}), r"as long as labels.*Received: shape \(1,\)"),
        (lambda: balance.thin([0], ["a"], {"Hapiness": 2}), "Did you mean 'Happiness'"),
        (lambda: balance.thin([0], ["a"], {"Fear": 0}), "Received: 'Fear': 0"),
        (lambda: balance.balanced_indices([-1, -1]), "no frame has a label"),
        (lambda: balance.balanced_indices([0], mode="avg"), "Received: mode='avg'"),
        (lambda: balance.sample_weights([0.5], [1.0]), "dtype float64"),
        (lambda: balance.sample_weights([2], [1.0, 1.0]), r"0…1.*labels\[0\] = 2"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.fixture(scope="module")
def stream():
    rng = np.random.default_rng(0)
    groups = np.repeat(["a", "b", "a_left"], [70, 50, 1])
    return rng.choice(7, len(groups), p=[0.5, 0.1, 0.02, 0.03, 0.2, 0.1, 0.05]) - (
        rng.random(len(groups)) < 0.1
    ), groups


@pytest.mark.parametrize("as_dictionary", [True, False])
@pytest.mark.parametrize("numbered_groups", [True, False])
def test_thinning_a_dataset_is_thinning_the_arrays(stream, as_dictionary, numbered_groups):
    import tensorflow as tf

    labels, groups = stream
    group_of = np.unique(groups, return_inverse=True)[1] if numbered_groups else groups
    expected = np.flatnonzero(balance.thin(labels, groups, EVERY))
    assert len(expected) < 100
    parts = (np.arange(len(labels)), labels, group_of)
    if as_dictionary:
        dataset = tf.data.Dataset.from_tensor_slices(dict(zip("xyg", parts)))
        thinned = balance.thin_dataset(dataset, EVERY, lambda e: e["y"], lambda e: e["g"])
        kept = [int(element["x"]) for element in thinned]
    else:
        dataset = tf.data.Dataset.from_tensor_slices(parts)
        thinned = balance.thin_dataset(dataset, EVERY, lambda x, y, g: y, lambda x, y, g: g)
        kept = [int(x) for x, _, _ in thinned]
    assert kept == expected.tolist()
    assert len(list(thinned)) == len(expected)  # a second epoch starts afresh


def test_balancing_a_dataset_is_balancing_the_arrays(stream):
    import tensorflow as tf

    labels, _ = stream
    dataset = tf.data.Dataset.from_tensor_slices((np.arange(len(labels)), labels))
    balanced = balance.balanced_dataset(dataset, lambda x, y: y, n_classes=8, n=200)  # class 7 does not occur
    assert [int(x) for x, _ in balanced] == balance.balanced_indices(labels, 200).tolist()


def test_weighting_a_dataset_is_weighting_the_arrays(stream):
    import tensorflow as tf

    labels, _ = stream
    class_weights = balance.log_class_weights(balance.class_counts(labels, 7), 0.47)
    expected = balance.sample_weights(labels, class_weights)
    x = np.zeros((len(labels), 2), np.float32)
    single = balance.weighted_dataset(tf.data.Dataset.from_tensor_slices((x, labels)), class_weights)
    np.testing.assert_array_equal([float(weight) for _, _, weight in single], expected)

    half = np.full(len(labels), 0.5, np.float32)
    batches = tf.data.Dataset.from_tensor_slices((x, labels, half)).batch(16)
    weighed = np.concatenate([weight for _, _, weight in balance.weighted_dataset(batches, class_weights)])
    np.testing.assert_array_equal(weighed, expected * half)


def test_weighting_one_of_several_outputs_leaves_the_others(stream):
    import tensorflow as tf

    labels, _ = stream
    targets = {"expression": labels, "valence": np.zeros(len(labels), np.float32)}
    masks = {"expression": np.ones(len(labels), np.float32), "valence": np.arange(len(labels), dtype=np.float32)}
    class_weights = np.arange(1.0, 8.0)
    dataset = tf.data.Dataset.from_tensor_slices((labels, targets, masks)).batch(50)
    parts = [weight for _, _, weight in balance.weighted_dataset(dataset, class_weights, "expression")]
    weights = {key: np.concatenate([part[key] for part in parts]) for key in masks}
    np.testing.assert_array_equal(weights["expression"], balance.sample_weights(labels, class_weights))
    np.testing.assert_array_equal(weights["valence"], masks["valence"])
    unmasked = tf.data.Dataset.from_tensor_slices((labels, targets))
    assert {float(w["valence"]) for _, _, w in balance.weighted_dataset(unmasked, class_weights, "expression")} == {1.0}
