"""Real speech and real clips through the models of Dresvyanskiy et al. (2020): what is heard, by whom it is told, how it is scored."""

import numpy as np
import pandas as pd
import pytest
from eager import eagerly
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import accuracy_score, f1_score

from abaw_tf import predictions
from abaw_tf.fusion.averaging import weighted_average
from abaw_tf.fusion.held_out_result import BEST, EQUAL
from abaw_tf.labels import EXPRESSIONS_7
from abaw_tf.media.audio import read_sound
from abaw_tf.models.kernel_elm_estimator import KernelELM
from abaw_tf.studies import STUDIES, emodb, emodb_expression
from abaw_tf.studies.dresvyanskiy2020_clips import CLIP_MODELS, FACE_KELM, FACE_SVM, FUSED, fuse_clips
from abaw_tf.studies.dresvyanskiy2020_real import (
    CLIPS,
    MAJORITY,
    MCWF,
    ROWS,
    SINGLE,
    SPEECH,
    SWF,
    decide,
    run,
    speech_rows,
)
from abaw_tf.studies.emodb_expression import CLASSES, CNN_LSTM, KELM, PANN, FileDecisions, classes_of
from abaw_tf.training import Recipe, Run

TINY = {
    "audio_cnn_lstm": {"filters": (4, 4, 8, 8), "units": (8, 8)},
    "pann": {"widths": (4, 4, 8, 8, 8, 16), "embedding": 16},
}
LETTERS = {"N": "Neutral", "W": "Anger", "E": "Disgust", "A": "Fear", "F": "Happiness", "T": "Sadness"}


@pytest.fixture(scope="module")
def files(realdata):
    table = emodb.read_files(realdata, emodb.EXPRESSIONS)
    table = table[~table["original"]].reset_index(drop=True).assign(n_frames=50)
    return table.assign(fold=emodb.speaker_folds(table))


@pytest.fixture(scope="module")
def few(files, realdata, tmp_path_factory):
    """Four speakers' files, with their videos."""
    part = files[files["speaker"].isin(["03", "08", "10", "13"])].reset_index(drop=True)
    part = part.drop(columns=["n_frames", "fold"])
    speech = emodb.write_speech(
        realdata, tmp_path_factory.mktemp("speech"), n_folds=3, files=part, versions=[emodb.EQUAL]
    )
    return speech, emodb.write_videos(speech)


def test_six_classes_of_ten_files_are_told_by_their_names(files):
    """The letter before the last one is the emotion: L Langeweile, boredom, is no official class and left out."""
    assert set(EXPRESSIONS_7) - set(CLASSES) == {"Surprise"}
    assert [EXPRESSIONS_7[number] for number in classes_of(files)] == [LETTERS[trial[5]] for trial in files["trial"]]
    assert np.bincount(classes_of(files)).tolist() == [10] * 6
    assert files["speaker"].nunique() == 10
    assert (files.groupby("speaker")["fold"].nunique() == 1).all()


def test_speech_is_a_dataset_of_black_videos(few):
    speech, dataset = few
    for file in speech.files.itertuples():
        labels = dataset.labels(file.trial)
        assert len(labels) == file.n_frames
        assert labels["expression"].unique().tolist() == [emodb.EXPRESSIONS[file.emotion]]
        np.testing.assert_allclose(dataset.times(file.trial), np.arange(file.n_frames) / 25, atol=1e-6)
        there, given = read_sound(dataset.video_path(file.trial), 22050), emodb.read_speech(file.path)
        assert np.abs(there.samples).max() < 1
        n = min(len(there.samples), len(given.samples))
        assert n > len(given.samples) - 22050 / 25
        assert np.corrcoef(there.samples[:n], given.samples[:n])[0, 1] > 0.999
        assert np.sqrt(np.mean(there.samples.astype(float) ** 2)) == pytest.approx(0.05, rel=0.02)


def test_tracks_that_are_not_wanted_are_not_made(few):
    speech, _ = few
    assert list(speech.stores) == [emodb.EQUAL]
    assert len(list(speech.stores[emodb.EQUAL].folder.parent.iterdir())) == 1
    assert [len(track) for track in speech.tracks(emodb.EQUAL)] == speech.files["n_frames"].tolist()


def test_emotions_have_the_labels_that_are_known_of_them(realdata, tmp_path):
    table = emodb.read_files(realdata, ("boredom", "disgust", "fear")).groupby("emotion").head(1)
    dataset = emodb.write_speech(
        realdata, tmp_path, files=table.assign(speaker=list("abc"), original=False), n_folds=2
    ).dataset
    first = {row.emotion: dataset.labels(row.trial).iloc[0] for row in table.itertuples()}
    assert (first["boredom"]["expression"], first["boredom"]["arousal"]) == (-1, np.float32(-0.7))
    assert first["disgust"]["expression"] == 2
    assert np.isnan(first["disgust"]["arousal"])
    assert (first["fear"]["expression"], first["fear"]["valence"]) == (3, np.float32(-0.7))


def test_an_estimator_has_not_heard_whom_it_tells(files):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(len(files), 12)) + 2 * np.eye(12)[classes_of(files)]
    said = emodb_expression.hold_out(lambda: KernelELM("auto", normalize=True), x, files)
    np.testing.assert_allclose(said.sum(axis=1), 1)
    own = (files["fold"] == 3).to_numpy()
    oracle = KernelELM("auto", normalize=True).fit(
        x[~own], classes_of(files)[~own], files["speaker"].to_numpy(str)[~own]
    )
    np.testing.assert_allclose(said[own][:, oracle.classes_], oracle.predict_proba(x[own]), atol=1e-12)
    # Whoever has heard the speaker knows more than these labels of noise let expect.
    noise = rng.normal(size=(len(files), 40))
    blind = emodb_expression.hold_out(lambda: KernelELM(10.0, normalize=True), noise, files).argmax(axis=1)
    seen = LinearDiscriminantAnalysis().fit(noise, classes_of(files)).predict(noise)
    assert accuracy_score(classes_of(files), seen) > 0.9
    assert FileDecisions(files, 0).chance(blind) > 0.01


def test_scores_are_scikit_learns_and_chance_knows_the_speakers(files):
    rng, y = np.random.default_rng(1), classes_of(files)
    decided = np.where(rng.random(len(y)) < 0.5, y, rng.integers(0, 6, len(y)))
    scores = FileDecisions(files, bootstrap=200)
    row = scores.row(decided)
    assert row["accuracy"] == pytest.approx(accuracy_score(y, decided))
    assert row["macro_f1"] == pytest.approx(f1_score(y, decided, average="macro"))
    for name in ("accuracy", "macro_f1"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    assert float(row["p"]) == 1e-4
    # The commonest class of each speaker is right more often than one in six, and yet tells nothing but the speaker.
    by_speaker = files.assign(y=y).groupby("speaker")["y"].transform(lambda own: own.mode()[0]).to_numpy()
    assert accuracy_score(y, by_speaker) > 0.3
    assert scores.chance(by_speaker) == 1
    assert np.isnan(FileDecisions(files, bootstrap=0).row(decided)["accuracy_low"])


def test_the_most_frequent_class_is_that_of_other_speakers(files):
    for fold in files["fold"].unique():
        own = (files["fold"] == fold).to_numpy()
        (decided,) = set(emodb_expression.most_frequent(files)[own])
        counts = np.bincount(classes_of(files)[~own], minlength=6)
        assert counts[decided] == counts.max()


def test_weights_and_the_best_single_method_come_from_other_speakers(files):
    rng, y = np.random.default_rng(2), classes_of(files)
    said = {
        name: rng.dirichlet(np.ones(6), len(y)) + skill * np.eye(6)[y]
        for name, skill in zip(SINGLE, (0.1, 0.2, 0.3, 0.4))
    }
    said = {name: p / p.sum(axis=1, keepdims=True) for name, p in said.items()}
    decided, found = decide(said, files, draws=100, bootstrap=100)
    assert list(decided) == list(ROWS)
    rows = speech_rows(decided, FileDecisions(files, bootstrap=100))
    stacked, folds = np.stack([said[name] for name in SINGLE]), files["fold"].to_numpy()
    for fold in np.unique(folds):
        own = folds == fold
        inside = {name: f1_score(y[~own], said[name][~own].argmax(axis=1), average="macro") for name in SINGLE}
        assert (decided[BEST][own] == said[max(inside, key=inside.get)][own].argmax(axis=1)).all()
        for name in (SWF, MCWF):
            expected = weighted_average(stacked[:, own], found.fold_weights[name][fold]).argmax(axis=1)
            assert (decided[name][own] == expected).all()
    assert (decided[EQUAL] == np.mean(list(said.values()), axis=0).argmax(axis=1)).all()
    for name in (*SINGLE, BEST, EQUAL, SWF, MCWF):
        assert rows[name]["macro_f1"] == pytest.approx(found.table.loc[name, "held_out_score"])
    gains = found.gains.set_index(["fusion", "over"])["gain"]
    for name in (EQUAL, SWF, MCWF):
        assert rows[name]["gain"] == pytest.approx(gains[name, BEST])
    assert "gain" not in rows[MAJORITY]


def test_the_clips_fusion_does_not_listen_to_silence():
    """Of clips with nothing to hear it takes the faces alone, whatever the networks of sound say of them."""
    keys = {"trial": ["mute"] * 2 + ["spoken"] * 2, "frame": [0, 1] * 2}
    classes = dict(zip((FACE_KELM, FACE_SVM, CNN_LSTM, PANN), (0, 4, 1, 1)))
    p = {method: np.tile(0.1 / 6 + (0.9 - 0.1 / 6) * np.eye(7)[k], (4, 1)) for method, k in classes.items()}
    tables = {method: predictions.make_table(**keys, probabilities=values) for method, values in p.items()}
    fused = fuse_clips(tables, ["mute"])
    assert fused[["trial", "frame"]].to_dict("list") == keys
    faces = (p[FACE_KELM] + p[FACE_SVM]) / 2
    np.testing.assert_allclose(predictions.probabilities(fused)[:2], faces[:2], atol=1e-9)
    np.testing.assert_allclose(predictions.probabilities(fused)[2:], sum(p.values())[2:] / 4, atol=1e-9)
    assert any("mean of the other models" in note for note in fused.attrs["notes"])


@pytest.mark.slow
def test_a_network_has_not_heard_whom_it_tells(few, tmp_path, monkeypatch):
    class Tiny:
        @staticmethod
        def from_preset(name, preset, **fields):
            return Recipe.from_preset(name, preset, **TINY[name], **fields)

    monkeypatch.setattr(emodb_expression, "Recipe", Tiny)
    speech, dataset = few
    files = speech.files
    with eagerly():
        said, runs = emodb_expression.hold_out_networks(files, dataset, tmp_path, epochs=1)
    assert list(said) == list(runs) == [CNN_LSTM, PANN]
    speaker_of = files.set_index("trial")["speaker"]
    for network, name in emodb_expression.RECIPES.items():
        np.testing.assert_allclose(said[network].sum(axis=1), 1)
        assert np.ptp(said[network], axis=0).max() > 1e-4
        for fold, speakers in files.groupby("fold")["speaker"].unique().items():
            trained = Run(tmp_path / "seed0" / f"{name}_{fold}")
            heard = set(trained.card["training_trials"])
            chosen = set(predictions.read(trained.predictions_path)["trial"])
            assert heard
            assert chosen
            assert not heard & chosen
            assert not set(speaker_of[list(heard | chosen)]) & set(speakers)
        assert runs[network].folder.name == f"{name}_0"


@pytest.mark.slow
@pytest.mark.study
def test_the_study(realdata, tmp_path):
    assert STUDIES["dresvyanskiy2020_real"] == "dresvyanskiy2020_real"
    work = tmp_path / "work"
    result = run(realdata, work=work, bootstrap=200)
    print("\n" + result.format())
    speech, clips = result.table.loc[SPEECH], result.table.loc[CLIPS]
    assert speech.index.tolist() == list(ROWS)
    for method in (KELM, EQUAL):
        assert speech.loc[method, "accuracy_low"] > 1 / 6
        assert float(speech.loc[method, "p"]) < 1e-3
    assert speech.loc[MAJORITY, "accuracy"] < 1 / 6
    assert (
        speech[["accuracy", "macro_f1"]].to_numpy(float).max() < 0.95
    )  # of 60 files of two seconds: something would be wrong
    assert speech.loc[[EQUAL, SWF, MCWF], "gain_low"].notna().all()
    assert clips.index.tolist() == [*CLIP_MODELS, FUSED]
    assert clips["scored"].eq("1,144 frames").all()
    notes = "\n".join(result.notes)
    assert "ends 22 to 22 ms before the picture" in notes
    assert "of WolfgangLanger_Pexels, pose_squats, where there is nothing to hear" in notes

    paths = sorted((work / "predictions").iterdir())
    tables = {path.stem: predictions.validate(predictions.read(path)) for path in paths}
    assert len(tables) == 5
    lengths = pd.DataFrame([table.groupby("trial").size() for table in tables.values()])
    assert (lengths.nunique() == 1).all()
    lengths = lengths.iloc[0].to_dict()
    assert len(lengths) == 12
    assert [lengths[trial] for trial in ("bbaf2n", "sbwe5n", "pose_squats")] == [75, 75, 65]
    for name in ("1D-CNN_LSTM", "CNN14"):
        mute = tables[name].query("trial == 'pose_squats'")
        assert (mute["expression"] == 0).all()  # what the runner says of a video without sound
    assert not predictions.validate_submission(work / "submission", "expression", lengths=lengths)
    assert {path.suffix for path in result.write(tmp_path)} == {".csv", ".md", ".png"}
