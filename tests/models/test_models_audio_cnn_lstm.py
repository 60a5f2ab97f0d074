"""The 1D-CNN with LSTMs of Dresvyanskiy et al. 2020: sizes, the same graph in another Keras, options, recipe."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from model_contract import ModelContract, needs

from abaw_tf.models.audio_cnn_lstm import build_audio_cnn_lstm
from abaw_tf.training import Recipe, RecipeError

SMALL = {"samples": 6400, "filters": (4, 4, 6, 6), "units": (5, 5)}


def sounds(n, samples=6400, seed=0):
    return {"sound": np.random.default_rng(seed).uniform(-1, 1, (n, samples)).astype("float32")}


def test_the_published_sizes():
    model = build_audio_cnn_lstm()
    assert model.input["sound"].shape == (None, 64000)
    assert model.output["expression"].shape == (None, 7)
    assert model.count_params() == 4_005_511
    lengths = [model.get_layer(f"conv_{i}_pool").output.shape[1] for i in range(1, 5)]
    assert lengths == [6400, 640, 80, 20]  # of the labels of 4 s, 5 a second


def test_both_schemes_have_the_same_parameters():
    many = build_audio_cnn_lstm(steps=20)
    assert many.output["expression"].shape == (None, 20, 7)
    assert many.count_params() == 4_005_511
    assert build_audio_cnn_lstm(samples=48000).count_params() == 4_005_511


# The layers of the published script, in order, under the Keras that it was written for.
PUBLISHED = """
import sys, numpy as np, tf_keras as keras
L = keras.layers
given, found = np.load(sys.argv[1]), {}
for many in (False, True):
    model = keras.Sequential([L.InputLayer((6400, 1))])
    pools = (L.MaxPool1D(10), L.MaxPool1D(10), L.MaxPool1D(8), L.AvgPool1D(4))
    for width, kernel, pool in zip((4, 4, 6, 6), (20, 10, 8, 5), pools):
        for layer in (L.Conv1D(width, kernel, padding="same", activation="relu"), L.Dropout(0.3), pool):
            model.add(layer)
    for layer in (L.LSTM(5, return_sequences=True), L.Dropout(0.3), L.LSTM(5, return_sequences=many), L.Dropout(0.3)):
        model.add(layer)
    model.add(L.Dense(7, activation="softmax"))
    model.set_weights([given[f"weight_{i}"] for i in range(len(model.weights))])
    found["many" if many else "one"] = model.predict(given["sound"][..., None], verbose=0)
np.savez(sys.argv[2], **found)
"""


@pytest.mark.slow
@needs("vggface", "tf_keras")
def test_the_same_graph_in_the_published_keras(tmp_path):
    one, many = build_audio_cnn_lstm(**SMALL), build_audio_cnn_lstm(steps=2, **SMALL)
    rng = np.random.default_rng(1)
    weights = [rng.normal(0, 0.4, variable.shape).astype("float32") for variable in one.trainable_variables]
    x = {"sound": sounds(3)["sound"] * np.float32([[0.03], [0.3], [1]])}
    np.savez(tmp_path / "in.npz", **{f"weight_{i}": w for i, w in enumerate(weights)}, **x)
    done = subprocess.run(
        [sys.executable, "-c", PUBLISHED, str(tmp_path / "in.npz"), str(tmp_path / "out.npz")],
        env={**os.environ, "TF_USE_LEGACY_KERAS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    expected = np.load(tmp_path / "out.npz")
    for name, model in (("one", one), ("many", many)):
        for variable, value in zip(model.trainable_variables, weights):
            variable.assign(value)
        found = model.predict(x, verbose=0)["expression"]
        np.testing.assert_allclose(found, expected[name], atol=1e-5)
        assert np.ptp(found, axis=0).max() > 1e-3  # it does hear something


def test_the_amplitude_is_a_factor_of_the_samples():
    keras.utils.set_random_seed(0)
    plain = build_audio_cnn_lstm(**SMALL)
    loud = build_audio_cnn_lstm(amplitude=8.0, **SMALL)
    loud.set_weights(plain.get_weights())
    x = sounds(2)
    expected = plain.predict({"sound": 8 * x["sound"]}, verbose=0)["expression"]
    np.testing.assert_allclose(loud.predict(x, verbose=0)["expression"], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_classes": 1}, "n_classes=1"),
        ({"samples": 3199}, "at least 3200.*samples=3199"),
        ({"steps": 3}, r"3200 = 2.*steps=3"),
        ({"filters": (4, 4, 4)}, "four|4 widths"),
        ({"units": (4,)}, r"units=\(4,\)"),
        ({"dropout": 1.0}, "dropout=1.0"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build_audio_cnn_lstm(**{**SMALL, **options})


def test_the_published_values():
    paper, code = (Recipe.from_preset("audio_cnn_lstm", preset) for preset in ("paper", "published_code"))
    for recipe in (paper, code):
        need = recipe.inputs()["sound"]
        assert (need.samples, need.size, need.voice, need.target) == (64000, 20, "vocals", "window")
        assert (recipe.batch_size, recipe.dropout, recipe.class_weights) == (20, 0.3, "balanced")
        assert recipe.build().count_params() == 4_005_511
    assert (paper.step_seconds, code.step_seconds) == (2.4, 1.6)  # 2/5 of 4 s shared, or stepped by
    assert type(paper.optimizer()) is keras.optimizers.Adam
    assert float(paper.optimizer().learning_rate) == pytest.approx(2.5e-4)
    assert type(code.optimizer()) is keras.optimizers.Nadam
    assert float(code.optimizer().learning_rate) == pytest.approx(float(keras.optimizers.Nadam().learning_rate))
    assert (paper.amplitude, code.amplitude) == (1, 2**15)
    literal = paper.replace(sample_rate=12000).inputs()["sound"]  # the paper's 48,000 samples and 20 labels
    assert (literal.samples, literal.size) == (48000, 20)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window_seconds": 4.1}, "multiple of 0.2 s.*seconds=4.1"),
        ({"step_seconds": 5.0}, "step=5.0"),
        ({"step_seconds": 0.0}, "step=0.0"),
        ({"target": "frames"}, "target.*'frames'"),
        ({"voice": "song"}, "voice.*'song'"),
        ({"optimizer_name": "sgd"}, "optimizer_name.*'sgd'"),
        ({"class_weights": "log"}, "class_weights.*'log'"),
        ({"sample_rate": 0}, "rate=0"),
    ],
)
def test_wrong_recipes_are_refused(changes, message):
    with pytest.raises(RecipeError, match=message):
        Recipe.from_preset("audio_cnn_lstm", **changes)


class TestWindowContract(ModelContract):
    outputs = {"expression": (7,)}  # noqa: RUF012

    def build(self):
        return build_audio_cnn_lstm(**SMALL)

    def inputs(self, n):
        return sounds(n)


class TestStepsContract(TestWindowContract):
    outputs = {"expression": (2, 7)}  # noqa: RUF012

    def build(self):
        return build_audio_cnn_lstm(steps=2, amplitude=2.0, **SMALL)
