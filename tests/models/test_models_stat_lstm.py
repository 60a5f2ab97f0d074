"""The STAT/LSTM network of Do et al.: sizes, wirings, losses, contract."""

import keras
import numpy as np
import pytest

from abaw_tf.models.stat_lstm import build_stat_lstm

WIDE = {"expression_units": (2048,), "regression_units": (2048,)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "changes", "parameters", "fused"),
    [
        ("frames_va", {}, 39_442_382, 2076),  # t31, model 4 as submitted
        ("lstm_va", {}, 81_459_150, 4124),  # t45, model 6
        ("image_va", {}, 40_362_958, None),  # t8, t15: model 2
        ("image_va", WIDE, 44_571_598, None),  # t12
    ],
)
def test_the_published_sizes(preset, changes, parameters, fused):
    model = build_stat_lstm(preset, **changes)
    assert model.count_params() == parameters
    assert sum(int(np.prod(v.shape)) for v in model.non_trainable_variables) == 1_498_048
    head = model.get_layer("head")
    assert [x.shape[-1] for x in (layer.output for layer in head.layers if layer.name == "fusion")] == [fused] * bool(
        fused
    )
    assert isinstance(model.get_layer("base"), keras.Model)
