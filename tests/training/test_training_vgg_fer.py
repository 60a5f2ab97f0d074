"""VGG-FER trained on face images: learns, and its layers are feature tracks from which videos are classified."""

import numpy as np
import pytest
from eager import train_eagerly

from abaw_tf.data import AffWild2, FaceImages, make_synthetic_faces
from abaw_tf.features.images import read_image
from abaw_tf.training import Recipe, ordered_recipes, train
from abaw_tf.training.tracks import extract_with_run

TINY = {"image_size": 32, "width": 2, "fc_units": 12, "batch_size": 35, "epochs": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = make_synthetic_faces(tmp_path_factory.mktemp("faces") / "rafdb", n_train=70, n_validation=21, progress=False)
    recipe = Recipe.from_preset("vgg_fer", "small", **TINY)
    return train_eagerly(recipe, FaceImages(root), tmp_path_factory.mktemp("runs") / "vgg_fer")


def test_the_run_says_how_it_was_trained(run):
    assert run.finished
    assert run.card["dataset"]["layout"] == "rafdb"
    assert sum(run.card["training_frames"].values()) == 70
    assert np.isfinite(run.card["scores"]["macro_f1"])


def test_its_features_before_and_after_the_relu_become_tracks(run, synthetic_root):
    videos = AffWild2(synthetic_root)
    trial = videos.trials()["trial"].iloc[0]
    before, after = (
        extract_with_run(run.folder, layer, videos, [trial], progress=False).read(trial) for layer in ("fc6", "relu6")
    )
    assert before.values.shape == after.values.shape == (videos.n_frames(trial), 12)
    np.testing.assert_array_equal(after.values, np.maximum(before.values, 0))
    # An image goes in as it is: everything that the network does to it first is part of the model.
    frame = int(videos.image_frames(trial)[3])
    image = read_image(videos.image_path(trial, frame), (32, 32))
    model = run.load_model()
    x = image.astype("float64") - np.ravel(model.get_layer("preprocessing").average_image)
    for layer in model.layers[model.layers.index(model.get_layer("preprocessing")) + 1 :]:
        x = layer(x[None] if layer.name == "conv1_1" else x)
        if layer.name == "fc6":
            break
    np.testing.assert_allclose(before.values[frame], np.asarray(x)[0], rtol=2e-3, atol=2e-3)


def test_the_kernel_elm_is_trained_on_its_features(run, synthetic_root, tmp_path):
    recipe = Recipe.from_preset("kernel_elm", "small", vgg_fer_run=str(run.folder), C=1.0)
    found = train(recipe, AffWild2(synthetic_root), tmp_path / "kernel_elm", progress=False)
    assert found.finished
    assert np.isfinite(found.card["scores"]["macro_f1"])


def test_it_is_trained_before_the_kernel_elm(tmp_path):
    names = [recipe.name for recipe in ordered_recipes(["kernel_elm"], "small", tmp_path)]
    assert names == ["vgg_fer", "kernel_elm"]


@pytest.mark.slow
def test_the_small_recipe_tells_expressions_of_unseen_faces(many_faces, tmp_path):
    """Of fewer pixels, with larger steps, without dropout: it then needs fewer epochs."""
    recipe = Recipe.from_preset("vgg_fer", "small", image_size=48, learning_rate=1e-3, dropout=0.0, epochs=14)
    run = train(recipe, FaceImages(many_faces), tmp_path / "run", progress=False)
    scores = run.card["scores"]
    assert scores["accuracy"] > 2.5 / 7  # the classes are equally frequent
    assert scores["macro_f1"] > 2 / 7
