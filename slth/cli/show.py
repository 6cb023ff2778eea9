"""What commands print with: text without control characters, one kind of table, JSON, and the --json option."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from slth.text import printable

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
# Where output goes to a file or a pipe, a table is as wide as it needs to be.
console = Console(width=None if sys.stdout.isatty() else 160)


def echo(text: str = "", *, newlines: bool = False, err: bool = False) -> None:
    """Print a line of text, its control characters as escapes.

    Args:
        text: the line.
        newlines: whether line breaks within the text stay as they are.
        err: whether it goes to standard error.
    """
    typer.echo(printable(text, newlines=newlines), err=err)


def echo_json(value: Any, *, indent: int | None = 2, own_text: bool = False) -> None:
    """Print a value as JSON. It is in ASCII, with every other character as an escape of JSON.

    Args:
        value: what to print, JSON-ready.
        indent: blanks for each level; None for one line.
        own_text: whether all text in it is this program's; then characters such as ε and ≤ stay readable.
    """
    typer.echo(json.dumps(value, indent=indent, ensure_ascii=not own_text))


def echo_news(line: str, on: Console = console) -> None:
    """Print a line of news above the bars of a console.

    Args:
        line: the line, without a line break.
        on: the console.
    """
    on.print(printable(line), highlight=False, markup=False, soft_wrap=True)


def table(header: tuple[str, ...], rows: Sequence[Sequence[str]], *, numbers: bool = True) -> None:
    """Print a table.

    Args:
        header: names of the columns; all of them may be empty.
        rows: a text for each column.
        numbers: whether all columns but the first are aligned right.
    """
    shown = Table(box=None, pad_edge=False, header_style="bold", show_header=any(header))
    for i, name in enumerate(header):
        shown.add_column(_cell(name), justify="right" if numbers and i else "left", overflow="fold")
    for row in rows:
        shown.add_row(*map(_cell, row))
    console.print(shown, highlight=False)


def _cell(text: str) -> str:
    """Text for a cell: not markup, so that "E[Y]" stays as it is."""
    return escape(printable(text))
