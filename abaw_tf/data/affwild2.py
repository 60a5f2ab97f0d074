"""Aff-Wild2 on disk as tables, indexed by frame number.

Frame *i* (0-based) of a trial is label row *i* and image ``{i + 1:05d}.jpg``. Nothing is ever matched by its position in a list: a
frame without a detected face is a missing file, not a shift of those that follow.
"""

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from abaw_tf import labels
from abaw_tf.data import annotations
from abaw_tf.data.crops import CropFolder
from abaw_tf.data.folds import video_of
from abaw_tf.data.layout import KINDS, check_edition, find_layout
from abaw_tf.data.trial_index import trial_index


class _Probe(NamedTuple):
    fps: float
    n_frames: int


class AffWild2:
    """A copy of Aff-Wild2, or of anything laid out like it.

    Parameters
    ----------
    root : path-like
        Folder that holds annotations, videos and crops; how they are nested is found out (see ``abaw_tf.data.layout``). A tree
        without annotations (one's own videos) opens too; all its trials belong to the test split.
    edition : str or Edition
        ``"abaw1"`` (2020), ``"abaw2"`` (2021) or ``"abaw3"`` (2022).
    fps : float, optional
        Frame rate to assume for trials that have no readable video.

    Attributes
    ----------
    root : Path
    edition : Edition
    layout : Layout
        Where everything was found, and what was found twice.
    index : pandas.DataFrame
        The columns of `trials` that need no file to be opened (all but ``fps`` and ``n_frames``).

    Raises
    ------
    FileNotFoundError
        `root` does not exist, or nothing in it belongs to the dataset.
    ValueError
        The annotations are those of another edition, or a label file's header is wrong.
    """

    def __init__(self, root, edition="abaw2", fps=None):
        self.edition = labels.edition(edition)
        self.layout = find_layout(root, self.edition)
        self.root, self.fps = self.layout.root, fps
        check_edition(self.layout, self.edition)
        self.index = trial_index(self.layout)
        self._row_of = {row.trial: row for row in self.index.itertuples(index=False)}
        self._task_of = {path: task for task in labels.TASKS for path in self.index[f"{task}_path"] if path}
        self._crops, self._label_files, self._rows, self._probes, self._trials = {}, {}, {}, {}, None

    def __repr__(self):
        return f"AffWild2({str(self.root)!r}, edition={self.edition.name!r}): {len(self.index)} trials"

    def trials(self, split=None, task=None):
        """Table of trials.

        Parameters
        ----------
        split : {"train", "validation", "test"}, optional
            Only trials of this split.
        task : {"expression", "valence_arousal"}, optional
            Only trials that belong to this task, and ``split`` is the split in this task. Without it, ``split`` is the most
            held-out of the two (test before validation before train).

        Returns
        -------
        pandas.DataFrame
            Sorted by trial: ``trial, video, subject ("", "left", "right"), split, split_expression, split_valence_arousal, fps,
            n_frames, video_path, cropped_dir, aligned_dir, expression_path, valence_arousal_path``; paths are str or None,
            ``fps`` is NaN where there is no readable video (and no `fps` was given). The first call opens every video's header.

        Raises
        ------
        ValueError
            Unknown split or task, or a split without trials.
        """
        if self._trials is None:
            videos = {path for path in self.index["video_path"] if path}
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(self._probe, sorted(videos)))
            table = self.index.copy()
            names = table["trial"]
            table.insert(6, "fps", np.array([self._rate(trial) for trial in names], np.float64))
            table.insert(7, "n_frames", np.array([self.n_frames(trial) for trial in names], np.int64))
            self._trials = table
        return self._select(self._trials, split, task)

    def labels(self, trial):
        """Labels of every frame of a trial.

        Parameters
        ----------
        trial : str
            Trial name.

        Returns
        -------
        pandas.DataFrame
            Index ``frame`` (0 … n_frames - 1); ``expression`` (int64, -1 missing), ``valence``, ``arousal`` (float32, NaN missing).

        Raises
        ------
        ValueError
            Unknown trial, or a malformed label file (file, line and remedy are named).
        """
        expression, valence_arousal = self._arrays(trial)
        table = pd.DataFrame(
            {"expression": expression, "valence": valence_arousal[:, 0], "arousal": valence_arousal[:, 1]}
        )
        table.index.name = "frame"
        return table

    def n_frames(self, trial):
        """Number of frames of a trial.

        Of a labelled trial: its label rows (the longer file where it has two). Of any other: the larger of the video's frame count
        and the last crop's number, since crops and headers are known to disagree by one or two.
        """
        row = self._row(trial)
        counts = [self._label_rows(path) for path in (row.expression_path, row.valence_arousal_path) if path]
        if counts:
            return max(counts)
        video_frames = 0
        if row.video_path:
            info = self._probe(row.video_path)
            video_frames = info.n_frames if info else 0
        return max([video_frames, *(self._crop_folder(trial, kind).last + 1 for kind in KINDS)])

    def times(self, trial):
        """Time of each frame in seconds, from the video's own timestamps (variable frame rates are kept).

        Beyond the frames that decode, times go on at the frame rate; without a readable video they are frame / fps.

        Returns
        -------
        numpy.ndarray of float64, shape (n_frames,)

        Raises
        ------
        FileNotFoundError
            The trial has no readable video and the dataset was opened without `fps`.
        """
        row, n_frames = self._row(trial), self.n_frames(trial)
        rate = self._rate(trial)
        if not np.isfinite(rate):
            raise FileNotFoundError(
                f"{row.video_path or f'{self.root}: no video {row.video}.mp4 or .avi'}: no readable video, so the times of trial "
                f'{trial!r} are unknown; add the video, or give the frame rate: AffWild2(root, "{self.edition.name}", fps=30)'
            )
        if not (row.video_path and self._probe(row.video_path)):
            return np.arange(n_frames) / rate
        from abaw_tf.media import video

        times = np.asarray(video.frame_times(row.video_path), np.float64)[:n_frames]
        beyond = np.arange(1, n_frames - len(times) + 1) / rate
        return np.concatenate([times, times[-1] + beyond])

    def image_frames(self, trial, kind="cropped_aligned"):
        """0-based numbers of the frames that have a crop, ascending (int64); `kind` is ``"cropped_aligned"`` or ``"cropped"``."""
        return self._crop_folder(trial, kind).frames

    def image_path(self, trial, frame, kind="cropped_aligned"):
        """Path of a frame's crop, or None where there is none."""
        return self._crop_folder(trial, kind).path(frame)

    def video_path(self, trial):
        """Path of the video of a trial (one video for both people), or None."""
        path = self._row(trial).video_path
        return Path(path) if path else None

    def openface_path(self, trial):
        """Path of ``openface/<trial>.csv``, or None (a video's own file follows one face: it does not stand in for ``_right``)."""
        return self._sidecar(trial, "openface", f"{trial}.csv")

    def openpose_dir(self, trial):
        """Folder of ``NNNNN_keypoints.json`` files of the trial's video, or None."""
        return self._sidecar(trial, "openpose", f"{video_of(trial)}_openpose_body25/json")

    def words_path(self, trial):
        """Path of ``asr/<video>.csv`` (word, start, end, confidence), or None."""
        return self._sidecar(trial, "asr", f"{video_of(trial)}.csv")

    def frame_table(self, split=None, task=None, kind="cropped_aligned"):
        """Every frame of a split in one table.

        Parameters
        ----------
        split, task : str, optional
            As in `trials`. With a split, labels of a task in which the trial belongs to another split are masked, so that a
            task's official sets stay what they are.
        kind : {"cropped_aligned", "cropped"}
            Which crops ``path`` points to.

        Returns
        -------
        pandas.DataFrame
            ``trial, frame, path (str, None without a crop), expression, valence, arousal``; sorted by trial and frame.

        Raises
        ------
        ValueError
            As `trials` and `labels`.
        """
        table = self._select(self.index, split, task)
        counts, paths, expressions, values = [], [], [], []
        for row in table.itertuples():
            expression, valence_arousal = self._arrays(row.trial)
            if split is not None and row.split_expression != split:
                expression = np.full_like(expression, labels.MISSING_EXPRESSION)
            if split is not None and row.split_valence_arousal != split:
                valence_arousal = np.full_like(valence_arousal, np.nan)
            counts.append(len(expression))
            paths.append(self._crop_folder(row.trial, kind).paths(len(expression)))
            expressions.append(expression)
            values.append(valence_arousal)
        values = np.concatenate(values)
        return pd.DataFrame(
            {
                "trial": np.repeat(table["trial"].to_numpy(dtype=object), counts),
                "frame": np.concatenate([np.arange(count, dtype=np.int64) for count in counts]),
                "path": pd.Series(np.concatenate(paths), dtype=object),
                "expression": np.concatenate(expressions),
                "valence": values[:, 0],
                "arousal": values[:, 1],
            }
        )

    def _select(self, table, split, task):
        known = {"split": labels.SPLITS, "task": labels.TASKS}
        for what, value in (("split", split), ("task", task)):
            if value is not None and value not in known[what]:
                raise ValueError(
                    f"{what} must be one of {', '.join(known[what])}.{labels.suggestion(value, known[what])} "
                    f"Received: {what}={value!r}"
                )
        column = f"split_{task}" if task else "split"
        chosen = table[table[column].notna()] if task else table
        if split is not None:
            chosen = chosen[chosen[column] == split]
            if chosen.empty:
                found = table[column].value_counts()
                counts = ", ".join(f"{found.get(name, 0)} {name}" for name in labels.SPLITS)
                raise ValueError(
                    f"{self.root}: no trial in split {split!r}{f' of task {task!r}' if task else ''} (found: {counts}); "
                    f"its label files belong into {self._folder_for(split, task)}"
                )
        chosen = chosen.reset_index(drop=True)
        return chosen.assign(split=chosen[column]) if task else chosen.copy()

    def _folder_for(self, split, task):
        folder = self.edition.task_folders[task or "expression"][0]
        return "/".join((self.edition.annotation_roots[0], folder, self.edition.split_folders[split][0]))

    def _row(self, trial):
        try:
            return self._row_of[trial]
        except (KeyError, TypeError):
            hint = labels.suggestion(trial, list(self._row_of))
            raise ValueError(f"{self.root}: no such trial.{hint} Received: {trial!r}") from None

    def _crop_folder(self, trial, kind):
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}. Received: kind={kind!r}")
        if (trial, kind) not in self._crops:
            row = self._row(trial)
            self._crops[trial, kind] = CropFolder(row.aligned_dir if kind == "cropped_aligned" else row.cropped_dir)
        return self._crops[trial, kind]

    def _label_file(self, path):
        """Content of a label file, read once."""
        if path not in self._label_files:
            task = self._task_of[path]
            read = annotations.read_expression if task == "expression" else annotations.read_valence_arousal
            self._label_files[path] = read(path, self.edition)
        return self._label_files[path]

    def _label_rows(self, path):
        """Number of rows; does not insist that they are right, so that one bad row does not hide the table of trials."""
        if path in self._label_files:
            return len(self._label_files[path])
        if path not in self._rows:
            self._rows[path] = annotations.count_rows(path)
        return self._rows[path]

    def _arrays(self, trial):
        row, n_frames = self._row(trial), self.n_frames(trial)
        expression = np.full(n_frames, labels.MISSING_EXPRESSION, np.int64)
        valence_arousal = np.full((n_frames, 2), np.nan, np.float32)
        for path, target in ((row.expression_path, expression), (row.valence_arousal_path, valence_arousal)):
            if path:
                values = self._label_file(path)
                target[: len(values)] = values
        return expression, valence_arousal

    def _probe(self, path):
        """Frame rate and frame count of a video, or None where it cannot be read (a warning says so once)."""
        if path not in self._probes:
            from abaw_tf.media import video

            try:
                info = video.probe(path)
                count = info.n_frames_header or len(video.frame_times(path))
                self._probes[path] = _Probe(float(info.fps), int(count))
            except (ValueError, OSError) as error:
                warnings.warn(f"{error} (tools/doctor.py examines the whole dataset)", stacklevel=3)
                self._probes[path] = None
        return self._probes[path]

    def _rate(self, trial):
        path = self._row(trial).video_path
        info = self._probe(path) if path else None
        return info.fps if info else (np.nan if self.fps is None else float(self.fps))

    def _sidecar(self, trial, name, relative):
        self._row(trial)
        folder = self.layout.sidecars.get(name)
        path = folder / relative if folder else None
        return path if path and path.exists() else None
