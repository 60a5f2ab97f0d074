"""Training on face images: learns, resumes, counts what is missing, goes on with another dataset, predicts on videos."""

import runpy
import shutil

import numpy as np
import pandas as pd
import pytest
from eager import eagerly, train_eagerly
from interruption import train_whole_and_resumed

from abaw_tf import predictions
from abaw_tf.data import AffWild2, FaceImages, make_synthetic_faces
from abaw_tf.features.store import FeatureStore
from abaw_tf.training import RECIPES, Recipe, Run, RunError, open_dataset, ordered_recipes, predict, train
from abaw_tf.training.tracks import extract_with_run

TINY = {"image_size": 32, "width": 2, "batch_size": 35, "epochs": 2}


def tiny(**changes):
    return Recipe.from_preset("face_model", "small", **{**TINY, **changes})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_synthetic_faces(tmp_path_factory.mktemp("faces") / "rafdb", n_train=70, n_validation=21, progress=False)


@pytest.fixture(scope="module")
def faces(root):
    return FaceImages(root)


@pytest.fixture(scope="module")
def run(faces, tmp_path_factory):
    return train_eagerly(tiny(), faces, tmp_path_factory.mktemp("runs") / "face_model")


def test_a_run_on_faces_tells_everything(run, faces):
    card = run.card
    assert card["status"] == "finished"
    assert card["dataset"]["synthetic"] is True
    assert (card["dataset"]["layout"], card["dataset"]["missing_images"]) == ("rafdb", 0)
    assert card["dataset"]["validation"]["frames"] == 21
    assert set(card["dataset"]["validation"]["labelled"].values()) == {3}
    assert sum(card["training_frames"].values()) == 70
    assert pd.read_csv(run.history_path)["epoch"].tolist() == [0, 1]
    table = predictions.read(run.predictions_path)
    truth = faces.frame_table("validation").set_index("trial")["expression"]
    assert set(table["trial"]) == set(truth.index)
    accuracy = (table.set_index("trial")["expression"] == truth).mean()
    assert card["scores"]["accuracy"] == pytest.approx(accuracy)
    assert any("synthetic" in note for note in table.attrs["notes"])


def test_the_kind_of_dataset_is_the_recipes(run, root, synthetic_root, tmp_path):
    assert isinstance(open_dataset(tiny(), root), FaceImages)
    videos = open_dataset(Recipe.from_preset("frame_cnn"), synthetic_root)
    assert isinstance(videos, AffWild2)
    with pytest.raises(RunError, match=r"trained on face images.*AffWild2"):
        train(tiny(), videos, tmp_path / "run", progress=False)
    with pytest.raises(RunError, match=r"trained on Aff-Wild2.*FaceImages"):
        train(Recipe.from_preset("frame_cnn", "small"), FaceImages(root), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_recipes_for_faces_are_trained_only_if_named_or_needed(tmp_path):
    assert "face_model" in RECIPES
    named = [recipe.name for recipe in ordered_recipes(["frame_cnn"], "small", tmp_path)]
    assert "face_model" not in named
    assert [recipe.name for recipe in ordered_recipes(["face_model"], "small", tmp_path)] == ["face_model"]


def test_damaged_and_missing_images_are_left_out_and_counted(root, tmp_path):
    shutil.copytree(root, tmp_path / "rafdb")
    images = tmp_path / "rafdb" / "Image" / "aligned"
    (images / "train_00001_aligned.jpg").unlink()
    (images / "test_0001_aligned.jpg").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match="1 of 91"):
        faces = FaceImages(tmp_path / "rafdb")
    run = train_eagerly(tiny(epochs=1, batch_size=70), faces, tmp_path / "run")
    assert sum(run.card["training_frames"].values()) == 69
    assert run.card["dataset"]["missing_images"] == 1
    (message,) = run.card["unreadable_images"]
    assert "test_0001" in message
    table = predictions.read(run.predictions_path)
    assert len(table) == 20
    assert "test_0001" not in set(table["trial"])
    assert any("test_0001" in note for note in table.attrs["notes"])
    assert np.isfinite(run.card["scores"]["accuracy"])


@pytest.mark.slow
def test_training_goes_on_from_the_run_on_another_dataset(run, tmp_path):
    root = make_synthetic_faces(tmp_path / "affectnet", "affectnet", n_train=56, n_validation=14, progress=False)
    recipe = tiny(initial_run=str(run.folder), epochs=1, batch_size=56, learning_rate=1e-9)
    further = train_eagerly(recipe, FaceImages(root), tmp_path / "run")
    before, after = run.load_model(), further.load_model()
    kernel, other = (model.get_layer("features").get_weights()[0] for model in (before, after))
    np.testing.assert_allclose(other, kernel, atol=1e-6)
    assert further.card["dataset"]["left_out"]["train"]["Contempt"] == 2


def test_every_frame_of_a_video_gets_its_own_face_prediction(run, synthetic_root):
    import cv2

    videos = AffWild2(synthetic_root)
    table = predict(run, videos, "validation", progress=False)
    frames = videos.frame_table("validation", "expression", run.recipe.image_kind)
    assert table[["trial", "frame"]].to_numpy().tolist() == frames[["trial", "frame"]].to_numpy().tolist()
    row = frames[frames["path"].notna()].iloc[10]
    image = cv2.resize(cv2.imread(row["path"]), (32, 32), interpolation=cv2.INTER_AREA)[..., ::-1]
    p = np.asarray(run.load_model()({"image": image[None]})["expression"])[0]
    found = table.set_index(["trial", "frame"]).loc[(row["trial"], row["frame"])]
    np.testing.assert_allclose(found[[f"p_{name}" for name in videos.edition.classes]].to_numpy(float), p, atol=1e-5)


def test_its_layers_become_feature_tracks(run, synthetic_root):
    videos = AffWild2(synthetic_root)
    trial = videos.trials()["trial"].iloc[0]
    store = extract_with_run(run.folder, "predictions", videos, [trial], progress=False)
    assert isinstance(store, FeatureStore)
    values = store.read(trial).values
    assert values.shape == (videos.n_frames(trial), 7)


def test_face_images_are_predicted_where_they_can_be_read(run, root):
    table = predict(run, FaceImages(root), "train", progress=False)
    assert len(table) == 70
    np.testing.assert_allclose(predictions.probabilities(table).sum(axis=1), 1)


@pytest.mark.slow
def test_an_interrupted_run_ends_as_the_uninterrupted_one(run, faces, tmp_path):
    train_whole_and_resumed(tiny(), faces, tmp_path, whole=run)


@pytest.mark.slow
def test_the_small_recipe_tells_expressions_of_unseen_faces(many_faces, tmp_path):
    """With few epochs and without the augmentation that makes them too few."""
    quick = {
        "image_size": 48,
        "learning_rate": 3e-3,
        "affine_share": 0.0,
        "centre": 1.0,
        "epoch_length": "max",
        "epochs": 4,
    }
    recipe = Recipe.from_preset("face_model", "small", **quick)
    run = train(recipe, FaceImages(many_faces), tmp_path / "run", progress=False)
    scores = run.card["scores"]
    assert scores["accuracy"] > 2.5 / 7  # the classes are equally frequent
    assert scores["macro_f1"] > 2 / 7


def test_the_command_line_trains_on_faces(request, root, tmp_path, capsys):
    tool = runpy.run_path(str(request.config.rootpath / "tools" / "train.py"))["main"]
    flags = ["--preset", "small", "--image-size", "32", "--width", "2", "--epochs", "1", "--batch-size", "35"]
    with eagerly():
        assert tool(["face_model", str(root), "--run-dir", str(tmp_path / "run"), *flags]) == 0
    assert "macro_f1" in capsys.readouterr().out
    assert Run(tmp_path / "run").finished
