"""The STAT/LSTM network of Do et al. (2020) on real face videos: trained on stored tracks, held out by person, on line and in one go."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from abaw_tf import labels, predictions, training
from abaw_tf.evaluation import evaluate, label_table
from abaw_tf.studies.real_clips import ProbabilitiesToVA, read_faces, write_clips, write_tracks
from abaw_tf.studies.result import StudyResult
from abaw_tf.training.recipe import Recipe
from abaw_tf.training.run import Run

DERIVATIONS = ("image_va", "lstm_va")
SHOWN, MAN = "WolfgangLanger_Pexels", "single_face"

FOLDS = (
    (SHOWN,),
    ("id2_vcd_swwp2s", "pwij3p", "sbia1a"),
    (MAN,),
    ("bbaf2n", "lbax4n"),
    ("lbbc2a", "lrwp9a", "sbwe5n"),
)
"""Trials by fold, no person in two of them; the first two of the second fold show one speaker."""

GROUPS = {
    "all": tuple(trial for fold in FOLDS for trial in fold),
    "woman who weeps, then laughs": (SHOWN,),
    "man who begins to grin": (MAN,),
    "speakers of a sentence": tuple(trial for fold in FOLDS if not {SHOWN, MAN} & set(fold) for trial in fold),
}
"""Clips by what they show."""

CONSTANT, ALONE = "constant", "mini-XCEPTION alone"
SCORED = (CONSTANT, ALONE, *DERIVATIONS)

SIZES = {"expression_units": (64,), "regression_units": (64,), "lstm_units": 32}
EPOCHS, PATIENCE = 15, 5
ON_IMAGES = {"reads": "images", "image_size": 64, "width": 4}


def run(realdata, work=None, bootstrap=1000, seed=0) -> StudyResult:
    """Train two derivations on other people's clips, predict each clip, and feed it frame by frame as well.

    Parameters
    ----------
    realdata : path-like
        Folder that holds ``models``, ``video_grid``, ``video_pyfeat``, ``pose_tfjs`` and ``frame_preds_pyfeat_news``.
    work : path-like, optional
        Folder for crops, tracks and runs, from which an interrupted study goes on. Default: a temporary one.
    bootstrap : int
        Resamples of clips for the intervals, 0 for none.
    seed : int
        Of the networks and the resamples.

    Returns
    -------
    StudyResult
        Table: by group of clips and method, the scores against the teacher (see `abaw_tf.studies.real_clips`) of clips whose people the
        network has not seen, and the largest difference between the prediction on line and that in one go.
    """
    if work is None:
        with tempfile.TemporaryDirectory() as folder:
            return run(realdata, folder, bootstrap, seed)
    work, to_va = Path(work), ProbabilitiesToVA.fit(realdata)
    dataset = write_clips(realdata, work / "clips", to_va, validation=FOLDS[0])
    stores = write_tracks(realdata, dataset, work / "tracks")
    truth = label_table(dataset).query("expression >= 0").reset_index(drop=True)
    tables = {CONSTANT: _constant(truth), ALONE: _alone(stores["probabilities"], truth, to_va)}
    held_out, unlabelled, differences = {}, {}, {}
    for derivation in DERIVATIONS:
        runs = [train_fold(derivation, k, dataset, stores, work / "runs", seed) for k in range(len(FOLDS))]
        held_out[derivation], unlabelled[derivation] = predict_held_out(runs, dataset, stores)
        tables[derivation] = held_out[derivation]
        differences[derivation] = _differences(runs, dataset, stores, held_out[derivation], unlabelled[derivation])
    for derivation in DERIVATIONS:
        method = f"{derivation} on images, random weights"
        faces = read_faces(dataset, SHOWN, ON_IMAGES["image_size"], every=10)
        untrained = untrained_run(derivation, work / "runs" / f"{derivation}_images", seed, faces, **ON_IMAGES)
        tables[method] = predictions.validate(training.predict(untrained, dataset, None, progress=False))
        differences[method] = {
            trial: online_difference(untrained, dataset, trial, tables[method]) for trial in GROUPS["all"]
        }
    table = _table(tables, truth, differences, bootstrap, seed)
    notes = _notes(truth, to_va, unlabelled, differences, bootstrap)
    shown = {"teacher": _as_predictions(truth, held_out[DERIVATIONS[0]]), **held_out}
    title = "The STAT/LSTM network on real face videos, people held out, against a teacher"
    return StudyResult("do2020_real", title, table, notes, _figure(shown, SHOWN))


def train_fold(derivation, fold, dataset, stores, folder, seed=0, folds=FOLDS, epochs=EPOCHS) -> Run:
    """Train on all folds but two: this one is not looked at, and the next one chooses the epoch.

    The first fold, with the most frames and expressions, chooses for no other: it is trained on.
    """
    chooses = fold % (len(folds) - 1) + 1
    seen = {trial: number for number, trials in enumerate(folds) if number != fold for trial in trials}
    table = pd.DataFrame({"trial": list(seen), "fold": list(seen.values())})
    n_features = stores["features"].read(next(iter(seen))).values.shape[1]
    changes = {**SIZES, "n_features": n_features, "epochs": epochs, "patience": PATIENCE, "seed": seed}
    recipe = Recipe.from_preset("stat_lstm", f"small_{derivation}", **changes)
    where = Path(folder) / f"{derivation}_{fold}"
    return training.train(recipe, dataset, where, folds=table, fold=chooses, stores=stores, progress=False)


def untrained_run(derivation, folder, seed=0, faces=None, **changes) -> Run:
    """A run with the random weights of a small network, to see that what goes in comes out; `changes` are fields of its recipe.

    `faces` (n, size, size, 3) set the scale of a base: at random its features are so large that the outputs are all -1 or 1, and its
    probabilities so even that nothing comes of what a block remembers.
    """
    import keras

    recipe = Recipe.from_preset("stat_lstm", f"small_{derivation}", **{**SIZES, "seed": seed, **changes})
    keras.utils.set_random_seed(seed)
    model = recipe.build()
    if recipe.reads == "images":
        base = model.get_layer("base")
        _rescale(base, "features", 1 / np.asarray(base.predict_on_batch(faces)["features"]).max())
        if "probabilities" in base.output:
            logits = np.log(base.predict_on_batch(faces)["probabilities"])
            _rescale(base, "predictions", 1 / logits.std(axis=0).max())
    run = Run.create(folder, recipe)
    model.save(run.model_path)
    return run


def _rescale(model, name, factor):
    layer = model.get_layer(name)
    layer.set_weights([factor * weights for weights in layer.get_weights()])


def predict_held_out(runs, dataset, stores, folds=FOLDS, man=MAN):
    """Prediction tables of the labelled clips, each by the run that has not seen it, and of the clips without labels.

    Those show the man, or nobody else that is known: they are predicted by the run that has not seen him.
    """
    parts, unlabelled = [], None
    for run, trials in zip(runs, folds):
        table = predictions.validate(training.predict(run, dataset, None, stores, progress=False))
        parts.append(_of(table, trials))
        if man in trials:
            unlabelled = _of(table, dataset.trials("test")["trial"])
    return predictions.validate(predictions.concatenate(parts)), predictions.validate(unlabelled)


def online_difference(run, dataset, trial, table, stores=None) -> float:
    """Largest difference between a clip fed frame by frame and its rows of a prediction table, over the frames with a face.

    The frames without one are not fed; the network counts the others, and remembers across them.
    """
    from abaw_tf.models.stat_lstm_stream import StatLstmStream

    stream, frames = StatLstmStream(run.load_model()), dataset.image_frames(trial)
    if not len(frames):
        return 0.0
    if run.recipe.reads == "tracks":
        tracks = {name: np.asarray(stores[name].read(trial).values) for name in run.recipe.inputs()}
        steps = [stream.step(**{name: track[frame] for name, track in tracks.items()}) for frame in frames]
    else:
        steps = [stream.step(face) for face in read_faces(dataset, trial, run.recipe.image_size)]
    rows = table[table["trial"] == trial].set_index("frame").loc[frames]
    rows.attrs = table.attrs
    gaps = [predictions.probabilities(rows) - np.stack([step["expression"] for step in steps])]
    gaps += [rows[name].to_numpy() - np.concatenate([step[name] for step in steps]) for name in ("valence", "arousal")]
    return max(float(np.abs(gap).max()) for gap in gaps)


def _differences(runs, dataset, stores, held_out, unlabelled) -> dict:
    """`online_difference` of every clip."""
    run_of = {trial: run for run, trials in zip(runs, FOLDS) for trial in trials}
    found = {trial: online_difference(run_of[trial], dataset, trial, held_out, stores) for trial in GROUPS["all"]}
    for trial in unlabelled["trial"].unique():
        found[trial] = online_difference(run_of[MAN], dataset, trial, unlabelled, stores)
    return found


def _constant(truth) -> pd.DataFrame:
    """The commonest class and the mean valence and arousal of the labels of the other folds."""
    parts = []
    for trials in FOLDS:
        own = truth["trial"].isin(trials)
        others, keys = truth[~own], truth.loc[own, ["trial", "frame"]]
        always = {name: np.full(len(keys), others[name].mean()) for name in ("valence", "arousal")}
        commonest = np.full(len(keys), others["expression"].mode()[0])
        probabilities = np.eye(len(labels.EXPRESSIONS_7))[commonest]
        parts.append(
            predictions.make_table(keys["trial"], keys["frame"], probabilities=probabilities, model=CONSTANT, **always)
        )
    return predictions.concatenate(parts)


def _alone(store, truth, to_va) -> pd.DataFrame:
    """What the network behind the tracks says by itself, its valence and arousal by the teacher's map."""
    parts = []
    for trial, rows in truth.groupby("trial"):
        p = np.asarray(store.read(trial).values)[rows["frame"]].astype(np.float64)
        p, values = p / p.sum(axis=1, keepdims=True), to_va(p)
        keys = {"trial": trial, "frame": rows["frame"]}
        parts.append(
            predictions.make_table(**keys, probabilities=p, valence=values[:, 0], arousal=values[:, 1], model=ALONE)
        )
    return predictions.concatenate(parts)


def _of(table, trials):
    part = table[table["trial"].isin(list(trials))].reset_index(drop=True)
    part.attrs = table.attrs
    return part


def _as_predictions(truth, like) -> pd.DataFrame:
    """The teacher's values as a prediction table, with the times of another one."""
    rows = truth.merge(like[["trial", "frame", "time"]], on=["trial", "frame"])
    return predictions.make_table(
        *(rows[name] for name in ("trial", "frame", "time")),
        **{name: rows[name] for name in ("expression", "valence", "arousal")},
        model="teacher",
    )


def _table(tables, truth, differences, bootstrap, seed) -> pd.DataFrame:
    rows = {}
    for group, trials in GROUPS.items():
        part, whole = truth[truth["trial"].isin(trials)], group == "all"
        for method, table in tables.items():
            row = {"frames": len(part)}
            if method in SCORED:
                row |= _scores(_of(table, trials), part, bootstrap if whole else 0, seed)
            elif not whole:
                continue
            if method in differences:
                row["online_difference"] = f"{max(differences[method][trial] for trial in trials):.0e}"
            rows[group, method] = row
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(rows, names=["clips", "method"])
    return table


def _scores(table, truth, bootstrap, seed) -> dict:
    found = evaluate(table, truth, bootstrap=bootstrap, seed=seed)
    row = {}
    for name in ("ccc_valence", "ccc_arousal"):
        low, high = found.intervals.get(name, (np.nan, np.nan))
        row |= {name: found.scores[name], f"{name}_low": low, f"{name}_high": high}
    return row | {name: found.scores[name] for name in ("accuracy", "macro_f1")}


def _notes(truth, to_va, unlabelled, differences, bootstrap) -> list:
    counts = truth["expression"].value_counts()
    seen = ", ".join(f"{name} {counts.get(k, 0)}" for k, name in enumerate(labels.EXPRESSIONS_7))
    without = unlabelled[DERIVATIONS[0]].groupby("trial").size()
    worst = max(differences[derivation][trial] for derivation in DERIVATIONS for trial in without.index)
    return [
        f"{len(truth):,} frames with a face of {truth['trial'].nunique()} clips, 9 people; nobody has labelled them",
        "the teacher is no truth: its expression is the decision of face-api.js's network, its valence and arousal a linear map of "
        "that network's probabilities, fitted to py-feat's output on ten other videos (there, clip held out, CCC with py-feat's own values "
        f"{to_va.held_out_ccc[0]:.2f} and {to_va.held_out_ccc[1]:.2f})",
        f"the teacher's frames: {seen}; macro F1 counts a class that nobody shows and nobody predicts as 0",
        f"{len(FOLDS)} folds, no person in two; the epoch is chosen on a further fold, not on the one that is predicted",
        f"tracks: 128 features (layer add_4) and 7 probabilities of mini-XCEPTION (FER-2013); {ALONE}: its own probabilities, through the "
        "same map",
        f"{CONSTANT}: commonest class and mean values of the other folds",
        "disgust, fear and sadness are the woman's alone: what predicts her has not seen them here; mini-XCEPTION has, on other faces",
        "the speakers hardly move from neutral: their CCC and macro F1 rest on a few frames",
        f"online difference: largest of any probability, valence or arousal between frame by frame and in one go; {worst:.0e} on the clips "
        f"without labels ({', '.join(without.index)}), where faces come, go or never are",
        "random weights on images: no score, only that real crops pass through the whole network",
        *([f"intervals: {bootstrap:,} resamples of clips; with so few they are rough"] if bootstrap else []),
    ]


def _figure(tables, trial):
    from matplotlib.figure import Figure

    from abaw_tf.plots.bands import plot_expression_bands
    from abaw_tf.plots.style import TRUTH_COLOR, bare

    figure = Figure(figsize=(11, 6.4), layout="constrained")
    axes = figure.subplots(3, 1, sharex=True, height_ratios=(1, 1.3, 1.3))
    title = "A real clip that the networks have not seen: weeping, a hand before the face, from 9.5 s on laughing"
    plot_expression_bands(tables, trial, axes[0], title)
    axes[0].set_xlabel("")
    colors = (TRUTH_COLOR, "#0072b2", "#d55e00")
    for ax, name in zip(axes[1:], ("valence", "arousal")):
        ax.axhline(0, color="#d5d5d5", linewidth=1, zorder=0)
        for (label, table), color in zip(tables.items(), colors):
            part = table[table["trial"] == trial]
            ax.plot(part["time"], part[name], color=color, label=label, linewidth=2.2 if label == "teacher" else 1.2)
        ax.set_ylim(-1.05, 1.05)
        ax.set_yticks([-1, -0.5, 0, 0.5, 1])
        ax.set_ylabel(name)
        bare(ax)
    axes[1].legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.005, 0.5))
    axes[2].set_xlabel("seconds")
    return figure
