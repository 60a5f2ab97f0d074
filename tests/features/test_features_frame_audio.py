"""Audio features of frames against librosa called plainly per segment, exact time arithmetic, and damaged or absent sound."""

from fractions import Fraction

import librosa
import numpy as np
import pytest

from abaw_tf.features import frame_audio as features
from abaw_tf.features.frame_audio import FrameAudioConfig, frame_audio
from abaw_tf.media import audio, video
from abaw_tf.media.audio import Sound

RATE = 22050


def noise(n, seed=0, scale=0.1):
    return np.random.default_rng(seed).normal(0, scale, n).astype(np.float32)


def sound_of(samples, rate=RATE, spans=None):
    spans = ((0.0, len(samples) / rate),) if spans is None else spans
    return Sound(samples, rate, 1, rate, float(np.abs(samples).max(initial=0)), spans)


def plain_librosa(samples, times, period, sample_rate=RATE):
    """The features as the paper's words suggest them: librosa's defaults, averaged over each segment."""
    rows, length = [], round(2 * period * sample_rate)
    for time in times:
        start = round(time * sample_rate)
        segment = samples[start : start + length]
        segment = np.concatenate([segment, np.zeros(length - len(segment), np.float32)])
        mfcc = librosa.feature.mfcc(y=segment, sr=sample_rate, n_mfcc=40)
        mel = librosa.feature.melspectrogram(y=segment, sr=sample_rate)
        rows.append(np.concatenate([mfcc.mean(axis=1), mel.mean(axis=1)]))
    return np.array(rows)


@pytest.mark.filterwarnings("ignore:n_fft")  # segments shorter than the FFT
@pytest.mark.parametrize("fps", [Fraction(15, 2), 25, Fraction(30000, 1001), 50, 90])
@pytest.mark.parametrize("sample_rate", [22050, 16000])
def test_features_are_librosas(fps, sample_rate):
    n = 12
    times = np.arange(n) / float(fps)
    samples = noise(round((n + 1) / fps * sample_rate))
    # Loud beside quiet, so that the floor of 80 dB must be that of each segment.
    samples *= 10 ** np.linspace(0, -5, len(samples), dtype=np.float32)
    track = frame_audio(sound_of(samples, sample_rate), times, FrameAudioConfig(sample_rate))
    expected = plain_librosa(samples, times, 1 / float(fps), sample_rate)
    assert track.values.shape == (n, 168)
    assert track.values.dtype == np.float32
    np.testing.assert_allclose(track.values[:, :40], expected[:, :40], atol=1e-3)
    np.testing.assert_allclose(track.values[:, 40:], expected[:, 40:], rtol=1e-4, atol=1e-9)


@pytest.mark.filterwarnings("ignore:n_fft")
def test_decibels_on_request():
    segments = np.stack([noise(1764), noise(1764, 1, 1e-3)])
    found = features.segment_features(segments, FrameAudioConfig(mel_decibels=True))
    for row, segment in zip(found, segments):
        decibels = librosa.power_to_db(librosa.feature.melspectrogram(y=segment, sr=RATE))
        np.testing.assert_allclose(row[40:], decibels.mean(axis=1), atol=1e-3)


def test_segments_do_not_drift_within_an_hour():
    """Exact fractions: 107,892 frames at 30000/1001 per second, a hop of 735.735 samples; within half a sample each."""
    n = 3600 * 30000 // 1001
    starts = features.segment_starts(np.arange(n) * 1001 / 30000, RATE)
    hop = Fraction(1001 * RATE, 30000)
    assert hop.denominator > 1
    doubled = 2 * (starts * hop.denominator - np.arange(n) * hop.numerator)  # twice the error, in 1/denominator samples
    assert np.abs(doubled).max() <= hop.denominator
    assert set(np.diff(starts)) == {735, 736}
    assert starts[-1] == round((n - 1) * hop)


def test_click_of_every_frame_is_in_its_segment_after_an_hour():
    rate, fps = 1001, Fraction(30000, 1001)  # no click lies between two samples
    n = int(3600 * fps)
    samples = np.zeros(3600 * rate, np.float32)
    exact = [round(i / fps * rate) for i in range(n)]
    samples[exact] = 1
    length = features.segment_length(1 / float(fps), rate)
    assert length == 67
    starts = features.segment_starts(np.arange(n) * 1001 / 30000, rate)
    segments = features.cut_segments(samples, starts[-1000:], length)
    assert (segments[:, 0] == 1).all()
    assert (segments[:-1, 33:35].max(axis=1) == 1).all()  # that of the next frame: one half of the segment


def test_times_of_a_container_are_exact_enough(tmp_path):
    """29.97 frames per second through a file: each segment within one sample of its frame."""
    pictures = (np.zeros((32, 32, 3), np.uint8) for _ in range(120))
    path = video.write_video(tmp_path / "a.mp4", pictures, fps=30000 / 1001)
    starts = features.segment_starts(video.frame_times(path), RATE)
    exact = np.array([round(i * Fraction(1001 * RATE, 30000)) for i in range(120)])
    assert np.abs(starts - exact).max() <= 1


@pytest.mark.parametrize("fps", [7.5, 24000 / 1001, 25, 30])
def test_one_segment_per_frame_half_of_it_shared(fps):
    times = np.arange(50) / fps
    starts = features.segment_starts(times, RATE)
    length = features.segment_length(features.frame_period(times), RATE)
    assert len(starts) == 50
    shared = length - np.diff(starts)
    assert np.abs(shared - length / 2).max() <= 1


def test_variable_frame_rate_follows_the_times():
    times = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.06, 40)) - 0.02
    samples = noise(3 * RATE)
    length = round(2 * (times[-1] - times[0]) / 39 * RATE)
    track = frame_audio(sound_of(samples), times)
    for i in (0, 17, 39):
        start = round(times[i] * RATE)
        expected = features.segment_features(samples[None, start : start + length])
        np.testing.assert_allclose(track.values[i], expected[0], rtol=1e-4, atol=1e-3)


def test_cutting_at_the_edges():
    samples = np.arange(1, 11, dtype=np.float32)
    padded = np.pad(samples, 20)
    starts = np.array([-25, -3, 0, 4, 8, 10, 15])
    expected = np.stack([padded[max(start + 20, 0) :][:5] if start > -20 else np.zeros(5) for start in starts])
    np.testing.assert_array_equal(features.cut_segments(samples, starts, 5), expected)


def test_sound_that_is_shorter_than_the_picture():
    """1 s of sound, 1.4 s of picture: the segment of frame 24 reaches beyond the sound, those from 25 on hold none."""
    samples = noise(RATE)
    track = frame_audio(sound_of(samples), np.arange(35) / 25)
    assert track.missing.tolist() == [False] * 25 + [True] * 10
    silence = features.segment_features(np.zeros((1, 1764), np.float32))[0]
    np.testing.assert_array_equal(track.values[25:], np.tile(silence, (10, 1)))
    last = np.concatenate([samples[24 * 882 :], np.zeros(882, np.float32)])
    np.testing.assert_allclose(track.values[24], features.segment_features(last[None])[0], rtol=1e-5, atol=1e-5)
    assert track.findings == [
        "the sound ends at 1.00 s, the picture at 1.40 s",
        "10 of 35 frames are without sound",
    ]


def test_late_sound_and_holes_are_missing_not_silent():
    samples = noise(2 * RATE)
    spans = ((0.4, 1.0), (1.6, 2.0))
    for start, stop in ((0, 0.4), (1.0, 1.6)):
        samples[round(start * RATE) : round(stop * RATE)] = 0
    track = frame_audio(sound_of(samples, spans=spans), np.arange(50) / 25)
    # A segment lasts 0.08 s: that of frame 9 (0.36 s) reaches into the sound.
    assert np.flatnonzero(track.missing).tolist() == [*range(9), *range(25, 39)]
    assert not track.silent.any()
    assert track.findings == [
        "the sound begins 0.40 s after the picture",
        "1 hole(s) in the sound, 0.60 s in all, the first at 1.00 s",
        "23 of 50 frames are without sound",
    ]


def test_silence_is_finite_and_reported():
    track = frame_audio(sound_of(np.zeros(RATE, np.float32)), np.arange(25) / 25)
    assert track.silent.all()
    assert not track.missing.any()
    assert track.findings == ["the sound is silent"]
    # -100 dB in all 128 bands: an orthonormal cosine transform makes one number of it.
    np.testing.assert_allclose(track.values[:, 0], -100 * np.sqrt(128), rtol=1e-6)
    np.testing.assert_allclose(track.values[:, 1:], 0, atol=1e-3)
    partly = frame_audio(sound_of(np.concatenate([np.zeros(RATE, np.float32), noise(RATE)])), np.arange(50) / 25)
    assert np.flatnonzero(partly.silent).tolist() == list(range(24))
    assert partly.findings == []


def test_video_without_sound_is_all_missing(tmp_path):
    pictures = [np.full((32, 32, 3), i, np.uint8) for i in range(20)]
    path = video.write_video(tmp_path / "a.mp4", pictures, fps=20)
    track = frame_audio(path, video.frame_times(path))
    assert track.missing.all()
    assert np.isfinite(track.values).all()
    assert track.findings == ["no sound stream"]


def test_stereo_video_is_mixed_down(tmp_path):
    stereo = noise(2 * 44100).reshape(-1, 2)
    pictures = [np.full((32, 32, 3), i, np.uint8) for i in range(20)]
    path = video.write_video(
        tmp_path / "a.mkv", pictures, fps=20, audio=stereo, sample_rate=44100, audio_codec="pcm_f32le"
    )
    track = frame_audio(path, video.frame_times(path))
    mono = librosa.resample(stereo.mean(axis=1), orig_sr=44100, target_sr=RATE)
    expected = frame_audio(sound_of(mono), np.arange(20) / 20)
    np.testing.assert_allclose(track.values[:, :40], expected.values[:, :40], atol=0.05)
    assert not track.missing.any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sample_rate": 0}, "`sample_rate` must be a positive whole number.*sample_rate=0"),
        ({"hop_length": 1.5}, "`hop_length` must be a positive whole number"),
        ({"n_mfcc": 200}, "at most as many MFCCs as mel bands.*n_mfcc=200, n_mels=128"),
    ],
)
def test_wrong_configurations(arguments, words):
    with pytest.raises(ValueError, match=words):
        FrameAudioConfig(**arguments)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="give `period` for a single frame"):
        frame_audio(sound_of(noise(RATE)), [0.0])
    assert frame_audio(sound_of(noise(RATE)), [0.0], period=0.04).values.shape == (1, 168)
    for times in ([0.0, 0.0, 0.1], [0.0, np.nan, 0.1]):
        with pytest.raises(ValueError, match="increasing times"):
            frame_audio(sound_of(noise(RATE)), times)
    with pytest.raises(ValueError, match=r"must be read at the configuration's 22050.*Received: 16000"):
        frame_audio(sound_of(noise(16000), 16000), [0.0, 0.04])
    with pytest.raises(ValueError, match=r"`period` must be positive.*Received: period=-0\.1"):
        frame_audio(sound_of(noise(RATE)), [0.0, 0.04], period=-0.1)


def test_names():
    names = FrameAudioConfig().names()
    assert len(names) == FrameAudioConfig().dim == 168
    assert (names[0], names[39], names[40], names[-1]) == ("mfcc_0", "mfcc_39", "mel_0", "mel_127")


def test_sound_file_beside_a_video(tmp_path):
    path = audio.write_wav(tmp_path / "a.wav", noise(2 * 16000), 16000, subtype="FLOAT")
    track = frame_audio(path, np.arange(50) / 25, FrameAudioConfig(16000))
    expected = frame_audio(sound_of(noise(2 * 16000), 16000), np.arange(50) / 25, FrameAudioConfig(16000))
    np.testing.assert_array_equal(track.values, expected.values)
