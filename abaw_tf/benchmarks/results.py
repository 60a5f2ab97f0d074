"""What a measurement returns, as a table for people and as JSON for programs."""

import json
import os
import platform
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Result:
    """One measured figure.

    Parameters
    ----------
    what : str
        What was measured.
    value : float
        The figure.
    unit : str
        Its unit.
    bar : float or None
        The promised figure, where there is one.
    higher_is_better : bool
        Whether the bar is a lower limit.
    """

    what: str
    value: float
    unit: str
    bar: float | None = None
    higher_is_better: bool = True

    @property
    def reached(self):
        """Whether the bar is reached; None without one."""
        if self.bar is None:
            return None
        return self.value >= self.bar if self.higher_is_better else self.value <= self.bar


def format_table(results):
    """Results as an aligned text table."""
    rows = [("what", "value", "unit", "bar", "")]
    for result in results:
        sign = "≥" if result.higher_is_better else "≤"
        bar = "" if result.bar is None else f"{sign} {result.bar:,.6g}"
        verdict = {None: "", True: "reached", False: "MISSED"}[result.reached]
        rows.append((result.what, f"{result.value:,.4g}", result.unit, bar, verdict))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def to_json(name, results):
    """Results with the machine they were measured on, as JSON text."""
    machine = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
    entries = [{**asdict(result), "reached": result.reached} for result in results]
    return json.dumps({"benchmark": name, **machine, "results": entries}, indent=1, ensure_ascii=False) + "\n"
