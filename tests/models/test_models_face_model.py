"""The face model of Do et al.: graph, published size, contract, weights from one model to another."""

import keras
import numpy as np
import pytest
from model_contract import ModelContract

from abaw_tf.backbones.vggface2 import build_vggface2_resnet50, preprocess
from abaw_tf.models.face_model import build_face_model, copy_face_model, features_and_probabilities
from abaw_tf.training import Recipe, RecipeError, Run, RunError

SMALL = {"image_size": 32, "blocks": (1, 1, 1, 1), "width": 4}


def images(n=3, size=32):
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3)).astype("uint8")


class TestContract(ModelContract):
    outputs = {"expression": (7,)}  # noqa: RUF012

    def build(self):
        return build_face_model(**SMALL)

    def inputs(self, n):
        return {"image": images(n)}


@pytest.mark.usefixtures("without_values")
def test_the_published_size():
    model = build_face_model()
    assert model.count_params() == 27_771_840
    assert model.input_shape == (None, 224, 224, 3)
    assert model.get_layer("features").output.shape == (None, 2048)
    assert not model.get_layer("predictions").use_bias


def test_it_is_the_backbone_on_preprocessed_images():
    trunk = build_vggface2_resnet50(
        "weidi_xie", include_top=True, input_shape=(32, 32, 3), blocks=(1, 1, 1, 1), width=4
    )
    model = build_face_model(**SMALL)
    model.set_weights(trunk.get_weights())
    expected = trunk(preprocess(images(), 2), training=False)
    np.testing.assert_allclose(np.asarray(model({"image": images()})["expression"]), np.asarray(expected), atol=1e-5)


def test_features_and_probabilities_come_together():
    model = build_face_model(**SMALL)
    both = features_and_probabilities(model)
    out = {name: np.asarray(value) for name, value in both({"image": images()}).items()}
    assert {name: value.shape for name, value in out.items()} == {"features": (3, 128), "probabilities": (3, 7)}
    np.testing.assert_allclose(out["probabilities"], np.asarray(model({"image": images()})["expression"]), atol=1e-6)
    logits = out["features"] @ model.get_layer("predictions").get_weights()[0]
    np.testing.assert_allclose(
        np.log(out["probabilities"]), logits - np.log(np.exp(logits).sum(1, keepdims=True)), atol=1e-4
    )


def finished_run(folder, **changes):
    recipe = Recipe.from_preset("face_model", "small", **{**SMALL, **changes})
    run = Run.create(folder, recipe)
    keras.utils.set_random_seed(1)
    model = recipe.build()
    model.save(run.model_path)
    run.update_card(status="finished")
    return run, model


@pytest.mark.parametrize("probabilities", [True, False])
def test_the_weights_of_a_run_go_into_every_layer_of_the_stat_lstm_base(tmp_path, probabilities):
    from abaw_tf.models.stat_lstm_parts import build_base

    run, model = finished_run(tmp_path / "run")
    base = build_base(7, 32, (1, 1, 1, 1), 4, probabilities=probabilities, batch_norm="fixed", weights=None)
    copy_face_model(run, base)
    wanted = features_and_probabilities(model)({"image": images()}, training=False)
    found = base(images(), training=False)
    assert set(found) == ({"features", "probabilities"} if probabilities else {"features"})
    for name, values in found.items():
        np.testing.assert_allclose(np.asarray(values), np.asarray(wanted[name]), atol=1e-6)


def test_training_begins_with_the_initial_run(tmp_path):
    run, model = finished_run(tmp_path / "run")
    started = Recipe.from_preset("face_model", "small", **SMALL, initial_run=str(run.folder)).build()
    for wanted, found in zip(model.get_weights(), started.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_runs_that_do_not_fit_are_refused(tmp_path):
    run, _ = finished_run(tmp_path / "run")
    with pytest.raises(ValueError, match="another size"):
        copy_face_model(run, build_face_model(**{**SMALL, "width": 8}))
    with pytest.raises(ValueError, match="layers are not those"):
        copy_face_model(run, build_face_model(**{**SMALL, "blocks": (2, 1, 1, 1)}))
    run.update_card(status="training")
    with pytest.raises(RunError, match="finished run"):
        copy_face_model(run.folder, build_face_model(**SMALL))
    other = Run.create(tmp_path / "other", Recipe.from_preset("frame_cnn", "small"))
    other.update_card(status="finished")
    with pytest.raises(RunError, match="recipe frame_cnn"):
        copy_face_model(other, build_face_model(**SMALL))
    with pytest.raises(FileNotFoundError):
        copy_face_model(tmp_path / "none", build_face_model(**SMALL))


def test_the_papers_values():
    recipe = Recipe.from_preset("face_model")
    assert (recipe.learning_rate, recipe.batch_size, recipe.image_size, recipe.image_kind) == (1e-4, 32, 224, "cropped")
    augmentation = recipe.augmentation()
    assert (augmentation.rotation, augmentation.shift, augmentation.scale) == (45, 0.0625, 0.1)
    assert (augmentation.share, augmentation.centre, augmentation.flip) == (0.5, 224 / 260, True)
    assert augmentation.brightness == (1, 1)
    assert recipe.balance().class_balanced
    assert recipe.classes[0] == "Neutral"


def test_the_compiled_recipe_optimises_as_published():
    recipe = Recipe.from_preset("face_model", "small", **SMALL, learning_rate=1e-4)
    model = recipe.build()
    recipe.compile(model)
    assert type(model.optimizer) is keras.optimizers.Adam
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-4)


def test_an_edition_with_a_class_that_the_datasets_lack_is_refused():
    with pytest.raises(RecipeError, match="no class Other"):
        Recipe.from_preset("face_model", edition="abaw3")


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="n_classes=1"):
        build_face_model(**SMALL, n_classes=1)
    with pytest.raises(FileNotFoundError, match="no_such"):
        build_face_model(**SMALL, weights="no_such.h5")
