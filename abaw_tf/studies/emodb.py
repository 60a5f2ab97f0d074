"""Emotional speech (Emo-DB) as a dataset in Aff-Wild2's layout: frames of sound without a picture, labelled by the emotion that is acted.

F. Burkhardt, A. Paeschke, M. Rolfes, W. Sendlmeier, B. Weiss, "A Database of German Emotional Speech", Interspeech 2005: ten actors, each
of ten sentences in seven emotions. Nobody has rated its valence and arousal: what stands here for them is where the emotions lie in
Russell's circumplex (1980), in three steps. Six of its emotions are expressions of Aff-Wild2; boredom is none, and nobody is surprised.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from abaw_tf.data import AffWild2
from abaw_tf.data.annotations import write_expression, write_valence_arousal
from abaw_tf.data.folds import make_folds
from abaw_tf.features.frame_audio import frame_audio
from abaw_tf.features.frame_audio_tracks import frame_audio_store
from abaw_tf.features.store import FeatureStore
from abaw_tf.labels import EXPRESSIONS_7
from abaw_tf.media.audio import read_sound
from abaw_tf.media.video_writer import write_video
from abaw_tf.studies.material import read_csv

FPS = 25
"""Frames per second of the picture that is not there."""

STEP = 0.7
AROUSED = {"anger": True, "happiness": True, "fear": True, "neutral": False, "boredom": False, "sadness": False}
"""Whether an emotion has high arousal, `STEP`, or low arousal, -`STEP`. Disgust has neither for certain, and is left out."""

VALENCE = {"anger": -STEP, "happiness": STEP, "fear": -STEP, "neutral": 0.0, "boredom": -STEP, "sadness": -STEP}

EXPRESSIONS = {name.lower(): number for number, name in enumerate(EXPRESSIONS_7) if name != "Surprise"}
"""Official class of an emotion. Boredom has none, and is left out where expressions are told."""

RECORDED, EQUAL = "as recorded", "equal loudness"
RMS = 0.1
"""Root mean square of every file's samples where loudness is made equal (-20 dB of full scale)."""

IN_VIDEOS = RMS / 2
"""The same in videos, whose samples are whole numbers: at `RMS` peaks would be clipped."""

TWO_SECONDS, ORIGINAL = "audio_emodb2s", "audio_emodb16k"


@dataclass(frozen=True)
class Speech:
    """The files, their labels and tracks.

    Attributes
    ----------
    files : pandas.DataFrame
        One row per file: trial, emotion, speaker, original (one of the seven 16 kHz files), path, n_frames, loudness (root mean
        square, dB of full scale), fold (of the speaker).
    dataset : AffWild2
        A trial per file.
    stores : dict of str to FeatureStore
        Audio features by what was done to the loudness: `RECORDED`, `EQUAL`, or one of these.
    """

    files: pd.DataFrame
    dataset: AffWild2
    stores: dict

    def tracks(self, version):
        """Features of each file, in the order of `files`: a list of arrays (n_frames, 168)."""
        return [np.asarray(self.stores[version].read(trial).values) for trial in self.files["trial"]]


def read_files(realdata, emotions=tuple(AROUSED)) -> pd.DataFrame:
    """The files of some emotions and what their names say: the 2 s files, and the original ones, which have the speaker 03.

    Raises
    ------
    FileNotFoundError
        A folder or a file is missing.
    """
    parts = []
    for folder in (TWO_SECONDS, ORIGINAL):
        where = Path(realdata) / folder
        part = read_csv(where / "labels.csv", "the folder must hold the speech of MANIFEST.md", dtype=str)
        parts.append(part.assign(original=folder == ORIGINAL, path=[where / name for name in part["file"]]))
    table = pd.concat(parts, ignore_index=True)
    table["trial"] = table["file"].str.removesuffix(".wav")
    table["speaker"] = table["trial"].str[:2]
    table = table[table["emotion"].isin(list(emotions))]
    return table[["trial", "emotion", "speaker", "original", "path"]].sort_values("trial", ignore_index=True)


def read_speech(path, sample_rate=22050):
    """The sound of a file without the digital silence by which the 2 s files are filled up: its length would give the emotion away."""
    sound = read_sound(path, sample_rate)
    samples = np.trim_zeros(sound.samples, "b")
    return replace(sound, samples=samples, spans=((0.0, len(samples) / sample_rate),))


def equal_loudness(sound, rms=RMS):
    """The same sound, louder or softer, with that root mean square; nothing is clipped."""
    gain = rms / np.sqrt(np.mean(np.square(sound.samples, dtype=np.float64)))
    return replace(sound, samples=(sound.samples * gain).astype(np.float32), peak=sound.peak * gain)


def write_speech(realdata, root, n_folds=5, files=None, versions=(RECORDED, EQUAL)) -> Speech:
    """Write labels and tracks of files, where they are not there yet.

    A file has as many frames as fit into it at `FPS`, each with the file's labels: valence and arousal, expression, or both, as its emotion
    has them. The features of a frame are those of `abaw_tf.features.frame_audio`. Speakers are dealt out to folds of about as many frames.

    Parameters
    ----------
    realdata : path-like
        Holds ``audio_emodb2s`` and ``audio_emodb16k``.
    root : path-like
        Folder for the dataset (``dataset``) and the tracks (``tracks``).
    n_folds : int
    files : pandas.DataFrame, optional
        As of `read_files`, by default all of these.
    versions : sequence of str
        Which tracks are wanted: of the sound as it is, `RECORDED`, or at equal loudness, `EQUAL`.

    Returns
    -------
    Speech

    Raises
    ------
    FileNotFoundError
        A file is missing.
    """
    root, files = Path(root), read_files(realdata) if files is None else files
    recorded = frame_audio_store(root / "tracks")
    equal = FeatureStore(
        root / "tracks", recorded.extractor_name, {**recorded.config, "rms": RMS}, recorded.weights_hash
    )
    stores = {version: {RECORDED: recorded, EQUAL: equal}[version] for version in versions}
    lengths, loudness = [], []
    for file in files.itertuples():
        sound = read_speech(file.path)
        n_frames = int(len(sound.samples) / sound.sample_rate * FPS)
        lengths.append(n_frames)
        loudness.append(10 * np.log10(np.mean(np.square(sound.samples, dtype=np.float64))))
        source = {"file": file.path.name, "bytes": file.path.stat().st_size, "n_frames": n_frames}
        for version, store in stores.items():
            if not store.has(file.trial, source):
                heard = equal_loudness(sound) if version == EQUAL else sound
                track = frame_audio(heard, np.arange(n_frames) / FPS)
                # Mel powers do not fit into half precision.
                store.write(file.trial, track.values, track.missing, source, "float32")
        _write_labels(root / "dataset", file, n_frames)
    files = files.assign(n_frames=lengths, loudness=loudness)
    dataset = AffWild2(root / "dataset", fps=FPS)
    return Speech(files.assign(fold=speaker_folds(files, n_folds)), dataset, stores)


def _write_labels(root, file, n_frames):
    values = VALENCE.get(file.emotion), STEP if AROUSED.get(file.emotion) else -STEP
    for task, known, write, label in (
        ("VA_Set", AROUSED, write_valence_arousal, values),
        ("EXPR_Set", EXPRESSIONS, write_expression, EXPRESSIONS.get(file.emotion)),
    ):
        if file.emotion in known:
            path = root / "annotations" / task / "Train_Set" / f"{file.trial}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, np.array([label] * n_frames))


def write_videos(speech) -> AffWild2:
    """Write each file, at equal loudness, as the sound of a black video, where it is not there yet; networks of sound windows read videos.

    Parameters
    ----------
    speech : Speech

    Returns
    -------
    AffWild2
        The dataset of `speech`, opened anew.
    """
    folder = speech.dataset.root / "videos"
    folder.mkdir(exist_ok=True)
    for file in speech.files.itertuples():
        path = folder / f"{file.trial}.avi"
        if not path.is_file():
            sound = equal_loudness(read_speech(file.path), IN_VIDEOS)
            black = np.zeros((file.n_frames, 16, 16, 3), np.uint8)
            write_video(path, black, fps=FPS, audio=sound.samples, sample_rate=sound.sample_rate)
    return AffWild2(speech.dataset.root, fps=FPS)


def speaker_folds(files, n_folds=5) -> pd.Series:
    """Fold of each file: no speaker in two, about as many frames of the 2 s files in each."""
    frames = files[~files["original"]].groupby("speaker")["n_frames"].sum()
    dealt = make_folds(pd.DataFrame({"trial": frames.index, "n_frames": frames.to_numpy()}), n_folds)
    return files["speaker"].map(dealt.set_index("trial")["fold"])
