"""What is done about a frame that a model lacks; the policies are described in `abaw_tf.fusion.align`."""

from dataclasses import replace

import numpy as np

from abaw_tf.fusion.alignment.frames import some
from abaw_tf.predictions import PredictionError

MISSING = ("error", "drop", "hold", "uniform", "mean")

_FILLED = {
    "hold": "taken from the model's nearest earlier frame",
    "uniform": "taken as equal probabilities, valence and arousal 0",
    "mean": "taken as the mean of the other models",
}


def apply_policy(missing, matches, names, hints=()):
    """Refuse, drop or hold frames.

    Parameters
    ----------
    missing : str
        One of `MISSING`.
    matches : Matches
    names : tuple of str
        The models.
    hints : sequence of str
        Possible reasons, for the message.

    Returns
    -------
    matches : Matches
        Without the frames that were dropped, lacking rows replaced by held ones.
    lacking : numpy.ndarray of bool, shape (models, frames), or None
        What `gather` must still fill.
    notes : list of str

    Raises
    ------
    PredictionError
        A frame is lacking and the policy refuses it or cannot fill it.
    """
    lacking = matches.rows < 0
    if not lacking.any():
        return matches, None, []
    told = [
        f"{name}: {_lack(matches, model, lacking[model])}" for model, name in enumerate(names) if lacking[model].any()
    ]
    if missing == "error":
        raise PredictionError(
            "the models do not predict the same frames; predict them with every model, or say what to do: drop, hold, uniform or mean "
            f"(missing=..., --missing). Received: missing='error'; {'; '.join([*told, *hints])}"
        )
    if missing == "drop":
        keep = ~lacking.any(axis=0)
        if not keep.any():
            raise PredictionError(
                "no frame is predicted by every model; check that the tables are of the same split and number frames alike, or match by "
                f"time. Received: {'; '.join(told)}"
            )
        left_out = f"{int((~keep).sum()):,} of {len(keep):,} frames left out, which a model lacks"
        return matches.select(keep), None, [f"{left_out} ({'; '.join(told)})"]
    notes = [f"{item}, {_FILLED[missing]} ({missing})" for item in told]
    if missing == "hold":
        impossible = matches.held < 0
        if impossible.any():
            bad = [
                f"{name}: {_lack(matches, model, lacking[model])}"
                for model, name in enumerate(names)
                if impossible[model].any()
            ]
            raise PredictionError(
                "a trial without any prediction of a model has nothing to hold; predict it, or use drop, uniform or mean "
                f"(missing=..., --missing). Received: missing='hold'; {'; '.join(bad)}"
            )
        return replace(matches, rows=matches.held), None, notes
    nobody = lacking.all(axis=0)
    if missing == "mean" and nobody.any():
        first = int(np.argmax(nobody))
        raise PredictionError(
            f"{int(nobody.sum()):,} frames are predicted by no model, so there is no mean to take; use drop or hold. Received: none for "
            f"trial {matches.trials[matches.codes[first]]}, frame {matches.frame[first]}"
        )
    return matches, lacking, notes


def gather(columns, rows, lacking, missing, uniform) -> np.ndarray:
    """Values of the matched rows, lacking ones filled.

    Parameters
    ----------
    columns : iterable of sequence of numpy.ndarray
        For each model its columns. They are read one model after the other, so that they may be made when they are needed.
    rows : numpy.ndarray of int64, shape (models, frames)
    lacking : numpy.ndarray of bool, shape (models, frames), or None
    missing : {"uniform", "mean"}
        How to fill what is lacking.
    uniform : float

    Returns
    -------
    numpy.ndarray of float64, shape (models, frames, columns)
    """
    result = None
    for model, arrays in enumerate(columns):
        if result is None:
            result = np.empty((*rows.shape, len(arrays)))
        for position, values in enumerate(arrays):
            np.take(values, rows[model], out=result[model, :, position], mode="wrap")
    if lacking is None:
        return result
    if missing == "uniform":
        result[lacking] = uniform
        return result
    frames = np.flatnonzero(lacking.any(axis=0))
    known = ~lacking[:, frames, None]
    mean = np.where(known, result[:, frames], 0).sum(axis=0) / known.sum(axis=0)
    for model, gaps in enumerate(lacking):
        result[model, gaps] = mean[gaps[frames]]
    return result


def _lack(matches, model, lacking) -> str:
    """``12 of 500 frames lacking (the first is frame 3 of trial x), and 2 whole trials (a, b) with 80 frames``."""
    whole = np.setdiff1d(matches.codes, matches.codes[~lacking])
    scattered = lacking & ~np.isin(matches.codes, whole)
    parts = []
    if scattered.any():
        first = int(np.argmax(scattered))
        parts.append(
            f"{int(scattered.sum()):,} of {len(lacking):,} frames lacking (the first is frame {matches.frame[first]} of trial "
            f"{matches.trials[matches.codes[first]]})"
        )
    if len(whole):
        names = some(matches.trials[code] for code in whole)
        parts.append(f"{len(whole)} whole trial(s) lacking ({names}) with {int((lacking & ~scattered).sum()):,} frames")
    return " and ".join(parts)
