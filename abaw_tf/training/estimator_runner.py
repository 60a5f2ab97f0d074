"""Training and prediction of recipes that are scikit-learn estimators on functionals of windows."""

import hashlib
import time

import numpy as np
from tqdm.auto import tqdm

from abaw_tf.data.folds import video_of
from abaw_tf.data.windows import seconds_to_frames, sliding_windows, stitch
from abaw_tf.files import replacing
from abaw_tf.training.feeding import check_identities, identity, without_prediction
from abaw_tf.training.run import RunError
from abaw_tf.training.tracks import check_length, open_store


def fit(run, dataset, train_table, stores, progress):
    """Fit the run's estimator; return it and entries for the run card."""
    recipe = run.recipe
    X, y, groups, seen = [], [], [], []
    began = time.perf_counter()
    store = _open_store(recipe, dataset, train_table, stores, progress)
    for trial, windows, functionals in _functionals(recipe, dataset, train_table, store, progress):
        seen.append(trial)
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
    return estimator, {
        "seconds": round(time.perf_counter() - began, 1),
        "weights_hash": hashlib.sha256(run.model_path.read_bytes()).hexdigest(),
        "training_examples": len(X),
        "training_windows": {name: int(n) for name, n in zip(recipe.classes, counts)},
        **_learned(estimator, recipe.classes),
        "trials_without_a_face": sorted({*train_table["trial"].unique()} - {*seen}),
        "tracks": {recipe.track().store: identity(store)},
    }


def predict(run, dataset, table, stores, progress, estimator=None):
    """Probabilities of every frame of the trials that have a face: means over the windows that cover it.

    `estimator`: that of the run, where it is in memory already.

    Returns
    -------
    rows : pandas.DataFrame
        Their rows of the frame table.
    outputs : dict of str to numpy.ndarray
        ``{"expression": (n_rows, n_classes)}``.
    notes : list of str
    """
    recipe, estimator = run.recipe, run.load_model() if estimator is None else estimator
    store = _open_store(recipe, dataset, table, stores, progress)
    check_identities(run, {recipe.track().store: identity(store)})
    rows, outputs = [], []
    for trial, windows, functionals in _functionals(recipe, dataset, table, store, progress):
        probabilities = np.zeros((len(windows), len(recipe.classes)))
        probabilities[:, estimator.classes_] = estimator.predict_proba(functionals)
        own = table[table["trial"] == trial]
        rows.append(own.index.to_numpy())
        outputs.append(stitch(windows, probabilities, len(own)))
    if not rows:
        raise RunError("no trial has a face crop, so there is nothing to predict from; extract the crops first")
    rows = table.loc[np.concatenate(rows)]
    faceless = sorted({*table["trial"].unique()} - {*rows["trial"].unique()})
    return rows, {"expression": np.concatenate(outputs)}, without_prediction("face", faceless)


def _learned(estimator, classes):
    """Entries of the run card: what the estimator has found out, as far as its kind finds out such things."""
    entries = {}
    if hasattr(estimator, "class_weight_"):
        weights = zip(estimator.classes_, estimator.class_weight_)
        entries["class_weights"] = {classes[c]: round(float(weight), 4) for c, weight in weights}
    for name in ("temperature", "C"):
        if hasattr(estimator, f"{name}_"):
            entries[name] = round(float(getattr(estimator, f"{name}_")), 4)
    return entries


def _open_store(recipe, dataset, table, stores, progress):
    return open_store(recipe.track(), dataset, list(table["trial"].unique()), stores, progress)


def _functionals(recipe, dataset, table, store, progress):
    """Yield (trial, windows, functionals) of every trial of a frame table that has a face."""
    need, trials = recipe.track(), list(table["trial"].unique())
    information = dataset.trials().set_index("trial")
    for trial in tqdm(trials, desc="windows", unit="trial", disable=not progress):
        track = store.read(trial)
        if not track.can_fill(need.fill):
            continue
        n_frames = int((table["trial"] == trial).sum())
        check_length(track, need.store, n_frames)
        fps = float(information.loc[trial, "fps"])
        try:
            size = seconds_to_frames(recipe.window_seconds, fps)
            stride = max(1, round(size * (1 - recipe.overlap)))
            windows = sliding_windows(n_frames, size, stride, tail="short")
            functionals = recipe.functionals(track.filled(need.fill), windows)
        except ValueError as error:
            raise RunError(f"trial {trial!r}: {error}") from error
        yield trial, windows, functionals
