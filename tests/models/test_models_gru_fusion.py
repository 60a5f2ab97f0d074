"""The network of Rasipuram et al. 2020: sizes, a forward pass by hand, standardisation, silenced branches."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from model_contract import ModelContract, without_xla

from abaw_tf.models.gru_fusion import DIMENSIONS, UNITS, adapt, build_gru_fusion, silenced
from abaw_tf.models.layers import ModalityDropout

SMALL = {
    "dimensions": {"audio": 5, "expnet": 6, "openface": 4},
    "units": {"audio": (4, 3), "expnet": (4, 4, 3), "openface": (5, 3)},
    "fusion_units": 4,
}


def batch(n, sequence=15, seed=0, dimensions=SMALL["dimensions"]):
    rng = np.random.default_rng(seed)
    return {key: rng.normal(3, 2, (n, sequence, size)).astype("float32") for key, size in dimensions.items()}


def random_network(seed=0, **options):
    """A small network with every weight at random, statistics of the batch normalisation included."""
    model = build_gru_fusion(**{**SMALL, **options})
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if "seed_generator" not in variable.path and "count" not in variable.name:
            low = 0.5 if "variance" in variable.name else -0.5
            variable.assign(rng.uniform(low, 1.0, variable.shape))
    return model


def answer(model, x):
    return np.asarray(model(x, training=False)["valence_arousal"])


def gru_parameters(inputs, units):
    return 3 * units * (inputs + units + 2)


def test_the_published_sizes():
    expected, inputs = 0, []
    for key, widths in UNITS.items():
        before, count = DIMENSIONS[key], 2 * DIMENSIONS[key] + 1
        for width in widths:
            count += (before + 1) * width if key == "openface" else gru_parameters(before, width) + width
            count += 4 * width
            before = width
        inputs.append(before)
        expected += count
    assert inputs == [64, 64, 64]
    expected += (192 + 1) * 64 + (64 + 1) * 2
    model = build_gru_fusion()
    assert model.count_params() == expected == 2_501_343
    assert model.output["valence_arousal"].shape == (None, 15, 2)


@pytest.mark.parametrize("modalities", [("audio",), ("expnet",), ("openface",), ("audio", "openface")])
def test_any_subset_of_the_modalities(modalities):
    model = build_gru_fusion(modalities, **SMALL)
    x = {key: value for key, value in batch(2).items() if key in modalities}
    assert set(model.input) == set(modalities)
    assert np.asarray(model(x)["valence_arousal"]).shape == (2, 15, 2)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(model, x):
    """The network's forward pass in NumPy, weights taken by their names."""
    weights = {variable.path: np.asarray(variable, np.float64) for variable in model.weights}

    def find(*parts):
        (value,) = (value for path, value in weights.items() if all(part in path.split("/") for part in parts))
        return value

    def gru(x, name):
        kernel, recurrent, bias = (find(name, part) for part in ("kernel", "recurrent_kernel", "bias"))
        units = recurrent.shape[0]
        h, out = np.zeros((len(x), units)), []
        for t in range(x.shape[1]):
            a, b = x[:, t] @ kernel + bias[0], h @ recurrent + bias[1]
            z, r = sigmoid(a[:, :units] + b[:, :units]), sigmoid(a[:, units : 2 * units] + b[:, units : 2 * units])
            h = z * h + (1 - z) * np.tanh(a[:, 2 * units :] + r * b[:, 2 * units :])
            out.append(h)
        return np.stack(out, axis=1)

    def batch_norm(x, name):
        mean, variance = find(name, "moving_mean"), find(name, "moving_variance")
        return (x - mean) / np.sqrt(variance + 1e-3) * find(name, "gamma") + find(name, "beta")

    coded = []
    for key, widths in SMALL["units"].items():
        y = (x[key] - find(f"{key}_normalization", "mean")) / np.sqrt(find(f"{key}_normalization", "variance"))
        for i in range(1, len(widths) + 1):
            if key == "openface":
                y = np.maximum(y @ find(f"{key}_dense_{i}", "kernel") + find(f"{key}_dense_{i}", "bias"), 0)
            else:
                y = gru(y, f"{key}_gru_{i}")
                y = np.where(y > 0, y, y * find(f"{key}_prelu_{i}", "alpha"))
            y = batch_norm(y, f"{key}_bn_{i}")
        coded.append(y)
    y = np.maximum(np.concatenate(coded, axis=-1) @ find("dense", "kernel") + find("dense", "bias"), 0)
    return np.tanh(y @ find("valence_arousal", "kernel") + find("valence_arousal", "bias"))


def test_a_forward_pass_by_hand():
    model, x = random_network(), batch(3)
    np.testing.assert_allclose(answer(model, x), by_hand(model, x), atol=1e-5)


def test_inputs_are_standardised_by_the_statistics_of_training(tmp_path):
    model, x = without_xla(build_gru_fusion(**SMALL)), batch(40)
    before = model.predict(x, batch_size=40, verbose=0)["valence_arousal"]
    adapt(model, tf.data.Dataset.from_tensor_slices(x).batch(7))
    scale = {key: (value.mean((0, 1)), value.std((0, 1))) for key, value in x.items()}
    standard = {key: (value - scale[key][0]) / scale[key][1] for key, value in x.items()}
    again = build_gru_fusion(**SMALL)
    for key in x:
        trained = (model, again)
        source, target = (m.get_layer(f"{key}_branch").layers[2:] for m in trained)
        for one, other in zip(source, target):
            other.set_weights(one.get_weights())
    again.get_layer("head").set_weights(model.get_layer("head").get_weights())
    adapted = answer(model, x)
    np.testing.assert_allclose(adapted, answer(again, standard), atol=1e-5)
    assert np.abs(adapted - before).max() > 0.01
    # A program that was compiled before knows the new statistics, too.
    after = model.predict(x, batch_size=40, verbose=0)["valence_arousal"]
    np.testing.assert_allclose(after, adapted, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(answer(loaded, x), adapted, atol=1e-6)


def test_frames_that_are_not_there_are_average_frames(tmp_path):
    """NaN: they do not count in the statistics, and are the mean to the network."""
    model, x = build_gru_fusion(**SMALL), batch(40)
    x["audio"] = 30 + 5 * x["audio"]
    holes = {**x, "audio": x["audio"].copy()}
    holes["audio"][3:9, 4:] = np.nan
    holes["audio"][14:21] = np.nan  # a whole batch
    adapt(model, tf.data.Dataset.from_tensor_slices(holes).batch(7))
    layer = model.get_layer("audio_branch").get_layer("audio_normalization")
    there = holes["audio"][~np.isnan(holes["audio"]).any(axis=-1)]
    np.testing.assert_allclose(np.asarray(layer.mean).ravel(), there.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(np.asarray(layer.variance).ravel(), there.var(axis=0), rtol=1e-4)
    filled = {**holes, "audio": np.where(np.isnan(holes["audio"]), there.mean(axis=0), holes["audio"])}
    expected = answer(model, filled)
    np.testing.assert_allclose(answer(model, holes), expected, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(answer(loaded, holes), expected, atol=1e-5)
    nothing = {**x, "audio": np.full_like(x["audio"], np.nan)}
    with pytest.raises(ValueError, match="audio_normalization: there is nothing to adapt to"):
        adapt(build_gru_fusion(**SMALL), tf.data.Dataset.from_tensor_slices(nothing).batch(7))


@pytest.mark.parametrize(("n", "size"), [(20, 7), (1600, 64)])
def test_a_feature_that_was_constant_in_training_stays_small(n, size):
    """Such as an action unit that no training subject has shown, or a feature that never fired; also over many frames."""
    model, x = build_gru_fusion(**SMALL), batch(n)
    x["openface"][..., 0], x["openface"][..., 1] = 0.0, 0.1
    adapt(model, tf.data.Dataset.from_tensor_slices(x).batch(size))
    layer = model.get_layer("openface_branch").get_layer("openface_normalization")
    seen = np.array(x["openface"])
    np.testing.assert_allclose(np.asarray(layer(seen))[..., :2], 0, atol=1e-6)
    seen[..., :2] += 2
    np.testing.assert_allclose(np.asarray(layer(seen))[..., :2], 2, atol=1e-6)
    scale = x["openface"][..., 2:].std(axis=(0, 1))
    expected = (x["openface"][..., 2:] - x["openface"][..., 2:].mean(axis=(0, 1))) / scale
    np.testing.assert_allclose(np.asarray(layer(seen))[..., 2:], expected, atol=1e-4)


def test_a_silenced_branch_has_no_say():
    model, x, y = random_network(sequence=4), batch(2, 4), batch(2, 4, seed=1)
    quiet = silenced(model, ["expnet"])
    mixed = {**x, "expnet": y["expnet"]}
    np.testing.assert_array_equal(answer(quiet, x), answer(quiet, mixed))
    assert np.abs(answer(quiet, x) - answer(model, x)).max() > 1e-3
    others = answer(silenced(model, ["audio", "openface", "expnet"]), x)
    head = [np.zeros((2, 4, 3), "float32")] * 3
    np.testing.assert_allclose(others, model.get_layer("head")(head), atol=1e-6)


def test_modality_dropout_never_silences_everything():
    layer = ModalityDropout(0.8, seed=0)
    x = [np.full((500, 2, 3), float(i + 1), "float32") for i in range(3)]
    out = [np.asarray(value) for value in layer(x, training=True)]
    kept = np.stack([value.any(axis=(1, 2)) for value in out], axis=1)
    for i, value in enumerate(out):
        assert set(np.unique(value)) == {0.0, i + 1.0}
        assert ((value != 0).all(axis=(1, 2)) == kept[:, i]).all()  # a modality of an example as a whole
    assert kept.any(axis=1).all()
    alone = 0.8**3
    expected = (0.2 + alone / 3) * np.ones(3)
    np.testing.assert_allclose(kept.mean(axis=0), expected, atol=0.07)
    for given, value in zip(x, layer(x, training=False)):
        np.testing.assert_array_equal(given, value)


def test_modality_dropout_is_off_unless_asked_for():
    assert "modality_dropout" not in [layer.name for layer in build_gru_fusion(**SMALL).layers]
    model = build_gru_fusion(modality_dropout=0.5, **SMALL)
    assert "modality_dropout" in [layer.name for layer in model.layers]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modalities": ("sound",)}, "modalities.*'sound'"),
        ({"modalities": ()}, "at least one"),
        ({"modalities": ("audio", "audio")}, "none twice"),
        ({"cell": "rnn"}, "cell.*'rnn'"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"modality_dropout": -0.1}, "modality_dropout=-0.1"),
        ({"sequence": 0}, "sequence=0"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build_gru_fusion(**{**SMALL, **options})


class TestGruContract(ModelContract):
    outputs = {"valence_arousal": (6, 2)}  # noqa: RUF012

    def build(self):
        return build_gru_fusion(sequence=6, modality_dropout=0.3, **SMALL)

    def inputs(self, n):
        return batch(n, 6)


@pytest.mark.slow
class TestBiLstmContract(TestGruContract):
    def build(self):
        return build_gru_fusion(sequence=6, cell="bilstm", **SMALL)
