"""Clips with sound and faces as models of Dresvyanskiy et al. (2020) predict them: a table per model, a fused one, submission files."""

import re

import numpy as np
import pandas as pd

from abaw_tf import labels, predictions, training
from abaw_tf.evaluation import evaluate
from abaw_tf.evaluation.label_tables import labelled
from abaw_tf.features.waveforms import Waveforms
from abaw_tf.fusion import fuse_tables
from abaw_tf.media.audio import read_sound
from abaw_tf.studies.do2020_real import FOLDS, predict_held_out
from abaw_tf.studies.emodb_expression import CNN_LSTM, PANN
from abaw_tf.studies.real_clips import FACE_AND_SOUND, ProbabilitiesToVA, write_clips, write_tracks
from abaw_tf.training.recipe import Recipe

FACE_KELM, FACE_SVM, FUSED = "face + KELM", "face + SVM", "all four, fused"
FACES = {FACE_KELM: ("kernel_elm", "vgg_fer"), FACE_SVM: ("windowed_svm", "embedding")}
"""Recipe, and the name by which it asks for its track, by model of faces. In both places stand 128 features of mini-XCEPTION."""

CLIP_MODELS = (*FACES, CNN_LSTM, PANN)


def write_clips_and_track(realdata, work):
    """The clips as a dataset, and the store of their faces' features."""
    to_va = ProbabilitiesToVA.fit(realdata)
    dataset = write_clips(realdata, work / "clips", to_va, unlabelled=FACE_AND_SOUND, validation=FOLDS[0])
    return dataset, write_tracks(realdata, dataset, work / "tracks")["features"]


def predict_faces(dataset, store, folder, seed=0) -> dict:
    """Prediction tables of all clips by model of faces, each clip by a run that has not seen its people (see `do2020_real`)."""
    folds = pd.DataFrame([(trial, k) for k, trials in enumerate(FOLDS) for trial in trials], columns=["trial", "fold"])
    tables = {}
    for method, (name, track) in FACES.items():
        recipe, stores = Recipe.from_preset(name, "small", seed=seed), {track: store}
        runs = [
            training.train(recipe, dataset, folder / f"{name}_{k}", folds=folds, fold=k, stores=stores, progress=False)
            for k in range(len(FOLDS))
        ]
        tables[method] = predictions.validate(predictions.concatenate(predict_held_out(runs, dataset, stores)))
        tables[method].attrs["notes"] = ["each clip is predicted by the run that has not seen its people"]
    return tables


def predict_sounds(dataset, runs, folder):
    """Prediction tables of all clips by network of sound.

    Parameters
    ----------
    dataset : AffWild2
        The clips.
    runs : dict of str to abaw_tf.training.Run
        Trained on Emo-DB, by network.
    folder : pathlib.Path
        For the decoded sound.

    Returns
    -------
    tables : dict of str to pandas.DataFrame
    silent : list of str
        Trials without a sound stream, or with one that is silent: what the tables say of them is not heard.
    """
    stores, trials = {"sound": folder}, dataset.trials()["trial"]
    tables = {
        network: predictions.validate(training.predict(run, dataset, None, stores, progress=False))
        for network, run in runs.items()
    }
    sounds = Waveforms(dataset, folder, next(iter(runs.values())).recipe.sample_rate)
    return tables, [trial for trial in trials if not np.nan_to_num(sounds.read(trial).samples).any()]


def fuse_clips(tables, silent) -> pd.DataFrame:
    """Equal weights of all models; of the clips in which there is nothing to hear, of the models of faces alone."""
    spoken = {method: table if method in FACES else _without(table, silent) for method, table in tables.items()}
    return predictions.validate(fuse_tables(spoken, missing="mean", task="expression"))


def clip_row(table, truth, bootstrap, seed) -> dict:
    """Entries of the table for one prediction table of the clips, against the teacher's classes."""
    found = evaluate(table, truth, bootstrap=bootstrap, seed=seed)
    row = {"scored": f"{int(labelled(truth, 'expression').sum()):,} frames"}
    for name in ("accuracy", "macro_f1"):
        low, high = found.intervals.get(name, (np.nan, np.nan))
        row |= {name: found.scores[name], f"{name}_low": low, f"{name}_high": high}
    return row


def write_tables(tables, work):
    """Write every prediction table (``predictions``), and the submission files of the fused one (``submission``), below `work`."""
    folder = work / "predictions"
    folder.mkdir(exist_ok=True)
    for method, table in tables.items():
        predictions.write(table, folder / f"{re.sub(r'[^a-zA-Z0-9-]+', '_', method)}.parquet")
    predictions.write_submission(tables[FUSED], work / "submission", "expression")


def clip_notes(dataset, tables, truth, silent, bootstrap) -> list:
    """What has to be said of the clips."""
    known = truth[labelled(truth, "expression")]
    neutral = np.mean(known["expression"] == labels.EXPRESSIONS_7.index("Neutral"))
    ends = []
    for trial in dataset.trials()["trial"]:
        if dataset.video_path(trial).suffix == ".mpg":
            times = dataset.times(trial)
            ends.append(times[-1] + np.diff(times).mean() - read_sound(dataset.video_path(trial), 16000).spans[-1][1])
    filled = next(note for note in tables[CNN_LSTM].attrs["notes"] if "no sound" in note)
    return [
        f"clips: {len(known):,} frames with a face of {known['trial'].nunique()} clips, 9 people, against a teacher's classes (study "
        f"do2020_real), which has heard nothing; always Neutral has an accuracy of {neutral:.4f}; macro F1 counts all seven classes",
        "models of faces: 128 features of mini-XCEPTION in place of those of VGG-FER and VGGFace2, trained on other people's clips; "
        "networks of sound: those trained on Emo-DB without its first fold, German speech, hence other speakers and another language",
        f"sound: that of the {len(ends)} sentences ends {1000 * min(ends):.0f} to {1000 * max(ends):.0f} ms before the picture, and the "
        f"last window is filled up with zeros; {filled}",
        f"of {', '.join(silent)}, where there is nothing to hear, the fusion takes the faces alone",
        f"every table has all {len(tables[FUSED]):,} frames of {tables[FUSED]['trial'].nunique()} clips, two without labels",
        *([f"intervals of the clips: {bootstrap:,} resamples of ten; with so few they are rough"] if bootstrap else []),
    ]


def _without(table, trials):
    part = table[~table["trial"].isin(trials)].reset_index(drop=True)
    part.attrs = table.attrs
    return part
