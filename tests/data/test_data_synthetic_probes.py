"""What can be learnt from the synthetic Aff-Wild2: each modality alone predicts unseen subjects above chance, none perfectly,
and together they do better. Plain scikit-learn models on plain features, trained on the training split, scored on validation.
"""

import json
from itertools import pairwise

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from abaw_tf.data import AffWild2, make_synthetic
from abaw_tf.media.audio import load_audio
from abaw_tf.media.video import read_frames


def ccc(truth, prediction):
    """Lin's coefficient, written out: the tests of the data must not lean on the toolkit's own metric."""
    covariance = np.mean((truth - truth.mean()) * (prediction - prediction.mean()))
    return 2 * covariance / (truth.var() + prediction.var() + (truth.mean() - prediction.mean()) ** 2)


# ---- features: one row per frame


def picture_features(dataset, trial, frames):
    """Histograms of oriented gradients of the aligned face, 7 x 7 cells of 8 directions; the previous crop where one is missing."""
    rows, last = [], np.zeros(7 * 7 * 8)
    for frame in frames:
        path = dataset.image_path(trial, frame)
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if path else None
        if image is not None:
            image = cv2.resize(image, (56, 56), interpolation=cv2.INTER_AREA).astype(np.float32)
            dx, dy = cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1)
            size, angle = cv2.cartToPolar(dx, dy)
            bins = (angle % np.pi / np.pi * 8).astype(int) % 8
            cells = np.stack([np.where(bins == b, size, 0).reshape(7, 8, 7, 8).sum((1, 3)) for b in range(8)], -1)
            last = np.sqrt(cells / (cells.sum() + 1e-6)).ravel()
        rows.append(last)
    return np.array(rows)


def action_unit_features(dataset, trial, frames):
    table = pd.read_csv(dataset.openface_path(trial))
    names = [c for c in table if c.endswith("_r") and c.startswith("AU")] + ["pose_Rx", "gaze_angle_y", "success"]
    return table[names].to_numpy(float)[np.minimum(frames, len(table) - 1)]


def sound_features(dataset, trial, frames):
    """Level, pitch and spectral shape of the 1.2 s around each frame."""
    samples, rate = load_audio(dataset.video_path(trial), sample_rate=16_000)
    size, hop = 1024, 256
    samples = np.pad(samples, (size // 2, size))
    pieces = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    power = np.abs(np.fft.rfft(pieces * np.hanning(size), axis=1)) ** 2
    edges = np.geomspace(4, size // 2, 19).astype(int)
    bands = np.log(np.stack([power[:, a : b + 1].mean(1) for a, b in pairwise(edges)], 1) + 1e-8)
    correlation = np.fft.irfft(power, axis=1)[:, rate // 500 : rate // 70]
    pitch = np.log(rate / (rate // 500 + correlation.argmax(1)))
    level = np.log(power.mean(1) + 1e-8)
    shape = bands - bands.mean(1, keepdims=True)
    rows = []
    for time in dataset.times(trial)[frames]:
        near = slice(max(0, int((time - 0.6) * rate / hop)), int((time + 0.6) * rate / hop) + 1)
        loud = level[near] > np.quantile(level, 0.4)
        loud = loud if loud.any() else slice(None)
        pick = [values[near][loud] for values in (level, pitch)]
        rows.append(
            [*(f(v) for v in pick for f in (np.mean, np.std, np.max)), *shape[near][loud].mean(0), np.mean(level[near])]
        )
    return np.array(rows)


def word_features(dataset, trial, frames, vocabulary):
    """How often each word falls within 1.5 s, nearer words counting more."""
    words = pd.read_csv(dataset.words_path(trial), keep_default_na=False)
    counts = np.zeros((len(frames), len(vocabulary)))
    middle, times = (words["start"] + words["end"]) / 2, dataset.times(trial)[frames]
    for word, when in zip(words["word"], middle):
        if word in vocabulary:
            counts[:, vocabulary[word]] += np.maximum(0, 1 - np.abs(times - when) / 1.5)
    return counts


def posture_features(dataset, trial, frames):
    """Upper body relative to the nose, in units of the distance between the ears' side of the shoulders."""
    side = -1 if trial.endswith("_right") else 0
    rows, last = [], np.zeros(7 * 2)
    n = len(list(dataset.openpose_dir(trial).glob("*.json")))
    for frame in np.minimum(frames, n - 1):
        people = json.loads((dataset.openpose_dir(trial) / f"{frame + 1:05d}_keypoints.json").read_text())["people"]
        points = np.array(people[side]["pose_keypoints_2d"]).reshape(25, 3)
        eyes = points[[15, 16]]
        if eyes[:, 2].min() > 0:
            scale = np.linalg.norm(eyes[0, :2] - eyes[1, :2])
            chosen = points[[1, 2, 5, 4, 7, 3, 6]]
            relative = np.clip((chosen[:, :2] - eyes[:, :2].mean(0)) / scale, -8, 8)
            last = np.where(chosen[:, 2:] > 0, relative, [0.0, 6.0]).ravel()
        rows.append(last)
    return np.array(rows)


def scene_features(dataset, trial, frames):
    """Mean colour of the upper corners and of the whole picture."""
    colours = []
    for _, _, image in read_frames(dataset.video_path(trial)):
        small = cv2.resize(image, (8, 6), interpolation=cv2.INTER_AREA).astype(float)
        colours.append(np.concatenate([small[:2, :2].mean((0, 1)), small[:2, -2:].mean((0, 1)), small.mean((0, 1))]))
    return np.array(colours)[np.minimum(frames, len(colours) - 1)]


FEATURES = {
    "face pictures": picture_features,
    "action units": action_unit_features,
    "sound": sound_features,
    "words": word_features,
    "posture": posture_features,
    "scene": scene_features,
}


def collect(dataset, split, step, vocabulary):
    """Features by modality, and labels, of every `step`-th frame of a split."""
    features, labels = {name: [] for name in FEATURES}, []
    for trial in dataset.trials(split)["trial"]:
        table = dataset.labels(trial).iloc[::step]
        frames = table.index.to_numpy()
        labels.append(table.assign(trial=trial))
        for name, function in FEATURES.items():
            extra = (vocabulary,) if name == "words" else ()
            features[name].append(function(dataset, trial, frames, *extra))
    return {name: np.concatenate(parts) for name, parts in features.items()}, pd.concat(labels, ignore_index=True)


def rescaled(unseen, truth, predicted):
    """Combine predictions as independent witnesses, each weighted by its correlation r with the truth as r / (1 - r^2)."""
    total, fitted = 0.0, 0.0
    for known, new in zip(unseen, predicted):
        r = np.clip(np.corrcoef(known, truth)[0, 1], 0.02, 0.95)
        weight = r / (1 - r**2) / known.std()
        total, fitted = total + weight * (new - known.mean()), fitted + weight * (known - known.mean())
    r = np.clip(np.corrcoef(fitted, truth)[0, 1], 0.1, 1)
    # Half-way (geometrically) between the spread that least squares would give and that of the truth.
    return truth.mean() + total * truth.std() / fitted.std() * np.sqrt(r)


def probe(root, step, edition="abaw2"):
    """Scores per modality, and of the mean of all modalities' outputs."""
    dataset = AffWild2(root, edition)
    said = pd.concat(
        [pd.read_csv(dataset.words_path(t), keep_default_na=False)["word"] for t in dataset.trials("train")["trial"]]
    )
    vocabulary = {word: i for i, word in enumerate(sorted(set(said)))}
    train, train_labels = collect(dataset, "train", step, vocabulary)
    test, test_labels = collect(dataset, "validation", step, vocabulary)
    knows, known = train_labels["expression"] >= 0, test_labels["expression"] >= 0
    truth = test_labels["expression"][known].to_numpy()
    classes = np.unique(train_labels["expression"][knows])
    groups = train_labels["trial"].str.replace(r"_(left|right)$", "", regex=True)
    result, probabilities, weights = {}, [], []
    # Predictions of every modality: for the training frames by models that have not seen the subject, for validation by all.
    unseen, curves = ({"valence": [], "arousal": []} for _ in range(2))

    def score(probability, prediction):
        chosen = classes[probability.argmax(1)]
        scores = {
            "accuracy": accuracy_score(truth, chosen),
            "macro_f1": f1_score(truth, chosen, average="macro", labels=classes, zero_division=0),
        }
        for target, values in prediction.items():
            has = test_labels[target].notna()
            scores[f"ccc_{target}"] = ccc(test_labels[target][has].to_numpy(), values[has])
        return scores

    for name in FEATURES:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=300, class_weight="balanced"))
        data, values = train[name][knows], train_labels["expression"][knows]
        folds = GroupKFold(min(4, groups[knows].nunique()))
        guess = cross_val_predict(model, data, values, groups=groups[knows], cv=folds)
        weights.append(max(0.02, f1_score(values, guess, average="macro") - 1 / len(classes)))
        model.fit(data, values)
        probability, prediction = model.predict_proba(test[name][known]), {}
        for target in curves:
            has = train_labels[target].notna()
            data, values = train[name][has], train_labels[target][has]
            ridge = make_pipeline(StandardScaler(), Ridge(1000.0))
            folds = GroupKFold(min(4, groups[has].nunique()))
            unseen[target].append(cross_val_predict(ridge, data, values, groups=groups[has], cv=folds))
            curves[target].append(ridge.fit(data, values).predict(test[name]))
            prediction[target] = rescaled(unseen[target][-1:], values, curves[target][-1:])
        probabilities.append(probability)
        result[name] = score(probability, prediction)
    together = {t: rescaled(unseen[t], train_labels[t].dropna(), curves[t]) for t in curves}
    result["all"] = score(np.average(np.log(np.array(probabilities) + 0.02), axis=0, weights=weights), together)
    majority = np.full(len(truth), np.bincount(train_labels["expression"][knows]).argmax())
    result["majority"] = {
        "accuracy": accuracy_score(truth, majority),
        "macro_f1": f1_score(truth, majority, average="macro", labels=classes, zero_division=0),
        "ccc_valence": 0.0,
        "ccc_arousal": 0.0,
    }
    return pd.DataFrame(result).T


@pytest.mark.slow
@pytest.mark.study  # for CI the next test says enough
def test_every_modality_tells_something_and_together_they_tell_more(tmp_path):
    scores = probe(make_synthetic(tmp_path / "d", progress=False), step=4)
    print("\n" + scores.round(3).to_string())
    alone = scores.drop(index=["all", "majority"])
    assert (alone["macro_f1"] > scores.loc["majority", "macro_f1"] + 0.03).all()
    assert (alone[["ccc_valence", "ccc_arousal"]] > 0.08).all(axis=None)
    assert alone["accuracy"].max() < 0.9
    assert alone[["ccc_valence", "ccc_arousal"]].max(axis=None) < 0.9
    for column in ("accuracy", "macro_f1", "ccc_valence", "ccc_arousal"):
        assert scores.loc["all", column] > alone[column].max(), column


def test_faces_and_voices_of_a_few_seconds_tell_something(synthetic_root):
    """Five people, four seconds each, are too few for the weaker modalities."""
    scores = probe(synthetic_root, step=4)
    print("\n" + scores.round(3).to_string())
    assert scores.loc["action units", "macro_f1"] > scores.loc["majority", "macro_f1"] + 0.15
    assert scores.loc["face pictures", "macro_f1"] > scores.loc["majority", "macro_f1"] + 0.05
    assert scores.loc["sound", "ccc_arousal"] > 0.1
    assert scores.loc["all", "macro_f1"] > scores.loc["majority", "macro_f1"] + 0.15
