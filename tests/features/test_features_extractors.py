"""Networks as extractors: what they take, what tells them apart."""

import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from abaw_tf.backbones import fer_xception
from abaw_tf.backbones.expnet import ExpNetPreprocessing
from abaw_tf.backbones.vgg_fer import VggFerPreprocessing
from abaw_tf.backbones.vggface2 import VggFacePreprocessing, build_vggface2_resnet50, preprocess
from abaw_tf.features.extract import store_of
from abaw_tf.features.extractors import EXTRACTORS, KerasExtractor, make_extractor, weights_hash
from abaw_tf.models.layers import FixedBatchNormalization

SMALL = {"blocks": (1, 1, 1, 1), "width": 4, "input_shape": (48, 48, 3)}


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3)).astype("uint8")


def test_features_are_those_of_the_network(images):
    network = build_vggface2_resnet50(**SMALL)
    inside = KerasExtractor(build_with(network, preprocessing=2))
    outside = KerasExtractor(network, preprocess=preprocess, preprocess_name="v2", color_order="bgr")
    expected = np.asarray(network(preprocess(images)))
    for extractor in (inside, outside):
        features = extractor(images)
        assert features.dtype == np.float32
        assert features.shape == (3, extractor.dim) == (3, 128)
        assert extractor.input_size == (48, 48)
        np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4)


def build_with(network, **options):
    model = build_vggface2_resnet50(**SMALL, **options)
    model.set_weights(network.get_weights())
    return model


def test_any_layer_and_maps_are_averaged(images):
    network = build_vggface2_resnet50(**SMALL, preprocessing=2)
    extractor = KerasExtractor(network, layer="conv3_1_relu")
    maps = keras.Model(network.inputs, network.get_layer("conv3_1_relu").output)([images])
    np.testing.assert_allclose(extractor(images), np.asarray(maps).mean(axis=(1, 2)), rtol=1e-4, atol=1e-4)


def test_what_changes_the_output_changes_the_store(tmp_path):
    network = build_vggface2_resnet50(**SMALL, preprocessing=2)
    twin = build_with(network, preprocessing=2)
    folder = store_of(KerasExtractor(network, name="x"), tmp_path).folder
    assert store_of(KerasExtractor(twin, name="x"), tmp_path).folder == folder
    others = [
        KerasExtractor(build_with(network, preprocessing=1), name="x"),
        KerasExtractor(build_with(network, preprocessing=2, pooling="max"), name="x"),
        KerasExtractor(network, layer="conv3_1_relu", name="x"),
        KerasExtractor(network, preprocess=lambda x: x, preprocess_name="twice", name="x"),
    ]
    twin.get_layer("conv1_7x7_s2").kernel.assign_add(np.full((7, 7, 3, 4), 1e-6, "float32"))
    others.append(KerasExtractor(twin, name="x"))
    assert len({store_of(other, tmp_path).folder for other in others} | {folder}) == 6


def test_a_saved_model_has_the_same_store(tmp_path):
    network = build_vggface2_resnet50(**SMALL, preprocessing=2)
    network.save(tmp_path / "m.keras")
    first = make_extractor("keras", tmp_path / "m.keras")
    second = KerasExtractor(network, name=first.name)
    assert store_of(first, tmp_path).folder == store_of(second, tmp_path).folder
    assert weights_hash(network) == first.weights_hash


LOADED = """
import sys
from abaw_tf.features.extractors import make_extractor
for path in sys.argv[1:]:
    print(make_extractor("keras", path, "features").weights_hash)
"""


@pytest.mark.slow  # a process that imports TensorFlow anew
def test_models_with_layers_of_the_toolkit_are_read_in_a_new_process(tmp_path):
    """Keras knows a layer only once its module is imported."""
    images, hashes = keras.Input((32, 32, 3)), []
    own_layers = (
        VggFacePreprocessing(),
        VggFerPreprocessing((32, 32)),
        ExpNetPreprocessing((32, 32), np.zeros((32, 32, 3))),
        FixedBatchNormalization(),
    )
    for number, own in enumerate(own_layers):
        x = keras.layers.Conv2D(2, 3, name="convolution")(own(images))
        x = keras.layers.GlobalAveragePooling2D(name="features")(x)
        model = keras.Model(images, x)
        model.save(tmp_path / f"{number}.keras")
        hashes.append(weights_hash(model))
    paths = [str(tmp_path / f"{number}.keras") for number in range(len(hashes))]
    done = subprocess.run([sys.executable, "-c", LOADED, *paths], capture_output=True, text=True, check=False)
    assert done.stdout.split() == hashes, done.stderr[-2000:]


def test_a_file_that_is_no_model_is_named(tmp_path):
    path = tmp_path / "m.keras"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=r"m\.keras: not a model that Keras can read.*Received: "):
        make_extractor("keras", path)
    keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]).save(tmp_path / "known.keras")
    with zipfile.ZipFile(tmp_path / "known.keras") as known, zipfile.ZipFile(path, "w") as unknown:
        for name in known.namelist():
            content = known.read(name)
            if name == "config.json":
                content = content.replace(b'"Flatten"', b'"Crumple"').replace(b'"keras.layers"', b'"origami"')
            unknown.writestr(name, content)
    with pytest.raises(
        ValueError, match=r"m\.keras: not a model .*; layers of your own must be registered.*Received: "
    ):
        make_extractor("keras", path)


FULL_SIZE = ("vggface2", "expnet")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in FULL_SIZE else ())
        for name in EXTRACTORS
        if name not in ("keras", "vggface2_weidi_xie", "vgg_fer")  # the last one has a test of its own
    ],
)
def test_every_registered_network_runs_untrained(name):
    extractor = make_extractor(name, weights="random")
    assert extractor.name == name
    faces = np.random.default_rng(1).integers(0, 256, (2, *extractor.input_size, 3)).astype("uint8")
    features = extractor(faces)
    assert features.shape == (2, extractor.dim)
    assert np.isfinite(features.astype(np.float16)).all(), "untrained features fit into float16"
    assert np.abs(features[0] - features[1]).max() > 1e-3
    if name != "vggface2":  # for the sake of time
        assert make_extractor(name, weights="random").weights_hash == extractor.weights_hash, "the seed is fixed"


def test_vgg_fer_features_come_from_before_or_after_the_relu():
    before, after = (make_extractor("vgg_fer_small", layer=layer) for layer in (None, "relu6"))
    faces = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3)).astype("uint8")
    assert before.layer == "fc6"
    assert before.dim == after.dim == 256
    assert (before(faces) < 0).any()
    np.testing.assert_allclose(after(faces), np.maximum(before(faces), 0), atol=1e-5)


@pytest.mark.slow
def test_vgg_fer_takes_aligned_crops_as_they_are():
    extractor = make_extractor("vgg_fer", weights="random")
    faces = np.random.default_rng(1).integers(0, 256, (2, 112, 112, 3)).astype("uint8")
    assert extractor(faces).shape == (2, extractor.dim) == (2, 4096)


def test_fer_features_lead_to_the_published_probabilities(realdata, monkeypatch):
    monkeypatch.setenv("ABAW_TF_WEIGHTS", str(realdata / "models" / "oarriaga_fer"))
    faces = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3)).astype("uint8")
    model = fer_xception.build_mini_xception(weights="fer2013_mini_xception")
    expected = np.asarray(model(fer_xception.preprocess(faces)))
    np.testing.assert_allclose(make_extractor("fer_xception", layer="predictions")(faces), expected, atol=1e-5)
    assert make_extractor("fer_xception").dim == 128
    assert make_extractor("fer_big_xception").dim == 256


def test_wrong_requests(tmp_path, monkeypatch):
    monkeypatch.setenv("ABAW_TF_WEIGHTS", str(tmp_path))
    network = build_vggface2_resnet50(**SMALL)
    with pytest.raises(ValueError, match=r"did you mean 'vggface2'\?.*Received: 'vgface2'"):
        make_extractor("vgface2")
    with pytest.raises(ValueError, match="needs weights"):
        make_extractor("keras")
    with pytest.raises(FileNotFoundError, match="rcmalli_vggface_tf_notop_resnet50"):
        make_extractor("vggface2")
    with pytest.raises(
        ValueError, match=r"no layer of that name; near ones: conv3_1_relu.*Received: layer='conv3_relu'"
    ):
        KerasExtractor(network, layer="conv3_relu")
    with pytest.raises(ValueError, match="`preprocess_name` is required"):
        KerasExtractor(network, preprocess=preprocess)
    several = keras.Model(network.inputs, {"a": network.output, "b": network.get_layer("conv3_1_relu").output})
    with pytest.raises(ValueError, match="choose a `layer`"):
        KerasExtractor(several)
    assert KerasExtractor(several, layer="conv3_1_relu").dim == 32
    sequence = keras.Sequential([keras.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D()])
    with pytest.raises(ValueError, match=r"one image input .* of fixed size"):
        KerasExtractor(sequence)
