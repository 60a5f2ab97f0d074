"""Decoding of sound: of sound files by libsndfile, of everything else by FFmpeg, in step with the picture, with its holes kept."""

from dataclasses import dataclass

import av
import numpy as np
import soundfile

from .decoding import DISCONTINUITY, Findings, decoded, open_stream, seconds, warn
from .errors import MediaError
from .riff import is_unclosed, missing_sound
from .video import time_lines

# Read by libsndfile; everything else goes through FFmpeg.
SOUND_FILES = frozenset({".wav", ".flac", ".ogg", ".aif", ".aiff", ".au", ".caf"})
# Time stamps of sound that are off by less than this (seconds) are rounding, half a video frame at most. A later one is a hole, filled
# with silence; an earlier one an overlap, of which the first part is kept. Otherwise joined files, whose sound is a little shorter or
# longer than their picture, would get out of step more and more.
TOLERANCE = 0.02

_REPLACE = "replace it by an intact copy"


@dataclass(frozen=True, eq=False)
class SoundStream:
    """Decoded sound at its own rate.

    Attributes
    ----------
    samples : ndarray of float32, shape (n, channels)
        Zero in holes; one channel where they were averaged.
    rate : int
        Samples per second.
    channels : int
        Channels before averaging.
    peak : float
        Largest magnitude before averaging.
    spans : list of (int, int)
        Half-open intervals of `samples` in which the stream has sound.
    """

    samples: np.ndarray
    rate: int
    channels: int
    peak: float
    spans: list[tuple[int, int]]


def read_stream(path, align, mono) -> SoundStream:
    """Decode a sound file or the first sound stream of a container; arguments and errors as `abaw_tf.media.audio.load_audio`."""
    read = _read_sound_file if path.suffix.lower() in SOUND_FILES else _read_container
    stream = read(path, align, mono)
    if not np.isfinite(stream.peak):
        raise MediaError(
            f"{path}: its samples are not all finite (NaN or infinity); replace the file by an intact copy"
        )
    return stream


def _read_sound_file(path, align, mono):
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such audio file")
    try:
        file = soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        raise MediaError(
            f"{path} cannot be read ({error.error_string}): it is no {path.suffix} file, or damaged; {_REPLACE}"
        ) from error
    with file:
        samples, problem = _read_all(file)
    if problem:
        return _read_container(path, "stream", mono, [problem])
    if cut := missing_sound(path):
        problem = f"the header announces {cut[0]} bytes of sound, the file holds {cut[1]}: its end is missing"
        warn(path, [f"{problem}; {_REPLACE}"])
    channels, peak = samples.shape[1], float(np.abs(samples).max(initial=0))
    if mono:
        samples = samples.mean(axis=1, keepdims=True, dtype=np.float32)
    return SoundStream(samples, file.samplerate, channels, peak, [(0, len(samples))] if len(samples) else [])


def _read_all(file):
    """All samples of an open sound file, and None; or None, and why libsndfile does not give all."""
    problem = None
    try:
        samples = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        problem = f"damaged or cut ({error.error_string}), given as far as FFmpeg decodes it; {_REPLACE}"
    except ValueError:
        problem = "its header does not tell the length of the sound, so a missing end cannot be noticed; write it anew"
    else:
        if len(samples) < file.frames:
            problem = (
                f"damaged ({len(samples)} of {file.frames} samples can be read), given as FFmpeg decodes it; {_REPLACE}"
            )
        elif not len(samples) and is_unclosed(file.name):
            problem = (
                "its header announces no sound, but the file holds some, given as FFmpeg decodes it; write it anew"
            )
    return (None, problem) if problem else (samples, None)


def _read_container(path, align, mono, problems=()):
    with open_stream(path, "audio") as (container, stream):
        rate, channels = stream.codec_context.sample_rate, len(stream.codec_context.layout.channels)
        # The picture is read while this container is open: two decoders on one file do not disturb each other.
        origin = _video_start(path) if align == "video" and container.streams.video else None
        findings = Findings()
        stretches, peak = _stretches(_chunks(decoded(container, stream, findings), stream, rate), rate, channels, mono)
        if not stretches:
            raise MediaError(
                f"{path}: no sound can be decoded from its audio stream; replace the file by an intact copy"
            )
        announced = float(stream.duration * stream.time_base) if stream.duration else 0.0
    problems = [*problems, *findings.problems()]
    length = sum(stretch.n for stretch in stretches) / rate
    if announced - length > 1.0:
        problems.append(f"the header announces {announced:.2f} s of sound, {length:.2f} s decode: its end is missing")
    begins, in_doubt = _begins(path, stretches, origin, rate)
    warn(path, problems + in_doubt)
    samples, spans = _joined(stretches, begins, rate, 1 if mono else channels)
    return SoundStream(samples, rate, channels, peak, spans)


def _chunks(frames, stream, rate):
    """(time stamp in seconds or None, float32 array of shape (channels, n)) of frames, at one rate, with the channels they have.

    The frames' format may change midway (joined recordings).
    """
    resampler, setup = av.AudioResampler(), None
    for frame in frames:
        stamp = seconds(frame, stream)
        frame.pts = None
        if setup != (frame.format.name, frame.layout.name, frame.sample_rate):
            yield from _rest(resampler)
            setup = frame.format.name, frame.layout.name, frame.sample_rate
            resampler = av.AudioResampler(format="fltp", layout=frame.layout, rate=rate)
        for converted in resampler.resample(frame):
            yield stamp, converted.to_ndarray()
            stamp = None
    yield from _rest(resampler)


def _rest(resampler):
    """What a converter of rates holds back (less than a millisecond)."""
    return [(None, converted.to_ndarray()) for converted in resampler.resample(None)]


class _Stretch:
    """Sound between two restarts of the time stamps.

    Attributes
    ----------
    stamp : float
        Its first time stamp.
    pieces : list of (int, ndarray of float32, shape (channels, n))
        Sound and its place, in samples after `stamp`; between them are holes.
    n : int
        Samples from the first to the last.
    """

    def __init__(self, stamp, rate):
        self.stamp, self.pieces, self.n = stamp or 0.0, [], 0
        self._rate = rate

    def lag(self, stamp) -> int:
        """Samples by which a time stamp is later than the end of the stretch."""
        return 0 if stamp is None else round((stamp - self.stamp) * self._rate) - self.n

    def append(self, chunk, stamp):
        lag = self.lag(stamp)
        if lag > TOLERANCE * self._rate:
            self.n += lag
        elif lag < -TOLERANCE * self._rate:
            chunk = chunk[:, -lag:]
        self.pieces.append((self.n, chunk))
        self.n += chunk.shape[1]


def _stretches(chunks, rate, channels, mono):
    """Chunks as stretches, averaged when `mono`; and the largest magnitude before averaging."""
    stretches, peak = [], 0.0
    for stamp, chunk in chunks:
        if not stretches or stretches[-1].lag(stamp) <= -DISCONTINUITY * rate:
            stretches.append(_Stretch(stamp, rate))
        peak = float(np.maximum(peak, np.abs(chunk).max(initial=0)))  # keeps a NaN
        # Averaged here, not at the end: an hour of stereo need not be held.
        stretches[-1].append(_mixed(chunk, 1 if mono else channels), stamp)
    return stretches, peak


def _mixed(chunk, channels):
    """Sound with so many channels: the average in each, if it had others. (FFmpeg's mixing changes the level by 3 dB.)"""
    if len(chunk) == channels:
        return chunk
    return chunk.mean(axis=0, keepdims=True, dtype=np.float32).repeat(channels, axis=0)


def _begins(path, stretches, origin, rate):
    """Samples of the result at which the stretches begin (None: where the one before ends), and what is in doubt about them.

    Where the time stamps start over, those of the picture do, too: the sound begins as much later than the picture there as the stamps
    say. Reckoned from the picture's own clock, what single joins are off does not add up.
    """
    if origin is None:
        return [0] + [None] * (len(stretches) - 1), []
    lines = time_lines(path) if len(stretches) > 1 else [(0.0, origin)]
    begins = [round((time + stretch.stamp - stamp) * rate) for stretch, (time, stamp) in zip(stretches, lines)]
    if len(lines) == len(stretches):
        return begins, []
    return begins[:1] + [None] * (len(stretches) - 1), [
        f"the time stamps of the sound start over {len(stretches) - 1} time(s), those of the picture {len(lines) - 1}: after the first "
        "restart the sound may be out of step; write the file anew, joined of its parts after converting each, for example to MP4"
    ]


def _joined(stretches, begins, rate, channels):
    """Samples of shape (n, channels) and spans of the stretches in their places: gaps are silence, of overlaps the first part counts."""
    chunks, spans, n = [np.zeros((channels, 0), np.float32)], [], 0
    for stretch, begin in zip(stretches, begins):
        if begin is None or (stretch is not stretches[0] and abs(begin - n) <= TOLERANCE * rate):
            begin = n
        for place, chunk in stretch.pieces:
            gap = begin + place - n
            chunk = chunk[:, max(0, -gap) :]
            if not chunk.shape[1]:
                continue
            if gap > 0 or not spans:
                chunks.append(np.zeros((channels, max(0, gap)), np.float32))
                n += max(0, gap)
                spans.append((n, n))
            chunks.append(chunk)
            n += chunk.shape[1]
            spans[-1] = (spans[-1][0], n)
    return np.ascontiguousarray(np.concatenate(chunks, axis=1).T), spans


def _video_start(path):
    with open_stream(path, "video") as (container, stream):
        frame = next(decoded(container, stream, Findings()), None)
        if frame is None:
            raise MediaError(
                f"{path}: no frame can be decoded to align the sound with; use align='stream' for the sound alone"
            )
        return seconds(frame, stream) or 0.0
