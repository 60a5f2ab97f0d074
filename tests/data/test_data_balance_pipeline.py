"""Thinning, class-balanced sampling and weighting as tf.data steps."""

import numpy as np
import pytest
import tensorflow as tf

from abaw_tf.data import balance, balance_pipeline

EVERY = {"Neutral": 10, "Anger": 2, "Disgust": 2, "Fear": 2, "Surprise": 2, "Happiness": 5, "Sadness": 5}


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
    labels, groups = stream
    group_of = np.unique(groups, return_inverse=True)[1] if numbered_groups else groups
    expected = np.flatnonzero(balance.thin(labels, groups, EVERY))
    assert len(expected) < 100
    parts = (np.arange(len(labels)), labels, group_of)
    if as_dictionary:
        dataset = tf.data.Dataset.from_tensor_slices(dict(zip("xyg", parts)))
        thinned = balance_pipeline.thin_dataset(dataset, EVERY, lambda e: e["y"], lambda e: e["g"])
        kept = [int(element["x"]) for element in thinned]
    else:
        dataset = tf.data.Dataset.from_tensor_slices(parts)
        thinned = balance_pipeline.thin_dataset(dataset, EVERY, lambda x, y, g: y, lambda x, y, g: g)
        kept = [int(x) for x, _, _ in thinned]
    assert kept == expected.tolist()
    assert len(list(thinned)) == len(expected)  # a second epoch starts afresh


def test_balancing_a_dataset_is_balancing_the_arrays(stream):
    labels, _ = stream
    dataset = tf.data.Dataset.from_tensor_slices((np.arange(len(labels)), labels))
    balanced = balance_pipeline.balanced_dataset(dataset, lambda x, y: y, n_classes=8, n=200)  # class 7 does not occur
    assert [int(x) for x, _ in balanced] == balance.balanced_indices(labels, 200).tolist()


def test_weighting_a_dataset_is_weighting_the_arrays(stream):
    labels, _ = stream
    class_weights = balance.log_class_weights(balance.class_counts(labels, 7), 0.47)
    expected = balance.sample_weights(labels, class_weights)
    x = np.zeros((len(labels), 2), np.float32)
    single = balance_pipeline.weighted_dataset(tf.data.Dataset.from_tensor_slices((x, labels)), class_weights)
    np.testing.assert_array_equal([float(weight) for _, _, weight in single], expected)

    half = np.full(len(labels), 0.5, np.float32)
    batches = tf.data.Dataset.from_tensor_slices((x, labels, half)).batch(16)
    weighed = np.concatenate([weight for _, _, weight in balance_pipeline.weighted_dataset(batches, class_weights)])
    np.testing.assert_array_equal(weighed, expected * half)


def test_weighting_one_of_several_outputs_leaves_the_others(stream):
    labels, _ = stream
    targets = {"expression": labels, "valence": np.zeros(len(labels), np.float32)}
    masks = {"expression": np.ones(len(labels), np.float32), "valence": np.arange(len(labels), dtype=np.float32)}
    class_weights = np.arange(1.0, 8.0)
    dataset = tf.data.Dataset.from_tensor_slices((labels, targets, masks)).batch(50)
    parts = [weight for _, _, weight in balance_pipeline.weighted_dataset(dataset, class_weights, "expression")]
    weights = {key: np.concatenate([part[key] for part in parts]) for key in masks}
    np.testing.assert_array_equal(weights["expression"], balance.sample_weights(labels, class_weights))
    np.testing.assert_array_equal(weights["valence"], masks["valence"])
    unmasked = tf.data.Dataset.from_tensor_slices((labels, targets))
    assert {
        float(w["valence"]) for _, _, w in balance_pipeline.weighted_dataset(unmasked, class_weights, "expression")
    } == {1.0}
