"""The STAT/LSTM network in its wirings does what every model must."""

import numpy as np
import pytest
from model_contract import ModelContract
from stat_lstm_networks import SMALL, images

from abaw_tf.models.stat_lstm import build_stat_lstm, rewire


class TestBlockContract(ModelContract):
    outputs = {"expression": (7,), "arousal": (1,), "valence": (1,), "va_vector": (5,)}  # noqa: RUF012

    def build(self):
        return build_stat_lstm("lstm_va", block=3, **SMALL)

    def inputs(self, n):
        return {"frames": images(n * 3).reshape(n, 3, 32, 32, 3).astype("uint8")}


@pytest.mark.slow
class TestFramesContract(TestBlockContract):
    def build(self):
        return build_stat_lstm("frames_va", block=3, stat="v1", batch_norm="batch", **SMALL)


@pytest.mark.slow
class TestImageContract(TestBlockContract):
    def build(self):
        return build_stat_lstm("image_va", **SMALL)

    def inputs(self, n):
        return {"image": images(n).astype("uint8")}


class TestChunkContract(ModelContract):
    outputs = {"expression": (2, 7), "arousal": (2, 1), "valence": (2, 1), "va_vector": (2, 5)}  # noqa: RUF012

    def build(self):
        return rewire(build_stat_lstm("frames_va", block=3, **SMALL), "chunk", n_frames=2)

    def inputs(self, n):
        return {"frames": images(n * 4).reshape(n, 4, 32, 32, 3).astype("uint8")}


@pytest.mark.slow
class TestTracksContract(TestChunkContract):
    def build(self):
        return rewire(build_stat_lstm("lstm_va", block=3, **SMALL), "tracks", n_frames=2)

    def inputs(self, n):
        rng = np.random.default_rng(0)
        probabilities = rng.dirichlet(np.ones(7), (n, 4)).astype("float32")
        return {"probabilities": probabilities, "features": rng.normal(size=(n, 2, 128)).astype("float32")}
