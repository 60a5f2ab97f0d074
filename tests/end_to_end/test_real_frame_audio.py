"""Audio features of real sound (GRID, Emo-DB, odd videos): librosa as the oracle, and the two paths within the stated tolerances."""

import importlib.util
from dataclasses import replace

import librosa
import numpy as np
import pandas as pd
import pytest
from scipy.signal import butter, sosfiltfilt
from scipy.stats import mannwhitneyu

from abaw_tf.features.frame_audio import FrameAudioConfig, frame_audio
from abaw_tf.media.audio import read_sound
from abaw_tf.media.video import frame_times

GRID = ("bbaf2n", "id2_vcd_swwp2s", "lbax4n", "lbbc2a", "lrwp9a", "pwij3p", "sbia1a", "sbwe5n")
FPS = 25
needs_tfio = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_io") is None,
    reason='tensorflow-io is not installed: pip install "abaw_tf[io]"',
)


def files(realdata, corpus):
    """Some files of a corpus: all of GRID, the original files of Emo-DB, every seventh of its 2 s files."""
    if corpus == "grid":
        return [realdata / f"video_grid/{name}.mpg" for name in GRID]
    if corpus == "emodb16k":
        return sorted((realdata / "audio_emodb16k").glob("*.wav"))
    return sorted((realdata / "audio_emodb2s").glob("*.wav"))[::7]


def times_of(sound):
    return np.arange(int(len(sound.samples) / sound.sample_rate * FPS)) / FPS


@pytest.mark.filterwarnings("ignore:n_fft")  # segments shorter than the FFT
def test_features_are_librosas(realdata):
    """Of every fifth frame, from librosa's own reading of the file's sound on."""
    for path in (realdata / "audio_emodb16k/03a01Wa.wav", realdata / "audio_emodb2s/14a02Tb.wav"):
        samples, rate = librosa.load(path, sr=22050)
        track = frame_audio(path, np.arange(int(len(samples) / rate * FPS)) / FPS)
        for i in range(0, len(track.values), 5):
            segment = np.zeros(1764, np.float32)
            piece = samples[882 * i : 882 * i + 1764]
            segment[: len(piece)] = piece
            mfcc = librosa.feature.mfcc(y=segment, sr=rate, n_mfcc=40).mean(axis=1)
            mel = librosa.feature.melspectrogram(y=segment, sr=rate).mean(axis=1)
            np.testing.assert_allclose(track.values[i, :40], mfcc, atol=5e-3)
            np.testing.assert_allclose(track.values[i, 40:], mel, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("corpus", ["grid", "emodb16k", "emodb2s"])
def test_graph_gives_librosas_features_of_the_same_sound(realdata, corpus):
    from abaw_tf.features.frame_audio_graph import segment_features_in_graph

    for path in files(realdata, corpus):
        sound = read_sound(path, 22050)
        expected = frame_audio(sound, times_of(sound)).values
        found = frame_audio(sound, times_of(sound), compute=segment_features_in_graph).values
        np.testing.assert_allclose(found[:, :40], expected[:, :40], atol=5e-3)
        np.testing.assert_allclose(found[:, 40:], expected[:, 40:], rtol=1e-3, atol=1e-8)


@needs_tfio
@pytest.mark.parametrize("sample_rate", [22050, 16000, 44100])
@pytest.mark.parametrize("corpus", ["grid", "emodb16k", "emodb2s"])
def test_both_paths_give_the_same_within_the_stated_tolerances(realdata, corpus, sample_rate):
    """libsndfile/FFmpeg + soxr + librosa against tensorflow-io + Keras; the tolerances are those of `abaw_tf.media.audio_graph`."""
    from abaw_tf.features.frame_audio_graph import segment_features_in_graph
    from abaw_tf.media.audio_graph import load_audio_in_graph

    config, worst = FrameAudioConfig(sample_rate), {}
    for path in files(realdata, corpus):
        sound = read_sound(path, sample_rate)
        other = replace(sound, samples=load_audio_in_graph(str(path), sample_rate, "tensorflow_io").numpy())
        assert other.samples.shape == sound.samples.shape
        expected = frame_audio(sound, times_of(sound), config).values
        found = frame_audio(other, times_of(sound), config, compute=segment_features_in_graph).values
        for name, value in deviations(sound, other, expected, found).items():
            worst[name] = max(worst.get(name, 0), value)
    print(f"\n{corpus}, {sample_rate} Hz: " + ", ".join(f"{name} {value:.2g}" for name, value in worst.items()))
    resampled = sample_rate != sound.source_rate
    limits = (0.05, 1e-3, 0.1, 6, 0.1) if resampled else (0, 0, 1e-5, 2e-3, 1e-3)
    for (name, value), limit in zip(worst.items(), limits, strict=True):
        assert value <= limit, name


def deviations(sound, other, expected, found):
    """How far the paths are apart, as the table in `abaw_tf.media.audio_graph` says."""
    rate, lower = sound.sample_rate, min(sound.sample_rate, sound.source_rate)
    error, power = other.samples - sound.samples, np.mean(sound.samples**2)
    low = error if not error.any() else sosfiltfilt(butter(8, 0.8 * lower / 2, fs=rate, output="sos"), error)
    mfcc = found[:, :40] - expected[:, :40]
    spread = expected[:, :40] - expected[:, :40].mean(axis=0)
    # Bands whose upper edge is below 0.85 of the lower Nyquist rate.
    upper = librosa.mel_frequencies(130, fmin=0, fmax=rate / 2)[2:]
    below = 40 + np.flatnonzero(upper < 0.85 * lower / 2)
    mel = np.abs(found - expected)[:, below] / (expected[:, below] + 1e-6 * expected[:, 40:].max())
    return {
        "waveform": np.sqrt(np.mean(error**2) / power),
        "waveform below 0.8 Nyquist": np.sqrt(np.mean(low**2) / power),
        "MFCC, rms / spread": np.sqrt(np.mean(mfcc**2) / np.mean(spread**2)),
        "MFCC, largest": np.abs(mfcc).max(),
        "mel, relative": mel.max(),
    }


def test_grid_clips_are_all_there(realdata):
    """75 frames each, the sound 22 ms shorter than the picture: the last segment holds 18 of 80 ms and is not missing."""
    for path in files(realdata, "grid"):
        track = frame_audio(path, frame_times(path))
        assert track.values.shape == (75, 168)
        assert np.isfinite(track.values).all()
        assert not track.missing.any()
        assert not track.silent.any()
        assert track.findings == []


@pytest.mark.parametrize(
    ("name", "n", "missing", "silent", "finding"),
    [
        ("video_pyfeat/face_noface.mov", 169, "begin", False, "the sound begins 2.43 s after the picture"),
        ("video_pyfeat/WolfgangLanger_Pexels.mp4", 472, "none", True, "the sound is silent"),
        ("pose_tfjs/pose_1.mp4", None, "all", False, "no sound stream"),
    ],
)
def test_odd_videos_are_masked_and_reported(realdata, name, n, missing, silent, finding):
    times = frame_times(realdata / name)
    track = frame_audio(realdata / name, times)
    assert len(track.values) == len(times) == (n or len(times))
    assert np.isfinite(track.values).all()
    period = (times[-1] - times[0]) / (len(times) - 1)
    expected = {"begin": times + 2 * period <= 2.43, "none": times < 0, "all": times >= 0}[missing]
    assert (track.missing != expected).sum() <= 1  # the sound's beginning is known to a few milliseconds here
    assert (track.silent.mean() > 0.9) == silent
    assert track.findings[0] == finding


def test_angry_voices_have_their_power_higher_up_than_sad_ones(realdata):
    """Ten files each of Emo-DB: the share of the mel powers above 1 kHz (Banse and Scherer 1996: more in hot anger, less in sadness)."""
    table = pd.read_csv(realdata / "audio_emodb2s/labels.csv", dtype=str)
    high = librosa.mel_frequencies(130, fmin=0, fmax=22050 / 2)[1:-1] > 1000
    shares = {}
    for emotion in ("anger", "sadness"):
        powers = [
            frame_audio(realdata / "audio_emodb2s" / name, np.arange(50) / FPS).values[:, 40:].sum(axis=0)
            for name in table.loc[table["emotion"] == emotion, "file"]
        ]
        shares[emotion] = [power[high].sum() / power.sum() for power in powers]
        assert len(powers) == 10
    assert mannwhitneyu(shares["anger"], shares["sadness"], alternative="greater").pvalue < 0.01


def test_joined_clips_have_the_features_of_the_single_ones(realdata):
    """Up to 21 s into a file, a moment has the features that it has in its own clip (which was encoded otherwise)."""
    (joined,) = (realdata / "video_derived").glob("*.mp4")
    track = frame_audio(joined, frame_times(joined))
    singles = [frame_audio(path, frame_times(path)).values for path in files(realdata, "grid")]
    assert len(track.values) == 525
    for start in range(0, 525, 75):
        error = min(np.abs(track.values[start : start + 72, :13] - single[:72, :13]).mean() for single in singles)
        shifted = min(np.abs(track.values[start : start + 72, :13] - single[1:73, :13]).mean() for single in singles)
        assert error < 0.4 * shifted  # against being one frame out of step
