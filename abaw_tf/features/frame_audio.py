"""Frame-synchronous audio features: one segment of sound per video frame, its MFCCs and mel spectrum (Rasipuram et al. 2020).

The paper (section I.B.1) says: librosa; as many segments as the video has frames; segments overlap by one half; 40 MFCCs and 128 mel
coefficients, 168 features. Everything else here is our choice, since neither the paper nor any published code tells:

- The segment of a frame begins with the frame and lasts two mean frame periods: with a constant frame rate, half of it is shared with
  the next one. All segments of a video have the same number of samples, also where its frame rate varies.
- Sound at 22,050 samples per second; Hann window, FFT of 2048, hop of 512, power spectrum, Slaney's mel filters: what librosa does
  unasked. At 25 frames per second a segment (1764 samples) is shorter than the FFT: as librosa does by default, it is padded with 1024
  zeros on either side, which gives 1 + 1764 // 512 = 4 columns.
- MFCCs come from decibels (reference 1, floor 80 dB below the loudest entry *of the segment*); the mel coefficients stay powers,
  or are decibels too (`mel_decibels`).
- Columns are averaged within the segment.
- Beyond the end of the sound there are zeros: the last segment of a video reaches one frame period past its end. A frame whose segment
  holds no sound at all is missing.

`abaw_tf.features.frame_audio_graph` computes the same in a Keras graph; `abaw_tf.features.frame_audio_tracks` fills feature stores.
"""

from dataclasses import dataclass

import librosa
import numpy as np

from abaw_tf.media.audio import SILENCE, Sound, read_sound

# Segment length in frame periods: two, so that neighbours overlap by one half (paper).
SEGMENT_PERIODS = 2
# Decibels as librosa's `power_to_db` and `mfcc` make them: smallest power, and depth below the loudest entry of a segment.
SMALLEST_POWER = 1e-10
DYNAMIC_RANGE = 80.0
_BATCH = 256


@dataclass(frozen=True)
class FrameAudioConfig:
    """How the sound of a frame becomes features.

    Parameters
    ----------
    sample_rate : int
        Samples per second. Our choice: librosa's default.
    n_fft, hop_length : int
        Window and hop inside a segment, in samples. Our choice: librosa's defaults.
    n_mfcc, n_mels : int
        Coefficients (paper).
    mel_decibels : bool
        Mel coefficients in decibels instead of powers. Our choice: powers, as `librosa.feature.melspectrogram` returns.

    Raises
    ------
    ValueError
        If a number is not positive, or there are more MFCCs than mel bands.
    """

    sample_rate: int = 22050
    n_fft: int = 2048
    hop_length: int = 512
    n_mfcc: int = 40
    n_mels: int = 128
    mel_decibels: bool = False

    def __post_init__(self):
        for name in ("sample_rate", "n_fft", "hop_length", "n_mfcc", "n_mels"):
            value = getattr(self, name)
            if value != int(value) or value < 1:
                raise ValueError(f"`{name}` must be a positive whole number. Received: {name}={value}")
        if self.n_mfcc > self.n_mels:
            raise ValueError(
                f"there are at most as many MFCCs as mel bands. Received: n_mfcc={self.n_mfcc}, n_mels={self.n_mels}"
            )

    @property
    def dim(self) -> int:
        """Features per frame: MFCCs, then mel coefficients."""
        return self.n_mfcc + self.n_mels

    def names(self) -> list[str]:
        """Names of the features: ``mfcc_0`` …, ``mel_0`` …."""
        return [f"mfcc_{i}" for i in range(self.n_mfcc)] + [f"mel_{i}" for i in range(self.n_mels)]


@dataclass(frozen=True, eq=False)
class FrameAudio:
    """Audio features of every frame of a video.

    Attributes
    ----------
    values : ndarray of float32, shape (n_frames, dim)
        Rows of missing frames are those of digital silence, which is finite but not zero.
    missing : ndarray of bool, shape (n_frames,)
        Frames whose segment holds no sound: no stream, before its beginning, in a hole, after its end.
    silent : ndarray of bool, shape (n_frames,)
        Other frames whose segment never goes beyond `abaw_tf.media.audio.SILENCE`.
    findings : list of str
        What a user should know; see `abaw_tf.media.audio.Sound.findings`.
    """

    values: np.ndarray
    missing: np.ndarray
    silent: np.ndarray
    findings: list[str]


def frame_period(times) -> float:
    """Mean time between frames, seconds; an error for fewer than two frames or times that do not increase."""
    times = np.asarray(times, np.float64)
    if times.ndim != 1 or len(times) < 2 or not (np.diff(times) > 0).all():
        raise ValueError(
            f"a frame period needs the increasing times of two frames or more, in seconds; give `period` for a single frame. "
            f"Received: shape={times.shape}, times={times.ravel()[:3]}"
        )
    return float((times[-1] - times[0]) / (len(times) - 1))


def segment_starts(times, sample_rate: int) -> np.ndarray:
    """First sample of each frame's segment, int64 (n_frames,).

    Each one is rounded from its own time in float64, so that a hop that is no whole number of samples (735.735 at 29.97 frames per second)
    adds no error from frame to frame. For a constant rate, give ``np.arange(n_frames) * 1001 / 30000``, not ``/ 29.97``: that is off by
    79 samples after an hour.
    """
    return np.floor(np.asarray(times, np.float64) * sample_rate + 0.5).astype(np.int64)


def segment_length(period: float, sample_rate: int) -> int:
    """Samples in a segment: two frame `period`s (seconds), rounded."""
    length = round(SEGMENT_PERIODS * period * sample_rate)
    if length < 1:
        raise ValueError(f"`period` must be positive, and a segment hold samples. Received: period={period}")
    return length


def cut_segments(samples, starts, length: int) -> np.ndarray:
    """Segments (n, length) of mono `samples` (n_samples,), zero before their beginning and beyond their end."""
    samples, starts = np.asarray(samples), np.asarray(starts, np.int64)
    segments = np.zeros((len(starts), length), samples.dtype)
    for row, start in zip(segments, starts.tolist()):
        piece = samples[max(start, 0) : max(start + length, 0)]
        row[max(-start, 0) : max(-start, 0) + len(piece)] = piece
    return segments


def segment_features(segments, config: FrameAudioConfig | None = None) -> np.ndarray:
    """Features of segments by librosa.

    Parameters
    ----------
    segments : float array, shape (n, length)
    config : FrameAudioConfig, optional

    Returns
    -------
    ndarray of float32, shape (n, dim)
        MFCCs, then mel coefficients, each averaged over the segment.
    """
    config = config or FrameAudioConfig()
    segments = np.asarray(segments, np.float32)
    parts = [_features(segments[i : i + _BATCH], config) for i in range(0, len(segments), _BATCH)]
    return np.concatenate(parts) if parts else np.zeros((0, config.dim), np.float32)


def _features(segments, config):
    # librosa's own padding would do the same, and warn of every segment that is shorter than the FFT.
    margin = config.n_fft // 2
    padded = np.pad(segments, [(0, 0), (margin, margin)])
    power = librosa.feature.melspectrogram(
        y=padded,
        sr=config.sample_rate,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        center=False,
    )
    # librosa's `top_db` would look for the loudest entry in all segments together.
    decibels = librosa.power_to_db(power, amin=SMALLEST_POWER, top_db=None)
    decibels = np.maximum(decibels, decibels.max(axis=(1, 2), keepdims=True) - DYNAMIC_RANGE)
    mfcc = librosa.feature.mfcc(S=decibels, n_mfcc=config.n_mfcc)
    mel = decibels if config.mel_decibels else power
    return np.concatenate([mfcc.mean(axis=2), mel.mean(axis=2)], axis=1).astype(np.float32)


def frame_audio(
    sound, times, config: FrameAudioConfig | None = None, period: float | None = None, compute=segment_features
) -> FrameAudio:
    """Audio features of every frame of a video.

    Parameters
    ----------
    sound : path-like or abaw_tf.media.audio.Sound
        A video or a sound file (in which sample 0 sounds with the first frame), or what was read of one.
    times : array, shape (n_frames,)
        Time of each frame in seconds from the first one: `abaw_tf.media.video.frame_times` of the video, or a dataset's ``times(trial)``.
    config : FrameAudioConfig, optional
    period : float, optional
        Seconds between frames, half a segment; by default the mean of `times`.
    compute : callable
        From segments and the configuration to features: `segment_features`, or
        `abaw_tf.features.frame_audio_graph.segment_features_in_graph`.

    Returns
    -------
    FrameAudio
        A video without sound, or whose sound is silent or too short, is no error: `FrameAudio.missing` and `FrameAudio.findings` tell.

    Raises
    ------
    FileNotFoundError, abaw_tf.media.errors.MediaError
        As `abaw_tf.media.audio.read_sound`.
    ValueError
        If `times` do not increase, or the sound has another sample rate than the configuration.
    """
    config = config or FrameAudioConfig()
    times = np.asarray(times, np.float64)
    period = frame_period(times) if period is None else period
    if not isinstance(sound, Sound):
        sound = read_sound(sound, config.sample_rate)
    if sound.sample_rate != config.sample_rate:
        raise ValueError(
            f"the sound must be read at the configuration's {config.sample_rate} samples per second. Received: {sound.sample_rate}"
        )
    starts, length = segment_starts(times, config.sample_rate), segment_length(period, config.sample_rate)
    missing = np.ones(len(times), bool)
    for begin, end in sound.spans:
        missing &= (starts + length <= begin * config.sample_rate) | (starts >= end * config.sample_rate)
    values = np.empty((len(times), config.dim), np.float32)
    values[missing] = compute(np.zeros((1, length), np.float32), config)
    silent = np.zeros(len(times), bool)
    present = np.flatnonzero(~missing)
    for rows in np.split(present, range(_BATCH, len(present), _BATCH)) if len(present) else ():
        segments = cut_segments(sound.samples, starts[rows], length)
        silent[rows] = np.abs(segments).max(axis=1) <= SILENCE
        values[rows] = compute(segments, config)
    return FrameAudio(values, missing, silent, _findings(sound, times[-1] + period, missing))


def _findings(sound, duration, missing):
    found = sound.findings(duration)
    if missing.any() and not missing.all():
        found.append(f"{int(missing.sum())} of {len(missing)} frames are without sound")
    return found
