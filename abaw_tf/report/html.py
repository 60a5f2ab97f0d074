"""Pieces of the HTML pages: frame, notes, tables, embedded pictures.

Pictures are embedded; a page loads nothing from elsewhere. Whatever comes from outside (names, notes, run cards) is escaped.
"""

import base64
import datetime
import io
from collections.abc import Mapping
from html import escape
from pathlib import Path

import abaw_tf
from abaw_tf.files import replacing

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; color: #222; background: #fff;
  max-width: 1080px; margin: 2rem auto 4rem; padding: 0 1.25rem; }
h1 { font-size: 1.7rem; margin: 0 0 .2rem; } h2 { font-size: 1.3rem; margin: 2.4rem 0 .6rem; border-bottom: 1px solid #ddd; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; } p { margin: .4rem 0; } .small { color: #666; font-size: .87rem; }
.notes { background: #fff6e0; border-left: 4px solid #e69f00; padding: .5rem .9rem; margin: .9rem 0; }
.notes p { margin: .2rem 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; margin: .5rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .22rem .7rem; border-bottom: 1px solid #e6e6e6; text-align: right; white-space: nowrap; }
th { background: #f6f6f6; font-weight: 600; } th:first-child, td:first-child { text-align: left; }
tr.head td { font-weight: 700; } .card td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; } .pictures figure { flex: 1 1 320px; max-width: 520px; }
img { max-width: 100%; height: auto; } figure { margin: .6rem 0; } summary { cursor: pointer; }
"""


def write_page(path, title, body) -> Path:
    """Write a page of the given parts (empty ones are left out); it appears only when complete."""
    page = (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(str(title))}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>\n<body>\n'
        + "\n".join(part for part in body if part)
        + "\n</body></html>\n"
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(path)


def subtitle(what) -> str:
    """What the page is about, the version of the toolkit, and when the page was made."""
    when = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    return f'<p class="small">{escape(what)} · abaw_tf {escape(abaw_tf.__version__)} · {when}</p>'


def notes_box(notes) -> str:
    """A box with a paragraph per note; nothing without notes."""
    notes = [notes] if isinstance(notes, str) else [note for note in notes or () if note]
    if not notes:
        return ""
    return '<div class="notes">' + "".join(f"<p>{escape(str(note))}</p>" for note in notes) + "</div>"


def flat(mapping, prefix="") -> list:
    """Rows (dotted name, text) of nested mappings."""
    rows = []
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            rows += flat(value, f"{name}.")
        else:
            rows.append((name, ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)))
    return rows


def html_table(header, rows, kind="", marked=None) -> str:
    """A table; rows for which `marked` is true are set in bold."""
    lines = ["<tr>" + "".join(f"<th>{escape(str(cell))}</th>" for cell in header) + "</tr>"] if any(header) else []
    for row in rows:
        strong = ' class="head"' if marked and marked(row) else ""
        lines.append(f"<tr{strong}>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>")
    return f'<div class="scroll"><table class="{kind}">' + "".join(lines) + "</table></div>"


def new_figure(size):
    """A figure of that size (inches), outside pyplot."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def picture(figure, text) -> str:
    """A figure as an embedded PNG; `text` stands in for it where it cannot be seen."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<figure><img alt="{escape(text, quote=True)}" src="data:image/png;base64,{data}"></figure>'
