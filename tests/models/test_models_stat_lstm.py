"""The STAT/LSTM network of Do et al.: sizes, wirings, what is trained, where its weights come from."""

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from model_contract import without_xla
from stat_lstm_networks import BASE, SMALL, WITHOUT_DROPOUT, images, labels, random_network

from abaw_tf.backbones.checkpoints import REGISTRY
from abaw_tf.backbones.vggface2 import build_vggface2_resnet50
from abaw_tf.data.windows import causal_blocks
from abaw_tf.labels import EXPRESSIONS_7
from abaw_tf.models.stat_lstm import PRESETS, build_stat_lstm, compile_stat_lstm, multitask_losses, rewire

WIDE = {"expression_units": (2048,), "regression_units": (2048,)}


@pytest.mark.parametrize(
    ("preset", "changes", "parameters", "fused"),
    [
        ("frames_va", {}, 39_442_382, 2076),  # t31, model 4 as submitted
        ("lstm_va", {}, 81_459_150, 4124),  # t45, model 6
        ("image_va", {}, 40_362_958, None),  # t8, t15: model 2
        ("image_va", WIDE, 44_571_598, None),  # t12
    ],
)
@pytest.mark.usefixtures("without_values")
def test_the_published_sizes(preset, changes, parameters, fused):
    model = build_stat_lstm(preset, **changes)
    assert model.count_params() == parameters
    # weights, for the variables hold the states of the dropouts' random numbers, too
    assert sum(int(np.prod(v.shape)) for v in model.non_trainable_weights) == 1_498_048
    head = model.get_layer("head")
    assert [x.shape[-1] for x in (layer.output for layer in head.layers if layer.name == "fusion")] == [fused] * bool(
        fused
    )
    assert isinstance(model.get_layer("base"), keras.Model)


def loss_and_gradients(model, inputs, targets):
    losses, weights = multitask_losses(model.output)
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        outputs = model(inputs, training=True)
        total = sum(weights[key] * losses[key](targets[key], outputs[key]) for key in losses)
    gradients = tape.gradient(total, variables)
    return float(total), {v.path: np.asarray(tf.convert_to_tensor(g)) for v, g in zip(variables, gradients)}


def assert_close(found, expected):
    """Within 1e-5 of the largest value of each array."""
    assert set(found) == set(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=0, atol=1e-5 * np.abs(value).max(), err_msg=key)


def assert_gradients_close(found, expected):
    """Within 1e-5 of the largest gradient of each layer: that of a bias is a sum whose terms may cancel, their rounding does not."""
    assert set(found) == set(expected)
    layer_of = {path: path.rpartition("/")[0] for path in expected}
    for path, value in expected.items():
        largest = max(np.abs(g).max() for other, g in expected.items() if layer_of[other] == layer_of[path])
        np.testing.assert_allclose(found[path], value, rtol=0, atol=1e-5 * largest, err_msg=path)


def blocks_and_chunk(model, block, start):
    """The same current frames as blocks and as one chunk: those from `start` on of a trial of 12 frames."""
    frames, current = images(12), np.arange(start, 12)
    if model.name.startswith("image"):
        return {"image": frames[current]}, {"frames": frames[current][None]}
    indices, _ = causal_blocks(12, block, current)
    reach = np.maximum(np.arange(start - block + 1, 12), 0)
    return {"frames": frames[indices]}, {"frames": frames[reach][None]}


# at the start of a trial and in its middle; block 16 and 3
PLACES = [(16, 0), (16, 7), (3, 0), (3, 7)]


@pytest.mark.parametrize(
    ("preset", "stat", "block", "start"),
    [
        ("lstm_va", "v0", 3, 0),
        ("frames_va", "v1", 3, 7),
        *(
            pytest.param(preset, stat, *place, marks=pytest.mark.slow)
            for preset, stat in [*((preset, "v0") for preset in PRESETS), ("lstm_va", "v1")]
            for place in PLACES
        ),
    ],
)
def test_chunks_give_the_outputs_and_gradients_of_the_published_network(preset, stat, block, start):
    model = random_network(preset, block=block, stat=stat, **WITHOUT_DROPOUT)
    chunk = without_xla(rewire(model, "chunk"))
    by_block, by_chunk = blocks_and_chunk(model, block, start)
    expected, found = model(by_block, training=False), chunk(by_chunk, training=False)
    assert_close(
        {key: np.asarray(y)[0] for key, y in found.items()}, {key: np.asarray(y) for key, y in expected.items()}
    )
    assert [v.path for v in model.trainable_variables] == [v.path for v in chunk.trainable_variables]
    targets = labels(12 - start)
    loss, gradients = loss_and_gradients(model, by_block, targets)
    chunk_loss, chunk_gradients = loss_and_gradients(chunk, by_chunk, {key: y[None] for key, y in targets.items()})
    assert chunk_loss == pytest.approx(loss, rel=1e-5)
    assert all(np.abs(g).max() > 0 for g in gradients.values())
    assert_gradients_close(chunk_gradients, gradients)


@pytest.mark.parametrize(("preset", "stat"), [("lstm_va", "v0"), ("frames_va", "v1"), ("image_va", "v0")])
def test_stored_tracks_give_the_outputs_of_the_chunk(preset, stat):
    model = random_network(preset, block=4, stat=stat, **WITHOUT_DROPOUT)
    frames = images(9)[None]
    chunk, tracks = rewire(model, "chunk"), rewire(model, "tracks")
    found = {key: np.asarray(x)[None] for key, x in model.get_layer("base")(frames[0]).items()}
    if preset != "image_va" and stat == "v0":
        found["features"] = found["features"][:, 3:]
    expected = chunk({"frames": frames}, training=False)
    assert_close(
        {key: np.asarray(y) for key, y in tracks(found, training=False).items()},
        {key: np.asarray(y) for key, y in expected.items()},
    )
    again = rewire(tracks, "chunk", base=model.get_layer("base"))
    assert_close({"y": np.asarray(again({"frames": frames})["expression"])}, {"y": np.asarray(expected["expression"])})
    with pytest.raises(ValueError, match="give `base`"):
        rewire(tracks, "chunk")


def test_the_published_wiring_comes_back():
    model = random_network("lstm_va", block=4, **WITHOUT_DROPOUT)
    back = rewire(rewire(model, "chunk", n_frames=5), "block")
    frames = images(4)[None]
    for key, y in model({"frames": frames}, training=False).items():
        np.testing.assert_array_equal(np.asarray(back({"frames": frames}, training=False)[key]), np.asarray(y))


def test_outputs_do_not_depend_on_later_frames():
    chunk = rewire(random_network("lstm_va", block=4, **WITHOUT_DROPOUT), "chunk")
    frames = images(9)
    before = chunk({"frames": frames[None]}, training=False)
    frames[6:] = 0
    after = chunk({"frames": frames[None]}, training=False)
    for key in before:
        np.testing.assert_allclose(np.asarray(after[key])[:, :3], np.asarray(before[key])[:, :3], atol=1e-6)
        assert not np.allclose(np.asarray(after[key])[:, 3:], np.asarray(before[key])[:, 3:], atol=1e-6)


@pytest.mark.parametrize(
    ("start", "stages"),
    [
        (None, {"conv1", "conv2", "conv3", "conv4", "conv5", "features", "predictions"}),
        ("conv4_1_1x1_reduce", {"conv4", "conv5", "features", "predictions"}),
        ("conv5_1_1x1_reduce", {"conv5", "features", "predictions"}),
        ("head", set()),
    ],
)
def test_the_base_is_trained_from_a_layer_on(start, stages):
    base = build_stat_lstm("frames_va", **SMALL, trainable_from=start).get_layer("base")
    assert {v.path.split("/")[0].split("_")[0] for v in base.trainable_variables} == stages


def test_batch_statistics_are_an_option():
    x = {"frames": images(4)[None]}
    for batch_norm, equal in (("fixed", True), ("batch", False)):
        model = random_network("frames", block=4, batch_norm=batch_norm, **WITHOUT_DROPOUT)
        in_training, otherwise = (np.asarray(model(x, training=t)["expression"]) for t in (True, False))
        assert np.allclose(in_training, otherwise, atol=1e-6) == equal


@pytest.mark.slow
@pytest.mark.parametrize("wiring", ["block", "chunk"])
def test_it_trains_on_partly_labelled_frames(wiring):
    model = random_network("frames_va", block=3)
    by_block, by_chunk = blocks_and_chunk(model, 3, 0)
    x, y = by_block, labels(12)
    if wiring == "chunk":
        model, x, y = without_xla(rewire(model, "chunk")), by_chunk, {key: t[None] for key, t in y.items()}
    compile_stat_lstm(model, keras.optimizers.Adam(3e-3), jit_compile=False)
    history = model.fit(x, y, epochs=8, verbose=0, batch_size=12).history
    assert history["loss"][-1] < history["loss"][0]
    assert {"expression_macro_f1", "expression_expression_score", "arousal_ccc", "valence_ccc"} <= set(history)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"preset": "lstm_vaa"}, "lstm_va"),
        ({"stat": "v2"}, "v2"),
        ({"block": 0}, "block=0"),
        ({"lstm_layers": 3}, "lstm_layers=3"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"recurrent_dropout": -0.1}, "recurrent_dropout=-0.1"),
        ({"recurrent_activation": "hard_sigmoid"}, "hard_sigmoid_keras2"),
        ({"batch_norm": "frozen"}, "frozen"),
        ({"n_classes": 1}, "n_classes=1"),
        ({"trainable_from": "conv9"}, "conv9"),
    ],
)
def test_wrong_arguments_are_named(arguments, word):
    with pytest.raises(ValueError, match=word):
        build_stat_lstm(**{**SMALL, **arguments})


def test_a_chunk_must_hold_a_block():
    chunk = rewire(build_stat_lstm("frames", **SMALL, block=5), "chunk")
    with pytest.raises(ValueError, match="as many frames as a block, 5"):
        chunk({"frames": images(4)[None]})


def write_hdf5(path, network, rng):
    """Random weights for the layers of a network, in the layout of Keras 2; returned by their paths."""
    written = {}
    with h5py.File(path, "w") as file:
        layers = [layer for layer in network.layers if layer.weights]
        file.attrs["layer_names"] = [layer.name for layer in layers]
        for layer in layers:
            names = [f"{layer.name}/{v.name}:0" for v in layer.weights]
            file.create_group(layer.name).attrs["weight_names"] = names
            for name, variable in zip(names, layer.weights):
                written[name] = rng.uniform(0.5, 1, tuple(variable.shape)).astype("float32")
                file[layer.name][name] = written[name]
    return written


@pytest.mark.parametrize("file", ["mine.h5", REGISTRY["vggface2_resnet50_rafdb"].file])
def test_the_base_starts_from_a_file(file, tmp_path):
    face_network = build_vggface2_resnet50("weidi_xie", include_top=True, input_shape=(32, 32, 3), **BASE)
    written = write_hdf5(tmp_path / file, face_network, np.random.default_rng(0))
    base = build_stat_lstm("frames", **SMALL, weights=tmp_path / file).get_layer("base")
    np.testing.assert_array_equal(np.asarray(base.get_layer("features").bias), written["features/bias:0"])
    found, kernel = np.asarray(base.get_layer("predictions").kernel), written["predictions/kernel:0"]
    emotiw = ["Anger", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise"]  # the authors' order
    columns = range(7) if file == "mine.h5" else [emotiw.index(name) for name in EXPRESSIONS_7]
    np.testing.assert_array_equal(found, kernel[:, columns])


def test_only_the_last_layers_of_the_base_may_be_new(tmp_path):
    caffe = build_vggface2_resnet50("keras_vggface", input_shape=(32, 32, 3), **BASE)
    written = write_hdf5(tmp_path / "caffe.h5", caffe, np.random.default_rng(0))
    base = build_stat_lstm("frames", **SMALL, weights=tmp_path / "caffe.h5").get_layer("base")
    found = np.asarray(base.get_layer("conv5_1_3x3").kernel)
    np.testing.assert_array_equal(found, written["conv5_1_3x3/kernel:0"])
    with pytest.raises(ValueError, match=r"not the weights of this ResNet-50.*conv2_2"):
        build_stat_lstm("frames", **{**SMALL, "blocks": (2, 1, 1, 1)}, weights=tmp_path / "caffe.h5")


def test_saving_keeps_what_is_trained(tmp_path):
    model = build_stat_lstm("frames_va", **SMALL)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [v.path for v in loaded.trainable_variables] == [v.path for v in model.trainable_variables]
    assert len(loaded.non_trainable_variables) == len(model.non_trainable_variables) > 0
