"""Real emotional speech (Emo-DB) through windowed functionals and the windowed SVM, people kept apart."""

import librosa
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from sklearn.base import clone
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import GridSearchCV, GroupKFold, LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from abaw_tf.features.functionals import mean_and_std
from abaw_tf.media.audio import load_audio
from abaw_tf.models.windowed_svm import WindowedSVM

pytestmark = pytest.mark.slow  # pitch tracking of 70 files

SAMPLE_RATE = 16000
HOP = 160


def speech_track(path) -> np.ndarray:
    """Features per 10 ms: 20 MFCCs, their deltas, log pitch and log energy; (n_frames, 42)."""
    samples, _ = load_audio(path, sample_rate=SAMPLE_RATE)
    samples = np.trim_zeros(samples, "b")  # short sentences were padded to 2 s
    frames = {"n_fft": 512, "hop_length": HOP}
    mfcc = librosa.feature.mfcc(y=samples / np.abs(samples).max(), sr=SAMPLE_RATE, n_mfcc=20, **frames)
    pitch = librosa.yin(samples, fmin=60, fmax=500, sr=SAMPLE_RATE, hop_length=HOP)[None]
    energy = librosa.feature.rms(y=samples, frame_length=512, hop_length=HOP)
    n = min(mfcc.shape[1], pitch.shape[1], energy.shape[1])
    rows = [mfcc, librosa.feature.delta(mfcc), np.log(pitch), np.log(energy + 1e-4)]
    return np.concatenate([row[:, :n] for row in rows]).T


@pytest.fixture(scope="module")
def speech(realdata):
    """One window per 2 s file (shorter than the paper's 4 s): functionals, emotions, speakers."""
    table = pd.read_csv(realdata / "audio_emodb2s" / "labels.csv", dtype=str)
    tracks = [speech_track(realdata / "audio_emodb2s" / name) for name in table["file"]]
    functionals = np.concatenate([mean_and_std(track, [(0, len(track))]) for track in tracks])
    return functionals, table["emotion"].to_numpy(str), table["speaker"].to_numpy(str)


def held_out_scores(estimator, speech):
    X, y, speakers = speech
    predicted = cross_val_predict(estimator, X, y, groups=speakers, cv=LeaveOneGroupOut())
    hits = int((predicted == y).sum())
    chance = binom.sf(hits - 1, len(y), 1 / 7)  # ten files of each of the seven emotions
    return accuracy_score(y, predicted), f1_score(y, predicted, average="macro"), chance


def test_emotion_of_unseen_speakers_is_told_clearly_above_chance(speech):
    """Seventy files are few for a cubic kernel (the paper's degree): it is reported, the linear one is held to the bar."""
    cubic = make_pipeline(StandardScaler(), WindowedSVM(calibration_folds=0))
    linear = make_pipeline(StandardScaler(), WindowedSVM(C=2.0, degree=1, calibration_folds=0))
    for name, svm in (("C 3, gamma .1, degree 3 (paper)", cubic), ("C 2, gamma .1, degree 1", linear)):
        accuracy, macro_f1, chance = held_out_scores(svm, speech)
        print(
            f"\nEmo-DB, 70 files, leave one of 10 speakers out, {name}: accuracy {accuracy:.3f}, macro F1 {macro_f1:.3f}, ",
            end="",
        )
        print(f"p = {chance:.1e} by chance")
    assert chance < 1e-4
    assert macro_f1 > 2 / 7  # twice the level of chance


def test_parameters_can_be_searched_with_speakers_kept_apart(speech):
    X, y, speakers = speech
    pipeline = make_pipeline(StandardScaler(), WindowedSVM(calibration_folds=0, r=None))
    grid = {"windowedsvm__degree": [1, 3], "windowedsvm__gamma": [0.001, 0.01, 0.1]}
    search = GridSearchCV(clone(pipeline), grid, cv=GroupKFold(5), scoring="f1_macro").fit(X, y, groups=speakers)
    print(f"\nEmo-DB, 5 speaker folds: best {search.best_params_}, macro F1 {search.best_score_:.3f}")
    assert search.best_score_ > 1.4 / 7  # over folds of 14 files, in which macro F1 cannot reach the level above
    assert search.best_estimator_.predict(X).shape == y.shape
