"""Records of benchmarks: a printed table, and a JSON file with the environment."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from slth.environment import environment, peak_memory
from slth.files import write_whole

__all__ = ["RESULTS", "peak_memory", "print_table", "read_json", "write_json"]

RESULTS = Path(__file__).parent / "results"


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print an aligned table on standard output.

    Args:
        title: above the table.
        header: a name for each column.
        rows: cells, shown by ``str``.
    """
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i else "left")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table, highlight=False)
    console.print()


def write_json(name: str, results: dict[str, Any]) -> Path:
    """Write ``results/{name}.json`` with the environment beside the results.

    Args:
        name: of the benchmark.
        results: JSON-ready.

    Returns:
        The path of the file.
    """
    RESULTS.mkdir(exist_ok=True)
    return write_whole(RESULTS / f"{name}.json", json.dumps({"environment": environment(), **results}, indent=2) + "\n")


def read_json(name: str) -> dict[str, Any]:
    """The content of ``results/{name}.json``; empty if there is no such file."""
    path = RESULTS / f"{name}.json"
    return dict(json.loads(path.read_text())) if path.is_file() else {}
