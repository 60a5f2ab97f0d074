"""The recipe of Rasipuram et al. 2020: sound and OpenFace from the dataset itself, ExpNet's features from a store."""

from pathlib import Path

import numpy as np
import pytest
from eager import eagerly, train_eagerly
from interruption import train_whole_and_resumed

from abaw_tf import predictions
from abaw_tf.data import AffWild2
from abaw_tf.evaluation import evaluate, label_table
from abaw_tf.features.store import FeatureStore
from abaw_tf.training import Recipe, RecipeError, Run, RunError, predict, train
from abaw_tf.training.datasets import frame_table
from abaw_tf.training.silencing import missing_modality_table

TINY = {
    "units": {"audio": (6, 4), "expnet": (6, 6, 4), "openface": (6, 4)},
    "fusion_units": 6,
    "dimensions": {"expnet": 3},
    "sequence": 6,
    "stride": 4,
    "batch_size": 128,
    "epochs": 2,
    "learning_rate": 0.01,
}


@pytest.fixture(scope="module")
def dataset(synthetic_root):
    return AffWild2(synthetic_root)


@pytest.fixture(scope="module")
def stores(dataset, tmp_path_factory):
    """In ExpNet's place a track that shows valence and arousal, far from zero and of another scale."""
    store = FeatureStore(tmp_path_factory.mktemp("stores"), "expnet", {}, "0" * 64)
    for trial in dataset.trials()["trial"]:
        labels = dataset.labels(trial)
        shown = np.nan_to_num(labels[["valence", "arousal"]].to_numpy(np.float32))
        missing = np.zeros(len(labels), bool)
        missing[5:8] = True
        store.write(trial, np.c_[100 + 20 * shown, np.full(len(labels), 7)], missing)
    return {"expnet": store}


@pytest.fixture(scope="module")
def run(dataset, stores, tmp_path_factory):
    recipe = Recipe.from_preset("gru_fusion", "small", **TINY)
    return train_eagerly(recipe, dataset, tmp_path_factory.mktemp("runs") / "all", stores=stores)


def test_every_frame_gets_valence_and_arousal(run, dataset, stores):
    assert run.card["status"] == "finished"
    table = predict(run, dataset, "test", stores=stores, progress=False)
    frames = sum(dataset.n_frames(trial) for trial in dataset.trials("test")["trial"])
    assert len(table) == frames
    assert {"valence", "arousal"} <= set(table.columns)
    assert "expression" not in table.columns
    assert table[["valence", "arousal"]].notna().all().all()
    predictions.validate(table)


@pytest.mark.slow  # with its graph, and many steps
def test_what_the_features_show_is_learned(dataset, stores, tmp_path):
    # Many steps: the batch normalisation learns its statistics slowly.
    changes = {
        "modalities": ("expnet",),
        "epochs": 12,
        "patience": 12,
        "sequence": 15,
        "stride": 2,
        "batch_size": 8,
        "units": {"expnet": (16, 16, 16)},
    }
    run = train(
        Recipe.from_preset("gru_fusion", "small", **{**TINY, **changes}),
        dataset,
        tmp_path / "run",
        stores=stores,
        progress=False,
    )
    assert run.card["scores"]["valence_arousal_score"] > 0.5


def test_sound_and_openface_are_extracted_into_the_runs_folder(run, dataset):
    folders = {path.name.partition("-")[0] for path in (run.folder / "features").iterdir()}
    assert folders == {"frame_audio", "openface"}
    trial = dataset.trials("train")["trial"].iloc[0]
    for path in (run.folder / "features").iterdir():
        track = FeatureStore.open(path).read(trial)
        assert len(track) == dataset.n_frames(trial)
        assert track.values.shape[1] == {"frame_audio": 168, "openface": 709}[path.name.partition("-")[0]]


def test_inputs_are_standardised_by_the_training_frames(run, dataset, stores):
    layer = run.load_model().get_layer("expnet_branch").get_layer("expnet_normalization")
    table = dataset.frame_table("train", "valence_arousal")
    spans = np.concatenate(
        [
            stores["expnet"].read(trial).filled()[rows["frame"].to_numpy()]
            for trial, rows in table.groupby("trial", sort=False)
        ]
    )
    # Sequences overlap, so that most frames count once and some twice.
    np.testing.assert_allclose(np.asarray(layer.mean).ravel(), spans.mean(axis=0), atol=1.0)
    assert np.asarray(layer.mean).ravel()[2] == pytest.approx(7)
    # Constant in training: over a deviation of 0 any other value would be enormous.
    assert np.asarray(layer.variance).ravel()[2] == 1


def test_trials_without_any_face_are_left_out_and_named(dataset, stores, tmp_path):
    """In training and in validation; predicted, they are neutral, and a note says so."""
    faceless = [dataset.trials(split, "valence_arousal")["trial"].iloc[0] for split in ("train", "validation")]
    store = FeatureStore(tmp_path / "store", "expnet", {}, "0" * 64)
    for trial in dataset.trials()["trial"]:
        track = stores["expnet"].read(trial)
        values = np.array(track.values)
        values[np.asarray(track.missing)] = 0
        store.write(trial, values, np.full(len(track), True) if trial in faceless else np.asarray(track.missing))
    recipe = Recipe.from_preset("gru_fusion", "small", **{**TINY, "modalities": ("expnet",), "epochs": 1})
    run = train_eagerly(recipe, dataset, tmp_path / "run", stores={"expnet": store})
    assert run.card["trials_without_a_face"] == sorted(faceless)
    table = predictions.read(run.predictions_path)
    assert (table.loc[table["trial"] == faceless[1], ["valence", "arousal"]] == 0).all(axis=None)
    assert (table.loc[table["trial"] != faceless[1], ["valence", "arousal"]] != 0).any(axis=None)
    assert f"no face, hence no prediction: {faceless[1]}" in table.attrs["notes"]

    for trial in dataset.trials("test")["trial"]:
        n = dataset.n_frames(trial)
        store.write(trial, np.zeros((n, 3), np.float32), np.ones(n, bool))
    with pytest.raises(RunError, match="no trial has a face crop"):
        predict(run, dataset, "test", stores={"expnet": store}, progress=False)


def write_tracks(dataset, folder, name, absent=(), dim=3):
    """Random tracks of all trials, some of them without a row."""
    store, rng = FeatureStore(folder, name, {}, "0" * 64), np.random.default_rng(len(name))
    for trial in dataset.trials()["trial"]:
        n = dataset.n_frames(trial)
        store.write(trial, rng.normal(50, 9, (n, dim)), np.full(n, trial in absent), dtype="float32")
    return store


@pytest.mark.slow
def test_what_one_modality_lacks_is_predicted_from_the_others(dataset, tmp_path):
    """A trial without a face, one that OpenFace alone missed, one without sound; one without anything has no prediction."""
    trials = dataset.trials("validation", "valence_arousal")["trial"].tolist()
    assert len(trials) >= 2
    faceless, nothing = trials[:2]
    tests = dataset.trials("test", "valence_arousal")["trial"].tolist()
    absent = {"audio": [nothing, *tests], "expnet": [nothing, faceless], "openface": [nothing, faceless, *tests]}
    stores = {name: write_tracks(dataset, tmp_path / "stores", name, trials) for name, trials in absent.items()}
    changes = {"dimensions": dict.fromkeys(absent, 3), "epochs": 1, "modalities": tuple(absent)}
    complete = {name: write_tracks(dataset, tmp_path / "complete", name) for name in absent}
    recipe = Recipe.from_preset("gru_fusion", "small", **{**TINY, **changes})
    run = train_eagerly(recipe, dataset, tmp_path / "run", stores=complete)
    table = predict(run, dataset, "validation", stores=stores, progress=False)
    notes = table.attrs["notes"]
    assert f"no expnet and no openface, predicted from audio alone: {faceless}" in notes
    assert f"no face, hence no prediction: {nothing}" in notes
    values = {trial: rows[["valence", "arousal"]].to_numpy() for trial, rows in table.groupby("trial")}
    assert not values[nothing].any()
    assert (values[faceless].std(axis=0) > 0).all()  # of the sound, from frame to frame

    # The rows that are not there count as average ones.
    model, audio = run.load_model(), stores["audio"].read(faceless).filled()[None, :6]
    average = {
        key: np.broadcast_to(
            np.asarray(model.get_layer(f"{key}_branch").get_layer(f"{key}_normalization").mean), (1, 6, 3)
        )
        for key in ("expnet", "openface")
    }
    expected = np.asarray(model({"audio": audio, **average}, training=False)["valence_arousal"])[0, :4]
    np.testing.assert_allclose(values[faceless][:4], expected, atol=1e-5)

    table = predict(run, dataset, "test", stores=stores, progress=False)
    assert f"no audio and no openface, predicted from expnet alone: {', '.join(sorted(tests))}" in table.attrs["notes"]
    assert table[["valence", "arousal"]].notna().all(axis=None)


@pytest.mark.parametrize("more", [-1, 1])
def test_a_track_of_another_number_of_frames_is_refused(more, dataset, stores, tmp_path):
    """A longer one too: its rows are those of other frames."""
    store = FeatureStore(tmp_path / "stores", "expnet", {}, "0" * 64)
    for trial in dataset.trials()["trial"]:
        store.write(trial, np.ones((dataset.n_frames(trial), 3)))
    trial = dataset.trials("train", "valence_arousal")["trial"].iloc[1]
    n = dataset.n_frames(trial)
    store.write(trial, np.ones((n + more, 3)))
    recipe = Recipe.from_preset("gru_fusion", "small", **{**TINY, "modalities": ("expnet",)})
    with pytest.raises(
        RunError, match=f"'{trial}': its track `expnet` has {n + more} frames, the dataset {n}; extract"
    ):
        train(recipe, dataset, tmp_path / "run", stores={"expnet": store}, progress=False)


def test_trials_without_sound_cannot_be_heard(dataset, tmp_path):
    """Of sound alone nothing is learned from them, and nothing is predicted."""
    silent = [dataset.trials(split, "valence_arousal")["trial"].iloc[0] for split in ("train", "validation")]
    silent += dataset.trials("test")["trial"].tolist()
    stores = {"audio": write_tracks(dataset, tmp_path / "stores", "audio", silent)}
    changes = {"dimensions": {"audio": 3}, "epochs": 1, "modalities": ("audio",)}
    recipe = Recipe.from_preset("gru_fusion", "small", **{**TINY, **changes})
    run = train_eagerly(recipe, dataset, tmp_path / "run", stores=stores)
    assert run.card["trials_without_sound"] == sorted(silent[:2])
    assert run.card["trials_without_a_face"] == []
    table = predictions.read(run.predictions_path)
    assert not table.loc[table["trial"] == silent[1], ["valence", "arousal"]].any(axis=None)
    assert f"no sound, hence no prediction: {silent[1]}" in table.attrs["notes"]
    with pytest.raises(RunError, match="no trial has sound"):
        predict(run, dataset, "test", stores=stores, progress=False)


def test_frames_without_sound_are_average_frames(dataset, stores, tmp_path):
    """Such as those before a late beginning: zeros would be louder than speech to the network. Nor do they count in the statistics."""
    trials = sorted(dataset.trials()["trial"])
    audio, rng = FeatureStore(tmp_path / "stores", "audio", {}, "0" * 64), np.random.default_rng(0)
    for trial in trials:
        missing = np.arange(dataset.n_frames(trial)) < 20
        audio.write(trial, rng.normal(-300, 9, (len(missing), 3)), missing, dtype="float32")
    changes = {"dimensions": {"expnet": 3, "audio": 3}, "epochs": 1, "modalities": ("audio", "expnet")}
    recipe = Recipe.from_preset("gru_fusion", "small", **{**TINY, **changes})
    run = train_eagerly(recipe, dataset, tmp_path / "run", stores={**stores, "audio": audio})
    model = run.load_model()
    mean = np.asarray(model.get_layer("audio_branch").get_layer("audio_normalization").mean).ravel()
    np.testing.assert_allclose(mean, -300, atol=3)  # with zeros it would be -250
    trial = dataset.trials("validation", "valence_arousal")["trial"].iloc[0]
    table = predict(run, dataset, "validation", stores={**stores, "audio": audio}, progress=False)
    found = table.loc[table["trial"] == trial, ["valence", "arousal"]].to_numpy()[:4]
    seen = {"audio": np.tile(mean, (1, 6, 1)), "expnet": stores["expnet"].read(trial).filled()[None, :6]}
    expected = np.asarray(model(seen, training=False)["valence_arousal"])[0, :4]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_crops_that_count_are_those_of_the_faces(dataset):
    """Whatever other inputs come first."""
    for modalities, kind in ((("audio", "expnet"), "cropped"), (("audio", "openface"), "cropped_aligned")):
        recipe = Recipe.from_preset("gru_fusion", "small", modalities=modalities, image_kind="cropped")
        table = frame_table(recipe, dataset, "validation")
        folders = {Path(path).parent.parent.name for path in table["path"].dropna()}
        assert folders == {kind}


@pytest.mark.slow
def test_the_missing_modality_table(run, dataset, stores, tmp_path):
    """Nothing silenced: the run's own scores. A branch silenced: those of the network whose head hears zeros in its place."""
    import keras

    with eagerly():
        table = missing_modality_table(run, dataset, stores=stores, progress=False)
    pairs = ["audio, expnet", "audio, openface", "expnet, openface"]
    assert table.index.tolist() == ["nothing", "audio", "expnet", "openface", *pairs]
    for name, value in table.loc["nothing"].items():
        assert value == pytest.approx(run.card["scores"][name], abs=1e-6)

    copy = Run.create(tmp_path / "copy", run.recipe)
    model = run.load_model()
    last = model.get_layer("expnet_branch").layers[-1]  # a batch normalisation: without scale and offset it says zero
    last.gamma.assign(keras.ops.zeros_like(last.gamma))
    last.beta.assign(keras.ops.zeros_like(last.beta))
    model.save(copy.model_path)
    given = {**stores, **{path.name.partition("-")[0]: path for path in (run.folder / "features").iterdir()}}
    given["audio"] = given.pop("frame_audio")
    muted = predict(copy, dataset, "validation", stores=given, progress=False)
    scores = evaluate(muted, label_table(dataset, "validation", "valence_arousal"), bootstrap=0).scores
    for name, value in table.loc["expnet"].items():
        assert value == pytest.approx(scores[name], abs=1e-5)

    Run.create(tmp_path / "faces", Recipe.from_preset("frame_cnn", "small"))
    with pytest.raises(RunError, match=r"several modalities.*frame_cnn"):
        missing_modality_table(tmp_path / "faces", dataset)


def test_a_fold_may_be_a_numpy_number(dataset, stores, tmp_path):
    from abaw_tf.data.folds import make_folds

    recipe = Recipe.from_preset("gru_fusion", "small", **{**TINY, "modalities": ("expnet",), "epochs": 1})
    folds = make_folds(dataset.trials(), 3)
    run = train_eagerly(recipe, dataset, tmp_path / "run", folds=folds, fold=np.int64(1), stores=stores)
    assert run.card["dataset"]["fold"] == 1


def test_one_modality_needs_no_other_track(dataset, tmp_path):
    recipe = Recipe.from_preset("gru_fusion", "small", **{**TINY, "epochs": 1, "modalities": ("openface",)})
    run = train_eagerly(recipe, dataset, tmp_path / "run")
    assert list(run.load_model().input) == ["openface"]
    assert [path.name.partition("-")[0] for path in (run.folder / "features").iterdir()] == ["openface"]


def test_without_expnet_the_error_says_what_to_give(dataset, tmp_path):
    recipe = Recipe.from_preset("gru_fusion", "small", **TINY)
    with pytest.raises(RunError, match=r"feature track `expnet`.*--store.*run of a trained model"):
        train(recipe, dataset, tmp_path / "run", progress=False)
    # Told before sound and OpenFace are extracted, which takes hours of a whole dataset.
    assert not (tmp_path / "run" / "features").exists()
    with pytest.raises(FileNotFoundError, match="not a feature store"):
        train(recipe, dataset, tmp_path / "run", stores={"expnet": tmp_path / "mistyped"}, progress=False)
    assert not (tmp_path / "run" / "features").exists()


@pytest.mark.slow
def test_a_resumed_run_keeps_its_standardisation(dataset, stores, tmp_path):
    recipe = Recipe.from_preset("gru_fusion", "small", **{**TINY, "modalities": ("expnet",)})
    train_whole_and_resumed(recipe, dataset, tmp_path, stores=stores)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modalities": ("sound",)}, "modalities.*sound"),
        ({"modalities": ()}, "at least one"),
        ({"dimensions": {"words": 3}}, "dimensions.*words"),
        ({"stride": 16}, "stride=16, sequence=15"),
        ({"stride": 0}, "stride=0"),
    ],
)
def test_wrong_values_are_refused(changes, message):
    with pytest.raises(RecipeError, match=message):
        Recipe.from_preset("gru_fusion", "paper", **changes)
