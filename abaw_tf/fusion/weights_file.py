"""Fusion weights in a file: what was searched, how good it was, and how to fuse new predictions with it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

import abaw_tf
from abaw_tf import labels
from abaw_tf.evaluation.label_tables import TASK_COLUMNS
from abaw_tf.files import replacing
from abaw_tf.fusion.alignment import align
from abaw_tf.fusion.averaging import POOLS
from abaw_tf.fusion.tables import fuse_aligned

FORMAT, VERSION = "abaw_tf fusion weights", 1
METHODS = ("search", "optimum", "average", "majority")
FITTED = ("search", "optimum")
"""Methods whose weights are fitted to the labels."""


class WeightsError(ValueError):
    """A file of fusion weights, or its use, breaks a rule. The message names file, key and remedy."""


@dataclass(frozen=True)
class TaskWeights:
    """Weights for one task.

    Attributes
    ----------
    weights : numpy.ndarray of float64, shape (models,) or (models, classes or outputs)
        Columns sum to one.
    method : {"search", "optimum", "average", "majority"}
        How they came about; "majority" fuses by voting.
    pool : {"probability", "logit"}
        See :func:`abaw_tf.fusion.weighted_average`.
    temperatures : tuple of float, optional
        Of the models, by which their logits are divided before fusing.
    found : dict
        Of the search, as plain values: ``metric, score, single_scores, equal_score, frames, videos, draws, ...``; scores are those on
        the frames of the search itself.
    held_out : dict, optional
        The estimate on videos that the search has not seen (``HeldOut.to_dict()``).
    """

    weights: np.ndarray
    method: str = "search"
    pool: str = "probability"
    temperatures: tuple | None = None
    found: dict = field(default_factory=dict)
    held_out: dict | None = None

    @property
    def level(self) -> str:
        """``"model"``, or ``"model_class"`` for weights per class or output."""
        return "model" if self.weights.ndim == 1 else "model_class"


@dataclass(frozen=True)
class FusionWeights:
    """Weights of a fusion of named models, for one task or both.

    Attributes
    ----------
    models : tuple of str
        In the order of the rows of the weights.
    edition : str
    tasks : dict of TaskWeights by task
    notes : tuple of str
        What was done to the predictions before the search (frames filled, left out, ...).
    """

    models: tuple
    edition: str
    tasks: dict
    notes: tuple = ()

    def save(self, path) -> Path:
        """Write as JSON; the file appears under its name only when it is complete."""
        path = Path(path)
        data = {
            "format": FORMAT,
            "version": VERSION,
            "versions": {"abaw_tf": abaw_tf.__version__, "numpy": np.__version__},
            "edition": self.edition,
            "models": list(self.models),
            **{task: self._task_to_dict(task) for task in self.tasks},
            "notes": list(self.notes),
        }
        with replacing(path) as temporary:
            temporary.write_text(
                json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
            )
        return path

    def _task_to_dict(self, task) -> dict:
        one = self.tasks[task]
        names = self.columns(task)
        rows = one.weights.tolist()
        if one.level == "model_class":
            rows = [dict(zip(names, row)) for row in rows]
        temperatures = None if one.temperatures is None else dict(zip(self.models, map(float, one.temperatures)))
        return {
            "level": one.level,
            "method": one.method,
            "pool": one.pool,
            "columns": list(names),
            "weights": dict(zip(self.models, rows)),
            "temperatures": temperatures,
            "found": one.found,
            "held_out": one.held_out,
        }

    def columns(self, task) -> tuple:
        """Names of the columns of the task: the edition's classes, or valence and arousal."""
        return labels.edition(self.edition).classes if task == "expression" else TASK_COLUMNS[task]

    @classmethod
    def load(cls, path) -> "FusionWeights":
        """Read what :meth:`save` wrote, or what was made by hand.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        WeightsError
            A key is missing or holds something else than it should.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; give the weights that tools/search_fusion.py wrote")
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise WeightsError(f"{path}: not a readable JSON file ({error}); search the weights again") from error
        reader = _Reader(path)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise WeightsError(f"{path}: holds no fusion weights (key 'format': {FORMAT!r}); search them again")
        if data.get("version") != VERSION:
            raise WeightsError(
                f"{path}: written by another version of the toolkit ({data.get('versions')}); search the weights again. "
                f"Received: version={data.get('version')!r}"
            )
        models = tuple(map(str, reader.get(data, "models", _are_names, "a list of names, each once")))
        edition = reader.word(data, "edition", labels.EDITIONS)
        notes = reader.get({"notes": [], **data}, "notes", _are_texts, "a list of sentences")
        result = cls(models, edition, {}, tuple(notes))
        tasks = {task: reader.task(result, task, data[task]) for task in labels.TASKS if task in data}
        if not tasks:
            raise WeightsError(f"{path}: holds weights for no task; there is none of {', '.join(labels.TASKS)}")
        return replace(result, tasks=tasks)

    def apply(self, tables, missing="error", by="frame", tolerance=None, task=None, reference=None, map_classes=False):
        """Fuse new prediction tables with these weights.

        Parameters
        ----------
        tables : mapping of model name to prediction table
            Matched with `models` by name, in any order; by position where the names are others (noted).
        missing, by, tolerance, task, reference, map_classes
            See :func:`abaw_tf.fusion.align`.

        Returns
        -------
        pandas.DataFrame
            The fused prediction table.

        Raises
        ------
        WeightsError
            Another number of models, names that contradict the positions, or other classes.
        PredictionError
            As :func:`abaw_tf.fusion.align`.
        """
        tables, notes = self._ordered(tables)
        tasks = tuple(self.tasks) if task is None else (task,)
        if task is not None and task not in self.tasks:
            raise WeightsError(f"the weights are for {', '.join(self.tasks)}. Received: task={task!r}")
        only = tasks[0] if len(tasks) == 1 else None
        aligned = align(tables, missing, by, tolerance, only, reference, map_classes)
        if "expression" in tasks and aligned.classes != self.columns("expression"):
            raise WeightsError(
                f"the weights are for the classes of edition {self.edition}; search weights for the edition of the predictions. "
                f"Received: predictions of edition {aligned.edition}"
            )
        return fuse_aligned(
            aligned, {one: self.tasks[one].weights for one in tasks}, **self.options(tasks), notes=notes
        )

    def options(self, tasks) -> dict:
        """How `fuse_aligned` is to fuse: what it does with expressions."""
        one = self.tasks["expression"] if "expression" in tasks else self.tasks[tasks[0]]
        method = "majority" if one.method == "majority" else "average"
        return {"pool": one.pool, "method": method, "temperatures": one.temperatures}

    def _ordered(self, tables):
        names = tuple(tables)
        if len(names) != len(self.models):
            raise WeightsError(
                f"the weights are for {len(self.models)} models ({', '.join(self.models)}); give as many tables. "
                f"Received: {len(names)} ({', '.join(names)})"
            )
        if set(names) == set(self.models):
            return {name: tables[name] for name in self.models}, []
        moved = [name for place, name in enumerate(names) if name in self.models and self.models[place] != name]
        if moved:
            raise WeightsError(
                "some models are named as in the weights but stand in another place, so neither name nor position tells which is which; "
                f"name all of them (NAME=PATH): {', '.join(self.models)}. Received: {', '.join(names)}"
            )
        pairs = ", ".join(f"{model} <- {name}" for model, name in zip(self.models, names))
        return tables, [f"models matched with the weights by position: {pairs}"]


def _are_texts(value) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _are_names(value) -> bool:
    names = set(map(str, value)) if isinstance(value, list) else ()
    return 0 < len(names) == len(value) and all(isinstance(one, (str, int)) for one in value)


def _other(found, names) -> str:
    """Which of `names` a mapping lacks, and which it has besides."""
    if not isinstance(found, Mapping):
        return ""
    lacking, surplus = [name for name in names if name not in found], [name for name in found if name not in names]
    told = [f"{what} {', '.join(some)}" for what, some in (("without", lacking), ("besides", surplus)) if some]
    return f" (here {' and '.join(told)})" if told else ""


class _Reader:
    """Checks the values of a file; the messages name file and key."""

    def __init__(self, path):
        self.path = path

    def get(self, data, key, valid, rule, place=""):
        if key not in data:
            raise WeightsError(
                f"{self.path}: the key {place + key!r} is missing; it must be {rule}. Add it, or search the weights again"
            )
        if not valid(data[key]):
            raise WeightsError(
                f"{self.path}: {place + key!r} is not valid; it must be {rule}. Received: {str(data[key])[:80]!r}"
            )
        return data[key]

    def word(self, data, key, known, place=""):
        return self.get(data, key, lambda value: value in tuple(known), " or ".join(map(repr, known)), place)

    def by_name(self, data, key, names, what, place=""):
        """Values in the order of `names`, which must be the keys."""
        valid = lambda value: isinstance(value, Mapping) and set(value) == set(names)  # noqa: E731
        found = self.get(
            data, key, valid, f"one {what} each for {', '.join(names)}{_other(data.get(key), names)}", place
        )
        return [found[name] for name in names]

    def task(self, weights, task, data) -> TaskWeights:
        place = f"{task}."
        if not isinstance(data, dict):
            raise WeightsError(f"{self.path}: {task!r} must hold the weights of the task. Received: {str(data)[:80]!r}")
        columns = weights.columns(task)
        self.get(data, "columns", lambda value: value == list(columns), f"{list(columns)}", place)
        level = self.word(data, "level", ("model", "model_class"), place)
        method = self.word(data, "method", METHODS, place)
        pool = self.word(data, "pool", POOLS, place)
        rows = self.by_name(data, "weights", weights.models, "entry", place)
        if level == "model_class":
            inner = f"{place}weights."
            rows = [self.by_name(data["weights"], model, columns, "number", inner) for model in weights.models]
        array = self._numbers(rows, place + "weights", 1 if level == "model" else 2)
        if (array < 0).any() or np.abs(array.sum(axis=0) - 1).max() > 1e-6:
            raise WeightsError(
                f"{self.path}: {place}weights must not be negative and must sum to one over the models. "
                f"Received: sums {np.round(array.sum(axis=0), 6).tolist()}"
            )
        temperatures = None
        if data.get("temperatures") is not None:
            temperatures = self.by_name(data, "temperatures", weights.models, "number", place)
            temperatures = self._numbers(temperatures, place + "temperatures", 1)
            if (temperatures <= 0).any():
                raise WeightsError(
                    f"{self.path}: {place}temperatures must be positive. Received: {temperatures.tolist()}"
                )
            temperatures = tuple(temperatures.tolist())
        return TaskWeights(array, method, pool, temperatures, data.get("found") or {}, data.get("held_out"))

    def _numbers(self, values, place, n_dimensions) -> np.ndarray:
        try:
            array = np.array(values, np.float64)
        except (TypeError, ValueError):
            array = np.array(np.nan)
        if not np.isfinite(array).all() or array.ndim != n_dimensions:
            rule = f"{place!r} must hold finite numbers{', one per model' if n_dimensions == 1 else ''}"
            raise WeightsError(f"{self.path}: {rule}. Received: {str(values)[:80]}")
        return array
