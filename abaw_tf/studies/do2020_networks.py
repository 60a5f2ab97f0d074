"""What the study `do2020` compares: the six derivations of Do et al. (2020), trained on rendered data, two references and the fusion."""

from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from abaw_tf import metrics, predictions
from abaw_tf.data.folds import video_of
from abaw_tf.evaluation import label_table
from abaw_tf.fusion import fuse_tables
from abaw_tf.studies.rendered import Size, render, train_face_model
from abaw_tf.training import Recipe, train
from abaw_tf.training.datasets import frame_times
from abaw_tf.training.tracks import extract_with_run

DERIVATIONS = {
    "1 image": "image",
    "2 image_va": "image_va",
    "3 frames": "frames",
    "4 frames_va": "frames_va",
    "5 lstm": "lstm",
    "6 lstm_va": "lstm_va",
}
"""Derivation (paper, table I) by row of the study's table."""

SECOND = "2 image_va, second"
"""Row of a second network of model 2, with another seed: two of them are in the paper's fusion of expressions."""

MAJORITY, PROBE, TUNED, FUSION = "majority class", "linear probe", "linear probe, tuned", "fusion"

FUSED = {
    "expression": {"2 image_va": 1, SECOND: 1, "4 frames_va": 1, "6 lstm_va": 0},
    "valence_arousal": {"2 image_va": 1, SECOND: 0, "4 frames_va": 1, "6 lstm_va": 1},
}
"""Weights of the fusions: plain means, of two image networks and a frames network, and of one network of each kind (paper, code)."""

# At both ends of these ranges the scores in the folds of training videos are lower than between them.
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2)
PENALTIES = (1e2, 1e3, 1e4)


def predict_all(work, seed=0, size=None, progress=True):
    """Render, train and predict whatever is not there yet.

    Parameters
    ----------
    work : path-like
        Folder of data and runs. The data are the same for every seed; the runs of a seed are in ``seed<seed>``.
    seed : int
        Of the trainings.
    size : Size, optional
    progress : bool
        Show bars.

    Returns
    -------
    dataset : AffWild2
    tables : dict of str to pandas.DataFrame
        Prediction tables of all validation frames by row of the study's table.

    Raises
    ------
    FileExistsError
        The folder holds other data than these.
    RunError
        It holds runs of other recipes.
    """
    work, size = Path(work).expanduser().resolve(), size or Size()
    faces, dataset = render(work, size, progress)
    runs = work / f"seed{seed}"
    face_run = runs / "face_model"
    networks = {row: (name, seed) for row, name in DERIVATIONS.items()} | {SECOND: ("image_va", seed + 1)}
    tables = {}
    with tqdm(total=len(networks) + 1, unit="network", disable=not progress) as bar:
        bar.set_description("face_model")
        train_face_model(faces, face_run, size, seed)
        bar.update()
        for row, (name, own_seed) in networks.items():
            bar.set_description(row)
            fields = {"face_run": str(face_run), "seed": own_seed, **size.networks}
            recipe = Recipe.from_preset("stat_lstm", f"small_{name}", **fields)
            folder = runs / (name if row != SECOND else f"{name}_second")
            tables[row] = predictions.read(train(recipe, dataset, folder, progress=False).predictions_path)
            bar.update()
    return dataset, {**references(dataset, face_run), **tables, FUSION: fused(tables)}


def fused(tables):
    """The paper's two fusions in one table: plain means of the tables that `FUSED` names."""
    return fuse_tables({row: tables[row] for row in FUSED["expression"]}, FUSED)


def references(dataset, face_run) -> dict:
    """Prediction tables of what needs no network on top of the face model, by row of the study's table.

    The majority class says the most frequent training class, and the mean valence and arousal of the training frames. The linear probes
    see what the image networks see, the features of the current frame, standardised: a logistic regression with balanced classes, and a
    ridge regression of valence and arousal. One is regularised as scikit-learn does by default; how strongly the tuned one is, is chosen
    by the challenge's scores in folds of whole training videos.
    """
    splits = {split: dataset.frame_table(split) for split in ("train", "validation")}
    trials = sorted({trial for table in splits.values() for trial in table["trial"]})
    store = extract_with_run(face_run, "features", dataset, trials, progress=False)
    seen = {split: table[table["path"].notna()] for split, table in splits.items()}
    x = {
        split: np.concatenate([store.read(name).take(part["frame"]) for name, part in table.groupby("trial")])
        for split, table in seen.items()
    }
    videos = seen["train"]["trial"].map(video_of).to_numpy()
    expression = seen["train"]["expression"].to_numpy()
    both = seen["train"][["valence", "arousal"]].to_numpy()
    known, rated = expression >= 0, np.isfinite(both).all(axis=1)

    classes = dataset.edition.classes
    classifier, regression = LogisticRegression(class_weight="balanced", max_iter=1000), Ridge()
    rows = {}
    for row, strengths, penalties in ((PROBE, (classifier.C,), (regression.alpha,)), (TUNED, STRENGTHS, PENALTIES)):
        fitted = _fitted(
            classifier, {"C": strengths}, metrics.expression_score, x["train"][known], expression[known], videos[known]
        )
        probabilities = np.zeros((len(x["validation"]), len(classes)))
        probabilities[:, fitted.classes_] = fitted.predict_proba(x["validation"])
        fitted = _fitted(regression, {"alpha": penalties}, _mean_ccc, x["train"][rated], both[rated], videos[rated])
        rows[row] = probabilities, np.clip(fitted.predict(x["validation"]), -1, 1)
    labels = label_table(dataset, "train")
    counts = np.bincount(labels["expression"][labels["expression"] >= 0], minlength=len(classes))
    means = labels[["valence", "arousal"]].mean().to_numpy()
    n_seen = len(x["validation"])
    constant = np.tile(np.eye(len(classes))[counts.argmax()], (n_seen, 1)), np.tile(means, (n_seen, 1))
    return {
        row: _every_frame(dataset, splits["validation"], seen["validation"], *values)
        for row, values in {MAJORITY: constant, **rows}.items()
    }


def _fitted(model, grid, score, x, y, groups):
    """The model on standardised features, with the parameter that scores best in folds of whole groups."""
    name = type(model).__name__.lower()
    grid = {f"{name}__{key}": values for key, values in grid.items()}
    pipeline = make_pipeline(StandardScaler(), clone(model))
    if all(len(values) == 1 for values in grid.values()):
        return pipeline.set_params(**{key: value for key, (value,) in grid.items()}).fit(x, y)
    folds = GroupKFold(min(5, len(set(groups))))
    return GridSearchCV(pipeline, grid, scoring=make_scorer(score), cv=folds).fit(x, y, groups=groups).best_estimator_


def _mean_ccc(truth, predicted) -> float:
    return metrics.valence_arousal_score(truth[:, 0], predicted[:, 0], truth[:, 1], predicted[:, 1])


def _every_frame(dataset, table, seen, probabilities, continuous):
    """A prediction table of all frames, those without a face filled as everywhere in the toolkit."""
    valence, arousal = continuous.T
    found = predictions.make_table(
        seen["trial"].to_numpy(dtype=object),
        seen["frame"].to_numpy(),
        probabilities=probabilities,
        valence=valence,
        arousal=arousal,
        edition=dataset.edition,
    )
    lengths = table.groupby("trial").size().to_dict()
    return predictions.fill_missing(found, lengths, frame_times(dataset, lengths), empty="neutral")
