"""Cross-validation folds that never put one person, or one video, on both sides."""

import csv

import numpy as np
import pandas as pd

from abaw_tf.files import replacing

SUBJECT_SUFFIXES = ("_left", "_right")
FOLD_COLUMNS = ("trial", "video", "n_frames", "fold")


def video_of(trial):
    """Name of the video that a trial is cut from.

    Only ``_left`` and ``_right`` mark one of two people in a video; other endings (``video45_1``) belong to the video's name.

    Parameters
    ----------
    trial : str
        Trial name.

    Returns
    -------
    str
        The name without a final ``_left`` or ``_right``.
    """
    for suffix in SUBJECT_SUFFIXES:
        if trial.endswith(suffix) and len(trial) > len(suffix):
            return trial[: -len(suffix)]
    return trial


def subject_of(trial):
    """Which person of a two-person video a trial is: ``"left"``, ``"right"``, or ``""`` for the only (or first) one."""
    return trial[len(video_of(trial)) + 1 :]


def make_folds(trials, n_folds=6, seed=None, official=False):
    """Deal trials out to folds of about equal numbers of frames, both people of a video always into the same fold.

    Videos are dealt out from the longest to the shortest, each to the fold that has the fewest frames so far; so the folds differ by
    no more than the longest video. The same trials give the same folds whatever their order in the table.

    Parameters
    ----------
    trials : pandas.DataFrame
        Columns ``trial`` and ``n_frames`` (as from ``AffWild2.trials``), and ``split`` where `official` is set.
    n_folds : int
        Number of folds. Zhang et al. (2022) use six: the official validation set and five parts of the training set.
    seed : int, optional
        Ties between equally long videos, and the order of the folds, are then drawn by this seed instead of by name.
    official : bool
        Keep the official validation set as fold 0 and deal the training set out to folds 1, 2, …; trials of other splits are left
        out, and so is a training trial whose video has a validation trial (it would put that video on both sides).

    Returns
    -------
    pandas.DataFrame
        Columns ``trial``, ``video``, ``n_frames``, ``fold`` (0 … n_folds - 1), sorted by trial.

    Raises
    ------
    ValueError
        Fewer videos than folds, repeated trials, columns missing, or no official validation trial.
    """
    needed = ["trial", "n_frames"] + (["split"] if official else [])
    absent = [name for name in needed if name not in trials.columns]
    if absent:
        raise ValueError(f"trials needs the columns {needed}. Received: {list(trials.columns)}")
    if n_folds < 2:
        raise ValueError(f"n_folds must be at least 2. Received: n_folds={n_folds}")
    table = trials[needed].sort_values("trial").reset_index(drop=True)
    repeated = table["trial"][table["trial"].duplicated()].tolist()
    if repeated:
        raise ValueError(f"each trial must occur once. Received: {repeated[0]!r} more than once")
    table["video"] = [video_of(trial) for trial in table["trial"]]
    if official:
        held_out = set(table.loc[table["split"] == "validation", "video"])
        if not held_out:
            raise ValueError("official=True needs trials of the validation split; pass a table that has them")
        keep = (table["split"] == "validation") | ((table["split"] == "train") & ~table["video"].isin(held_out))
        table = table[keep].reset_index(drop=True)
        dealt = table[table["split"] == "train"]
        fold_of = dict.fromkeys(held_out, 0)
        fold_of.update({video: fold + 1 for video, fold in _deal(dealt, n_folds - 1, seed).items()})
    else:
        fold_of = _deal(table, n_folds, seed)
    table["fold"] = np.array([fold_of[video] for video in table["video"]], dtype=np.int64)
    return table[list(FOLD_COLUMNS)]


def _deal(table, n_folds, seed):
    frames = table.groupby("video")["n_frames"].sum().sort_index()
    if len(frames) < n_folds:
        raise ValueError(
            f"{n_folds} folds need at least as many videos; use fewer folds. Received: {len(frames)} videos "
            f"(of {len(table)} trials)"
        )
    videos = frames.index.to_numpy(dtype=object)
    if seed is not None:
        videos = np.random.default_rng(seed).permutation(videos)
    fold_of, loads, sizes = {}, np.zeros(n_folds, np.int64), np.zeros(n_folds, np.int64)
    for video in sorted(videos, key=lambda name: -frames[name]):  # sorted is stable: ties keep their (drawn) order
        # The number of videos breaks ties, so that videos of unknown length (0 frames) spread as well.
        fold = int(np.lexsort((np.arange(n_folds), sizes, loads))[0])
        fold_of[video] = fold
        loads[fold] += frames[video]
        sizes[fold] += 1
    if seed is not None:
        renumbered = np.random.default_rng([seed, 1]).permutation(n_folds)
        fold_of = {video: int(renumbered[fold]) for video, fold in fold_of.items()}
    return fold_of


def write_folds(folds, path):
    """Write a table of folds as CSV (columns ``trial, video, n_frames, fold``), replacing the file as a whole."""
    with replacing(path) as temporary:
        folds[list(FOLD_COLUMNS)].to_csv(temporary, index=False)


def read_folds(path):
    """Read a table of folds that `write_folds` wrote, or that was made by hand.

    Parameters
    ----------
    path : path-like
        CSV file with the columns ``trial``, ``video``, ``n_frames`` and ``fold``.

    Returns
    -------
    pandas.DataFrame
        As from `make_folds`.

    Raises
    ------
    ValueError
        Wrong columns, a number that is none, a repeated trial, or a video in two folds; the message names the line.
    """
    rows, fold_of = {}, {}
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        if tuple(header) != FOLD_COLUMNS:
            raise ValueError(f"{path}, line 1: the header must be {','.join(FOLD_COLUMNS)}. Received: {header}")
        for row in reader:
            line = reader.line_num
            if not row:
                continue
            try:
                trial, video, n_frames, fold = row
                n_frames, fold = int(n_frames), int(fold)
            except ValueError as error:
                raise ValueError(
                    f"{path}, line {line}: a row must be trial,video,n_frames,fold with whole numbers. Received: {row}"
                ) from error
            if fold < 0 or n_frames < 0:
                raise ValueError(f"{path}, line {line}: fold and n_frames must not be negative. Received: {row}")
            if trial in rows:
                raise ValueError(
                    f"{path}, line {line}: the trial occurs twice; delete one of its rows. Received: {row}"
                )
            # By the name, not by the column: a wrong column must not hide that two people of a video are separated.
            if fold_of.setdefault(video_of(trial), fold) != fold:
                raise ValueError(
                    f"{path}, line {line}: another trial of this video is in fold {fold_of[video_of(trial)]}; "
                    f"keep all trials of a video in one fold. Received: {row}"
                )
            rows[trial] = (trial, video, n_frames, fold)
    table = pd.DataFrame([rows[trial] for trial in sorted(rows)], columns=list(FOLD_COLUMNS))
    return table.astype({"n_frames": np.int64, "fold": np.int64})
