"""What a study gives back: a table, a picture and what has to be said about them."""

from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from abaw_tf.files import replacing


@dataclass(frozen=True)
class StudyResult:
    """Outcome of one study.

    Attributes
    ----------
    name : str
        Its name on the command line.
    title : str
    table : pandas.DataFrame
        One row per method, figures in columns; ``low`` and ``high`` (``gain_low`` and ``gain_high``) are the ends of the 95 % interval.
    notes : list of str
        What was measured on, and what the figures do not say.
    figure : matplotlib.figure.Figure
    """

    name: str
    title: str
    table: pd.DataFrame
    notes: list = field(default_factory=list)
    figure: Any = None

    def to_markdown(self) -> str:
        """Title, table and notes as Markdown."""
        header, rows = self._cells()
        left = self.table.index.nlevels
        lines = [header, [":--"] * left + ["--:"] * (len(header) - left), *rows]
        table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)
        return "\n".join([f"### {self.title}", "", table, "", *[f"- {note}" for note in self.notes], ""])

    def format(self) -> str:
        """Title, table and notes for a terminal."""
        header, rows = self._cells()
        left = self.table.index.nlevels
        widths = [max(len(row[k]) for row in (header, *rows)) for k in range(len(header))]
        lines = [
            "  ".join(c.ljust(w) if k < left else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths))).rstrip()
            for row in (header, ["-" * width for width in widths], *rows)
        ]
        return "\n".join([self.title, "", *lines, "", *[f"note: {note}" for note in self.notes]])

    def write(self, folder) -> list:
        """Write ``<name>.csv`` (all digits), ``<name>.md`` and, where there is a figure, ``<name>.png``; returns their paths."""
        folder = Path(folder)
        paths = [folder / f"{self.name}.csv", folder / f"{self.name}.md"]
        with replacing(paths[0]) as temporary:
            self.table.to_csv(temporary)
        with replacing(paths[1]) as temporary:
            temporary.write_text(self.to_markdown(), encoding="utf-8")
        if self.figure is not None:
            paths.append(folder / f"{self.name}.png")
            with replacing(paths[2]) as temporary:
                self.figure.savefig(temporary, format="png", dpi=100)
        return paths

    def _cells(self):
        """Header and rows as text, the two ends of an interval in one cell."""
        columns = list(self.table.columns)
        upper = {low: high for low in columns if (high := f"{low.removesuffix('low')}high") in columns and low != high}
        names = [name for name in columns if name not in upper.values()]
        header = [str(name or "") for name in self.table.index.names]
        header += [_heading(name) for name in names]
        rows = []
        for label, row in zip(self.table.index, self.table.to_dict("records")):
            cells = [str(part) for part in (label if isinstance(label, tuple) else (label,))]
            cells += [_span(row[name], row[upper[name]]) if name in upper else _text(row[name]) for name in names]
            rows.append(cells)
        return header, rows


def _heading(name) -> str:
    words = str(name).replace("_", " ")
    return f"{words[:-3]}95 % interval" if words.split()[-1:] == ["low"] else words


def _text(value) -> str:
    if value is None or (isinstance(value, Real) and np.isnan(value)):
        return "–"
    if isinstance(value, Integral):
        return f"{value:,}"
    return _number(value) if isinstance(value, Real) else str(value)


def _span(low, high) -> str:
    return "–" if np.isnan(low) else f"{_number(low)} … {_number(high)}"


def _number(value) -> str:
    """Four digits; what rounds to zero has no sign."""
    return f"{round(value, 4) + 0.0:.4f}"
