"""Dresvyanskiy et al. (2020) on real material: expressions of acted speech, speakers held out, and clips through the whole chain."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from abaw_tf.evaluation import label_table
from abaw_tf.fusion.dirichlet import LEVELS, DirichletFusion
from abaw_tf.fusion.held_out_estimate import held_out
from abaw_tf.fusion.held_out_result import BEST, EQUAL
from abaw_tf.studies.dresvyanskiy2020_clips import (
    FUSED,
    clip_notes,
    clip_row,
    fuse_clips,
    predict_faces,
    predict_sounds,
    write_clips_and_track,
    write_tables,
)
from abaw_tf.studies.emodb import EQUAL as EQUAL_LOUDNESS
from abaw_tf.studies.emodb import EXPRESSIONS, read_files, write_speech, write_videos
from abaw_tf.studies.emodb_expression import (
    CLASSES,
    CNN_LSTM,
    KELM,
    PANN,
    SVM,
    FileDecisions,
    classes_of,
    hold_out_functionals,
    hold_out_networks,
    most_frequent,
)
from abaw_tf.studies.held_out_rows import chosen_inside, held_out_decisions
from abaw_tf.studies.result import StudyResult
from abaw_tf.studies.scoring import gain

SPEECH, CLIPS = "Emo-DB", "clips"
"""Groups of rows."""

MAJORITY = "most frequent class"
SINGLE = (CNN_LSTM, PANN, KELM, SVM)
SWF, MCWF = LEVELS.values()
ROWS = (MAJORITY, *SINGLE, BEST, EQUAL, SWF, MCWF)
METRIC = "macro_f1"
"""What the weights are searched for and gains are measured in."""

COLUMNS = ["scored", "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "macro_f1_low", "macro_f1_high", "p"]
COLUMNS += ["gain", "gain_low", "gain_high"]


def run(realdata, draws=None, work=None, bootstrap=1000, seed=0) -> StudyResult:
    """Tell six expressions of speakers held out by four methods and their fusions; predict clips by their sound and their faces.

    Parameters
    ----------
    realdata : path-like
        Folder that holds ``audio_emodb2s``, ``audio_emodb16k``, ``models``, ``video_grid``, ``video_pyfeat``, ``pose_tfjs`` and
        ``frame_preds_pyfeat_news``.
    draws : int, optional
        Draws of each search. Default: 1,000 for SWF and 10,000 for MCWF, as in the paper's code.
    work : path-like, optional
        Folder for data and runs, from which an interrupted study goes on. The clips' prediction tables (``predictions``) and the
        submission files of the fused one (``submission``) are written there. Default: a temporary one.
    bootstrap : int
        Resamples of speakers or clips for the intervals, 0 for none.
    seed : int
        Of the networks, the draws and the resamples.

    Returns
    -------
    StudyResult
        Table: by material and method, accuracy and macro F1; of the speech also p against chance, and of its fusions the gain in macro F1
        over the single method that is best on the other folds.
    """
    if work is None:
        with tempfile.TemporaryDirectory() as folder:
            return run(realdata, draws, folder, bootstrap, seed)
    work, files = Path(work), read_files(realdata, EXPRESSIONS)
    judged = files[~files["original"]].reset_index(drop=True)
    speech = write_speech(realdata, work / "speech", files=judged, versions=(EQUAL_LOUDNESS,))
    said, runs = hold_out_networks(speech.files, write_videos(speech), work / "speech" / "runs", seed)
    said |= hold_out_functionals(speech)
    decided, found = decide(said, speech.files, draws, bootstrap, seed)
    scores = FileDecisions(speech.files, bootstrap, seed)
    rows = {(SPEECH, method): row for method, row in speech_rows(decided, scores).items()}

    dataset, faces = write_clips_and_track(realdata, work)
    tables = predict_faces(dataset, faces, work / "runs" / f"seed{seed}", seed)
    heard, silent = predict_sounds(dataset, runs, work / "sound")
    tables |= heard
    tables[FUSED] = fuse_clips(tables, silent)
    write_tables(tables, work)
    truth = label_table(dataset, task="expression")
    rows |= {(CLIPS, method): clip_row(table, truth, bootstrap, seed) for method, table in tables.items()}
    table = pd.DataFrame.from_dict(rows, orient="index").reindex(columns=COLUMNS).rename_axis(["material", "method"])
    notes = [
        *_notes_on_speech(speech.files, decided, scores, found),
        *clip_notes(dataset, tables, truth, silent, bootstrap),
    ]
    title = "Dresvyanskiy et al. 2020 on real speech and real clips, speakers and people held out"
    return StudyResult("dresvyanskiy2020_real", title, table, notes, _figure(table, scores.confusions(decided[EQUAL])))


def decide(said, files, draws=None, bootstrap=1000, seed=0):
    """Class of every file by every row of the table, and the held-out estimate of what the fusions gain.

    Parameters
    ----------
    said : dict of str to array, shape (n_files, 6)
        Probabilities by `SINGLE` method, each file's by a training without its speaker.
    files : pandas.DataFrame
        As of `abaw_tf.studies.emodb.Speech`.
    draws, bootstrap, seed
        As in `run`.

    Returns
    -------
    decided : dict of str to array, shape (n_files,)
        By `ROWS`.
    found : abaw_tf.fusion.held_out_result.HeldOut
        Weights from the speakers of the other folds.
    """
    y, speakers = classes_of(files), files["speaker"].to_numpy(str)
    stacked = np.stack([said[name] for name in SINGLE])
    fusions = {name: DirichletFusion(level, draws, metric=METRIC, seed=seed) for level, name in LEVELS.items()}
    options = {"bootstrap": bootstrap, "seed": seed, "folds": files["fold"].to_numpy(), "unit": "speakers"}
    found = held_out(stacked, y, speakers, fusions, names=SINGLE, **options)
    decided = {MAJORITY: most_frequent(files)} | dict(zip(SINGLE, stacked.argmax(axis=2)))
    decided |= {BEST: chosen_inside(found, stacked, speakers), EQUAL: stacked.mean(axis=0).argmax(axis=1)}
    for name, fusion in fusions.items():
        decided[name] = held_out_decisions(found, name, fusion, stacked, y, speakers)
    return decided, found


def speech_rows(decided, scores) -> dict:
    """Entries of the table for the speech, by method."""
    rows = {method: scores.row(classes) for method, classes in decided.items()}
    baseline = scores.confusions(decided[BEST])
    for method in (EQUAL, SWF, MCWF):
        rows[method] |= gain(scores.confusions(decided[method]), baseline, METRIC, scores.bootstrap, scores.seed)
    return rows


def _notes_on_speech(files, decided, scores, found) -> list:
    macro_f1 = found.table["held_out_score"]
    best = macro_f1[list(SINGLE)].idxmax()
    others = [name for name in SINGLE if name != best]
    confusions = {name: scores.confusions(decided[name]) for name in SINGLE}
    gaps = {
        name: gain(confusions[best], confusions[name], METRIC, scores.bootstrap, scores.seed).values()
        for name in others
    }
    told = "; ".join(f"{name} {_span(*gap)}" for name, gap in gaps.items())
    return [
        f"Emo-DB: {len(files)} files of {files['speaker'].nunique()} actors, cut to 2 s at most, at equal loudness; ten files each of "
        "neutral, anger, disgust, fear, happiness, sadness, so that accuracy is the mean recall too, and chance is 1/6; boredom is left "
        "out, nobody is surprised: macro F1 is that of six classes",
        f"{files['fold'].nunique()} folds, no speaker in two; the networks' epoch is chosen on a further fold than the one that is "
        "predicted; one prediction per file, the mean over it",
        "intervals over speakers; p: share of permutations of each speaker's labels that as many decisions hit (of 10,000)",
        f"{MAJORITY}: of the other folds, which have fewer of the classes that this one has more of",
        f"gain: macro F1 above that of the single method that is best on the other folds ({', '.join(dict.fromkeys(found.chosen))}); "
        "weights from the other folds, too, though the methods that they weigh have been trained on files of this one",
        f"best single method: {best}; its macro F1 above that of: {told}",
        *found.verdict.split("\n"),
    ]


def _span(value, low, high) -> str:
    return f"{value:+.2f}" + ("" if np.isnan(low) else f" [{low:+.2f}, {high:+.2f}]")


def _figure(table, confusions):
    """Held-out scores of the speech with intervals to the left, the confusion matrix of equal weights to the right."""
    from matplotlib.figure import Figure

    from abaw_tf.plots.distributions import plot_confusion
    from abaw_tf.plots.style import PALE, bare

    figure = Figure(figsize=(12.5, 5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    rows, y = table.loc[SPEECH], np.arange(len(ROWS))[::-1]
    for name, color, shift in (("accuracy", "#0072b2", 0.13), ("macro_f1", "#d55e00", -0.13)):
        left.hlines(y + shift, rows[f"{name}_low"], rows[f"{name}_high"], color=color, linewidth=1.6)
        left.plot(rows[name], y + shift, "o", color=color, markersize=5.5, label=name.replace("_f1", " F1"))
    left.axvline(1 / len(CLASSES), color=PALE, linewidth=0.9, linestyle=":", zorder=0)
    left.hlines([y[0] - 0.5, y[len(SINGLE)] - 0.5], 0, 1, color=PALE, linewidth=0.5, zorder=0)
    left.set(xlim=(0, 1), ylim=(-0.6, len(ROWS) - 0.4), xlabel="share (dotted: chance)")
    left.set_yticks(y, rows.index, fontsize=9)
    left.tick_params(axis="y", length=0)
    left.legend(loc="lower right", fontsize=8, frameon=False)
    left.set_title("Emo-DB, speakers not heard before; 95 % intervals", fontsize=10, loc="left")
    bare(left)
    plot_confusion(confusions.sum(axis=0), CLASSES, right, "Equal weights of the four: files, share of the true class")
    right.set_ylabel("true (files)")
    return figure
