"""The front of error against time of the subset-sum methods: ``python -m benchmarks.front [--quick]``.

Instances are NSN vectors with targets uniform on [−1, 1]^D. Their seeds are 100 and on; no constant of a method was
fitted on them. Every solve runs on one thread. Its time is that of the processor; loading compiled code does not count.
Methods without a clock (pursuit, relax, tree for an effort) take what they take. The others get time limits. The table
and the picture say for each (D, n) which method reaches the least error in a time, and how far ``auto`` is from that.
--quick takes fewer sizes, seeds and times, and writes to a file with another name.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.instances import instance
from benchmarks.record import RESULTS, print_table, write_json
from slth.experiments.analysis.summary import Spread
from slth.figures import error_against_time
from slth.figures.style import panels
from slth.rss import solve

FIRST_SEED = 100
DIMENSIONS = (1, 2, 4, 9, 16, 25)
SIZES = (100, 1000, 10_000)
EFFORTS = (0.0003, 0.001, 0.003, 0.01, 0.1, 1.0)
LIMITS = (0.005, 0.05, 0.5)
# At this n the longest times are measured too.
LONG_SIZE, LONG_LIMIT = 1000, 10.0
# So many seeds where a solve takes at most SHORT seconds, and so many where it takes longer.
SHORT, SEEDS, LONG_SEEDS = 1.0, 10, 3
# The budgets for which the table says who is best.
BUDGETS = (0.001, 0.003, 0.01, 0.1, 1.0, 10.0)

Row = dict[str, Any]


def runs(n: int, dimension: int, quick: bool) -> Iterator[tuple[str, dict[str, Any], float]]:
    """The (method, options, seconds to expect) that are measured for a size.

    Args:
        n: number of candidates.
        dimension: D.
        quick: whether only short ones are taken.
    """
    for name in ("pursuit", "relax"):
        yield name, {}, 0.01
    for method in ("tree", "auto"):
        for effort in EFFORTS[: 4 if quick else None]:
            yield method, {"effort": effort}, effort
    limits = LIMITS[:2] if quick else (*LIMITS, LONG_LIMIT) if n == LONG_SIZE else LIMITS
    for limit in limits:
        for name in ("relax", "local", *(("core",) if dimension <= 9 else ())):
            yield name, {"time_limit": limit}, limit
    if not quick and n == LONG_SIZE:
        yield "tree", {"time_limit": LONG_LIMIT}, LONG_LIMIT


def measure(n: int, dimension: int, quick: bool) -> list[Row]:
    """Errors and times of every method on the same instances.

    Args:
        n: number of candidates.
        dimension: D.
        quick: whether only short ones are taken.
    """
    rows: list[Row] = []
    for method, options, expected in runs(n, dimension, quick):
        seeds = range(FIRST_SEED, FIRST_SEED + (3 if quick else SEEDS if expected <= SHORT else LONG_SEEDS))
        problems = [instance(n, dimension, seed) for seed in seeds]
        once: dict[str, Any] = {name: min(value, 0.01) for name, value in options.items()}
        taken = solve(problems[0], method, threads=1, **once).method
        errors, seconds = [], []
        for problem in problems:
            began = time.process_time()
            found = solve(problem, method, threads=1, **options)
            seconds.append(time.process_time() - began)
            errors.append(found.error)
            taken = found.method
        rows.append({
            "method": method, "taken": taken, "options": options, "errors": errors,
            "seconds": float(np.median(seconds)), "error": float(np.median(errors)), "low": float(min(errors)),
            "high": float(max(errors)),
        })  # fmt: skip
    return rows


def front(rows: list[Row]) -> list[Row]:
    """The rows that no other method beats in as little time, by time; ``auto`` is not counted.

    Args:
        rows: of one size.
    """
    best: list[Row] = []
    for row in sorted((row for row in rows if row["method"] != "auto"), key=lambda row: (row["seconds"], row["error"])):
        if not best or row["error"] < best[-1]["error"]:
            best.append(row)
    return best


def report(results: dict[str, list[Row]]) -> None:
    """Print who is best for each budget, and the error of ``auto`` over that of the best.

    Args:
        results: ``D=… n=…`` → rows.
    """
    table = []
    for name, rows in results.items():
        cells = []
        for budget in BUDGETS:
            able = [row for row in front(rows) if row["seconds"] <= 1.2 * budget]
            cells.append(f"{able[-1]['method']} {able[-1]['error']:.2g}" if able else "–")
        ours = [row for row in rows if row["method"] == "auto"]
        behind = [row["error"] / [one for one in front(rows) if one["seconds"] <= 1.2 * row["seconds"]][-1]["error"]
                  for row in ours if any(one["seconds"] <= 1.2 * row["seconds"] for one in front(rows))]  # fmt: skip
        table.append((name, *cells, f"{np.median(behind):.2f}, {max(behind):.2f}" if behind else "–"))
    header = ("size", *(f"{budget * 1e3:g} ms" for budget in BUDGETS), "auto / best: median, worst")
    print_table("The least median error within a time, one core", header, table)


def draw(results: dict[str, list[Row]]) -> None:
    """Draw the front for each D, at n = :data:`LONG_SIZE`, beside the results.

    Args:
        results: ``D=… n=…`` → rows.
    """
    shown = [name for name in results if name.endswith(f" n={LONG_SIZE}")]
    axes = panels(len(shown), columns=3, width=4.0, height=3.4)
    for ax, name in zip(axes, shown, strict=True):
        curves: dict[str, list[tuple[float, Spread]]] = {}
        for method in ("tree", "relax", "local", "core", "pursuit"):
            points = [(row["seconds"], Spread(row["error"], row["low"], row["high"]))
                      for row in results[name] if row["method"] == method]  # fmt: skip
            if points:
                curves[method] = points
        best = [(row["seconds"], row["error"]) for row in front(results[name])]
        error_against_time(curves, front=best, title=name.replace("=", " = ").replace(" n", ", n"), ax=ax)
    axes[0].legend(frameon=False, fontsize=8)
    figure = axes[0].figure
    assert isinstance(figure, Figure)
    figure.savefig(RESULTS.parent.parent / "docs" / "front.png", dpi=120)


def main() -> None:
    """Measure, print, draw and write ``results/front.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer sizes, seeds and times")
    quick = parser.parse_args().quick
    results = {
        f"D={dimension} n={n}": measure(n, dimension, quick)
        for dimension in (DIMENSIONS[1:4] if quick else DIMENSIONS)
        for n in (SIZES[1:2] if quick else SIZES)
    }  # fmt: skip
    report(results)
    if not quick:
        draw(results)
    print(f"written: {write_json('front-quick' if quick else 'front', {'fronts': results}).name}")


if __name__ == "__main__":
    main()
