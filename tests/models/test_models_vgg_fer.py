"""VGG-FER as a classifier of expressions: contract, published size, weights to begin with, recipe."""

import keras
import numpy as np
import pytest
from model_contract import ModelContract
from scipy.io import savemat

from abaw_tf.backbones.vgg_fer import build_vgg_fer
from abaw_tf.models.vgg_fer import build_vgg_fer_model
from abaw_tf.training import Recipe, RecipeError

SMALL = {"image_size": 32, "width": 4, "fc_units": 16}


def images(n=3, size=32):
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3)).astype("uint8")


class TestContract(ModelContract):
    outputs = {"expression": (7,)}  # noqa: RUF012

    def build(self):
        return build_vgg_fer_model(**SMALL, dropout=0.0)

    def inputs(self, n):
        return {"image": images(n)}


@pytest.mark.usefixtures("without_values")
def test_the_published_size():
    model = build_vgg_fer_model()
    assert model.input["image"].shape == (None, 224, 224, 3)
    assert model.get_layer("fc6").output.shape == (None, 4096)
    # VGG-Face with 7 instead of 2,622 outputs, and its means
    assert model.count_params() == 145_002_878 - (2622 - 7) * 4097 + 3


def test_it_is_the_backbone_and_its_layers_are_at_hand():
    network, model = build_vgg_fer(7, 32, 4, 16), build_vgg_fer_model(**SMALL)
    model.set_weights(network.get_weights())
    expected = network(images(), training=False)
    np.testing.assert_allclose(model({"image": images()}, training=False)["expression"], expected, atol=1e-6)
    np.testing.assert_allclose(np.asarray(expected).sum(axis=1), 1, atol=1e-5)
    assert {"fc6", "relu6", "fc7", "fc8", "prob"} <= {layer.name for layer in model.layers}


def test_random_weights_begin_undecided_and_keep_the_scale_through_all_layers():
    keras.utils.set_random_seed(0)
    model = build_vgg_fer_model(image_size=64, width=16, fc_units=128)
    x = np.random.default_rng(1).integers(0, 256, (8, 4, 4, 3)).repeat(16, 1).repeat(16, 2).astype("uint8")
    inner = keras.Model(model.input, {name: model.get_layer(name).output for name in ("relu1_1", "pool5", "relu7")})
    for name, values in inner({"image": x}).items():
        assert 0.1 < np.sqrt(np.mean(np.square(values))) < 10, name
    np.testing.assert_allclose(model({"image": x}, training=False)["expression"], 1 / 7, atol=0.1)


def test_training_begins_with_the_weights_of_a_file(tmp_path):
    """A file of VGG-Face has the identities as its outputs: everything but the last layer is taken."""
    source = build_vgg_fer(20, 32, 4, 16)
    layers = []
    for layer in source.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
            kernel, bias = layer.get_weights()
            weights = np.empty((1, 2), object)
            weights[0, :] = [kernel if kernel.ndim == 4 else kernel[None, None], bias]
            layers.append({"name": layer.name, "type": "conv", "weights": weights})
    cells = np.empty((1, len(layers)), object)
    cells[0, :] = layers
    savemat(tmp_path / "vgg-face.mat", {"layers": cells, "normalization": {"averageImage": [100.0, 110.0, 120.0]}})
    recipe = Recipe.from_preset("vgg_fer", "small", **SMALL, weights=str(tmp_path / "vgg-face.mat"))
    model = recipe.build()
    for name in ("conv1_1", "conv5_3", "fc6", "fc7"):
        for found, wanted in zip(model.get_layer(name).get_weights(), source.get_layer(name).get_weights()):
            np.testing.assert_array_equal(found, wanted)
    assert model.get_layer("fc8").units == 7
    np.testing.assert_array_equal(np.ravel(model.get_layer("preprocessing").average_image), [100, 110, 120])


def test_the_papers_values():
    recipe = Recipe.from_preset("vgg_fer")
    assert (recipe.image_size, recipe.width, recipe.fc_units, recipe.dropout) == (224, 64, 4096, 0.5)
    assert (recipe.image_kind, recipe.weights) == ("cropped_aligned", "vggface_vgg16_top")
    assert recipe.dataset == "faces"
    assert recipe.balance().class_balanced
    augmentation = recipe.augmentation()
    assert (augmentation.rotation, augmentation.shift, augmentation.scale, augmentation.flip) == (10, 0.05, 0.1, True)
    assert recipe.inputs()["image"].size == 224


def test_the_compiled_recipe_decays_weights_decoupled():
    recipe = Recipe.from_preset("vgg_fer", "small", **SMALL, learning_rate=1e-4, weight_decay=1e-3)
    model = recipe.build()
    recipe.compile(model)
    assert type(model.optimizer) is keras.optimizers.AdamW
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-4)
    assert model.optimizer.weight_decay == 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edition": "abaw3"}, "no class Other"),
        ({"epoch_length": "mean"}, "epoch_length must be"),
        ({"monitor": "macro_f1"}, "must be measured on validation"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(RecipeError, match=message):
        Recipe.from_preset("vgg_fer", **changes)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"`classes` must be at least 2.*classes=1"):
        build_vgg_fer_model(**SMALL, n_classes=1)
    with pytest.raises(FileNotFoundError, match="no_such"):
        build_vgg_fer_model(**SMALL, weights="no_such.mat")
