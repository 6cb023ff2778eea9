"""A report: one self-contained HTML page of text, tables and figures."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes

from slth.files import write_whole

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1b1b; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
img { max-width: 100%; height: auto; } figure { margin: 1rem 0; }
.table { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
code, pre { font: .85rem ui-monospace, monospace; background: #f4f4f4; } pre { padding: .8rem; overflow-x: auto; }
footer { margin-top: 3rem; color: #666; font-size: .85rem; }
"""


@dataclass(frozen=True)
class Section:
    """A heading with paragraphs, then a table or a figure or code if given."""

    title: str
    text: str = ""
    header: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()
    figure: Axes | None = None
    caption: str = ""
    code: str = ""


def png(ax: Axes, dpi: int = 144) -> bytes:
    """The figure of ``ax`` as PNG."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def write_report(path: str | Path, *, title: str, lead: str, sections: Sequence[Section], footer: str) -> Path:
    """Write the page (whole or not at all); it refers to nothing outside itself."""
    body = "\n".join(_section(section) for section in sections)
    page = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{html.escape(title)}</h1>\n<p>{html.escape(lead)}</p>\n"
        f"{body}\n<footer>{html.escape(footer)}</footer>\n</body>\n</html>\n"
    )
    return write_whole(path, page)


def _section(section: Section) -> str:
    parts = [f"<h2>{html.escape(section.title)}</h2>"]
    parts += [f"<p>{html.escape(text)}</p>" for text in section.text.split("\n\n") if text]
    if section.rows:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in section.header)
        cells = (
            "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in section.rows
        )
        parts.append(f'<div class="table"><table><tr>{head}</tr>{"".join(cells)}</table></div>')
    if section.figure is not None:
        data = base64.b64encode(png(section.figure)).decode()
        parts.append(
            f'<figure><img alt="{html.escape(section.caption)}" src="data:image/png;base64,{data}">'
            f"<figcaption>{html.escape(section.caption)}</figcaption></figure>"
        )
    if section.code:
        parts.append(f"<pre>{html.escape(section.code)}</pre>")
    return "\n".join(parts)
