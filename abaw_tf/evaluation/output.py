"""Evaluations as files: JSON, CSV and the HTML report."""

import json
from pathlib import Path

import pandas as pd

from abaw_tf.files import replacing


def model_names(paths) -> tuple:
    """A short name for each prediction file: its stem, with as many folders before it as it takes to tell them apart."""
    paths = [Path(path).resolve() for path in paths]
    depth = 1
    while True:
        names = ["/".join((*path.parts[-depth:-1], path.stem if path.is_file() else path.name)) for path in paths]
        if len(set(names)) == len(names):
            return tuple(names)
        if depth > max(len(path.parts) for path in paths):
            return tuple(f"{name} ({i + 1})" for i, name in enumerate(names))
        depth += 1


def write_outputs(evaluations, predictions, labels, comparison=None, out=None, json_path=None, report=None) -> list:
    """Write what was asked for; returns the paths.

    Parameters
    ----------
    evaluations, predictions : dict by model name
    labels : pandas.DataFrame
    comparison : Comparison, optional
    out : path-like, optional
        A folder for ``scores.json``, ``per_trial.csv`` and ``report.html``.
    json_path, report : path-like, optional
        One of them alone, under a name of its own.
    """
    written = []
    if out is not None:
        out = Path(out)
        tables = [item.per_trial.assign(model=name) for name, item in evaluations.items()]
        with replacing(out / "per_trial.csv") as temporary:
            pd.concat(tables).to_csv(temporary, index=False)
        written.append(out / "per_trial.csv")
        json_path, report = json_path or out / "scores.json", report or out / "report.html"
    if json_path:
        data = {"evaluations": {name: item.to_dict() for name, item in evaluations.items()}}
        data["comparison"] = None if comparison is None else comparison.to_dict()
        text = json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False)
        with replacing(json_path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
        written.append(Path(json_path))
    if report:
        from abaw_tf.report import write_report

        comparisons = () if comparison is None else (comparison,)
        title = "Scores of " + " and ".join(evaluations)
        written.append(write_report(report, title, evaluations, predictions, labels, comparisons=comparisons))
    return written
