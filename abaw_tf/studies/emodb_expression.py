"""Expression of acted speech (Emo-DB) of speakers that have not been heard: two networks on sound windows, two machines on functionals."""

import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from abaw_tf import predictions, training
from abaw_tf.features.functionals import mean_and_std
from abaw_tf.labels import EXPRESSIONS_7
from abaw_tf.models.kernel_elm_estimator import KernelELM
from abaw_tf.models.windowed_svm import WindowedSVM
from abaw_tf.studies.emodb import EQUAL, EXPRESSIONS
from abaw_tf.studies.scoring import group_confusions, scored
from abaw_tf.training.recipe import Recipe

CLASSES = tuple(name for name in EXPRESSIONS_7 if name.lower() in EXPRESSIONS)
"""Those of the official classes that are acted, the first six."""

CNN_LSTM, PANN = "1D-CNN + LSTM", "CNN14"
RECIPES = {CNN_LSTM: "audio_cnn_lstm", PANN: "pann"}
"""Recipe by network; both at their ``small`` size, from random weights."""

WINDOWS = {"window_seconds": 1.2, "step_seconds": 0.4}
"""Three windows in a file of 2 s, two in the shortest one, of 1.4 s."""

KELM, SVM = "functionals + KELM", "functionals + SVM"

PERMUTATIONS = 10_000


def hold_out_networks(files, dataset, folder, seed=0, **changes):
    """What each network says of every file, by a training that has not heard its speaker.

    Of the folds of speakers one is not looked at, the next one chooses the epoch, the others are trained on.

    Parameters
    ----------
    files : pandas.DataFrame
        As of `abaw_tf.studies.emodb.Speech`.
    dataset : AffWild2
        As from `abaw_tf.studies.emodb.write_videos`.
    folder : pathlib.Path
        For the runs and the decoded sound.
    seed : int
    **changes
        Fields of both recipes.

    Returns
    -------
    probabilities : dict of str to array, shape (n_files, 6)
        By network: means over the file, of `CLASSES`.
    runs : dict of str to abaw_tf.training.Run
        By network: the run for which the first fold was not looked at.
    """
    said, runs, folds = {}, {}, sorted(files["fold"].unique().tolist())
    stores = {"sound": folder / "sound"}
    for network, name in RECIPES.items():
        recipe, parts = Recipe.from_preset(name, "small", seed=seed, **{**WINDOWS, **changes}), []
        for number, fold in enumerate(folds):
            seen = files.loc[files["fold"] != fold, ["trial", "fold"]]
            chooses = folds[(number + 1) % len(folds)]
            where = folder / f"seed{seed}" / f"{name}_{fold}"
            run = training.train(recipe, dataset, where, folds=seen, fold=chooses, stores=stores, progress=False)
            table = predictions.validate(training.predict(run, dataset, None, stores, progress=False))
            own = table["trial"].isin(files.loc[files["fold"] == fold, "trial"])
            parts.append(table[own].groupby("trial")[[f"p_{name}" for name in CLASSES]].mean())
            runs.setdefault(network, run)
        p = pd.concat(parts).loc[files["trial"]].to_numpy()
        said[network] = p / p.sum(axis=1, keepdims=True)
    return said, runs


def hold_out_functionals(speech) -> dict:
    """What the kernel ELM and the SVM say of every file, (n_files, 6) by method, trained on the files of other speakers.

    They know mean and standard deviation over the file of its 168 features per frame, at equal loudness. The SVM is linear with C = 2 (the
    ``small`` size of the recipe `windowed_svm`) on standardised functionals; the kernel ELM is linear, its cost chosen over speakers.
    """
    x = np.concatenate([mean_and_std(track, [(0, len(track))]) for track in speech.tracks(EQUAL)]).astype(np.float64)
    return {
        KELM: hold_out(lambda: KernelELM("auto", normalize=True), x, speech.files),
        SVM: hold_out(lambda: make_pipeline(StandardScaler(), WindowedSVM(C=2.0, degree=1)), x, speech.files),
    }


def hold_out(build, x, files) -> np.ndarray:
    """Probabilities of every file, (n_files, 6), by an estimator that is fitted to the files of the other folds.

    Parameters
    ----------
    build : callable
        Makes the estimator, or a pipeline of two steps that ends with it; its `fit` takes groups.
    x : array, shape (n_files, k)
    files : pandas.DataFrame
        As of `abaw_tf.studies.emodb.Speech`.
    """
    y, folds, speakers = classes_of(files), files["fold"].to_numpy(), files["speaker"].to_numpy(str)
    said = np.zeros((len(files), len(CLASSES)))
    for fold in np.unique(folds):
        own, model = folds == fold, build()
        steps = getattr(model, "steps", None)
        groups = f"{steps[-1][0]}__groups" if steps else "groups"
        model.fit(x[~own], y[~own], **{groups: speakers[~own]})
        said[np.ix_(own, model.classes_)] = model.predict_proba(x[own])
    return said


def classes_of(files) -> np.ndarray:
    """Official class of each file."""
    return files["emotion"].map(EXPRESSIONS).to_numpy(np.int64)


def most_frequent(files) -> np.ndarray:
    """Decision that knows nothing of the sound: the most frequent class of the other folds, the first one at a tie."""
    y, folds = classes_of(files), files["fold"].to_numpy()
    return np.array([np.bincount(y[folds != fold]).argmax() for fold in folds])


class FileDecisions:
    """Scores of decided classes of files, their intervals over speakers, and how likely they are by chance.

    Parameters
    ----------
    files : pandas.DataFrame
        As of `abaw_tf.studies.emodb.Speech`.
    bootstrap : int
        Resamples of the speakers, 0 for no intervals.
    seed : int
    """

    def __init__(self, files, bootstrap=1000, seed=0):
        self.y, self.speakers = classes_of(files), files["speaker"].to_numpy(str)
        self.bootstrap, self.seed = bootstrap, seed

    def confusions(self, decided) -> np.ndarray:
        """Confusion matrices by speaker, (n_speakers, 6, 6), rows true."""
        return group_confusions(self.y, decided, self.speakers, len(CLASSES))

    def chance(self, decided) -> float:
        """Share of permutations of the labels, each speaker's among themselves, that as many of these decisions hit."""
        rng, permuted = np.random.default_rng(self.seed), np.empty((PERMUTATIONS, len(self.y)), np.int64)
        for speaker in np.unique(self.speakers):
            own = self.speakers == speaker
            permuted[:, own] = rng.permuted(np.tile(self.y[own], (PERMUTATIONS, 1)), axis=1)
        as_well = (permuted == decided).sum(axis=1) >= (self.y == decided).sum()
        return (1 + as_well.sum()) / (1 + PERMUTATIONS)

    def row(self, decided) -> dict:
        """Entries of a study's table: accuracy and macro F1 of the six classes with intervals over speakers, p against chance."""
        row = {"scored": f"{len(self.y)} files"}
        for name in ("accuracy", "macro_f1"):
            found = scored(self.confusions(decided), name, self.bootstrap, self.seed)
            row |= {name: found["score"], f"{name}_low": found["low"], f"{name}_high": found["high"]}
        return row | {"p": f"{self.chance(decided):.0e}"}
