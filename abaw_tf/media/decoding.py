"""What reading pictures and reading sound share: opening a container, decoding past damage, noting what was wrong."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import av

from .errors import MediaError, MediaWarning

# A timestamp this far (seconds) behind its predecessor is a new time line (joined files), neither jitter nor overlap.
DISCONTINUITY = 0.5

_NEEDS = {"video": "picture", "audio": "sound"}


@contextlib.contextmanager
def open_stream(path, kind: str):
    """Open a media file and yield (container, its first stream of that kind, ``"video"`` or ``"audio"``).

    Raises
    ------
    FileNotFoundError
        There is no such file.
    MediaError
        It is not a media file, was cut off before its index, or has no such stream.
    """
    path = Path(path)
    if path.is_dir():
        raise MediaError(f"{path} is a folder; give a {kind} file")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such {kind} file")
    try:
        # Titles and other tags are not read, so none of them can make a file unreadable.
        container = av.open(str(path), metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(
            f"{path} cannot be read ({reason(error)}): it is no {kind} file, or it was cut off before its index "
            "(an interrupted download or recording); replace it by a complete copy"
        ) from error
    with container:
        streams = [stream for stream in container.streams if stream.type == kind]
        if not streams:
            kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            raise MediaError(f"{path} has no {_NEEDS[kind]} (it holds: {kinds}); give a file with a {kind} stream")
        if streams[0].codec_context is None:
            raise MediaError(
                f"{path}: this build of FFmpeg cannot decode its {_NEEDS[kind]}; convert it, for example to MP4"
            )
        streams[0].thread_type = "AUTO"
        yield container, streams[0]


class Findings:
    """What goes wrong while a stream is decoded.

    Attributes
    ----------
    packets : int
        Packets read.
    damaged : int
        Packets that did not decode, and frames that the decoder calls corrupt.
    read_error : str or None
        Why the file could not be read to its end.
    """

    def __init__(self):
        self.packets = self.damaged = 0
        self.read_error = None

    def problems(self) -> list[str]:
        """The findings in words; an empty list for an intact stream."""
        found = []
        if self.read_error:
            found.append(f"cannot be read to its end ({self.read_error})")
        if self.damaged:
            found.append(f"{self.damaged} damaged packet(s) could not be decoded in full")
        return found


def decoded(container, stream, findings: Findings) -> Iterator:
    """Frames of a stream in order of presentation. Damage is noted in `findings`, and decoding goes on after it."""
    packets = container.demux(stream)
    flushed = False
    while not flushed:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            findings.read_error = reason(error)
            packet = None
        flushed = packet is None or packet.size == 0
        findings.packets += not flushed
        try:
            frames = stream.codec_context.decode(None) if packet is None else packet.decode()
        except av.error.EOFError:
            return
        except av.error.FFmpegError:
            findings.damaged += 1
            continue
        for frame in frames:
            findings.damaged += bool(frame.is_corrupt)
            yield frame


def seconds(frame, stream) -> float | None:
    """A frame's presentation time on the container's clock; None where the container has none."""
    # Frames that are still in the decoder when the file ends unexpectedly carry no time base of their own.
    return None if frame.pts is None else float(frame.pts * (frame.time_base or stream.time_base))


def warn(path, problems) -> None:
    """Raise one `MediaWarning` for all the problems of a file; none for an empty list."""
    if problems:
        warnings.warn(f"{path}: " + "; ".join(problems), MediaWarning, stacklevel=3)


def reason(error) -> str:
    """The words of an FFmpeg error without its number and path."""
    return getattr(error, "strerror", None) or str(error)
