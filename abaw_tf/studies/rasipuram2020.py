"""Rasipuram et al. (2020), Table I, on rendered videos: each modality alone, all of them, and what is left when one falls silent.

S. Rasipuram, J. H. Bhat, A. Maitra, "Multi-modal Sequence-to-sequence Model for Continuous Affect Prediction in the Wild Using Deep 3D
Features", FG 2020 (arXiv 2002.12766).
"""

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from abaw_tf.evaluation import compare, evaluate, label_table
from abaw_tf.evaluation.label_tables import labelled
from abaw_tf.features.measurements import extract_measurements
from abaw_tf.models.gru_fusion import DIMENSIONS
from abaw_tf.studies.rendered import Size, render, render_unseen, train_face_model
from abaw_tf.studies.result import StudyResult
from abaw_tf.training import Recipe, predict, train
from abaw_tf.training.silencing import SilencedRun, silent_subsets
from abaw_tf.training.tracks import extract_with_run

SIZE = Size(videos=(30, 10), unseen=20)
"""Default size: on fewer videos, what the modalities gain together differs much from one set of subjects to the next."""

BASELINE, FUSED, BILSTM, DROPPED = "ABAW baseline", "audio + video", "audio + video, BiLSTM", "with modality dropout"

SINGLE = {"audio": "audio", "ExpNet (stand-in)": "expnet", "OpenFace": "openface"}
"""Modality by row of the study's table."""

NETWORKS = {
    **{row: {"modalities": (modality,)} for row, modality in SINGLE.items()},
    FUSED: {},
    BILSTM: {"cell": "bilstm"},
    DROPPED: {"modality_dropout": 0.2},
}
"""Fields of the recipe ``gru_fusion`` by network."""

FOLDERS = dict(zip(NETWORKS, (*SINGLE.values(), "all", "all_bilstm", "all_modality_dropout")))

TABLE_I = {BASELINE: (0.14, 0.24), "audio": (0.14, 0.21), "ExpNet (stand-in)": (0.18, 0.29), FUSED: (0.22, 0.34)}
"""CCC of valence and arousal on the validation set of Aff-Wild2, as printed; there is no row of OpenFace alone."""

TRAINED, PLAIN, HARDENED = "trained on", "silenced", "silenced, modality dropout"
GROUPS = {PLAIN: FUSED, HARDENED: DROPPED}
"""Network whose branches are silenced, by group of the missing-modality table."""

SILENT = silent_subsets(DIMENSIONS)
"""Branches that are silenced together: none, each, each two."""

COLORS = ("#0072b2", "#d55e00", "#009e73")
"""Of the paper, of our networks, and of our network with modality dropout."""

SCORES = {"val": "ccc_valence", "aro": "ccc_arousal", "mean": "valence_arousal_score"}


def run(work, bootstrap=1000, seed=0, size=None, progress=True) -> StudyResult:
    """Train the network on each modality and on all, silence branches, and set the scores beside those of the paper.

    Parameters
    ----------
    work : path-like
        Folder of data and runs; what is finished there is used again.
    bootstrap : int
        Resamples of videos for the intervals, 0 for none.
    seed : int
        Of trainings and resamples; the data are the same.
    size : abaw_tf.studies.rendered.Size, optional
        How much is rendered and trained. Default: some minutes on two processor cores.
    progress : bool
        Show bars.

    Returns
    -------
    StudyResult
        Table: CCC of valence, of arousal and their mean, the paper's and ours with intervals; first the networks of Table I, then the
        missing-modality table: the network of all modalities with branches silenced, trained without and with modality dropout.
    """
    dataset, unseen, tables = predict_all(work, seed, size, progress)
    labels = label_table(unseen, "validation", "valence_arousal")
    found = {row: evaluate(table, labels, bootstrap=bootstrap, seed=seed) for row, table in tables.items()}
    table = score_table(found)
    gains = {
        row: compare(tables[TRAINED, row], tables[TRAINED, FUSED], labels, bootstrap=bootstrap, seed=seed).table.loc[
            "valence_arousal_score", ["difference", "low", "high"]
        ]
        for row in (*SINGLE, BILSTM)
    }
    title = (
        "Rasipuram et al. 2020, Table I: the paper on Aff-Wild2, and this toolkit's small networks on synthetic videos"
    )
    notes = _notes((dataset, unseen), labels, table, gains, bootstrap)
    return StudyResult("rasipuram2020", title, table, notes, _figure(table))


def predict_all(work, seed=0, size=None, progress=True):
    """Render, extract, train and predict whatever is not there yet.

    Parameters
    ----------
    work : path-like
        Folder of data, tracks and runs. Data and measured tracks are the same for every seed; the runs are in ``seed<seed>``.
    seed, size, progress
        As in `run`.

    Returns
    -------
    dataset : AffWild2
        For training and the choice of the epochs.
    unseen : AffWild2
        Its validation split is what is predicted.
    tables : dict of (str, str) to pandas.DataFrame
        Prediction tables of all frames of the unseen videos by group and row of the study's table.

    Raises
    ------
    FileExistsError
        The folder holds other data than these.
    RunError
        It holds runs of other recipes, or trained on other tracks.
    """
    work, size = Path(work).expanduser().resolve(), size or SIZE
    (faces, dataset), unseen = render(work, size, progress), render_unseen(work, size, progress)
    runs, trained, tables = work / f"seed{seed}", {}, {}

    def predicted(run_):
        return predict(run_, unseen, "validation", stores=unseen_stores, progress=False)

    with tqdm(total=len(NETWORKS) + 2, unit="step", disable=not progress) as bar:
        bar.set_description("face model")
        face_run = train_face_model(faces, runs / "face_model", size, seed)
        stores = extract_tracks(dataset, work / "tracks", face_run)
        unseen_stores = extract_tracks(unseen, work / "unseen_tracks", face_run)
        bar.update()
        for row, fields in NETWORKS.items():
            bar.set_description(row)
            recipe = Recipe.from_preset("gru_fusion", "small", seed=seed, **{**size.networks, **fields})
            folder = runs / f"gru_fusion_{FOLDERS[row]}"
            trained[row] = train(recipe, dataset, folder, stores=stores, progress=False)
            if row != DROPPED:
                tables[TRAINED, row] = predicted(trained[row])
            bar.update()
        bar.set_description("silenced branches")
        for group, row in GROUPS.items():
            for modalities in SILENT:
                tables[group, _words(modalities)] = predicted(SilencedRun(trained[row].folder, modalities))
        bar.update()
    return dataset, unseen, tables


def extract_tracks(dataset, folder, face_run) -> dict:
    """Stores of the three tracks by the names under which the recipe asks for them, computed where they are not there yet."""
    trials = sorted(dataset.trials()["trial"])
    stores = {
        name: extract_measurements(extractor, dataset, folder, trials, progress=False).folder
        for name, extractor in (("audio", "frame_audio"), ("openface", "openface"))
    }
    expnet = extract_with_run(face_run.folder, "features", dataset, trials, progress=False, store_root=folder)
    return stores | {"expnet": expnet}


def score_table(found) -> pd.DataFrame:
    """The study's table.

    Parameters
    ----------
    found : dict of (str, str) to abaw_tf.evaluation.Evaluation
        By group and row.
    """
    records = {}
    for key in ((TRAINED, BASELINE), *found):
        printed = TABLE_I.get(key[1], (np.nan, np.nan)) if key[0] == TRAINED else (np.nan, np.nan)
        record = dict(zip(("paper_val", "paper_aro", "paper_mean"), (*printed, np.mean(printed))))
        for name, score in SCORES.items():
            record[name] = found[key].scores[score] if key in found else np.nan
            ends = found[key].intervals.get(score, (np.nan, np.nan)) if key in found else (np.nan, np.nan)
            record |= dict(zip((f"{name}_low", f"{name}_high"), ends))
        records[key] = record
    return pd.DataFrame.from_dict(records, orient="index").rename_axis(["group", "modalities"])


def _words(modalities) -> str:
    return ", ".join(modalities) or "nothing"


def _notes(datasets, labels, table, gains, bootstrap) -> list:
    dataset, unseen = datasets
    parts = (dataset, "train"), (dataset, "validation"), (unseen, "validation")
    n_train, n_validation, n_unseen = (len(set(of.trials(split, "valence_arousal")["video"])) for of, split in parts)
    ours = table.loc[TRAINED, "mean"]
    beaten = [row for row in SINGLE if ours[FUSED] > ours[row]]
    return [
        f"ours: trained on {n_train} synthetic videos, the epochs chosen on {n_validation}, scored on {n_unseen} of other subjects, on all "
        f"{int(labelled(labels, 'valence_arousal').sum()):,} frames with labels; they say nothing about people, and in ExpNet's place "
        "stand the features of a small face model: never compare the two halves of the table, only rows within a half",
        *([f"intervals: {bootstrap:,} resamples of the videos, for the networks as they are"] if bootstrap else []),
        f"mean CCC of {FUSED} above that of one modality alone: {', '.join(beaten) or 'none'} ({len(beaten)} of {len(SINGLE)})",
        f"mean CCC gained by {FUSED} over: " + "; ".join(f"{row} {_difference(gain)}" for row, gain in gains.items()),
        "silenced: what these branches of the network of all modalities say is replaced by zero, without training it anew; modality "
        f"dropout: branches silenced at random in training, at a rate of {NETWORKS[DROPPED]['modality_dropout']} (not in the paper)",
    ]


def _difference(gain) -> str:
    difference, low, high = gain
    return f"{difference:+.3f}" + ("" if np.isnan(low) else f" [{low:+.3f}, {high:+.3f}]")


def _figure(table):
    """Mean CCC: Table I to the left, the paper's and ours; silenced branches to the right, without and with modality dropout."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    first, parts = table.loc[TRAINED], [table.loc[group] for group in GROUPS]
    printed = first[["paper_mean"]].set_axis(["mean"], axis=1)
    _panel(left, {"paper (Aff-Wild2)": printed, "ours (synthetic videos)": first}, COLORS[:2])
    left.set_title("Mean CCC, by what the network is trained on", fontsize=10, loc="left")
    _panel(right, dict(zip(("trained as in the paper", "with modality dropout"), parts)), COLORS[1:])
    right.set_title("Mean CCC of audio + video, by what is silenced", fontsize=10, loc="left")
    return figure


def _panel(ax, series, colors):
    """Scores of a few tables with the same rows, one below the other, with their intervals where they have some."""
    from abaw_tf.plots.style import INK, PALE, bare

    rows = next(iter(series.values())).index
    y = np.arange(len(rows))[::-1]
    for offset, color, (label, values) in zip((0.14, -0.14), colors, series.items()):
        ax.plot(values["mean"], y + offset, "o", color=color, markersize=6, label=label)
        if "mean_low" in values:
            ax.hlines(y + offset, values["mean_low"], values["mean_high"], color=color, linewidth=1.6, zorder=1)
    ax.hlines(y[:-1] - 0.5, -0.2, 1, color=PALE, linewidth=0.4, zorder=0)
    ax.axvline(0, color=INK, linewidth=0.6, zorder=0)
    ax.set(xlim=(-0.2, 1), ylim=(-0.6, len(rows) - 0.4))
    ax.set_yticks(y, rows, fontsize=9)
    ax.tick_params(axis="y", length=0)
    ax.legend(loc="upper center", bbox_to_anchor=(0.4, -0.08), ncols=2, fontsize=8, frameon=False)
    bare(ax)
