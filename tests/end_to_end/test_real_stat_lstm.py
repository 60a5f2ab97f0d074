"""Real face video through the STAT/LSTM network: crops, teacher, tracks, predictions, and frame by frame as in one go."""

from dataclasses import dataclass
from itertools import pairwise

import keras
import numpy as np
import pytest
from eager import eagerly
from sklearn.linear_model import Ridge

from abaw_tf import labels, metrics, predictions, training
from abaw_tf.backbones.checkpoints import locate
from abaw_tf.backbones.fer_xception import build_mini_xception, predict_expression, preprocess
from abaw_tf.data import AffWild2
from abaw_tf.data.doctor import examine
from abaw_tf.features.track import FeatureTrack
from abaw_tf.models.stat_lstm import rewire
from abaw_tf.models.stat_lstm_stream import StatLstmStream
from abaw_tf.studies import do2020_real
from abaw_tf.studies.real_clips import (
    APPEARS,
    LEAVES,
    RETURNS,
    UNLABELLED,
    ProbabilitiesToVA,
    read_faces,
    write_clips,
    write_tracks,
)

pytestmark = pytest.mark.slow  # the tracks of the clips alone take ten seconds

LABELLED = ("video_grid/lrwp9a.mpg", "video_grid/sbwe5n.mpg", "video_pyfeat/single_face.mp4")
BLOCK = 16
OUTPUTS = ("expression", "valence", "arousal")


@dataclass
class Clips:
    """A few clips, their tracks and the map of the teacher."""

    dataset: AffWild2
    stores: dict
    to_va: ProbabilitiesToVA

    def faces(self, trial):
        return self.dataset.image_frames(trial)

    def images(self, trial, size):
        return read_faces(self.dataset, trial, size)

    def track(self, name, trial) -> FeatureTrack:
        return self.stores[name].read(trial)


@pytest.fixture(scope="module")
def clips(realdata, tmp_path_factory):
    root, to_va = tmp_path_factory.mktemp("clips"), ProbabilitiesToVA.fit(realdata)
    dataset = write_clips(realdata, root, to_va, LABELLED, UNLABELLED[:3], validation=("single_face",), stride=8)
    return Clips(dataset, write_tracks(realdata, dataset, tmp_path_factory.mktemp("tracks")), to_va)


READS = [
    pytest.param((derivation, reads), id=f"{derivation}-{reads}")
    for reads in ("tracks", "images")
    for derivation in do2020_real.DERIVATIONS
]


@pytest.fixture(scope="module", params=READS)
def predicted(request, clips, tmp_path_factory):
    """A run with random weights that reads tracks or images, and its predictions of all clips."""
    derivation, reads = request.param
    changes = {"n_features": 128}
    if reads == "images":
        changes = {**do2020_real.ON_IMAGES, "faces": clips.images(RETURNS, do2020_real.ON_IMAGES["image_size"])}
    run = do2020_real.untrained_run(derivation, tmp_path_factory.mktemp("run"), **changes)
    model = run.load_model()
    run.load_model = lambda: model  # loaded once for all that is asked of it
    return run, training.predict(run, clips.dataset, None, clips.stores, progress=False)


def by_hand(run, clips, trial):
    """The outputs for each frame with a face from its own block, put together here: the last 16 faces, the first one repeated."""
    model, n = run.load_model(), len(clips.faces(trial))
    before = np.maximum(np.arange(n)[:, None] + np.arange(1 - BLOCK, 1), 0)
    if run.recipe.reads == "tracks":
        tracks = {name: clips.track(name, trial).values[clips.faces(trial)] for name in run.recipe.inputs()}
        inputs = {name: track if name == "features" else track[before] for name, track in tracks.items()}
        outputs = model.get_layer("head").predict_on_batch(inputs)
    elif run.recipe.derivation == "image_va":
        outputs = model.predict_on_batch({"image": clips.images(trial, run.recipe.image_size)})
    else:
        images, block = clips.images(trial, run.recipe.image_size), rewire(model, "block")
        parts = [block.predict_on_batch({"frames": images[rows]}) for rows in np.array_split(before, 4)]
        outputs = {name: np.concatenate([part[name] for part in parts]) for name in OUTPUTS}
    return {name: np.asarray(outputs[name]) for name in OUTPUTS}


def rows_of(table, trial, frames):
    """Outputs as a table has them, by name."""
    rows = table[table["trial"] == trial].set_index("frame").loc[frames]
    rows.attrs = table.attrs
    return {
        "expression": predictions.probabilities(rows),
        "valence": rows[["valence"]].to_numpy(),
        "arousal": rows[["arousal"]].to_numpy(),
    }


def assert_same(found, expected):
    for name in OUTPUTS:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-5, err_msg=name)


def test_the_teachers_map_is_a_ridge_regression_that_holds_on_other_clips(realdata, clips):
    table = predictions.read_pyfeat(realdata / "frame_preds_pyfeat_news")
    x, y = predictions.probabilities(table), table[["valence", "arousal"]].to_numpy()
    oracle = Ridge(alpha=1.0).fit(x, y)
    np.testing.assert_allclose(clips.to_va(x), oracle.predict(x), rtol=0, atol=1e-9)
    guessed = np.empty_like(y)
    for clip in table["trial"].unique():
        own = (table["trial"] == clip).to_numpy()
        guessed[own] = Ridge(alpha=1.0).fit(x[~own], y[~own]).predict(x[own])
    assert clips.to_va.held_out_ccc == pytest.approx([metrics.ccc(y[:, k], guessed[:, k]) for k in (0, 1)])
    assert min(clips.to_va.held_out_ccc) > 0.9


def test_clips_are_a_dataset_like_aff_wild2(clips):
    diagnosis = examine(clips.dataset, images="all")
    assert not diagnosis.has_errors, diagnosis.format()
    trials = clips.dataset.trials().set_index("trial")
    assert trials["split"].to_dict() == {
        "lrwp9a": "train",
        "sbwe5n": "train",
        "single_face": "validation",
        **dict.fromkeys((LEAVES, APPEARS, "no_face", RETURNS), "test"),
    }
    for trial in trials.index:
        known = clips.dataset.labels(trial).notna().all(axis=1) & (clips.dataset.labels(trial)["expression"] >= 0)
        expected = clips.faces(trial) if trials.loc[trial, "split"] != "test" else []
        np.testing.assert_array_equal(np.flatnonzero(known), expected)
    # The man is serious, then grins.
    man = clips.dataset.labels("single_face")
    assert (man["expression"].iloc[:10] == labels.EXPRESSIONS_7.index("Neutral")).all()
    assert (man["expression"].iloc[30:60] == labels.EXPRESSIONS_7.index("Happiness")).all()
    assert man["valence"].iloc[30:60].min() > man["valence"].iloc[:10].max() + 0.5


def test_a_person_leaves_and_returns(clips):
    first, second = clips.faces(LEAVES), clips.faces(APPEARS)
    joined = clips.faces(RETURNS)
    np.testing.assert_array_equal(joined, np.concatenate([first, second + 169]))
    assert np.diff(joined).max() > 150
    assert second[0] > 90
    pictures = [clips.dataset.image_path(*key).read_bytes() for key in ((RETURNS, joined[-1]), (APPEARS, second[-1]))]
    assert pictures[0] == pictures[1]


def test_tracks_are_what_the_published_network_says_in_the_official_order(realdata, clips):
    network = build_mini_xception(weights=locate("fer2013_mini_xception", realdata / "models/oarriaga_fer"))
    maps = keras.Model(network.input, network.get_layer("add_4").output)
    for trial in ("lrwp9a", RETURNS):
        images, faces = clips.images(trial, 64), clips.faces(trial)
        found = {name: clips.track(name, trial) for name in ("features", "probabilities")}
        for track in found.values():
            assert len(track) == clips.dataset.n_frames(trial)
            np.testing.assert_array_equal(np.flatnonzero(~track.missing), faces)
        np.testing.assert_allclose(found["probabilities"].values[faces], predict_expression(images, network), atol=1e-5)
        expected = np.asarray(maps.predict_on_batch(preprocess(images))).mean(axis=(1, 2))
        np.testing.assert_allclose(found["features"].values[faces], expected, atol=1e-4)


def test_predictions_are_a_table_with_every_frame(predicted, clips, tmp_path):
    _, table = predicted
    predictions.validate(table)
    lengths = {trial: clips.dataset.n_frames(trial) for trial in clips.dataset.trials()["trial"]}
    assert table.groupby("trial").size().to_dict() == lengths
    assert (table.loc[table["trial"] == "no_face", "p_Neutral"] == 1).all()
    for task in labels.TASKS:
        predictions.write_submission(table, tmp_path / task, task)
        assert not predictions.validate_submission(tmp_path / task, task, lengths=lengths)


@pytest.mark.parametrize("trial", ["lrwp9a", RETURNS])
def test_predictions_are_those_of_blocks_made_by_hand(predicted, clips, trial):
    run, table = predicted
    expected = by_hand(run, clips, trial)
    assert_same(rows_of(table, trial, clips.faces(trial)), expected)
    assert np.ptp(expected["valence"]) > 1e-3  # the frames are not all alike to these weights


@pytest.mark.parametrize("trial", [APPEARS, RETURNS])
def test_frame_by_frame_is_as_in_one_go(predicted, clips, trial):
    run, table = predicted
    assert do2020_real.online_difference(run, clips.dataset, trial, table, clips.stores) <= 1e-5


def test_a_prediction_that_lags_by_a_frame_is_found_out(predicted, clips):
    run, table = predicted
    late, faces = table.copy(), clips.faces("lrwp9a")
    own = (late["trial"] == "lrwp9a") & late["frame"].isin(faces)
    columns = [name for name in late if name.startswith("p_") or name in ("valence", "arousal")]
    late.loc[own, columns] = np.roll(late.loc[own, columns].to_numpy(), 1, axis=0)
    late.attrs = table.attrs
    assert do2020_real.online_difference(run, clips.dataset, "lrwp9a", late, clips.stores) > 1e-3


def test_a_face_that_returns_is_seen_together_with_the_frames_before_it_left(predicted, clips):
    run, table = predicted
    frames = clips.faces(APPEARS)
    alone, returned = rows_of(table, APPEARS, frames), rows_of(table, RETURNS, frames + 169)
    if run.recipe.derivation == "image_va":
        assert_same(returned, alone)
        return
    # 15 frames reach back beyond the gap; then both have seen the same.
    assert_same({k: v[BLOCK - 1 :] for k, v in returned.items()}, {k: v[BLOCK - 1 :] for k, v in alone.items()})
    assert np.abs(returned["valence"] - alone["valence"])[: BLOCK - 1].max() > 1e-3


def test_images_may_come_in_portions(predicted, clips):
    run, table = predicted
    if run.recipe.reads == "tracks":
        inputs = {name: clips.track(name, RETURNS).values[clips.faces(RETURNS)] for name in run.recipe.inputs()}
    else:
        inputs = {"images": clips.images(RETURNS, run.recipe.image_size)}
    stream, cuts = StatLstmStream(run.load_model()), (0, 1, 60, 90, len(clips.faces(RETURNS)))
    parts = [stream.predict(**{k: x[a:b] for k, x in inputs.items()}) for a, b in pairwise(cuts)]
    found = {name: np.concatenate([part[name] for part in parts]) for name in OUTPUTS}
    assert_same(found, rows_of(table, RETURNS, clips.faces(RETURNS)))


@pytest.mark.parametrize("derivation", ["image_va", pytest.param("lstm_va", marks=pytest.mark.study)])
def test_training_on_the_teachers_values_and_predicting_other_people(derivation, clips, tmp_path):
    folds = (("single_face",), ("lrwp9a",), ("sbwe5n",))
    options = {"folds": folds, "epochs": 2}
    with eagerly():
        runs = [
            do2020_real.train_fold(derivation, k, clips.dataset, clips.stores, tmp_path, **options) for k in (0, 1, 2)
        ]
    for k, run in enumerate(runs):
        # Neither trained on nor used to choose the epoch.
        others = {trial for number, trials in enumerate(folds) if number != k for trial in trials}
        assert set(predictions.read(run.predictions_path)["trial"]) < others
        assert run.card["dataset"]["train"]["trials"] + run.card["dataset"]["validation"]["trials"] == 2
    held_out, unlabelled = do2020_real.predict_held_out(runs, clips.dataset, clips.stores, folds)
    assert set(held_out["trial"]) == {trial for trials in folds for trial in trials}
    assert set(unlabelled["trial"]) == {LEAVES, APPEARS, "no_face", RETURNS}
    # One man, one run, the same frames decoded from another file.
    same = [rows_of(table, trial, np.arange(60)) for table, trial in ((held_out, "single_face"), (unlabelled, LEAVES))]
    assert np.corrcoef(same[0]["valence"][:, 0], same[1]["valence"][:, 0])[0, 1] > 0.9
    for trial, table in (("single_face", held_out), (RETURNS, unlabelled)):
        assert do2020_real.online_difference(runs[0], clips.dataset, trial, table, clips.stores) <= 1e-5


@pytest.mark.study
def test_the_study(realdata, tmp_path):
    result = do2020_real.run(realdata, bootstrap=200, work=tmp_path / "work")
    print("\n" + result.format())
    table = result.table
    assert list(table.index.unique(0)) == list(do2020_real.GROUPS)
    assert table.loc["all"]["frames"].eq(1144).all()
    assert table["online_difference"].dropna().astype(float).max() <= 1e-5
    for group in do2020_real.GROUPS:
        constant = table.loc[group, do2020_real.CONSTANT]
        if group != "speakers of a sentence":  # predicted by several folds: not one constant
            assert constant["ccc_valence"] == pytest.approx(0, abs=0.1)
    everything = table.loc["all"]
    for derivation in do2020_real.DERIVATIONS:
        assert everything.loc[derivation, "ccc_valence"] > 0.3
        assert everything.loc[derivation, "accuracy"] > everything.loc[do2020_real.CONSTANT, "accuracy"]
        assert everything.loc[derivation, "ccc_valence_low"] < everything.loc[derivation, "ccc_valence"]
    assert {path.suffix for path in result.write(tmp_path)} == {".csv", ".md", ".png"}
