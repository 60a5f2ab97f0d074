"""VGG-Face for expressions: published sizes, preprocessing, weight files against an independent network in NumPy."""

import h5py
import keras
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from scipy.signal import correlate

from abaw_tf import labels
from abaw_tf.backbones.vgg_fer import AVERAGE_RGB, VggFerPreprocessing, build_vgg_fer, preprocess

SMALL = {"image_size": 64, "width": 2, "fc_units": 8}
CONVOLUTIONS = [f"conv{b}_{i}" for b, n in ((1, 2), (2, 2), (3, 3), (4, 3), (5, 3)) for i in range(1, n + 1)]


def images(n=2, size=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3)).astype("uint8")


def outputs(model, layer, x):
    model = keras.Model(model.input, model.get_layer(layer).output)
    model.jit_compile = False
    return np.asarray(model(x, training=False))


# -- the graph -----------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("without_values")
def test_the_published_size():
    model = build_vgg_fer(classes=2622)
    assert model.count_params() == 145_002_878 + 3  # VGG-Face, and the means that are subtracted
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == 145_002_878
    assert model.input_shape == (None, 224, 224, 3)
    assert model.get_layer("pool5").output.shape == (None, 7, 7, 512)
    assert model.get_layer("fc6").output.shape == model.get_layer("relu6").output.shape == (None, 4096)


def test_the_layers_are_those_37_of_matconvnet():
    model = build_vgg_fer(**SMALL)
    names = [layer.name for layer in model.layers if layer.name not in ("image", "preprocessing", "flatten")]
    assert len(names) == 37
    assert names.index("fc6") + 1 == 32, "whose result is MatConvNet's 33rd"
    assert names.index("relu6") + 1 == 33
    assert names[-1] == "prob"
    assert not [name for name in names if "/" in name]
    fc6 = outputs(model, "fc6", images())
    assert (fc6 < 0).any()
    np.testing.assert_array_equal(outputs(model, "relu6", images()), np.maximum(fc6, 0))


def test_dropout_acts_in_training_after_both_dense_layers():
    model = build_vgg_fer(**SMALL, dropout=0.5)
    assert [layer.name for layer in model.layers if layer.name.startswith("dropout")] == ["dropout6", "dropout7"]
    once, twice = (np.asarray(model(images(), training=True)) for _ in range(2))
    assert np.abs(once - twice).max() > 0
    np.testing.assert_array_equal(model(images(), training=False), model(images(), training=False))


def test_saving_keeps_the_average_image(tmp_path):
    path = write_matconvnet(tmp_path / "x.mat", network(), np.random.default_rng(3).uniform(0, 255, (40, 40, 3)))
    model = build_vgg_fer(**SMALL, input_size=40, weights=path)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(again(images(size=40)), model(images(size=40)), atol=1e-6)
    np.testing.assert_array_equal(
        again.get_layer("preprocessing").average_image, model.get_layer("preprocessing").average_image
    )


def test_mixed_precision_keeps_pixels_and_probabilities_exact():
    exact = build_vgg_fer(**SMALL)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        mixed = build_vgg_fer(**SMALL)
    finally:
        keras.config.set_dtype_policy("float32")
    mixed.set_weights(exact.get_weights())
    assert mixed.get_layer("conv1_1").compute_dtype == "float16"
    assert mixed.get_layer("preprocessing").average_image.dtype == "float32"
    probabilities = mixed(images())
    assert keras.backend.standardize_dtype(probabilities.dtype) == "float32"
    np.testing.assert_allclose(probabilities, exact(images()), atol=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 1}, "`classes` must be at least 2"),
        ({"image_size": 31}, "`image_size` must be at least 32"),
        ({"classes": 0}, "`classes` must be at least 2"),
        ({"class_order": "fer2013"}, "give `weights` with it"),
        ({"input_size": 0}, "`input_size` must be at least 1"),
        ({"width": 0}, "`width`"),
        ({"fc_units": 0}, "`fc_units`"),
        ({"dropout": 1.0}, "`dropout`"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=f"{message}.*Received"):
        build_vgg_fer(**{**SMALL, **options})


# -- preprocessing -------------------------------------------------------------------------------------------------------------


def imresize(image, size):
    """MATLAB's imresize: Pillow has the same kernel, and where it cuts off the border MATLAB mirrors the picture."""
    height, width = image.shape[:2]
    channels = []
    for channel in np.moveaxis(image, -1, 0).astype("float32"):
        padded = Image.fromarray(np.pad(channel, ((height, height), (width, width)), mode="symmetric"))
        box = (width, height, 2 * width, 2 * height)
        channels.append(np.asarray(padded.resize(size[::-1], Image.Resampling.BICUBIC, box)))
    return np.stack(channels, axis=-1)


@pytest.mark.parametrize(("source", "size"), [((112, 112), (224, 224)), ((48, 31), (64, 90)), ((100, 150), (64, 32))])
def test_images_are_resized_as_in_matlab(source, size):
    image = np.random.default_rng(0).integers(0, 256, (*source, 3)).astype("uint8")
    expected = imresize(image - np.array(AVERAGE_RGB), size)
    found = np.asarray(preprocess(image[None], size=size))[0]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_images_of_the_right_size_only_lose_the_average():
    x = images()
    expected = x - np.array([129.1863, 104.7624, 93.5940])
    np.testing.assert_allclose(preprocess(x, size=(64, 64)), expected, atol=1e-4)
    np.testing.assert_allclose(VggFerPreprocessing((64, 64))(x), expected, atol=1e-4)


def test_resizing_overshoots_unclipped():
    x = np.zeros((1, 32, 32, 3), "uint8")
    x[:, :, 16:] = 255
    found = np.asarray(preprocess(x, (0, 0, 0), (64, 64)))
    assert found.min() < -1
    assert found.max() > 256


def test_preprocessing_wants_a_batch_of_three_channels():
    with pytest.raises(ValueError, match=r"batch, height, width, 3.*Received: shape=\(2, 8, 8, 1\)"):
        preprocess(np.zeros((2, 8, 8, 1)))


# -- weight files --------------------------------------------------------------------------------------------------------------


def network(classes=7, width=2, fc=8, side=2, seed=0):
    """Filters (height, width, in, out) and biases of the 16 layers, as MatConvNet holds them for red, green, blue."""
    rng = np.random.default_rng(seed)
    widths = [width * factor for factor in (1, 1, 2, 2, *[4] * 3, *[8] * 6)]
    shapes = [(3, 3, *pair) for pair in zip([3, *widths], widths)]
    shapes += [(side, side, 8 * width, fc), (1, 1, fc, fc), (1, 1, fc, classes)]
    filters = [rng.normal(0, np.sqrt(2 / np.prod(shape[:3])), shape) for shape in shapes]
    filters[0] /= 50  # of pixels in the hundreds
    return [(f.astype("float32"), rng.normal(0, 0.2, f.shape[-1]).astype("float32")) for f in filters]


def cell(items):
    array = np.empty((1, len(items)), object)
    array[0, :] = items
    return array


def write_matconvnet(path, layers, average_image, classes=None, dropout=False):
    structs, pairs = [], iter(layers)
    for block, count in enumerate((2, 2, 3, 3, 3), start=1):
        for i in range(1, count + 1):
            structs.append({"name": f"conv{block}_{i}", "type": "conv", "weights": cell(next(pairs)), "pad": [1.0] * 4})
            structs.append({"name": f"relu{block}_{i}", "type": "relu"})
        structs.append({"name": f"pool{block}", "type": "pool", "method": "max", "pool": [2.0, 2.0]})
    for name in ("6", "7"):
        structs.append({"name": f"fc{name}", "type": "conv", "weights": cell(next(pairs))})
        structs.append({"name": f"relu{name}", "type": "relu"})
        structs += [{"name": f"drop{name}", "type": "dropout", "rate": 0.5}] if dropout else []
    structs += [{"name": "predictions", "type": "conv", "weights": cell(next(pairs))}, {"type": "softmaxloss"}]
    meta = {"normalization": {"averageImage": np.asarray(average_image, "float32")}}
    if classes is not None:
        meta["classes"] = {"name": cell(list(classes))}
    savemat(path, {"layers": cell(structs), "meta": meta})
    return path


def write_keras_vggface(path, layers):
    """The layout of keras-vggface, for blue, green, red; dense layers are those of the flattened maps."""
    with h5py.File(path, "w") as file:
        names = [*CONVOLUTIONS, "fc6", "fc6/relu", "fc7", "fc7/relu", "fc8", "fc8/softmax"]
        file.attrs["layer_names"] = [name.encode() for name in names]
        pairs = iter(layers)
        for name in names:
            group = file.create_group(name)
            if "/" in name:
                group.attrs["weight_names"] = np.array([], "S1")
                continue
            kernel, bias = next(pairs)
            kernel = kernel[:, :, ::-1] if name == "conv1_1" else kernel
            kernel = kernel.reshape(-1, kernel.shape[-1]) if name.startswith("fc") else kernel
            group.attrs["weight_names"] = [f"{name}/{kind}:0".encode() for kind in ("kernel", "bias")]
            group[f"{name}/kernel:0"], group[f"{name}/bias:0"] = kernel, bias
    return path


def forward(layers, x):
    """The network in NumPy, from mean-free images: {"fc6": …, "relu6": …, "prob": …}."""
    found, pairs = {"fc6": [], "relu6": [], "prob": []}, list(layers)
    for image in np.asarray(x, np.float64):
        maps, convolutions = image, iter(pairs)
        for count in (2, 2, 3, 3, 3):
            for _ in range(count):
                maps = np.maximum(convolve(np.pad(maps, ((1, 1), (1, 1), (0, 0))), *next(convolutions)), 0)
            height, width, channels = maps.shape
            maps = maps.reshape(height // 2, 2, width // 2, 2, channels).max(axis=(1, 3))
        fc6 = convolve(maps, *next(convolutions))
        fc7 = convolve(np.maximum(fc6, 0), *next(convolutions))
        fc8 = convolve(np.maximum(fc7, 0), *next(convolutions)).reshape(-1)
        found["fc6"].append(fc6.reshape(-1))
        found["relu6"].append(np.maximum(fc6, 0).reshape(-1))
        found["prob"].append(np.exp(fc8 - fc8.max()) / np.exp(fc8 - fc8.max()).sum())
    return {name: np.stack(values) for name, values in found.items()}


def convolve(maps, filters, biases):
    return np.stack(
        [correlate(maps, filters[..., o].astype(np.float64), "valid")[..., 0] + biases[o] for o in range(len(biases))],
        -1,
    )


FER = ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Neutral")


def official(probabilities, order=FER):
    return probabilities[:, [order.index(name) for name in labels.EXPRESSIONS_7]]


def test_a_matconvnet_file_gives_its_network(tmp_path):
    layers = network()
    average = np.array([120.0, 110.0, 90.0])
    path = write_matconvnet(tmp_path / "vggfer.mat", layers, average.reshape(1, 1, 3), dropout=True)
    model = build_vgg_fer(**SMALL, weights=path)
    expected = forward(layers, images() - average)
    assert expected["fc6"].std() > 0.1  # the comparison says something
    assert np.abs(np.diff(expected["prob"], axis=0)).max() > 1e-3
    np.testing.assert_allclose(outputs(model, "fc6", images()), expected["fc6"], atol=1e-5)
    np.testing.assert_allclose(outputs(model, "relu6", images()), expected["relu6"], atol=1e-5)
    np.testing.assert_allclose(model(images()), official(expected["prob"]), atol=1e-5)


@pytest.mark.parametrize("pixels", [64, 32])
def test_an_average_image_of_many_pixels_is_subtracted_before_resizing(tmp_path, pixels):
    layers, rng = network(), np.random.default_rng(5)
    average = rng.uniform(50, 200, (pixels, pixels, 3)).astype("float32")
    path = write_matconvnet(tmp_path / "vggfer.mat", layers, average)
    model = build_vgg_fer(**SMALL, input_size=pixels, weights=path)
    x = images(size=pixels)
    seen = np.stack([imresize(image - average, (64, 64)) for image in x])
    np.testing.assert_allclose(outputs(model, "fc6", x), forward(layers, seen)["fc6"], atol=1e-4)


def test_a_keras_vggface_file_gives_the_same_network(tmp_path):
    layers = network(classes=5)
    model = build_vgg_fer(**SMALL, weights=write_keras_vggface(tmp_path / "vgg16.h5", layers))
    expected = forward(layers, images() - np.array([129.1863, 104.7624, 93.5940]))
    np.testing.assert_allclose(outputs(model, "fc6", images()), expected["fc6"], atol=1e-5)
    np.testing.assert_allclose(model(images()), expected["prob"], atol=1e-5)


@pytest.mark.parametrize(
    ("stated", "asked", "order"),
    [
        (None, None, FER),
        (["Aamir Khan", "Aaron Staton"], None, FER),  # what VGG-Face had been trained for
        ([str(i) for i in range(7)], None, FER),
        (["neutral", "happy", "sad", "angry", "fear", "disgust", "surprise"], None, "stated"),
        (["neutral", "happy", "sad", "angry", "fear", "disgust", "surprise"], "alphabetical", "alphabetical"),
    ],
)
def test_expressions_come_in_the_official_order(tmp_path, stated, asked, order):
    layers = network()
    path = write_matconvnet(tmp_path / "vggfer.mat", layers, [129.0, 104.0, 93.0], stated)
    model = build_vgg_fer(**SMALL, weights=path, class_order=asked)
    order = labels.class_order(stated) if order == "stated" else labels.class_order(order)
    expected = official(forward(layers, images() - np.array([129.0, 104.0, 93.0]))["prob"], order)
    np.testing.assert_allclose(model(images()), expected, atol=1e-5)


def test_another_number_of_classes_gets_a_new_head(tmp_path):
    path = write_matconvnet(tmp_path / "vgg-face.mat", network(classes=20), [1.0, 2.0, 3.0])
    known, new = build_vgg_fer(**SMALL, weights=path), build_vgg_fer(**SMALL, weights=path, classes=7)
    assert known.output_shape == (None, 20)
    np.testing.assert_array_equal(outputs(known, "relu7", images()), outputs(new, "relu7", images()))
    assert new.output_shape == (None, 7)
    with pytest.raises(ValueError, match=r"`class_order` is for files with 7 outputs\. Received: 20 outputs"):
        build_vgg_fer(**SMALL, weights=path, class_order="fer2013")


def test_files_of_other_networks_are_refused(tmp_path):
    whole = network()
    path = write_matconvnet(tmp_path / "x.mat", whole, [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"x\.mat: layer fc6 has another size.*`image_size`.*Received"):
        build_vgg_fer(**{**SMALL, "image_size": 96}, weights=path)
    with pytest.raises(ValueError, match="layer conv1_1 has another size"):
        build_vgg_fer(**{**SMALL, "width": 4}, weights=path)
    short = [{"name": "c", "type": "conv", "weights": cell(whole[0])}]
    savemat(tmp_path / "short.mat", {"layers": cell(short)})
    with pytest.raises(ValueError, match=r"not the network VGG-Face, which has 16 convolutions.*Received: 1 layers"):
        build_vgg_fer(**SMALL, weights=tmp_path / "short.mat")
    path = write_keras_vggface(tmp_path / "notop.h5", whole)
    with h5py.File(path, "a") as file:
        file.attrs["layer_names"] = [name.encode() for name in CONVOLUTIONS]
    with pytest.raises(ValueError, match=r"rcmalli_vggface_tf_vgg16\.h5 \(those with `notop` lack fc6\).*fc6"):
        build_vgg_fer(**SMALL, weights=path)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    broken = [(np.array(filters), np.array(biases)) for filters, biases in network()]
    broken[4][1][0] = np.nan
    path = write_matconvnet(tmp_path / "x.mat", broken, [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"x\.mat: weights must be finite.*Received: 1 of \d+ values of conv3_1/bias"):
        build_vgg_fer(**SMALL, weights=path)


def test_published_files_are_found_or_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("ABAW_TF_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(FileNotFoundError, match=r"by hand from the page, https://drive\.google\.com.*vggfer\.mat"):
        build_vgg_fer(weights="vgg_fer")
    layers = network()
    write_matconvnet(tmp_path / "vggfer.mat", layers, [120.0, 110.0, 90.0])
    model = build_vgg_fer(**SMALL, weights="vgg_fer")
    expected = official(forward(layers, images() - np.array([120.0, 110.0, 90.0]))["prob"])
    np.testing.assert_allclose(model(images()), expected, atol=1e-5)
