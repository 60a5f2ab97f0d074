"""Which column of a foreign table means what: a mapping, a text such as ``"trial=video,frame=idx"``, or a YAML or JSON file."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from abaw_tf import labels
from abaw_tf.predictions.rules import PredictionError

TARGETS = ("trial", "frame", "image", "time", "expression", "valence", "arousal")
SETTINGS = ("order", "index_base", "scores", "fps", "trial_name")
SCORES = ("probability", "percent", "logit")


@dataclass(frozen=True)
class ColumnMap:
    """What the columns of a foreign table mean.

    Attributes
    ----------
    columns : dict of str to str
        Column of the file by what it holds: ``trial, frame, image, time, expression, valence, arousal``.
    classes : dict of str to str
        Column of the file by official class name; empty: told by the names of the columns.
    settings : dict
        ``order, index_base, scores, fps, trial_name``, as far as given; see :func:`abaw_tf.predictions.read_columns`.
    """

    columns: dict = field(default_factory=dict)
    classes: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)


def column_map(given) -> ColumnMap:
    """Read a column map.

    Parameters
    ----------
    given : ColumnMap, mapping, str, path-like or None
        ``{"trial": "video", "frame": "idx", "p_Neutral": "neutral", "index_base": 1}``, the same as text
        (``"trial=video,frame=idx,p_Neutral=neutral,index_base=1"``), or the path of a YAML or JSON file that holds the mapping. A class
        is written as ``p_Fear`` or ``Fear``, under any of its names.

    Raises
    ------
    PredictionError
        A key or value is not known; the message suggests the closest.
    """
    if isinstance(given, ColumnMap):
        return given
    source = "the column map"
    if isinstance(given, (str, Path)):
        path = Path(given)
        if path.suffix.lower() in (".yaml", ".yml", ".json"):
            given, source = _read(path), str(path)
        else:
            given = _parse(str(given))
    if not isinstance(given, Mapping | None):
        raise PredictionError(f"{source}: a column map maps what is wanted to columns. Received: {given!r}")
    columns, classes, settings = {}, {}, {}
    for key, value in (given or {}).items():
        if value is None:
            raise PredictionError(f"{source}: {key} has no value; name its column, or leave the key out")
        if key in TARGETS:
            columns[key] = str(value)
        elif key in SETTINGS:
            settings[key] = _setting(key, value, source)
        else:
            name = _class(key, source)
            if name in classes:
                raise PredictionError(f"{source}: the class {name} is given twice. Received: {key!r}")
            classes[name] = str(value)
    return ColumnMap(columns, classes, settings)


def class_columns(header) -> dict:
    """Columns named like expressions (``p_fear``, ``Happy``), by official name."""
    found = {}
    for name in header:
        stem = re.sub(r"^(p|prob|probability|score|logit)[_ ]", "", name.strip(), flags=re.IGNORECASE)
        official = official_name(stem)
        if official is not None and official not in found:
            found[official] = name
    return found


def official_name(text):
    """Official name of an expression, or None."""
    try:
        return labels.expression_name(text)
    except ValueError:
        return None


def _class(key, source) -> str:
    name = str(key)[2:] if str(key).startswith("p_") else str(key)
    try:
        return labels.expression_name(name)
    except ValueError as error:
        known = (*TARGETS, *SETTINGS, *(f"p_{name}" for name in labels.EXPRESSIONS_8))
        raise PredictionError(
            f"{source}: unknown key; known are {', '.join(known)}.{labels.suggestion(key, known)} Received: {key!r}"
        ) from error


def _setting(key, value, source):
    if key == "scores" and value not in SCORES:
        raise PredictionError(
            f"{source}: scores must be one of {', '.join(SCORES)}.{labels.suggestion(value, SCORES)} Received: {value!r}"
        )
    if key == "index_base" and str(value) not in ("0", "1"):
        raise PredictionError(f"{source}: index_base is the number of the first frame, 0 or 1. Received: {value!r}")
    if key == "index_base":
        return int(value)
    if key == "order":
        # A list comes from YAML; in text the classes are separated by blanks or |.
        names = value.replace("|", " ").split() if isinstance(value, str) else value
        if not isinstance(names, (list, tuple)):
            raise PredictionError(
                f"{source}: order is the name of a class order, or a list of classes. Received: {value!r}"
            )
        return labels.class_order(names[0] if isinstance(value, str) and len(names) == 1 else names)
    if key == "fps":
        try:
            rate = float(value)
        except (TypeError, ValueError):
            rate = float("nan")
        if not 0 < rate < float("inf"):
            raise PredictionError(f"{source}: fps must be a positive number of frames per second. Received: {value!r}")
        return rate
    return str(value)


def _parse(text) -> dict:
    result = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not key or not value:
            raise PredictionError(
                "a column map is written 'trial=video,frame=idx,p_Neutral=neutral' (names with commas: in a YAML or JSON file). "
                f"Received: {item!r}"
            )
        if key in result:
            raise PredictionError(f"the column map gives {key} twice. Received: {text!r}")
        result[key] = value
    return result


def _read(path):
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix.lower() == ".json":
            return json.loads(text)
        return yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        kind = "JSON" if path.suffix.lower() == ".json" else "YAML"
        raise PredictionError(f"{path}: not a readable {kind} file in UTF-8 ({error})") from error
