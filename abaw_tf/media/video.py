"""Video files read frame by frame and written, through PyAV (whose wheels bring FFmpeg).

A frame's index is its place among the frames that *decode*: headers and OpenCV's frame count can announce more. A frame's time
comes from the container's timestamps and counts from the first frame, so a variable frame rate is kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .decoding import DISCONTINUITY, Findings, decoded, open_stream, seconds, warn
from .errors import MediaError, MediaWarning
from .video_writer import write_video

__all__ = [
    "MediaError",
    "MediaWarning",
    "VideoInfo",
    "VideoScan",
    "frame_times",
    "probe",
    "read_frames",
    "scan",
    "write_video",
]

# A picture that ends this much (seconds) before the announced duration is reported by `scan` where no frame count is announced.
MISSING_END = 1.0


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says about itself; only `start_time`, `width` and `height` are checked against a decoded frame.

    Attributes
    ----------
    fps : float
        Average frames per second (a variable rate has no other).
    n_frames_header : int or None
        Frames announced by the header, None where it announces none. Not to be relied on: use `frame_times`.
    duration : float
        Seconds announced by the header; NaN where unknown.
    width, height : int
        Size of the picture as it is shown, after the rotation that the file asks for.
    has_audio : bool
    codec : str
        Name of the decoder, for example ``"h264"``.
    rotation : int
        Degrees (counter-clockwise) by which `read_frames` turns the stored picture: 0, 90, 180 or 270.
    start_time : float
        Presentation time of the first frame on the container's clock, in seconds; `frame_times` counts from here.
    """

    fps: float
    n_frames_header: int | None
    duration: float
    width: int
    height: int
    has_audio: bool
    codec: str
    rotation: int
    start_time: float


@dataclass(frozen=True)
class VideoScan:
    """What is found when a whole video is decoded.

    Attributes
    ----------
    times : ndarray of float64, shape (n,)
        As from `frame_times`.
    problems : tuple of str
        Each thing that was odd (frames missing at the end, packets that did not decode, timestamps repaired); empty for an intact one.
    truncated : bool
        True where the file ends before what its header announces, or cannot be read to the end.
    """

    times: np.ndarray
    problems: tuple[str, ...]
    truncated: bool


def probe(path) -> VideoInfo:
    """Read a video's header and its first frame.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    MediaError
        The file is not a video, is damaged at its beginning, or has no picture.
    """
    with open_stream(path, "video") as (container, stream):
        first = next(decoded(container, stream, Findings()), None)
        if first is None:
            raise MediaError(f"{path}: no frame of the video can be decoded; replace the file by an intact copy")
        start = seconds(first, stream) or 0.0
        rotation = _rotation(first)
        turned = rotation in (90, 270)
        return VideoInfo(
            fps=_frame_rate(container, stream),
            n_frames_header=stream.frames or None,
            duration=_header_duration(container, stream),
            width=first.height if turned else first.width,
            height=first.width if turned else first.height,
            has_audio=bool(container.streams.audio),
            codec=stream.codec_context.name,
            rotation=rotation,
            start_time=start,
        )


def frame_times(path) -> np.ndarray:
    """Time of every frame that decodes, in seconds from the first one.

    The whole video is decoded (nothing is cached). Timestamps come from the container; where it has none, or one that does not
    increase, they are repaired so that the result always increases strictly: a missing one becomes the previous one plus the frame
    period (1 / average rate), one not later than the previous one is moved to one tick of the container's clock after it, and from a
    jump back by more than 0.5 s (joined files) the whole rest is moved to follow on at the frame period. Repairs and missing frames
    raise a `MediaWarning`; `scan` returns them.

    Returns
    -------
    ndarray of float64, shape (n,)
        ``n`` is the number of frames that `read_frames` gives; the first element is 0.
    """
    result = scan(path)
    warn(path, result.problems)
    return result.times


def scan(path) -> VideoScan:
    """Decode a whole video without keeping its pictures, and say what is wrong with it.

    Raises
    ------
    FileNotFoundError, MediaError
        As `probe`.
    """
    with open_stream(path, "video") as (container, stream):
        findings = Findings()
        clock = _Clock(container, stream)
        times = np.array([clock.time(frame) for frame in decoded(container, stream, findings)], np.float64)
        if not len(times):
            raise MediaError(f"{path}: no frame of the video can be decoded; replace the file by an intact copy")
        problems, truncated = _conclude(container, stream, findings, clock, times[-1])
    return VideoScan(times, problems, truncated)


def time_lines(path) -> list[tuple[float, float]]:
    """Where the picture's time stamps begin and where they start over (joined files), found by decoding the whole video.

    Returns
    -------
    list of (float, float)
        Of each such frame, seconds as from `frame_times` and time stamp on the container's clock; the first is (0, start time).
    """
    with open_stream(path, "video") as (container, stream):
        clock = _Clock(container, stream)
        for frame in decoded(container, stream, Findings()):
            clock.time(frame)
    return clock.lines


def read_frames(
    path, start: int = 0, stop: int | None = None, step: int = 1
) -> Iterator[tuple[int, float, np.ndarray]]:
    """Decode a video frame by frame, holding one picture at a time.

    Frames before `start` are decoded and thrown away (seeking would not count frames reliably), frames from `stop` on are not
    decoded. The rotation that the file asks for is applied. A damaged or cut file gives every frame that decodes; what is missing is
    told by a `MediaWarning` when its end is reached.

    Parameters
    ----------
    path : path-like
    start, stop, step : int
        As in ``range``: 0-based frame indices, `stop` excluded (None: to the end), `step` at least 1.

    Yields
    ------
    (index, time, image)
        0-based frame index, seconds as from `frame_times`, uint8 RGB picture of shape (height, width, 3).

    Raises
    ------
    FileNotFoundError, MediaError
        As `probe`, at the call.
    ValueError
        `start`, `stop` or `step` out of range.
    """
    if start < 0 or step < 1 or (stop is not None and stop < start):
        raise ValueError(
            f"start must be >= 0, step >= 1 and stop None or >= start. Received: start={start}, stop={stop}, step={step}"
        )
    with open_stream(path, "video"):  # a bad path is told here, not at the first frame
        pass
    return _read_frames(path, start, stop, step)


def _read_frames(path, start, stop, step):
    if stop is not None and stop <= start:
        return
    with open_stream(path, "video") as (container, stream):
        findings = Findings()
        clock = _Clock(container, stream)
        time = index = -1
        for index, frame in enumerate(decoded(container, stream, findings)):
            time = clock.time(frame)
            if index >= start and (index - start) % step == 0:
                yield index, time, _picture(frame)
            if stop is not None and index + 1 >= stop:
                return
        if index < 0:
            raise MediaError(f"{path}: no frame of the video can be decoded; replace the file by an intact copy")
        warn(path, _conclude(container, stream, findings, clock, time)[0])


def _conclude(container, stream, findings, clock, last_time) -> tuple[tuple[str, ...], bool]:
    """The problems of a video that was decoded to its end, and whether its end is missing."""
    problems = findings.problems()
    truncated = findings.read_error is not None
    if stream.frames > findings.packets:
        problems.append(
            f"the header announces {stream.frames} frames, the file holds {findings.packets}: its end is missing"
        )
        truncated = True
    announced = _header_duration(container, stream)
    end = clock.origin + last_time + clock.period
    if not stream.frames and announced - end > MISSING_END:
        problems.append(f"the header announces {announced:.2f} s, the picture ends at {end:.2f} s: its end is missing")
        truncated = True
    if clock.repaired:
        problems.append(f"{clock.repaired} timestamp(s) missing or not increasing, repaired")
    return tuple(problems), truncated


class _Clock:
    """Turns frames' timestamps into seconds from the first frame that increase strictly (rules: `frame_times`)."""

    def __init__(self, container, stream):
        self.period = 1.0 / _frame_rate(container, stream)
        self.tick = float(stream.time_base)
        self.origin = 0.0
        self.repaired = 0
        self.lines = []  # as `time_lines`
        self._stream = stream
        self._shift = 0.0
        self._previous = None

    def time(self, frame) -> float:
        stamp = seconds(frame, self._stream)
        if self._previous is None:
            self.origin = stamp or 0.0
            self.repaired += stamp is None
            self._previous = 0.0
            self.lines.append((0.0, self.origin))
            return 0.0
        if stamp is None:
            time = self._previous + self.period
            self.repaired += 1
        else:
            time = stamp - self.origin + self._shift
            if time <= self._previous - DISCONTINUITY:
                self._shift += self._previous + self.period - time
                time = self._previous + self.period
                self.lines.append((time, stamp))
                self.repaired += 1
            elif time <= self._previous:
                time = self._previous + self.tick
                self.repaired += 1
        self._previous = time
        return time


def _frame_rate(container, stream) -> float:
    """Average frames per second announced by the header, of the stream or of its codec."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate, stream.codec_context.framerate):
        if rate:
            return float(rate)
    raise MediaError(f"{container.name}: no frame rate in its header; write it anew, for example into an MP4 file")


def _header_duration(container, stream) -> float:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else float("nan")


def _rotation(frame) -> int:
    return round(frame.rotation / 90) * 90 % 360


def _picture(frame) -> np.ndarray:
    image = frame.to_ndarray(format="rgb24")
    turns = _rotation(frame) // 90
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
