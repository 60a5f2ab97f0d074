"""Video files written through PyAV: constant or variable frame rate, with or without sound."""

import contextlib
import itertools
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from abaw_tf.files import replacing

from .errors import MediaError

# Fine enough for any camera's time stamps, coarse enough for MP4's 32-bit fields.
CLOCK = 90_000
AUDIO_CHUNK = 1024
# (picture, sound) codec of each container when the caller names none.
CODECS = {
    ".mp4": ("libx264", "aac"),
    ".m4v": ("libx264", "aac"),
    ".mov": ("libx264", "aac"),
    ".mkv": ("libx264", "aac"),
    ".avi": ("mpeg4", "pcm_s16le"),
}
# AVI counts frames instead of storing times: without "disabled", an audio encoder's delay would be made room for by empty frames.
MUXER_OPTIONS = {".avi": {"fflags": "+bitexact", "avoid_negative_ts": "disabled"}}

# A constant, fine quantiser (3, in FFmpeg's units of 1/118): a bit rate would spoil small pictures.
MPEG4_OPTIONS = {"flags": "+qscale", "global_quality": str(3 * 118)}


def write_video(
    path,
    frames: Iterable[np.ndarray],
    times=None,
    fps: float = 25,
    audio=None,
    sample_rate: int | None = None,
    codec: str | None = None,
    audio_codec: str | None = None,
    crf: int = 20,
) -> Path:
    """Write pictures, and sound if given, to a video file. The file appears when it is complete.

    Parameters
    ----------
    path : path-like
        ``.mp4``, ``.m4v``, ``.mov``, ``.mkv`` or ``.avi``.
    frames : iterable of uint8 array, shape (height, width, 3)
        RGB, all of one even size. Consumed one by one, so a generator of any length will do.
    times : sequence of float, optional
        Time of each frame in seconds, increasing: a variable frame rate (not in ``.avi``). One per frame. Without it frame ``i`` is at
        ``i / fps``.
    fps : float
        Frames per second without `times`.
    audio : array, shape (n,) or (n, channels), optional
        Samples in [-1, 1]; sample 0 sounds at time 0.
    sample_rate : int
        Samples per second of `audio`.
    codec, audio_codec : str, optional
        FFmpeg encoders. Default: ``libx264`` and ``aac``; in ``.avi`` ``mpeg4`` and ``pcm_s16le`` (with ``libmp3lame`` AVI cannot
        say that the encoder starts about 0.05 s late). Never replaced by another one.
    crf : int
        Quality of ``libx264`` (lower is better). ``mpeg4`` has a fixed fine quantiser, other encoders 0.25 bit per pixel and frame.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ValueError
        Wrong shape, dtype, size or times.
    MediaError
        The encoder is not there, or the container does not take it.
    """
    path = Path(path)
    picture_codec, sound_codec = _codecs(path, codec, audio_codec, audio is not None)
    audio = _check_audio(audio, sample_rate)
    times = _check_times(times, path)
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"cannot write {path}: no frame given")
    _check_frame(first, None, 0)
    height, width = first.shape[:2]
    if height % 2 or width % 2:
        raise ValueError(
            f"width and height must be even (4:2:0 colour); crop or pad by one. Received: {width}x{height}"
        )
    options = MUXER_OPTIONS.get(path.suffix.lower(), {"fflags": "+bitexact"})
    with replacing(path) as partial, _refusals(path), av.open(str(partial), "w", options=options) as container:
        stream = _video_stream(container, picture_codec, times, fps, width, height, crf)
        sound = _Sound(container, audio, sample_rate, sound_codec)
        count = 0
        for count, image in enumerate(itertools.chain([first], frames), 1):
            _check_frame(image, first.shape, count - 1)
            if times is not None and count > len(times):
                raise ValueError(f"one time per frame: more frames than times. Received: {len(times)} times")
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            if times is None:
                frame.pts, frame.time_base, time = count - 1, 1 / stream.codec_context.framerate, (count - 1) / fps
            else:
                time = times[count - 1]
                frame.pts, frame.time_base = round(time * CLOCK), Fraction(1, CLOCK)
            sound.until(time)
            container.mux(stream.encode(frame))
        if times is not None and count < len(times):
            raise ValueError(f"one time per frame. Received: {count} frames and {len(times)} times")
        container.mux(stream.encode(None))
        sound.finish()
    return path


@contextlib.contextmanager
def _refusals(path):
    """Turn FFmpeg's refusals into errors that name the file."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise MediaError(f"cannot write {path}: {error}; choose another codec, audio_codec or sample_rate") from error


def _codecs(path, codec, audio_codec, with_audio):
    suffix = path.suffix.lower()
    if suffix not in CODECS:
        raise ValueError(f"a video is written as one of {', '.join(CODECS)}. Received: {path.name}")
    codec, audio_codec = codec or CODECS[suffix][0], audio_codec or CODECS[suffix][1]
    for name in (codec, audio_codec) if with_audio else (codec,):
        try:
            av.codec.Codec(name, "w")
        except (av.error.FFmpegError, ValueError) as error:
            raise MediaError(
                f"cannot write {path}: this build of FFmpeg has no encoder {name!r}; name another one, "
                "for example codec='mpeg4' or audio_codec='pcm_s16le'"
            ) from error
    return codec, audio_codec


def _check_times(times, path):
    if times is None:
        return None
    times = np.asarray(times, np.float64)
    if path.suffix.lower() == ".avi":
        raise ValueError(
            f"AVI has no variable frame rate: give fps instead of times, or write .mp4. Received: {path.name}"
        )
    ticks = np.round(times * CLOCK) if times.ndim == 1 and np.isfinite(times).all() else np.array([0, 0])
    if times.ndim != 1 or not len(times) or ticks[0] < 0 or (np.diff(ticks) < 1).any():
        raise ValueError(
            f"times must be a list of increasing seconds, the first >= 0, at least 1/{CLOCK} s apart. "
            f"Received: shape {times.shape}, {times.ravel()[:5]}"
        )
    return times


def _check_audio(audio, sample_rate):
    if audio is None:
        return None
    audio = np.asarray(audio)
    if audio.ndim == 1:
        audio = audio[:, None]
    if audio.ndim != 2 or not 1 <= audio.shape[1] <= 2 or not np.issubdtype(audio.dtype, np.floating):
        raise ValueError(
            f"audio must be float samples of shape (n,), (n, 1) or (n, 2). Received: {audio.dtype} {audio.shape}"
        )
    if not np.isfinite(audio).all():
        raise ValueError("audio must be finite. Received: NaN or infinity")
    if not sample_rate or sample_rate != int(sample_rate) or sample_rate < 1:
        raise ValueError(f"audio needs its sample_rate, a whole number of samples per second. Received: {sample_rate}")
    return audio.astype(np.float32, copy=False)


def _check_frame(image, shape, index):
    image = np.asarray(image)
    if (
        image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
        or (shape is not None and image.shape != shape)
    ):
        expected = "(height, width, 3)" if shape is None else f"{shape}, as frame 0"
        raise ValueError(f"frame {index} must be uint8 RGB of shape {expected}. Received: {image.dtype} {image.shape}")


def _video_stream(container, codec, times, fps, width, height, crf):
    if times is None:
        rate = Fraction(fps).limit_denominator(1001)
    else:
        span = times[-1] - times[0]
        rate = Fraction((len(times) - 1) / span if span > 0 else fps).limit_denominator(1001)
    if rate <= 0:
        raise ValueError(f"fps must be positive. Received: {fps}")
    # x264's macroblock tree reads memory that it has not set (with AVX-512): without it, the same input gives the same bytes.
    x264_options = {"crf": str(crf), "preset": "veryfast", "x264-params": "mbtree=0"}
    options = {"libx264": x264_options, "mpeg4": MPEG4_OPTIONS}.get(codec, {})
    stream = container.add_stream(codec, rate=rate, options=options)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    if not options:
        stream.bit_rate = int(0.25 * width * height * rate)
    if times is not None:
        stream.codec_context.time_base = Fraction(1, CLOCK)
    return stream


class _Sound:
    """Feeds the sound to the container as the pictures advance, so that the two stay interleaved and little is buffered."""

    def __init__(self, container, audio, sample_rate, codec):
        self.container, self.audio, self.rate, self.done = container, audio, sample_rate, 0
        if audio is None:
            return
        self.layout = "mono" if audio.shape[1] == 1 else "stereo"
        self.stream = container.add_stream(codec, rate=int(sample_rate), layout=self.layout)

    def until(self, time: float) -> None:
        """Write the samples that sound up to `time` (seconds)."""
        while self.audio is not None and self.done < len(self.audio) and self.done / self.rate <= time:
            chunk = self.audio[self.done : self.done + AUDIO_CHUNK]
            # Packed float; the encoder's own sample format is made from it by PyAV's resampler.
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(chunk.reshape(1, -1)), format="flt", layout=self.layout
            )
            frame.sample_rate, frame.pts, frame.time_base = int(self.rate), self.done, Fraction(1, int(self.rate))
            self.container.mux(self.stream.encode(frame))
            self.done += len(chunk)

    def finish(self) -> None:
        """Write the rest."""
        if self.audio is not None:
            self.until(float("inf"))
            self.container.mux(self.stream.encode(None))
