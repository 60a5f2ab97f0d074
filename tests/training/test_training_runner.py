"""The runner: run folders, exact resumption, predictions of every frame, refusals."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from eager import train_eagerly

from abaw_tf import evaluation, predictions
from abaw_tf.data import AffWild2
from abaw_tf.data.folds import make_folds
from abaw_tf.training import Recipe, Run, RunError, predict, train
from abaw_tf.training.callbacks import Recorder

TINY = {"image_size": 32, "width": 2, "units": 8, "batch_size": 512}


def tiny(**changes):
    return Recipe.from_preset(
        "frame_cnn", "small", **{**TINY, "epochs": 3, "patience": 1, "batch_norm_momentum": 0.9, **changes}
    )


@pytest.fixture(scope="module")
def dataset(synthetic_root):
    return AffWild2(synthetic_root)


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    return train_eagerly(tiny(), dataset, tmp_path_factory.mktemp("runs") / "frame_cnn")


def test_every_batch_normalisation_has_the_momentum_of_the_recipe(run):
    layers = [
        layer for layer in run.load_model()._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert {layer.momentum for layer in layers} == {0.9}


def test_a_run_folder_tells_everything_about_the_run(run, dataset):
    card = json.loads((run.folder / "run.json").read_text())
    assert card == run.card
    assert Recipe.from_yaml(run.folder / "recipe.yaml") == tiny()
    assert card["status"] == "finished"
    assert card["dataset"]["synthetic"] is True
    assert card["versions"]["keras"]
    assert len(card["weights_hash"]) == 64
    table = dataset.frame_table("train", "expression")
    known = table[table["path"].notna() & (table["expression"] >= 0)]
    assert sum(card["training_frames"].values()) == card["training_examples"] < len(known)  # Neutral is thinned
    assert card["training_frames"]["Anger"] == (known["expression"] == 1).sum()
    assert not list((run.folder / "checkpoint").glob("*"))
    history = pd.read_csv(run.folder / "history.csv")
    assert history["epoch"].tolist() == list(range(card["epochs"]))
    assert card["epochs"] == min(3, card["best_epoch"] + 2)  # patience 1
    assert np.isfinite(history.to_numpy()).all()
    assert card["best_epoch"] == history["val_macro_f1"].idxmax()


def test_scores_are_those_of_the_stored_predictions(run, dataset):
    table = predictions.read(run.predictions_path)
    labels = evaluation.label_table(dataset, "validation", "expression")
    assert run.card["scores"] == pytest.approx(evaluation.evaluate(table, labels, bootstrap=0).scores)
    assert table.attrs["weights_hash"] == run.card["weights_hash"]
    assert any("synthetic" in note for note in table.attrs["notes"])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_every_frame_of_a_split_is_predicted_with_or_without_labels(run, dataset, split):
    table = predict(run.folder, dataset, split, progress=False)
    frames = dataset.frame_table(split, "expression")
    assert table[["trial", "frame"]].to_numpy().tolist() == frames[["trial", "frame"]].to_numpy().tolist()
    np.testing.assert_allclose(predictions.probabilities(table).sum(axis=1), 1)
    for trial, part in table.groupby("trial"):
        np.testing.assert_allclose(part["time"], dataset.times(trial))
    missing = np.flatnonzero(frames["path"].isna() & (frames["frame"] > 0))
    assert len(missing)
    np.testing.assert_array_equal(table["expression"].iloc[missing], table["expression"].iloc[missing - 1])


def test_predictions_are_the_models_own(run, dataset):
    import cv2

    table = predict(run, dataset, "validation", progress=False).set_index(["trial", "frame"])
    frames = dataset.frame_table("validation", "expression")
    rows = frames[frames["path"].notna()].iloc[[0, 7, 100]]
    model = run.load_model()
    for row in rows.itertuples():
        image = cv2.cvtColor(
            cv2.resize(cv2.imread(row.path), (32, 32), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB
        )
        p = np.asarray(model({"image": image[None]}, training=False)["expression"])[0]
        columns = [f"p_{name}" for name in dataset.edition.classes]
        np.testing.assert_allclose(table.loc[(row.trial, row.frame), columns].to_numpy(float), p, atol=1e-5)


def test_a_finished_run_is_returned_as_it_is(run, dataset):
    before = (run.folder / "run.json").read_bytes()
    again = train(tiny(), dataset, run.folder, progress=False)
    assert again.folder == run.folder
    assert (run.folder / "run.json").read_bytes() == before


KILLED = """
import os, signal, sys
import keras
from abaw_tf.data import AffWild2
from abaw_tf.training import RECIPES, Recipe, train

class Kill(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, 1):
            os.kill(os.getpid(), signal.SIGKILL)

RECIPES["frame_cnn"].callbacks = lambda self: [Kill()]
train(Recipe.from_yaml(sys.argv[1]), AffWild2(sys.argv[2]), sys.argv[3], progress=False)
"""


@pytest.mark.slow
def test_a_killed_run_ends_as_the_uninterrupted_one(dataset, synthetic_root, tmp_path):
    recipe = tiny(epochs=2, patience=3, dropout=0.5, batch_size=64)
    recipe.to_yaml(tmp_path / "recipe.yaml")
    arguments = [tmp_path / "recipe.yaml", synthetic_root, tmp_path / "killed"]
    done = subprocess.run([sys.executable, "-c", KILLED, *map(str, arguments)], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
    killed = Run(tmp_path / "killed")
    assert not killed.finished
    assert len(pd.read_csv(killed.history_path)) == 1
    (killed.folder / ".run.json.1.part").write_text("half written")
    killed = train(recipe, dataset, killed.folder, progress=False)
    whole = train(recipe, dataset, tmp_path / "whole", progress=False)
    assert killed.history_path.read_bytes() == whole.history_path.read_bytes()
    assert killed.card["weights_hash"] == whole.card["weights_hash"]
    assert (killed.card["resumed"], whole.card["resumed"]) == (1, 0)
    assert not list(killed.folder.glob(".*"))


@pytest.mark.parametrize(
    ("mode", "values", "best", "done"),
    [
        ("max", [0.1, 0.3, 0.2], 1, False),
        ("max", [0.3, 0.3, 0.2], 0, True),  # a tie is no improvement
        ("min", [0.3, 0.2, 0.1, 0.2], 2, False),
        ("min", [float("nan"), 0.5], 1, False),
        ("max", [float("nan"), float("nan")], None, True),
        ("max", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 5, True),  # all epochs are over
    ],
)
def test_the_best_epoch_is_kept_and_patience_ends(tmp_path, mode, values, best, done):
    recorder = Recorder(Run.create(tmp_path, tiny(epochs=6, patience=2, mode=mode, monitor="val_quantity")), "data")
    recorder.history = [{"epoch": i, "val_quantity": value} for i, value in enumerate(values)]
    assert (recorder.best_epoch, recorder.done) == (best, done)


def test_another_recipe_is_refused_in_a_runs_folder(run, dataset):
    with pytest.raises(RunError, match=r"another recipe.*learning_rate 0\.002 -> 0\.5"):
        train(tiny(learning_rate=0.5), dataset, run.folder, progress=False)
    with pytest.raises(RunError, match="holds a run already"):
        train(tiny(), dataset, run.folder, resume=False, progress=False)


def test_a_refused_attempt_does_not_occupy_its_folder(dataset, tmp_path):
    """Called again with what was missing, the same command works; of what was learned nothing is ever replaced."""
    without = Recipe.from_preset("windowed_svm", "small")
    with pytest.raises(RunError, match="needs the feature track"):
        train(without, dataset, tmp_path / "run", progress=False)
    changed = without.replace(frame_cnn_run=str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="nowhere: not a run folder"):
        train(changed, dataset, tmp_path / "run", progress=False)
    assert Run(tmp_path / "run").recipe == changed
    (tmp_path / "run" / "history.csv").write_text("epoch\n0\n")
    with pytest.raises(RunError, match="another recipe"):
        train(without, dataset, tmp_path / "run", progress=False)


def test_other_data_are_refused_in_an_unfinished_runs_folder(dataset, tmp_path):
    Run.create(tmp_path / "run", tiny())
    state = {"fingerprint": "of other frames", "checkpoint": "epoch-0000.weights.h5", "seconds": 0.0, "history": []}
    (tmp_path / "run" / "checkpoint").mkdir()
    (tmp_path / "run" / "checkpoint" / "state.json").write_text(json.dumps(state))
    with pytest.raises(RunError, match="other training data"):
        train(tiny(), dataset, tmp_path / "run", progress=False)


@pytest.mark.slow
def test_folds_replace_the_official_split(dataset, tmp_path):
    trials = dataset.trials()
    folds = make_folds(trials[trials["split"] != "test"], 3)
    run = train_eagerly(tiny(epochs=1), dataset, tmp_path / "run", folds=folds, fold=1)
    held_out = set(folds["trial"][folds["fold"] == 1])
    assert set(predictions.read(run.predictions_path)["trial"]) <= held_out
    assert run.card["dataset"]["fold"] == 1
    assert not any("trained on" in note for note in predictions.read(run.predictions_path).attrs["notes"])
    everything = predict(run, dataset, None, progress=False)
    seen = len(run.card["training_trials"])
    assert 0 < seen < everything["trial"].nunique()
    assert any(
        note.startswith(f"{seen} of {everything['trial'].nunique()} trials were trained on (fold 1 was not)")
        for note in everything.attrs["notes"]
    )
    with pytest.raises(RunError, match=r"no fold 7\. Received: folds \[0, 1, 2\]"):
        train(tiny(epochs=1), dataset, tmp_path / "other", folds=folds, fold=7, progress=False)


def test_editions_must_agree(run, dataset, tmp_path):
    with pytest.raises(RunError, match='edition="abaw3"'):
        train(tiny(edition="abaw3"), dataset, tmp_path / "run", progress=False)


def test_a_folder_that_is_no_run_is_refused(run, dataset, tmp_path):
    with pytest.raises(FileNotFoundError, match="frame_cnn"):
        predict(run.folder.parent / "frame_cn", dataset, progress=False)
    Run.create(tmp_path / "empty", tiny())
    with pytest.raises(RunError, match="no trained model"):
        predict(tmp_path / "empty", dataset, progress=False)
    (tmp_path / "empty" / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"run\.json: damaged"):
        train(tiny(), dataset, tmp_path / "empty", progress=False)


@pytest.fixture
def broken_copy(synthetic_root, tmp_path):
    """A copy of the dataset that a test may damage."""
    return shutil.copytree(synthetic_root, tmp_path / "copy")


@pytest.mark.slow
def test_damaged_crops_are_masked_in_training_and_filled_in_prediction(broken_copy, run, tmp_path):
    dataset = AffWild2(broken_copy)
    train_rows = dataset.frame_table("train", "expression").query("expression == 1 and path.notna()")
    validation_rows = dataset.frame_table("validation", "expression").query("frame == 30 and path.notna()")
    for path in (train_rows["path"].iloc[0], validation_rows["path"].iloc[0]):
        content = Path(path).read_bytes()
        Path(path).write_bytes(content[: len(content) // 2])
    damaged = train_eagerly(tiny(epochs=1), dataset, tmp_path / "run")
    assert [note for note in damaged.card["unreadable_images"] if train_rows["path"].iloc[0] in note]
    table = predict(run, dataset, "validation", progress=False).set_index(["trial", "frame"])
    trial = validation_rows["trial"].iloc[0]
    columns = [name for name in table.columns if name.startswith("p_")]
    np.testing.assert_array_equal(table.loc[(trial, 30), columns], table.loc[(trial, 29), columns])
    assert any(validation_rows["path"].iloc[0] in note for note in table.attrs["notes"])


def test_splits_without_faces_or_labels_are_refused(broken_copy, tmp_path):
    dataset = AffWild2(broken_copy)
    for path in dataset.trials("train")["expression_path"].dropna():
        lines = Path(path).read_text().splitlines()
        Path(path).write_text("\n".join([lines[0], *["-1"] * (len(lines) - 1)]) + "\n")
    with pytest.raises(RunError, match=r"no frame of the train split.*doctor"):
        train(tiny(), AffWild2(broken_copy), tmp_path / "run", progress=False)
    for folder in dataset.trials()["aligned_dir"].dropna():
        shutil.rmtree(folder)
    with pytest.raises(ValueError, match="has a face crop"):
        train(tiny(), AffWild2(broken_copy), tmp_path / "run", progress=False)


@pytest.fixture(scope="module")
def svm(run, dataset, tmp_path_factory):
    recipe = Recipe.from_preset("windowed_svm", "small", frame_cnn_run=str(run.folder))
    return train(recipe, dataset, tmp_path_factory.mktemp("runs") / "windowed_svm", progress=False)


def test_the_windowed_svm_is_trained_on_embeddings_of_the_frame_cnn(svm, run, dataset):
    assert svm.card["status"] == "finished"
    assert sum(svm.card["training_windows"].values()) == svm.card["training_examples"]
    assert svm.load_model().n_features_in_ == 2 * TINY["units"]
    assert list((run.folder / "features").glob("frame_cnn-dense-*/*.npy"))
    assert svm.card["scores"]["accuracy"] > 0


def test_its_frames_have_the_mean_of_their_windows(svm, run, dataset):
    from abaw_tf.data.windows import seconds_to_frames
    from abaw_tf.features.functionals import mean_and_std
    from abaw_tf.training.tracks import extract_with_run

    table = predict(svm, dataset, "test", progress=False)
    trial = table["trial"].iloc[0]
    store = extract_with_run(run.folder, "dense", dataset, [trial], progress=False)
    track = store.read(trial).filled()
    size = seconds_to_frames(svm.recipe.window_seconds, dataset.trials().set_index("trial").loc[trial, "fps"])
    stride = round(size / 2)
    starts = [s for s in range(0, len(track), stride) if s == 0 or s - stride + size < len(track)]
    windows = [(s, min(s + size, len(track))) for s in starts]
    estimator = svm.load_model()
    p = estimator.predict_proba(mean_and_std(track, windows))
    full = np.zeros((len(windows), 7))
    full[:, estimator.classes_] = p
    for frame in (0, size // 2 - 1, size, len(track) - 1):
        expected = np.mean([q for q, (start, stop) in zip(full, windows) if start <= frame < stop], axis=0)
        row = table[(table["trial"] == trial) & (table["frame"] == frame)]
        np.testing.assert_allclose(predictions.probabilities(row)[0], expected, atol=1e-9)


def test_a_track_must_come_from_somewhere(dataset, tmp_path):
    with pytest.raises(RunError, match="`embedding`"):
        train(Recipe.from_preset("windowed_svm", "small"), dataset, tmp_path / "run", progress=False)


def test_a_track_comes_from_a_finished_run(run, dataset, tmp_path):
    shutil.copytree(run.folder, tmp_path / "unfinished")
    Run(tmp_path / "unfinished").update_card(status="training")
    recipe = Recipe.from_preset("windowed_svm", "small", frame_cnn_run=str(tmp_path / "unfinished"))
    with pytest.raises(RunError, match="from a finished run"):
        train(recipe, dataset, tmp_path / "run", progress=False)


def test_a_store_may_be_given_instead_of_a_run(svm, run, dataset, tmp_path):
    store = next((run.folder / "features").iterdir())
    recipe = Recipe.from_preset("windowed_svm", "small")
    other = train(recipe, dataset, tmp_path / "run", stores={"embedding": store}, progress=False)
    assert other.card["scores"] == svm.card["scores"]
