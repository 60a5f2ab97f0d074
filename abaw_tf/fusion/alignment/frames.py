"""Which row of each prediction table belongs to each frame, by frame number or by time; no loop over frames."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from abaw_tf.predictions import PredictionError


@dataclass(frozen=True)
class Matches:
    """The frames wanted and the rows that belong to them.

    Attributes
    ----------
    trials : tuple of str
        Names of all trials, sorted.
    codes : numpy.ndarray of int64, shape (frames,)
        Trial of each frame: ``trials[codes[i]]``.
    frame, time : numpy.ndarray, shape (frames,)
    rows : numpy.ndarray of int64, shape (models, frames)
        Row of each model's table, -1 where it lacks the frame.
    held : numpy.ndarray of int64, shape (models, frames)
        `rows` with each lacking frame replaced by the model's nearest earlier one of the trial, before its first one by the first; -1
        where the model lacks the whole trial.
    surplus : tuple of tuple of str
        For each model the trials that it has, but that are not wanted.
    furthest : tuple of float
        For each model the largest distance in seconds between a frame and its match; 0 when matched by number.
    """

    trials: tuple
    codes: np.ndarray
    frame: np.ndarray
    time: np.ndarray
    rows: np.ndarray
    held: np.ndarray
    surplus: tuple
    furthest: tuple

    def select(self, keep) -> "Matches":
        """Only the frames where `keep` is True."""
        parts = {name: getattr(self, name)[keep] for name in ("codes", "frame", "time")}
        return replace(self, **parts, rows=self.rows[:, keep], held=self.held[:, keep])


def match_by_frame(tables, reference=None) -> Matches:
    """Match by trial and frame number.

    Parameters
    ----------
    tables : sequence of pandas.DataFrame
        Prediction tables (sorted).
    reference : pandas.DataFrame, optional
        Table whose frames are wanted, sorted by trial and frame. Default: every frame of any table.
    """
    trials, codes = trial_codes([*tables] if reference is None else [*tables, reference])
    keys = [(code << 32) + _frames(table) for code, table in zip(codes, [*tables, reference])]
    if reference is not None:
        wanted = keys.pop()
    elif all(np.array_equal(keys[0], key) for key in keys[1:]):
        wanted = keys[0]
    else:
        wanted = np.unique(np.concatenate(keys))
    rows = np.empty((len(tables), len(wanted)), np.int64)
    held = np.empty_like(rows)
    time = np.full(len(wanted), np.nan) if reference is None else _times(reference).copy()
    for model, (key, table) in enumerate(zip(keys, tables)):
        before = np.searchsorted(key, wanted, side="right") - 1
        rows[model] = np.where((before >= 0) & (key[before] == wanted), before, -1)
        held[model] = _held(before, key >> 32, wanted >> 32)
        unknown = np.isnan(time) & (rows[model] >= 0)
        if unknown.any():
            time[unknown] = _times(table)[rows[model][unknown]]
    surplus = tuple(_surplus(trials, code, wanted >> 32) for code in codes[: len(tables)])
    return Matches(trials, wanted >> 32, wanted & 0xFFFFFFFF, time, rows, held, surplus, (0.0,) * len(tables))


def match_by_time(tables, names, called, reference, tolerance=None) -> Matches:
    """Match each frame of `reference` with the nearest time of every table, the earlier one at a tie.

    Parameters
    ----------
    tables : sequence of pandas.DataFrame
    names : sequence of str
        What to call them in messages.
    called : str
        What to call the reference.
    reference : pandas.DataFrame
        Table with ``trial, frame, time``, sorted; may be one of the tables.
    tolerance : float, optional
        Largest distance in seconds. Default: half the frame period of the other table (median of its trial), and after its last frame
        one whole period, because that is how long the last frame lasts.

    Raises
    ------
    PredictionError
        A time is unknown, or the times are too coarse to tell a frame period.
    """
    trials, codes = trial_codes([*tables, reference])
    wanted, time = codes[-1], _known_times(reference, called)
    rows = np.full((len(tables), len(wanted)), -1, np.int64)
    held, furthest = np.full_like(rows, -1), []
    for model, (table, name) in enumerate(zip(tables, names)):
        if table is reference:
            rows[model] = held[model] = np.arange(len(table))
            furthest.append(0.0)
            continue
        times = _known_times(table, name)
        periods = None if tolerance is not None else _periods(codes[model], times, name)
        largest = 0.0
        for code in np.intersect1d(codes[model], wanted):
            part = slice(*np.searchsorted(wanted, [code, code + 1]))
            first, stop = np.searchsorted(codes[model], [code, code + 1])
            order = np.argsort(times[first:stop], kind="stable")
            own, at = times[first:stop][order], time[part]
            before = np.clip(np.searchsorted(own, at, side="right") - 1, 0, None)
            after = np.minimum(before + 1, len(own) - 1)
            nearest = np.where(np.abs(own[after] - at) < np.abs(own[before] - at), after, before)
            distance = np.abs(own[nearest] - at)
            limit = tolerance if periods is None else np.where(at > own[-1], periods[code], periods[code] / 2)
            # Times such as i / 25 and i / 50 differ in their last bits.
            near = distance <= limit + 1e-9
            rows[model, part] = np.where(near, first + order[nearest], -1)
            held[model, part] = first + order[before]
            largest = max(largest, distance[near].max(initial=0.0))
        held[model] = np.where(rows[model] >= 0, rows[model], held[model])
        furthest.append(float(largest))
    surplus = tuple(_surplus(trials, code, wanted) for code in codes[: len(tables)])
    return Matches(trials, wanted, _frames(reference), time, rows, held, surplus, tuple(furthest))


def trial_codes(tables):
    """Sorted names of the trials of all tables, and for each table the position of each row's trial in them."""
    found = [pd.factorize(table["trial"]) for table in tables]
    trials = sorted({str(name) for _, names in found for name in names})
    position = {name: code for code, name in enumerate(trials)}
    return tuple(trials), [
        np.array([position[str(name)] for name in names], np.int64)[codes] if len(names) else codes.astype(np.int64)
        for codes, names in found
    ]


def _held(before, own, wanted) -> np.ndarray:
    after = np.minimum(before + 1, len(own) - 1)
    result = np.where(own[after] == wanted, after, -1)
    return np.where((before >= 0) & (own[before] == wanted), before, result)


def _surplus(trials, own, wanted) -> tuple:
    return tuple(trials[code] for code in np.setdiff1d(own, wanted))


def _frames(table) -> np.ndarray:
    return table["frame"].to_numpy(np.int64)


def _times(table) -> np.ndarray:
    return table["time"].to_numpy(np.float64) if "time" in table else np.full(len(table), np.nan)


def _known_times(table, name) -> np.ndarray:
    time = _times(table)
    unknown = np.isnan(time)
    if unknown.any():
        row = table.iloc[int(np.argmax(unknown))]
        raise PredictionError(
            f"{name}: matching by time needs the time of every frame; give its frame rate (fps=..., --fps), or match by frame. "
            f"Received: no time for {int(unknown.sum()):,} frames, the first is frame {row['frame']} of trial {row['trial']}"
        )
    return time


def _periods(codes, times, name) -> dict:
    """Frame period of each trial; of a trial of one frame the median of the others."""
    starts = np.flatnonzero(np.r_[True, np.diff(codes) != 0])
    periods = {
        int(codes[first]): float(np.median(np.diff(np.sort(part)))) if len(part) > 1 else np.nan
        for first, part in zip(starts, np.split(times, starts[1:]))
    }
    known = [period for period in periods.values() if period == period]
    coarse = [code for code, period in periods.items() if period == 0]
    if coarse or not known:
        found = "the same time for most neighbouring frames" if coarse else "trials of a single frame"
        raise PredictionError(
            f"{name}: its times do not tell the distance of its frames; give its frame rate (fps=..., --fps), a tolerance in "
            f"seconds, or match by frame. Received: {found}"
        )
    return {code: period if period == period else float(np.median(known)) for code, period in periods.items()}


def some(names, most=3) -> str:
    """The first few names, and how many more there are."""
    names = sorted(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
