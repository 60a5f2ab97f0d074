"""Predictions from whatever file or folder holds them."""

from pathlib import Path

from abaw_tf import labels
from abaw_tf.predictions.columns import TABULAR, read_columns
from abaw_tf.predictions.pyfeat import is_pyfeat, read_pyfeat
from abaw_tf.predictions.rules import PredictionError
from abaw_tf.predictions.storage import is_table, read
from abaw_tf.predictions.submission import read_submission

FORMATS = ("auto", "table", "pyfeat", "submission", "columns")


def load(path, edition=None, format="auto", columns=None):
    """Read a prediction table from a Parquet or CSV file, py-feat's CSV file(s), submission files, or any table by a column map.

    Parameters
    ----------
    path : path-like
    edition : str or Edition, optional
        Of files without metadata (default: told by the class columns, "abaw2" for py-feat and submissions); another
        edition in the metadata is an error.
    format : {"auto", "table", "pyfeat", "submission", "columns"}
        "auto" tells the format by the file's suffix and header; with `columns` it is "columns".
    columns : mapping, str or path-like, optional
        Column map of a plain table, see :func:`abaw_tf.predictions.read_columns`.

    Raises
    ------
    FileNotFoundError
        There is no such file or folder.
    PredictionError
        The format cannot be told, or the content breaks a rule.
    """
    path = Path(path)
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}. Received: {format!r}")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; give a prediction table or a folder of predictions")
    if columns is not None and format not in ("auto", "columns"):
        raise ValueError(f"a column map is for format 'columns', or 'auto'. Received: format={format!r}")
    if columns is not None or format == "columns":
        return read_columns(path, columns, edition)
    if format == "auto":
        format = _detect(path)
    if format == "table":
        return read(path, edition)
    return (read_pyfeat if format == "pyfeat" else _read_submission)(path, edition or "abaw2")


def _detect(path) -> str:
    if path.is_file():
        if path.suffix.lower() == ".csv" and is_pyfeat(path):
            return "pyfeat"
        if path.suffix.lower() in TABULAR and not is_table(path):
            raise PredictionError(
                f"{path}: neither a prediction table (columns trial, frame and p_<Class>, expression, valence or arousal) nor py-feat's; "
                "say which of its columns hold what by a column map (columns=..., --columns), such as "
                "'trial=video,frame=idx,p_Neutral=neutral,...'"
            )
        return "table"
    if any(is_pyfeat(file) for file in path.glob("*.csv")):
        return "pyfeat"
    if any(path.glob("*.txt")):
        return "submission"
    raise PredictionError(
        f"{path}: the folder holds neither py-feat .csv files nor <trial>.txt submission files; give the file or folder "
        "with the predictions"
    )


def _read_submission(path, edition):
    """The task of a folder of submission files is told by the header of its first file."""
    first = min(path.glob("*.txt"), default=None)
    header = "" if first is None else first.open(encoding="utf-8", errors="replace").readline().strip()
    task = "valence_arousal" if header == labels.edition(edition).headers["valence_arousal"] else "expression"
    return read_submission(path, task, edition)
