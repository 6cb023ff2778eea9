"""One report page, from the template ``report.html.j2`` with its style and script."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from slth.files import write_whole

if TYPE_CHECKING:  # a section is made, and a study is planned, without matplotlib and jinja2
    from jinja2 import Template
    from matplotlib.axes import Axes

# Tables with more rows are folded away under a line that opens them.
LONGEST_OPEN_TABLE = 16


@dataclass(frozen=True)
class Section:
    """A part of a report: paragraphs, then a figure, a table and code, those that are given.

    Attributes:
        title: the heading.
        text: paragraphs, separated by empty lines.
        header: names of the columns of the table.
        rows: cells of the table, usually the numbers behind the figure; a cell is shown as its ``str``.
        figure: axes of the figure.
        caption: text under the figure, and in its place where no picture can be shown.
        code: text in a box, as it is.
    """

    title: str
    text: str = ""
    header: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()
    figure: Axes | None = None
    caption: str = ""
    code: str = ""


def png(ax: Axes, dpi: int = 144) -> bytes:
    """Draw the figure of some axes.

    Args:
        ax: axes of the figure.
        dpi: dots per inch.

    Returns:
        A PNG file.
    """
    figure = ax.get_figure(root=True)
    assert figure is not None
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def write_report(path: str | Path, *, title: str, lead: str, sections: Sequence[Section], footer: str) -> Path:
    """Write a page that refers to nothing outside itself, as a whole or not at all.

    Args:
        path: where the HTML file goes.
        title: the main heading, and the title of the browser's window.
        lead: a paragraph under the title.
        sections: the parts, in their order.
        footer: a line at the end.

    Returns:
        The path.

    Raises:
        InputError: the file cannot be written.
    """
    page = _template().render(
        title=title,
        lead=lead,
        sections=sections,
        footer=footer,
        image=_embedded,
        longest_open_table=LONGEST_OPEN_TABLE,
    )
    return write_whole(path, page)


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("slth.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html.j2")


def _embedded(ax: Axes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png(ax)).decode()}"
