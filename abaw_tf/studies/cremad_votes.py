"""Reader of the crowd votes on the clips of CREMA-D.

H. Cao, D. G. Cooper, M. K. Keutmann, R. C. Gur, A. Nenkova, R. Verma, "CREMA-D: Crowd-Sourced Emotional Multimodal Actors Dataset",
IEEE Transactions on Affective Computing 5(4), 2014. Files: github.com/CheyneyComputerScience/CREMA-D (ODbL).

Every one of 7,442 clips of 91 actors was shown to about ten people as sound alone, as picture alone, and as both; each chose one of six
expressions. Surprise was no choice.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from abaw_tf import labels, predictions
from abaw_tf.studies.material import read_csv

CLASSES = tuple(name for name in labels.EXPRESSIONS_7 if name != "Surprise")
"""The six expressions that the raters could choose, in the official order."""

LETTERS = {"N": "Neutral", "A": "Anger", "D": "Disgust", "F": "Fear", "H": "Happiness", "S": "Sadness"}
ACTED = {"NEU": "Neutral", "ANG": "Anger", "DIS": "Disgust", "FEA": "Fear", "HAP": "Happiness", "SAD": "Sadness"}

# First digit of the row's number in tabulatedVotes.csv, and the column of summaryTable.csv that holds the winners of its votes.
PRESENTATIONS = {"voice": (1, "VoiceVote"), "face": (2, "FaceVote"), "audiovisual": (3, "MultiModalVote")}


def read_counts(folder, presentation) -> pd.DataFrame:
    """Votes of one presentation.

    Parameters
    ----------
    folder : path-like
        Holds ``tabulatedVotes.csv``, and ``summaryTable.csv`` as the check that rows and presentations are understood.
    presentation : {"voice", "face", "audiovisual"}

    Returns
    -------
    pandas.DataFrame of int64
        A row per clip, by name (``1001_IEO_NEU_XX``: actor, sentence, acted expression, level), sorted; a column per class of `CLASSES`.

    Raises
    ------
    FileNotFoundError
        A file is missing.
    ValueError
        Naming file and row, if a column is missing, a vote is no count, a clip occurs twice or has no vote, or the winners are not
        those of ``summaryTable.csv``.
    """
    if presentation not in PRESENTATIONS:
        raise ValueError(
            f"presentation must be one of {', '.join(PRESENTATIONS)}. Received: presentation={presentation!r}"
        )
    digit, column = PRESENTATIONS[presentation]
    path = Path(folder) / "tabulatedVotes.csv"
    table = _read(path, ["fileName", *LETTERS])
    numbers = pd.to_numeric(table.iloc[:, 0], errors="coerce")
    wrong = ~(numbers // 100_000).isin([code for code, _ in PRESENTATIONS.values()])
    _refuse(path, table, wrong, table.columns[0], "the row's number must begin with 1 (voice), 2 (face) or 3 (both)")
    rows = table[numbers // 100_000 == digit]
    _refuse(
        path, rows, rows["fileName"].duplicated(), "fileName", f"a clip occurs twice among the votes on {presentation}"
    )
    _refuse(path, rows, ~rows["fileName"].astype(str).str.fullmatch(r"\d{4}_[A-Z]{3}_[A-Z]{3}_\w+"), "fileName",
            "a clip's name has the form 1001_IEO_NEU_XX")  # fmt: skip
    for letter in LETTERS:
        values = pd.to_numeric(rows[letter], errors="coerce")
        _refuse(path, rows, ~((values >= 0) & (values % 1 == 0)), letter, "votes must be counts")
    counts = rows.set_index("fileName")[list(LETTERS)].astype(np.int64).rename(columns=LETTERS)[list(CLASSES)]
    _refuse(path, rows, (counts.sum(axis=1) == 0).to_numpy(), "fileName", "a clip has no vote")
    counts.index.name = "clip"
    counts = counts.sort_index()
    _check_winners(Path(folder) / "summaryTable.csv", column, counts)
    return counts


def read_votes(folder, presentation) -> pd.DataFrame:
    """Shares of the votes of one presentation as a prediction table, so that any tool of this package takes them.

    Parameters
    ----------
    folder, presentation
        As for `read_counts`.

    Returns
    -------
    pandas.DataFrame
        Prediction table of edition ``"abaw2"``: a clip is a *frame*, its actor the *trial* (``"1001"``), so that whatever groups by
        video groups by actor. Frames are numbered in the order of the clips' names. Surprise, which was no choice, has probability 0.
    """
    counts = read_counts(folder, presentation)
    trial, frame = _keys(counts)
    shares = counts.div(counts.sum(axis=1), axis=0).reindex(columns=labels.EXPRESSIONS_7, fill_value=0.0)
    note = "votes of people on clips of CREMA-D; a trial is an actor, a frame a clip; Surprise was no choice"
    return predictions.make_table(
        trial, frame, probabilities=shares.to_numpy(), model=f"CREMA-D votes, {presentation}", notes=[note]
    )


def read_winners(folder, presentation="audiovisual") -> pd.DataFrame:
    """Class with the most votes as a label table, -1 where several have equally many.

    Returns
    -------
    pandas.DataFrame
        ``trial``, ``frame`` as in `read_votes`, ``expression`` (official index or -1) and ``clip``.
    """
    counts = read_counts(folder, presentation)
    trial, frame = _keys(counts)
    expression = labels.map_labels(winners(counts), CLASSES, "affwild2")
    return pd.DataFrame({"trial": trial, "frame": frame, "expression": expression, "clip": counts.index})


def winners(counts) -> np.ndarray:
    """Index in `CLASSES` of the class with the most votes, -1 where several have equally many."""
    values = counts.to_numpy()
    tied = (values == values.max(axis=1, keepdims=True)).sum(axis=1) > 1
    return np.where(tied, labels.MISSING_EXPRESSION, values.argmax(axis=1))


def acted(clips) -> np.ndarray:
    """Index in `CLASSES` of the expression that the actor was asked for, from the clips' names."""
    return np.array([CLASSES.index(ACTED[name.split("_")[2]]) for name in clips])


def actors(clips) -> np.ndarray:
    """Number of the actor of each clip, as text."""
    return np.array([name.split("_")[0] for name in clips])


def _keys(counts):
    """Actor of each clip, and the number of the clip among the actor's."""
    trial = pd.Series(actors(counts.index))
    return trial.to_numpy(), trial.groupby(trial).cumcount().to_numpy()


def _read(path, columns) -> pd.DataFrame:
    table = read_csv(path, f"put the CREMA-D repository's {path.name} there")
    absent = [name for name in columns if name not in table]
    if absent:
        raise ValueError(f"{path}: has no column {absent[0]!r}. Received: columns {', '.join(map(str, table.columns))}")
    return table


def _refuse(path, rows, wrong, column, rule):
    wrong = np.asarray(wrong, bool)
    if wrong.any():
        line, value = next(rows.loc[wrong, column].items())
        raise ValueError(f"{path}, line {line + 2}: {rule}. Received: {column}={value}")


def _check_winners(path, column, counts):
    """The classes with the most votes are those that the published summary names, as in ``F:N`` for a tie."""
    summary = _read(path, ["FileName", column])
    letter = {name: key for key, name in LETTERS.items()}
    most = counts.eq(counts.max(axis=1), axis=0).to_numpy()
    found = [":".join(sorted(letter[CLASSES[k]] for k in np.flatnonzero(row))) for row in most]
    published = summary.set_index("FileName")[column].reindex(counts.index)
    wrong = published.to_numpy() != np.array(found, object)
    if len(summary) != len(counts) or wrong.any():
        clip = counts.index[wrong][0] if wrong.any() else set(summary["FileName"]).difference(counts.index).pop()
        winner = found[counts.index.get_loc(clip)] if clip in counts.index else "no votes"
        raise ValueError(
            f"{path}: the winner of the votes on {clip} ({column}) differs from tabulatedVotes.csv; the two files are of different "
            f"versions. Received: {winner} from the votes, {published.get(clip)} in the summary"
        )
