"""README's tables from the benchmarks' results: ``python -m benchmarks.readme`` writes them between their markers.

A table lies between ``<!-- table: NAME -->`` and ``<!-- end of table -->``. A test compares README with what this
module would write, so no number in such a table is typed by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.record import read_json
from slth.errors import human_bytes
from slth.files import write_whole

README = Path(__file__).parent.parent / "README.md"
RIVAL_NAMES = {"cpsat": "CP-SAT", "highs": "HiGHS", "scip": "SCIP", "gurobi": "Gurobi"}


def engine_table() -> str:
    """The subset-sum engine beside integer solvers, from ``results/rss.json``."""
    found = read_json("rss")
    rows = [("397,000 exact 1-D instances, n = 21", f"{found['weights']['seconds']:.1f} s",
             f"CP-SAT: {found['weights']['ratio']:,.0f} times slower an instance")]  # fmt: skip
    exact = found["exact"]
    for name in ("D=2 n=40", "D=24 n=56", "D=2 n=48", "D=4 n=48"):
        memory, rival = exact.get(f"peak_memory {name}"), exact.get(f"cpsat {name}")
        proved = f"{_spread(exact[name]['seconds'])} s, proved"
        proved += "" if memory is None else f", {human_bytes(memory['peak_memory'])}"
        beside = ""
        if rival is not None:
            behind = rival["error"] / rival["optimum"]
            beside = f"CP-SAT: not proved after {rival['seconds']:.0f} s, error {behind:.0f} times the optimum"
        rows.append((f"exact, {_size(name)}", proved, beside))
    for name, one in found["anytime"].items():
        rivals = [f"{RIVAL_NAMES[key]} {6 * one['limit']:g} s: {_rival(one[key])}" for key in RIVAL_NAMES if key in one]
        rows.append((f"{_size(name)}, L∞ error after {one['limit']:g} s", _spread(one["error"]), "; ".join(rivals)))
    streamed, scaling = found["streamed"], found["scaling"]
    rows.append((f"D = 72, {streamed['candidates']:,} streamed candidates",
                 f"{streamed['seconds']:.1f} s, {human_bytes(streamed['peak_memory'])}", ""))  # fmt: skip
    rows.append(("batch of 64, two threads over one", f"{scaling['speedup']:.2f}×", ""))
    return _table(("work", "slth", "rivals"), rows)


def small_table() -> str:
    """Errors at small D by method, from ``results/rss.json``."""
    found = read_json("rss").get("small_dimension", {})
    methods = ("tree", "core", "local")
    rows = [
        (_size(name), *(_spread(one[method]) if method in one else "" for method in methods))
        for name, one in found.items()
    ]
    return _table(("instance", *(f"`{method}`" for method in methods)), rows)


def soak_table() -> str:
    """What survived random kills, from ``results/soak.json``."""
    found = read_json("soak")
    rows = [
        (f"`{one['command']}`", str(one["kills"]), str(one["hit"]), str(len(one["half_written"])),
         f"{one['resumed_right']} of {one['resumed']}")
        for one in found["commands"]
    ]  # fmt: skip
    return _table(("command", "kills", "while it ran", "half-written files", "went on to the same result"), rows)


TABLES: dict[str, Callable[[], str]] = {"engine": engine_table, "small": small_table, "soak": soak_table}


def with_tables(text: str) -> str:
    """The text with every table between markers written anew.

    Args:
        text: README.
    """

    def written(match: re.Match[str]) -> str:
        return f"<!-- table: {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end of table -->"

    return re.sub(r"<!-- table: (\w+) -->.*?<!-- end of table -->", written, text, flags=re.DOTALL)


def main() -> None:
    """Write README's tables."""
    write_whole(README, with_tables(README.read_text(encoding="utf-8")))
    print(f"written: {README.name}")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _size(name: str) -> str:
    """``D=9 n=1000`` in words."""
    dimension, count = re.findall(r"\d+", name)
    return f"D = {dimension}, n = {int(count):,}"


def _spread(one: dict[str, Any]) -> str:
    return f"{one['median']:.2g} [{one['low']:.2g}, {one['high']:.2g}]"


def _rival(one: dict[str, Any]) -> str:
    """The error of a rival: its median and range, one number of earlier records, or why there is none."""
    if "state" in one:
        return str(one["state"])
    return _spread(one["error"]) if isinstance(one["error"], dict) else f"{one['error']:.2g}"


if __name__ == "__main__":
    main()
