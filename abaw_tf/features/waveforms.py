"""The sound of whole videos on disk, mono at one rate, beside the times of their frames: decoded once, memory-mapped afterwards.

``<root>/waveform-<key>/<video>.npy`` holds the samples, which the people of a video share, ``<root>/frame_times-<key>/<trial>.npy`` the
times; both as :class:`abaw_tf.features.store.FeatureStore` keeps everything: resumable, whole or not at all.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from abaw_tf.features.extraction import check_extraction, extract_trials
from abaw_tf.features.frame_audio_tracks import AudioExtractionReport
from abaw_tf.features.store import FeatureStore
from abaw_tf.labels import check_option
from abaw_tf.media.audio import has_audio, read_sound
from abaw_tf.media.errors import MediaError
from abaw_tf.media.voice_separation import FOLDER, VOICES, check_length, is_as_long, separated_voice

NAME = "waveform"
# Raised when the samples of the same sound change.
VERSION = 1
# Places of a file, and bytes at each, by which it is known again.
_SAMPLES, _SAMPLE = 16, 4096


@dataclass(frozen=True, eq=False)
class Waveform:
    """The sound of one video.

    Attributes
    ----------
    samples : ndarray of float16 or float32, shape (n,)
        Memory-mapped, in [-1, 1] but for what resampling overshoots at full scale; NaN where the stream has no sound.
    has_holes : bool
        Whether there are such samples.
    is_absent : bool
        Whether there is no sound at all.
    """

    samples: np.ndarray
    has_holes: bool
    is_absent: bool


class Waveforms:
    """The sounds and frame times of a dataset, as :func:`extract_waveforms` keeps them.

    Parameters
    ----------
    dataset : abaw_tf.data.AffWild2
        Or anything with its ``video_path(trial)``, which tells the trials of one video.
    store_root : path-like
        Folder of all stores.
    sample_rate : int
        Samples per second.
    voice : {"mixture", "vocals"}
        The sound of the video, or the voice separated from it.
    """

    def __init__(self, dataset, store_root, sample_rate, voice="mixture"):
        check_option("voice", voice, VOICES)
        self.dataset = dataset
        config = {"sample_rate": int(sample_rate), "voice": voice, "version": VERSION}
        self.sample_rate, self.voice = int(sample_rate), voice
        self.sounds = FeatureStore(store_root, NAME, config, "no weights")
        self.clocks = FeatureStore(store_root, "frame_times", {"version": VERSION}, "no weights")

    def __repr__(self):
        return f"Waveforms({str(self.sounds.folder)!r}): {self.sample_rate} samples/s, {self.voice}"

    def read(self, trial) -> Waveform:
        """The sound of a trial's video; errors as :meth:`abaw_tf.features.store.FeatureStore.read`."""
        track = self.sounds.read(self.dataset.video_path(trial).stem)
        return Waveform(track.values[:, 0], bool(track.missing.any()), bool(track.missing.all()))

    def findings(self, trial) -> list:
        """What was found about the sound of a trial's video, as :meth:`abaw_tf.media.audio.Sound.findings` says it."""
        return (self.sounds.notes(self.dataset.video_path(trial).stem) or {}).get("findings", [])

    def times(self, trial) -> np.ndarray:
        """Time of each frame of a trial in seconds from the first one, float64 (n_frames,), to a tenth of a microsecond."""
        # Whole seconds and their fraction: single precision alone would lose a quarter of a millisecond within an hour.
        return self.clocks.read(trial).values.astype(np.float64).sum(axis=1)


def extract_waveforms(
    dataset, store_root, sample_rate=16000, voice="mixture", trials=None, shard=(0, 1), dtype="float16", progress=True
) -> AudioExtractionReport:
    """Decode the sound of a dataset's videos, and the times of its trials' frames.

    What is there already is skipped, so a run that was killed at any moment is simply started again. Sample 0 sounds with the first frame.

    Parameters
    ----------
    dataset : abaw_tf.data.AffWild2
        Or anything with its ``trials()``, ``n_frames(trial)``, ``times(trial)``, ``video_path(trial)`` and, for vocals, ``root``.
    store_root : path-like
        Folder of all stores.
    sample_rate : int
        Samples per second of the result; channels are averaged.
    voice : {"mixture", "vocals"}
        The sound of the video, or the voice that :func:`abaw_tf.media.voice_separation.separated_voice` finds.
    trials : sequence of str, optional
        Only these; by default all.
    shard : tuple of int
        (i, n): only every n-th trial from the i-th on, for n runs side by side on one store.
    dtype : {"float16", "float32"}
        Type on disk; float16 is good to one part in 2048, about 70 dB below the sound itself, and takes 115 MB per hour at 16 kHz.
    progress : bool
        Show a bar.

    Returns
    -------
    AudioExtractionReport
        Its `findings` name trials whose sound is absent, silent, late, shorter than the picture or has holes.

    Raises
    ------
    abaw_tf.features.extraction.ExtractionError
        At the end, if trials failed: no video, one that cannot be read, or, where separated voices are asked for, none, or one of another
        length than the sound. All others are done.
    ValueError
        An argument is wrong.
    """
    index, count = check_extraction(shard, dtype)
    waveforms = Waveforms(dataset, store_root, sample_rate, voice)
    waveforms.sounds.clean()
    waveforms.clocks.clean()
    report = AudioExtractionReport(waveforms.sounds.folder)
    names = sorted(dataset.trials()["trial"] if trials is None else trials)[index::count]

    def extract_one(trial):
        _extract_trial(dataset, trial, waveforms, dtype, report)

    return extract_trials(report, names, extract_one, NAME, progress)


def _extract_trial(dataset, trial, waveforms, dtype, report):
    video = dataset.video_path(trial)
    if video is None:
        raise FileNotFoundError("no video, hence neither sound nor the times of its frames; add the video")
    n_frames = int(dataset.n_frames(trial))
    written = _write_times(dataset, trial, waveforms.clocks, {**_identity(video), "n_frames": n_frames})
    path = _sound_file(dataset, video, waveforms.voice)
    renewed, source = waveforms.sounds.has(video.stem), _identity(path)
    if not waveforms.sounds.has(video.stem, source):
        sound = read_sound(path, waveforms.sample_rate)
        picture = float(waveforms.times(trial)[-1])
        if path != video:
            _check_voice(sound, path, video, picture)
        findings = sound.findings(picture)
        _write_sound(video.stem, sound, waveforms.sounds, source, dtype, findings)
        written = True
        report.renewed += [trial] if renewed else []
        if findings:
            report.findings[trial] = findings
    (report.written if written else report.skipped).append(trial)
    report.images += n_frames if written else 0


def _write_times(dataset, trial, store, source):
    """Whether the times were not there yet."""
    if store.has(trial, source):
        return False
    times = np.asarray(dataset.times(trial), np.float64)
    store.write(trial, np.stack([np.floor(times), times % 1.0], axis=1), source=source, dtype="float32")
    return True


def _write_sound(name, sound, store, source, dtype, findings):
    samples = sound.samples
    missing = np.ones(len(samples), bool)
    for begin, end in sound.spans:
        missing[round(begin * sound.sample_rate) : round(end * sound.sample_rate)] = False
    if sound.is_absent or not len(samples):  # a track is never empty
        samples, missing = np.zeros(1, np.float32), np.ones(1, bool)
    notes = {"channels": sound.channels, "source_rate": sound.source_rate, "findings": findings}
    store.write(name, samples[:, None], missing, source, dtype, notes)


def _sound_file(dataset, video, voice):
    """What is heard: the video, or the voice separated from it."""
    if voice == "mixture":
        return video
    found = separated_voice(dataset.root, video.stem)
    if found is None and has_audio(video):
        raise FileNotFoundError(
            f"no separated voice of {video.name} in {dataset.root}/{FOLDER}; separate the voices first (tools/separate_voices.py), or "
            'take the sound as it is: voice="mixture"'
        )
    return found or video  # a video without sound has no voice


def _check_voice(voice, path, video, picture):
    """Refuse a voice that ends where neither the picture (seconds) nor the video's own sound does: behind its end all would be silence."""
    end = voice.spans[-1][1] if voice.spans else 0.0
    if is_as_long(end, picture) or not has_audio(video):
        return
    own = read_sound(video, voice.sample_rate).spans
    try:
        check_length(end, own[-1][1] if own else 0.0)
    except MediaError as error:
        raise MediaError(
            f"{path}: {error}; delete the file and separate the voice again (tools/separate_voices.py): Spleeter, unless it is told "
            "the length, ends after ten minutes"
        ) from None


def _identity(path):
    """What tells a file from another of its name: its size and some of its content, for all of it would take as long as extracting.

    The size alone would not do: of one video, the voices of two separators have files of one size.
    """
    size, digest = path.stat().st_size, hashlib.sha256()
    with open(path, "rb") as file:
        for place in np.linspace(0, max(0, size - _SAMPLE), _SAMPLES, dtype=np.int64):
            file.seek(int(place))
            digest.update(file.read(_SAMPLE))
    return {"file": path.name, "bytes": size, "content": digest.hexdigest()}
