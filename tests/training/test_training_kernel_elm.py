"""The recipe of the kernel ELM, trained and used through the runner on feature tracks that are given."""

import shutil

import numpy as np
import pytest
from eager import train_eagerly

from abaw_tf import predictions
from abaw_tf.data import AffWild2, FaceImages, make_synthetic_faces
from abaw_tf.data.windows import seconds_to_frames
from abaw_tf.features.functionals import majority_label
from abaw_tf.features.store import FeatureStore
from abaw_tf.models.kernel_elm import KernelELM
from abaw_tf.training import Recipe, RecipeError, Run, RunError, predict, train

DIM = 6


@pytest.fixture(scope="module")
def dataset(synthetic_root):
    return AffWild2(synthetic_root)


@pytest.fixture(scope="module")
def store(dataset, tmp_path_factory):
    """Tracks that tell the expression, with noise."""
    store = FeatureStore(tmp_path_factory.mktemp("features"), "vgg_fer-fc6", {"dim": DIM}, "none")
    rng = np.random.default_rng(0)
    means = rng.normal(size=(8, DIM))
    for split in ("train", "validation", "test"):
        for trial, part in dataset.frame_table(split, "expression").groupby("trial"):
            values = 2 * means[part["expression"].to_numpy()] + rng.normal(size=(len(part), DIM))
            store.write(trial, values.astype(np.float32), missing=part["path"].isna().to_numpy(), dtype="float32")
    return store


@pytest.fixture(scope="module")
def recipe():
    return Recipe.from_preset("kernel_elm", "small")


@pytest.fixture(scope="module")
def run(recipe, dataset, store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "kernel_elm"
    return train(recipe, dataset, folder, stores={"vgg_fer": store.folder}, progress=False)


def windows_of(recipe, dataset, trial, n_frames):
    size = seconds_to_frames(recipe.window_seconds, dataset.trials().set_index("trial").loc[trial, "fps"])
    return np.array([(start, min(start + size, n_frames)) for start in range(0, n_frames, size)])


def functionals_of(store, trial, windows, ddof=0):
    track = store.read(trial).filled("previous").astype(np.float64)
    parts = [track[start:stop] for start, stop in windows]
    return np.stack(
        [np.r_[part.mean(axis=0), part.std(axis=0, ddof=ddof if len(part) > 1 else 0)] for part in parts]
    ).astype(np.float32)


def test_it_is_fitted_to_the_windows_of_the_training_videos(run, recipe, dataset, store):
    X, y, groups = [], [], []
    table = dataset.frame_table("train", "expression")
    videos = dataset.trials().set_index("trial")["video"]
    for trial in table["trial"].unique():
        labels = table.loc[table["trial"] == trial, "expression"].to_numpy()
        windows = windows_of(recipe, dataset, trial, len(labels))
        classes = majority_label(labels, windows)
        X.append(functionals_of(store, trial, windows)[classes >= 0])
        y.append(classes[classes >= 0])
        groups.append(np.full((classes >= 0).sum(), videos[trial]))
    X, y = np.concatenate(X), np.concatenate(y)
    expected = KernelELM("auto", normalize=True).fit(X, y, groups=np.concatenate(groups))
    estimator, card = run.load_model(), run.card
    np.testing.assert_allclose(estimator.predict_proba(X), expected.predict_proba(X), atol=1e-4)
    assert card["status"] == "finished"
    assert card["training_examples"] == len(y) == sum(card["training_windows"].values())
    assert card["C"] == expected.C_
    assert card["temperature"] == pytest.approx(expected.temperature_, rel=1e-2)
    assert set(card["class_weights"].values()) == {1.0}
    assert card["scores"]["accuracy"] > 0.5


def test_frames_have_the_probabilities_of_their_window(run, recipe, dataset, store):
    table = predict(run, dataset, "test", stores={"vgg_fer": store}, progress=False)
    estimator = run.load_model()
    for trial, rows in table.groupby("trial"):
        windows = windows_of(recipe, dataset, trial, len(rows))
        p = np.zeros((len(windows), 7))
        p[:, estimator.classes_] = estimator.predict_proba(functionals_of(store, trial, windows))
        expected = np.repeat(p, windows[:, 1] - windows[:, 0], axis=0)
        np.testing.assert_allclose(predictions.probabilities(rows), expected, atol=1e-6)


def test_trials_without_a_face_are_left_out_and_named(recipe, dataset, store, tmp_path):
    faceless = [dataset.trials(split, "expression")["trial"].iloc[0] for split in ("train", "validation")]
    other = FeatureStore(tmp_path / "features", "vgg_fer-fc6", {"dim": DIM}, "none")
    for trial in store.trials():
        track = store.read(trial)
        missing = np.full(len(track), True) if trial in faceless else track.missing
        other.write(trial, track.values, missing, dtype="float32")
    run = train(recipe, dataset, tmp_path / "run", stores={"vgg_fer": other}, progress=False)
    assert run.card["trials_without_a_face"] == faceless[:1]
    table = predictions.read(run.predictions_path)
    assert f"no face, hence no prediction: {faceless[1]}" in table.attrs["notes"]
    assert (table.loc[table["trial"] == faceless[1], "p_Neutral"] == 1).all()
    assert (table.loc[table["trial"] != faceless[1], "p_Neutral"] < 1).all()


def test_tracks_of_another_layer_are_refused(run, dataset, store, tmp_path):
    assert run.card["tracks"] == {"vgg_fer": store.folder.name}
    other = FeatureStore(tmp_path, "vgg_fer-relu6", {"dim": DIM}, "none")
    for trial in store.trials():
        other.write(trial, np.maximum(store.read(trial).filled("previous"), 0))
    with pytest.raises(RunError, match=r"trained on tracks `vgg_fer` of vgg_fer-fc6-.*Received: vgg_fer-relu6-"):
        predict(run, dataset, "test", stores={"vgg_fer": other}, progress=False)


def test_a_store_of_another_layer_than_the_recipe_s_is_refused(recipe, dataset, store, tmp_path):
    other = FeatureStore(tmp_path, "vgg_fer", {"dim": DIM, "layer": "relu6"}, "none")
    for trial in store.trials():
        track = store.read(trial)
        other.write(trial, track.values, np.array(track.missing))
    with pytest.raises(RunError, match=r"of the layer 'relu6', the recipe is for 'fc6'; .*--layer relu6"):
        train(recipe, dataset, tmp_path / "run", stores={"vgg_fer": other.folder}, progress=False)
    run = train(recipe.replace(layer="relu6"), dataset, tmp_path / "run", stores={"vgg_fer": other}, progress=False)
    assert run.finished


def test_tracks_that_are_not_finite_are_refused_with_their_trial(recipe, dataset, store, tmp_path):
    trial = dataset.trials("train", "expression")["trial"].iloc[-1]
    folder = shutil.copytree(store.folder, tmp_path / store.folder.name)
    values = np.load(folder / f"{trial}.npy")
    values[np.flatnonzero(~store.read(trial).missing)[0], 0] = np.nan
    np.save(folder / f"{trial}.npy", values)
    with pytest.raises(RunError, match=f"trial '{trial}': frames .* hold NaN or infinity.*extract again"):
        train(recipe, dataset, tmp_path / "run", stores={"vgg_fer": folder}, progress=False)


def test_the_deviation_may_be_that_of_matlab(recipe, dataset, store):
    trial = store.trials()[0]
    track = store.read(trial).filled("previous")
    windows = windows_of(recipe, dataset, trial, len(track))
    for ddof in (0, 1):
        found = recipe.replace(ddof=ddof).functionals(track, windows)
        np.testing.assert_allclose(found, functionals_of(store, trial, windows, ddof), rtol=1e-5, atol=1e-6)


def test_an_interrupted_run_ends_as_the_uninterrupted_one(run, recipe, dataset, store, tmp_path, monkeypatch):
    def interrupted(self, path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(KernelELM, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, dataset, tmp_path / "run", stores={"vgg_fer": store}, progress=False)
    stopped = Run(tmp_path / "run")
    assert not stopped.finished
    with pytest.raises(RunError, match="no trained model"):
        predict(stopped, dataset, stores={"vgg_fer": store}, progress=False)
    resumed = train(recipe, dataset, tmp_path / "run", stores={"vgg_fer": store}, progress=False)
    assert resumed.card["resumed"] == 1
    assert resumed.card["weights_hash"] == run.card["weights_hash"]
    assert resumed.card["scores"] == run.card["scores"]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    faces = FaceImages(make_synthetic_faces(folder / "rafdb", n_train=56, n_validation=14, progress=False))
    tiny = {"image_size": 32, "width": 2, "fc_units": 8, "epochs": 1}
    return train_eagerly(Recipe.from_preset("vgg_fer", "small", **tiny), faces, folder / "vgg_fer")


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["fc6", "relu6"])
def test_features_may_come_from_a_run_of_vgg_fer(layer, network, dataset, tmp_path):
    recipe = Recipe.from_preset("kernel_elm", "small", vgg_fer_run=str(network.folder), layer=layer)
    run = train(recipe, dataset, tmp_path / "run", progress=False)
    assert run.load_model().n_features_in_ == 16
    (folder,) = (network.folder / "features").glob(f"vgg_fer-{layer}-*")
    values = FeatureStore.open(folder).read(dataset.trials("train")["trial"].iloc[0]).filled("previous")
    assert (values.min() < 0) == (layer == "fc6")
    assert len(predict(run, dataset, "test", progress=False)) == len(dataset.frame_table("test", "expression"))


def test_a_track_must_come_from_somewhere(recipe, dataset, tmp_path):
    with pytest.raises(RunError, match="`vgg_fer`"):
        train(recipe, dataset, tmp_path / "run", progress=False)


def test_fields_reach_the_estimator_and_the_track():
    recipe = Recipe.from_preset("kernel_elm")
    assert recipe.build().get_params() == KernelELM("auto", normalize=True).get_params()
    assert (recipe.window_seconds, recipe.overlap, recipe.track().layer) == (2.0, 0.0, "fc6")
    changes = {"C": 0.1, "kernel": "rbf", "gamma": 0.5, "class_weight": 0.47, "normalize": False, "seed": 4}
    other = recipe.replace(**changes, layer="relu6", vgg_fer_run="runs/vgg_fer")
    expected = {**changes, "random_state": changes.pop("seed")}
    expected.pop("seed")
    assert expected.items() <= other.build().get_params().items()
    assert (other.track().run, other.track().layer) == ("runs/vgg_fer", "relu6")
    assert recipe.replace(class_weight="balanced").build().class_weight == "balanced"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("C", "best"),
        ("C", 0),
        ("gamma", -1),
        ("class_weight", "log"),
        ("class_weight", -0.5),
        ("kernel", "linaer"),
        ("layer", "fc7"),
        ("ddof", 2),
    ],
)
def test_wrong_fields_are_refused(field, value):
    with pytest.raises(RecipeError, match=f"{field}.*Received: .*{value!r}"):
        Recipe.from_preset("kernel_elm", **{field: value})
