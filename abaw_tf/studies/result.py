"""What a study gives back: a table, a picture and what has to be said about them."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class StudyResult:
    """Outcome of one study.

    Attributes
    ----------
    name : str
        Its name on the command line.
    title : str
    table : pandas.DataFrame
        One row per method, figures in columns.
    notes : list of str
        What was measured on, and what the figures do not say.
    figure : matplotlib.figure.Figure
    """

    name: str
    title: str
    table: pd.DataFrame
    notes: list = field(default_factory=list)
    figure: Any = None
