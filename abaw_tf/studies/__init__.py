"""Experiments on real material whose tables and pictures stand in the documentation.

Each study is a module with a function ``run(realdata, draws=None, bootstrap=1000, seed=0) -> StudyResult``; `STUDIES` names them.
"""

import importlib
import os
from pathlib import Path

STUDIES = {
    "fusion_votes": "cremad",
    "fusion_raters": "raters",
    "fusion_networks": "networks",
}
"""Module of this package by the name of the study."""

ENVIRONMENT_VARIABLE = "ABAW_TF_REALDATA"


def run_study(name, realdata=None, draws=None, bootstrap=1000, seed=0):
    """Run a study.

    Parameters
    ----------
    name : str
        A key of `STUDIES`.
    realdata : path-like, optional
        Folder of the real material, see `realdata_folder`.
    draws : int, optional
        Draws of each weight search. Default: the study's own.
    bootstrap : int
        Resamples of the intervals, 0 for none.
    seed : int
        Of draws, folds and resamples; the same seed gives the same table.

    Returns
    -------
    abaw_tf.studies.result.StudyResult

    Raises
    ------
    FileNotFoundError
        There is no such folder, or it lacks what the study needs.
    ValueError
        There is no such study, or a number is out of range.
    """
    if name not in STUDIES:
        raise ValueError(f"study must be one of {', '.join(STUDIES)}. Received: {name!r}")
    if (draws is not None and draws < 0) or bootstrap < 0:
        raise ValueError(f"draws and bootstrap must not be negative. Received: draws={draws}, bootstrap={bootstrap}")
    folder = realdata_folder(realdata)
    return importlib.import_module(f"abaw_tf.studies.{STUDIES[name]}").run(folder, draws, bootstrap, seed)


def realdata_folder(path=None) -> Path:
    """Folder of the real material: `path`, else the one that the environment variable ``ABAW_TF_REALDATA`` names.

    Raises
    ------
    FileNotFoundError
        Neither is given, or the folder has no ``MANIFEST.md``.
    """
    given = path or os.environ.get(ENVIRONMENT_VARIABLE)
    needs = (
        "the studies need the folder of real material (votes_cremad, multirater_green_TaskA, models, video_grid, video_pyfeat and their "
        f"MANIFEST.md); name it with --realdata or in the environment variable {ENVIRONMENT_VARIABLE}"
    )
    if not given:
        raise FileNotFoundError(f"{needs}. Received: neither")
    folder = Path(given).expanduser()
    if not (folder / "MANIFEST.md").is_file():
        raise FileNotFoundError(f"{folder}: no MANIFEST.md there; {needs}. Received: {given}")
    return folder
