"""VGGFace2 ResNet-50: published sizes, reduced sizes, preprocessing."""

import keras
import numpy as np
import pytest

from abaw_tf.backbones.vggface2 import VggFacePreprocessing, build_vggface2_resnet50, preprocess

SMALL = {"blocks": (1, 1, 1, 1), "width": 4, "input_shape": (48, 64, 3)}


@pytest.fixture(scope="module", autouse=True)
def _clear():  # once: it collects garbage, which takes longer than most tests here
    yield
    keras.backend.clear_session()


@pytest.mark.parametrize(
    ("variant", "parameters", "without_top", "width"),
    [
        ("weidi_xie", 27_771_840, 27_757_504, 7),  # both: stored summaries of Do et al.
        ("keras_vggface", 41_246_071, 23_561_152, 8631),
    ],
)
@pytest.mark.usefixtures("without_values")
def test_published_sizes(variant, parameters, without_top, width):
    """At full size, and of Do et al.'s network what their fine-tuning leaves frozen."""
    model = build_vggface2_resnet50(variant, include_top=True)
    assert model.count_params() == parameters
    assert model.count_params() - model.layers[-1].count_params() == without_top
    assert model.layers[-1].input.shape == (None, 2048)
    assert model.output_shape == (None, width)
    assert model.get_layer("pool1").output.shape[1:3] == (55, 55)
    assert not [layer.name for layer in model.layers if "/" in layer.name]
    if variant != "weidi_xie":
        return
    # Do et al. train from conv4_1_1x1_reduce on; their summary says 1,498,048 non-trainable parameters.
    for layer in model.layers:
        if layer.name == "conv4_1_1x1_reduce":
            break
        layer.trainable = False
    assert sum(int(np.prod(weight.shape)) for weight in model.non_trainable_weights) == 1_498_048


@pytest.mark.parametrize("variant", ["weidi_xie", "keras_vggface"])
def test_without_its_top_it_is_the_same_network(variant):
    whole = build_vggface2_resnet50(variant, include_top=True, **SMALL)
    features = build_vggface2_resnet50(variant, **SMALL)
    weighted = [[layer.name for layer in model.layers if layer.weights] for model in (whole, features)]
    assert weighted[0] == [*weighted[1], whole.layers[-1].name]
    assert whole.count_params() == features.count_params() + whole.layers[-1].count_params()


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (None, 128)),
        ({"pooling": "max"}, (None, 128)),
        ({"pooling": None}, (None, 1, 1, 128)),
        ({"include_top": True, "classes": 5}, (None, 5)),
        ({"variant": "weidi_xie"}, (None, 128)),
        ({"variant": "weidi_xie", "include_top": True}, (None, 7)),
    ],
)
def test_reduced_sizes_save_and_reload(options, shape, tmp_path):
    model = build_vggface2_resnet50(**SMALL, preprocessing=2, **options)
    assert model.output_shape == shape
    images = np.random.default_rng(0).integers(0, 255, (3, 48, 64, 3)).astype("uint8")
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    outputs = np.asarray(model(images))
    np.testing.assert_allclose(again(images), outputs, atol=1e-6)
    if options.get("include_top"):
        np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=1e-5)


def test_the_stride_sits_on_the_first_convolution_of_a_stage():
    model = build_vggface2_resnet50(**SMALL)
    strides = {
        name: model.get_layer(f"conv3_1_{name}").strides for name in ("1x1_reduce", "3x3", "1x1_increase", "1x1_proj")
    }
    assert strides == {"1x1_reduce": (2, 2), "3x3": (1, 1), "1x1_increase": (1, 1), "1x1_proj": (2, 2)}
    assert not any(layer.use_bias for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    epsilons = {layer.epsilon for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)}
    assert epsilons == {1e-3}


def test_mixed_precision_keeps_pixels_and_probabilities_exact():
    images = np.random.default_rng(0).integers(0, 255, (2, 48, 64, 3)).astype("uint8")
    exact = build_vggface2_resnet50(**SMALL, variant="weidi_xie", include_top=True, preprocessing=2)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        mixed = build_vggface2_resnet50(**SMALL, variant="weidi_xie", include_top=True, preprocessing=2)
    finally:
        keras.config.set_dtype_policy("float32")
    mixed.set_weights(exact.get_weights())
    outputs = mixed(images)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
    np.testing.assert_allclose(outputs, exact(images), atol=0.02)


def test_l2_is_off_unless_asked_for():
    assert build_vggface2_resnet50(**SMALL).losses == []
    assert (
        len(build_vggface2_resnet50(**SMALL, l2=1e-4).losses) == 17
    )  # one per convolution: 1 + 4 blocks × (3 + projection)


@pytest.mark.parametrize(("version", "means"), [(1, (93.5940, 104.7624, 129.1863)), (2, (91.4953, 103.8827, 131.0912))])
def test_preprocessing_swaps_channels_and_subtracts(version, means):
    rgb = np.array([[[10, 20, 30]]], np.uint8)
    expected = np.array([30, 20, 10]) - np.array(means)
    np.testing.assert_allclose(np.asarray(preprocess(rgb, version))[0, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(preprocess(rgb.astype("float32"), version))[0, 0], expected, rtol=1e-6)
    assert rgb.tolist() == [[[10, 20, 30]]]
    layer = VggFacePreprocessing.from_config(VggFacePreprocessing(version).get_config())
    np.testing.assert_allclose(np.asarray(layer(rgb[None]))[0, 0, 0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "senet50"}, "`variant` must be one of"),
        ({"pooling": "mean"}, "`pooling` must be one of"),
        ({"input_shape": (224, 224)}, "`input_shape` must be"),
        ({"input_shape": (None, None, 3)}, "`input_shape` must be"),
        ({"input_shape": (224, 224, 1)}, "`input_shape` must be"),
        ({"input_shape": (16, 16, 3)}, "at least 32 pixels"),
        ({"blocks": (3, 4, 6)}, "`blocks` must hold four"),
        ({"width": 0}, "`width` must be positive"),
        ({"preprocessing": 3}, "must be 1 or 2"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=f"{message}.*Received"):
        build_vggface2_resnet50(**options)


def test_preprocessing_wants_three_channels():
    with pytest.raises(ValueError, match=r"3 channels.*Received: shape=\(2, 8, 8, 1\)"):
        preprocess(np.zeros((2, 8, 8, 1)))
    with pytest.raises(ValueError, match="must be 1 or 2"):
        preprocess(np.zeros((2, 8, 8, 3)), version=0)
