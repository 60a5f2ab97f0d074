"""The published weight files of Do et al. (2020), written here by hand as Keras 2 wrote them, in EmotiW's class order."""

import functools
import itertools
import json
import marshal
import pickle
import re

import h5py
import numpy as np
import pytest

from abaw_tf.backbones.checkpoints import REGISTRY
from abaw_tf.backbones.do2020_file import base_layer, read_do2020_file
from abaw_tf.backbones.do2020_weights import load_do2020_weights, to_official_order
from abaw_tf.backbones.vggface2 import build_vggface2_resnet50
from abaw_tf.models.stat_lstm import build_stat_lstm, rewire

EMOTIW = ("Anger", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise")
OFFICIAL = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
HEADS = {"class": ("expression", 7), "aro": ("arousal", 1), "val": ("valence", 1), "aroval": ("va_vector", 5)}
ENDINGS = {"class": "", "aro": "_ccc", "val": "_ccc", "aroval": "_mse"}
BASE = {"blocks": (1, 1, 1, 1), "width": 2}
FEATURES = 64
LSTM = 3
SMALL = {
    **BASE,
    "image_size": 32,
    "block": 3,
    "expression_units": (10,),
    "regression_units": (9, 8),
    "lstm_units": LSTM,
}
NETWORKS = ("image_va", "frames_va", "lstm_va")


@functools.cache
def build(preset, **options):
    """A network, the same one for the same arguments: every test loads its own weights."""
    return build_stat_lstm(preset, **{**SMALL, **options})


@functools.cache
def face_model(top=True):
    return build_vggface2_resnet50("weidi_xie", include_top=top, input_shape=(32, 32, 3), **BASE)


def published(name):
    """``conv2_1_3x3_bn`` is ``conv2_1_3x3/bn`` in the files."""
    name = name.replace("conv1_7x7_s2", "conv1/7x7_s2")
    return f"{name[:-3]}/bn" if name.endswith("_bn") else name


class Content:
    """Groups of a file: {group: {weight name: array}}."""

    def __init__(self, network, seed=0, stat="v0"):
        self.rng = np.random.default_rng(seed)
        self.groups = {}
        base = {
            f"{published(layer.name)}/{variable.name}:0": self.draw(*variable.shape)
            for layer in face_model().layers
            for variable in layer.weights
        }
        features = {name: array for name, array in base.items() if not name.startswith("predictions")}
        if network == "base":
            for name, array in base.items():
                self.groups.setdefault(name.rpartition("/")[0], {})[name] = array
            return
        if network.startswith("image"):
            self.groups["model_1"] = features
            self.add_heads(f"expr_{network.replace('image_va', 'va_image')}", FEATURES)
            return
        self.groups["time_distributed_1"] = base
        fused = 3 * 7 + FEATURES + 7 + (FEATURES if stat == "v1" else 0)
        if network.startswith("lstm"):
            for i, size in enumerate((7, 2 * LSTM), start=1):
                arrays = {"kernel": (size, 4 * LSTM), "recurrent_kernel": (LSTM, 4 * LSTM), "bias": (4 * LSTM,)}
                self.groups[f"bidirectional_{i}"] = {
                    f"bidirectional_{i}/{side}_lstm_{i}/{key}:0": self.draw(*shape)
                    for side in ("forward", "backward")
                    for key, shape in arrays.items()
                }
            fused += 2 * LSTM
        self.groups["model_1"], self.groups["model_2"] = dict(features), dict(base)
        self.add_heads("expr_va_frames_lstm" if network.startswith("lstm") else "expr_va_frames", fused)

    def draw(self, *shape):
        return self.rng.uniform(0.5, 1, tuple(shape)).astype("float32")

    def add_heads(self, prefix, size):
        """In the order of the files: all first layers, all second ones, all outputs."""
        sizes = {"class": (10,), "aro": (9, 8), "val": (9, 8), "aroval": (9, 8)}
        for i in (1, 2):
            for head, widths in sizes.items():
                if len(widths) >= i:
                    self.add_dense(f"{prefix}_{head}_feature{i}", (size, *widths)[i - 1], widths[i - 1])
        for head, ending in ENDINGS.items():
            self.add_dense(f"{prefix}_predictions_{head}{ending}", sizes[head][-1], HEADS[head][1])

    def add_dense(self, name, size, units):
        self.groups[name] = {f"{name}/kernel:0": self.draw(size, units), f"{name}/bias:0": self.draw(units)}

    def kernel(self, ending):
        """(group, kernel) of the one dense layer whose name ends so."""
        ((group, arrays),) = ((group, arrays) for group, arrays in self.groups.items() if group.endswith(ending))
        return arrays[f"{group}/kernel:0"]

    def rename(self, names):
        self.groups = {
            names.get(group, group): {name.replace(group, names.get(group, group)): a for name, a in arrays.items()}
            for group, arrays in self.groups.items()
        }

    def write(self, path, version="2.3.1", config=None):
        with h5py.File(path, "w") as file:
            root = file if config is None else file.create_group("model_weights")
            root.attrs["layer_names"] = np.array([name.encode() for name in ("input_1", *self.groups)])
            root.create_group("input_1").attrs["weight_names"] = np.array([], "S1")
            if version is not None:
                file.attrs["keras_version"] = version.encode()
            if config is not None:
                file.attrs["model_config"] = json.dumps(config).encode()
            for name, arrays in self.groups.items():
                group = root.require_group(name)
                group.attrs["weight_names"] = np.array([key.encode() for key in arrays])
                for key, array in arrays.items():
                    group.create_dataset(key, data=array)
        return path


def values_of(model):
    return [np.array(value) for value in model.get_weights()]


def refused(model, message, path, **options):
    before = values_of(model)
    with pytest.raises(ValueError, match=message) as error:
        load_do2020_weights(model, path, **options)
    assert all(np.array_equal(a, b) for a, b in zip(before, values_of(model))), "a refused file must change nothing"
    assert "Received: " in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


def dense_kernel(model, name):
    return np.asarray(model.get_layer("head").get_layer(name).kernel)


# -- classes ------------------------------------------------------------------------------------------------------------------


def codes(order):
    """A number for each class that says which it is."""
    return np.array([10.0 + OFFICIAL.index(name) for name in order], "float32")


def test_every_class_axis_follows_the_names(tmp_path):
    """Each axis over classes holds a code per class in EmotiW's order; in the model it must hold them in the official order."""
    content, emotiw, official = Content("lstm_va"), codes(EMOTIW), codes(OFFICIAL)
    assert list(official) == [10, 11, 12, 13, 14, 15, 16]
    for group in ("time_distributed_1", "model_2"):
        content.groups[group]["predictions/kernel:0"] = np.tile(emotiw, (FEATURES, 1))
    content.kernel("predictions_class")[:] = emotiw
    content.groups["expr_va_frames_lstm_predictions_class"]["expr_va_frames_lstm_predictions_class/bias:0"][:] = emotiw
    for head in HEADS:
        kernel = content.kernel(f"_{head}_feature1")
        for i, start in enumerate((0, 7, 14, 21 + FEATURES)):
            kernel[start : start + 7] = (emotiw + 100 * i)[:, None]
    for side in ("forward", "backward"):
        content.groups["bidirectional_1"][f"bidirectional_1/{side}_lstm_1/kernel:0"][:] = emotiw[:, None]
    model = build("lstm_va")
    load_do2020_weights(model, content.write(tmp_path / "w.h5"))

    base, head = model.get_layer("base"), model.get_layer("head")
    np.testing.assert_array_equal(np.asarray(base.get_layer("predictions").kernel), np.tile(official, (FEATURES, 1)))
    np.testing.assert_array_equal(dense_kernel(model, "expression"), np.tile(official, (10, 1)))
    np.testing.assert_array_equal(np.asarray(head.get_layer("expression").bias), official)
    for word, (name, _) in HEADS.items():
        kernel, stored = dense_kernel(model, f"{name}_dense_1"), content.kernel(f"_{word}_feature1")
        for i, start in enumerate((0, 7, 14, 21 + FEATURES)):
            np.testing.assert_array_equal(
                kernel[start : start + 7], np.tile((official + 100 * i)[:, None], kernel.shape[1])
            )
        for rows in (slice(21, 21 + FEATURES), slice(28 + FEATURES, None)):  # features, LSTM: nothing to permute
            np.testing.assert_array_equal(kernel[rows], stored[rows])
    first, second = head.get_layer("lstm_1"), head.get_layer("lstm_2")
    for side in ("forward", "backward"):
        cell = getattr(first, f"{side}_layer").cell
        np.testing.assert_array_equal(np.asarray(cell.kernel), np.tile(official[:, None], 4 * LSTM))
        for i, layer in enumerate((first, second), start=1):
            cell, group = getattr(layer, f"{side}_layer").cell, content.groups[f"bidirectional_{i}"]
            for key in ("recurrent_kernel", "bias") + (("kernel",) if i == 2 else ()):
                stored = group[f"bidirectional_{i}/{side}_lstm_{i}/{key}:0"]
                np.testing.assert_array_equal(np.asarray(getattr(cell, key)), stored)


def test_regression_branches_reach_their_outputs(tmp_path):
    """Arousal comes before valence, and every branch its own arrays."""
    content, model = Content("frames_va"), build("frames_va")
    load_do2020_weights(model, content.write(tmp_path / "w.h5"))
    for word, (name, _) in HEADS.items():
        np.testing.assert_array_equal(
            np.sort(dense_kernel(model, name), axis=1),
            np.sort(content.kernel(f"predictions_{word}{ENDINGS[word]}"), axis=1),
        )
        if word != "class":
            np.testing.assert_array_equal(dense_kernel(model, f"{name}_dense_2"), content.kernel(f"_{word}_feature2"))


def test_image_networks_read_no_probabilities(tmp_path):
    content, model = Content("image_va"), build("image_va")
    report = load_do2020_weights(model, content.write(tmp_path / "w.h5"))
    assert not report.unexpected
    for word, (name, _) in HEADS.items():
        np.testing.assert_array_equal(dense_kernel(model, f"{name}_dense_1"), content.kernel(f"_{word}_feature1"))
    np.testing.assert_array_equal(
        dense_kernel(model, "expression"),
        content.kernel("predictions_class")[:, [EMOTIW.index(name) for name in OFFICIAL]],
    )


def test_mean_of_the_features_of_the_block(tmp_path):
    """``stat="v1"``: two blocks of features between the statistics and the probabilities."""
    content, model = Content("frames_va", stat="v1"), build("frames_va", stat="v1")
    path = content.write(tmp_path / "w.h5")
    assert read_do2020_file(path).network == 'frames_va (stat="v1")'
    load_do2020_weights(model, path)
    stored, kernel = content.kernel("_aro_feature1"), dense_kernel(model, "arousal_dense_1")
    np.testing.assert_array_equal(kernel[21 : 21 + 2 * FEATURES], stored[21 : 21 + 2 * FEATURES])
    np.testing.assert_array_equal(kernel[-7:], stored[-7:][[EMOTIW.index(name) for name in OFFICIAL]])


def test_reordering_leaves_the_file_as_it_is(tmp_path):
    file = read_do2020_file(Content("lstm_va").write(tmp_path / "w.h5"))
    before = {layer: {key: array.copy() for key, array in arrays.items()} for layer, arrays in file.layers.items()}
    to_official_order(file.layers, file.network)
    for layer, arrays in before.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(file.layers[layer][key], array)


# -- names ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("conv1/7x7_s2/bn",), "conv1_7x7_s2_bn"),
        (("model_1", "conv1/7x7_s2"), "conv1_7x7_s2"),
        (("time_distributed_1", "time_distributed_1/conv4_1_1x1_increase/bn"), "conv4_1_1x1_increase_bn"),
        (("model_1", "conv5_3_3x3_1"), "conv5_3_3x3"),
        (("model_1", "features_2"), "features"),
        (("predictions",), "predictions"),
        (("expr_va_image_aro_feature1", "expr_va_image_aro_feature1"), None),
        (("expr_va_image_predictions_class",), None),
        (("bidirectional_1", "bidirectional_1/forward_lstm_1"), None),
    ],
)
def test_names_of_the_base(names, expected):
    assert base_layer(*names) == expected


@pytest.mark.parametrize("network", ["base", *NETWORKS])
@pytest.mark.parametrize("whole", [False, True])
def test_what_a_file_is(network, whole, tmp_path):
    config = {"config": {"layers": []}} if whole else None
    file = read_do2020_file(Content(network).write(tmp_path / "w.h5", config=config))
    assert file.network == network
    assert file.keras_version == "2.3.1"
    assert file.recurrent_activation == ("sigmoid" if network == "lstm_va" else None)


def numbered(content):
    """Names that Keras would give: dense_1, … in the order in which the authors made the layers."""
    order = [f"{head}_feature{i}" if i < 3 else f"predictions_{head}" for head in HEADS for i in (1, 2, 3)]
    order = [name for name in order if name != "class_feature2"]
    names = {
        group: f"dense_{i}"
        for i, name in enumerate(order, start=1)
        for group in content.groups
        if re.search(rf"_{name}(_ccc|_mse)?$", group)
    }
    assert len(names) == len(order) == 11
    return names


def test_numbered_heads(tmp_path):
    content, model = Content("lstm_va"), build("lstm_va")
    load_do2020_weights(model, content.write(tmp_path / "named.h5"))
    expected = values_of(model)
    content.rename(numbered(content))
    load_do2020_weights(model, Content("lstm_va", seed=1).write(tmp_path / "other.h5"))
    load_do2020_weights(model, content.write(tmp_path / "numbered.h5"))
    for a, b in zip(expected, values_of(model)):
        np.testing.assert_array_equal(a, b)


def test_heads_that_cannot_be_told_apart(tmp_path):
    content, model = Content("frames_va"), build("frames_va")
    names = {old: f"fc_{'abcdefghijk'[i]}" for i, old in enumerate(numbered(content))}
    given = {names[old]: new for old, new in zip(names, [*_official_names()])}
    content.rename(names)
    path = content.write(tmp_path / "w.h5")
    message = refused(model, "cannot tell which layer belongs to which head", path)
    assert "fc_a (92, 10)" in message
    assert 'rename={"<layer in the file>"' in message
    load_do2020_weights(model, path, rename=given)
    np.testing.assert_array_equal(dense_kernel(model, "valence_dense_2"), content.kernel("fc_g"))
    swapped = {**given, "fc_e": "valence", "fc_h": "arousal_dense_1"}
    refused(model, "cannot tell.*do not read one another|cannot tell.*two layers of one name", path, rename=swapped)
    refused(model, "cannot tell", path, rename={"fc_a": "expression_dense_1"})


def _official_names():
    yield from ("expression_dense_1", "expression")
    for head in ("arousal", "valence", "va_vector"):
        yield from (f"{head}_dense_1", f"{head}_dense_2", head)


def test_numbers_in_another_order_are_refused(tmp_path):
    """The vector's head made before valence's: the shapes do not fit the documented order, and no other is tried."""
    content = Content("frames_va")
    names = numbered(content)
    swap = dict(zip((f"dense_{i}" for i in (6, 7, 8, 9, 10, 11)), (f"dense_{i}" for i in (9, 10, 11, 6, 7, 8))))
    content.rename({old: swap.get(new, new) for old, new in names.items()})
    refused(build("frames_va"), "cannot tell.*0 ways", content.write(tmp_path / "w.h5"))


# -- the gates of the LSTM ----------------------------------------------------------------------------------------------------

LSTM_CONFIG = {
    "class_name": "Model",
    "config": {
        "layers": [
            {"class_name": "Lambda", "config": {"function": ["4wEAAAA=\n", None, None]}},
            {"class_name": "Bidirectional", "config": {"layer": {"config": {"recurrent_activation": "hard_sigmoid"}}}},
        ]
    },
}


@pytest.mark.parametrize(
    ("version", "config", "expected"),
    [
        ("2.3.0", None, "sigmoid"),
        ("2.3.1", None, "sigmoid"),
        ("2.21.0", None, "sigmoid"),
        ("2.4.0-tf", None, "sigmoid"),
        ("2.2.4", None, "hard_sigmoid_keras2"),
        ("2.2.4-tf", None, None),
        (None, None, None),
        ("2.3.1", LSTM_CONFIG, "hard_sigmoid_keras2"),
        ("2.3.1", json.loads(json.dumps(LSTM_CONFIG).replace("hard_sigmoid", "relu")), None),
    ],
)
def test_what_the_gates_compute(version, config, expected, tmp_path):
    path = Content("lstm_va").write(tmp_path / "w.h5", version=version, config=config)
    assert read_do2020_file(path).recurrent_activation == expected
    if expected is None:
        message = refused(build("lstm_va"), 'say so: recurrent_activation="hard_sigmoid_keras2"', path)
        assert f"keras_version={version!r}" in message
        load_do2020_weights(build("lstm_va"), path, recurrent_activation="sigmoid")
    else:
        load_do2020_weights(build("lstm_va", recurrent_activation=expected), path)


def test_gates_that_differ_are_refused(tmp_path):
    path = Content("lstm_va").write(tmp_path / "w.h5", version="2.2.4")
    message = refused(build("lstm_va"), 'build it with recurrent_activation="hard_sigmoid_keras2"', path)
    assert "2.2.4" in message
    model = build("lstm_va", recurrent_activation="hard_sigmoid_keras2")
    load_do2020_weights(model, path)
    refused(model, 'build it with recurrent_activation="sigmoid"', path, recurrent_activation="sigmoid")
    load_do2020_weights(build("lstm_va"), path, part="base")


def test_nothing_in_a_file_is_run(tmp_path, monkeypatch):
    """Whole models carry the code of their Lambda layers; it is never unmarshalled, let alone called."""
    path = Content("lstm_va").write(tmp_path / "w.h5", config=LSTM_CONFIG)
    for module in (marshal, pickle):
        for function in ("load", "loads"):
            monkeypatch.setattr(module, function, lambda *_, **__: pytest.fail("code of the file was read"))
    assert read_do2020_file(path).recurrent_activation == "hard_sigmoid_keras2"


# -- other files --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("network", "wanted"), list(itertools.permutations(NETWORKS, 2)))
def test_the_network_of_the_file_is_named(network, wanted, tmp_path):
    path = Content(network).write(tmp_path / "w.h5")
    message = refused(build(wanted), rf'build the network of the file: build_stat_lstm\(preset="{network}"\)', path)
    assert f"a file of the network {network!r}, a model of {wanted!r}" in message


def test_other_sizes_are_named(tmp_path):
    path = Content("lstm_va").write(tmp_path / "w.h5")
    message = refused(build("lstm_va", lstm_units=4), r"layer lstm_1: the model has forward/kernel \(7, 16\)", path)
    assert "forward/kernel (7, 12)" in message
    assert "3 LSTM units" in message
    message = refused(build("lstm_va", regression_units=(9,)), "build it with the sizes of the file", path)
    assert "arousal [9, 8]" in message
    message = refused(build("lstm_va", width=4), "layer conv1_7x7_s2: the model has", path)
    assert "width=2" in message
    assert "blocks=(1, 1, 1, 1)" in message


def test_copies_of_the_base_must_agree(tmp_path):
    content = Content("frames_va")
    content.groups["model_1"]["features/bias:0"] = content.groups["model_1"]["features/bias:0"] + 1
    refused(
        build("frames_va"),
        "holds bias of layer features twice, with different values",
        content.write(tmp_path / "w.h5"),
    )


def test_files_of_others(tmp_path):
    content, model = Content("image_va"), build("image_va")
    content.groups.pop("model_1")
    refused(model, "not a network of Do et al.*no layer `features`", content.write(tmp_path / "heads.h5"))
    content = Content("image_va")
    content.groups["gru_1"] = {"gru_1/kernel:0": np.ones((7, 9)), "gru_1/recurrent_kernel:0": np.ones((3, 9))}
    refused(model, "gru_1 is recurrent but not bidirectional", content.write(tmp_path / "gru.h5"))
    content = Content("image_va")
    content.groups["conv_9"] = {"conv_9/kernel:0": np.ones((3, 3, 1, 1))}
    refused(model, r"layer conv_9 is none of a network.*kernel \(3, 3, 1, 1\)", content.write(tmp_path / "conv.h5"))
    content = Content("frames_va")
    for group in [group for group in content.groups if group.endswith("feature1")]:
        content.groups[group][f"{group}/kernel:0"] = content.groups[group][f"{group}/kernel:0"][21:]
    refused(model, r"heads read \[71\] values; known are \[64, 92, 156\]", content.write(tmp_path / "nostat.h5"))


@pytest.mark.parametrize("keep", [0, 600, 0.5, 0.97])
def test_truncated_files(keep, tmp_path):
    path = Content("lstm_va").write(tmp_path / "w.h5")
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    refused(build("lstm_va"), "fetch it again", path)


def test_other_models(tmp_path):
    import keras

    path = Content("base").write(tmp_path / "w.h5")
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="logits")])
    with pytest.raises(ValueError, match=r"not a network of Do et al.*Received: unknown layer\(s\) logits"):
        load_do2020_weights(other, path)
    with pytest.raises(ValueError, match="`part` must be one of"):
        load_do2020_weights(other, path, part="heads")
    with pytest.raises(ValueError, match="`recurrent_activation` must be one of"):
        load_do2020_weights(other, path, recurrent_activation="hard_sigmoid")
    with pytest.raises(FileNotFoundError, match="no such weight file"):
        load_do2020_weights(build("image_va"), tmp_path / "absent.h5")


# -- parts --------------------------------------------------------------------------------------------------------------------


def base_equals(model, content, group=None):
    groups = content.groups.values() if group is None else [content.groups[group]]
    stored = {name: array for arrays in groups for name, array in arrays.items()}
    names = 0
    for layer in model.layers:
        for variable in layer.weights:
            array = stored[f"{published(layer.name)}/{variable.name}:0"]
            if layer.name == "predictions":
                array = array[:, [EMOTIW.index(name) for name in OFFICIAL]]
            np.testing.assert_array_equal(np.asarray(variable), array)
            names += 1
    assert names > 80


def test_the_face_model(tmp_path):
    content = Content("base")
    path = content.write(tmp_path / "w.h5")
    for top in (True, False):
        model = face_model(top)
        report = load_do2020_weights(model, path)
        base_equals(model, content)
        assert report.unexpected == ([] if top else ["predictions"])


def test_the_face_model_under_new_heads(tmp_path):
    """How the authors began their second phase."""
    content, model = Content("base"), build("lstm_va")
    path = content.write(tmp_path / "w.h5")
    message = refused(model, 'load the face network alone: part="base"', path)
    assert "a file of the network 'base', a model of 'lstm_va'" in message
    head = values_of(model.get_layer("head"))
    report = load_do2020_weights(model, path, part="base")
    base_equals(model.get_layer("base"), content)
    assert all(np.array_equal(a, b) for a, b in zip(head, values_of(model.get_layer("head"))))
    assert "lstm_1" not in report.loaded
    assert "predictions" in report.loaded


def test_the_face_network_of_a_whole_file(tmp_path):
    content = Content("lstm_va")
    path = content.write(tmp_path / "w.h5")
    model = face_model()
    refused(model, 'take its face network alone: part="base"', path)
    load_do2020_weights(model, path, part="base")
    base_equals(model, content, "model_2")
    refused(model, "Received", Content("image_va").write(tmp_path / "i.h5"), part="base")


def test_a_head_on_stored_tracks(tmp_path):
    path = Content("lstm_va").write(tmp_path / "w.h5")
    model = build("lstm_va")
    load_do2020_weights(model, path)
    expected = values_of(model.get_layer("head"))
    load_do2020_weights(model, Content("lstm_va", seed=1).write(tmp_path / "other.h5"))
    tracks = rewire(model, "tracks")
    base = values_of(model.get_layer("base"))
    refused(tracks, 'load its head alone, part="head"', path)
    report = load_do2020_weights(tracks, path, part="head")
    assert "features" not in report.loaded
    assert {"lstm_1", "lstm_2", "expression"} < set(report.loaded)
    for a, b in zip(expected, values_of(model.get_layer("head"))):
        np.testing.assert_array_equal(a, b)
    assert all(np.array_equal(a, b) for a, b in zip(base, values_of(model.get_layer("base"))))


def test_every_wiring_takes_them(tmp_path):
    content = Content("lstm_va")
    model = build("lstm_va")
    load_do2020_weights(rewire(model, "chunk", n_frames=2), content.write(tmp_path / "w.h5"))
    base_equals(model.get_layer("base"), content, "model_2")
    np.testing.assert_array_equal(dense_kernel(model, "arousal_dense_2"), content.kernel("_aro_feature2"))


# -- the registry -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in REGISTRY if name.startswith("do2020")])
def test_registered(name):
    entry = REGISTRY[name]
    assert entry.url == REGISTRY["vggface2_resnet50_rafdb"].url
    assert not entry.direct
    assert entry.classes == "emotiw"
    assert entry.color_order == "bgr"
    assert entry.input_size == (224, 224)
    assert "none" in entry.licence
    network = "lstm_va" if "lstm" in name else "frames_va" if "frames" in name else "image_va"
    assert entry.architecture.startswith(f'build_stat_lstm("{network}"')
    word = {"lstm_va": "va_frames_lstm", "frames_va": "va_frames", "image_va": "va_image"}[network]
    assert re.fullmatch(rf"t\d+_affwild2_expr_{word}_weights_\d{{12}}_epoch-\d+_loss-.*\.h5", entry.file)


def test_built_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("ABAW_TF_WEIGHTS", str(tmp_path))
    content, model = Content("frames_va"), build("frames_va")
    load_do2020_weights(model, content.write(tmp_path / REGISTRY["do2020_frames_va"].file))
    named = build("frames_va", weights="do2020_frames_va")
    for a, b in zip(values_of(model), values_of(named)):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match=r'build the network of the file: build_stat_lstm\(preset="frames_va"\)'):
        build("lstm_va", weights="do2020_frames_va")
