"""Folders of synthetic data: complete or not there, reused when the same is asked for again, never mistaken for something else."""

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

MANIFEST = "synthetic.json"
# Raised whenever the same configuration would give other files.
FORMAT = 1


def make_folder(root, configuration, overwrite, write) -> Path:
    """Make the folder `root` of a dataset with ``write(folder)``, unless it holds that dataset already.

    Parameters
    ----------
    root : path-like
        It appears when it is complete; an interrupted call leaves nothing behind under this name.
    configuration : dataclass
        What decides the content.
    overwrite : bool
        Replace a synthetic dataset of another configuration.
    write : callable
        Takes a new folder, fills it and calls `write_manifest`.

    Returns
    -------
    Path
        `root`.

    Raises
    ------
    FileExistsError
        `root` exists and is something else.
    ValueError
        Its manifest is damaged.
    """
    root = Path(root)
    if _reusable(root, configuration, overwrite):
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    partial = root.parent / f".{root.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        write(partial)
        _put_in_place(partial, root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return root


def write_manifest(folder, note, configuration, **entries) -> None:
    """Write ``synthetic.json``: a note, the configuration, and whatever else the dataset tells about itself."""
    content = {"note": note, **_description(configuration), **entries}
    (folder / MANIFEST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _description(configuration) -> dict:
    """The part of the manifest that must agree for a dataset to be reused."""
    return json.loads(json.dumps({"format": FORMAT, "configuration": asdict(configuration)}))


def _reusable(root, configuration, overwrite) -> bool:
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    manifest = root / MANIFEST
    if not manifest.is_file():
        raise FileExistsError(f"{root} exists and is not a synthetic dataset (no {MANIFEST}): choose another folder")
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{manifest}, line {error.lineno}: not JSON ({error.msg}); delete {root} and make it again"
        ) from None
    wanted = _description(configuration)
    if {key: found.get(key) for key in wanted} == wanted:
        return True
    if overwrite:
        return False
    before, now = (
        {"format": found.get("format"), **found.get("configuration", {})},
        {"format": FORMAT, **wanted["configuration"]},
    )
    changed = ", ".join(
        f"{key}: {before.get(key)} there, {now[key]} asked" for key in now if before.get(key) != now[key]
    )
    raise FileExistsError(
        f"{root} holds another synthetic dataset ({changed}): pass overwrite=True or choose another folder"
    )


def _put_in_place(partial, root) -> None:
    if root.exists():
        old = root.parent / f".{root.name}.old"
        shutil.rmtree(old, ignore_errors=True)
        os.replace(root, old)
        os.replace(partial, root)
        shutil.rmtree(old)
    else:
        os.replace(partial, root)
