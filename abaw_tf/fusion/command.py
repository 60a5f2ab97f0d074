"""What tools/search_fusion.py reads and writes: named predictions in any format, fused tables, submissions."""

import os
from pathlib import Path

from abaw_tf import labels, predictions
from abaw_tf.evaluation.label_tables import TASK_COLUMNS
from abaw_tf.evaluation.output import model_names
from abaw_tf.predictions import PredictionError
from abaw_tf.predictions.columns import TABULAR
from abaw_tf.predictions.pyfeat import is_pyfeat
from abaw_tf.predictions.storage import is_table


def load_tables(given, edition=None, columns=(), fps=()) -> dict:
    """Prediction tables by model name.

    Parameters
    ----------
    given : sequence of str
        ``PATH`` or ``NAME=PATH``; without a name the file's, as short as tells them apart.
    edition : str, optional
    columns : sequence of str
        Column maps, ``NAME:MAP``, or one ``MAP`` for every file that `abaw_tf.predictions.load` does not know by itself.
    fps : sequence of str
        Frames per second, ``NAME:RATE``, or one ``RATE`` for every model whose times are unknown: times are then frame / RATE.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    PredictionError
        Two models of one name, a map for no model, or a file breaks a rule.
    """
    named = [_split(item) for item in given]
    told = iter(model_names([path for name, path in named if name is None]))
    names = [next(told) if name is None else name for name, _ in named]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise PredictionError(
            f"two models are called {twice[0]!r}; name them apart (NAME=PATH). Received: {', '.join(given)}"
        )
    maps, common_map = _by_name("--columns", columns, names)
    rates, common_rate = _by_name("--fps", fps, names)
    tables = {}
    for name, (_, path) in zip(names, named):
        chosen = maps.get(name, common_map if common_map is not None and _is_plain(path) else None)
        table = predictions.load(path, edition, columns=chosen)
        rate = rates.get(name, common_rate if common_rate is not None and table["time"].isna().all() else None)
        tables[name] = table if rate is None else _timed(table, rate)
    return tables


def _by_name(flag, items, names):
    """``NAME:VALUE`` by name, and the ``VALUE`` without a name."""
    found, common = {}, None
    for item in items:
        name, colon, value = item.partition(":")
        if colon and name in names:
            found[name] = value
        elif colon and "=" not in name and not Path(item).exists():
            raise PredictionError(
                f"{flag} names a model that is not given.{labels.suggestion(name, names)} "
                f"Received: {name!r} of {', '.join(names)}"
            )
        else:
            common = item
    return found, common


def _timed(table, rate):
    try:
        value = float(rate)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise PredictionError(f"--fps must be a positive number of frames per second. Received: {rate!r}")
    timed = table.assign(time=table["frame"] / value)
    timed.attrs = table.attrs
    return predictions.add_note(timed, f"times from the frame numbers, {value:g} frames per second")


def edition(tables) -> str:
    """Edition of the labels that tables are to be scored with: the one with the most classes."""
    return max((predictions.edition_of(table) for table in tables.values()), key=lambda one: one.n_classes).name


def check_outputs(weights=None, fused=None, report=None) -> None:
    """Refuse, before anything is computed, places where the weights, a fused table or a report cannot be written."""
    if weights is not None and Path(weights).suffix.lower() != ".json":
        raise PredictionError(f"the weights are written as .json. Received: --out {weights}")
    if fused is not None and Path(fused).suffix.lower() not in ("", ".parquet", ".csv"):
        raise PredictionError(
            f"a fused table is written as .parquet or .csv, or as submission files into a folder. Received: {fused}"
        )
    for path in map(Path, filter(None, (weights, fused, report))):
        _check_place(path, is_folder=path.suffix.lower() not in (".json", ".parquet", ".csv", ".html", ".htm"))


def _check_place(path, is_folder) -> None:
    if path.is_dir() and not is_folder:
        raise PredictionError(f"{path}: cannot be written, it is a folder; give the name of a file")
    folder = path if is_folder else path.absolute().parent
    nearest = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        why = "cannot be written to" if nearest.is_dir() else "is a file, not a folder"
        raise PredictionError(f"{path}: cannot be written, for {nearest} {why}; give another place")


def write_fused(table, path) -> list:
    """Write a fused table: ``.parquet`` or ``.csv``, or submission files of each task in a folder (one below it each, if both)."""
    path = Path(path)
    if path.suffix.lower() in (".parquet", ".csv"):
        return [predictions.write(table, path)]
    tasks = [task for task, columns in TASK_COLUMNS.items() if all(name in table for name in columns)]
    folders = [path / task if len(tasks) > 1 else path for task in tasks]
    for task, folder in zip(tasks, folders):
        predictions.write_submission(table, folder, task)
    return folders


def write_report(folder, found) -> Path:
    """The HTML report of a search."""
    from abaw_tf.report import write_fusion_report

    return write_fusion_report(Path(folder), found)


def _split(item):
    """Name (or None) and path; a file whose own name holds ``=`` is taken as it is."""
    name, equals, path = item.partition("=")
    return (name, Path(path)) if equals and not Path(item).exists() else (None, Path(item))


def _is_plain(path) -> bool:
    """True for a file that needs a column map: no prediction table, no py-feat CSV."""
    if not path.is_file() or path.suffix.lower() not in TABULAR:
        return False
    return not is_table(path) and not (path.suffix.lower() == ".csv" and is_pyfeat(path))
