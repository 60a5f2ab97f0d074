"""Audio features of a whole dataset into a feature store: resumable, shareable; a trial without sound is a track of missing frames."""

import functools
from dataclasses import asdict, dataclass, field

import numpy as np

from abaw_tf.features.extraction import ExtractionReport, check_extraction, extract_trials
from abaw_tf.features.frame_audio import FrameAudioConfig, frame_audio, segment_features
from abaw_tf.features.store import FeatureStore
from abaw_tf.media.audio import read_sound

NAME = "frame_audio"
# Raised when the features of the same sound change.
VERSION = 1


@dataclass
class AudioExtractionReport(ExtractionReport):
    """What a run of `extract_frame_audio` did; see `abaw_tf.features.extraction.ExtractionReport`, whose `images` are frames here.

    Attributes
    ----------
    findings : dict of str to list of str
        Of the trials written now: what is odd about their sound (absent, silent, late, shorter than the picture, with holes).
    """

    findings: dict[str, list[str]] = field(default_factory=dict)

    def format(self):
        """A summary of a few lines, and one line for every trial with a finding."""
        lines = [
            f"{len(self.written)} trials extracted, {len(self.skipped)} already there, {len(self.failed)} failed; "
            f"{self.images} frames in {self.seconds:.1f} s ({self.images_per_second:.0f} frames/s)",
            f"tracks: {self.folder}",
        ]
        if self.renewed:
            lines.append(f"extracted again because their video had changed: {', '.join(self.renewed)}")
        lines += [f"{trial}: {'; '.join(found)}" for trial, found in self.findings.items()]
        return "\n".join(lines)


def frame_audio_store(store_root, config: FrameAudioConfig | None = None) -> FeatureStore:
    """The store in which `extract_frame_audio` keeps the features of that configuration."""
    return FeatureStore(store_root, NAME, {**asdict(config or FrameAudioConfig()), "version": VERSION}, "no weights")


def extract_frame_audio(
    dataset,
    store_root,
    config: FrameAudioConfig | None = None,
    trials=None,
    shard=(0, 1),
    dtype="float32",
    progress=True,
    compute=segment_features,
) -> AudioExtractionReport:
    """Extract the audio features of every frame of a dataset, one track per trial.

    Trials that are there already are skipped, so a run that was killed at any moment is simply started again. Both people of a video
    get the same sound. Most of the time goes into decoding the pictures, which alone tell the frames' times.

    Parameters
    ----------
    dataset : abaw_tf.data.AffWild2
        Or anything with its ``trials()``, ``n_frames(trial)``, ``times(trial)`` and ``video_path(trial)``.
    store_root : str or Path
        Folder of all stores; the track goes to ``<store_root>/frame_audio-<key>/<trial>.npy``.
    config : FrameAudioConfig, optional
    trials : sequence of str, optional
        Only these; by default all.
    shard : tuple of int
        (i, n): only every n-th trial from the i-th on, 0 <= i < n, for n runs side by side on one store.
    dtype : {"float32", "float16"}
        Type on disk. Mel powers reach from 1e-9 to 1e4, which float16 cannot hold.
    progress : bool
        Show a bar.
    compute : callable
        As in `abaw_tf.features.frame_audio.frame_audio`. Not part of the store's key, for the two give the same features.

    Returns
    -------
    AudioExtractionReport
        Its `findings` name trials without sound. Their frames are missing in the track, which
        `abaw_tf.features.track.FeatureTrack.take` fills with the last frame before, or with zeros.

    Raises
    ------
    abaw_tf.features.extraction.ExtractionError
        At the end, if trials failed (no video, a video that cannot be read). All others are done.
    ValueError
        If an argument is wrong.
    """
    index, count = check_extraction(shard, dtype)
    config = config or FrameAudioConfig()
    store = frame_audio_store(store_root, config)
    store.clean()
    report = AudioExtractionReport(store.folder)
    names = sorted(dataset.trials()["trial"] if trials is None else trials)[index::count]
    # The trials of a video's two people follow one another.
    read = functools.lru_cache(maxsize=1)(functools.partial(read_sound, sample_rate=config.sample_rate))

    def extract_one(trial):
        _extract_trial(dataset, trial, store, config, dtype, compute, read, report)

    return extract_trials(report, names, extract_one, NAME, progress)


def _period(dataset, trial, n_frames):
    """Seconds between frames where their times do not tell: of a single one. None where they do."""
    if n_frames > 1:
        return None
    return 1 / float(dataset.trials().set_index("trial").loc[trial, "fps"])


def _extract_trial(dataset, trial, store, config, dtype, compute, read, report):
    path = dataset.video_path(trial)
    if path is None:
        raise FileNotFoundError("no video, hence neither sound nor the times of its frames; add the video")
    # The file's size, not its content: reading that would cost as much as extracting.
    source = {"video": path.name, "bytes": path.stat().st_size, "n_frames": int(dataset.n_frames(trial))}
    if store.has(trial, source):
        report.skipped.append(trial)
        return
    renewed = store.has(trial)
    sound = read(path)
    track = frame_audio(sound, dataset.times(trial), config, _period(dataset, trial, source["n_frames"]), compute)
    notes = {
        "channels": sound.channels,
        "source_rate": sound.source_rate,
        "missing_frames": int(track.missing.sum()),
        "silent_frames": int(track.silent.sum()),
        "findings": track.findings,
    }
    store.write(trial, track.values, track.missing, source, dtype, notes)
    report.written.append(trial)
    report.renewed += [trial] if renewed else []
    report.images += int(np.sum(~track.missing))
    if track.findings:
        report.findings[trial] = track.findings
