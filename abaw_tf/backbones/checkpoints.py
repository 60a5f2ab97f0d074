"""Published weight files: found on this machine, checked, downloaded if asked for. The files are listed in :mod:`.published`.

No weights are shipped and nothing is downloaded unless asked for: most files have no licence that allows passing them on.
"""

import difflib
import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path

from abaw_tf.backbones.hdf5 import LoadReport, load_hdf5_weights, read_hdf5_weights
from abaw_tf.backbones.published import REGISTRY, Weights
from abaw_tf.files import replacing

__all__ = [
    "REGISTRY",
    "LoadReport",
    "Weights",
    "file_hash",
    "load_hdf5_weights",
    "locate",
    "read_hdf5_weights",
    "search_folders",
]

ENVIRONMENT_VARIABLE = "ABAW_TF_WEIGHTS"
DEFAULT_FOLDER = Path("~/.cache/abaw_tf/weights")


def search_folders():
    """Folders in which :func:`locate` looks: ``$ABAW_TF_WEIGHTS`` if it is set, then ``~/.cache/abaw_tf/weights``."""
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    return [Path(folder).expanduser() for folder in ([chosen] if chosen else []) + [DEFAULT_FOLDER]]


def file_hash(path):
    """SHA-256 of a file's content as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def locate(weights, path=None, download=False):
    """Find a weight file on this machine and check that it is the published one.

    Parameters
    ----------
    weights : str or Path
        A name in :data:`REGISTRY`, or the path of a weight file (which is taken as it is).
    path : str or Path, optional
        The file, or the folder that holds it under its published name, looked at instead of :func:`search_folders`.
    download : bool
        Fetch the file into the first of those folders if it is in none of them.

    Returns
    -------
    Path
        An existing file, whose SHA-256 is right where the registry knows it; of a TensorFlow checkpoint the name that its files share.

    Raises
    ------
    FileNotFoundError
        If the file is nowhere; the message says which file to put where.
    ValueError
        If the name is unknown, or the file is not the published one.
    ConnectionError
        If the download fails.
    """
    entry = REGISTRY.get(str(weights))
    if entry is None:
        return _plain_file(weights, path)
    if path is not None:
        path = Path(path).expanduser()
        candidates = [path / entry.file if path.is_dir() else path]
    else:
        candidates = [folder / entry.file for folder in search_folders()]
    for candidate in candidates:
        if _is_there(candidate):
            _check(candidate, entry)
            return candidate
    if download:
        return _download(entry, candidates[0])
    raise FileNotFoundError(
        f"weights {entry.name!r} not found: {_by_hand(entry, candidates[0])}"
        + (" (or ask for it: download=True)" if entry.direct else "")
        + f". Received: looked at {', '.join(map(str, candidates))}"
    )


def _is_there(path):
    """Whether `path` is a file, or the name that the files of a TensorFlow checkpoint share."""
    return path.is_file() or Path(f"{path}.index").is_file()


def _plain_file(weights, path):
    """A path instead of a name."""
    found = Path(weights).expanduser()
    if path is None and _is_there(found):
        return found
    near = difflib.get_close_matches(str(weights), REGISTRY, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    if path is None and (found.suffix or len(found.parts) > 1):
        raise FileNotFoundError(f"{found}: no such weight file{hint}")
    raise ValueError(
        f"unknown weights{hint} Known: {', '.join(REGISTRY)}, or the path of a file. Received: {str(weights)!r}"
    )


def _by_hand(entry, target):
    how = "get" if entry.direct else "get, by hand from the page,"
    folder, _, unpacked = entry.file.rpartition("/")
    if folder and target.parts[-2:] == (folder, unpacked):
        return f"{how} {entry.url} and unpack it in {target.parents[1]} or ${ENVIRONMENT_VARIABLE}, as {entry.file}"
    return f"{how} {entry.url} and put the file {entry.file} into {target.parent} or ${ENVIRONMENT_VARIABLE}"


def _check(path, entry):
    if entry.sha256 is not None and (received := file_hash(path)) != entry.sha256:
        raise ValueError(
            f"{path}: not the published file of {entry.name!r} (damaged, or another version); delete it and "
            f"{_by_hand(entry, path)}. Expected SHA-256 {entry.sha256}. Received: {received}"
        )


def _download(entry, target):
    """Fetch under a temporary name, check, rename: a file under its own name is always whole."""
    if not entry.direct:
        raise ConnectionError(f"{entry.name!r} cannot be downloaded by program: {_by_hand(entry, target)}")
    from tqdm.auto import tqdm

    try:
        with replacing(target) as partial:
            with urllib.request.urlopen(entry.url, timeout=30) as response, open(partial, "wb") as file:
                size = int(response.headers.get("Content-Length") or 0)
                with tqdm(total=size or None, unit="B", unit_scale=True, desc=entry.file) as bar:
                    while block := response.read(1 << 18):
                        file.write(block)
                        bar.update(len(block))
            if size and partial.stat().st_size != size:
                raise ConnectionError(f"the transfer ended after {partial.stat().st_size} of {size} bytes")
            _check(partial, entry)
    except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
        raise ConnectionError(
            f"downloading {entry.name!r} failed: {_by_hand(entry, target)}. Received: {error}"
        ) from error
    return target
