"""The frame CNN of Dresvyanskiy et al.: graph, sizes, contract."""

import keras
import numpy as np
import pytest
from model_contract import ModelContract, without_xla

from abaw_tf.backbones.vggface2 import build_vggface2_resnet50, preprocess
from abaw_tf.models.frame_cnn import build_frame_cnn
from abaw_tf.training import Recipe

SMALL = {"image_size": 32, "blocks": (1, 1, 1, 1), "width": 4, "units": 16}


class TestContract(ModelContract):
    outputs = {"expression": (7,)}  # noqa: RUF012

    def build(self):
        return build_frame_cnn(**SMALL)

    def inputs(self, n):
        return {"image": np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3)).astype("uint8")}


@pytest.mark.usefixtures("without_values")
def test_the_published_size():
    model = build_frame_cnn()
    trunk = build_vggface2_resnet50().count_params()
    assert model.input_shape == (None, 224, 224, 3)
    assert model.count_params() == trunk + 2048 * 1024 + 1024 + 1024 * 7 + 7
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.5, 0.5]
    assert model.get_layer("dense").output.shape == (None, 1024)


def test_outputs_are_probabilities_in_the_editions_classes():
    model = Recipe.from_preset("frame_cnn", "small", edition="abaw3", image_size=32, width=4).build()
    images = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3))
    p = without_xla(model).predict({"image": images}, verbose=0)["expression"]
    assert p.shape == (3, 8)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("version", [1, 2])
def test_the_preprocessing_is_inside(version):
    keras.utils.set_random_seed(1)
    model = build_frame_cnn(preprocessing_version=version, **SMALL)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    trunk = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    features = trunk(preprocess(images, version), training=False)
    hidden = model.get_layer("expression")(model.get_layer("dense")(features))
    p = model({"image": images}, training=False)["expression"]
    np.testing.assert_allclose(np.asarray(p), np.asarray(hidden), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"n_classes": 1}, "n_classes=1"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"dropout_layers": 3}, "dropout_layers=3"),
        ({"image_size": 16}, "32"),
        ({"preprocessing_version": 3}, "version"),
    ],
)
def test_wrong_arguments_are_named(arguments, word):
    with pytest.raises(ValueError, match=word):
        build_frame_cnn(**{**SMALL, **arguments})


def test_absent_weights_say_which_file_to_put_where(monkeypatch, tmp_path):
    monkeypatch.setenv("ABAW_TF_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"rcmalli_vggface_tf_notop_resnet50\.h5"):
        build_frame_cnn(weights="vggface2_resnet50")


def test_compiled_recipes_optimise_as_published():
    recipe = Recipe.from_preset("frame_cnn", "published_notebook", weights=None, image_size=32, width=4, units=8)
    model = recipe.build()
    recipe.compile(model)
    optimizer = model.optimizer
    assert isinstance(optimizer, keras.optimizers.AdamW)
    assert float(optimizer.learning_rate) == pytest.approx(1e-5)
    assert (optimizer.weight_decay, optimizer.amsgrad) == (1e-5, True)
