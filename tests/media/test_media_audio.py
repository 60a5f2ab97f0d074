"""Sound reading against librosa, clicks at known times and real videos."""

from fractions import Fraction

import av
import librosa
import numpy as np
import pytest
import soundfile
from scipy import signal

from abaw_tf.media import audio, video
from abaw_tf.media.video import MediaError, MediaWarning


@pytest.fixture(scope="module")
def pictures():
    return [np.full((48, 64, 3), 2 * i, np.uint8) for i in range(100)]


def clicks(rate, *seconds, length=4.0):
    """Silence with one sample of 0.9 at each time."""
    samples = np.zeros(round(length * rate), np.float32)
    samples[[round(s * rate) for s in seconds]] = 0.9
    return samples


@pytest.mark.parametrize("rate", [None, 8000, 16000, 32000, 44100])
@pytest.mark.parametrize(
    "name", ["audio_emodb16k/03a01Nc.wav", "audio_emodb16k/03b10Ec.wav", "audio_emodb2s/14a02Tb.wav"]
)
def test_wav_as_librosa_reads_it(realdata, name, rate):
    samples, found = audio.load_audio(realdata / name, rate)
    expected, expected_rate = librosa.load(realdata / name, sr=rate)
    assert (samples.dtype, found) == (np.float32, expected_rate)
    # librosa rounds the length up and fills with a zero.
    assert len(expected) - len(samples) in (0, 1)
    np.testing.assert_allclose(samples, expected[: len(samples)], atol=1e-6)


def test_stereo_is_kept_or_averaged(tmp_path):
    stereo = np.random.default_rng(0).uniform(-0.5, 0.5, (1600, 2)).astype(np.float32)
    path = audio.write_wav(tmp_path / "a.wav", stereo, 16000, subtype="FLOAT")
    np.testing.assert_array_equal(audio.load_audio(path, mono=False)[0], stereo)
    np.testing.assert_allclose(audio.load_audio(path)[0], stereo.mean(1), atol=1e-7)
    assert audio.load_audio(path, 8000, mono=False)[0].shape == (800, 2)


@pytest.mark.parametrize(("suffix", "codec"), [(".flac", "FLAC"), (".ogg", "OGG"), (".aiff", "AIFF")])
def test_other_sound_files(tmp_path, suffix, codec):
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)).astype(np.float32)
    soundfile.write(tmp_path / f"a{suffix}", tone, 16000, format=codec)
    samples, rate = audio.load_audio(tmp_path / f"a{suffix}")
    assert (len(samples), rate) == (16000, 16000)
    assert np.corrcoef(samples, tone)[0, 1] > 0.99


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi"])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_sound_written_with_a_video_is_heard_at_its_time(tmp_path, pictures, suffix, rate):
    path = video.write_video(tmp_path / f"a{suffix}", pictures, audio=clicks(rate, 1.0, 3.0), sample_rate=rate)
    samples, found = audio.load_audio(path)
    assert found == rate
    loudest = np.sort(np.argsort(np.abs(samples))[-2:]) / rate
    np.testing.assert_allclose(loudest, [1.0, 3.0], atol=1e-3)


def test_flash_and_click_meet_after_variable_frame_rate(tmp_path):
    times = np.cumsum(np.random.default_rng(3).uniform(0.02, 0.1, 60))
    times -= times[0]
    flash = [np.full((48, 64, 3), 255 if i == 40 else 0, np.uint8) for i in range(60)]
    sound = clicks(16000, times[40], length=times[-1] + 1)
    path = video.write_video(tmp_path / "a.mp4", flash, times=times, audio=sound, sample_rate=16000)
    seen = max(video.read_frames(path), key=lambda item: item[2].mean())[1]
    heard = np.argmax(np.abs(audio.load_audio(path)[0])) / 16000
    assert seen == pytest.approx(heard, abs=2e-3)


def test_stereo_of_a_video(tmp_path, pictures):
    stereo = np.stack([clicks(16000, 1.0), clicks(16000, 2.0)], axis=1)
    path = video.write_video(tmp_path / "a.mkv", pictures, audio=stereo, sample_rate=16000, audio_codec="flac")
    samples, _ = audio.load_audio(path, mono=False)
    assert samples.shape[1] == 2
    np.testing.assert_allclose(np.argmax(np.abs(samples), axis=0), [16000, 32000], atol=20)


def test_length_of_real_clips(realdata):
    """22 ms shorter than the picture, as the material's description says; filled up on request."""
    path = realdata / "video_grid/bbaf2n.mpg"
    samples, rate = audio.load_audio(path)
    assert rate == 44100
    assert len(samples) / rate == pytest.approx(2.978, abs=1e-3)
    filled, _ = audio.load_audio(path, duration=3.0)
    assert len(filled) == 3 * 44100
    assert not filled[len(samples) :].any()
    np.testing.assert_array_equal(filled[: len(samples)], samples)
    assert len(audio.load_audio(path, 16000, duration=1.5)[0]) == 24000


def test_sound_that_begins_later_than_the_picture(realdata):
    """The recording's sound stream starts 2.43 s after its first frame."""
    path = realdata / "video_pyfeat/face_noface.mov"
    stream, rate = audio.load_audio(path, align="stream")
    aligned, _ = audio.load_audio(path)
    late = len(aligned) - len(stream)
    assert late / rate == pytest.approx(2.43, abs=0.001)
    assert not aligned[:late].any()
    np.testing.assert_array_equal(aligned[late:], stream)
    assert len(aligned) / rate == pytest.approx(video.frame_times(path)[-1], abs=0.05)


def test_sound_that_begins_before_the_picture(realdata):
    """FLV: the first frame is shown 36 ms after the sound starts."""
    path = realdata / "video_framecount/format_FLV_H264_AAC.video"
    stream, rate = audio.load_audio(path, align="stream")
    aligned, _ = audio.load_audio(path)
    np.testing.assert_array_equal(aligned, stream[round(0.036 * rate) :])


def test_sound_of_joined_clips_stays_in_step(realdata):
    """Each clip's sound is 22 ms shorter than its picture: without the holes the last clip would be heard 132 ms early."""
    (path,) = (realdata / "video_derived").glob("*.mp4")
    sound = audio.read_sound(path, 8000)
    assert len(sound.spans) == 7
    singles = [audio.load_audio(clip, 8000)[0] for clip in sorted((realdata / "video_grid").glob("*.mpg"))]
    for start in range(0, 7 * 24000, 24000):
        piece = sound.samples[start : start + 22000]
        matches = [signal.correlate(piece, clip[:22000]) for clip in singles]
        lag = np.argmax(max(matches, key=np.max)) - 21999
        assert abs(lag / 8000) <= 0.02


def test_silent_track_is_silence(realdata):
    samples, rate = audio.load_audio(realdata / "video_pyfeat/WolfgangLanger_Pexels.mp4", 16000)
    assert rate == 16000
    assert len(samples) / rate == pytest.approx(19.69, abs=0.01)
    assert np.abs(samples).max() < 1e-4


def test_video_without_sound(realdata):
    path = realdata / "pose_tfjs/pose_1.mp4"
    assert not audio.has_audio(path)
    with pytest.raises(MediaError, match=r"pose_1\.mp4 has no sound \(it holds: video\)"):
        audio.load_audio(path)
    silence, rate = audio.load_audio(path, 16000, missing="silence")
    assert (silence.shape, silence.dtype, rate) == ((4 * 16000,), np.float32, 16000)
    assert not silence.any()
    assert audio.load_audio(path, 16000, missing="silence", duration=2.5)[0].shape == (40000,)
    assert audio.load_audio(path, 16000, mono=False, missing="silence")[0].shape == (64000, 1)


def test_missing_silence_still_reads_sound_that_is_there(realdata):
    path = realdata / "video_grid/bbaf2n.mpg"
    assert audio.has_audio(path)
    samples, _ = audio.load_audio(path, 44100, missing="silence")
    np.testing.assert_array_equal(samples, audio.load_audio(path)[0])


def test_cut_file_gives_what_decodes_and_says_so(tmp_path, realdata):
    whole = (realdata / "video_framecount/format_MP4_AVC720P_AAC.video").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.warns(MediaWarning, match=r"cut\.mp4: .*its end is missing"):
        samples, rate = audio.load_audio(cut)
    assert 2 < len(samples) / rate < 4


def test_bad_input(tmp_path, realdata):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.wav: no such audio file"):
        audio.load_audio(tmp_path / "nowhere.wav")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.mp4"):
        audio.load_audio(tmp_path / "nowhere.mp4")
    for name in ("a.wav", "a.mp4"):
        (tmp_path / name).write_bytes(b"not sound" * 30)
        with pytest.raises(MediaError, match=f"{name} cannot be read .*replace it"):
            audio.load_audio(tmp_path / name)
        with pytest.raises(MediaError, match=f"{name} cannot be read"):
            audio.load_audio(tmp_path / name, 8000, missing="silence")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sample_rate": 0}, "sample_rate.*Received: 0"),
        ({"sample_rate": 16000.5}, "sample_rate"),
        ({"align": "picture"}, "align must be.*'picture'"),
        ({"missing": "zeros"}, "missing must be.*'zeros'"),
        ({"missing": "silence"}, "needs a sample_rate"),
        ({"duration": -1}, "duration must be positive.*-1"),
    ],
)
def test_wrong_arguments(realdata, arguments, words):
    with pytest.raises(ValueError, match=words):
        audio.load_audio(realdata / "video_grid/bbaf2n.mpg", **arguments)


def test_write_wav_refuses_what_it_would_spoil(tmp_path):
    for samples, words in [
        (np.array([0.0, 1.5]), "peak 1.500"),
        (np.array([0.0, np.nan]), "finite"),
        (np.arange(3), "int64"),
    ]:
        with pytest.raises(ValueError, match=words):
            audio.write_wav(tmp_path / "a.wav", samples, 16000)
    assert not list(tmp_path.iterdir())
    path = audio.write_wav(tmp_path / "a.wav", np.array([0.0, 1.5]), 16000, subtype="FLOAT")
    np.testing.assert_array_equal(audio.load_audio(path)[0], np.float32([0, 1.5]))


def write_stamped_sound(path, samples, stamps, rate=16000, size=800):
    """A sound file in a container, in packets of `size` samples, of which the i-th is stamped `stamps[i]` (in samples)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        for i, stamp in enumerate(stamps):
            chunk = np.round(samples[None, i * size : (i + 1) * size] * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(chunk, "s16", "mono")
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), stamp
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_record_of_intact_sound(tmp_path):
    stereo = np.random.default_rng(0).uniform(-0.5, 0.5, (16000, 2)).astype(np.float32)
    path = audio.write_wav(tmp_path / "a.wav", stereo, 16000, subtype="FLOAT")
    sound = audio.read_sound(path, 8000)
    assert (sound.channels, sound.source_rate, sound.sample_rate) == (2, 16000, 8000)
    assert sound.peak == np.abs(stereo).max()
    assert sound.spans == ((0.0, 1.0),)
    assert not sound.is_absent
    assert not sound.is_silent
    assert sound.findings(1.0) == []
    np.testing.assert_allclose(
        sound.samples, librosa.resample(stereo.mean(1), orig_sr=16000, target_sr=8000), atol=1e-6
    )


def test_hole_is_silence_and_reported(tmp_path):
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)).astype(np.float32)
    stamps = np.arange(20) * 800 + np.repeat([0, 16000], 10)  # its second half is 1 s late
    sound = audio.read_sound(write_stamped_sound(tmp_path / "a.mkv", tone, stamps.tolist()))
    np.testing.assert_allclose(sound.spans, [(0, 0.5), (1.5, 2.0)], atol=1e-3)
    expected = np.concatenate([tone[:8000], np.zeros(16000, np.float32), tone[8000:]])
    np.testing.assert_allclose(sound.samples, expected, atol=1e-4)
    assert sound.findings(2.0) == ["1 hole(s) in the sound, 1.00 s in all, the first at 0.50 s"]


def test_overlap_is_heard_once(tmp_path):
    """Ten times in a row, 50 ms too much sound: what follows stays in its place."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 40 * 800).astype(np.float32)
    stamps = [i * 800 - 800 * ((i + 2) // 4) for i in range(40)]
    sound = audio.read_sound(write_stamped_sound(tmp_path / "a.mkv", noise, stamps))
    assert len(sound.samples) == stamps[-1] + 800 == 30 * 800
    last = stamps[37]
    assert stamps[37] - stamps[36] == 800
    np.testing.assert_allclose(sound.samples[last : last + 800], noise[37 * 800 : 38 * 800], atol=1e-4)
    assert sound.findings() == []


def test_silent_sound_and_channels_that_cancel(tmp_path):
    silent = audio.read_sound(audio.write_wav(tmp_path / "a.wav", np.zeros((4000, 2)), 8000))
    assert silent.is_silent
    assert silent.findings() == ["the sound is silent"]
    tone = 0.5 * np.sin(np.arange(4000))
    opposed = audio.read_sound(audio.write_wav(tmp_path / "b.wav", np.stack([tone, -tone], axis=1), 8000))
    assert opposed.findings() == ["the sound is silent: its 2 channels cancel each other"]


def test_record_of_real_clips(realdata):
    clip = audio.read_sound(realdata / "video_grid/bbaf2n.mpg", 22050)
    assert (clip.channels, clip.source_rate) == (2, 44100)
    assert clip.spans[0] == (0, pytest.approx(2.978, abs=1e-3))
    assert clip.findings(3.0) == []  # 22 ms
    assert clip.findings(4.0) == ["the sound ends at 2.98 s, the picture at 4.00 s"]
    late = audio.read_sound(realdata / "video_pyfeat/face_noface.mov", 16000)
    assert late.spans[0][0] == pytest.approx(2.43, abs=1e-3)
    assert late.findings() == ["the sound begins 2.43 s after the picture"]
    assert audio.read_sound(realdata / "video_pyfeat/WolfgangLanger_Pexels.mp4").findings() == ["the sound is silent"]


def test_record_of_a_video_without_sound(realdata):
    path = realdata / "pose_tfjs/pose_1.mp4"
    sound = audio.read_sound(path, 16000)
    assert sound.is_absent
    assert not sound.is_silent
    assert (len(sound.samples), sound.channels, sound.source_rate, sound.spans) == (0, 0, None, ())
    assert sound.findings(4.0) == ["no sound stream"]
    with pytest.raises(ValueError, match="needs a sample_rate"):
        audio.read_sound(path)


def test_samples_that_are_not_finite(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([0.0, np.nan, 0.5]), 8000, subtype="FLOAT")
    with pytest.raises(MediaError, match=r"a\.wav: its samples are not all finite"):
        audio.load_audio(tmp_path / "a.wav")
