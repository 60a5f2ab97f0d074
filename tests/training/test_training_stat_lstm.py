"""The recipe `stat_lstm` on stored tracks: every derivation, its predictions frame by frame, its score, exact resumption."""

import contextlib
import shutil

import numpy as np
import pandas as pd
import pytest
from eager import eagerly, train_eagerly
from interruption import train_whole_and_resumed
from stat_lstm_runs import face_run, tiny, untrained, usable, write_stores

from abaw_tf import metrics, predictions
from abaw_tf.data import AffWild2
from abaw_tf.data.windows import causal_blocks
from abaw_tf.models.stat_lstm import PRESETS
from abaw_tf.training import Run, RunError, predict, train

OUTPUTS = ("expression", "arousal", "valence", "va_vector")
DIM = 5


@pytest.fixture(scope="module")
def dataset(synthetic_root):
    return AffWild2(synthetic_root)


@pytest.fixture(scope="module")
def face(tmp_path_factory):
    return face_run(tmp_path_factory.mktemp("runs") / "face_model")


@pytest.fixture(scope="module")
def stores(dataset, tmp_path_factory):
    return write_stores(dataset, tmp_path_factory.mktemp("stores"), dim=DIM)


@pytest.fixture(scope="module")
def trained(dataset, stores, tmp_path_factory):
    recipe = tiny("frames_va", n_features=DIM, epochs=3, batch_size=512)
    return train_eagerly(recipe, dataset, tmp_path_factory.mktemp("runs") / "frames_va", stores=stores)


def all_frames(dataset):
    return dataset.frame_table("validation")


def assert_every_frame_has_a_value(table, frames):
    """Frames without a crop: the probabilities of the last frame before that has one; valence and arousal on the line between."""
    assert table[["trial", "frame"]].to_numpy().tolist() == frames[["trial", "frame"]].to_numpy().tolist()
    seen = usable(frames)
    assert sum(map(len, seen.values())) < len(frames)
    for trial, part in table.groupby("trial"):
        numbers, known = part["frame"].to_numpy(), seen[trial]["frame"].to_numpy()
        held = known[np.maximum(np.searchsorted(known, numbers, side="right") - 1, 0)]
        p = predictions.probabilities(part)
        np.testing.assert_array_equal(p, p[held])
        for key in {"valence", "arousal"} & set(part.columns):
            values = part[key].to_numpy()
            np.testing.assert_allclose(values, np.interp(numbers, known, values[known]), atol=1e-6)


@pytest.mark.parametrize(
    ("derivation", "changes", "strategy"),
    [
        ("image", {}, None),  # one that is quick shows the path
        *[pytest.param(name, {}, None, marks=pytest.mark.slow) for name in ("lstm", "frames", "image_va")],
        pytest.param("lstm_va", {"lstm_layers": 1}, "mirrored", marks=pytest.mark.slow),
        pytest.param("frames_va", {"precision": "mixed_float16"}, "default", marks=pytest.mark.slow),
    ],
)
def test_every_derivation_trains_on_the_tracks_of_a_face_model(dataset, face, tmp_path, derivation, changes, strategy):
    """Those with a strategy with their graph, the others without."""
    recipe = tiny(derivation, face_run=str(face.folder), block=4, **changes)
    with contextlib.nullcontext() if strategy else eagerly():
        run = train(recipe, dataset, tmp_path / "run", strategy=strategy or "default", progress=False)
    history = pd.read_csv(run.history_path)
    losses = {name.removesuffix("_loss") for name in history if name.endswith("_loss") and not name.startswith("val_")}
    table = predictions.read(run.predictions_path)
    assert_every_frame_has_a_value(table, all_frames(dataset))
    assert losses == (
        set(OUTPUTS) if PRESETS[derivation].valence_arousal else set()
    )  # of one output there is `loss` alone
    assert ({"valence", "arousal"} <= set(table.columns)) == PRESETS[derivation].valence_arousal
    assert "va_vector" not in table.columns
    assert np.isfinite(history.to_numpy()).all()
    assert history["val_score"].between(-1, 1).all()
    types = {layer.compute_dtype for layer in run.load_model().get_layer("head").layers}
    assert ("float16" in types) == (recipe.precision == "mixed_float16")
    if PRESETS[derivation].valence_arousal:
        assert run.card["best_value"] == pytest.approx(score(run, dataset), abs=2e-3)


def test_the_score_selects_the_epoch_and_is_that_of_the_frames_with_a_face(trained, dataset):
    history = pd.read_csv(trained.history_path)
    assert trained.card["best_epoch"] == history["val_score"].idxmax()
    assert trained.card["best_value"] == pytest.approx(score(trained, dataset), abs=1e-4)


def score(run, dataset, both=False):
    """The challenge's scores with NumPy, over the labelled frames that have a crop."""
    frames, table = all_frames(dataset), predictions.read(run.predictions_path)
    seen = frames["path"].notna().to_numpy()
    known = {"expression": frames["expression"].to_numpy() >= 0, "valence": frames["valence"].notna().to_numpy()}
    if both:
        seen = seen & known["expression"] & known["valence"]
    e, v = (seen & known[key] for key in ("expression", "valence"))
    cccs = [metrics.ccc(frames[key][v].to_numpy(), table[key][v].to_numpy()) for key in ("valence", "arousal")]
    truth, guess = (x["expression"][e].to_numpy() for x in (frames, table))
    return (metrics.expression_score(truth, guess, "abaw2") + np.mean(cccs)) / 2


def by_hand(model, stores, frames, block, stat, across_gaps):
    """Outputs for the usable frames of a trial, from the head on one block after another."""
    numbers, trial = frames["frame"].to_numpy(), frames["trial"].iloc[0]
    tracks = {}
    for name, store in stores.items():
        track = store.read(trial)
        last = np.maximum.accumulate(np.where(track.missing, -1, np.arange(len(track.missing))))
        tracks[name] = np.asarray(track.values, np.float32)[np.maximum(last, np.argmin(track.missing))][numbers]
    blocks, _ = causal_blocks(len(numbers), block, frames=numbers, across_gaps=across_gaps)
    head = model.get_layer("head")
    x = {"features": tracks["features"][blocks] if stat == "v1" else tracks["features"]}
    if "probabilities" in head.input:
        x["probabilities"] = tracks["probabilities"][blocks]
    return {key: np.asarray(y) for key, y in head(x, training=False).items()}


@pytest.mark.parametrize(
    ("derivation", "stat", "across_gaps"),
    [
        pytest.param("lstm_va", "v0", True, marks=pytest.mark.slow),
        ("frames_va", "v1", False),
        ("frames_va", "v1", True),
        ("image_va", "v0", True),
    ],
)
def test_a_frame_is_predicted_from_the_block_that_ends_with_it(
    dataset, stores, tmp_path, derivation, stat, across_gaps
):
    recipe = tiny(derivation, n_features=DIM, stat=stat, block=6, across_gaps=across_gaps)
    run = untrained(tmp_path / "run", recipe)
    model = run.load_model()
    tables = []
    for chunk in (1, 5, 112):
        run.recipe = recipe.replace(prediction_chunk=chunk)
        tables.append(predict(run, dataset, stores=stores, progress=False).set_index(["trial", "frame"]))
    for part in usable(all_frames(dataset)).values():
        expected = by_hand(model, stores, part, 6, stat, across_gaps)
        for table in tables:
            rows = table.loc[list(zip(part["trial"], part["frame"]))]
            np.testing.assert_allclose(predictions.probabilities(rows), expected["expression"], atol=1e-5)
            for key in ("valence", "arousal"):
                np.testing.assert_allclose(rows[key], expected[key][:, 0], atol=1e-5)


def test_predictions_do_not_depend_on_later_frames(dataset, stores, tmp_path):
    start = 60

    def later(track):
        return np.concatenate([track[:start], track[start:][:, ::-1]])

    changed = write_stores(dataset, tmp_path / "stores", dim=DIM, change=later)
    run = untrained(tmp_path / "run", tiny(n_features=DIM))
    before, after = (predict(run, dataset, stores=given, progress=False) for given in (stores, changed))
    # frames without a crop in front of `start` have their valence from both sides
    first = {trial: part["frame"][part["frame"] < start].max() for trial, part in usable(all_frames(dataset)).items()}
    earlier = (before["frame"] <= before["trial"].map(first)).to_numpy()
    columns = [name for name in before if name.startswith("p_")] + ["valence", "arousal"]
    a, b = (table[columns].to_numpy(float) for table in (before, after))
    np.testing.assert_allclose(b[earlier], a[earlier], atol=1e-6)
    crops = all_frames(dataset)["path"].notna().to_numpy() & (before["frame"] >= start).to_numpy()
    assert (np.abs(b[crops] - a[crops]).max(axis=1) > 1e-5).all()


@pytest.mark.parametrize("both", [True, False])
def test_frames_with_both_labels_or_all_of_them(dataset, stores, tmp_path, both):
    recipe = tiny("image_va", n_features=DIM, both_labels=both, class_balanced=False, epochs=1)
    run = train_eagerly(recipe, dataset, tmp_path / "run", stores=stores)
    frames = dataset.frame_table("train").query("path.notna()")
    labelled = frames.query("expression >= 0 and valence.notna()")
    assert 0 < len(labelled) < len(frames)
    assert run.card["training_examples"] == len(labelled if both else frames)
    assert run.card["best_value"] == pytest.approx(score(run, dataset, both), abs=1e-4)
    assert score(run, dataset, not both) != pytest.approx(score(run, dataset, both), abs=1e-4)


def test_classes_are_drawn_in_turn(dataset, stores, tmp_path):
    run = train_eagerly(tiny("image", n_features=DIM, epochs=1), dataset, tmp_path / "run", stores=stores)
    counts = dataset.frame_table("train", "expression").query("path.notna() and expression >= 0")["expression"]
    counts = counts.value_counts()
    assert run.card["training_examples"] == len(counts) * round(counts.mean())


def test_stores_and_a_recipe_that_do_not_fit_are_told(dataset, stores, face, tmp_path):
    for changes, given, words in (
        ({"n_features": DIM + 1}, stores, r"takes 6 numbers per frame as `features`.*Received: tracks of 5"),
        ({"n_features": DIM}, {"features": stores["features"]}, r"the feature track `probabilities`"),
        ({"width": 4, "face_run": str(face.folder)}, None, r"takes 128 numbers per frame as `features`.*of 64"),
        ({"image_kind": "cropped", "face_run": str(face.folder)}, None, r"same `image_kind`.*'cropped' and 'cropped_a"),
    ):
        with pytest.raises(RunError, match=words):
            train(tiny("frames", **changes), dataset, tmp_path / words[:9], stores=given, progress=False)


def test_predictions_are_made_from_tracks_of_the_same_network(trained, dataset, stores, tmp_path):
    """The face model trained anew, or other stores: refused, not silently predicted from."""
    others = write_stores(dataset, tmp_path, dim=DIM, weights_hash="1" * 64)
    names = [store["features"].folder.name for store in (stores, others)]
    with pytest.raises(RunError, match="trained on tracks `features` of {}, .*Received: {}".format(*names)):
        predict(trained, dataset, "validation", stores=others, progress=False)
    assert set(trained.card["tracks"]) == {"features", "probabilities"}


def test_tracks_come_from_a_finished_run(dataset, face, tmp_path):
    run = Run(shutil.copytree(face.folder, tmp_path / "face_model"))
    run.update_card(status="training")
    with pytest.raises(RunError, match=r"finished run.*Received: status training"):
        train(tiny("image", face_run=str(run.folder)), dataset, tmp_path / "run", progress=False)
    with pytest.raises(FileNotFoundError, match=r"not a run folder.*face_model"):
        train(tiny("image", face_run=str(tmp_path / "none")), dataset, tmp_path / "other", progress=False)


def test_a_wrong_network_is_refused_before_any_track_is_computed(dataset, face, tmp_path):
    run = Run(shutil.copytree(face.folder, tmp_path / "face_model", ignore=shutil.ignore_patterns("features")))
    with pytest.raises(ValueError, match="lstm_layers=3"):
        train(tiny(face_run=str(run.folder), lstm_layers=3), dataset, tmp_path / "run", progress=False)
    assert not (run.folder / "features").exists()


@pytest.mark.slow
def test_an_interrupted_run_ends_as_the_uninterrupted_one(dataset, face, tmp_path):
    recipe = tiny(face_run=str(face.folder), block=4, lstm_layers=1, dropout=0.3, recurrent_dropout=0.3)
    train_whole_and_resumed(recipe, dataset, tmp_path)


@pytest.mark.slow
def test_the_third_edition_has_eight_classes(tmp_path, face):
    from abaw_tf.data import make_synthetic

    root = make_synthetic(
        tmp_path / "abaw3", edition="abaw3", n_train=4, n_validation=3, n_test=1, seconds=2.0, progress=False
    )
    dataset = AffWild2(root, "abaw3")
    stores = write_stores(dataset, tmp_path / "stores", n_classes=8, dim=DIM)
    run = untrained(tmp_path / "run", tiny("frames", n_features=DIM, edition="abaw3"))
    table = predict(run, dataset, stores=stores, progress=False)
    assert "p_Other" in table.columns
    np.testing.assert_allclose(predictions.probabilities(table).sum(axis=1), 1)
    with pytest.raises(RunError, match=r"takes 8 numbers per frame as `probabilities`.*edition.*tracks of 7"):
        train(tiny("frames", face_run=str(face.folder), edition="abaw3"), dataset, tmp_path / "no", progress=False)
