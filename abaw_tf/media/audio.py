"""Sound: read from sound files and from videos, resampled, in step with the picture; written to WAV."""

from pathlib import Path

import av
import numpy as np
import soundfile
import soxr

from abaw_tf.files import replacing

from .decoding import Findings, decoded, open_stream, seconds, warn
from .errors import MediaError

# Read by libsndfile; everything else goes through FFmpeg.
SOUND_FILES = frozenset({".wav", ".flac", ".ogg", ".aif", ".aiff", ".au", ".caf"})
# Time stamps of sound that are off by less than this (seconds) are rounding; a later one is a hole, filled with silence.
TOLERANCE = 0.05


def load_audio(
    path,
    sample_rate: int | None = None,
    mono: bool = True,
    align: str = "video",
    missing: str = "error",
    duration: float | None = None,
) -> tuple[np.ndarray, int]:
    """Read the sound of a sound file or of a video.

    Parameters
    ----------
    path : path-like
    sample_rate : int, optional
        Samples per second of the result (soxr, high quality); None keeps the file's.
    mono : bool
        Average the channels.
    align : {"video", "stream"}
        ``"video"``: sample 0 sounds with the first frame (time 0 of `video.frame_times`): a sound stream that begins later starts with
        silence, one that begins earlier is cut. ``"stream"``: sample 0 is the first of the stream. Without a picture both are the same.
    missing : {"error", "silence"}
        What to do with a video without sound: `MediaError`, or silence (`sample_rate` needed) of `duration`, or of the video's.
    duration : float, optional
        Seconds; the result is cut or filled up with silence to ``round(duration * sample_rate)`` samples.

    Returns
    -------
    samples : ndarray of float32, shape (n,) or (n, channels)
        In [-1, 1]. Silence for a missing stream has one channel. A hole in the stream (time stamps that jump ahead) is silence.
    sample_rate : int

    Raises
    ------
    FileNotFoundError
        There is no such file.
    MediaError
        It cannot be read, or has no sound. Sound that is damaged or cut is given as far as it decodes, with a `MediaWarning`.
    ValueError
        An argument out of range.
    """
    path = Path(path)
    _check(sample_rate, align, missing, duration)
    if path.suffix.lower() in SOUND_FILES:
        samples, rate = _read_sound_file(path)
    elif missing == "silence" and not has_audio(path):
        return _silence(path, sample_rate, mono, duration)
    else:
        samples, rate = _read_container(path, align)
    if mono:
        samples = samples.mean(axis=1, dtype=np.float32)
    if sample_rate and sample_rate != rate:
        samples, rate = soxr.resample(samples, rate, sample_rate, quality="HQ"), int(sample_rate)
    return _fit(samples, rate, duration), rate


def has_audio(path) -> bool:
    """Whether a media file holds a sound stream (which may be silent). Errors as `load_audio`."""
    try:
        with open_stream(path, "video") as (container, _):
            return bool(container.streams.audio)
    except MediaError:
        # No picture, or not a media file: in the second case this tells it.
        with open_stream(path, "audio"):
            return True


def write_wav(path, samples, sample_rate: int, subtype: str = "PCM_16") -> Path:
    """Write samples to a WAV file, which appears when it is complete.

    Parameters
    ----------
    path : path-like
    samples : float array, shape (n,) or (n, channels)
        In [-1, 1] unless `subtype` is ``"FLOAT"``.
    sample_rate : int
    subtype : str
        ``"PCM_16"``, ``"PCM_24"`` or ``"FLOAT"``.

    Returns
    -------
    Path
    """
    path, samples = Path(path), np.asarray(samples)
    if samples.ndim not in (1, 2) or not np.issubdtype(samples.dtype, np.floating) or not np.isfinite(samples).all():
        raise ValueError(
            f"samples must be finite floats of shape (n,) or (n, channels). Received: {samples.dtype} {samples.shape}"
        )
    peak = float(np.abs(samples).max(initial=0))
    if subtype != "FLOAT" and peak > 1:
        raise ValueError(
            f"samples beyond [-1, 1] would be clipped: scale them, or use subtype='FLOAT'. Received: peak {peak:.3f}"
        )
    with replacing(path) as partial:
        soundfile.write(partial, samples, int(sample_rate), subtype=subtype, format="WAV")
    return path


def _check(sample_rate, align, missing, duration):
    if sample_rate is not None and (sample_rate != int(sample_rate) or sample_rate < 1):
        raise ValueError(f"sample_rate must be a whole number of samples per second, or None. Received: {sample_rate}")
    if align not in ("video", "stream"):
        raise ValueError(f"align must be 'video' or 'stream'. Received: {align!r}")
    if missing not in ("error", "silence"):
        raise ValueError(f"missing must be 'error' or 'silence'. Received: {missing!r}")
    if missing == "silence" and sample_rate is None:
        raise ValueError(
            "missing='silence' needs a sample_rate: silence has none of its own. Received: sample_rate=None"
        )
    if duration is not None and not 0 < duration < float("inf"):
        raise ValueError(f"duration must be positive seconds. Received: {duration}")


def _read_sound_file(path):
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such audio file")
    try:
        return soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise MediaError(
            f"{path} cannot be read ({error.error_string}): it is no {path.suffix} file, or damaged; replace it by an intact copy"
        ) from error


def _read_container(path, align):
    with open_stream(path, "audio") as (container, stream):
        # The first frame's clock is read before this container is: two decoders on one file do not disturb each other.
        origin = _video_start(path) if align == "video" and container.streams.video else None
        rate, layout = stream.codec_context.sample_rate, stream.codec_context.layout
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
        findings, chunks, n, first = Findings(), [], 0, None
        for frame in decoded(container, stream, findings):
            stamp = seconds(frame, stream)
            if first is None:
                first = stamp or 0.0
            if stamp is not None and stamp - first - n / rate > TOLERANCE:
                hole = round((stamp - first) * rate) - n
                chunks.append(np.zeros((len(layout.channels), hole), np.float32))
                n += hole
            frame.pts = None
            for converted in resampler.resample(frame):
                chunks.append(converted.to_ndarray())
                n += converted.samples
        if not chunks:
            raise MediaError(
                f"{path}: no sound can be decoded from its audio stream; replace the file by an intact copy"
            )
        announced = float(stream.duration * stream.time_base) if stream.duration else 0.0
    samples = np.ascontiguousarray(np.concatenate(chunks, axis=1).T)
    problems = findings.problems()
    if announced - n / rate > 1.0:
        problems.append(f"the header announces {announced:.2f} s of sound, {n / rate:.2f} s decode: its end is missing")
    warn(path, problems)
    return (samples if origin is None else _shift(samples, round((first - origin) * rate))), rate


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


def _silence(path, sample_rate, mono, duration):
    if duration is None:
        with open_stream(path, "video") as (container, stream):
            if stream.duration:
                duration = float(stream.duration * stream.time_base)
            elif container.duration:
                duration = container.duration / 1e6
            else:
                raise MediaError(f"{path}: its header has no duration; say how much silence is wanted with duration=")
    n = round(duration * sample_rate)
    return np.zeros(n if mono else (n, 1), np.float32), int(sample_rate)


def _fit(samples, rate, duration):
    if duration is None:
        return samples
    n = round(duration * rate)
    fill = np.zeros((max(0, n - len(samples)), *samples.shape[1:]), np.float32)
    return np.concatenate([samples[:n], fill])
