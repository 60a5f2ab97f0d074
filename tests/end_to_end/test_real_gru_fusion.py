"""Real speech and real faces through the GRU fusion network: what is trained on, what is heard, how it is scored."""

import numpy as np
import pandas as pd
import pytest
import soundfile
from eager import eagerly
from scipy.stats import beta
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from abaw_tf import metrics, predictions
from abaw_tf.data import AffWild2
from abaw_tf.features.frame_audio import frame_audio
from abaw_tf.features.store import FeatureStore
from abaw_tf.features.track import FeatureTrack
from abaw_tf.studies import STUDIES, emodb, rasipuram2020_real
from abaw_tf.studies.emodb import EQUAL, RECORDED
from abaw_tf.studies.emodb_arousal import (
    LOGISTIC,
    LOGISTIC_MFCC,
    LOUDNESS,
    NETWORK,
    FileScores,
    hold_out_network,
    hold_out_regression,
    weighted_auc,
)
from abaw_tf.studies.rasipuram2020_real import BOTH, CLIPS, CONSTANT, DEAF, FACE, SOUND, SPEECH
from abaw_tf.training import Run, predict
from abaw_tf.training.silencing import SilencedRun

TINY = {"units": {"audio": (6, 4), "expnet": (6, 6, 4)}, "fusion_units": 6, "sequence": 4, "stride": 2, "epochs": 1}
HIGH, LOW = ("anger", "fear", "happiness"), ("boredom", "neutral", "sadness")


@pytest.fixture(scope="module")
def files(realdata):
    table = emodb.read_files(realdata)
    return table.assign(n_frames=50).assign(fold=lambda table: emodb.speaker_folds(table))


@pytest.fixture(scope="module")
def few(realdata, tmp_path_factory):
    """Three speakers' files as a dataset."""
    with pytest.MonkeyPatch.context() as patch:
        table = emodb.read_files(realdata)
        patch.setattr(emodb, "read_files", lambda _: table[table["speaker"].isin(["03", "08", "10"])])
        return emodb.write_speech(realdata, tmp_path_factory.mktemp("speech"), n_folds=3)


@pytest.fixture(scope="module")
def scores(files):
    return FileScores(files, bootstrap=200)


def aroused(files):
    return files["emotion"].isin(HIGH).to_numpy()


def test_files_are_told_by_their_names(files):
    """The letter before the last one is the emotion: W Wut, A Angst, F Freude, N neutral, L Langeweile, T Trauer; E Ekel is left out."""
    letters = dict(zip("WAFNLT", ("anger", "fear", "happiness", "neutral", "boredom", "sadness")))
    assert files["emotion"].tolist() == [letters[trial[5]] for trial in files["trial"]]
    judged = files[~files["original"]]
    assert judged["emotion"].value_counts().to_dict() == dict.fromkeys((*HIGH, *LOW), 10)
    assert judged["speaker"].nunique() == 10
    assert files.loc[files["original"], "speaker"].tolist() == ["03"] * 6
    assert set(files["emotion"][aroused(files)]) == {name for name, high in emodb.AROUSED.items() if high}


def test_no_speaker_is_in_two_folds(files):
    assert (files.groupby("speaker")["fold"].nunique() == 1).all()
    kinds = files[~files["original"]].assign(aroused=aroused(files)[~files["original"]]).groupby("fold")["aroused"]
    assert kinds.nunique().tolist() == [2] * 5
    assert kinds.size().min() >= 10


def test_the_length_of_a_file_does_not_tell_that_it_was_filled_up(realdata):
    path = realdata / "audio_emodb2s" / "12a02Wc.wav"
    whole, _ = soundfile.read(path)
    assert (whole[-11780:] == 0).all()
    sound = emodb.read_speech(path)
    assert sound.samples[-1] != 0
    np.testing.assert_allclose(sound.samples, whole[: len(sound.samples)], atol=1e-6)
    assert not whole[len(sound.samples) :].any()
    assert sound.spans == ((0.0, len(sound.samples) / 22050),)


def test_loudness_is_made_equal(realdata):
    for name in ("audio_emodb2s/14a02Tb.wav", "audio_emodb16k/03a01Wa.wav"):
        sound = emodb.read_speech(realdata / name)
        equal = emodb.equal_loudness(sound)
        assert np.sqrt(np.mean(equal.samples.astype(float) ** 2)) == pytest.approx(0.1, rel=1e-5)
        assert np.corrcoef(sound.samples, equal.samples)[0, 1] > 1 - 1e-6


def test_speech_is_a_dataset_of_frames_without_pictures(few):
    assert set(few.files["speaker"]) == {"03", "08", "10"}
    assert sorted(few.files["fold"].unique()) == [0, 1, 2]
    for file, track, equal in zip(few.files.itertuples(), few.tracks(RECORDED), few.tracks(EQUAL)):
        labels = few.dataset.labels(file.trial)
        assert len(labels) == file.n_frames == len(track)
        assert (labels["arousal"] == np.float32(0.7 if file.emotion in HIGH else -0.7)).all()
        np.testing.assert_allclose(few.dataset.times(file.trial), np.arange(file.n_frames) / 25)
        sound = emodb.read_speech(file.path)
        assert file.n_frames <= 25 * len(sound.samples) / 22050 < file.n_frames + 1
        np.testing.assert_allclose(track, frame_audio(sound, np.arange(file.n_frames) / 25).values, rtol=1e-5)
        # A louder sound has its mel powers multiplied, and of its MFCCs the first one shifted.
        gain = 0.01 / np.mean(sound.samples.astype(float) ** 2)
        np.testing.assert_allclose(equal[:, 40:], gain * track[:, 40:], rtol=1e-3, atol=1e-8)
        loud = track[:, 40:].max(axis=1) > 1e-2
        np.testing.assert_allclose(equal[loud, 1:40], track[loud, 1:40], atol=0.05)
        assert file.loudness == pytest.approx(-20 - 10 * np.log10(gain))


def test_speech_is_written_once(few, monkeypatch):
    monkeypatch.setattr(FeatureStore, "write", None)
    monkeypatch.setattr(emodb, "read_files", lambda _: few.files[["trial", "emotion", "speaker", "original", "path"]])
    again = emodb.write_speech(None, few.dataset.root.parent, n_folds=3)
    pd.testing.assert_frame_equal(again.files, few.files)


def test_missing_speech_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"audio_emodb2s.labels\.csv: no such file; the folder must hold"):
        emodb.read_files(tmp_path)


def test_the_area_under_the_curve_is_scikit_learns():
    rng = np.random.default_rng(0)
    positive, said = rng.random(30) < 0.5, rng.integers(0, 8, 30) / 8  # with ties
    weights = rng.integers(0, 3, (20, 30)).astype(float)
    found = weighted_auc(positive, said, weights)
    expected = [roc_auc_score(positive, said, sample_weight=row) for row in weights]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.isnan(weighted_auc(positive, said, positive[None].astype(float)))


def test_scores_of_speech_are_those_of_the_files_that_were_held_out(files, scores):
    """The original files, which have the wrong sign here, do not count."""
    rng, high, judged = np.random.default_rng(1), aroused(files), ~files["original"].to_numpy()
    said = np.where(high == judged, 0.3, -0.3) + rng.normal(0, 0.4, len(files))
    truth = np.where(high, 0.7, -0.7)
    row = scores.row(said, valence=said)
    assert row["scored"] == "60 files"
    assert row["auc"] == pytest.approx(roc_auc_score(high[judged], said[judged]))
    hits = np.sum((said > 0)[judged] == high[judged])
    assert row["accuracy"] == pytest.approx(hits / 60)
    assert row["accuracy_low"] == pytest.approx(beta.ppf(0.025, hits, 61 - hits))
    assert row["accuracy_high"] == pytest.approx(beta.ppf(0.975, hits + 1, 60 - hits))
    assert row["ccc_arousal"] == pytest.approx(metrics.ccc(truth[judged], said[judged]))
    for name in ("auc", "accuracy", "ccc_arousal", "ccc_valence"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    assert np.isnan(scores.row(said)["ccc_valence"])
    assert np.isnan(FileScores(files, bootstrap=0).row(said)["auc_low"])


def test_chance_knows_the_speakers(files, scores):
    """Whoever tells nothing but the speaker tells no arousal, however much more aroused one speaker's files are."""
    high = aroused(files).astype(float)
    assert scores.chance(high) < 1e-3
    assert scores.chance(-high) == 1
    by_speaker = pd.Series(high).groupby(files["speaker"]).transform("mean").to_numpy()
    assert roc_auc_score(high[scores.rows], by_speaker[scores.rows]) > 0.6
    assert scores.chance(by_speaker) == 1


def test_a_regression_has_not_seen_what_it_predicts(files):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(len(files), 3)) + aroused(files)[:, None]
    said = hold_out_regression(x, files)
    own, judged = (files["fold"] == 2).to_numpy(), ~files["original"].to_numpy()
    others = ~own & judged
    scaler = StandardScaler().fit(x[others])
    oracle = LogisticRegression().fit(scaler.transform(x[others]), aroused(files)[others])
    expected = 0.7 * (2 * oracle.predict_proba(scaler.transform(x[own]))[:, 1] - 1)
    np.testing.assert_allclose(said[own], expected, atol=1e-3)


@pytest.mark.slow
def test_a_network_has_not_heard_whom_it_predicts(few, tmp_path):
    with eagerly():
        found = hold_out_network(few, EQUAL, tmp_path, epochs=1)
    assert found.index.tolist() == few.files["trial"].tolist()
    speaker_of = few.files.set_index("trial")["speaker"]
    for fold, speakers in few.files.groupby("fold")["speaker"].unique().items():
        run = Run(tmp_path / f"equal_loudness_{fold}")
        chosen = set(predictions.read(run.predictions_path)["trial"])
        heard = set(run.card["training_trials"])
        assert not set(speaker_of[list(chosen | heard)]) & set(speakers)
        assert not chosen & heard
        assert not set(few.files.loc[few.files["original"], "trial"]) & (chosen | heard)
        assert run.card["tracks"]["audio"] == few.stores[EQUAL].folder.name
    own = few.files["fold"] == 0
    again = Run(tmp_path / "equal_loudness_0")
    table = predict(again, few.dataset, None, {"audio": few.stores[EQUAL]}, progress=False)
    mean = table.groupby("trial")["arousal"].mean()
    np.testing.assert_allclose(found["arousal"][own.to_numpy()], mean[few.files.loc[own, "trial"]], atol=1e-6)


@pytest.fixture
def clips(tmp_path):
    """Three labelled trials and one without labels, on random tracks; faces appear with the third frame."""
    from abaw_tf.data.annotations import write_valence_arousal

    rng, lengths = np.random.default_rng(3), {"a": 40, "b": 31, "single_face": 35, "nobody_rated": 20}
    stores = {name: FeatureStore(tmp_path, name, {}, "0" * 64) for name in ("audio", "expnet")}
    for trial, n in lengths.items():
        for name, width in (("audio", 168), ("expnet", 128)):
            missing = np.arange(n) < (2 if name == "expnet" else 0)
            stores[name].write(trial, rng.normal(size=(n, width)).astype(np.float32), missing)
        if trial != "nobody_rated":
            path = tmp_path / "data" / "annotations" / "VA_Set" / "Train_Set" / f"{trial}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_valence_arousal(path, rng.uniform(-1, 1, (n, 2)))
    (tmp_path / "data" / "va_test_set.txt").write_text("nobody_rated\n")
    crops = tmp_path / "data" / "cropped_aligned" / "nobody_rated"
    crops.mkdir(parents=True)
    import cv2

    cv2.imwrite(str(crops / "00020.jpg"), np.zeros((8, 8, 3), np.uint8))
    return AffWild2(tmp_path / "data", fps=25), stores, lengths


@pytest.mark.slow
def test_clips_are_predicted_by_networks_that_have_not_seen_their_people(clips, tmp_path):
    dataset, stores, lengths = clips
    folds = (("single_face",), ("a",), ("b",))
    with eagerly():
        tables = rasipuram2020_real.hold_out_clips(dataset, stores, tmp_path / "runs", folds=folds, **TINY)
    assert list(tables) == [CONSTANT, SOUND, FACE, BOTH, DEAF]
    for table in tables.values():
        predictions.validate(table)
        assert table.groupby("trial").size().to_dict() == lengths
    for number, trials in enumerate(folds):
        run = Run(tmp_path / "runs" / f"audio_expnet_{number}")
        known = set(run.card["training_trials"]) | set(predictions.read(run.predictions_path)["trial"])
        assert known == {"single_face", "a", "b"} - set(trials)
    # The constant of a fold: the mean label of the others.
    others = pd.concat([dataset.labels("a"), dataset.labels("single_face")])["arousal"].mean()
    assert tables[CONSTANT].query("trial == 'b'")["arousal"].unique() == pytest.approx([others])

    # A network of the face does not hear, and one that is silenced hears as little.
    class Other:
        def read(self, trial):
            track = stores["audio"].read(trial)
            return FeatureTrack(trial, track.values[::-1], track.missing)

    runs = {
        SOUND: Run(tmp_path / "runs" / "audio_2"),
        FACE: Run(tmp_path / "runs" / "expnet_2"),
        BOTH: Run(tmp_path / "runs" / "audio_expnet_2"),
        DEAF: SilencedRun(tmp_path / "runs" / "audio_expnet_2", ("audio",)),
    }
    for method, run in runs.items():
        with eagerly():
            again = predict(run, dataset, None, {**stores, "audio": Other()}, progress=False)
        arousal = [table.query("trial == 'b'")["arousal"].to_numpy() for table in (again, tables[method])]
        assert (np.abs(arousal[0] - arousal[1]).max() > 1e-4) == (method in (SOUND, BOTH)), method


@pytest.mark.slow
@pytest.mark.study
def test_the_study(realdata, tmp_path):
    assert STUDIES["rasipuram2020_real"] == "rasipuram2020_real"
    result = rasipuram2020_real.run(realdata, tmp_path / "work", bootstrap=200)
    print("\n" + result.format())
    table = result.table
    baselines = [LOGISTIC, LOGISTIC_MFCC]
    assert table.loc[SPEECH[RECORDED]].index.tolist() == [NETWORK, *baselines, LOUDNESS]
    assert table.loc[SPEECH[EQUAL]].index.tolist() == [NETWORK, *baselines]
    assert table.loc[CLIPS].index.tolist() == [CONSTANT, SOUND, FACE, BOTH, DEAF]
    for version in SPEECH.values():
        network = table.loc[version, NETWORK]
        assert network["auc_low"] > 0.6
        assert network["accuracy_low"] > 0.5
        assert float(network["p"]) < 1e-3
        assert network["ccc_arousal"] > 0.3
    clips = table.loc[CLIPS]
    assert clips["scored"].eq("1,144 frames").all()
    # Nine people are too few to learn from: no bar for the scores, but that sound and face are looked at, and the face tells something.
    assert clips.loc[FACE, "ccc_valence"] > clips.loc[CONSTANT, "ccc_valence"]
    assert clips["ccc_valence"].is_unique
    assert clips["ccc_arousal"].is_unique
    notes = "\n".join(result.notes)
    assert "pose_squats: no sound stream" in notes
    assert "WolfgangLanger_Pexels: the sound is silent" in notes
    assert "ends 22 to 22 ms before the picture" in notes
    predicted = predictions.validate(predictions.read(tmp_path / "work" / "predictions.parquet"))
    lengths = predicted.groupby("trial").size().to_dict()
    assert lengths["pose_squats"] == 65
    assert len(lengths) == 12
    predictions.write_submission(predicted, tmp_path / "submission", "valence_arousal")
    assert not predictions.validate_submission(tmp_path / "submission", "valence_arousal", lengths=lengths)
    assert {path.suffix for path in result.write(tmp_path)} == {".csv", ".md", ".png"}
