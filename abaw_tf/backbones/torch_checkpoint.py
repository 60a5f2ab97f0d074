"""Reader of PyTorch checkpoint files (``.pth``, ``.pt``, ``.bin``) without PyTorch, and without running anything that a file names.

Such a file is a pickle, which may name any function to be called. Here the pickle's names lead to nothing but the few stand-ins below
that put numbers together; every other name becomes a :class:`Foreign` object, which does nothing and is an error where weights are
expected. Both formats are read: the zip archive (since PyTorch 1.6), and the row of pickles before that.

Format: ``torch/serialization.py`` and ``torch/_utils.py`` of github.com/pytorch/pytorch.
"""

import collections
import pickle
import struct
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from abaw_tf.backbones.hdf5 import REMEDY_BROKEN

ZIP_MAGIC = b"PK\x03\x04"
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
STORAGES = {
    "HalfStorage": "f2",
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "CharStorage": "i1",
    "ShortStorage": "i2",
    "IntStorage": "i4",
    "LongStorage": "i8",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


def read_torch_checkpoint(path, key=None):
    """Read the weights in a PyTorch checkpoint.

    Parameters
    ----------
    path : str or Path
        File written by ``torch.save`` of a state dict, or of a dict that holds one.
    key : str, optional
        Entry of the file that holds the state dict, e.g. ``"model"``; by default the file is the state dict itself.

    Returns
    -------
    dict of str to numpy.ndarray
        Arrays by name, in the order of the file; numbers and texts between them are left out. Convolution kernels are (out, in,
        height, width) and matrices (out, in), as PyTorch keeps them. The arrays may share memory and must not be written to.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a PyTorch checkpoint, is damaged, has no such entry, or holds other things than weights there.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weight file")
    with open(path, "rb") as file:
        start = file.read(16)
        file.seek(0)
        try:
            if start.startswith(ZIP_MAGIC):
                with zipfile.ZipFile(file) as archive:
                    return _read_zip(archive, key)
            if start.startswith(pickle.dumps(LEGACY_MAGIC, 2)[:-1]):
                return _read_legacy(file, key)
        except _Refused as error:
            raise ValueError(f"{path}: {error}") from None
        except Exception as error:  # damaged pickles and archives raise nearly anything
            reason = f"{type(error).__name__}: {error}"[:200]
            raise ValueError(f"{path}: cannot read the checkpoint; {REMEDY_BROKEN}. Received: {reason}") from error
    raise ValueError(f"{path}: not a PyTorch checkpoint; {REMEDY_BROKEN}. Received: a file that begins with {start!r}")


class _Refused(Exception):
    """The file is whole, and is not what was asked for."""


class Foreign:
    """Stands for an object of a class that is not needed: it takes whatever the pickle gives it, and does nothing."""

    source = ""

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, *args, **kwargs):
        pass

    def _nothing(self, *args):
        pass

    __setstate__ = __setitem__ = append = extend = add = _nothing


class _Storage(NamedTuple):
    """A row of numbers that lies elsewhere in the file."""

    key: str
    size: int
    offset: int


class _Tensor(NamedTuple):
    """A view of a storage, as the file says: nothing is checked yet. Offset and strides are in elements."""

    storage: _Storage
    offset: int
    size: tuple
    stride: tuple

    def view(self, numbers):
        """The array, from all numbers of the storage; it never reaches beyond them, whatever the file says."""
        places = (self.offset, *self.size, *self.stride)
        if not all(type(n) is int and n >= 0 for n in places) or len(self.size) != len(self.stride):
            raise ValueError(f"a tensor of offset {self.offset}, size {self.size} and stride {self.stride}")
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride))
        if 0 not in self.size and last >= len(numbers):
            raise ValueError(f"a tensor that needs the number {last} of a storage of {len(numbers)}")
        strides = [step * numbers.itemsize for step in self.stride]
        found = np.lib.stride_tricks.as_strided(numbers[self.offset :], self.size, strides, writeable=False)
        return found if found.dtype.isnative else found.astype(found.dtype.newbyteorder("="))


class _Unpickler(pickle.Unpickler):
    """Finds nothing but stand-ins."""

    def __init__(self, file, byte_order="<"):
        super().__init__(file, encoding="latin1")  # names of Python 2 are bytes
        self._byte_order, self.dtypes = byte_order, {}

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        # New functions for every file: a pickle may write attributes of what it finds.
        if (module, name) in (("torch._utils", "_rebuild_tensor"), ("torch._utils", "_rebuild_tensor_v2")):
            return lambda storage, offset, size, stride, *_: _Tensor(storage, offset, size, stride)
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda data, *_: data
        if (module, name) == ("torch", "Size"):
            return lambda size: tuple(size)
        return type("Foreign", (Foreign,), {"source": f"{module}.{name}"})

    def persistent_load(self, saved_id):
        if saved_id[0] != "storage":  # of the legacy format: the source code of a whole network
            return saved_id[1]
        _, kind, key, _, size, *view = saved_id
        _, _, kind = kind.source.rpartition(".")
        if kind not in STORAGES:
            raise _Refused(f"tensors of this type are not supported, only {', '.join(STORAGES)}. Received: {kind}")
        dtype = np.dtype(STORAGES[kind]).newbyteorder(self._byte_order)
        self.dtypes[key] = dtype
        offset = 0
        if view and view[0] is not None:  # of the legacy format: a part of a storage
            _, offset, size = view[0]
        return _Storage(key, size, offset)


def _read_zip(archive, key):
    """``<root>/data.pkl`` refers to storages ``<root>/data/<key>``."""
    names = archive.namelist()
    roots = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise _Refused(f"not a PyTorch checkpoint but another zip archive. Received: files {', '.join(names[:5])}")
    root = roots[0]
    big = f"{root}byteorder" in names and archive.read(f"{root}byteorder") == b"big"
    with archive.open(f"{root}data.pkl") as file:
        unpickler = _Unpickler(file, ">" if big else "<")
        tensors = _choose(unpickler.load(), key)
    wanted = {tensor.storage.key for tensor in tensors.values()}
    numbers = {name: np.frombuffer(archive.read(f"{root}data/{name}"), unpickler.dtypes[name]) for name in wanted}
    return _views(tensors, numbers)


def _read_legacy(file, key):
    """Five pickles (a magic number, the version, the machine, the content, the keys of the storages), then the storages."""
    _, version, machine = (_Unpickler(file).load() for _ in range(3))
    if version != LEGACY_PROTOCOL:
        raise _Refused(f"a version of the format that is not known. Received: {version}")
    order = "<" if machine["little_endian"] else ">"
    unpickler = _Unpickler(file, order)
    tensors = _choose(unpickler.load(), key)
    wanted = {tensor.storage.key for tensor in tensors.values()}
    numbers = {}
    for name in _Unpickler(file).load():
        (count,) = struct.unpack(f"{order}q", file.read(8))
        dtype = unpickler.dtypes[name]
        if name in wanted:
            numbers[name] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
        else:
            file.seek(count * dtype.itemsize, 1)
    return _views(tensors, numbers)


def _choose(content, key):
    """The tensors by name in the content of a file."""
    if key is not None:
        if not isinstance(content, dict) or key not in content:
            raise _Refused(f"there is no entry {key!r} in the checkpoint. Received: {_told(content)}")
        content = content[key]
    tensors = {}
    for name, value in content.items() if isinstance(content, dict) else ():
        if isinstance(value, _Tensor):
            tensors[name] = value
        elif not isinstance(value, int | float | str | None):
            tensors = {}
            break
    if not tensors or not all(isinstance(name, str) for name in tensors):
        raise _Refused(
            f"no state dict of tensors by name; tell with `key` which entry of the checkpoint holds it, or save only "
            f"the network's state_dict(). Received: {_told(content)}"
        )
    return tensors


def _told(value):
    """What a value is, for error messages."""
    if isinstance(value, dict):
        entries = [
            f"{name!r} ({_told(inner) if not isinstance(inner, dict) else 'dict'})" for name, inner in value.items()
        ]
        return f"a dict of {', '.join(entries[:6])}{' …' if len(entries) > 6 else ''}"
    if isinstance(value, Foreign):
        return f"an object of {value.source}"
    return "a tensor" if isinstance(value, _Tensor) else f"a value of type {type(value).__name__}"


def _views(tensors, numbers):
    views = {}
    for name, tensor in tensors.items():
        storage = tensor.storage
        row = numbers[storage.key][storage.offset : storage.offset + storage.size]
        if len(row) != storage.size:
            raise ValueError(f"{len(row)} of the {storage.size} numbers of {name}")
        views[name] = tensor.view(row)
    return views
