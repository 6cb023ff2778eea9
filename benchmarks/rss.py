"""The subset-sum engine beside integer solvers: ``python -m benchmarks.rss [--quick] [--only NAME] [--device D]``.

All solvers run on the same instances, with the same threads. Instances are NSN vectors with targets uniform on
[−1, 1]^D and seeds 0 … 4 (0 … 9 in ``anytime``); results are medians with their range. The peak memory of the two
largest rows is measured in fresh processes. Gurobi joins the rivals where ``gurobipy`` is installed. --quick shortens
time limits and sizes, and writes to a file with another name.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from benchmarks.instances import instance
from benchmarks.record import peak_memory, print_table, read_json, write_json
from benchmarks.rivals import RIVALS, Row, run_rival, summary
from benchmarks.vertex import vertex
from slth.errors import human_bytes
from slth.progress import Silent
from slth.rss import Problem, Solution, Status, solve, solve_batch, solve_stream, solve_weights
from slth.rss.threads import thread_count

# (D, n, bar): the rows of ``anytime``, each with the L∞ error it should reach after 10 s.
ANYTIME = ((9, 1000, 0.004), (72, 5000, 0.13), (72, 20_000, 0.028), (144, 20_000, 0.12))
# (D, n, bar): the rows of ``small_dimension``, each with the L∞ error that it should reach after 10 s, and the methods.
SMALL = ((2, 1000, 1e-12), (4, 1000, 1e-7), (6, 1000, 2e-5), (9, 1000, 5e-4), (9, 10_000, 6e-5), (12, 1000, 5e-3))
SMALL_METHODS = ("tree", "core", "local")
# Instances of an ``anytime`` row, and how many of them the rivals get, by D.
INSTANCES = 10
RIVAL_INSTANCES = {9: 5, 72: 1}


def weights(quick: bool) -> Row:
    """397,000 exact one-dimensional instances, beside the rate of CP-SAT on some of them."""
    count = 20_000 if quick else 397_000
    rng = np.random.default_rng(2020)
    vectors, targets = rng.uniform(-0.46, 0.54, (count, 21)), rng.uniform(-0.46, 0.54, count)
    solve_weights(vectors=vectors[:10], targets=targets[:10])
    ours = solve_weights(vectors=vectors, targets=targets)
    sample = 10 if quick else 40
    began = time.perf_counter()
    rival = [solve(Problem(vectors=vectors[i][:, None], target=targets[i : i + 1]), "cpsat") for i in range(sample)]
    rate = sample / (time.perf_counter() - began)
    worse = max(one.error - ours.error[i] for i, one in enumerate(rival))
    return {
        "instances": count,
        "seconds": ours.seconds,
        "rate": count / ours.seconds,
        "cpsat_rate": rate,
        "ratio": count / ours.seconds / rate,
        "ties_settled_exactly": ours.ties,
        "cpsat_error_minus_ours": worse,
    }


def exact(quick: bool) -> Row:
    """Proved optima: D = 2, n = 40 beside CP-SAT; D = 2 and 4, n = 48; D = 24, n = 56, too large for any table."""
    result: Row = {}
    for dimension, n, seeds in ((2, 40, 5), (24, 56, 5), (2, 48, 5), (4, 48, 5)):
        if quick and n == 48:
            continue
        ours = [solve(instance(n, dimension, seed), "exact", max_memory=3e9) for seed in range(seeds)]
        result[f"D={dimension} n={n}"] = {
            "seconds": summary([one.seconds for one in ours]),
            "all_optimal": all(one.status.name == "optimal" for one in ours),
        }
    rival = solve(instance(40, 2, 0), "cpsat", time_limit=3 if quick else 20)
    ours_error = solve(instance(40, 2, 0), "exact").error
    result["cpsat D=2 n=40"] = {"seconds": rival.seconds, "error": rival.error, "optimum": ours_error,
                                "lower_bound": rival.lower_bound}  # fmt: skip
    return result


def anytime(quick: bool) -> Row:
    """L∞ error after a fixed time on ten instances, beside integer solvers with six times as much time on the first."""
    limit = 1.0 if quick else 10.0
    result: Row = {}
    for dimension, n, bar in ANYTIME[: 2 if quick else None]:
        problems = [instance(n, dimension, seed) for seed in range(2 if quick else INSTANCES)]
        found = [solve(problem, time_limit=limit) for problem in problems]
        row: Row = {
            "method": found[0].method,
            "error": summary([one.error for one in found]),
            "seconds": summary([one.seconds for one in found]),
            "bar": bar,
            "limit": limit,
            "instances": len(problems),
        }
        if n <= 5000:
            shared = min(RIVAL_INSTANCES[dimension], len(problems))
            for rival in ("cpsat", "gurobi") if quick else RIVALS:
                row[rival] = run_rival(rival, problems[:shared], found[:shared], 6 * limit)
        result[f"D={dimension} n={n}"] = row
    return result


def small_dimension(quick: bool) -> Row:
    """L∞ error after a fixed time at small D on five instances: lists of subset sums beside the other methods."""
    limit = 0.5 if quick else 10.0
    result: Row = {}
    for dimension, n, bar in SMALL[: 2 if quick else None]:
        problems = [instance(n, dimension, seed) for seed in range(2 if quick else 5)]
        row: Row = {"bar": bar, "limit": limit}
        for method in SMALL_METHODS:
            if method != "core" or dimension <= 9:
                found = [solve(problem, method, time_limit=limit) for problem in problems]
                row[method] = summary([one.error for one in found])
                row[f"{method} seconds"] = max(one.seconds for one in found)
        result[f"D={dimension} n={n}"] = row
    return result


def fixed_size(quick: bool) -> Row:
    """Exactly k of n: errors in one pass and after a fixed time, beside those of relax without a fixed size."""
    limit = 1.0 if quick else 5.0
    result: Row = {}
    for dimension, n, sizes in ((9, 1000, (500, 60)), (72, 5000, (2500, 300)))[: 1 if quick else None]:
        seeds = range(2 if quick else 5)
        free = [instance(n, dimension, seed) for seed in seeds]
        result[f"D={dimension} n={n} any size"] = {"relax": summary([solve(one, "relax").error for one in free])}
        for size in sizes:
            problems = [Problem(vectors=one.vectors, target=one.target, cardinality=size) for one in free]
            row = {name: summary([solve(one, name).error for one in problems]) for name in ("pursuit", "relax")}
            timed = [solve(one, time_limit=limit) for one in problems]
            row[f"auto ({timed[0].method}), {limit:g} s"] = summary([one.error for one in timed])
            result[f"D={dimension} n={n} k={size}"] = row
    return result


def streamed(quick: bool) -> Row:
    """A million candidates of D = 72 that are never in memory all at once."""
    return _fresh("stream-small" if quick else "stream")


def scaling(quick: bool) -> Row:
    """Two threads beside one, on a batch of 64 instances."""
    n, dimension = 2000, 36 if quick else 72
    problems = [instance(n, dimension, seed) for seed in range(64)]
    vectors = np.stack([problem.vectors for problem in problems])
    targets = np.stack([problem.target for problem in problems])
    solve_batch(vectors=vectors[:2], targets=targets[:2], threads=1)
    rounds = [  # alternating, so that a disturbance of the machine slows both
        [solve_batch(vectors=vectors, targets=targets, threads=threads).seconds for threads in (1, 2)]
        for _ in range(2 if quick else 10)
    ]
    one, two = (min(column) for column in zip(*rounds, strict=True))
    return {"one_thread": one, "two_threads": two, "speedup": one / two}


def growth(quick: bool) -> Row:
    """Time against n (exact, D = 2), error against n (relax, D = 36) with the fitted c, error against time."""
    sizes = range(24, 37 if quick else 45, 4)
    times = {n: _median([solve(instance(n, 2, seed), "exact").seconds for seed in range(3)]) for n in sizes}
    dimension, errors = 36, {}
    for n in (500, 1000, 2000, 4000, 8000):
        found = [solve(instance(n, dimension, seed), "relax") for seed in range(5)]
        errors[n] = _median([_rms(instance(n, dimension, seed), one) for seed, one in enumerate(found)])
    constants = [error * n / dimension**1.5 for n, error in errors.items()]
    track = _Track()
    solve(instance(5000, 72, 0), time_limit=2 if quick else 10, progress=track)
    return {
        "exact_seconds_by_n": times,
        "relax_rms_by_n": errors,
        "fitted_c": {"median": _median(constants), "low": min(constants), "high": max(constants)},
        "error_by_seconds": track.points,
    }


class _Track(Silent):
    """Keeps (seconds, error) of every better incumbent of a solve."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []

    def report(self, task: str, facts: Mapping[str, Any]) -> None:
        """See :class:`slth.progress.Progress`."""
        self.points.append((facts["seconds"], facts["error"]))


SECTIONS: dict[str, Callable[[bool], Row]] = {
    "weights": weights,
    "exact": exact,
    "anytime": anytime,
    "small_dimension": small_dimension,
    "fixed_size": fixed_size,
    "streamed": streamed,
    "scaling": scaling,
    "growth": growth,
    "vertex": vertex,
}


def main() -> None:
    """Run the sections, print a table for each, and write benchmarks/results/rss.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two minutes instead of three quarters of an hour")
    parser.add_argument("--only", choices=SECTIONS, help="run one section; the others keep their results")
    parser.add_argument("--device", help="a torch device, such as cuda, beside the cores in the section vertex")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(_memory_row(options.one)))
        return
    solve(instance(12, 2, 0))  # compile before anything is timed
    solve(instance(500, 8, 0), time_limit=0.1)
    solve(instance(500, 16, 0), time_limit=0.1)
    record = "rss-quick" if options.quick else "rss"
    kept = read_json(record) if options.only else {}
    results: Row = {name: value for name, value in kept.items() if name in (*SECTIONS, "note")}
    results |= {"threads": thread_count(None), "quick": options.quick}
    for name in [options.only] if options.only else SECTIONS:
        began = time.perf_counter()
        section = partial(vertex, device=options.device) if name == "vertex" else SECTIONS[name]
        results[name] = section(options.quick)
        print_table(f"{name} ({time.perf_counter() - began:.0f} s)", ("quantity", "value"), list(_flat(results[name])))
    if not options.quick and not options.only:
        results["exact"]["peak_memory D=4 n=48"] = _fresh("exact")
    print(f"written: {write_json(record, results).name}")


def _memory_row(name: str) -> Row:
    """Measure a row and the peak memory of this process, which runs nothing else."""
    before = peak_memory()
    if name == "exact":
        found = [solve(instance(48, 4, seed), "exact", max_memory=3e9) for seed in range(5)]
        proved = all(one.status == Status.optimal for one in found)
        return {"seconds": max(one.seconds for one in found), "peak_memory": peak_memory(), "all_optimal": proved}
    count, size = (1_000_000 if name == "stream" else 50_000), 10_000
    rng = np.random.default_rng(72)

    def chunks() -> Iterator[Any]:
        for _ in range(count // size):
            yield rng.standard_normal((size, 1)) * rng.standard_normal((size, 72))

    stream = solve_stream(chunks(), rng.uniform(-1, 1, 72))
    return {"candidates": stream.count, "kept": stream.kept, "error": stream.error, "seconds": stream.seconds,
            "peak_memory": peak_memory(), "memory_before": before}  # fmt: skip


def _fresh(name: str) -> Row:
    """Measure a row in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.rss", "--one", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    row: Row = json.loads(done.stdout)
    return row


def _rms(problem: Problem, solution: Solution) -> float:
    residual = solution.selected @ problem.vectors - problem.target
    return float(np.sqrt(np.mean(residual**2)))


def _median(values: list[float]) -> float:
    return float(np.median(values))


def _flat(row: Row, prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in row.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and set(value) == {"median", "low", "high"}:
            yield name, f"{value['median']:.4g}  [{value['low']:.4g}, {value['high']:.4g}]"
        elif isinstance(value, dict):
            yield from _flat(value, f"{name}  ")
        elif isinstance(value, list):
            yield name, "  ".join(f"{s:.2f} s: {e:.4g}" for s, e in value[:: max(1, len(value) // 8)])
        elif isinstance(key, str) and "memory" in key:
            yield name, human_bytes(value)
        else:
            yield name, f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
