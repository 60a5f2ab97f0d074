"""Chunks of WAV and AIFF files: what their headers announce, held against what the file holds."""

import os
import struct
from typing import NamedTuple

# Byte order of the sizes, by the first four bytes of a file.
_ORDER = {b"RIFF": "<", b"RF64": "<", b"RIFX": ">", b"FORM": ">"}
# Chunks with the samples, of WAV and of AIFF.
_SOUND = (b"data", b"SSND")
# From here on, and zero: sizes that programs write which cannot come back to fill in the true one (output to a pipe).
_UNKNOWN_SIZE = 0x7FFFF000


class Chunk(NamedTuple):
    """A chunk: its four-letter name, the bytes that its header announces, and those that the file holds of them."""

    name: bytes
    size: int
    held: int


def read_chunks(path) -> list[Chunk]:
    """The chunks of a RIFF, RIFX, RF64 or AIFF file up to the end of the file, in their order; none of another file.

    What follows them and is no chunk comes last, as one without a name of which nothing is held.
    """
    chunks, long_size = [], None
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(0)
        order = _ORDER.get(file.read(12)[:4])
        while order and (begin := file.tell()) < end:
            header = file.read(8)
            if len(header) < 8 or not all(32 <= letter < 127 for letter in header[:4]):
                return [*chunks, Chunk(b"", end - begin, 0)]
            name, size = struct.unpack(f"{order}4sI", header)
            if name == b"ds64" and size >= 16:  # RF64: the size of the data chunk does not fit its header
                long_size = struct.unpack("<8xQ", file.read(16).ljust(16, b"\0"))[0]
            elif name == b"data" and size == 0xFFFFFFFF and long_size:
                size = long_size
            begin += 8
            chunks.append(Chunk(name, size, max(0, min(size, end - begin))))
            file.seek(begin + size + size % 2)
    return chunks


def missing_sound(path) -> tuple[int, int] | None:
    """Bytes of sound that the header announces and that the file holds, where these are fewer; None otherwise."""
    for name, size, held in read_chunks(path):
        if name in _SOUND:
            streamed = size == 0 or _UNKNOWN_SIZE <= size <= 0xFFFFFFFF
            return None if streamed or held == size else (size, held)
    return None


def is_unclosed(path) -> bool:
    """Whether the header announces no sound, but the file goes on with something else than chunks (an interrupted recording)."""
    chunks = read_chunks(path)
    sizes = [chunk.size for chunk in chunks if chunk.name in _SOUND]
    return sizes[:1] == [0] and any(chunk.held < chunk.size for chunk in chunks)


def is_plain(path) -> bool:
    """Whether it is a RIFF file as the simplest readers expect it.

    Its header announces the size it has; its chunks are whole and of even sizes, ``fmt`` is the first, and one holds samples.
    """
    with open(path, "rb") as file:
        announced = struct.pack("<I", (file.seek(0, os.SEEK_END) - 8) % 2**32)
        file.seek(0)
        if file.read(8) != b"RIFF" + announced:
            return False
    chunks = read_chunks(path)
    names = [chunk.name for chunk in chunks]
    return (
        names[:1] == [b"fmt "]
        and names.count(b"data") == 1
        and all(size == held and size % 2 == 0 and (size or name != b"data") for name, size, held in chunks)
    )
