"""Decoding of sound: of sound files by libsndfile, of everything else by FFmpeg, in step with the picture, with its holes kept."""

from dataclasses import dataclass

import av
import numpy as np
import soundfile

from .decoding import DISCONTINUITY, Findings, decoded, open_stream, seconds, warn
from .errors import MediaError

# Read by libsndfile; everything else goes through FFmpeg.
SOUND_FILES = frozenset({".wav", ".flac", ".ogg", ".aif", ".aiff", ".au", ".caf"})
# Time stamps of sound that are off by less than this (seconds) are rounding, half a video frame at most. A later one is a hole, filled
# with silence; an earlier one an overlap, of which the first part is kept. Otherwise joined files, whose sound is a little shorter or
# longer than their picture, would get out of step more and more.
TOLERANCE = 0.02


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
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise MediaError(
            f"{path} cannot be read ({error.error_string}): it is no {path.suffix} file, or damaged; replace it by an intact copy"
        ) from error
    channels, peak = samples.shape[1], float(np.abs(samples).max(initial=0))
    if mono:
        samples = samples.mean(axis=1, keepdims=True, dtype=np.float32)
    return SoundStream(samples, rate, channels, peak, [(0, len(samples))] if len(samples) else [])


def _read_container(path, align, mono):
    with open_stream(path, "audio") as (container, stream):
        # The first frame's clock is read before this container is: two decoders on one file do not disturb each other.
        origin = _video_start(path) if align == "video" and container.streams.video else None
        rate, layout = stream.codec_context.sample_rate, stream.codec_context.layout
        channels, peak = len(layout.channels), 0.0
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
        findings, chunks, spans, n, first = Findings(), [], [], 0, None
        for frame in decoded(container, stream, findings):
            stamp = seconds(frame, stream)
            if first is None:
                first, begin = stamp or 0.0, 0
            lag = 0 if stamp is None else round((stamp - first) * rate) - n
            if lag > TOLERANCE * rate:
                chunks.append(np.zeros((1 if mono else channels, lag), np.float32))
                spans.append((begin, n))
                n += lag
                begin = n
            overlap = -lag if -DISCONTINUITY * rate < lag < -TOLERANCE * rate else 0
            frame.pts = None
            for converted in resampler.resample(frame):
                chunk = converted.to_ndarray()[:, overlap:]
                peak = float(np.maximum(peak, np.abs(chunk).max(initial=0)))  # keeps a NaN
                # Averaged here, not at the end: an hour of stereo need not be held.
                chunks.append(chunk.mean(axis=0, keepdims=True, dtype=np.float32) if mono else chunk)
                n += chunk.shape[1]
        if not chunks:
            raise MediaError(
                f"{path}: no sound can be decoded from its audio stream; replace the file by an intact copy"
            )
        spans.append((begin, n))
        announced = float(stream.duration * stream.time_base) if stream.duration else 0.0
    samples = np.ascontiguousarray(np.concatenate(chunks, axis=1).T)
    problems = findings.problems()
    if announced - n / rate > 1.0:
        problems.append(f"the header announces {announced:.2f} s of sound, {n / rate:.2f} s decode: its end is missing")
    warn(path, problems)
    late = 0 if origin is None else round((first - origin) * rate)
    spans = [(max(0, start + late), stop + late) for start, stop in spans if stop + late > 0]
    return SoundStream(_shift(samples, late), rate, channels, peak, spans)


def _video_start(path):
    with open_stream(path, "video") as (container, stream):
        frame = next(decoded(container, stream, Findings()), None)
        if frame is None:
            raise MediaError(
                f"{path}: no frame can be decoded to align the sound with; use align='stream' for the sound alone"
            )
        return seconds(frame, stream) or 0.0


def _shift(samples, late):
    """Put `late` samples of silence in front, or drop that many when it is negative."""
    if late <= 0:
        return samples[-late:]
    return np.concatenate([np.zeros((late, samples.shape[1]), np.float32), samples])
