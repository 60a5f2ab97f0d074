"""Predictions from any table with a row per frame, by a map of its columns."""

import difflib
import re
from pathlib import Path

import numpy as np
import pandas as pd

from abaw_tf import labels
from abaw_tf.predictions.column_map import class_columns, column_map, official_name
from abaw_tf.predictions.rules import RENORMALISED, PredictionError
from abaw_tf.predictions.storage import EXACT
from abaw_tf.predictions.table import make_table

TABULAR = (".csv", ".tsv", ".txt", ".parquet")
FIRST_LINE = 2
"""Line of the first row in a text file: the header is line 1."""
MOST_FRAMES = 2**31
"""Frame numbers are below it."""


def read_columns(
    path, columns=None, edition=None, order=None, index_base=None, trial=None, scores=None, fps=None
) -> pd.DataFrame:
    """Read a plain CSV or Parquet file into a prediction table.

    Parameters
    ----------
    path : path-like
        A ``.parquet`` file, or text with a header line and columns separated by commas, semicolons or tabs.
    columns : mapping, str or path-like, optional
        Column of the file for each thing wanted: ``{"trial": "video", "frame": "idx", "p_Neutral": "neutral", ...}``, the same as text
        (``"trial=video,frame=idx,p_Neutral=neutral"``), or a YAML or JSON file with the mapping. Known keys: ``trial``, ``frame``,
        ``image`` (a file name such as ``00012.jpg``, 1-based; its folder is the trial unless another column is), ``time``
        (seconds), ``p_<Class>``, ``expression`` (class numbers in `order`, or names), ``valence``, ``arousal``, and the settings
        below (``trial_name`` for `trial`). Without any ``p_<Class>``, columns named like expressions are taken.
    edition : str or Edition, optional
        Default: "abaw3" if there is a class Other, else "abaw2".
    order : str or sequence of str, optional
        Order of the class numbers in ``expression``. Default: the edition's.
    index_base : {0, 1}
        Number of the first frame in the column ``frame``. Default: 0.
    trial : str, optional
        Name of the trial of all rows, if there is no column for it. Default: the name of the file without suffix.
    scores : {"probability", "percent", "logit"}
        What the class columns hold. Rows of probabilities that sum to 0.99 ... 1.01 are renormalised and counted in the notes;
        logits go through a softmax. Default: "probability".
    fps : float, optional
        Frames per second: gives the frame where there is only a time, and the time where there is only a frame. Without frame, image,
        or time and fps, the rows of a trial are numbered as they come (noted).

    Returns
    -------
    pandas.DataFrame
        Rows without any prediction (all cells empty) are left out; the notes count them.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    PredictionError
        A column is not in the file (the message suggests the closest), or a cell breaks a rule; it names file, line and remedy.
    """
    path = Path(path)
    given = {"order": order, "index_base": index_base, "trial_name": trial, "scores": scores, "fps": fps}
    given = column_map({key: value for key, value in given.items() if value is not None}).settings
    mapped = column_map(columns)
    settings = {"index_base": 0, "scores": "probability", **mapped.settings, **given}
    source = _Source(path, mapped)
    edition = labels.edition(edition or ("abaw3" if "Other" in source.classes else "abaw2"))
    notes = list(source.notes)
    source.drop_empty(notes)
    values = {name: source.numbers(name) for name in ("valence", "arousal") if name in source.columns}
    for name, numbers in values.items():
        rule = f"{name} must lie in [-1, 1]; clip or rescale it"
        source.refuse(np.abs(numbers) > 1, rule, source.columns[name])
    if source.classes:
        values["probabilities"] = _probabilities(source, edition, settings["scores"], notes)
    if "expression" in source.columns:
        values["expression"] = _expressions(source, edition, settings.get("order"))
    trials = _trials(source, settings.get("trial_name", path.stem))
    frames, time = _frames(source, trials, settings, notes)
    twice = pd.DataFrame({"trial": trials, "frame": frames}).duplicated().to_numpy()
    source.refuse(twice, "this trial and frame occur twice; keep one row per frame", *source.key_columns)
    try:
        return make_table(trials, frames, time=time, edition=edition, notes=notes, **values)
    except PredictionError as error:
        raise PredictionError(f"{path}: {error}") from error


class _Source:
    """The columns wanted of a file, and the lines that its rows come from."""

    def __init__(self, path, mapped):
        header = _header(path)
        self.path, self.columns, self.notes = path, mapped.columns, []
        self.classes = mapped.classes or class_columns(header)
        wanted = {**self.columns, **self.classes}
        for key, name in wanted.items():
            if name not in header:
                raise PredictionError(f"{path}: no column for {key}.{_closest(name, header)} Received: {name!r}")
        predictions = [name for name in ("expression", "valence", "arousal") if name in self.columns]
        if not self.classes and not predictions:
            raise PredictionError(
                f"{path}: nothing is predicted; say which columns hold p_<Class>, expression, valence or arousal, for instance "
                f"'p_Neutral=neutral,p_Anger=angry,...'. Received: columns {', '.join(header)}"
            )
        if self.classes and not mapped.classes:
            self.notes.append(f"classes told by the columns {', '.join(self.classes.values())}")
        text = [self.columns[name] for name in ("trial", "image") if name in self.columns]
        self.data = _read(path, list(dict.fromkeys(wanted.values())), text)
        self.lines = np.arange(len(self.data)) + (1 if path.suffix.lower() == ".parquet" else FIRST_LINE)
        self.predicted = [self.columns[name] for name in predictions] + list(self.classes.values())

    @property
    def key_columns(self):
        return [self.columns[name] for name in ("trial", "frame", "image", "time") if name in self.columns]

    def drop_empty(self, notes):
        """Leave out rows without any prediction."""
        empty = self.data[self.predicted].isna().all(axis=1).to_numpy()
        if empty.all():
            raise PredictionError(f"{self.path}: no row has a prediction. Received: {len(empty)} rows")
        if empty.any():
            notes.append(f"{int(empty.sum())} rows without a prediction left out")
            self.data, self.lines = self.data[~empty].reset_index(drop=True), self.lines[~empty]

    def numbers(self, key, empty_is_error=True) -> np.ndarray:
        """The column for `key` as numbers."""
        name = self.columns.get(key) or self.classes[key]
        column = self.data[name]
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
        self.refuse(
            np.isnan(numbers) & column.notna().to_numpy(), f"column {name!r} must hold numbers; correct it", name
        )
        if empty_is_error:
            self.refuse(np.isnan(numbers), f"column {name!r} is empty here; fill it or remove the row", name)
        return numbers

    def refuse(self, mask, rule, *names):
        """Raise for the first row where `mask` is True."""
        if np.any(mask):
            row = int(np.argmax(mask))
            more = int(np.count_nonzero(mask)) - 1
            received = ", ".join(f"{name}={self.data[name].iloc[row]!s}" for name in names)
            place = f"{'row' if self.path.suffix.lower() == '.parquet' else 'line'} {self.lines[row]}"
            raise PredictionError(
                f"{self.path}, {place}{f' (and {more} more)' if more else ''}: {rule}. Received: {received}"
            )


def _probabilities(source, edition, scores, notes) -> np.ndarray:
    order = tuple(source.classes)
    absent = [name for name in edition.classes if name not in order]
    if absent and absent != ["Other"]:
        raise PredictionError(
            f"{source.path}: no column for the class {absent[0]}; give all {edition.n_classes} classes of edition {edition.name}. "
            f"Received: {', '.join(f'p_{name}={column}' for name, column in source.classes.items())}"
        )
    values = np.stack([source.numbers(name) for name in order], axis=1)
    columns = list(source.classes.values())
    source.refuse(~np.isfinite(values).all(axis=1), "scores must be finite", *columns)
    if scores == "logit":
        values = np.exp(values - values.max(axis=1, keepdims=True))
        values /= values.sum(axis=1, keepdims=True)
    else:
        whole = 100.0 if scores == "percent" else 1.0
        source.refuse((values < 0).any(axis=1), "a probability is negative; are these scores=logit?", *columns)
        total = values.sum(axis=1)
        off = np.abs(total / whole - 1)
        percent = scores == "probability" and np.all(np.abs(total / 100 - 1) <= RENORMALISED)
        remedy = (
            "they sum to 100: set scores=percent"
            if percent
            else "set scores=logit if they are logits, or divide by the sum"
        )
        rule = f"the classes must sum to {whole:g} (within {RENORMALISED:.0%}, then renormalised); {remedy}"
        source.refuse(off > RENORMALISED, rule, *columns)
        values /= total[:, None]
        if (off > 1e-6).any():
            notes.append(
                f"{int((off > 1e-6).sum())} rows of probabilities renormalised (sums {total.min():.4f} to {total.max():.4f})"
            )
    surplus = [name for name in order if name not in edition.classes]
    if absent:
        notes.append("the file does not know Other: probability 0")
    if surplus:
        nothing = values[:, [order.index(name) for name in order if name not in surplus]].sum(axis=1) == 0
        rule = f"only {' and '.join(surplus)}, which edition {edition.name} does not know, has a probability; remove the row"
        source.refuse(nothing, rule + (", or take edition abaw3" if "Other" in surplus else ""), *columns)
        notes.append(f"dropped, not in edition {edition.name}: {', '.join(surplus)}; the other classes scaled up")
    return labels.map_probabilities(values, order, edition.classes, missing="zero" if absent or surplus else "error")


def _expressions(source, edition, order) -> np.ndarray:
    name = source.columns["expression"]
    order = edition.classes if order is None else order
    column = source.data[name]
    if pd.to_numeric(column, errors="coerce").notna().any():
        codes = source.numbers("expression")
        rule = f"expression must be a class number 0 to {len(order) - 1} ({', '.join(order)})"
        source.refuse(~np.isin(codes, np.arange(len(order))), rule, name)
        classes = np.array(order, dtype=object)[codes.astype(np.int64)]
    else:
        found = {text: official_name(text) for text in column.unique()}
        classes = column.map(found).to_numpy(dtype=object)
    number = {official: position for position, official in enumerate(edition.classes)}
    known = pd.Series(classes).isin(list(number)).to_numpy()
    source.refuse(~known, f"not a class of edition {edition.name} ({', '.join(number)})", name)
    return np.array([number[official] for official in classes], np.int64)


def _trials(source, default) -> np.ndarray:
    if "trial" in source.columns:
        name = source.columns["trial"]
        source.refuse(source.data[name].isna().to_numpy(), "the trial has no name; every row needs one", name)
        return source.data[name].to_numpy(dtype=object)
    if "image" in source.columns:
        parents = source.data[source.columns["image"]].fillna("").str.replace("\\", "/").str.rpartition("/")[0]
        folder = parents.str.rpartition("/")[2]
        return folder.where(folder != "", default).to_numpy(dtype=object)
    return np.full(len(source.data), default, dtype=object)


def _frames(source, trials, settings, notes):
    """Frame numbers and times (or None)."""
    fps, columns = settings.get("fps"), source.columns
    time = source.numbers("time", empty_is_error=False) if "time" in columns else None
    if time is not None:
        source.refuse(np.isinf(time) | (time < 0), "the time must be seconds from 0 on", columns["time"])
    if "frame" in columns:
        frames = source.numbers("frame") - settings["index_base"]
        rule = f"frame must be a whole number from {settings['index_base']} on (index_base={settings['index_base']})"
        source.refuse((frames < 0) | (frames != np.floor(frames)), rule, columns["frame"])
        source.refuse(frames >= MOST_FRAMES, f"a frame number must be below {MOST_FRAMES}", columns["frame"])
    elif "image" in columns:
        name = columns["image"]
        digits = source.data[name].str.extract(r"(\d+)\.\w+$|(\d+)$", flags=re.ASCII)
        frames = pd.to_numeric(digits[0].fillna(digits[1])).to_numpy(np.float64) - 1
        rule = "the image must be named by its number from 1 on, as 00001.jpg"
        source.refuse(~((frames >= 0) & (frames < MOST_FRAMES)), rule, name)
    elif time is not None and fps is not None:
        source.refuse(np.isnan(time), "the time is empty; fill it or remove the row", columns["time"])
        frames = np.rint(time * fps)
        source.refuse(frames >= MOST_FRAMES, "the time must be in seconds", columns["time"])
        notes.append(f"frame numbers from the times at {fps:g} frames per second")
    else:
        frames = pd.Series(trials).groupby(trials, sort=False).cumcount().to_numpy()
        notes.append("no column for the frame: the rows of each trial are numbered from 0 as they come")
    if time is None and fps is not None:
        time = frames / fps
    return frames.astype(np.int64), time


def _header(path) -> list:
    if path.suffix.lower() not in TABULAR:
        raise PredictionError(f"{path}: a column map reads {', '.join(TABULAR)}. Received: suffix {path.suffix!r}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give a table with a row per frame")
    if path.suffix.lower() == ".parquet":
        return _parquet_names(path)
    return [str(name) for name in _csv(path, nrows=0).columns]


def _read(path, wanted, text) -> pd.DataFrame:
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        # Without pandas' metadata, the columns of an index are columns like all others.
        data = pq.read_table(path, columns=wanted).to_pandas(ignore_metadata=True)
        return data.astype({name: data[name].dtype if data[name].isna().any() else str for name in text})
    return _csv(path, usecols=wanted, dtype=dict.fromkeys(text, str))


def _parquet_names(path) -> list:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise PredictionError(f"{path}: not a readable Parquet file; write it again ({error})") from error


def _csv(path, **options) -> pd.DataFrame:
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        head = file.readline()
    separator = max(",;\t", key=head.count)
    try:
        # Only an empty cell or nan is missing: "NA" may be the name of a trial.
        return pd.read_csv(
            path, sep=separator, encoding="utf-8-sig", keep_default_na=False, na_values=["", "nan", "NaN"], index_col=False,
            skip_blank_lines=False, skipinitialspace=True, low_memory=False, **EXACT, **options,
        )  # fmt: skip
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise PredictionError(f"{path}: not a readable text table with a header line (UTF-8): {error}") from error


def _closest(name, header) -> str:
    folded = {column.lower(): column for column in header}
    close = difflib.get_close_matches(name.lower(), list(folded), n=1, cutoff=0.4)
    return f" Did you mean {folded[close[0]]!r}?" if close else f" The file has {', '.join(header)}."
