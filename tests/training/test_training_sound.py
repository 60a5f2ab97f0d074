"""Recipes on windows of sound: training, resumption, predictions of every frame, trials without sound, real speech."""

import shutil

import numpy as np
import pandas as pd
import pytest
from eager import train_eagerly
from interruption import train_whole_and_resumed

from abaw_tf import predictions
from abaw_tf.data import AffWild2, sound_windows
from abaw_tf.data.windows import sliding_windows
from abaw_tf.features import waveforms
from abaw_tf.features.extract import ExtractionError
from abaw_tf.features.waveforms import Waveforms
from abaw_tf.media.audio import Sound, write_wav
from abaw_tf.training import Recipe, RunError, predict, train

TINY = {
    "audio_cnn_lstm": {"filters": (2, 2, 3, 3), "units": (3, 3)},
    "pann": {"widths": (2, 2, 2, 2, 3, 3), "embedding": 4},
}
COMMON = {
    "sample_rate": 16000,
    "window_seconds": 1.0,
    "step_seconds": 0.6,
    "epochs": 2,
    "patience": 2,
    "batch_size": 16,
}


def tiny(name="audio_cnn_lstm", **changes):
    return Recipe.from_preset(name, "small", **{**COMMON, **TINY[name], **changes})


@pytest.fixture(scope="module")
def dataset(synthetic_root):
    return AffWild2(synthetic_root)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Sound decoded once for all runs."""
    return {"sound": tmp_path_factory.mktemp("stores")}


@pytest.fixture(scope="module")
def run(dataset, stores, tmp_path_factory):
    return train_eagerly(tiny(), dataset, tmp_path_factory.mktemp("runs") / "window", stores=stores)


def windows_of(dataset, stores, split, size=5, stride=3):
    """Every trial's windows, each with its labels, from the label files alone."""
    found = []
    for trial in dataset.trials(split, "expression")["trial"]:
        labels, times = dataset.labels(trial)["expression"].to_numpy(), dataset.times(trial)
        n = int(times[-1] * 5 + 1e-6) + 1
        at = np.array([labels[np.argmin(np.abs(times - k / 5))] for k in range(n)])
        found += [(trial, start, at[start:stop]) for start, stop in sliding_windows(n, size, stride, "last")]
    return found


def test_windows_are_counted_by_their_majority(run, dataset, stores):
    counts = np.zeros(7, int)
    for _, _, labels in windows_of(dataset, stores, "train"):
        known = labels[labels >= 0]
        if len(known):
            counts[np.bincount(known, minlength=7).argmax()] += 1
    assert list(run.card["training_windows"].values()) == counts.tolist()
    assert run.card["training_examples"] == counts.sum()
    present = counts > 0
    weights = counts.sum() / (present.sum() * counts[present])  # scikit-learn's "balanced"
    np.testing.assert_allclose(np.array(run.card["class_weights"])[present], weights, atol=1e-4)
    assert run.card["trials_without_sound"] == []


def test_every_frame_of_every_trial_is_predicted(run, dataset, stores):
    table = predict(run, dataset, "validation", stores=stores, progress=False)
    frames = dataset.frame_table("validation", "expression")
    assert frames["path"].isna().any()  # no face is needed
    assert table[["trial", "frame"]].to_numpy().tolist() == frames[["trial", "frame"]].to_numpy().tolist()
    predictions.validate(table)
    assert not any("filled" in note or "Neutral" in note for note in table.attrs["notes"])


def test_predictions_are_the_models_own(run, dataset, stores):
    """Of each instant the mean of its windows, in between a straight line; everything recomputed here."""
    table = predict(run, dataset, "validation", stores=stores, progress=False)
    columns = [f"p_{name}" for name in dataset.edition.classes]
    trial = table["trial"].iloc[0]
    sound = np.nan_to_num(np.asarray(Waveforms(dataset, stores["sound"], 16000).read(trial).samples, np.float32))
    times = dataset.times(trial)
    n = int(times[-1] * 5 + 1e-6) + 1
    sound = np.pad(sound, (0, 16000))
    total, count = np.zeros((n, 7)), np.zeros((n, 1))
    model = run.load_model()
    for start, stop in sliding_windows(n, 5, 3, "last"):
        piece = sound[start * 3200 : start * 3200 + 16000]
        total[start:stop] += np.asarray(model({"sound": piece[None]}, training=False)["expression"])[0]
        count[start:stop] += 1
    expected = [np.interp(times, np.arange(n) / 5, column) for column in (total / count).T]
    found = table.loc[table["trial"] == trial, columns].to_numpy()
    np.testing.assert_allclose(found, np.transpose(expected), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["audio_cnn_lstm", "pann"])
def test_an_interrupted_run_ends_as_the_uninterrupted_one(name, run, dataset, stores, tmp_path):
    uninterrupted = run if name == "audio_cnn_lstm" else None
    whole = train_whole_and_resumed(tiny(name), dataset, tmp_path, uninterrupted, stores=stores)
    if name == "pann":
        sizes = np.array(list(whole.card["training_windows"].values()))
        weights = np.array(whole.card["class_weights"])
        np.testing.assert_allclose(weights[sizes > 0], sizes.max() / sizes[sizes > 0], atol=1e-4)


@pytest.fixture
def muted(dataset, monkeypatch, tmp_path):
    """The dataset as if some of its videos had no sound."""

    def mute(trials):
        silent, read = {dataset.video_path(trial) for trial in trials}, waveforms.read_sound
        nothing = Sound(np.zeros(0, np.float32), 16000, 0, None, 0.0, ())
        monkeypatch.setattr(waveforms, "read_sound", lambda path, rate: nothing if path in silent else read(path, rate))
        return {"sound": tmp_path / "muted"}

    return mute


def test_trials_without_sound_are_left_out_and_called_neutral(run, dataset, muted):
    trials = dataset.trials("validation", "expression")["trial"].tolist()
    table = predict(run, dataset, "validation", stores=muted(trials[:1]), progress=False)
    notes = table.attrs["notes"]
    assert any(trials[0] in note and "no sound" in note for note in notes)
    assert (table.loc[table["trial"] == trials[0], "p_Neutral"] == 1).all()
    assert (table.loc[table["trial"] != trials[0], "p_Neutral"] < 1).all()


def test_training_without_any_sound_is_refused(dataset, muted, tmp_path):
    stores = muted(dataset.trials()["trial"].tolist())
    with pytest.raises(RunError, match="none of the videos has sound"):
        train(tiny(epochs=1), dataset, tmp_path / "run", stores=stores, progress=False)


def test_separated_voices_are_asked_for_and_found(synthetic_root, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(synthetic_root, root)
    dataset, recipe = AffWild2(root), tiny(voice="vocals", epochs=1)
    with pytest.raises(ExtractionError, match="no separated voice"):
        train(recipe, dataset, tmp_path / "run", progress=False)
    rng = np.random.default_rng(0)
    for video in {dataset.video_path(trial) for trial in dataset.trials()["trial"]}:
        noise = rng.uniform(-0.5, 0.5, 4 * 16000).astype(np.float32)
        write_wav(root / "vocals" / f"{video.stem}.wav", noise, 16000)
    run = train_eagerly(recipe, dataset, tmp_path / "run")
    assert run.finished
    trial = dataset.trials("train")["trial"].iloc[0]
    heard = np.asarray(Waveforms(dataset, run.folder / "features", 16000, "vocals").read(trial).samples, np.float32)
    assert np.std(heard) == pytest.approx(0.5 / np.sqrt(3), rel=0.02)


def test_windows_behind_the_end_of_the_sound_are_left_out_and_it_is_told(run, dataset, stores, tmp_path, monkeypatch):
    """Here that of some videos ends after a second."""
    read, trials = waveforms.read_sound, dataset.trials("train", "expression")["trial"].tolist()
    validation = dataset.trials("validation", "expression")["trial"].tolist()
    cut = {dataset.video_path(trial) for trial in trials + validation[:1]}
    second = Sound(np.full(16000, 0.1, np.float32), 16000, 1, 16000, 0.1, ((0.0, 1.0),))
    monkeypatch.setattr(waveforms, "read_sound", lambda path, rate: second if path in cut else read(path, rate))
    cut_run = train_eagerly(tiny(epochs=1, step_seconds=1.0), dataset, tmp_path / "run")
    labels = windows_of(dataset, None, "train", stride=5)
    assert cut_run.card["training_examples"] == sum(start < 5 and (at >= 0).any() for _, start, at in labels)
    assert set(cut_run.card["sound"]) == {*trials, validation[0]}
    assert all("the sound ends at 1.00 s" in said[0] for said in cut_run.card["sound"].values())
    (note,) = [note for note in predictions.read(cut_run.predictions_path).attrs["notes"] if "from silence" in note]
    assert note.endswith(f": {validation[0]}")
    whole = predict(run, dataset, "validation", stores=stores, progress=False)
    assert not any("from silence" in note for note in whole.attrs["notes"])


def sing_labels(dataset):
    """Give every video a "voice" whose pitch is the expression at that time: rising from Neutral to Surprise."""
    for trial in dataset.trials()["trial"][::-1]:  # of two people the first one, whose trial comes last here
        labels, times = dataset.labels(trial)["expression"].to_numpy(), dataset.times(trial)
        at = np.arange(int((times[-1] + 0.2) * 16000)) / 16000
        nearest = np.searchsorted((times[1:] + times[:-1]) / 2, at)
        pitch = np.where(labels[nearest] < 0, 0, 250 * 1.6 ** labels[nearest])
        samples = 0.3 * np.sin(2 * np.pi * np.cumsum(pitch) / 16000)
        write_wav(dataset.root / "vocals" / f"{dataset.video_path(trial).stem}.wav", samples.astype(np.float32), 16000)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        (
            "audio_cnn_lstm",
            {
                "target": "steps",
                "filters": (16, 16, 16, 16),
                "units": (16, 16),
                "amplitude": 3.0,
                "learning_rate": 3e-3,
                "epochs": 45,
            },
        ),
        (
            "pann",
            {
                "widths": (16, 16, 16, 16, 32, 64),
                "embedding": 64,
                "window_seconds": 0.4,
                "learning_rate": 2e-3,
                "batch_norm_momentum": 0.8,
                "epochs": 20,
            },
        ),
    ],
)
def test_what_the_voice_tells_is_learned_at_its_time(name, changes, synthetic_root, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(synthetic_root, root)
    dataset = AffWild2(root)
    sing_labels(dataset)
    more = {"voice": "vocals", "step_seconds": 0.2, "patience": 50}
    run = train(tiny(name, **{**more, **changes}), dataset, tmp_path / "run", progress=False)
    assert run.card["scores"]["macro_f1"] > 0.5  # a guess has about .1
    if name == "audio_cnn_lstm":
        labels = dataset.frame_table("train", "expression")["expression"]
        assert 0 < sum(run.card["training_labels"].values()) <= labels.ge(0).sum()


def test_a_model_of_other_windows_is_refused(run, dataset, stores, tmp_path):
    shutil.copytree(run.folder, tmp_path / "run")
    text = (tmp_path / "run" / "recipe.yaml").read_text()
    (tmp_path / "run" / "recipe.yaml").write_text(text.replace("window_seconds: 1.0", "window_seconds: 1.2"))
    with pytest.raises(RunError, match=r"takes 16000 samples.*19200"):
        predict(tmp_path / "run", dataset, "validation", stores=stores, progress=False)


def test_a_run_of_another_voice_is_told_apart(run, dataset, stores, tmp_path):
    shutil.copytree(run.folder, tmp_path / "run")
    card = (tmp_path / "run" / "run.json").read_text()
    (tmp_path / "run" / "run.json").write_text(card.replace('"sound": "waveform-', '"sound": "waveform-other'))
    with pytest.raises(RunError, match="trained on tracks `sound` of waveform-other"):
        predict(tmp_path / "run", dataset, "validation", stores=stores, progress=False)


class Speakers:
    """Real clips of GRID, one trial each, as the runner sees a dataset."""

    def __init__(self, folder):
        self.paths = {path.stem: path for path in sorted(folder.glob("*.mpg"))[:3]}

    def trials(self):
        return pd.DataFrame({"trial": list(self.paths)})

    def video_path(self, trial):
        return self.paths[trial]

    def n_frames(self, trial):
        return 75

    def times(self, trial):
        return np.arange(75) / 25


def test_real_speech_is_heard_to_its_end(run, realdata, tmp_path):
    """The sound ends 22 ms before the picture; every one of the 75 frames has its row."""
    from abaw_tf.training import keras_runner

    dataset = Speakers(realdata / "video_grid")
    parts = [
        pd.DataFrame({"trial": name, "frame": np.arange(75), "expression": -1, "valence": np.nan, "arousal": np.nan})
        for name in dataset.paths
    ]
    table = pd.concat(parts, ignore_index=True)
    rows, outputs, notes = keras_runner.predict(run, dataset, table, {"sound": tmp_path}, progress=False)
    assert rows[["trial", "frame"]].equals(table[["trial", "frame"]])
    assert outputs["expression"].shape == (225, 7)
    np.testing.assert_allclose(outputs["expression"].sum(axis=1), 1, rtol=1e-5)
    assert notes == []
    first = outputs["expression"][:75]
    assert np.ptp(first, axis=0).max() > 0  # the windows differ
    assert sound_windows.count_instants(dataset.times("any"), 5) == 15
