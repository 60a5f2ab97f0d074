"""ExpNet: the published graph, weights from a TensorFlow 1 checkpoint, the published way from a picture to the input."""

import math
import re

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from abaw_tf.backbones import checkpoints, expnet
from abaw_tf.backbones.checkpoints import REGISTRY, locate
from abaw_tf.backbones.expnet import ExpNetPreprocessing, build_expnet, face_patch, read_mean_image
from abaw_tf.backbones.tf1_checkpoint import load_tf1_checkpoint, read_tf1_checkpoint
from abaw_tf.features.extractors import KerasExtractor, make_extractor

BLOCKS, WIDTH, SIDE = (1, 2, 3, 1), 4, 64
SMALL = {"blocks": BLOCKS, "width": WIDTH, "input_shape": (SIDE, SIDE, 3)}
# Names of the published network, written out: Caffe's ResNet-101 counts b1, b2, … in its long stages only.
NAMES = {2: ["2a"], 3: ["3a", "3b1"], 4: ["4a", "4b1", "4b2"], 5: ["5a"]}


@pytest.fixture(scope="module", autouse=True)
def _clear():  # once: it collects garbage, which takes longer than most tests here
    yield
    keras.backend.clear_session()


# -- a checkpoint and a network of its own ------------------------------------------------------------------------------------


def shapes(width=WIDTH, names=NAMES, coefficients=29):
    """Variable name -> shape, in the scope exprCNN, of the published network at another width and number of blocks."""
    found = {"conv1/weights": (7, 7, 3, width)}
    norms = {"bn_conv1": width}
    channels = width
    for stage, blocks in names.items():
        inner = width * 2 ** (stage - 2)
        for block in blocks:
            if block.endswith("a"):
                found[f"res{block}_branch1/weights"] = (1, 1, channels, 4 * inner)
                norms[f"bn{block}_branch1"] = 4 * inner
            for branch, kernel, before, after in (
                ("2a", 1, channels, inner), ("2b", 3, inner, inner), ("2c", 1, inner, 4 * inner),
            ):  # fmt: skip
                found[f"res{block}_branch{branch}/weights"] = (kernel, kernel, before, after)
                norms[f"bn{block}_branch{branch}"] = after
            channels = 4 * inner
    for name, size in norms.items():
        found |= {f"{name}/{variable}": (size,) for variable in ("scale", "offset", "mean", "variance")}
    return found | {"exprCNN_fc1/weights": (32 * width, coefficients), "exprCNN_fc1/biases": (coefficients,)}


def random_variables(seed=0, **options):
    rng = np.random.default_rng(seed)
    values = {}
    for name, shape in shapes(**options).items():
        kind = name.rpartition("/")[2]
        if kind == "weights":
            values[name] = rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape)
        elif kind in ("scale", "variance"):
            # a residual block adds little, so that the features of 33 of them stay in range
            values[name] = rng.uniform(0.5, 1.5, shape) * (0.3 if name.endswith("branch2c/scale") else 1)
        else:
            values[name] = rng.normal(0, 0.2, shape)
    return {name: value.astype("float32") for name, value in values.items()}


def write_checkpoint(prefix, variables, scope="exprCNN", version=2, extra=()):
    """Written by TensorFlow 1's own Saver from variables of a graph."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        with tf.compat.v1.variable_scope(scope):
            made = [tf.compat.v1.get_variable(name, initializer=value) for name, value in variables.items()]
        made += [tf.compat.v1.get_variable(name, initializer=value) for name, value in dict(extra).items()]
        session.run(tf.compat.v1.global_variables_initializer())
        prefix.parent.mkdir(parents=True, exist_ok=True)
        tf.compat.v1.train.Saver(made, write_version=version).save(session, str(prefix))
    return prefix


def reference(variables, images, names=NAMES):
    """Features and coefficients of images (blue, green, red, mean-free), with plain operations on the raw variables."""

    def convolution(x, name, strides=1):
        return tf.nn.conv2d(x, variables[f"{name}/weights"], strides, "SAME")

    def norm(x, name):
        mean, variance, offset, scale = (variables[f"{name}/{v}"] for v in ("mean", "variance", "offset", "scale"))
        return tf.nn.batch_normalization(x, mean, variance, offset, scale, 1e-5)

    x = tf.nn.relu(norm(convolution(tf.constant(images), "conv1", 2), "bn_conv1"))
    x = tf.nn.max_pool2d(x, 3, 2, "SAME")
    for stage, blocks in names.items():
        for block in blocks:
            strides = 2 if block.endswith("a") and stage > 2 else 1
            shortcut = x
            if block.endswith("a"):
                shortcut = norm(convolution(x, f"res{block}_branch1", strides), f"bn{block}_branch1")
            x = tf.nn.relu(norm(convolution(x, f"res{block}_branch2a", strides), f"bn{block}_branch2a"))
            x = tf.nn.relu(norm(convolution(x, f"res{block}_branch2b"), f"bn{block}_branch2b"))
            x = tf.nn.relu(norm(convolution(x, f"res{block}_branch2c"), f"bn{block}_branch2c") + shortcut)
    pooled = tf.nn.avg_pool2d(x, x.shape[1:3], 1, "VALID")[:, 0, 0]
    return pooled.numpy(), (pooled @ variables["exprCNN_fc1/weights"] + variables["exprCNN_fc1/biases"]).numpy()


@pytest.fixture(scope="module")
def variables():
    return random_variables()


@pytest.fixture(scope="module")
def checkpoint(variables, tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("expnet") / "ini_exprNet_model.ckpt", variables)


@pytest.fixture
def images():
    return np.random.default_rng(1).normal(0, 60, (3, SIDE, SIDE, 3)).astype("float32")


# -- the network --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full():
    """The published network, shapes without values: to draw those of its 345 layers takes seconds."""
    with keras.StatelessScope(initialize_variables=False):
        return build_expnet(include_top=True)


def test_published_sizes(full):
    """torchvision's ResNet-101 says 44,549,160: without 1000 classes (2,049,000), with the moving statistics (105,344)."""
    assert 44_549_160 - 2_049_000 + 105_344 == 42_605_504
    assert full.count_params() == 42_605_504 + 2048 * 29 + 29 == 42_664_925
    assert full.input_shape == (None, 224, 224, 3)
    assert full.output_shape == (None, 29)
    assert full.get_layer("pool5").output.shape == (None, 2048)
    assert full.get_layer("res5c_relu").output.shape[1:] == (7, 7, 2048)
    assert not [layer.name for layer in full.layers if "/" in layer.name]


def test_without_its_top_it_ends_in_the_pooled_features():
    whole, features = build_expnet(**SMALL, include_top=True), build_expnet(**SMALL)
    assert features.output_shape == (None, 32 * WIDTH)
    assert [layer.name for layer in whole.layers] == [*(layer.name for layer in features.layers), "exprCNN_fc1"]
    assert whole.count_params() == features.count_params() + 32 * WIDTH * 29 + 29


def full_names():
    """The blocks of the published network."""
    long = {3: 4, 4: 23}
    return {
        stage: [f"{stage}a", *(f"{stage}b{i}" for i in range(1, long[stage]))] if stage in long else
        [f"{stage}{letter}" for letter in "abc"] for stage in (2, 3, 4, 5)
    }  # fmt: skip


def test_the_published_checkpoint_has_a_place_for_every_variable(full):
    """522 variables at full size: 104 convolutions, four of each normalisation, and the last layer."""
    expected = shapes(64, full_names())
    assert len(expected) == 104 + 4 * 104 + 2
    keras_names = {"kernel": "weights", "gamma": "scale", "beta": "offset", "moving_mean": "mean", "bias": "biases"}
    found = {
        f"{layer.name}/{keras_names.get(weight.name, 'variance')}": tuple(weight.shape)
        for layer in full.layers
        for weight in layer.weights
    }
    assert found == expected


@pytest.mark.parametrize("version", [1, 2])
def test_outputs_are_those_of_the_checkpoint(variables, images, tmp_path, version):
    """Both formats of a TensorFlow 1 checkpoint, against a forward pass that shares nothing with the builder."""
    path = write_checkpoint(tmp_path / "ini_exprNet_model.ckpt", variables, version=version)
    assert path.is_file() == (version == 1)
    features, coefficients = reference(variables, images)
    assert features.std() > 0.1
    np.testing.assert_allclose(build_expnet(**SMALL, weights=path)(images), features, rtol=1e-4, atol=1e-4)
    model = build_expnet(**SMALL, include_top=True, weights=path)
    np.testing.assert_allclose(model(images), coefficients, rtol=1e-4, atol=1e-4)
    pooled = keras.Model(model.input, model.get_layer("pool5").output)
    np.testing.assert_allclose(pooled(images), features, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_full_network_gives_the_outputs_of_its_checkpoint(tmp_path):
    variables = random_variables(width=64, names=full_names())
    path = write_checkpoint(tmp_path / "ini_exprNet_model.ckpt", variables)
    # Smaller pictures: they cost time, and no weight sees their size.
    images = np.random.default_rng(1).normal(0, 60, (2, 96, 96, 3)).astype("float32")
    features, coefficients = reference(variables, images, full_names())
    model = build_expnet(include_top=True, weights=path, input_shape=(96, 96, 3))
    outputs = keras.Model(model.input, [model.get_layer("pool5").output, model.output])(images)
    for found, expected in zip(outputs, (features, coefficients)):
        assert expected.std() > 1
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_saving_and_mixed_precision(checkpoint, images, tmp_path):
    model = build_expnet(**SMALL, include_top=True, mean_image=np.full((SIDE, SIDE, 3), 100.0), weights=checkpoint)
    patches = np.clip(images + 100, 0, 255).astype("uint8")
    expected = np.asarray(model(patches))
    model.save(tmp_path / "m.keras")
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "m.keras")(patches), expected, atol=1e-6)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        mixed = build_expnet(**SMALL, include_top=True, mean_image=np.full((SIDE, SIDE, 3), 100.0), weights=checkpoint)
    finally:
        keras.config.set_dtype_policy("float32")
    outputs = mixed(patches)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
    np.testing.assert_allclose(outputs, expected, atol=0.02 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_shape": (224, 224)}, "`input_shape` must be"),
        ({"input_shape": (16, 64, 3)}, "at least 32 pixels"),
        ({"mean_image": np.zeros((3, 20, 20))}, "at least 32 pixels"),
        ({"mean_image": np.zeros((40, 40))}, "a mean image must be"),
        ({"mean_image": np.full((3, 40, 40), np.nan)}, "a mean image must be"),
        ({"blocks": (3, 4, 23)}, "`blocks` must hold four"),
        ({"blocks": (27, 4, 23, 3)}, "from 1 to 26"),
        ({"width": 0}, "`width` must be positive"),
        ({"coefficients": 0}, "`coefficients` must be positive"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=f"{message}.*Received"):
        build_expnet(**options)


# -- reading checkpoints ------------------------------------------------------------------------------------------------------


def test_only_the_network_is_read(variables, tmp_path):
    """Other scopes, step counters and the slots of an optimizer lie in the same file."""
    slots = {"exprCNN/conv1/weights/Momentum": variables["conv1/weights"], "shapeCNN/conv1/weights": np.ones(3, "f")}
    path = write_checkpoint(tmp_path / "m.ckpt", variables, extra={**slots, "global_step": np.int64(7)})
    read = read_tf1_checkpoint(path, "exprCNN")
    assert set(read) == set(variables)
    np.testing.assert_array_equal(read["res4b2_branch2b/weights"], variables["res4b2_branch2b/weights"])
    assert "shapeCNN/conv1/weights" in read_tf1_checkpoint(path)
    for file in (f"{path}.index", f"{path}.data-00000-of-00001", f"{path}.meta"):
        assert list(read_tf1_checkpoint(file, "exprCNN")) == sorted(variables)
    report = load_tf1_checkpoint(build_expnet(**SMALL), path, "exprCNN", ignore=("exprCNN_fc1",))
    assert len(report.loaded) == len([name for name in variables if name.endswith(("weights", "scale"))]) - 1


def refused(model, path, message, **options):
    before = [np.array(value) for value in model.get_weights()]
    with pytest.raises(ValueError, match=message) as error:
        load_tf1_checkpoint(model, path, options.pop("scope", "exprCNN"), **options)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights())), "a refused file must change nothing"
    assert "Received" in str(error.value)
    assert str(path) in str(error.value)


def test_other_networks_are_refused(checkpoint, variables, tmp_path):
    refused(build_expnet(**SMALL), checkpoint, "1 layer.s. unexpected in the checkpoint: exprCNN_fc1")
    model = build_expnet(**SMALL, include_top=True)
    refused(model, checkpoint, "no variable in the scope 'shapeCNN'.*Received: scopes exprCNN", scope="shapeCNN")
    deeper = build_expnet(**{**SMALL, "blocks": (1, 2, 4, 1)}, include_top=True)
    refused(deeper, checkpoint, "6 layer.s. missing in the checkpoint: res4b3_branch2a, bn4b3_branch2a")
    fewer = build_expnet(**{**SMALL, "blocks": (1, 2, 2, 1)}, include_top=True)
    refused(fewer, checkpoint, "6 layer.s. unexpected in the checkpoint: .*res4b2_branch2a.*build the network")
    wider = build_expnet(**{**SMALL, "width": 8}, include_top=True)
    refused(
        wider,
        checkpoint,
        r"these weights do not belong to the model 'expnet'; "
        r"layer conv1: the model has kernel \(7, 7, 3, 8\), the checkpoint kernel \(7, 7, 3, 4\)",
    )
    absent = {name: value for name, value in variables.items() if name != "bn2a_branch1/offset"}
    path = write_checkpoint(tmp_path / "m.ckpt", absent)
    refused(model, path, "layer bn2a_branch1: the model has beta .* the checkpoint gamma")


def test_weights_that_are_not_finite_are_refused(variables, tmp_path):
    offset = variables["bn2a_branch1/offset"].copy()
    offset[0] = np.inf
    path = write_checkpoint(tmp_path / "m.ckpt", {**variables, "bn2a_branch1/offset": offset})
    refused(build_expnet(**SMALL, include_top=True), path, f"must be finite.*1 of {offset.size} values of bn2a_branch1")


@pytest.mark.parametrize("version", [1, 2])
def test_damaged_files(variables, tmp_path, version):
    path = write_checkpoint(tmp_path / "m.ckpt", variables, version=version)
    data = path if version == 1 else tmp_path / "m.ckpt.data-00000-of-00001"
    content, model = data.read_bytes(), build_expnet(**SMALL, include_top=True)
    for keep in (0, 0.5):
        data.write_bytes(content[: int(keep * len(content))])
        refused(model, path, "fetch it again")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such checkpoint.*m\.ckpt\.index.*Received"):
        read_tf1_checkpoint(tmp_path / "m.ckpt")


# -- from a picture to the input ----------------------------------------------------------------------------------------------


def test_the_input_is_what_tensorflow_1_made_of_a_patch():
    """227 → 224 by TF 1's resize_bilinear of BGR pixels, minus the mean image."""
    rng = np.random.default_rng(0)
    patches = rng.integers(0, 256, (2, 227, 227, 3)).astype("uint8")
    mean = rng.uniform(0, 255, (3, 224, 224))
    resized = tf.compat.v1.image.resize_bilinear(patches[..., ::-1].astype("float32"), (224, 224))
    layer = ExpNetPreprocessing(mean_image=read_mean_image(mean))
    expected = resized.numpy() - mean.transpose(1, 2, 0)
    np.testing.assert_allclose(layer(patches), expected, atol=2e-3)
    np.testing.assert_allclose(layer(patches.astype("float32")), expected, atol=2e-3)
    assert ExpNetPreprocessing.from_config(layer.get_config()).size == (224, 224)


@pytest.mark.parametrize("sides", [((112, 112), (64, 64)), ((40, 50), (60, 70)), ((64, 64), (64, 64))])
def test_other_sizes_too(sides):
    before, after = sides
    images = np.random.default_rng(0).uniform(0, 255, (1, *before, 3)).astype("float32")
    expected = tf.compat.v1.image.resize_bilinear(images[..., ::-1], after)
    np.testing.assert_allclose(ExpNetPreprocessing(after)(images), expected, atol=2e-3)


def published_patch(image, box):
    """The published steps one by one: square, widen, pad, cut, resize, JPEG."""
    x, y, right, bottom = box
    side = max(right - x, bottom - y)
    x, y = (x + right) / 2 - side / 2, (y + bottom) / 2 - side / 2
    x, y, side = x - 0.25 * side, y - 0.25 * side, 1.5 * side
    pads = [max(0, math.ceil(v)) for v in (-y, y + side - image.shape[0] + 1, -x, x + side - image.shape[1] + 1)]
    padded = cv2.copyMakeBorder(image, *pads, cv2.BORDER_CONSTANT, value=0)
    low = [math.ceil(x + pads[2]), math.ceil(y + pads[0])]
    high = [math.ceil(x + pads[2] + side), math.ceil(y + pads[0] + side)]
    side = max(high[0] - low[0], high[1] - low[1])
    patch = padded[low[1] : low[1] + side, low[0] : low[0] + side]
    return cv2.resize(patch, (227, 227), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize(
    "box",
    [(60, 40, 100, 100), (60.3, 40.7, 101.2, 99.9), (-5, -8.5, 60, 40), (120, 90, 161.5, 125.5), (0, 0, 160, 120)],
)
def test_patches_are_cut_as_published(box):
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype("uint8")
    image = cv2.GaussianBlur(image, (9, 9), 3)
    expected = published_patch(image, box)
    patch = face_patch(image, box, jpeg=False)
    assert patch.shape == (227, 227, 3)
    np.testing.assert_array_equal(patch, expected)
    compressed = face_patch(image, box)
    bgr = cv2.imdecode(cv2.imencode(".jpg", expected[..., ::-1])[1], cv2.IMREAD_COLOR)  # OpenCV's own default quality
    np.testing.assert_array_equal(compressed, bgr[..., ::-1])
    assert not np.array_equal(compressed, patch)


@pytest.mark.parametrize("box", [(10, 10, 10, 20), (20, 10, 10, 20), (10, 10, float("nan"), 20)])
def test_an_empty_box(box):
    with pytest.raises(ValueError, match=r"right > left.*Received"):
        face_patch(np.zeros((50, 50, 3), np.uint8), box)


# -- the registry and the extractor -------------------------------------------------------------------------------------------


@pytest.fixture
def published(variables, tmp_path, monkeypatch):
    """The two archives of the release, unpacked in a folder of weights."""
    monkeypatch.setenv("ABAW_TF_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(checkpoints, "DEFAULT_FOLDER", tmp_path / "cache")
    write_checkpoint(tmp_path / "weights" / "Expression_Model" / "ini_exprNet_model.ckpt", variables)
    (tmp_path / "weights" / "Shape_Model").mkdir()
    rng = np.random.default_rng(3)
    means = {"Shape_Model/3DMM_shape_mean.npy": "shape", "Expression_Model/3DMM_expr_mean.npy": "expression"}
    for file in means:
        np.save(tmp_path / "weights" / file, rng.uniform(80, 160, (3, SIDE, SIDE)).astype("float32"))
    return {means[file]: np.load(tmp_path / "weights" / file).transpose(1, 2, 0) for file in means}


@pytest.mark.parametrize("name", ["expnet", "expnet_shape_mean", "expnet_expression_mean"])
def test_offline_it_says_what_to_unpack_where(name, tmp_path, monkeypatch):
    monkeypatch.delenv("ABAW_TF_WEIGHTS", raising=False)
    monkeypatch.setattr(checkpoints, "DEFAULT_FOLDER", tmp_path / "cache")
    entry = REGISTRY[name]
    message = f"{re.escape(entry.url)} and unpack it in {tmp_path / 'cache'} or .*, as {re.escape(entry.file)}"
    with pytest.raises(FileNotFoundError, match=message):
        locate(name)


def test_either_mean_image(published, variables):
    """The published code subtracts the identity network's mean; the other one is an option, and another store."""
    patches = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3)).astype("uint8")
    hashes = set()
    for mean, image in published.items():
        model = build_expnet(**SMALL, mean_image=mean, weights="expnet")
        features, _ = reference(variables, patches[..., ::-1].astype("float32") - image)
        np.testing.assert_allclose(model(patches), features, rtol=1e-4, atol=1e-4)
        hashes.add(KerasExtractor(model).weights_hash)
    assert len(hashes) == 2
    assert build_expnet(blocks=BLOCKS, width=WIDTH, mean_image="shape").input_shape == (None, 227, 227, 3)


def test_the_extractor_is_the_published_network(published, tmp_path):
    """By its name it builds the network of the builder's defaults, the full one, with the identity network's mean."""
    asked = []

    def smaller(**options):
        asked.append(options)
        return build_expnet(blocks=BLOCKS, width=WIDTH, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expnet, "build_expnet", smaller)
        extractor = make_extractor("expnet")
    assert asked == [{"weights": "expnet", "mean_image": "shape"}]
    assert (extractor.name, extractor.dim, extractor.color_order) == ("expnet", 32 * WIDTH, "bgr")
    extractor = make_extractor("expnet_small")
    assert (extractor.dim, extractor.input_size, extractor.color_order) == (512, (112, 112), "bgr")
    (tmp_path / "weights" / "Shape_Model" / "3DMM_shape_mean.npy").unlink()
    with pytest.raises(FileNotFoundError, match="Shape_Model"):
        make_extractor("expnet")


def test_a_mean_image_that_is_none(tmp_path):
    (tmp_path / "mean.npy").write_text("<html>quota exceeded</html>")
    with pytest.raises(ValueError, match=r"mean\.npy: not an array file.*Received"):
        read_mean_image(tmp_path / "mean.npy")
    np.save(tmp_path / "mean.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="not an array file"):
        read_mean_image(tmp_path / "mean.npy")
