"""Arousal of acted speech (Emo-DB) from sound alone: the audio branch on speakers that it has not heard, and simpler means beside it."""

import numpy as np
import pandas as pd
from scipy.stats import binomtest, rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from abaw_tf import predictions, training
from abaw_tf.evaluation.statistics import interval, moment_scores, moment_statistics, resampled_sums, resampling_weights
from abaw_tf.features.frame_audio import FrameAudioConfig
from abaw_tf.features.functionals import mean_and_std
from abaw_tf.studies.emodb import AROUSED, RECORDED, STEP, VALENCE
from abaw_tf.training.recipe import Recipe

NETWORK, LOGISTIC, LOGISTIC_MFCC = "GRU, sound", "logistic regression", "logistic regression, MFCC"
LOUDNESS = "logistic regression, loudness"

EPOCHS, PATIENCE = 20, 6
PERMUTATIONS = 10_000


def hold_out_network(speech, version, folder, seed=0, epochs=EPOCHS) -> pd.DataFrame:
    """Valence and arousal of every file by a network that has not heard its speaker.

    The recipe ``gru_fusion`` at its ``small`` size with the audio branch alone. Of the folds of speakers one is not looked at, the next
    one chooses the epoch, the others are trained on; so are the statistics by which the network standardises its input.

    Parameters
    ----------
    speech : abaw_tf.studies.emodb.Speech
    version : str
        Of its stores.
    folder : pathlib.Path
        For the runs.
    seed : int
    epochs : int

    Returns
    -------
    pandas.DataFrame
        ``valence`` and ``arousal`` by trial: means over the frames of the file.
    """
    files, parts = speech.files, []
    recipe = Recipe.from_preset(
        "gru_fusion", "small", modalities=("audio",), epochs=epochs, patience=PATIENCE, seed=seed
    )
    stores, folds = {"audio": speech.stores[version]}, sorted(files["fold"].unique().tolist())
    for number, fold in enumerate(folds):
        seen = files.loc[(files["fold"] != fold) & ~files["original"], ["trial", "fold"]]
        where = folder / f"{version.replace(' ', '_')}_{fold}"
        chooses = folds[(number + 1) % len(folds)]
        run = training.train(recipe, speech.dataset, where, folds=seen, fold=chooses, stores=stores, progress=False)
        table = predictions.validate(training.predict(run, speech.dataset, None, stores, progress=False))
        own = table["trial"].isin(files.loc[files["fold"] == fold, "trial"])
        parts.append(table[own].groupby("trial")[["valence", "arousal"]].mean())
    return pd.concat(parts).loc[files["trial"]]


def hold_out_regression(x, files) -> np.ndarray:
    """Arousal of every file, `STEP` (2 p - 1), by a logistic regression on other speakers.

    It has scikit-learn's defaults, on standardised features.

    Parameters
    ----------
    x : array, shape (n, k)
        Features of each file.
    files : pandas.DataFrame
        As of `abaw_tf.studies.emodb.Speech`; the original files are predicted, not trained on.

    Returns
    -------
    array, shape (n,)
    """
    said, folds = np.empty(len(files)), files["fold"].to_numpy()
    aroused, original = files["emotion"].map(AROUSED).to_numpy(bool), files["original"].to_numpy()
    for fold in np.unique(folds):
        others = (folds != fold) & ~original
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(x[others], aroused[others])
        said[folds == fold] = STEP * (2 * model.predict_proba(x[folds == fold])[:, 1] - 1)
    return said


def hold_out_baselines(speech, version) -> dict:
    """Arousal of every file by logistic regressions, by method.

    They know mean and standard deviation of the network's features over the file, those of the 40 MFCCs among them, or its loudness alone
    (of the recorded files: in the others it is equal).
    """
    tracks = speech.tracks(version)
    n_mfcc = FrameAudioConfig().n_mfcc

    def functionals(columns):
        return np.concatenate([mean_and_std(track[:, columns], [(0, len(track))]) for track in tracks])

    means = {LOGISTIC: functionals(slice(None)), LOGISTIC_MFCC: functionals(slice(n_mfcc))}
    if version == RECORDED:
        means[LOUDNESS] = speech.files[["loudness"]].to_numpy()
    return {method: hold_out_regression(x.astype(np.float64), speech.files) for method, x in means.items()}


class FileScores:
    """Scores of predicted arousals of the 2 s files, their intervals over speakers and files, and how likely they are by chance.

    Parameters
    ----------
    files : pandas.DataFrame
        As of `abaw_tf.studies.emodb.Speech`.
    bootstrap : int
        Resamples for the intervals, 0 for none.
    seed : int
    """

    def __init__(self, files, bootstrap=1000, seed=0):
        self.rows = np.flatnonzero(~files["original"])
        part = files.iloc[self.rows]
        self.aroused = part["emotion"].map(AROUSED).to_numpy(bool)
        self.truth = part["emotion"].map(VALENCE).to_numpy(float), np.where(self.aroused, STEP, -STEP)
        self.names, self.speakers = np.unique(part["speaker"].to_numpy(str), return_inverse=True)
        self.bootstrap, self.seed = bootstrap, seed

    def auc(self, said) -> float:
        """Area under the ROC curve of arousals of all files."""
        return float(weighted_auc(self.aroused, said[self.rows], np.ones((1, len(self.rows))))[0])

    def auc_samples(self, said, over="speakers") -> np.ndarray:
        """Area under the ROC curve in every resample of speakers, or of files; NaN in one without both kinds of files."""
        units = self.speakers if over == "speakers" else np.arange(len(self.rows))
        weights = resampling_weights(units.max() + 1, self.bootstrap, self.seed)[:, units]
        return weighted_auc(self.aroused, said[self.rows], weights)

    def chance(self, said) -> float:
        """Share of permutations of the labels, each speaker's among themselves, that these predictions fit as well."""
        rng, ranks = np.random.default_rng(self.seed), rankdata(said[self.rows])
        permuted = np.empty((PERMUTATIONS, len(ranks)))
        for speaker in range(len(self.names)):
            own = self.speakers == speaker
            permuted[:, own] = rng.permuted(np.tile(self.aroused[own], (PERMUTATIONS, 1)), axis=1)
        as_well = permuted @ ranks >= ranks[self.aroused].sum() - 1e-9
        return (1 + as_well.sum()) / (1 + PERMUTATIONS)

    def row(self, arousal, valence=None) -> dict:
        """Entries of the study's table for the predictions of one method, arrays over all files."""
        said, n = arousal[self.rows], len(self.rows)
        row = {"scored": f"{n} files", "auc": self.auc(arousal)}
        row |= _ends("auc", self.auc_samples(arousal) if self.bootstrap else None)
        hits = binomtest(int(np.sum((said > 0) == self.aroused)), n)
        exact = hits.proportion_ci(0.95, method="exact")
        row |= {"p": f"{self.chance(arousal):.0e}", "accuracy": hits.k / n}
        row |= {"accuracy_low": exact.low, "accuracy_high": exact.high}
        predicted = np.full(n, np.nan) if valence is None else valence[self.rows], said
        sums = moment_statistics(self.speakers, self.names, self.truth, predicted).sums
        whole, weights = moment_scores(sums.sum(axis=0)), resampling_weights(len(sums), self.bootstrap, self.seed)
        samples = moment_scores(resampled_sums(weights, sums))
        for name in ("ccc_valence", "ccc_arousal"):
            row[name] = float(whole[name])
            row |= _ends(name, samples[name] if self.bootstrap else None)
        return row


def weighted_auc(positive, scores, weights) -> np.ndarray:
    """Area under the ROC curve, (m,), of one set of scores (n,) under m sets of weights (m, n); ties count one half."""
    above = scores[positive][:, None] - scores[~positive]
    wins = (above > 0) + 0.5 * (above == 0)
    one, other = weights[:, positive], weights[:, ~positive]
    with np.errstate(invalid="ignore"):
        return ((one @ wins) * other).sum(axis=1) / (one.sum(axis=1) * other.sum(axis=1))


def _ends(name, samples) -> dict:
    low, high = (np.nan, np.nan) if samples is None else interval(samples)
    return {f"{name}_low": low, f"{name}_high": high}
