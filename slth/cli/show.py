"""What commands print with: one kind of table, and the --json option."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
# Where output goes to a file or a pipe, a table is as wide as it needs to be.
console = Console(width=None if sys.stdout.isatty() else 160)


def table(header: tuple[str, ...], rows: Sequence[Sequence[str]], *, numbers: bool = True) -> None:
    """Print a table.

    Args:
        header: names of the columns; all of them may be empty.
        rows: a text for each column.
        numbers: whether all columns but the first are aligned right.
    """
    shown = Table(box=None, pad_edge=False, header_style="bold", show_header=any(header))
    for i, name in enumerate(header):
        shown.add_column(name, justify="right" if numbers and i else "left", overflow="fold")
    for row in rows:
        shown.add_row(*map(escape, row))  # text, not markup: "E[Y]" stays as it is
    console.print(shown, highlight=False)
