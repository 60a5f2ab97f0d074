"""The GRU fusion network of Rasipuram et al. (2020) on real material: arousal of emotional speech, and clips with face and sound."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from abaw_tf import predictions, training
from abaw_tf.evaluation import compare, evaluate, label_table
from abaw_tf.evaluation.label_tables import labelled
from abaw_tf.evaluation.statistics import interval
from abaw_tf.features.measurements import extract_measurements
from abaw_tf.media.audio import read_sound
from abaw_tf.studies.do2020_real import FOLDS, GROUPS, MAN, SHOWN
from abaw_tf.studies.emodb import AROUSED, EQUAL, RECORDED, STEP, write_speech
from abaw_tf.studies.emodb_arousal import LOGISTIC, NETWORK, FileScores, hold_out_baselines, hold_out_network
from abaw_tf.studies.real_clips import FACE_AND_SOUND, ProbabilitiesToVA, write_clips, write_tracks
from abaw_tf.studies.result import StudyResult
from abaw_tf.training.recipe import Recipe
from abaw_tf.training.silencing import SilencedRun

SPEECH = {RECORDED: "Emo-DB", EQUAL: "Emo-DB, equal loudness"}
CLIPS = "clips"
"""Groups of rows; of the speech by what was done to its loudness."""

CONSTANT, SOUND, FACE, BOTH, DEAF = "constant", "sound", "face", "sound + face", "sound + face, sound silenced"
NETWORKS = {SOUND: ("audio",), FACE: ("expnet",), BOTH: ("audio", "expnet")}
"""Branches by row of the table. In place of ExpNet's features stand those of mini-XCEPTION."""

N_FEATURES = 128
TRAINING = {"batch_size": 4, "epochs": 12, "patience": 6}
"""On the clips. With the recipe's batches of 16 sequences an epoch would have four steps, too few for the batch normalisation."""


def run(realdata, work=None, bootstrap=1000, seed=0) -> StudyResult:
    """Tell aroused from calm speech of speakers held out; train on clips, by sound, face and both, and predict other people's.

    Parameters
    ----------
    realdata : path-like
        Folder that holds ``audio_emodb2s``, ``audio_emodb16k``, ``models``, ``video_grid``, ``video_pyfeat``, ``pose_tfjs`` and
        ``frame_preds_pyfeat_news``.
    work : path-like, optional
        Folder for crops, tracks and runs, from which an interrupted study goes on; the prediction table of the clips is written there
        (``predictions.parquet``). Default: a temporary one.
    bootstrap : int
        Resamples of speakers or clips for the intervals, 0 for none.
    seed : int
        Of the networks and the resamples.

    Returns
    -------
    StudyResult
        Table: by material and method, how well the arousal of the speech's files is told (area under the ROC curve, accuracy, CCC), and
        the CCC of the clips' frames with a teacher's values (see `abaw_tf.studies.real_clips`).
    """
    if work is None:
        with tempfile.TemporaryDirectory() as folder:
            return run(realdata, folder, bootstrap, seed)
    work = Path(work)
    speech = write_speech(realdata, work / "speech")
    said = {
        version: hold_out_all(speech, version, work / "speech" / "runs" / f"seed{seed}", seed) for version in SPEECH
    }
    scores = FileScores(speech.files, bootstrap, seed)
    rows = {
        (SPEECH[version], method): scores.row(**values)
        for version, methods in said.items()
        for method, values in methods.items()
    }

    dataset, tracks = write_clips_and_tracks(realdata, work)
    tables = hold_out_clips(dataset, tracks, work / "runs" / f"seed{seed}", seed)
    truth = label_table(dataset, task="valence_arousal")
    for method, table in tables.items():
        rows[CLIPS, method] = clip_row(table, truth, bootstrap, seed)
    predictions.write(tables[BOTH], work / "predictions.parquet")
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis(["material", "method"])
    notes = [*_notes_on_speech(speech, said, scores), *_notes_on_clips(dataset, tables, truth, bootstrap, seed)]
    title = "The GRU fusion network on real speech and real faces, speakers and people held out"
    return StudyResult("rasipuram2020_real", title, table, notes, _figure(speech.files, said, tables, truth))


def hold_out_all(speech, version, folder, seed=0) -> dict:
    """What each method says of every file of speech, by method: ``arousal``, and ``valence`` of the network."""
    said = hold_out_network(speech, version, folder, seed)
    network = {name: said[name].to_numpy() for name in ("arousal", "valence")}
    return {NETWORK: network} | {
        method: {"arousal": arousal} for method, arousal in hold_out_baselines(speech, version).items()
    }


def write_clips_and_tracks(realdata, work):
    """The clips as a dataset, and the stores ``audio`` and ``expnet`` of their sound and faces."""
    dataset = write_clips(
        realdata, work / "clips", ProbabilitiesToVA.fit(realdata), unlabelled=FACE_AND_SOUND, validation=FOLDS[0]
    )
    faces = write_tracks(realdata, dataset, work / "tracks")["features"]
    return dataset, {
        "audio": extract_measurements("frame_audio", dataset, work / "tracks", progress=False).folder,
        "expnet": faces,
    }


def hold_out_clips(dataset, stores, folder, seed=0, folds=FOLDS, **changes) -> dict:
    """Prediction tables of all clips by method, each by the run that has not seen its people.

    Folds as in the study ``do2020_real``: one is not looked at, a further one chooses the epoch. The clips without labels show the man, or
    nobody else that is known: they are predicted by the runs that have not seen him. `changes` are fields of the recipe.
    """
    truth = label_table(dataset, task="valence_arousal")
    parts = {method: [] for method in (CONSTANT, *NETWORKS, DEAF)}
    for number, trials in enumerate(folds):
        own = [*trials, *(dataset.trials("test")["trial"] if MAN in trials else [])]
        seen = pd.DataFrame([(trial, k) for k, others in enumerate(folds) if k != number for trial in others])
        seen.columns = ["trial", "fold"]
        chooses = number % (len(folds) - 1) + 1
        means = truth[truth["trial"].isin(seen["trial"])][["valence", "arousal"]].mean()
        for method, modalities in NETWORKS.items():
            fields = {"modalities": modalities, "dimensions": {"expnet": N_FEATURES}, **TRAINING, **changes}
            recipe = Recipe.from_preset("gru_fusion", "small", seed=seed, **fields)
            where = folder / f"{'_'.join(modalities)}_{number}"
            trained = training.train(recipe, dataset, where, folds=seen, fold=chooses, stores=stores, progress=False)
            parts[method].append(_of(training.predict(trained, dataset, None, stores, progress=False), own))
        deaf = training.predict(SilencedRun(where, ("audio",)), dataset, None, stores, progress=False)
        parts[DEAF].append(_of(deaf, own))
        always = parts[BOTH][-1].assign(**means)
        parts[CONSTANT].append(always)
    return {method: predictions.validate(predictions.concatenate(tables)) for method, tables in parts.items()}


def clip_row(table, truth, bootstrap, seed) -> dict:
    """Entries of the study's table for one prediction table of the clips."""
    found = evaluate(table, truth, bootstrap=bootstrap, seed=seed)
    row = {"scored": f"{int(labelled(truth, 'valence_arousal').sum()):,} frames"}
    for name in ("ccc_valence", "ccc_arousal"):
        row[name] = found.scores[name]
        row |= dict(zip((f"{name}_low", f"{name}_high"), found.intervals.get(name, (np.nan, np.nan))))
    return row


def _of(table, trials):
    part = table[table["trial"].isin(list(trials))].reset_index(drop=True)
    part.attrs = table.attrs
    return part


def _span(value, low, high, digits=2) -> str:
    return f"{value:+.{digits}f}" + ("" if np.isnan(low) else f" [{low:+.{digits}f}, {high:+.{digits}f}]")


def _notes_on_speech(speech, said, scores) -> list:
    files, recorded = speech.files, said[RECORDED]
    judged, original = files[~files["original"]], files["original"].to_numpy()
    network, aroused = recorded[NETWORK], files["emotion"].map(AROUSED).to_numpy(bool)
    level = judged.groupby(judged["emotion"].map(AROUSED))["loudness"].mean()
    right = int(np.sum((network["arousal"] > 0)[original] == aroused[original]))
    happy = (judged["emotion"] == "happiness").to_numpy()
    alike = aroused[scores.rows]
    valence = network["valence"][scores.rows][alike]
    pleasant = np.mean(valence[happy[alike]][:, None] > valence[~happy[alike]])
    notes = [
        f"Emo-DB: {len(judged)} files of {judged['speaker'].nunique()} actors, cut to 2 s at most; anger, happiness, fear against neutral, "
        "boredom, sadness; disgust is left out. Nobody has rated their arousal: it is what the acted emotion lets expect, +0.7 or -0.7",
        f"{speech.files['fold'].nunique()} folds, no speaker in two; the epoch is chosen on a further fold than the one that is predicted",
        "the network's arousal of a file: mean over its frames",
        "auc, ccc: intervals over speakers; accuracy: sign of the arousal, exact binomial interval over files; p: share of permutations of "
        "each speaker's labels that fit the predictions as well (of 10,000)",
        f"{LOGISTIC}: mean and standard deviation of the network's 168 features over a file; of the MFCCs: of these 40 alone",
        f"the recordings are not as loud as they were spoken: the aroused files have {level[True]:.1f} dB of full scale, the calm ones "
        f"{level[False]:.1f}",
        f"valence, of which sound tells little: happiness above anger and fear, all aroused, in {pleasant:.0%} of the pairs",
        f"original files (16 kHz, speaker 03, not trained on): arousal of {right} of {int(original.sum())} has the right sign",
    ]
    if scores.bootstrap:
        low, high = interval(scores.auc_samples(network["arousal"], "files"))
        notes.append(f"auc of the network as recorded, interval over files: {low:.3f} … {high:.3f}")
        for version, methods in said.items():
            ours = methods[NETWORK]["arousal"]
            others = {name: values["arousal"] for name, values in methods.items() if name != NETWORK}
            gaps = {
                name: (scores.auc(ours) - scores.auc(x), *interval(scores.auc_samples(ours) - scores.auc_samples(x)))
                for name, x in others.items()
            }
            told = "; ".join(f"{name} {_span(*gap)}" for name, gap in gaps.items())
            notes.append(f"{SPEECH[version]}, auc of the network above that of: {told}")
    return notes


def _notes_on_clips(dataset, tables, truth, bootstrap, seed) -> list:
    known = truth[labelled(truth, "valence_arousal")]
    findings, ends = {}, []
    for trial in dataset.trials()["trial"]:
        sound, times = read_sound(dataset.video_path(trial), 22050), dataset.times(trial)
        end = times[-1] + np.diff(times).mean()
        for finding in sound.findings(end):
            findings.setdefault(finding, []).append(trial)
        if dataset.video_path(trial).suffix == ".mpg":
            ends.append(end - sound.spans[-1][1])
    heard = "; ".join(f"{', '.join(trials)}: {finding}" for finding, trials in findings.items())
    unlabelled = int(tables[BOTH]["trial"].isin(dataset.trials("test")["trial"]).sum())
    return [
        f"clips: {len(known):,} frames with a face of {known['trial'].nunique()} clips, 9 people, against a teacher's values (study "
        "do2020_real); nobody has labelled them, and the teacher has heard nothing: it tells what the face shows",
        f"features of the face: {N_FEATURES} of mini-XCEPTION's in place of ExpNet's 2,048; no OpenFace output of these clips",
        f"sound: {heard}; that of the {len(ends)} sentences ends {1000 * min(ends):.0f} to {1000 * max(ends):.0f} ms before the picture",
        f"the prediction table has all {len(tables[BOTH]):,} frames, {unlabelled} of them of clips without labels",
        _gains(tables, truth, bootstrap, seed),
    ]


def _gains(tables, truth, bootstrap, seed) -> str:
    told = []
    for method in (SOUND, FACE, DEAF):
        gain = compare(tables[method], tables[BOTH], truth, bootstrap=bootstrap, seed=seed).table
        told.append(f"{method} {_span(*gain.loc['valence_arousal_score', ['difference', 'low', 'high']])}")
    return f"clips, mean CCC of {BOTH} above that of: " + "; ".join(told)


def _figure(files, said, tables, truth):
    """Left: arousal of every file of speech by emotion. Right: a clip without sound, and sentences one after another."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5.4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.3))
    _strips(left.subplots(), files, said[RECORDED][NETWORK]["arousal"])
    axes = right.subplots(2, 1)
    colors = dict(zip((SOUND, FACE, BOTH), ("#009e73", "#0072b2", "#d55e00")))
    _traces(axes[0], "valence", [SHOWN], tables, truth, colors)
    _traces(axes[1], "arousal", GROUPS["speakers of a sentence"], tables, truth, colors)
    axes[0].set_title("Valence in a silent clip: weeping, from 9.5 s on laughing", fontsize=10, loc="left")
    axes[1].set_title("Arousal in eight sentences, one after another", fontsize=10, loc="left")
    axes[1].set_xlabel("seconds")
    right.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def _strips(ax, files, arousal):
    from abaw_tf.plots.style import INK, PALE, bare

    for level, style in ((0, "-"), (STEP, ":"), (-STEP, ":")):
        ax.axhline(level, color=PALE, linewidth=0.8, linestyle=style, zorder=0)
    for x, (emotion, aroused) in enumerate(AROUSED.items()):
        color, own = "#d55e00" if aroused else "#0072b2", (files["emotion"] == emotion).to_numpy()
        judged = np.flatnonzero(own & ~files["original"])
        # Side by side in the order of the files, which is that of the speakers.
        ax.plot(x + np.linspace(-0.25, 0.25, len(judged)), arousal[judged], "o", color=color, markersize=5, alpha=0.8)
        ax.hlines(arousal[judged].mean(), x - 0.36, x + 0.36, color=INK, linewidth=1.4)
    ax.set_xticks(range(len(AROUSED)), list(AROUSED), fontsize=9)
    ax.axvline(2.5, color=PALE, linewidth=0.8, linestyle=":")
    ax.set(ylim=(-1, 1), ylabel="predicted arousal, mean over the file")
    ax.set_title("Emo-DB, speakers not heard before; bars: means, dotted: labels", fontsize=10, loc="left")
    bare(ax)


def _traces(ax, name, trials, tables, truth, colors):
    from abaw_tf.plots.style import PALE, TRUTH_COLOR, bare

    ax.axhline(0, color=PALE, linewidth=0.8, zorder=0)
    start = 0.0
    for trial in trials:
        part = {method: _of(tables[method], [trial]) for method in colors}
        time = part[BOTH]["time"].to_numpy()
        known = _of(truth, [trial])[name].to_numpy()
        lines = [(known, TRUTH_COLOR, "teacher", 2.0)]
        lines += [(part[method][name].to_numpy(), color, method, 1.2) for method, color in colors.items()]
        for values, color, label, width in lines:
            ax.plot(start + time, values, color=color, linewidth=width, label=label if not start else None)
        start += time[-1] + time[1]
        if trial != trials[-1]:
            ax.axvline(start, color=PALE, linewidth=0.6, linestyle=":")
    ax.set(xlim=(0, start), ylim=(-1, 1), ylabel=name)
    bare(ax)
