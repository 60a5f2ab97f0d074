"""From the frames that were predicted to every frame of the video."""

import numpy as np
import pandas as pd

from abaw_tf.predictions.rules import PredictionError
from abaw_tf.predictions.table import add_note, classes_of, finish, validate

KNOWN_EXCESS = 2
"""Aff-Wild2 itself disagrees by up to two frames between videos, crops and label rows."""


def fill_missing(table, lengths, times=None, empty="error") -> pd.DataFrame:
    """Give every frame of every trial a prediction.

    A missing expression (and its probabilities) is taken from the previous predicted frame, before the first one from
    the first; valence and arousal are interpolated linearly over the frame number, at both ends held (Do et al. 2020,
    §III; what the challenge wants in a submission: a value for every frame, face found or not).

    Parameters
    ----------
    table : pandas.DataFrame
        A prediction table.
    lengths : mapping of str to int
        Number of frames of each trial of the result.
    times : mapping of str to array, shape (length,), optional
        Seconds of each frame. Default: the known times, interpolated and continued at the trial's mean rate.
    empty : {"error", "neutral"}
        What to do with a trial of which no frame was predicted at all: refuse it, or call each frame Neutral
        (probability 1) with valence and arousal 0.

    Returns
    -------
    pandas.DataFrame
        ``sum(lengths.values())`` rows; its notes say how many frames were filled and cut.

    Raises
    ------
    PredictionError
        A trial has predictions but no length, a length but no predictions (unless ``empty="neutral"``), more than two
        predicted frames beyond its length, or times of another number.
    """
    if empty not in ("error", "neutral"):
        raise ValueError(f'empty must be "error" or "neutral". Received: {empty!r}')
    validate(table)
    parts = dict(tuple(table.groupby("trial", sort=False)))
    unknown = [name for name in parts if name not in lengths]
    if unknown:
        raise PredictionError(
            f"{len(unknown)} trial(s) have predictions but no length; add the length or leave the trial out. "
            f"Received: {', '.join(unknown[:5])}"
        )
    filled, cut, made, neutral = 0, 0, [], []
    for name, length in lengths.items():
        part = parts.get(name)
        if length < 0 or length != int(length):
            raise PredictionError(f"trial {name}: a length is a whole number of frames. Received: {length!r}")
        if part is None and empty == "error" and length:
            raise PredictionError(
                f'trial {name}: none of its {length} frames has a prediction; predict it, or pass empty="neutral"'
            )
        if part is None:
            made.append(_neutral(table, name, int(length)))
            neutral.append(name)
        else:
            excess = int(part["frame"].iloc[-1]) + 1 - int(length)
            if excess > KNOWN_EXCESS or not length:
                raise PredictionError(
                    f"trial {name}: frame {int(part['frame'].iloc[-1])} is predicted but the trial has {length} frames "
                    "(0-based); check the length and the frame numbers"
                )
            kept = part[part["frame"] < length]
            cut += len(part) - len(kept)
            if kept.empty:
                raise PredictionError(f"trial {name}: all its predictions lie beyond its {length} frames; check both")
            made.append(_fill(kept, name, int(length)))
            filled += int(length) - len(kept)
        if times is not None:
            made[-1]["time"] = _given_time(times, name, int(length))
    result = pd.concat(made, ignore_index=True) if made else table.iloc[:0].copy()
    result.attrs = dict(table.attrs)
    if filled:
        add_note(result, f"{filled} of {len(result)} frames had no prediction and were filled from their neighbours")
    if cut:
        add_note(result, f"{cut} predicted frames beyond the end of their trial were cut")
    if neutral:
        add_note(result, f"no prediction at all, called Neutral: {', '.join(neutral)}")
    return finish(result, "the filled table")


def _fill(part, name, length) -> pd.DataFrame:
    known = part["frame"].to_numpy()
    wanted = np.arange(length)
    previous = np.clip(np.searchsorted(known, wanted, side="right") - 1, 0, None)
    columns = {"trial": np.full(length, name, dtype=object), "frame": wanted}
    for column in part.columns.difference(["trial", "frame"]):
        values = part[column].to_numpy()
        if column in ("valence", "arousal"):
            columns[column] = np.interp(wanted, known, values)
        elif column == "time":
            columns[column] = _continue_time(known, values, wanted)
        else:
            columns[column] = values[previous]
    return pd.DataFrame(columns)[list(part.columns)]


def _continue_time(known, time, wanted) -> np.ndarray:
    """Known times stay; between them linear, outside at the mean rate; NaN where fewer than two are known."""
    sure = ~np.isnan(time)
    known, time = known[sure], time[sure]
    if len(known) < 2:
        result = np.full(len(wanted), np.nan)
        result[known] = time
        return result
    rate = (time[-1] - time[0]) / (known[-1] - known[0])
    result = np.interp(wanted, known, time)
    head, tail = wanted < known[0], wanted > known[-1]
    result[head] = np.maximum(0.0, time[0] + (wanted[head] - known[0]) * rate)
    result[tail] = time[-1] + (wanted[tail] - known[-1]) * rate
    return result


def _neutral(table, name, length) -> pd.DataFrame:
    columns = {column: np.zeros(length) for column in table.columns}
    columns.update(trial=np.full(length, name, dtype=object), frame=np.arange(length))
    if "time" in columns:
        columns["time"] = np.full(length, np.nan)
    if "expression" in columns:
        columns["expression"] = np.zeros(length, np.int64)
    for k, klass in enumerate(classes_of(table)):
        columns[f"p_{klass}"] = np.full(length, float(k == 0))
    return pd.DataFrame(columns)


def _given_time(times, name, length) -> np.ndarray:
    values = np.asarray(times[name] if name in times else np.zeros(0), dtype=np.float64)
    if values.shape != (length,):
        raise PredictionError(
            f"trial {name}: times must hold one value for each of the {length} frames. Received: shape {values.shape}"
        )
    return values
