"""The files that studies on real material read: a missing or damaged one is named, with what to do about it."""

from pathlib import Path

import pandas as pd


def check_clips(realdata, clips):
    """Refuse clips, videos below the folder `realdata`, that are not there.

    Raises
    ------
    FileNotFoundError
        Naming the first of them.
    """
    for clip in clips:
        if not (Path(realdata) / clip).is_file():
            raise FileNotFoundError(
                f"{Path(realdata) / clip}: no such video; the folder must hold the clips of MANIFEST.md"
            )


def read_csv(path, remedy, **options) -> pd.DataFrame:
    """Read a CSV file.

    Parameters
    ----------
    path : Path
    remedy : str
        Where to get the file.
    **options
        Of ``pandas.read_csv``.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is no CSV.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; {remedy}")
    try:
        return pd.read_csv(path, **options)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable CSV ({error}); {remedy}") from error
