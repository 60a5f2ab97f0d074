"""What is wrong with a copy of Aff-Wild2: an alignment table, findings with their remedies, and label histograms."""

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from abaw_tf import labels
from abaw_tf.data.checks import Finding, check_crops, check_label_file, check_lengths, check_video
from abaw_tf.data.crops import CropFolder
from abaw_tf.data.layout import KINDS

SEVERITIES = ("error", "warning", "note")
IMAGES = ("all", "sample", "none")
BINS = np.linspace(-1, 1, 9)
_LISTED = 5
_ROWS = 80


@dataclass
class Diagnosis:
    """What `examine` found.

    Attributes
    ----------
    root : Path
    edition : Edition
    table : pandas.DataFrame
        One row per trial: ``trial``, ``split``, label rows (``expression_rows``, ``valence_arousal_rows``), ``video_frames``,
        and per kind of crops their number and the number of the last one; ``difference`` is label rows minus video frames.
        Missing where there is no such file, or where it cannot be read.
    findings : list of Finding
        Errors first.
    expression : pandas.DataFrame
        Frames per class, by split, and ``unlabelled``.
    valence_arousal : pandas.DataFrame
        Histogram of valence and arousal, by split: ``labelled`` frames, ``missing`` (%), and the share (%) in each of eight bins.
    """

    root: Path
    edition: labels.Edition
    table: pd.DataFrame
    findings: list = field(default_factory=list)
    expression: pd.DataFrame = field(default_factory=pd.DataFrame)
    valence_arousal: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def has_errors(self):
        """Whether any finding is an error."""
        return any(finding.severity == "error" for finding in self.findings)

    def findings_table(self):
        """The findings as a table: ``severity, trial, path, message, remedy``."""
        return pd.DataFrame(self.findings, columns=list(Finding._fields))

    def format(self, everything=False):
        """The diagnosis as text; long tables and lists are cut unless `everything` is set."""
        parts = [f"{self.root}: {len(self.table)} trials, {self.edition.title}", self._format_table(everything)]
        if len(self.expression):
            parts.append(f"Expression labels (frames)\n{self.expression.to_string()}")
        if len(self.valence_arousal):
            text = self.valence_arousal.T.map(lambda value: f"{value:.1f}".removesuffix(".0")).to_string()
            parts.append(f"Valence and arousal\n{text}")
        parts += [self._format_findings(severity, everything) for severity in SEVERITIES]
        counts = {severity: sum(finding.severity == severity for finding in self.findings) for severity in SEVERITIES}
        parts.append(", ".join(f"{n} {severity}{'' if n == 1 else 's'}" for severity, n in counts.items()))
        return "\n\n".join(part for part in parts if part)

    def _format_table(self, everything):
        table, title = self.table, "Alignment"
        if len(table) > _ROWS and not everything:
            odd = {finding.trial for finding in self.findings if finding.severity != "note"}
            table = table[table["trial"].isin(odd)].head(_ROWS)
            title = f"Alignment ({len(table)} of {len(self.table)} trials: only with errors or warnings)"
        columns = {
            "valence_arousal_rows": "va_rows",
            "cropped_aligned": "aligned",
            "cropped_aligned_last": "aligned_last",
        }
        shown = table.rename(columns=columns).astype(object)
        text = shown.where(table.notna().to_numpy(), "-").to_string(index=False) if len(table) else "nothing to show"
        return f"{title}\n{text}"

    def _format_findings(self, severity, everything):
        groups = defaultdict(list)
        for finding in self.findings:
            if finding.severity == severity:
                groups[finding.remedy].append(finding)
        lines = []
        for remedy, findings in groups.items():
            for finding in findings[: None if everything else _LISTED]:
                where = finding.path or finding.trial
                lines.append(f"{severity.upper():8}{f'{where}: ' if where else ''}{finding.message}")
            if len(findings) > _LISTED and not everything:
                lines.append(f"{'':8}… and {len(findings) - _LISTED} more like these")
            lines.append(f"{'':8}→ {remedy}")
        return "\n".join(lines)


def examine(dataset, images="sample", decode=True, progress=False):
    """Examine a dataset.

    Parameters
    ----------
    dataset : AffWild2
        The dataset; opening it has found its layout already.
    images : {"all", "sample", "none"}
        How many of each trial's crops to decode.
    decode : bool
        Decode every video to count its frames; otherwise trust the headers.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Diagnosis

    Raises
    ------
    ValueError
        Unknown `images`.
    """
    if images not in IMAGES:
        raise ValueError(f"images must be one of {', '.join(IMAGES)}. Received: images={images!r}")
    findings = _check_layout(dataset) + _check_splits(dataset)
    found, rows, videos = defaultdict(list), [], {}
    trials = dataset.index.itertuples(index=False)
    if progress:
        from tqdm.auto import tqdm

        trials = tqdm(trials, total=len(dataset.index), unit="trial", desc="examining")
    for row in trials:
        rows.append(_examine_trial(row, dataset.edition, images, decode, found, videos, findings))
    table = pd.DataFrame(rows)
    table = table.astype({column: "Int64" for column in table.columns if column not in ("trial", "split")})
    expression, valence_arousal = _expression_counts(found, dataset.edition), _valence_arousal_histogram(found)
    findings += _check_classes(expression)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))  # stable: trials stay in order
    return Diagnosis(dataset.root, dataset.edition, table, findings, expression, valence_arousal)


def _examine_trial(row, edition, images, decode, found, videos, findings):
    """Row of the table for one trial; its labels, the length of its video and its findings are added to `found`, `videos`, `findings`."""
    counts, labelled = {}, {}
    for task in labels.TASKS:
        path = getattr(row, f"{task}_path")
        if not path:
            continue
        values, new = check_label_file(row.trial, path, task, edition)
        findings += new
        if values is not None:
            known = np.flatnonzero(values >= 0 if task == "expression" else ~np.isnan(values).any(axis=1))
            counts[task], labelled[task] = len(values), int(known[-1]) + 1 if len(known) else 0
            found[task, getattr(row, f"split_{task}")].append(values)
    if row.video_path and row.video_path not in videos:  # two people of one video share its findings
        videos[row.video_path], new = check_video(row.trial, row.video_path, decode)
        findings += new
    video_frames = videos.get(row.video_path)
    crops = {}
    for kind, path in zip(KINDS, (row.cropped_dir, row.aligned_dir)):
        crops[kind] = CropFolder(path)
        if path:
            findings += check_crops(row.trial, crops[kind], kind, images)
    last = {kind: folder.last + 1 for kind, folder in crops.items()}
    findings += check_lengths(row.trial, counts, video_frames, last, labelled)
    return {
        "trial": row.trial,
        "split": row.split,
        "expression_rows": counts.get("expression"),
        "valence_arousal_rows": counts.get("valence_arousal"),
        "video_frames": video_frames,
        **{kind: len(folder.frames) if folder.folder else None for kind, folder in crops.items()},
        **{f"{kind}_last": folder.last + 1 if folder.folder else None for kind, folder in crops.items()},
        "difference": max(counts.values()) - video_frames if counts and video_frames is not None else None,
    }


def _check_layout(dataset):
    layout, index, findings = dataset.layout, dataset.index, []
    for what, used, other in layout.duplicates:
        message = f"{what} exists twice; {used} is used"
        findings.append(Finding("warning", "", str(other), message, "delete the one that is not wanted"))
    for name, folder in layout.other_annotations.items():
        message = f'annotations of edition "{name}", not read'
        findings.append(Finding("note", "", str(folder), message, "pass that edition to read them"))
    if not layout.has_annotations:
        first = "/".join(
            (dataset.edition.annotation_roots[0], dataset.edition.task_folders["expression"][0], "Train_Set")
        )
        message = "no annotations: every trial belongs to the test split"
        findings.append(
            Finding("warning", "", str(dataset.root), message, f"unpack the annotations, for example into {first}")
        )
    for column, what, remedy in (
        (
            "video_path",
            "video (.mp4 or .avi)",
            "add the videos for frame times, sound and pictures of one's own cropping",
        ),
        ("aligned_dir", "folder in cropped_aligned", "unpack the aligned crops, or make them from the videos"),
    ):
        absent = index.loc[index[column].isna(), "trial"].tolist()
        if len(absent) == len(index):
            findings.append(Finding("note", "", str(dataset.root), f"no trial has a {what}", remedy))
        else:
            findings += [Finding("warning", trial, "", f"no {what}", remedy) for trial in absent]
    return findings


def _check_splits(dataset):
    findings = []
    for task in labels.TASKS:
        files = dataset.layout.label_files[task]
        for trial in sorted(set().union(*files.values())):
            splits = [split for split in labels.SPLITS if trial in files[split]]
            if len(splits) > 1:
                message = f"{task.replace('_', '-')} labels in {' and '.join(splits)}; those in {splits[-1]} are used"
                remedy = "delete the file from the split that it does not belong to: it would be trained and tested on"
                findings.append(Finding("error", trial, str(files[splits[0]][trial]), message, remedy))
    for row in dataset.index.itertuples(index=False):
        pair = (row.split_expression, row.split_valence_arousal)
        if None not in pair and pair[0] != pair[1]:
            message = f"in {pair[0]} for expression, in {pair[1]} for valence-arousal"
            remedy = "models of both tasks take such a trial as held out; single-task models may train on it"
            findings.append(Finding("warning", row.trial, "", message, remedy))
    for task in (None, *labels.TASKS):
        column = f"split_{task}" if task else "split"
        split_of = dataset.index.dropna(subset=[column]).groupby("video")
        for video, group in split_of:
            if group[column].nunique() > 1:
                which = ", ".join(f"{trial} in {split}" for trial, split in zip(group["trial"], group[column]))
                message = f"trials of video {video} are in several splits{f' of {task}' if task else ''}: {which}"
                remedy = "both people share sound and scene; leave one out, or use abaw_tf.data.folds"
                if not any(
                    finding.trial == group["trial"].iloc[0] and finding.remedy == remedy for finding in findings
                ):
                    findings.append(Finding("warning", group["trial"].iloc[0], "", message, remedy))
    return findings


def _expression_counts(found, edition):
    rows = {}
    for split in labels.SPLITS:
        values = found.get(("expression", split))
        if values:
            values = np.concatenate(values)
            counts = [int((values == index).sum()) for index in range(len(edition.classes))]
            rows[split] = [*counts, int((values < 0).sum())]
    return pd.DataFrame.from_dict(rows, orient="index", columns=[*edition.classes, "unlabelled"])


def _valence_arousal_histogram(found):
    rows = {}
    for split in labels.SPLITS:
        parts = found.get(("valence_arousal", split))
        if not parts:
            continue
        values = np.concatenate(parts)
        known = values[~np.isnan(values).any(axis=1)]
        for column, name in enumerate(("valence", "arousal")):
            shares = np.histogram(known[:, column], BINS)[0] / max(len(known), 1) * 100
            rows[split, name] = [len(known), 100 * (1 - len(known) / max(len(values), 1)), *shares]
    columns = ["labelled", "missing %", *(f"{low:+.2f}…{high:+.2f} %" for low, high in pairwise(BINS))]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return table if table.empty else table.set_index(pd.MultiIndex.from_tuples(rows)).astype({"labelled": np.int64})


def _check_classes(expression):
    findings = []
    for split in ("train", "validation"):
        if split in expression.index:
            absent = [name for name, count in expression.loc[split].drop("unlabelled").items() if count == 0]
            if absent:
                remedy = "check that all label files are there; the macro F1 of an absent class counts as 0"
                message = f"no frame of {', '.join(absent)} in {split}"
                findings.append(Finding("warning", "", "", message, remedy))
    return findings
