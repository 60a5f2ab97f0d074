"""Sound: read from sound files and from videos, resampled, in step with the picture; written to WAV.

`load_audio` gives samples; `read_sound` gives mono samples together with what was found: where there is sound at all, how many channels
there were, whether it is silent. `abaw_tf.media.audio_graph` does the same inside a TensorFlow graph.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from abaw_tf.files import replacing

from .decoding import open_stream
from .errors import MediaError
from .sound_streams import SOUND_FILES, read_stream

# A sound that never goes beyond this (-80 dB of full scale, three steps of 16 bits) is called silent.
SILENCE = 1e-4
# Sound that begins later or ends earlier than the picture by up to this (seconds) is not worth a word.
MENTIONED = 0.05


@dataclass(frozen=True, eq=False)
class Sound:
    """Mono sound and what was found while it was read.

    Attributes
    ----------
    samples : ndarray of float32, shape (n,)
        In [-1, 1]; empty without a sound stream. Where the stream has no sound (outside `spans`) it is zero.
    sample_rate : int
        Samples per second of `samples`.
    channels : int
        Channels of the stream, which were averaged; 0 without a stream.
    source_rate : int or None
        Samples per second of the stream; None without one.
    peak : float
        Largest magnitude in any channel before averaging.
    spans : tuple of (float, float)
        Half-open intervals in seconds, in the time of `samples`, in which the stream has sound (be it silent): one, unless there are
        holes in the stream; none without a stream.
    """

    samples: np.ndarray
    sample_rate: int
    channels: int
    source_rate: int | None
    peak: float
    spans: tuple[tuple[float, float], ...]

    @property
    def is_absent(self) -> bool:
        """Whether there is no sound: no stream, or none of it within the time of the picture."""
        return not self.spans

    @property
    def is_silent(self) -> bool:
        """Whether there is sound that never goes beyond `SILENCE`."""
        return not self.is_absent and float(np.abs(self.samples).max(initial=0)) <= SILENCE

    def findings(self, duration: float | None = None) -> list[str]:
        """What a user should know, in words; empty where all is well.

        Parameters
        ----------
        duration : float, optional
            Seconds of picture, to compare with. Differences up to `MENTIONED` are passed over.
        """
        if not self.channels:
            return ["no sound stream"]
        if self.is_absent:
            return ["the sound stream holds nothing within the time of the picture"]
        found = []
        if self.is_silent:
            cause = f": its {self.channels} channels cancel each other" if self.peak > SILENCE else ""
            found.append(f"the sound is silent{cause}")
        if self.spans[0][0] > MENTIONED:
            found.append(f"the sound begins {self.spans[0][0]:.2f} s after the picture")
        holes = [(stop, start) for (_, stop), (start, _) in itertools.pairwise(self.spans)]
        if holes:
            lost = sum(stop - start for start, stop in holes)
            found.append(f"{len(holes)} hole(s) in the sound, {lost:.2f} s in all, the first at {holes[0][0]:.2f} s")
        if duration is not None and duration - self.spans[-1][1] > MENTIONED:
            found.append(f"the sound ends at {self.spans[-1][1]:.2f} s, the picture at {duration:.2f} s")
        return found


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
        In [-1, 1]. Silence for a missing stream has one channel. A hole in the stream (time stamps that jump ahead) is silence, of
        an overlap (they jump back a little) the first part counts. Where the stamps start over (joined files), the sound begins anew
        with the picture; it follows on with ``align="stream"``, and, with a `MediaWarning`, if those of the picture do so elsewhere.
        Rate and channels are those of the beginning, should they change.
    sample_rate : int

    Raises
    ------
    FileNotFoundError
        There is no such file.
    MediaError
        It cannot be read, or has no sound. Sound that is damaged or cut is given as far as it decodes, with a `MediaWarning`. (Formats
        that announce no length, such as Ogg, and AU and CAF files do not tell that their end is missing.)
    ValueError
        An argument out of range.
    """
    path = Path(path)
    _check(sample_rate, align, missing, duration)
    if missing == "silence" and not has_audio(path):
        return _silence(path, sample_rate, mono, duration)
    stream = read_stream(path, align, mono)
    samples = stream.samples[:, 0] if mono else stream.samples
    rate = sample_rate or stream.rate
    return _fit(resample(samples, stream.rate, rate), rate, duration), int(rate)


def read_sound(path, sample_rate: int | None = None, align: str = "video") -> Sound:
    """Read the sound of a sound file or of a video, mono, with a record of what was found.

    Parameters
    ----------
    path, sample_rate, align
        As in `load_audio`.

    Returns
    -------
    Sound
        Of a video without a sound stream: an empty one (`Sound.is_absent`), for which `sample_rate` is needed.

    Raises
    ------
    FileNotFoundError, MediaError, ValueError
        As `load_audio`, but for the missing stream.
    """
    path = Path(path)
    _check(sample_rate, align, "error", None)
    if not has_audio(path):
        _check(sample_rate, align, "silence", None)
        return Sound(np.zeros(0, np.float32), int(sample_rate), 0, None, 0.0, ())
    stream = read_stream(path, align, mono=True)
    rate = int(sample_rate or stream.rate)
    samples = resample(stream.samples[:, 0], stream.rate, rate)
    spans = tuple((start / stream.rate, stop / stream.rate) for start, stop in stream.spans)
    return Sound(samples, rate, stream.channels, stream.rate, stream.peak, spans)


def resample(samples, rate_in: int, rate_out: int) -> np.ndarray:
    """Samples at another rate, float32 of shape (round(n · rate_out / rate_in), …), by soxr's "HQ" (linear phase, no delay)."""
    return samples if rate_in == rate_out else soxr.resample(samples, rate_in, rate_out, quality="HQ")


def has_audio(path) -> bool:
    """Whether a media file holds a sound stream (which may be silent). Errors as `load_audio`."""
    if Path(path).suffix.lower() in SOUND_FILES:
        return True
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
