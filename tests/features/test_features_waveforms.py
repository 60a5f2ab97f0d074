"""The sound of whole videos on disk: what is kept, for whom, and what is decoded again."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.signal import resample_poly

from abaw_tf.data import AffWild2
from abaw_tf.features.extract import ExtractionError
from abaw_tf.features.waveforms import Waveforms, extract_waveforms
from abaw_tf.media.audio import read_sound, write_wav

RATE = 8000


class Clips:
    """A dataset of files, whose trials have as many frames a second as they like."""

    def __init__(self, root, files, fps=25.0, n_frames=30):
        self.root, self.files, self.fps, self.count, self.decoded = Path(root), files, fps, n_frames, 0

    def trials(self):
        return pd.DataFrame({"trial": list(self.files)})

    def n_frames(self, trial):
        return self.count

    def times(self, trial):
        self.decoded += 1
        return np.arange(self.count) / self.fps

    def video_path(self, trial):
        path = self.files[trial]
        return None if path is None else Path(path)


def tone(path, seconds=2.0, frequency=440, rate=RATE):
    samples = 0.3 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)
    return write_wav(path, samples.astype(np.float32), rate)


def test_both_people_of_a_video_hear_the_same_file(tmp_path):
    path = tone(tmp_path / "v.wav")
    dataset = Clips(tmp_path, {"v": path, "v_left": path, "v_right": path})
    report = extract_waveforms(dataset, tmp_path / "stores", RATE, progress=False)
    assert report.written == ["v", "v_left", "v_right"]  # each has a clock of its own
    sounds = Waveforms(dataset, tmp_path / "stores", RATE)
    assert sounds.sounds.trials() == ["v"]
    expected = read_sound(path, RATE).samples
    for trial in dataset.files:
        assert sounds.read(trial).samples.dtype == np.float16
        np.testing.assert_allclose(sounds.read(trial).samples, expected, atol=0.3 / 2048)
        assert not sounds.read(trial).has_holes


def test_people_with_files_of_their_own_hear_their_own(tmp_path):
    files = {f"v_{side}": tone(tmp_path / f"v_{side}.wav", frequency=f) for side, f in (("left", 200), ("right", 900))}
    dataset = Clips(tmp_path, files)
    extract_waveforms(dataset, tmp_path / "stores", RATE, dtype="float32", progress=False)
    sounds = Waveforms(dataset, tmp_path / "stores", RATE)
    for trial, path in files.items():
        np.testing.assert_array_equal(sounds.read(trial).samples, read_sound(path, RATE).samples)


def test_nothing_is_decoded_twice_until_it_changes(tmp_path):
    dataset = Clips(tmp_path, {"a": tone(tmp_path / "a.wav"), "b": tone(tmp_path / "b.wav")})
    extract_waveforms(dataset, tmp_path / "stores", RATE, trials=["a"], progress=False)
    report = extract_waveforms(dataset, tmp_path / "stores", RATE, progress=False)
    assert (report.skipped, report.written, dataset.decoded) == (["a"], ["b"], 2)
    tone(tmp_path / "a.wav", seconds=3.0)
    report = extract_waveforms(dataset, tmp_path / "stores", RATE, progress=False)
    assert (report.renewed, report.skipped) == (["a"], ["b"])
    assert len(Waveforms(dataset, tmp_path / "stores", RATE).read("a").samples) == 3 * RATE
    assert Waveforms(dataset, tmp_path / "stores", 2 * RATE).sounds.trials() == []


def test_another_voice_of_the_same_size_is_decoded_anew(tmp_path):
    dataset = Clips(tmp_path, {"v": tone(tmp_path / "v.wav")})
    sizes = set()
    for frequency in (200, 900):
        path = tone(tmp_path / "vocals" / "v.wav", frequency=frequency)
        sizes.add(path.stat().st_size)
        extract_waveforms(dataset, tmp_path / "stores", RATE, "vocals", progress=False)
        heard = Waveforms(dataset, tmp_path / "stores", RATE, "vocals").read("v").samples
        np.testing.assert_allclose(heard, read_sound(path, RATE).samples, atol=0.3 / 2048)
    assert len(sizes) == 1


def test_what_was_found_is_kept(tmp_path):
    dataset = Clips(tmp_path, {"v": tone(tmp_path / "v.wav", seconds=0.5), "w": tone(tmp_path / "w.wav")})
    for _ in range(2):  # of sound that was there already, too
        extract_waveforms(dataset, tmp_path / "stores", RATE, progress=False)
        sounds = Waveforms(dataset, tmp_path / "stores", RATE)
        assert sounds.findings("v") == ["the sound ends at 0.50 s, the picture at 1.16 s"]
        assert sounds.findings("w") == []


def test_the_times_of_an_hour_stay_exact(tmp_path):
    dataset = Clips(tmp_path, {"a": tone(tmp_path / "a.wav")}, fps=30000 / 1001, n_frames=110_000)
    extract_waveforms(dataset, tmp_path / "stores", RATE, progress=False)
    found = Waveforms(dataset, tmp_path / "stores", RATE).times("a")
    np.testing.assert_allclose(found, np.arange(110_000) * 1001 / 30000, rtol=0, atol=1e-7)


def test_a_trial_without_a_video_fails_and_the_others_are_kept(tmp_path):
    dataset = Clips(tmp_path, {"a": None, "b": tone(tmp_path / "b.wav")})
    with pytest.raises(ExtractionError, match="a: no video") as caught:
        extract_waveforms(dataset, tmp_path / "stores", RATE, progress=False)
    assert caught.value.report.written == ["b"]


def test_a_video_without_sound_is_absent(tmp_path, realdata):
    path = next((realdata / "pose_tfjs").glob("**/*.mp4"))
    dataset = Clips(tmp_path, {"a": path})
    report = extract_waveforms(dataset, tmp_path / "stores", RATE, progress=False)
    assert report.findings == {"a": ["no sound stream"]}
    assert Waveforms(dataset, tmp_path / "stores", RATE).read("a").is_absent


def test_separated_voices_are_heard_instead(tmp_path):
    video, folder = tone(tmp_path / "v.wav", frequency=200), tmp_path / "vocals"
    dataset = Clips(tmp_path, {"v": video})
    with pytest.raises(ExtractionError, match=r"no separated voice of v\.wav.*voice=\"mixture\""):
        extract_waveforms(dataset, tmp_path / "stores", RATE, "vocals", progress=False)
    tone(folder / "v.wav", frequency=900)
    extract_waveforms(dataset, tmp_path / "stores", RATE, "vocals", progress=False)
    extract_waveforms(dataset, tmp_path / "stores", RATE, "mixture", progress=False)
    for voice, path in (("vocals", folder / "v.wav"), ("mixture", video)):
        heard = Waveforms(dataset, tmp_path / "stores", RATE, voice).read("v").samples
        np.testing.assert_allclose(heard, read_sound(path, RATE).samples, atol=0.3 / 2048)


@pytest.mark.parametrize("seconds", [1.0, 4.0])
def test_a_voice_of_another_length_fails_and_the_others_are_kept(tmp_path, seconds):
    """Spleeter cuts after ten minutes; behind the end of such a voice everything would be silence."""
    dataset = Clips(tmp_path, {name: tone(tmp_path / f"{name}.wav", seconds=2.0) for name in "vw"}, n_frames=50)
    for name, length in (("v", seconds), ("w", 2.1)):  # coders pad a little
        tone(tmp_path / "vocals" / f"{name}.wav", seconds=length)
    with pytest.raises(
        ExtractionError, match=rf"v: .*as long as its sound, 2\.00 s.*{seconds:.2f} s.*separate.*again"
    ) as caught:
        extract_waveforms(dataset, tmp_path / "stores", RATE, "vocals", progress=False)
    assert caught.value.report.written == ["w"]


@pytest.mark.parametrize("seconds", [1.0, 2.0])
def test_a_voice_ends_with_the_sound_or_with_the_picture(tmp_path, seconds):
    dataset = Clips(tmp_path, {"v": tone(tmp_path / "v.wav", seconds=1.0)}, n_frames=50)  # a picture of 2 s
    tone(tmp_path / "vocals" / "v.wav", seconds=seconds)
    assert extract_waveforms(dataset, tmp_path / "stores", RATE, "vocals", progress=False).written == ["v"]


def test_wrong_arguments_are_refused(tmp_path):
    dataset = Clips(tmp_path, {})
    with pytest.raises(ValueError, match=r"voice.*'song'"):
        Waveforms(dataset, tmp_path, RATE, "song")
    for options in ({"shard": (2, 2)}, {"dtype": "int16"}):
        with pytest.raises(ValueError, match=next(iter(options))):
            extract_waveforms(dataset, tmp_path, RATE, progress=False, **options)


def test_real_clips_in_step_with_their_pictures(realdata, tmp_path):
    """Speakers of GRID: 44.1 kHz stereo, 22 ms shorter than the picture."""
    files = {path.stem: path for path in itertools.islice(sorted((realdata / "video_grid").glob("*.mpg")), 2)}
    dataset = Clips(tmp_path, files, n_frames=75)
    extract_waveforms(dataset, tmp_path / "stores", 16000, progress=False)
    sounds = Waveforms(dataset, tmp_path / "stores", 16000)
    for trial, path in files.items():
        samples = np.asarray(sounds.read(trial).samples, np.float32)
        assert len(samples) == pytest.approx(2.978 * 16000, abs=40)
        expected = resample_poly(read_sound(path).samples, 160, 441)[: len(samples)]
        assert np.corrcoef(expected, samples[: len(expected)])[0, 1] > 0.999


def test_a_synthetic_dataset(synthetic_root, tmp_path):
    dataset = AffWild2(synthetic_root)
    trials = dataset.trials("train")["trial"].tolist()
    extract_waveforms(dataset, tmp_path, 16000, trials=trials, progress=False)
    sounds = Waveforms(dataset, tmp_path, 16000)
    assert len(sounds.sounds.trials()) == len({dataset.video_path(trial) for trial in trials}) < len(trials)
    for trial in trials:
        assert len(sounds.times(trial)) == dataset.n_frames(trial)
        assert len(sounds.read(trial).samples) == pytest.approx(4 * 16000, rel=0.05)
