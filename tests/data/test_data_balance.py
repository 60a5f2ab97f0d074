"""Class weights, thinning and balanced sampling."""

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
