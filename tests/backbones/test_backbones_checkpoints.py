"""Weight files: found, checked, and read from the layout of Keras 2 into Keras 3."""

import hashlib
import re
from dataclasses import replace

import h5py
import keras
import numpy as np
import pytest

from abaw_tf import labels
from abaw_tf.backbones import checkpoints
from abaw_tf.backbones.checkpoints import REGISTRY, Weights, file_hash, load_hdf5_weights, locate, read_hdf5_weights
from abaw_tf.backbones.vggface2 import build_vggface2_resnet50

SMALL = {"blocks": (1, 1, 1, 1), "width": 4, "input_shape": (32, 32, 3)}


def published_name(name):
    """Layer name as the published files have it: ``conv1_7x7_s2_bn`` is ``conv1/7x7_s2/bn``, ``conv2_1_3x3_bn`` ``conv2_1_3x3/bn``."""
    if name == "conv1_7x7_s2":
        return "conv1/7x7_s2"
    return f"{published_name(name[:-3])}/bn" if name.endswith("_bn") else name


def random_weights(model, seed=0):
    """Published layer name -> {variable: array}, at a scale that leaves the outputs alive."""
    rng = np.random.default_rng(seed)
    return {
        published_name(layer.name): {
            variable.name: rng.uniform(0.5, 1, tuple(variable.shape)).astype("float32") for variable in layer.weights
        }
        for layer in model.layers
        if layer.weights
    }


def write_keras2(path, groups, root="", chunked=False):
    """Write the layout of Keras 2 by hand: {group: {weight name: array}}."""
    with h5py.File(path, "w") as file:
        top = file.create_group(root) if root else file
        names = np.array([name.encode() for name in groups])
        if chunked:
            half = len(names) // 2
            top.attrs["layer_names0"], top.attrs["layer_names1"] = names[:half], names[half:]
        else:
            top.attrs["layer_names"] = names
        top.attrs["backend"], top.attrs["keras_version"] = b"tensorflow", b"2.2.4"
        for name, arrays in groups.items():
            group = top.require_group(name)
            group.attrs["weight_names"] = np.array([key.encode() for key in arrays])
            for key, array in arrays.items():
                group.create_dataset(key, data=array)


def flat_groups(weights):
    """One group per layer, and layers without weights as Keras 2 lists them too."""
    groups = {name: {f"{name}/{key}:0": array for key, array in arrays.items()} for name, arrays in weights.items()}
    return {"base_input": {}, **groups, "avg_pool": {}}


def nested_group(weights, prefix=""):
    """All layers of a nested network in one group, trainable weights first, as Keras 2 stores TimeDistributed(network)."""
    pairs = [(f"{prefix}{name}/{key}:0", array) for name, arrays in weights.items() for key, array in arrays.items()]
    return dict(sorted(pairs, key=lambda pair: "moving_" in pair[0]))


def assert_loaded(model, weights):
    layers = {published_name(layer.name): layer for layer in model.layers if layer.weights}
    assert set(layers) == set(weights)
    for name, arrays in weights.items():
        for variable in layers[name].weights:
            np.testing.assert_array_equal(np.asarray(variable), arrays[variable.name])


@pytest.fixture(scope="module")
def base():
    return build_vggface2_resnet50("weidi_xie", include_top=True, **SMALL)


@pytest.fixture(scope="module")
def weights(base):
    return random_weights(base)


# -- reading ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"root": "model_weights"}, {"chunked": True}])
def test_flat_file(base, weights, tmp_path, options):
    write_keras2(tmp_path / "w.h5", flat_groups(weights), **options)
    read = read_hdf5_weights(tmp_path / "w.h5")
    assert list(read) == list(weights)
    np.testing.assert_array_equal(
        read["conv1/7x7_s2/bn"]["conv1/7x7_s2/bn/gamma:0"], weights["conv1/7x7_s2/bn"]["gamma"]
    )
    report = load_hdf5_weights(base, tmp_path / "w.h5")
    assert len(report.loaded) == len(weights)
    assert_loaded(base, weights)


@pytest.mark.parametrize("prefix", ["", "time_distributed_1/"])
def test_network_nested_in_the_file_and_in_the_model(weights, tmp_path, prefix):
    """What Do et al. store: the base inside TimeDistributed, one group for all of it, beside the heads."""
    network = build_vggface2_resnet50("weidi_xie", include_top=True, **SMALL)
    clip = keras.Input((2, 32, 32, 3))
    x = keras.layers.TimeDistributed(network, name="time_distributed_1")(clip)
    x = keras.layers.GlobalAveragePooling1D(name="mean")(x)
    model = keras.Model(clip, keras.layers.Dense(3, name="head")(x))
    head = {"head/kernel:0": np.ones((7, 3), "float32"), "head/bias:0": np.zeros(3, "float32")}
    write_keras2(tmp_path / "w.h5", {"time_distributed_1": nested_group(weights, prefix), "mean": {}, "head": head})
    load_hdf5_weights(model, tmp_path / "w.h5")
    assert_loaded(network, weights)
    np.testing.assert_array_equal(np.asarray(model.get_layer("head").kernel), 1)


def test_nested_file_feeds_a_flat_model_and_the_other_way_round(base, weights, tmp_path):
    write_keras2(tmp_path / "nested.h5", {"model_1": nested_group(weights)})
    load_hdf5_weights(base, tmp_path / "nested.h5")
    assert_loaded(base, weights)
    other = random_weights(base, seed=1)
    write_keras2(tmp_path / "flat.h5", flat_groups(other))
    network = build_vggface2_resnet50("weidi_xie", include_top=True, **SMALL)
    images = keras.Input((32, 32, 3))
    load_hdf5_weights(keras.Model(images, network(images)), tmp_path / "flat.h5")
    assert_loaded(network, other)


def test_two_streams_with_equal_layer_names(tmp_path):
    """Nested networks of the same architecture are told apart by their own names."""
    weights = {}
    streams = {name: build_vggface2_resnet50(**SMALL, name=name) for name in ("face", "body")}
    images = keras.Input((32, 32, 3))
    model = keras.Model(images, keras.layers.Concatenate()([stream(images) for stream in streams.values()]))
    for seed, (name, stream) in enumerate(streams.items()):
        weights[name] = random_weights(stream, seed)
    write_keras2(tmp_path / "w.h5", {name: nested_group(arrays) for name, arrays in weights.items()})
    load_hdf5_weights(model, tmp_path / "w.h5")
    for name, stream in streams.items():
        assert_loaded(stream, weights[name])


def test_numbered_variables_and_wrappers(tmp_path):
    """``conv2d_1_1/kernel:0`` belongs to conv2d_1; TimeDistributed(Dense) has its own name; two directions keep their order."""
    rng = np.random.default_rng(0)
    inputs = keras.Input((4, 8, 8, 3))
    x = keras.layers.TimeDistributed(keras.layers.Conv2D(2, 3, use_bias=False, name="conv2d_1"), name="frames")(inputs)
    x = keras.layers.Reshape((4, 72), name="flat")(x)
    x = keras.layers.Bidirectional(keras.layers.LSTM(5), name="bidirectional_1")(x)
    model = keras.Model(inputs, x)
    lstm = [rng.normal(size=shape).astype("float32") for shape in ((72, 20), (5, 20), (20,)) for _ in range(2)]
    keys = ("kernel", "recurrent_kernel", "bias")
    names = [f"bidirectional_1/{side}_lstm_1/{key}:0" for side in ("forward", "backward") for key in keys]
    lstm = dict(zip(names, lstm[0::2] + lstm[1::2]))
    kernel = rng.normal(size=(3, 3, 3, 2)).astype("float32")
    write_keras2(tmp_path / "w.h5", {"frames": {"frames_1/kernel:0": kernel}, "bidirectional_1": lstm})
    load_hdf5_weights(model, tmp_path / "w.h5")
    np.testing.assert_array_equal(np.asarray(model.get_layer("frames").layer.kernel), kernel)
    recurrent = model.get_layer("bidirectional_1")
    for side, layer in (("forward", recurrent.forward_layer), ("backward", recurrent.backward_layer)):
        for key in keys:
            variable = getattr(layer.cell, key)
            np.testing.assert_array_equal(np.asarray(variable), lstm[f"bidirectional_1/{side}_lstm_1/{key}:0"])


@pytest.mark.parametrize("rename", [{"fc7/out": "features"}, lambda name: name.replace("fc7/out", "features")])
def test_rename(base, weights, tmp_path, rename):
    other = {("fc7/out" if name == "features" else name): arrays for name, arrays in weights.items()}
    write_keras2(tmp_path / "w.h5", flat_groups(other))
    load_hdf5_weights(base, tmp_path / "w.h5", rename=rename)
    assert_loaded(base, weights)
    with pytest.raises(ValueError, match=r"missing in the file: features.*unexpected in the file: fc7/out"):
        load_hdf5_weights(base, tmp_path / "w.h5")


# -- wrong files --------------------------------------------------------------------------------------------------------------


def before_and_after(model, action, message):
    values = [np.array(value) for value in model.get_weights()]
    with pytest.raises(ValueError, match=message) as error:
        action()
    assert all(np.array_equal(a, b) for a, b in zip(values, model.get_weights())), "a refused file must change nothing"
    assert "Received" in str(error.value)


def test_wrong_shapes_are_named(base, weights, tmp_path):
    path = tmp_path / "w.h5"
    wrong = {**weights, "predictions": {"kernel": np.zeros((128, 8631), "float32")}}
    write_keras2(path, flat_groups(wrong))
    message = rf"{re.escape(str(path))}.*layer predictions: the model has kernel \(128, 7\), the file kernel \(128, 8631\).*skip_mismatch"
    before_and_after(base, lambda: load_hdf5_weights(base, path), message)
    report = load_hdf5_weights(base, path, skip_mismatch=True)
    assert report.mismatched == ["predictions"]
    assert len(report.loaded) == len(weights) - 1


def test_weights_that_are_not_finite_are_refused(base, weights, tmp_path):
    kernel = weights["predictions"]["kernel"].copy()
    kernel[3, 1:3] = np.nan, np.inf
    write_keras2(
        tmp_path / "w.h5", flat_groups({**weights, "predictions": {**weights["predictions"], "kernel": kernel}})
    )
    for options in ({}, {"skip_mismatch": True}):
        message = rf"w\.h5: weights must be finite.*take another one.*2 of {kernel.size} values of predictions/kernel"
        before_and_after(base, lambda options=options: load_hdf5_weights(base, tmp_path / "w.h5", **options), message)


def test_a_bias_too_many_is_a_mismatch(base, weights, tmp_path):
    wrong = {**weights, "predictions": {**weights["predictions"], "bias": np.zeros(7, "float32")}}
    write_keras2(tmp_path / "w.h5", flat_groups(wrong))
    before_and_after(
        base, lambda: load_hdf5_weights(base, tmp_path / "w.h5"), r"the file kernel \(128, 7\), bias \(7,\)"
    )


def test_another_architecture(base, tmp_path):
    path = tmp_path / "w.h5"
    write_keras2(path, flat_groups({"fc6": {"kernel": np.zeros((4, 4), "float32")}}))
    for skip in (False, True):  # a file of which nothing fits is an error in any case
        before_and_after(
            base,
            lambda skip=skip: load_hdf5_weights(base, path, skip_mismatch=skip),
            "layer.s. missing in the file: conv1_7x7_s2.*1 layer.s. unexpected in the file: fc6.*Received: 0 matching",
        )


def test_more_blocks_than_the_file(weights, tmp_path):
    write_keras2(tmp_path / "w.h5", flat_groups(weights))
    deeper = build_vggface2_resnet50("weidi_xie", include_top=True, **{**SMALL, "blocks": (1, 1, 2, 1)})
    before_and_after(
        deeper, lambda: load_hdf5_weights(deeper, tmp_path / "w.h5"), "6 layer.s. missing in the file: conv4_2_"
    )


@pytest.mark.parametrize("keep", [0, 5, 600, 0.5, 0.97])
def test_truncated_files(base, weights, tmp_path, keep):
    path = tmp_path / "w.h5"
    write_keras2(path, flat_groups(weights))
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    before_and_after(base, lambda: load_hdf5_weights(base, path), rf"{re.escape(str(path))}.*fetch it again")


def test_no_file_and_other_formats(base, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such weight file"):
        load_hdf5_weights(base, tmp_path / "absent.h5")
    (tmp_path / "page.h5").write_text("<html>quota exceeded</html>")
    before_and_after(base, lambda: load_hdf5_weights(base, tmp_path / "page.h5"), "not an HDF5 file.*fetch it again")
    base.save_weights(tmp_path / "keras3.weights.h5")
    before_and_after(
        base,
        lambda: load_hdf5_weights(base, tmp_path / "keras3.weights.h5"),
        "not weights of Keras 2.*model.load_weights",
    )


def test_objects_are_never_unpickled(base, weights, tmp_path):
    path = tmp_path / "w.h5"
    write_keras2(path, flat_groups(weights))
    with h5py.File(path, "a") as file:
        del file["features/features/bias:0"]
        file["features"].create_dataset("features/bias:0", data=np.array([b"cos\nsystem\n"], dtype="S20"))
    before_and_after(base, lambda: load_hdf5_weights(base, path), "not an array of numbers")


# -- the registry --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine without any weights; returns its cache folder."""
    monkeypatch.setattr(checkpoints, "DEFAULT_FOLDER", tmp_path / "cache")
    monkeypatch.delenv("ABAW_TF_WEIGHTS", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def entry(monkeypatch, tmp_path):
    """A registered file, "published" at a file:// address."""
    content = b"weights" * 100
    (tmp_path / "server").mkdir()
    published = tmp_path / "server" / "tiny.h5"
    published.write_bytes(content)
    entry = replace(
        REGISTRY["vggface2_resnet50"],
        name="tiny",
        file="tiny.h5",
        url=published.as_uri(),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    monkeypatch.setitem(REGISTRY, "tiny", entry)
    return entry, content


def test_every_entry_says_what_its_user_must_know():
    files = {
        "rcmalli_vggface_tf_notop_resnet50.h5",
        "rcmalli_vggface_tf_resnet50.h5",
        "fer2013_mini_XCEPTION.102-0.66.hdf5",
        "fer2013_big_XCEPTION.54-0.66.hdf5",
    }
    assert files < {entry.file for entry in REGISTRY.values()}
    for name, entry in REGISTRY.items():
        assert isinstance(entry, Weights)
        assert entry.name == name
        assert entry.url.startswith("https://")
        assert all((entry.licence, entry.citation, entry.architecture, entry.normalization))
        assert (entry.color_order in ("rgb", "bgr", "grey")) == (entry.sample_rate is None)
        assert entry.classes is None or len(labels.class_order(entry.classes)) == 7
        assert entry.sha256 is None or re.fullmatch("[0-9a-f]{64}", entry.sha256)
        assert not entry.direct or entry.url.endswith(entry.file)


def test_places_in_their_order(nowhere, entry, tmp_path, monkeypatch):
    entry, content = entry
    for folder in (nowhere, tmp_path / "chosen", tmp_path / "explicit"):
        folder.mkdir()
        (folder / "tiny.h5").write_bytes(content)
    assert locate("tiny") == nowhere / "tiny.h5"
    monkeypatch.setenv("ABAW_TF_WEIGHTS", str(tmp_path / "chosen"))
    assert locate("tiny") == tmp_path / "chosen" / "tiny.h5"
    assert locate("tiny", path=tmp_path / "explicit") == tmp_path / "explicit" / "tiny.h5"
    assert locate("tiny", path=tmp_path / "server" / "tiny.h5") == tmp_path / "server" / "tiny.h5"
    (tmp_path / "chosen" / "tiny.h5").unlink()
    assert locate("tiny") == nowhere / "tiny.h5"
    assert locate(tmp_path / "explicit" / "tiny.h5") == tmp_path / "explicit" / "tiny.h5"


def test_offline_it_says_which_file_to_put_where(nowhere):
    with pytest.raises(FileNotFoundError) as error:
        locate("vggface2_resnet50")
    message = str(error.value)
    entry = REGISTRY["vggface2_resnet50"]
    for part in (entry.url, entry.file, str(nowhere), "$ABAW_TF_WEIGHTS", "download=True"):
        assert part in message
    assert not nowhere.exists(), "looking creates nothing"
    with pytest.raises(FileNotFoundError, match=r"by hand from the page, https://drive\.google\.com"):
        locate("vggface2_resnet50_rafdb")
    with pytest.raises(ConnectionError, match="cannot be downloaded by program"):
        locate("vggface2_resnet50_rafdb", download=True)


def test_wrong_checksum(nowhere, entry):
    nowhere.mkdir()
    (nowhere / "tiny.h5").write_bytes(b"something else")
    for download in (False, True):  # what the user put there is never overwritten
        with pytest.raises(
            ValueError, match=f"not the published file of 'tiny'.*Expected SHA-256 {entry[0].sha256}.*Received"
        ):
            locate("tiny", download=download)
    assert (nowhere / "tiny.h5").read_bytes() == b"something else"


def test_download_on_request_only(nowhere, entry):
    with pytest.raises(FileNotFoundError):
        locate("tiny")
    assert locate("tiny", download=True).read_bytes() == entry[1]
    assert [path.name for path in nowhere.iterdir()] == ["tiny.h5"]
    assert file_hash(nowhere / "tiny.h5") == entry[0].sha256


@pytest.mark.parametrize("problem", ["damaged", "gone"])
def test_a_failed_download_leaves_nothing(nowhere, entry, tmp_path, problem):
    published = tmp_path / "server" / "tiny.h5"
    if problem == "damaged":
        published.write_bytes(b"<html>quota exceeded</html>")
    else:
        published.unlink()
    with pytest.raises((ValueError, ConnectionError), match=r"tiny\.h5.*Received"):
        locate("tiny", download=True)
    assert list(nowhere.iterdir()) == []


def test_unknown_names_and_paths(nowhere, tmp_path):
    with pytest.raises(ValueError, match=r"did you mean 'vggface2_resnet50'\?.*Received: 'vggface2_resnet5'"):
        locate("vggface2_resnet5")
    with pytest.raises(FileNotFoundError, match="no such weight file"):
        locate(tmp_path / "absent.h5")


def test_the_builder_takes_a_file(weights, tmp_path):
    write_keras2(tmp_path / "w.h5", flat_groups(weights))
    model = build_vggface2_resnet50("weidi_xie", include_top=True, **SMALL, weights=tmp_path / "w.h5")
    assert_loaded(model, weights)
    with pytest.raises(ValueError, match="do not belong to the model"):
        build_vggface2_resnet50("keras_vggface", **SMALL, weights=tmp_path / "w.h5")
