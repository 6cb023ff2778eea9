"""A report: one self-contained HTML page of text, figures, and the numbers behind them in tables that sort."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes

from slth.files import write_whole

# Longer tables are folded away under a line that opens them.
LONG = 16

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1b1b; max-width: 50rem; margin: 2rem auto; padding: 0 1rem;
  overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
img { max-width: 100%; height: auto; } figure { margin: 1rem 0; } figcaption { color: #555; font-size: .9rem; }
.table { overflow-x: auto; max-height: 32rem; overflow-y: auto; } .table:focus { outline: 2px solid #2b6cb0; }
table { border-collapse: collapse; font-size: .9rem; overflow-wrap: normal; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { position: sticky; top: 0; background: #fff; vertical-align: bottom; }
th button { all: unset; cursor: pointer; font-weight: 600; white-space: normal; min-width: 3.5rem; max-width: 10rem; }
th button:focus-visible { outline: 2px solid #2b6cb0; }
th button::after { content: "\\00a0↕"; color: #999; }
th[aria-sort=ascending] button::after { content: "\\00a0↑"; color: #1b1b1b; }
th[aria-sort=descending] button::after { content: "\\00a0↓"; color: #1b1b1b; }
summary { cursor: pointer; margin: .5rem 0; }
code, pre { font: .85rem ui-monospace, monospace; background: #f4f4f4; } pre { padding: .8rem; overflow-x: auto; }
footer { margin-top: 3rem; color: #666; font-size: .85rem; }
"""

# A cell counts as the number it begins with (0.3 [0.2, 0.4], 12%, 1,234, 2 of 5, > 128, just above 128); a column with
# anything else in it, but for words that stand for a missing number, is text. Those come last either way.
_SCRIPT = """
const number = text => {
  const found = text.trim().replace(/,(?=\\d{3})/g, "").replace(/^[−-](?=\\d)/, "-")
    .match(/^(?:ε = )?([<>≤≥]?) *([+-]?(?:\\d+\\.?\\d*|\\.\\d+)(?:e[+-]?\\d+)?)/i);
  return found ? [Number(found[2]), {"<": -1, ">": 1}[found[1]] ?? 0] : null;
};
const missing = text => ["", "–", "-", "refused", "not in range", "nan"].includes(text.trim());
const compare = (a, b) => a[0] - b[0] || a[1] - b[1];
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    const text = row => row.cells[column].textContent;
    const rows = [...body.rows], full = rows.filter(row => !missing(text(row)));
    const numeric = full.every(row => number(text(row)));
    const order = (a, b) => numeric ? compare(number(text(a)), number(text(b)))
      : text(a).localeCompare(text(b), "en", {numeric: true});
    full.sort((a, b) => down ? order(b, a) : order(a, b));
    body.append(...full, ...rows.filter(row => missing(text(row))));
    heads.forEach(other => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
  }));
}
"""


@dataclass(frozen=True)
class Section:
    """A heading with paragraphs, then a figure, the numbers behind it, and code, those that are given."""

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
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{html.escape(title)}</h1>\n<p>{html.escape(lead)}</p>\n"
        f"{body}\n<footer>{html.escape(footer)}</footer>\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )
    return write_whole(path, page)


def _section(section: Section) -> str:
    parts = [f"<h2>{html.escape(section.title)}</h2>"]
    parts += [f"<p>{html.escape(text)}</p>" for text in section.text.split("\n\n") if text]
    if section.figure is not None:
        data = base64.b64encode(png(section.figure)).decode()
        parts.append(
            f'<figure><img alt="{html.escape(section.caption)}" src="data:image/png;base64,{data}">'
            f"<figcaption>{html.escape(section.caption)}</figcaption></figure>"
        )
    if section.rows:
        table = _table(section)
        if len(section.rows) > LONG:
            table = f"<details><summary>The numbers ({len(section.rows):,} rows)</summary>{table}</details>"
        parts.append(table)
    if section.code:
        parts.append(f"<pre>{html.escape(section.code)}</pre>")
    return "\n".join(parts)


def _table(section: Section) -> str:
    """A table in a box of its own, which scrolls, by keyboard too, where the page is narrow."""
    head = "".join(
        f'<th scope="col" aria-sort="none"><button type="button">{html.escape(name)}</button></th>'
        for name in section.header
    )
    cells = ("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in section.rows)
    return (
        f'<div class="table" role="region" tabindex="0" aria-label="Numbers: {html.escape(section.title)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(cells)}</tbody></table></div>"
    )
