"""Feature tracks on disk: one memory-mapped array per trial and extractor, written once, whole or not at all.

``<root>/<extractor>-<key>/<trial>.npy`` (frames × dimensions, float16 or float32, frames without an image NaN) beside
``<trial>.json``. The key is a hash of the extractor's configuration and weights, so tracks of different networks never mix. A track
counts as present when both files are; the JSON file is written last.
"""

import errno
import hashlib
import json
import os
import socket
import time
from pathlib import Path

import numpy as np

from abaw_tf.features.track import FeatureTrack
from abaw_tf.files import allow_open_files

__all__ = ["FeatureStore", "FeatureTrack", "configuration_hash"]

DTYPES = ("float16", "float32")
DESCRIPTION = "extractor.json"
_FOREIGN_LEFTOVER_SECONDS = 24 * 3600


def configuration_hash(config):
    """SHA-256 (64 hexadecimal digits) of a JSON-able configuration; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class FeatureStore:
    """The tracks of one extractor (name, configuration and weights).

    Parameters
    ----------
    root : str or Path
        Folder of all stores; this one's is :attr:`folder`, created by the first :meth:`write`.
    extractor_name : str
        Name of the extractor, part of the folder's name.
    config : dict
        Everything besides the weights that determines its output, JSON-able.
    weights_hash : str
        Hash of its weights.
    """

    def __init__(self, root, extractor_name, config, weights_hash):
        if not extractor_name or any(c in extractor_name for c in "/\\") or extractor_name.startswith("."):
            raise ValueError(f"an extractor's name must be usable in a file name. Received: {extractor_name!r}")
        self.extractor_name, self.config, self.weights_hash = extractor_name, config, weights_hash
        self.config_hash = configuration_hash(config)
        key = hashlib.sha256(f"{self.config_hash} {weights_hash}".encode()).hexdigest()[:12]
        self.folder = Path(root) / f"{extractor_name}-{key}"

    @classmethod
    def open(cls, folder):
        """Open an existing store by its own folder (``<root>/<extractor>-<key>``), for reading on any machine.

        Raises
        ------
        FileNotFoundError
            If the folder holds no ``extractor.json``; the message lists stores below it.
        ValueError
            If that file is damaged.
        """
        folder = Path(folder)
        path = folder / DESCRIPTION
        if not path.is_file():
            below = sorted(p.parent.name for p in folder.glob(f"*/{DESCRIPTION}"))
            hint = (
                f"one of its folders is meant: {', '.join(below)}" if below else "run tools/extract_features.py first"
            )
            raise FileNotFoundError(f"{path}: not a feature store; {hint}")
        description = _read_json(path, ("extractor", "config", "weights_hash"), "delete it and extract again")
        store = cls(folder.parent, description["extractor"], description["config"], description["weights_hash"])
        store.folder = folder
        return store

    def has(self, trial, source=None):
        """Whether the track of `trial` is complete, and (if `source` is given) was made from that source."""
        sidecar = self._sidecar(trial)
        if not (sidecar.is_file() and self._array(trial).is_file()):
            return False
        return source is None or self._read_sidecar(trial).get("source_hash") == configuration_hash(source)

    def trials(self):
        """Names of the trials that are complete, sorted."""
        names = (path.stem for path in self.folder.glob("*.json") if path.name != DESCRIPTION)
        return sorted(name for name in names if not name.startswith(".") and self._array(name).is_file())

    def write(self, trial, values, missing=None, source=None, dtype="float16", notes=None):
        """Store a track, whole or not at all, replacing an older one.

        Parameters
        ----------
        trial : str
            Name of the trial.
        values : array, (n_frames, dim)
            Features; rows of missing frames are ignored.
        missing : array of bool, (n_frames,), optional
            Frames without an image; none by default.
        source : JSON-able, optional
            What the track was made from; its hash is kept, for :meth:`has`.
        dtype : {"float16", "float32"}
            Type on disk.
        notes : JSON-able, optional
            Kept in the sidecar, e.g. images that could not be read.

        Raises
        ------
        ValueError
            If shapes do not fit, a value is not finite, or does not fit into float16.
        """
        values, missing = self._checked(trial, values, missing, dtype)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.clean()
        self._describe()
        array, sidecar = self._array(trial), self._sidecar(trial)
        content = {
            "trial": trial,
            "extractor": self.extractor_name,
            "config_hash": self.config_hash,
            "weights_hash": self.weights_hash,
            "source_hash": configuration_hash(source) if source is not None else None,
            "n_frames": values.shape[0],
            "dim": values.shape[1],
            "dtype": dtype,
            "missing": _ranges(missing),
            **({"notes": notes} if notes else {}),
        }
        temporary = self._temporary(array)
        try:
            with open(temporary, "wb") as file:
                np.save(file, values, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
            # Between the two renames there is no sidecar, hence no track: an old one is never paired with new values.
            sidecar.unlink(missing_ok=True)
            os.replace(temporary, array)
        finally:
            temporary.unlink(missing_ok=True)
        self._write_json(sidecar, content)

    def read(self, trial):
        """Read a track without loading it.

        Returns
        -------
        FeatureTrack

        Raises
        ------
        FileNotFoundError
            If there is no complete track of that trial.
        ValueError
            If a file is damaged or the two files do not belong together.
        OSError
            If this process may not hold another file open.
        """
        allow_open_files()
        if not self.has(trial):
            raise FileNotFoundError(
                f"{self._array(trial)}: no track of trial {trial!r}; run tools/extract_features.py (it resumes). "
                f"Received: a store of {len(self.trials())} trials"
            )
        sidecar = self._read_sidecar(trial)
        path = self._array(trial)
        remedy = f"delete {path.name} and {path.stem}.json in {path.parent} and extract again"
        try:
            values = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            _check_that_files_open(path, error)
            raise ValueError(f"{path}: damaged array; {remedy}. Received: {error}") from error
        expected = (sidecar["n_frames"], sidecar["dim"], sidecar["dtype"])
        if values.ndim != 2 or (*values.shape, str(values.dtype)) != expected:
            raise ValueError(
                f"{path}: does not fit its sidecar, which says {expected[:2]} {expected[2]}; {remedy}. "
                f"Received: {values.shape} {values.dtype}"
            )
        missing = np.zeros(len(values), bool)
        for start, stop in sidecar["missing"]:
            missing[start:stop] = True
        return FeatureTrack(trial, values, missing)

    def notes(self, trial):
        """The notes that :meth:`write` was given, or None; errors as :meth:`read`."""
        return self._read_sidecar(trial).get("notes")

    def clean(self):
        """Remove what killed writers left behind; files of writers that are still alive are kept."""
        for path in self.folder.glob(".*.tmp"):
            host, _, process = path.name.removesuffix(".tmp").rpartition("@")[2].rpartition("-")
            if host == socket.gethostname():
                dead = process != str(os.getpid()) and not _alive(process)
            else:  # another machine on a shared disk: its processes cannot be asked
                try:
                    dead = time.time() - path.stat().st_mtime > _FOREIGN_LEFTOVER_SECONDS
                except FileNotFoundError:
                    continue
            if dead:
                path.unlink(missing_ok=True)

    def _array(self, trial):
        return self.folder / f"{_checked_name(trial)}.npy"

    def _sidecar(self, trial):
        return self.folder / f"{_checked_name(trial)}.json"

    @staticmethod
    def _temporary(path):
        return path.with_name(f".{path.name}@{socket.gethostname()}-{os.getpid()}.tmp")

    def _describe(self):
        path = self.folder / DESCRIPTION
        if not path.is_file():
            content = {"extractor": self.extractor_name, "config": self.config, "weights_hash": self.weights_hash}
            self._write_json(path, content)

    def _write_json(self, path, content):
        temporary = self._temporary(path)
        try:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def _read_sidecar(self, trial):
        path = self._sidecar(trial)
        remedy = f"delete {path.stem}.npy and {path.name} in {path.parent} and extract again"
        sidecar = _read_json(path, ("n_frames", "dim", "dtype", "missing", "config_hash", "weights_hash"), remedy)
        if (sidecar["config_hash"], sidecar["weights_hash"]) != (self.config_hash, self.weights_hash):
            raise ValueError(
                f"{path}: made by another configuration or other weights of {self.extractor_name!r}; {remedy}. "
                f"Received: config_hash={sidecar['config_hash'][:12]}…, weights_hash={sidecar['weights_hash'][:12]}…"
            )
        return sidecar

    @staticmethod
    def _checked(trial, values, missing, dtype):
        if dtype not in DTYPES:
            raise ValueError(f"`dtype` must be one of {DTYPES}. Received: dtype={dtype!r}")
        values = np.asarray(values)
        if values.ndim != 2 or 0 in values.shape:
            raise ValueError(
                f"trial {trial!r}: a track must be (n_frames, dim), neither of them 0. Received: shape={values.shape}"
            )
        missing = np.zeros(len(values), bool) if missing is None else np.asarray(missing, bool)
        if missing.shape != values.shape[:1]:
            raise ValueError(f"trial {trial!r}: `missing` must be {values.shape[:1]}. Received: shape={missing.shape}")
        with np.errstate(over="ignore"):
            stored = values.astype(dtype)  # always a copy: rows are overwritten below
        stored[missing] = np.nan
        bad = ~np.isfinite(stored).all(axis=1) & ~missing
        if bad.any():
            frame = int(np.argmax(bad))
            finite = np.isfinite(values[frame].astype(np.float64))
            if finite.all():
                largest = float(np.abs(values[frame].astype(np.float64)).max())
                raise ValueError(
                    f"trial {trial!r}, frame {frame}: a feature is too large for float16 (±65504); store the tracks as float32: "
                    f'dtype="float32". Received: {largest:g}'
                )
            raise ValueError(
                f"trial {trial!r}, frame {frame}: a feature is not finite though the frame is not missing; check the weights "
                f"and the preprocessing. Received: {values[frame][~finite][0]}"
            )
        return stored, missing


def _checked_name(trial):
    if not trial or trial.startswith(".") or any(c in trial for c in "/\\") or f"{trial}.json" == DESCRIPTION:
        raise ValueError(f"a trial's name must be usable as a file name. Received: {trial!r}")
    return trial


def _alive(process):
    """Whether a process of this machine with that number exists."""
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def _ranges(missing):
    """Half-open ranges [start, stop] of the true entries."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], missing, [False]])))
    return edges.reshape(-1, 2).tolist()


def _read_json(path, keys, remedy):
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        absent = [key for key in keys if key not in content]
    except (ValueError, TypeError, OSError) as error:
        _check_that_files_open(path, error)
        raise ValueError(f"{path}: cannot be read; {remedy}. Received: {error}") from error
    if absent:
        raise ValueError(f"{path}: entries are absent; {remedy}. Received: no {', '.join(absent)}")
    return content


def _check_that_files_open(path, error):
    """Tell a file that may not be opened from one that is damaged, and must be deleted."""
    if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
        told = f"{path}: too many files are open (each track that is in use is one); raise the limit, ulimit -n 10240"
        raise OSError(error.errno, f"{told}. Received: {error.strerror}") from error
