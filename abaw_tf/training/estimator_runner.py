"""Training and prediction of recipes that are scikit-learn estimators on functionals of windows."""

import hashlib
import time

import numpy as np
from tqdm.auto import tqdm

from abaw_tf.data.folds import video_of
from abaw_tf.data.windows import seconds_to_frames, sliding_windows, stitch
from abaw_tf.files import replacing
from abaw_tf.training.run import RunError
from abaw_tf.training.tracks import open_store


def fit(run, dataset, train_table, stores, progress):
    """Fit the run's estimator; return entries for the run card."""
    recipe = run.recipe
    X, y, groups = [], [], []
    began = time.perf_counter()
    for trial, windows, functionals in _functionals(recipe, dataset, train_table, stores, progress):
        labels = train_table.loc[train_table["trial"] == trial, "expression"].to_numpy()
        classes = recipe.window_labels(labels, windows)
        X.append(functionals[classes >= 0])
        y.append(classes[classes >= 0])
        groups += [video_of(trial)] * int((classes >= 0).sum())
    if not groups:
        raise RunError(
            "no window of the train split has both face crops and an expression label; look at the dataset with tools/doctor.py. "
            f"Received: {len(train_table)} frames of {train_table['trial'].nunique()} trials"
        )
    X, y = np.concatenate(X), np.concatenate(y)
    counts = np.bincount(y, minlength=len(recipe.classes))
    if progress:
        print(f"fitting {recipe.name} to {len(X)} windows of {X.shape[1]} functionals", flush=True)
    estimator = recipe.build().fit(X, y, groups=np.asarray(groups))
    with replacing(run.model_path) as path:
        estimator.save(path)
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "weights_hash": hashlib.sha256(run.model_path.read_bytes()).hexdigest(),
        "training_examples": len(X),
        "training_windows": {name: int(n) for name, n in zip(recipe.classes, counts)},
        "class_weights": {
            recipe.classes[c]: round(float(w), 4) for c, w in zip(estimator.classes_, estimator.class_weight_)
        },
        "temperature": round(float(estimator.temperature_), 4),
    }


def predict(run, dataset, table, stores, progress):
    """Probabilities of every frame of the trials that have a face: means over the windows that cover it.

    Returns
    -------
    rows : pandas.DataFrame
        Their rows of the frame table.
    outputs : dict of str to numpy.ndarray
        ``{"expression": (n_rows, n_classes)}``.
    """
    recipe, estimator = run.recipe, run.load_model()
    rows, outputs = [], []
    for trial, windows, functionals in _functionals(recipe, dataset, table, stores, progress):
        probabilities = np.zeros((len(windows), len(recipe.classes)))
        probabilities[:, estimator.classes_] = estimator.predict_proba(functionals)
        own = table[table["trial"] == trial]
        rows.append(own.index.to_numpy())
        outputs.append(stitch(windows, probabilities, len(own)))
    if not rows:
        raise RunError("no trial has a face crop, so there is nothing to predict from; extract the crops first")
    return table.loc[np.concatenate(rows)], {"expression": np.concatenate(outputs)}, []


def _functionals(recipe, dataset, table, stores, progress):
    """Yield (trial, windows, functionals) of every trial of a frame table that has a face."""
    need = recipe.track()
    trials = list(table["trial"].unique())
    store = open_store(need, dataset, trials, stores, progress)
    information = dataset.trials().set_index("trial")
    for trial in tqdm(trials, desc="windows", unit="trial", disable=not progress):
        track = store.read(trial)
        if track.missing.all() and need.fill == "previous":
            continue
        n_frames = int((table["trial"] == trial).sum())
        if len(track) != n_frames:
            raise RunError(
                f"trial {trial!r}: its track has {len(track)} frames, the dataset {n_frames}; extract its features again"
            )
        fps = float(information.loc[trial, "fps"])
        size = seconds_to_frames(recipe.window_seconds, fps)
        stride = max(1, round(size * (1 - recipe.overlap)))
        windows = sliding_windows(n_frames, size, stride, tail="short")
        yield trial, windows, recipe.functionals(track.filled(need.fill), windows)
