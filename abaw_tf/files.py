"""Files that are either complete or not there, and how many of them a process may hold open."""

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


def allow_open_files(wanted=10_240):
    """Let this process hold more files open than the 1,024 with which most systems begin, as far as the system allows it.

    A memory-mapped array holds its file open for as long as it lives, and a dataset has a track per trial and input.

    Parameters
    ----------
    wanted : int
        Files open at the same time; a limit that is higher already stays.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    most = wanted if hard == unlimited else min(wanted, hard)
    if soft != unlimited and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
