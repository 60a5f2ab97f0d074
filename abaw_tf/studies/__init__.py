"""Experiments whose tables and pictures stand in the documentation; `STUDIES` names them.

Each is a module with a function ``run(…, bootstrap=1000, seed=0) -> StudyResult``, and takes the folder of real material, a number of
draws, or a folder to work in, as `TAKES` says.
"""

import importlib
import os
from pathlib import Path

STUDIES = {
    "fusion_votes": "cremad",
    "fusion_raters": "raters",
    "fusion_networks": "networks",
    "do2020": "do2020",
    "do2020_real": "do2020_real",
    "rasipuram2020": "rasipuram2020",
    "rasipuram2020_real": "rasipuram2020_real",
    "dresvyanskiy2020": "dresvyanskiy2020",
    "dresvyanskiy2020_real": "dresvyanskiy2020_real",
}
"""Module of this package by the name of the study."""

TAKES = dict.fromkeys(STUDIES, ("realdata", "draws")) | {
    "do2020": ("work",),
    "do2020_real": ("realdata", "work"),
    "rasipuram2020": ("work",),
    "rasipuram2020_real": ("realdata", "work"),
    "dresvyanskiy2020": ("draws", "work"),
    "dresvyanskiy2020_real": ("realdata", "draws", "work"),
}
"""What a study is run with, besides resamples and seed: those without real material render their data themselves."""

WITHOUT = {"realdata": "renders its data", "draws": "searches no weights", "work": "trains nothing"}

WORK = Path("reproduced")
"""Folder of the work folders, unless one is named."""

ENVIRONMENT_VARIABLE = "ABAW_TF_REALDATA"


def run_study(name, realdata=None, draws=None, bootstrap=1000, seed=0, work=None):
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
        Of draws, folds, trainings and resamples; the same seed gives the same table.
    work : path-like, optional
        Where a study that trains networks keeps its data and runs, and finds those that are finished. Default: ``reproduced/<name>``.

    Returns
    -------
    abaw_tf.studies.result.StudyResult

    Raises
    ------
    FileNotFoundError
        There is no such folder, or it lacks what the study needs.
    ValueError
        There is no such study, it does not take what is given, or a number is out of range.
    """
    if name not in STUDIES:
        raise ValueError(f"study must be one of {', '.join(STUDIES)}. Received: {name!r}")
    if (draws is not None and draws < 0) or bootstrap < 0:
        raise ValueError(f"draws and bootstrap must not be negative. Received: draws={draws}, bootstrap={bootstrap}")
    given = {"realdata": realdata, "draws": draws, "work": work}
    for option, value in given.items():
        if value is not None and option not in TAKES[name]:
            raise ValueError(f"the study {name} {WITHOUT[option]}: leave {option} out. Received: {option}={value}")
    given["work"] = Path(work or WORK / name)
    if "realdata" in TAKES[name]:
        given["realdata"] = realdata_folder(realdata)
    run = importlib.import_module(f"abaw_tf.studies.{STUDIES[name]}").run
    return run(**{option: given[option] for option in TAKES[name]}, bootstrap=bootstrap, seed=seed)


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
