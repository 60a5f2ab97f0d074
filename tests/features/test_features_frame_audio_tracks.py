"""Audio features of a dataset in a store: resumed, renewed, and trials without sound."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from abaw_tf.data import AffWild2
from abaw_tf.features import frame_audio_tracks as tracks
from abaw_tf.features.extract import ExtractionError
from abaw_tf.features.frame_audio import FrameAudioConfig, frame_audio
from abaw_tf.features.store import FeatureStore
from abaw_tf.media import video

RATE = 16000


def write(path, n=25, samples=None):
    pictures = (np.full((32, 32, 3), i % 256, np.uint8) for i in range(n))
    sound = {} if samples is None else {"audio": samples, "sample_rate": RATE, "audio_codec": "pcm_f32le"}
    return video.write_video(path, pictures, fps=25, **sound)


@pytest.fixture
def dataset(tmp_path):
    """Four videos (noise, noise that ends early, silence, no sound), two people in the first, one trial without a video."""
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    sounds = {"two": noise, "short": noise[: RATE // 2], "silent": np.zeros(RATE, np.float32), "mute": None}
    paths = {name: write(tmp_path / f"{name}.mkv", samples=samples) for name, samples in sounds.items()}
    paths = {"two_left": paths["two"], "two_right": paths.pop("two"), **paths, "gone": None}
    names = [*paths][:-1]
    return SimpleNamespace(
        paths=paths,
        trials=lambda: pd.DataFrame({"trial": names}),
        n_frames=lambda trial: 25,
        times=lambda trial: video.frame_times(paths[trial]),
        video_path=lambda trial: paths[trial],
    )


def test_tracks_of_a_dataset(dataset, tmp_path):
    report = tracks.extract_frame_audio(dataset, tmp_path / "out", progress=False)
    store = FeatureStore.open(report.folder)
    assert store.trials() == report.written == ["mute", "short", "silent", "two_left", "two_right"]
    expected = frame_audio(dataset.paths["two_left"], np.arange(25) / 25).values
    for trial in ("two_left", "two_right"):
        track = store.read(trial)
        assert track.values.dtype == np.float32
        np.testing.assert_array_equal(track.values, expected)
        assert not track.missing.any()
    assert store.read("mute").missing.all()
    assert not store.read("mute").filled("zeros").any()
    # The segment of frame 12 (0.48 s) still has 20 ms of sound; "previous" holds it.
    short = store.read("short")
    assert np.flatnonzero(short.missing).tolist() == list(range(13, 25))
    np.testing.assert_array_equal(short.filled()[13:], np.tile(short.values[12], (12, 1)))
    assert not store.read("silent").missing.any()
    assert report.images == 2 * 25 + 13 + 25


def test_a_trial_of_a_single_frame(dataset, tmp_path):
    """Its segment lasts two frames at the video's rate."""
    noise = np.random.default_rng(1).normal(0, 0.1, RATE).astype(np.float32)
    dataset.paths["one"] = write(tmp_path / "one.mkv", n=1, samples=noise)
    dataset.trials = lambda: pd.DataFrame({"trial": ["one"], "fps": [25.0]})
    dataset.n_frames = lambda trial: 1
    report = tracks.extract_frame_audio(dataset, tmp_path / "out", progress=False)
    expected = frame_audio(dataset.paths["one"], [0.0], period=0.04).values
    np.testing.assert_array_equal(FeatureStore.open(report.folder).read("one").values, expected)


def test_what_is_odd_is_reported(dataset, tmp_path):
    report = tracks.extract_frame_audio(dataset, tmp_path / "out", progress=False)
    assert report.findings == {
        "mute": ["no sound stream"],
        "short": ["the sound ends at 0.50 s, the picture at 1.00 s", "12 of 25 frames are without sound"],
        "silent": ["the sound is silent"],
    }
    text = report.format()
    assert text.startswith("5 trials extracted, 0 already there, 0 failed; 88 frames in ")
    assert "mute: no sound stream" in text
    sidecar = pd.read_json(report.folder / "short.json", typ="series")
    assert sidecar["notes"] == {
        "channels": 1,
        "source_rate": RATE,
        "missing_frames": 12,
        "silent_frames": 0,
        "findings": report.findings["short"],
    }


def test_resumes_and_renews(dataset, tmp_path):
    first = tracks.extract_frame_audio(dataset, tmp_path / "out", trials=["short", "mute"], progress=False)
    before = (first.folder / "short.npy").stat().st_mtime_ns
    (first.folder / "mute.json").unlink()  # as if killed between the two files
    second = tracks.extract_frame_audio(dataset, tmp_path / "out", progress=False)
    assert second.skipped == ["short"]
    assert second.written == ["mute", "silent", "two_left", "two_right"]
    assert (first.folder / "short.npy").stat().st_mtime_ns == before
    write(dataset.paths["silent"], samples=np.full(2 * RATE, 0.5, np.float32))
    third = tracks.extract_frame_audio(dataset, tmp_path / "out", progress=False)
    assert third.renewed == third.written == ["silent"]
    assert len(third.skipped) == 4
    assert "silent" not in third.findings


def test_failures_cost_only_their_trial(dataset, tmp_path):
    dataset.paths["silent"].write_bytes(b"not a video" * 30)
    with pytest.raises(ExtractionError, match=r"gone: no video.*\n.*silent: .*silent\.mkv cannot be read") as error:
        tracks.extract_frame_audio(dataset, tmp_path / "out", trials=["gone", "silent", "mute"], progress=False)
    assert error.value.report.written == ["mute"]


def test_configurations_have_stores_of_their_own(tmp_path):
    stores = [tracks.frame_audio_store(tmp_path), tracks.frame_audio_store(tmp_path, FrameAudioConfig(RATE))]
    assert stores[0].folder != stores[1].folder
    assert stores[0].folder == tracks.frame_audio_store(tmp_path, FrameAudioConfig()).folder


def test_shards_are_disjoint_and_complete(dataset, tmp_path):
    written = [
        tracks.extract_frame_audio(dataset, tmp_path / "out", shard=(i, 2), progress=False).written for i in range(2)
    ]
    assert sorted(written[0] + written[1]) == sorted(dataset.trials()["trial"])
    assert not set(written[0]) & set(written[1])


def test_wrong_arguments(dataset, tmp_path):
    with pytest.raises(ValueError, match=r"`shard` must be .*Received: shard=\(2, 2\)"):
        tracks.extract_frame_audio(dataset, tmp_path, shard=(2, 2))
    with pytest.raises(ValueError, match=r"`dtype` must be one of .*'float64'"):
        tracks.extract_frame_audio(dataset, tmp_path, dtype="float64")


@pytest.mark.slow
def test_synthetic_dataset_row_for_row(synthetic_root, tmp_path):
    """Variable frame rates, two people in a picture: as many rows as frames, at the times of the frames."""
    dataset = AffWild2(synthetic_root)
    report = tracks.extract_frame_audio(dataset, tmp_path, progress=False)
    table = dataset.trials()
    assert report.written == sorted(table["trial"])
    store = FeatureStore.open(report.folder)
    for trial in table["trial"]:
        times = dataset.times(trial)
        track = store.read(trial)
        assert track.values.shape == (dataset.n_frames(trial), 168) == (len(times), 168)
        expected = frame_audio(dataset.video_path(trial), times)
        np.testing.assert_array_equal(track.missing, expected.missing)
        np.testing.assert_array_equal(track.values[~track.missing], expected.values[~track.missing])
