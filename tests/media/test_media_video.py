"""Video reading and writing against counters drawn into the frames, OpenCV's decoder and hand-made damage."""

import struct
import tracemalloc
import warnings

import av
import cv2
import numpy as np
import pytest

from abaw_tf.media import video
from abaw_tf.media.video import MediaError, MediaWarning

COUNTERS = ["format_MP4_AVC720P_AAC.video", "format_FLV_H264_AAC.video", "format_MKV_VP8_VORBIS.video"]


@pytest.fixture
def counter(realdata):
    return lambda name: realdata / "video_framecount" / name


@pytest.fixture(scope="module")
def grey_steps():
    """60 pictures whose mean brightness is 4 * index, on noise that keeps the packets from being tiny."""
    noise = np.random.default_rng(0).integers(-8, 9, (60, 48, 64, 1))
    return [np.clip(np.full((48, 64, 3), 4 * i + 8) + noise[i], 0, 255).astype(np.uint8) for i in range(60)]


def index_of(image) -> int:
    return round((image.mean() - 8) / 4)


@pytest.mark.parametrize("name", COUNTERS)
def test_index_is_the_number_that_the_frame_shows(counter, name, drawn_number):
    shown = [(index, drawn_number(image)) for index, _, image in video.read_frames(counter(name))]
    assert shown == [(i, i) for i in range(180)]


@pytest.mark.parametrize("name", COUNTERS)
@pytest.mark.parametrize(
    ("start", "stop", "step"), [(0, 5, 1), (97, 104, 1), (3, 180, 44), (170, None, 4), (179, None, 1), (7, 7, 1)]
)
def test_start_stop_and_step_select_as_range_does(counter, name, start, stop, step, drawn_number):
    read = list(video.read_frames(counter(name), start, stop, step))
    expected = list(range(180))[start:stop:step]
    assert [index for index, _, _ in read] == expected
    assert [drawn_number(image) for _, _, image in read] == expected


@pytest.mark.parametrize("name", COUNTERS)
def test_times_are_the_containers(counter, name):
    times = video.frame_times(counter(name))
    assert times.dtype == np.float64
    # FLV and Matroska store whole milliseconds.
    np.testing.assert_allclose(times, np.arange(180) / 30, atol=1.1e-3)
    read = np.array([time for _, time, _ in video.read_frames(counter(name))])
    np.testing.assert_array_equal(read, times)


def test_frames_that_decode_are_counted_not_the_header(realdata):
    no_face = realdata / "video_pyfeat/no_face.mp4"
    assert video.probe(no_face).n_frames_header == 98
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an edit list hides three frames: nothing is damaged
        assert len(video.frame_times(no_face)) == 95
    flv = realdata / "video_framecount/format_FLV_H264_AAC.video"
    assert int(cv2.VideoCapture(str(flv)).get(cv2.CAP_PROP_FRAME_COUNT)) == 182
    assert len(video.frame_times(flv)) == 180


def test_variable_frame_rate_is_kept(realdata):
    path = realdata / "video_pyfeat/face_noface.mov"
    times = video.frame_times(path)
    with av.open(str(path)) as container:
        stamps = sorted(p.pts * p.time_base for p in container.demux(video=0) if p.pts is not None)
    np.testing.assert_allclose(times, [float(t) for t in stamps], atol=1e-9)
    steps = np.diff(times)
    assert len(times) == 169
    assert steps.min() > 0
    assert steps.max() > 2 * steps.min()


@pytest.mark.parametrize(
    ("name", "size", "fps", "audio", "codec"),
    [
        ("video_grid/bbaf2n.mpg", (360, 288), 25, True, "mpeg1video"),
        ("video_pyfeat/face_noface.mov", (960, 540), 26.398, True, "hevc"),
        ("video_pyfeat/WolfgangLanger_Pexels.mp4", (640, 360), 23.976, True, "h264"),
        ("pose_tfjs/pose_1.mp4", (576, 576), 30, False, "h264"),
    ],
)
def test_probe(realdata, name, size, fps, audio, codec):
    info = video.probe(realdata / name)
    assert (info.width, info.height) == size
    assert info.fps == pytest.approx(fps, abs=1e-3)
    assert (info.has_audio, info.codec, info.rotation) == (audio, codec, 0)


def test_pictures_match_opencvs_decoder(realdata):
    path = realdata / "video_pyfeat/single_face.mp4"
    capture = cv2.VideoCapture(str(path))
    for _, _, image in video.read_frames(path, stop=5):
        other = capture.read()[1][:, :, ::-1]
        # The two convert colours with different rounding.
        assert np.abs(image.astype(int) - other).mean() < 2


def test_one_picture_is_held_at_a_time(realdata):
    path = realdata / "video_pyfeat/WolfgangLanger_Pexels.mp4"
    tracemalloc.start()
    assert sum(1 for _ in video.read_frames(path)) == 472
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * 640 * 360 * 3


# Writing


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi"])
@pytest.mark.parametrize("fps", [25, 29.97])
def test_constant_rate_round_trip(tmp_path, grey_steps, suffix, fps):
    path = video.write_video(tmp_path / f"clip{suffix}", iter(grey_steps), fps=fps)
    read = list(video.read_frames(path))
    assert [index_of(image) for _, _, image in read] == list(range(60))
    np.testing.assert_allclose([time for _, time, _ in read], np.arange(60) / fps, atol=6e-4)
    assert video.probe(path).fps == pytest.approx(fps, abs=0.01)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(("suffix", "tolerance"), [(".mp4", 1e-5), (".mov", 1e-5), (".mkv", 6e-4)])
@pytest.mark.parametrize("sound", [False, True])
def test_variable_rate_round_trip(tmp_path, grey_steps, suffix, tolerance, sound):
    times = np.cumsum(np.random.default_rng(1).uniform(0.01, 0.12, 60))
    times -= times[0]
    audio = np.zeros((16000 * 4, 2), np.float32) if sound else None
    path = video.write_video(tmp_path / f"clip{suffix}", grey_steps, times=times, audio=audio, sample_rate=16000)
    np.testing.assert_allclose(video.frame_times(path), times, atol=tolerance)
    assert [index_of(image) for _, _, image in video.read_frames(path)] == list(range(60))
    assert video.probe(path).has_audio == sound


def test_same_input_gives_the_same_bytes(tmp_path):
    # Smooth movement and many turns: what an encoder reads without having set it differs only now and then.
    y, x = np.mgrid[:48, :64]
    waves = [20 + 3 * i + 8 * np.sin(x / 9 + i / 5) + 6 * np.cos(y / 7) for i in range(60)]
    frames = [np.repeat(np.clip(wave, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2) for wave in waves]
    written = {video.write_video(tmp_path / "same.mp4", frames, fps=30).read_bytes() for _ in range(40)}
    assert len(written) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"frames": []}, "no frame given"),
        ({"frames": [np.zeros((47, 64, 3), np.uint8)]}, "even.*64x47"),
        ({"frames": [np.zeros((48, 64), np.uint8)]}, r"frame 0 must be uint8 RGB.*\(48, 64\)"),
        ({"frames": [np.zeros((48, 64, 3))]}, "Received: float64"),
        ({"frames": [np.zeros((48, 64, 3), np.uint8), np.zeros((48, 66, 3), np.uint8)]}, "frame 1 .*as frame 0"),
        ({"times": [0.0, 0.1]}, "more frames than times"),
        ({"times": np.arange(61.0)}, "60 frames and 61 times"),
        ({"times": np.zeros(60)}, "increasing"),
        ({"times": [np.nan] * 60}, "increasing"),
        ({"fps": 0}, "fps must be positive"),
        ({"path": "clip.webp"}, "written as one of .mp4.*clip.webp"),
        ({"path": "clip.avi", "times": np.arange(60.0)}, "AVI has no variable frame rate"),
        ({"codec": "no_such_codec"}, "no encoder 'no_such_codec'.*codec='mpeg4'"),
        ({"audio": np.zeros(100)}, "needs its sample_rate"),
        ({"audio": np.zeros(100, int), "sample_rate": 8000}, "float samples"),
        ({"audio": np.full(100, np.nan), "sample_rate": 8000}, "finite"),
        ({"audio": np.zeros(100), "sample_rate": 12345}, "cannot write .*clip.mp4"),
    ],
)
def test_what_cannot_be_written_is_refused_and_nothing_is_left(tmp_path, grey_steps, arguments, words):
    arguments = {"frames": grey_steps, "path": "clip.mp4", **arguments}
    with pytest.raises(ValueError, match=words):
        video.write_video(tmp_path / arguments.pop("path"), **arguments)
    assert not list(tmp_path.iterdir())


# Damage and odd files


def test_missing_file_and_wrong_arguments(tmp_path, realdata):
    for call in (video.probe, video.frame_times, video.read_frames):
        with pytest.raises(FileNotFoundError, match=r"nowhere\.mp4: no such video file"):
            call(tmp_path / "nowhere.mp4")
    for arguments in ({"start": -1}, {"step": 0}, {"start": 5, "stop": 2}):
        with pytest.raises(ValueError, match="Received: start="):
            video.read_frames(realdata / "video_grid/bbaf2n.mpg", **arguments)


@pytest.mark.parametrize("content", [b"", b"not a video\n" * 50, bytes(4096)])
def test_file_that_is_no_video(tmp_path, content):
    path = tmp_path / "text.mp4"
    path.write_bytes(content)
    for call in (video.probe, video.frame_times, video.read_frames):
        with pytest.raises(MediaError, match=r"text\.mp4 cannot be read .*replace it"):
            call(path)


def test_folder_and_sound_file_are_refused(tmp_path, realdata):
    with pytest.raises(MediaError, match="is a folder"):
        video.probe(tmp_path)
    with pytest.raises(MediaError, match=r"03a01Nc\.wav has no picture \(it holds: audio\)"):
        video.probe(realdata / "audio_emodb16k/03a01Nc.wav")


def test_mp4_without_its_index(tmp_path, grey_steps):
    whole = video.write_video(tmp_path / "clip.mp4", grey_steps).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MediaError, match=r"cut\.mp4 .*cut off before its index.*complete copy"):
        video.read_frames(cut)


@pytest.mark.parametrize("name", COUNTERS)
def test_video_cut_in_the_middle_gives_what_decodes_and_says_so(tmp_path, counter, name, drawn_number):
    whole = counter(name).read_bytes()
    cut = tmp_path / name
    cut.write_bytes(whole[: len(whole) // 2])
    result = video.scan(cut)
    assert result.truncated
    assert 60 < len(result.times) < 100
    with pytest.warns(MediaWarning, match=f"{name}: .*its end is missing"):
        read = [(index, drawn_number(image)) for index, _, image in video.read_frames(cut)]
    assert len(read) == len(result.times)
    # The very last picture may be half decoded.
    assert read[:-1] == [(i, i) for i in range(len(read) - 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the part that was asked for is there
        assert len(list(video.read_frames(cut, stop=40))) == 40


def test_intact_videos_have_no_findings(realdata):
    for path in sorted((realdata / "video_grid").glob("*.mpg")) + [
        realdata / "video_framecount" / name for name in COUNTERS
    ]:
        assert video.scan(path).problems == ()
        assert not video.scan(path).truncated


def test_clock_that_starts_again_goes_on(tmp_path, realdata):
    first, second = (realdata / f"video_grid/{name}.mpg" for name in ("bbaf2n", "lbax4n"))
    joined = tmp_path / "joined.mpg"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.warns(MediaWarning, match=r"1 timestamp\(s\) missing or not increasing, repaired"):
        times = video.frame_times(joined)
    np.testing.assert_allclose(times, np.arange(150) / 25, atol=1e-6)


def test_missing_timestamps_follow_the_frame_rate(tmp_path, grey_steps):
    path = tmp_path / "raw.h264"
    with av.open(str(path), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for image in grey_steps:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.warns(MediaWarning, match="60 timestamp"):
        read = list(video.read_frames(path))
    assert [index_of(image) for _, _, image in read] == list(range(60))
    np.testing.assert_allclose([time for _, time, _ in read], np.arange(60) / 25)


@pytest.mark.parametrize("clockwise", [0, 90, 180, 270])
def test_rotation_is_applied(tmp_path, clockwise):
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32] = (250, 20, 20)
    data = video.write_video(tmp_path / "upright.mp4", [image] * 5).read_bytes()
    # The track header's 3x3 matrix: a camera held on its side writes this and leaves the picture as the sensor saw it.
    place = data.index(b"tkhd") + 44
    cosine, sine = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[clockwise]
    matrix = struct.pack(">9i", cosine << 16, sine << 16, 0, -sine << 16, cosine << 16, 0, 0, 0, 1 << 30)
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(data[:place] + matrix + data[place + 36 :])
    _, _, shown = next(video.read_frames(turned))
    _, _, stored = next(video.read_frames(tmp_path / "upright.mp4"))
    np.testing.assert_array_equal(shown, np.rot90(stored, -clockwise // 90))
    info = video.probe(turned)
    assert (info.width, info.height) == shown.shape[1::-1]
    capture = cv2.VideoCapture(str(turned))
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    assert np.abs(capture.read()[1][:, :, ::-1].astype(int) - shown).mean() < 3
