"""Prediction tables in files: Parquet and CSV, both with the table's metadata.

Parquet keeps the metadata under the key ``abaw_tf`` of the schema. CSV keeps it in a first line
``# abaw_tf {...json...}``; a CSV without that line is read too, and its edition is told by its class columns.
Numbers survive both unchanged.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from abaw_tf import labels
from abaw_tf.files import replacing
from abaw_tf.predictions.rules import PREDICTIONS, RENORMALISED, SUM_TOLERANCE, PredictionError, edition_of
from abaw_tf.predictions.table import add_note, attributes, finish, most_probable, validate

_KEY = b"abaw_tf"
_COMMENT = "# abaw_tf "
# Since 3.1 pandas reads numbers to the last bit anyway and deprecates the argument.
EXACT = {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}


def write(table, path) -> Path:
    """Write a prediction table to ``.parquet`` or ``.csv``.

    The file appears under its name only when it is complete. Folders on the way are made.

    Raises
    ------
    PredictionError
        The table breaks a rule, or the name ends otherwise.
    """
    path = Path(path)
    _suffix(path)
    validate(table)
    edition = edition_of(table)
    kept = {key: table.attrs.get(key) for key in ("model", "weights_hash")}
    metadata = json.dumps(attributes(edition, notes=table.attrs.get("notes") or (), **kept), ensure_ascii=False)
    with replacing(path) as temporary:
        _write(table, temporary, path.suffix.lower(), metadata)
    return path


def _write(table, path, suffix, metadata) -> None:
    if suffix == ".csv":
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(f"{_COMMENT}{metadata}\n")
            table.to_csv(file, index=False, lineterminator="\n")
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table, preserve_index=False)
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), _KEY: metadata.encode()})
    pq.write_table(arrow, path, compression="zstd")


def read(path, edition=None) -> pd.DataFrame:
    """Read a prediction table from ``.parquet`` or ``.csv``; rows may be in any order.

    Parameters
    ----------
    path : path-like
    edition : str or Edition, optional
        For a file without metadata. Default there: told by the class columns and recorded in the notes.

    Returns
    -------
    pandas.DataFrame
        Rows of probabilities that sum to 0.99 ... 1.01 are renormalised where they are off by more than 0.001; the notes count them.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    PredictionError
        The file cannot be read, breaks a rule of the table (the message names its line) or is of another edition.
    """
    path = Path(path)
    suffix = _suffix(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such prediction file; give a .parquet or .csv written by `write`")
    table, metadata, first_line = _read_csv(path) if suffix == ".csv" else _read_parquet(path)
    table = _with_metadata(table, metadata, edition, path)
    classes = [f"p_{name}" for name in edition_of(table).classes]
    if all(name in table and table[name].dtype.kind in "fiu" for name in classes):
        table = _renormalise(table, classes)
        if "expression" not in table:
            table["expression"] = most_probable(table[classes].to_numpy(np.float64))
    if "time" not in table:
        table["time"] = np.nan
    return finish(table, str(path), first_line)


def is_table(path) -> bool:
    """True for a ``.parquet`` or ``.csv`` whose columns are those of a prediction table (trial, frame and a prediction)."""
    if path.suffix.lower() == ".csv":
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            head = file.readline()
        if head.startswith(_COMMENT):
            return True
        names = [name.strip().strip('"') for name in head.split(",")]
    elif path.suffix.lower() == ".parquet":
        names = _read_parquet(path)[0].columns
    else:
        return False
    return {"trial", "frame"} <= set(names) and any(name.startswith("p_") or name in PREDICTIONS for name in names)


def _renormalise(table, classes) -> pd.DataFrame:
    """Rows that break the rule of the sum by little; the others keep every bit."""
    values = table[classes].to_numpy(np.float64)
    total = values.sum(axis=1)
    off = (np.abs(total - 1) > SUM_TOLERANCE) & (np.abs(total - 1) <= RENORMALISED) & (values >= 0).all(axis=1)
    if not off.any():
        return table
    attrs = table.attrs
    table = table.assign(**dict(zip(classes, np.where(off[:, None], values / total[:, None], values).T)))
    table.attrs = attrs
    sums = f"{total[off].min():.4f} to {total[off].max():.4f}"
    return add_note(table, f"{int(off.sum())} rows of probabilities renormalised (sums {sums})")


def _suffix(path) -> str:
    suffix = path.suffix.lower()
    if suffix not in (".parquet", ".csv"):
        raise PredictionError(
            f"{path}: a prediction table is kept in a .parquet or .csv file. Received: suffix {path.suffix!r}"
        )
    return suffix


def _read_parquet(path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        arrow = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        raise PredictionError(f"{path}: not a readable Parquet file; write it again ({error})") from error
    stored = (arrow.schema.metadata or {}).get(_KEY)
    return arrow.to_pandas(), _parse(stored.decode(), path) if stored else None, None


def _read_csv(path):
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        head = file.readline()
    commented = head.startswith(_COMMENT)
    metadata = _parse(head[len(_COMMENT) :], path) if commented else None
    skip = int(commented)
    try:
        # "NA" or "null" may be the name of a trial: only empty cells and "nan" of number columns are missing.
        table = pd.read_csv(
            path,
            skiprows=skip,
            dtype={"trial": str},
            keep_default_na=False,
            na_values={"time": ["", "nan", "NaN"]},
            **EXACT,
            encoding="utf-8-sig" if not skip else "utf-8",
            skip_blank_lines=False,
            low_memory=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise PredictionError(
            f"{path}: not a readable CSV file (comma-separated, UTF-8, header line with trial, frame, ...): {error}"
        ) from error
    first_line = 2 + skip
    if not isinstance(table.index, pd.RangeIndex):
        raise PredictionError(f"{path}, line {first_line}: the row has more cells than the header; correct either")
    for name in table.columns.difference(["trial"]):
        if table[name].dtype.kind in "fiub":
            continue
        numbers = pd.to_numeric(table[name], errors="coerce")
        bad = numbers.isna() & ~table[name].isin(["nan", "NaN"])
        if bad.any() and _is_known(name):
            row = int(np.flatnonzero(bad)[0])
            raise PredictionError(
                f"{path}, line {row + first_line}: column {name!r} must hold a number; correct it, or remove the row if "
                f"the frame was not predicted. Received: {table[name].iloc[row]!r}"
            )
        table[name] = numbers
    return table, metadata, first_line


def _is_known(name) -> bool:
    return name in ("frame", "time", "expression", "valence", "arousal") or name.startswith("p_")


def _parse(text, path) -> dict:
    try:
        metadata = json.loads(text)
    except json.JSONDecodeError as error:
        raise PredictionError(
            f"{path}: the metadata (key or first line 'abaw_tf') is not JSON; remove or correct it ({error})"
        ) from error
    if not isinstance(metadata, dict):
        raise PredictionError(f"{path}: the metadata must be a JSON object. Received: {text[:80]!r}")
    return metadata


def _with_metadata(table, metadata, edition, path) -> pd.DataFrame:
    wanted = None if edition is None else labels.edition(edition)
    if metadata is None:
        table.attrs = {} if wanted is None else attributes(wanted)
        found = edition_of(table)
        table.attrs = attributes(found)
        if wanted is None:
            add_note(table, f"{path.name} has no metadata: edition {found.name} told by its columns")
        return table
    try:
        found = labels.edition(metadata.get("edition"))
    except ValueError as error:
        raise PredictionError(f"{path}: the metadata names no known edition: {error}") from error
    if metadata.get("classes") not in (None, list(found.classes)):
        raise PredictionError(
            f"{path}: the metadata's class order is not that of edition {found.name} ({', '.join(found.classes)}); "
            f"write the file again. Received: {metadata['classes']}"
        )
    if wanted is not None and wanted.name != found.name:
        raise PredictionError(
            f"{path}: predictions of edition {found.name} where edition {wanted.name} is wanted; give --edition "
            f"{found.name}, or predict again. Received: {found.name}"
        )
    table.attrs = attributes(found, metadata.get("model"), metadata.get("weights_hash"), metadata.get("notes") or ())
    return table
