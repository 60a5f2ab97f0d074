"""Files that are either complete or not there."""

import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path):
    """Write a file under a temporary, hidden name beside it; it takes its own name when the block ends without an error.

    Missing folders are made. Whatever happens, an earlier file of that name stays whole and no temporary one is left behind.

    Parameters
    ----------
    path : path-like

    Yields
    ------
    pathlib.Path
        Where to write. All suffixes stay at the end (``.best.42.part.keras``), since they tell many writers the format; the
        process number keeps two writers apart.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    stem, dot, suffixes = path.name.partition(".")
    temporary = path.with_name(f".{stem}.{os.getpid()}.part{dot}{suffixes}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
