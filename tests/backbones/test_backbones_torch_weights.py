"""State dicts assigned to Keras layers: layouts, names, and all or nothing."""

import keras
import numpy as np
import pytest
from keras import layers

from abaw_tf.backbones.torch_weights import assign_torch_weights


def arrays(seed=0):
    """Of Conv1d(3, 4, 2), BatchNorm1d(4), Linear(4, 5), as PyTorch shapes them."""
    rng = np.random.default_rng(seed)
    shapes = {
        "net.conv.weight": (4, 3, 2), "net.conv.bias": (4,), "net.norm.weight": (4,), "net.norm.bias": (4,),
        "net.norm.running_mean": (4,), "net.norm.running_var": (4,), "net.fc.weight": (5, 4), "net.fc.bias": (5,),
    }  # fmt: skip
    found = {name: rng.uniform(0.5, 1.5, shape).astype("f4") for name, shape in shapes.items()}
    return {**found, "net.norm.num_batches_tracked": np.int64(3)}


def build(name="fc"):
    return keras.Sequential(
        [
            keras.Input((6, 3)),
            layers.Conv1D(4, 2, name="conv"),
            layers.BatchNormalization(epsilon=1e-5, name="norm"),
            layers.GlobalMaxPooling1D(name="pool"),
            layers.Dense(5, name=name),
        ],
        name="tiny",
    )


def forward(state, x):
    """By the definitions, in PyTorch's layout: x (batch, channels, time)."""
    kernel, time = state["net.conv.weight"], x.shape[2] - 1
    steps = [np.einsum("oik,nik->no", kernel, x[:, :, t : t + 2]) for t in range(time)]
    x = np.stack(steps, axis=2) + state["net.conv.bias"][:, None]
    mean, variance, scale, shift = (
        state[f"net.norm.{key}"][:, None] for key in ("running_mean", "running_var", "weight", "bias")
    )
    x = (x - mean) / np.sqrt(variance + 1e-5) * scale + shift
    return x.max(axis=2) @ state["net.fc.weight"].T + state["net.fc.bias"]


def rename(module):
    return module.removeprefix("net.")


def test_outputs_are_those_of_the_arrays():
    x = np.random.default_rng(1).normal(size=(2, 3, 6)).astype("f4")
    model = build()
    report = assign_torch_weights(model, arrays(), "here", rename)
    assert report.loaded == ["conv", "norm", "fc"]
    np.testing.assert_allclose(model(x.transpose(0, 2, 1)), forward(arrays(), x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("ignored", ["head", "fc"])
def test_ignored_layers_keep_what_they_have(ignored):
    """Of the model (a new head) and of the state dict (the old one)."""
    model = build("head")
    before = model.get_layer("head").get_weights()
    if ignored == "fc":
        with pytest.raises(
            ValueError, match=r"here: .*'tiny'; 1 layer\(s\) missing in the checkpoint: head; build.*Received: 2"
        ):
            assign_torch_weights(model, arrays(), "here", rename, ignore=("fc",))
    assign_torch_weights(model, arrays(), "here", rename, ignore=("head", "fc"))
    for old, new in zip(before, model.get_layer("head").get_weights()):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(model.get_layer("conv").bias, arrays()["net.conv.bias"])


def without(name):
    return {key: array for key, array in arrays().items() if key != name}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (without("net.conv.bias"), r"layer conv: the model has bias \(4,\), kernel \(2, 3, 4\), the checkpoint kernel \(2, 3, 4\)"),
        (without("net.norm.running_var"), "layer norm: the model has .* the checkpoint beta .*, gamma .*, moving_mean"),
        ({**arrays(), "net.fc.weight": np.ones((4, 5), "f4")}, r"layer fc: the model .*the checkpoint bias .*, kernel \(5, 4\)"),
        ({**arrays(), "net.extra.weight": np.ones((4, 5), "f4")}, r"1 layer\(s\) unexpected in the checkpoint: extra"),
    ],
)  # fmt: skip
def test_all_or_nothing(state, message):
    model = build()
    before = model.get_weights()
    with pytest.raises(
        ValueError, match=f"here: these weights do not belong to the model 'tiny'; .*{message}.*Received: "
    ):
        assign_torch_weights(model, state, "here", rename)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_weights_that_are_not_finite_are_refused():
    model, state = build(), arrays()
    before = model.get_weights()
    state["net.fc.bias"][2] = np.nan
    with pytest.raises(ValueError, match=r"here: weights must be finite.*Received: 1 of 5 values of .*fc/bias"):
        assign_torch_weights(model, state, "here", rename)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
