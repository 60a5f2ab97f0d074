"""The head of the STAT/LSTM network, and what it is trained for: branches, statistics, LSTM, losses."""

import itertools

import keras
import numpy as np
import pytest
from stat_lstm_networks import WITHOUT_DROPOUT, labels, random_network

from abaw_tf.metrics import ccc
from abaw_tf.models.stat_lstm import build_stat_lstm_head, multitask_losses
from abaw_tf.models.stat_lstm_heads import block_of, takes_block_features
from abaw_tf.targets import va_vector

REGRESSIONS = {"arousal": 1, "valence": 1, "va_vector": 5}


@pytest.mark.parametrize(
    ("preset", "block", "fused", "expression", "regression"),
    [
        ("image", 1, 32, [20, 30], None),
        ("image_va", 1, 32, [20, 30], [10]),
        ("frames", 4, 3 * 7 + 32 + 7, [20, 30], None),
        ("frames_va", 4, 3 * 7 + 32 + 7, [20, 30], [10]),
        ("lstm", 4, 3 * 7 + 32 + 7 + 2 * 6, [20, 30], None),
        ("lstm_va", 4, 3 * 7 + 32 + 7 + 2 * 6, [20, 30], [10]),
    ],
)
def test_the_derivations_differ_in_what_they_see_and_say(preset, block, fused, expression, regression):
    head = build_stat_lstm_head(
        preset, 32, block=4, lstm_units=6, expression_units=(20, 30), regression_units=(10,), dropout=0.2
    )
    branches = {
        "expression": (expression, 7),
        **({key: (regression, n) for key, n in REGRESSIONS.items()} if regression else {}),
    }
    assert {key: y.shape for key, y in head.output.items()} == {key: (None, n) for key, (_, n) in branches.items()}
    assert (block_of(head), takes_block_features(head)) == (block, False)
    assert ("probabilities" in head.input) == (block > 1)
    for key, (units, n) in branches.items():
        widths, kernels = [fused, *units, n], []
        for i in range(1, len(units) + 1):
            kernels.append(head.get_layer(f"{key}_dense_{i}").kernel.shape)
        assert [*kernels, head.get_layer(key).kernel.shape] == list(itertools.pairwise(widths))
        rates = [layer.rate for layer in head.layers if layer.name.startswith(f"{key}_dropout_")]
        assert rates == [0.2] * 3  # as published, with one dense layer and with two


def test_the_widths_by_default_are_the_published_ones():
    for preset, expression in (("image_va", (1024, 1024)), ("frames_va", (1024,))):
        head = build_stat_lstm_head(preset, 8, block=2)
        for key, units in (("expression", expression), *((key, (1024, 1024)) for key in REGRESSIONS)):
            found = [layer.units for layer in head.layers if layer.name.startswith(f"{key}_dense")]
            assert tuple(found) == units


def test_a_branch_may_have_no_dense_layer():
    head = build_stat_lstm_head("image_va", 8, expression_units=(), regression_units=())
    kernels = {tuple(layer.kernel.shape) for layer in head.layers if isinstance(layer, keras.layers.Dense)}
    assert kernels == {(8, 7), (8, 1), (8, 5)}


def test_statistics_of_the_features_come_behind_those_of_the_probabilities():
    head = build_stat_lstm_head("frames", 6, block=4, stat="v1", expression_units=(8,))
    assert takes_block_features(head)
    fused = keras.Model(head.input, head.get_layer("fusion").output)
    rng = np.random.default_rng(0)
    p, f = rng.uniform(size=(2, 4, 7)).astype("float32"), rng.uniform(size=(2, 4, 6)).astype("float32")
    expected = np.concatenate([p.max(1), p.min(1), p.mean(1), f.mean(1), f[:, -1], p[:, -1]], axis=1)
    np.testing.assert_allclose(np.asarray(fused({"probabilities": p, "features": f})), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "word"), [({"n_features": 0}, "n_features=0"), ({"preset": "frame"}, "frames"), ({"stat": "v"}, "v0")]
)
def test_wrong_arguments_of_a_head_are_named(arguments, word):
    with pytest.raises(ValueError, match=word):
        build_stat_lstm_head(**arguments)


def test_the_fused_vector_has_the_published_order():
    model = random_network("frames_va", block=4)
    head = model.get_layer("head")
    fused = keras.Model(head.input, head.get_layer("fusion").output)
    rng = np.random.default_rng(0)
    p, f = rng.uniform(size=(2, 4, 7)).astype("float32"), rng.uniform(size=(2, 128)).astype("float32")
    expected = np.concatenate([p.max(1), p.min(1), p.mean(1), f, p[:, -1]], axis=1)
    np.testing.assert_allclose(np.asarray(fused({"probabilities": p, "features": f})), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "gate"),
    [
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("hard_sigmoid_keras2", lambda x: np.clip(0.2 * x + 0.5, 0, 1)),
    ],
)
def test_the_lstm_module_is_the_published_one(name, gate):
    """Against the recurrence written out, in float64."""
    model = random_network("lstm", block=4, lstm_layers=1, recurrent_activation=name, **WITHOUT_DROPOUT)
    head = model.get_layer("head")
    p = np.random.default_rng(0).uniform(-3, 3, (2, 4, 7))

    def run(cell, steps):
        kernel, recurrent, bias = (np.asarray(v, np.float64) for v in cell.trainable_variables)
        h = c = np.zeros((2, 8))
        for x in steps:
            i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=1)
            c = gate(f) * c + gate(i) * np.tanh(g)
            h = gate(o) * np.tanh(c)
        return h

    both = head.get_layer("lstm_1")
    steps = list(p.transpose(1, 0, 2))
    expected = np.concatenate([run(both.forward_layer, steps), run(both.backward_layer, steps[::-1])], axis=1)
    np.testing.assert_allclose(np.asarray(both(p.astype("float32"))), expected, atol=1e-5)


def test_the_target_vector():
    found = va_vector([0.5, np.nan, -1.0], [0.1, 0.2, 1.0])
    expected = [[0.1, 0.5, 0.3, 0.2, 0.2], [0.2, np.nan, np.nan, np.nan, np.nan], [1.0, -1.0, 0.0, 1.0, 1.0]]
    np.testing.assert_allclose(found, np.array(expected, np.float32), atol=1e-7)
    assert found.dtype == np.float32
    with pytest.raises(ValueError, match="same shape"):
        va_vector([0.1], [0.1, 0.2])


def test_the_total_loss_is_the_papers():
    """Against NumPy over the labelled frames."""
    rng = np.random.default_rng(3)
    truth = labels(12)
    p = rng.dirichlet(np.ones(7), 12).astype("float32")
    a, v = rng.uniform(-1, 1, (2, 12)).astype("float32")
    vector = rng.uniform(-1, 1, (12, 5)).astype("float32")
    predicted = {"expression": p, "arousal": a[:, None], "valence": v[:, None], "va_vector": vector}
    losses, weights = multitask_losses(predicted)
    total = sum(weights[key] * float(losses[key](truth[key], predicted[key])) for key in losses)
    known = truth["expression"] >= 0
    entropy = -np.log(p[known, truth["expression"][known]]).mean()
    errors = [1 - ccc(truth[key], x) for key, x in (("arousal", a), ("valence", v))]
    square = np.nanmean((truth["va_vector"] - vector) ** 2)
    assert total == pytest.approx(entropy + 0.4 * sum(errors) + 0.2 * square, rel=1e-5)
