"""Writes PyTorch checkpoint files byte by byte, after the description of the two formats; PyTorch is not needed.

A content is made of dicts, lists, tuples, texts, numbers, arrays (they become tensors) and the opcodes below.
"""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

STORAGES = {
    "float16": "Half", "float32": "Float", "float64": "Double", "int8": "Char", "int16": "Short", "int32": "Int",
    "int64": "Long", "uint8": "Byte", "bool": "Bool", "bfloat16": "BFloat16",
}  # fmt: skip


@dataclass
class Global:
    """A name that the pickle asks for."""

    module: str
    name: str


@dataclass
class Call:
    """A function called with arguments."""

    function: object
    arguments: tuple


@dataclass
class Build:
    """A state given to an object."""

    target: object
    state: object


@dataclass
class Stored:
    """Numbers kept apart from the pickle, under a key; `part` is the legacy format's (key, offset, size) of a part of a storage."""

    key: str
    numbers: np.ndarray
    kind: str = ""
    size: int | None = None
    part: tuple | None = None


@dataclass
class View:
    """A tensor by its storage, offset, size and stride in elements."""

    stored: Stored
    offset: int
    size: tuple
    stride: tuple


class _Pickle:
    """Opcodes of protocol 2; meets every `Stored` on its way."""

    def __init__(self, legacy):
        self.legacy, self.stored = legacy, {}

    def encode(self, value):
        if isinstance(value, np.ndarray):
            steps = [step // value.itemsize for step in np.zeros(value.shape, value.dtype).strides]
            value = View(Stored(f"{len(self.stored)}", value.ravel()), 0, value.shape, tuple(steps))
        if isinstance(value, View):
            arguments = (value.stored, value.offset, value.size, value.stride, False, OrderedDict())
            value = Call(Global("torch._utils", "_rebuild_tensor_v2"), arguments)
        if isinstance(value, Stored):
            self.stored[value.key] = value
            kind = value.kind or STORAGES[value.numbers.dtype.name]
            size = value.numbers.size if value.size is None else value.size
            saved = ("storage", Global("torch", f"{kind}Storage"), value.key, "cpu", size)
            return self.encode(saved + ((value.part,) if self.legacy else ())) + b"Q"
        if isinstance(value, Global):
            return f"c{value.module}\n{value.name}\n".encode()
        if isinstance(value, Call):
            return self.encode(value.function) + self.encode(value.arguments) + b"R"
        if isinstance(value, Build):
            return self.encode(value.target) + self.encode(value.state) + b"b"
        if isinstance(value, OrderedDict):
            return b"ccollections\nOrderedDict\n)R" + self._items(value)
        if isinstance(value, dict):
            return b"}" + self._items(value)
        if isinstance(value, tuple):
            return b"(" + b"".join(map(self.encode, value)) + b"t"
        if isinstance(value, list):
            return b"](" + b"".join(map(self.encode, value)) + b"e"
        return pickle.dumps(value, 2)[2:-1]  # a text or a number

    def _items(self, items):
        return b"(" + b"".join(self.encode(key) + self.encode(item) for key, item in items.items()) + b"u"

    def dump(self, value):
        return b"\x80\x02" + self.encode(value) + b"."


def write_zip(path, content, root="archive", big=False, lacking=(), files=()):
    """The format since PyTorch 1.6."""
    writer = _Pickle(legacy=False)
    data = writer.dump(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{root}/data.pkl", data)
        archive.writestr(f"{root}/byteorder", "big" if big else "little")
        for key, stored in writer.stored.items():
            if key not in lacking:
                archive.writestr(f"{root}/data/{key}", _bytes(stored.numbers, big))
        archive.writestr(f"{root}/version", "3\n")
        for name, text in dict(files).items():
            archive.writestr(name, text)
    return path


def write_legacy(path, content, big=False, version=1001):
    """The format before PyTorch 1.6."""
    writer, file = _Pickle(legacy=True), io.BytesIO()
    file.write(pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(version, 2))
    machine = {"protocol_version": version, "little_endian": not big, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    file.write(pickle.dumps(machine, 2))
    file.write(writer.dump(content))
    file.write(pickle.dumps(list(writer.stored), 2))
    for stored in writer.stored.values():
        file.write(struct.pack(">q" if big else "<q", stored.numbers.size) + _bytes(stored.numbers, big))
    path.write_bytes(file.getvalue())
    return path


def _bytes(numbers, big):
    return numbers.astype(numbers.dtype.newbyteorder(">" if big else "<")).tobytes()


WRITERS = {"zip": write_zip, "legacy": write_legacy}
