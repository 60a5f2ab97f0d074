"""Sound reading against librosa, clicks at known times and real videos."""

import struct
import warnings
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


def joined(path, *parts):
    """A file of the bytes of others, as `cat` makes it."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


PACKET = {"mp2": 1152, "ac3": 1536}


def write_program(path, sound, rate=44100, layout="mono", first_frame=0, hole=0.0, codec="mp2"):
    """An MPEG transport stream: 2 s of picture at 25 fps, its time stamps from a frame on; the second half of the sound `hole` s late."""
    with av.open(str(path), "w", format="mpegts") as container:
        picture = container.add_stream("mpeg2video", rate=25)
        picture.width = picture.height = 64
        stream = container.add_stream(codec, rate=rate, layout=layout)
        for i in range(50):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), i, np.uint8), format="rgb24")
            frame.pts = first_frame + i
            container.mux(picture.encode(frame))
        for begin in range(0, len(sound) + 1 - PACKET[codec], PACKET[codec]):
            chunk = np.round(sound[begin : begin + PACKET[codec]] * 32767).astype(np.int16)
            chunk = np.stack([chunk] * stream.codec_context.layout.nb_channels, axis=1).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(chunk, "s16", layout)
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = begin + round(hole * rate) * (begin >= len(sound) // 2)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        container.mux(picture.encode(None))
    return path


def noise(seconds, rate=44100, seed=0):
    return np.random.default_rng(seed).uniform(-0.3, 0.3, round(seconds * rate)).astype(np.float32)


def assert_same_sound(found, expected, skip=1200, atol=2e-4):
    """But for the first packet, into which the decoder carries over what it decoded before, and for dither (one step of 16 bits)."""
    assert len(found) == len(expected)
    np.testing.assert_allclose(found[skip:], expected[skip:], atol=atol)


def test_each_of_concatenated_clips_is_heard_with_its_picture(tmp_path, realdata):
    """Eight files of 3 s of picture and 2.978 s of sound, whose time stamps all begin at 0."""
    clips = sorted((realdata / "video_grid").glob("*.mpg"))
    path = joined(tmp_path / "a.mpg", *clips)
    with warnings.catch_warnings():
        warnings.simplefilter("error", MediaWarning)
        sound = audio.read_sound(path)
    rate = sound.sample_rate
    assert sound.spans == tuple((3.0 * i, pytest.approx(3 * i + 2.978, abs=1e-3)) for i in range(8))
    with pytest.warns(MediaWarning, match="repaired"):
        times = video.frame_times(path)
    singles = [audio.load_audio(clip)[0] for clip in clips]
    for time, single in zip(times[::75], singles, strict=True):
        assert_same_sound(sound.samples[round(time * rate) :][: len(single)], single)
    follows_on, _ = audio.load_audio(path, align="stream")
    assert_same_sound(follows_on[-len(singles[-1]) :], singles[-1])
    assert len(follows_on) == sum(map(len, singles))


def test_hole_after_a_restart_of_the_time_stamps(tmp_path):
    a = write_program(tmp_path / "a.ts", noise(1.8))
    b = write_program(tmp_path / "b.ts", noise(1.0, seed=1), hole=0.5)
    sound = audio.read_sound(joined(tmp_path / "ab.ts", a, b, b))
    single = audio.read_sound(b)
    assert len(single.spans) == 2
    (_, hole), (after, _) = single.spans
    assert after - hole == pytest.approx(0.5, abs=0.02)
    assert len(sound.spans) == 5
    assert [stop for _, stop in sound.spans[1::2]] == pytest.approx([2 + hole, 4 + hole], abs=1e-4)
    assert [start for start, _ in sound.spans[2::2]] == pytest.approx([2 + after, 4 + after], abs=1e-4)
    for start in (2, 4):
        # The first sound of `b` alone is cut: it is up to a packet earlier than the picture.
        assert_same_sound(sound.samples[start * 44100 :][: len(single.samples)], single.samples, skip=2400)


def test_sound_longer_than_its_picture_before_a_restart(tmp_path):
    """The overlap of half a second is heard once, the first part of it; twice, so that errors would add up."""
    a, b = (write_program(tmp_path / f"{name}.ts", noise(2.5, seed=i)) for i, name in enumerate("ab"))
    samples, rate = audio.load_audio(joined(tmp_path / "aba.ts", a, b, a))
    of_a, of_b = audio.load_audio(a)[0], audio.load_audio(b)[0]
    longer = len(of_a) - 2 * rate
    assert longer / rate == pytest.approx(0.5, abs=0.05)
    assert_same_sound(samples[: len(of_a)], of_a)
    assert_same_sound(samples[len(of_a) : 2 * rate + len(of_b)], of_b[longer:], skip=0)
    assert_same_sound(samples[2 * rate + len(of_b) :], of_a[longer:], skip=0)


def test_time_stamps_of_sound_alone_start_over(tmp_path):
    a = write_program(tmp_path / "a.ts", noise(1.8))
    b = write_program(tmp_path / "b.ts", noise(1.8, seed=1), first_frame=50)
    with pytest.warns(
        MediaWarning,
        match=r"ab\.ts: .*start over 1 time\(s\), those of the picture 0.*out of step; write the file anew",
    ):
        sound = audio.read_sound(joined(tmp_path / "ab.ts", a, b))
    assert len(sound.spans) == 1
    length = len(audio.load_audio(a)[0]) + len(audio.load_audio(b, align="stream")[0])
    assert len(sound.samples) == length


@pytest.mark.parametrize("formats", [("stereo", 44100, "mono", 44100), ("mono", 44100, "stereo", 48000)])
def test_format_of_sound_that_changes_midway(tmp_path, formats):
    """Neither time nor level changes at the joins; channels and rate are those of the beginning."""
    parts = []
    for i, (layout, rate) in enumerate(zip(formats[::2], formats[1::2])):
        tone = 0.5 * np.sin(2 * np.pi * 441 * np.arange(2 * rate) / rate)
        parts.append(write_program(tmp_path / f"{i}.ts", tone, rate, layout, codec="ac3"))
    path = joined(tmp_path / "a.ts", *parts, parts[0])
    samples, rate = audio.load_audio(path, align="stream")
    assert rate == 44100
    first, second = (audio.load_audio(part, 44100, align="stream")[0] for part in parts)
    assert len(samples) - 2 * len(first) - len(second) in (0, 1)  # FFmpeg rounds the length up
    middle = slice(1600, -100)  # without the packet that FFmpeg lays over the other part
    np.testing.assert_allclose(samples[: len(first)], first, atol=1e-4)
    np.testing.assert_allclose(samples[len(first) :][: len(second)][middle], second[middle], atol=1e-4)
    np.testing.assert_allclose(samples[-len(first) :][middle], first[middle], atol=1e-4)
    channels, _ = audio.load_audio(path, mono=False, align="stream")
    assert channels.shape == (len(samples), 2 if formats[0] == "stereo" else 1)
    np.testing.assert_allclose(channels.mean(axis=1), samples, atol=1e-4)
    in_step = audio.read_sound(path)
    assert in_step.spans[-1][1] == pytest.approx(4 + audio.read_sound(parts[0]).spans[0][1], abs=0.02)


@pytest.mark.parametrize(
    "kind", [{}, {"endian": "BIG"}, {"format": "RF64"}, {"format": "AIFF"}, {"format": "WAVEX", "subtype": "PCM_24"}]
)
def test_cut_wav_says_so(tmp_path, kind):
    stereo = np.stack([noise(1.0, 8000)] * 2, axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 8000, **{"format": "WAV", "subtype": "PCM_16", **kind})
    with warnings.catch_warnings():
        warnings.simplefilter("error", MediaWarning)
        whole, _ = audio.load_audio(tmp_path / "a.wav")
    cut = tmp_path / "cut.wav"
    cut.write_bytes((tmp_path / "a.wav").read_bytes()[:-12000])
    with pytest.warns(MediaWarning, match=r"cut\.wav: .*its end is missing; replace it by an intact copy"):
        samples, _ = audio.load_audio(cut)
    lost = 12000 // (6 if "PCM_24" in kind.values() else 4)
    np.testing.assert_array_equal(samples, whole[:-lost])


def with_announced_size(path, size):
    """A WAV file with another size in the header of its samples, as programs leave it that cannot go back to it."""
    content = path.read_bytes()
    place = content.index(b"data") + 4
    path.write_bytes(content[:place] + struct.pack("<I", size) + content[place + 4 :])


@pytest.mark.parametrize("size", [0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_streamed_wav_is_not_called_cut(tmp_path, size):
    path = audio.write_wav(tmp_path / "a.wav", noise(1.0, 8000), 8000)
    whole, _ = audio.load_audio(path)
    with_announced_size(path, size)
    with warnings.catch_warnings():
        warnings.simplefilter("error", MediaWarning)
        np.testing.assert_array_equal(audio.load_audio(path)[0], whole)


@pytest.mark.parametrize("content", [noise(1.0, 8000), np.zeros(8000, np.float32)])
def test_wav_that_was_not_closed(tmp_path, content):
    """libsndfile takes its announced size of 0 at its word."""
    path = audio.write_wav(tmp_path / "a.wav", content, 8000)
    whole, _ = audio.load_audio(path)
    with_announced_size(path, 0)
    with pytest.warns(MediaWarning, match=r"a\.wav: its header announces no sound, .*write it anew"):
        np.testing.assert_array_equal(audio.load_audio(path)[0], whole)
    soundfile.write(path, content[:0], 8000)
    with warnings.catch_warnings():
        warnings.simplefilter("error", MediaWarning)
        assert not len(audio.load_audio(path)[0])


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_cut_flac_gives_what_decodes_and_says_so(tmp_path, subtype):
    stereo = np.stack([noise(3.0, 16000), noise(3.0, 16000, seed=1)], axis=1)
    soundfile.write(tmp_path / "a.flac", stereo, 16000, subtype=subtype)
    whole, _ = audio.load_audio(tmp_path / "a.flac", mono=False)
    content = (tmp_path / "a.flac").read_bytes()
    cut = tmp_path / "cut.flac"
    cut.write_bytes(content[: len(content) // 2])
    with pytest.warns(MediaWarning, match=r"cut\.flac: damaged or cut .*; replace it by an intact copy"):
        samples, rate = audio.load_audio(cut, mono=False)
    assert rate == 16000
    assert 1.0 < len(samples) / rate < 1.5
    np.testing.assert_array_equal(samples, whole[: len(samples)])
    with pytest.warns(MediaWarning, match=r"cut\.flac: damaged"):
        assert audio.read_sound(cut, 8000).channels == 2


def test_flac_of_unknown_length(tmp_path):
    soundfile.write(tmp_path / "a.flac", noise(1.0, 16000), 16000)
    whole, _ = audio.load_audio(tmp_path / "a.flac")
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)  # number of samples: unknown
    (tmp_path / "piped.flac").write_bytes(content)
    with pytest.warns(MediaWarning, match=r"piped\.flac: its header does not tell the length"):
        np.testing.assert_array_equal(audio.load_audio(tmp_path / "piped.flac")[0], whole)


def test_damaged_ogg_gives_what_decodes_and_says_so(tmp_path):
    soundfile.write(tmp_path / "a.ogg", noise(3.0, 16000), 16000)
    content = bytearray((tmp_path / "a.ogg").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    (tmp_path / "a.ogg").write_bytes(content)
    with pytest.warns(MediaWarning, match=r"a\.ogg: damaged .*; replace it by an intact copy"):
        samples, _ = audio.load_audio(tmp_path / "a.ogg")
    assert 1.0 < len(samples) / 16000 <= 3.0


def test_sound_file_of_which_nothing_decodes(tmp_path):
    soundfile.write(tmp_path / "a.flac", noise(1.0, 16000), 16000)
    (tmp_path / "a.flac").write_bytes((tmp_path / "a.flac").read_bytes()[:100])
    with pytest.raises(MediaError, match=r"a\.flac.*replace .* by an intact copy"):
        audio.load_audio(tmp_path / "a.flac")
