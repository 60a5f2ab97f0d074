"""The native networks against the original ones, which run under tf-keras in a process of their own.

Slow, all of it: the original has one size, and its process imports TensorFlow anew. Quick tests of the same graph, weights and
preprocessing, against values that are worked out by hand, are `tests/backbones/test_backbones_vggface2.py`.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from abaw_tf.backbones.checkpoints import load_hdf5_weights
from abaw_tf.backbones.fer_xception import build_big_xception, build_mini_xception
from abaw_tf.backbones.vgg_fer import build_vgg_fer
from abaw_tf.backbones.vggface2 import VggFacePreprocessing, build_vggface2_resnet50, preprocess

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).with_name("keras_vggface_reference.py")


def run_reference(mode, out, *arguments):
    """Run the reference script; skip where an original is not installed."""
    for package in ("tf_keras",) if mode == "model" else ("tf_keras", "keras_vggface", "keras_applications"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'abaw_tf[vggface]'")
    command = [sys.executable, str(SCRIPT), mode, str(out), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """The networks without and with their top, of one process: weights and arrays of the reference by name."""
    out = tmp_path_factory.mktemp("vggface")
    run_reference("vggface", out)
    return {name: (out / name / "weights.h5", np.load(out / name / "reference.npz")) for name in ("notop", "top")}


@pytest.fixture
def notop(references):
    return references["notop"]


@pytest.fixture
def top(references):
    return references["top"]


def largest_difference(received, expected, record_property):
    difference = float(np.abs(np.asarray(received) - expected).max())
    record_property("largest_difference", difference)
    print(f"largest difference {difference:.3g}; reference {expected.min():.3g} … {expected.max():.3g}")
    return difference


def test_features_equal_the_original(notop, record_property):
    path, reference = notop
    model = build_vggface2_resnet50("keras_vggface")
    assert model.count_params() == reference["parameters"]
    load_hdf5_weights(model, path)
    features = model.predict_on_batch(reference["preprocessed_v2"])
    assert reference["outputs"].std() > 0.1  # the comparison says something
    assert largest_difference(features, reference["outputs"], record_property) < 1e-4


def test_features_from_rgb_equal_the_original(notop, record_property):
    path, reference = notop
    model = build_vggface2_resnet50("keras_vggface", preprocessing=2, weights=path)
    features = model.predict_on_batch(reference["images"])
    assert largest_difference(features, reference["outputs"], record_property) < 1e-4


@pytest.mark.parametrize("version", [1, 2])
def test_preprocessing_equals_the_original(notop, version):
    reference = notop[1]
    expected = reference[f"preprocessed_v{version}"]
    np.testing.assert_allclose(preprocess(reference["images"], version), expected, atol=1e-4)
    np.testing.assert_allclose(VggFacePreprocessing(version)(reference["images"]), expected, atol=1e-4)
    # The original cannot subtract in place from integers; ours converts them first.
    rounded = reference["images"].astype("uint8")
    np.testing.assert_allclose(preprocess(rounded, version), preprocess(rounded.astype("float32"), version))


def test_identities_equal_the_original(top, record_property):
    path, reference = top
    model = build_vggface2_resnet50("keras_vggface", include_top=True)
    assert model.count_params() == reference["parameters"]
    load_hdf5_weights(model, path)
    probabilities = model.predict_on_batch(reference["preprocessed_v2"])
    assert reference["outputs"].max() > 10 / 8631  # not a uniform distribution
    assert largest_difference(probabilities, reference["outputs"], record_property) < 1e-4
    np.testing.assert_array_equal(np.argsort(probabilities)[:, -5:], np.argsort(reference["outputs"])[:, -5:])


def test_a_file_with_its_top_feeds_the_network_without(top):
    path, _ = top
    model = build_vggface2_resnet50("keras_vggface")
    with pytest.raises(ValueError, match=r"1 layer\(s\) unexpected in the file: classifier"):
        load_hdf5_weights(model, path)
    report = load_hdf5_weights(model, path, skip_mismatch=True)
    assert report.unexpected == ["classifier"]
    assert not report.missing
    assert len(report.loaded) == 106


def test_vgg_face_equals_the_original(tmp_path, record_property):
    run_reference("vgg16", tmp_path)
    reference = np.load(tmp_path / "reference.npz")
    with keras.StatelessScope(initialize_variables=False):
        published = build_vgg_fer(classes=2622)
    assert published.count_params() == reference["parameters"] + 3  # the means, which the original leaves outside
    model = build_vgg_fer(image_size=64, weights=tmp_path / "weights.h5", class_order="affwild2")
    names = {"pool5": "pool5", "fc6": "fc6", "relu6": "fc6_relu", "fc7": "fc7", "fc8": "fc8", "prob": "fc8_softmax"}
    inner = keras.Model(model.input, {name: model.get_layer(name).output for name in names})
    for name, values in inner.predict_on_batch(reference["images"]).items():
        expected = reference[names[name]]
        assert expected.std() > 0.01, "the comparison says something"
        assert largest_difference(values, expected, record_property) < 1e-4


@pytest.mark.parametrize(
    ("build", "file"),
    [
        (build_mini_xception, "fer2013_mini_XCEPTION.102-0.66.hdf5"),
        (build_big_xception, "fer2013_big_XCEPTION.54-0.66.hdf5"),
    ],
)
def test_xception_equals_the_published_model(build, file, realdata, tmp_path, record_property):
    path = realdata / "models" / "oarriaga_fer" / file
    run_reference("model", tmp_path, path)
    reference = np.load(tmp_path / "reference.npz")
    model = build(weights=path)
    assert model.count_params() == reference["parameters"]
    probabilities = model.predict_on_batch(reference["inputs"])
    assert reference["outputs"].std(axis=0).max() > 1e-3  # differs from input to input
    assert largest_difference(probabilities, reference["outputs"], record_property) < 1e-4
