"""What running a study costs: python -m benchmarks.studies [--quick] [--only NAME]

overhead: 10,000 points that do nothing, two workers: wall time a point, and memory of the parent and of the workers at
the beginning and at the end. scaling: two workers over one on a study that solves subset sums, both forms in turn, so
that a disturbance meets both. store: 100,000 rows opened, filtered and plotted. --quick shortens them and says so in
the file's name.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.record import print_table, write_json
from slth.experiments.engine.results import plot_study
from slth.experiments.engine.runner import read_study, run_study
from slth.experiments.engine.spec import Spec
from slth.experiments.engine.store import Store
from slth.experiments.engine.study import Point, Row, Study
from slth.experiments.engine.writable_store import write_store
from slth.progress import Silent

Result = dict[str, Any]
HOME = str(Path(__file__).parent.parent)


class Sum(Point):
    """One instance of n candidates in R^D, or nothing at all where n = 0.

    Attributes:
        number: tells instances of the same seed apart.
        n: number of candidates.
        D: dimension.
    """

    number: int
    n: int = 0
    D: int = 2


def run(point: Sum, seed: int) -> Result:
    """Solve an instance, or report the memory of this process where there is none.

    Args:
        point: the instance.
        seed: seed of its candidates.

    Returns:
        The least error; or a number and the bytes that this process holds.
    """
    if point.n == 0:
        return {"value": float(point.number * seed), "memory": resident()}
    from slth.rss import Problem, solve  # its compilation is not the runner's

    rng = np.random.default_rng([seed, point.number])
    vectors = rng.standard_normal((point.n, 1)) * rng.standard_normal((point.n, point.D))
    return {"error": solve(Problem(vectors=vectors, target=np.full(point.D, 0.5)), "exact").error}


def sections(rows: Sequence[Row]) -> list[Any]:
    """Mean, lowest and highest value of each point."""
    from slth.figures.style import new_axes
    from slth.report import Section

    values: dict[int, list[float]] = {}
    for row in rows:
        values.setdefault(row.point["number"], []).append(row.result["value"])
    numbers = sorted(values)
    ax = new_axes(6, 4)
    ax.fill_between(numbers, [min(values[one]) for one in numbers], [max(values[one]) for one in numbers], color="0.8")
    ax.plot(numbers, [statistics.fmean(values[one]) for one in numbers])
    return [Section("Values", figure=ax)]


STUDY = Study(name="cost", title="Cost", about="", point=Sum, run=run, sections=sections)


def overhead(quick: bool) -> Result:
    """Points that do nothing."""
    count = 2_000 if quick else 10_000
    memory: list[float] = []

    def note_memory(facts: Mapping[str, Any]) -> None:
        if facts["event"] == "point" and facts["done"] in (count // 10, count):
            memory.append(resident())

    with tempfile.TemporaryDirectory() as folder:
        began, cpu = time.perf_counter(), time.process_time()
        run_study(_spec(seeds=2, number=range(count // 2)), folder, workers=2, progress=_Listener(note_memory))
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        with Store(folder) as store:
            rows = store.rows()
    workers = [row.result["memory"] for row in rows]
    return {
        "points": len(rows),
        "milliseconds_a_point": 1000 * seconds / count,
        "parent_cpu_milliseconds_a_point": 1000 * cpu / count,
        "parent_memory": {"after a tenth": memory[0], "at the end": memory[1]},
        "worker_memory": {"first tenth": max(workers[: count // 10]), "last tenth": max(workers[-count // 10 :])},
    }


def scaling(quick: bool) -> Result:
    """Two workers over one, on instances that are proved in about a third of a second each."""
    points, n = (16, 36) if quick else (48, 40)
    spec = _spec(seeds=1, number=range(points), n=[n])
    rounds = []
    for _ in range(2 if quick else 5):
        times = []
        for workers in (1, 2):
            with tempfile.TemporaryDirectory() as folder:
                times.append(_rate(spec, folder, workers))
        rounds.append(times)
    one, two = (min(column) for column in zip(*rounds, strict=True))
    return {"points": points, "n": n, "one_worker": one, "two_workers": two, "speedup": one / two, "rounds": rounds}


def store(quick: bool) -> Result:
    """Rows opened, filtered and plotted."""
    count = 20_000 if quick else 100_000
    spec = _spec(seeds=5, number=range(count // 5))
    with tempfile.TemporaryDirectory() as folder:
        from slth.experiments.engine.runner import plan

        began = time.perf_counter()
        with write_store(folder) as written:
            written.begin(spec=spec.model_dump_json(), command="")
            for task in plan(spec, STUDY):
                result = json.dumps({"value": task.point["number"] * 0.5 + task.seed, "many": [0.1, 0.2, 0.3]})
                written.add(key=task.key, study="cost", point=json.dumps(task.point), seed=task.seed, result=result)
        seconds = {"written": time.perf_counter() - began}
        steps: dict[str, Callable[[], object]] = {
            "opened, all rows read": lambda: Store(folder).rows(),
            "filtered to a seed": lambda: Store(folder).rows(seed=3, status="done"),
            "filtered to a parameter": lambda: Store(folder).rows(where={"number": 77}),
            "status": lambda: read_study(folder),
            "plotted": lambda: plot_study(folder),
        }
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            seconds[name] = time.perf_counter() - began
        size = sum(path.stat().st_size for path in Path(folder).glob("rows.sqlite*"))
    return {"rows": count, "bytes": size, "seconds": seconds}


def resident() -> float:
    """Bytes that this process holds now."""
    return float(psutil.Process().memory_info().rss)


class _Listener(Silent):
    """Passes every report on.

    Args:
        hear: called with each report.
    """

    def __init__(self, hear: Callable[[Mapping[str, Any]], None]) -> None:
        self._hear = hear

    def report(self, task: str, facts: Mapping[str, Any]) -> None:
        self._hear(facts)


SECTIONS: dict[str, Callable[[bool], Result]] = {"overhead": overhead, "scaling": scaling, "store": store}


def main() -> None:
    """Run the sections, print a table each, write benchmarks/results/studies.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a minute instead of several")
    parser.add_argument("--only", choices=SECTIONS, help="one section, printed and not written")
    options = parser.parse_args()
    results: Result = {"quick": options.quick}
    for name in [options.only] if options.only else SECTIONS:
        results[name] = SECTIONS[name](options.quick)
        print_table(name, ("quantity", "value"), list(_flat(results[name])))
    if not options.only:
        print(f"written: {write_json('studies-quick' if options.quick else 'studies', results)}")


def _spec(*, seeds: int, **grid: Sequence[int]) -> Spec:
    lists = {name: tuple(values) for name, values in grid.items()}
    return Spec(study="benchmarks.studies:STUDY", seeds=seeds, grid=(lists,), home=HOME, label="benchmark")


def _rate(spec: Spec, folder: str, workers: int) -> float:
    """Seconds from the first point to the last: workers have started and compiled by then."""
    times: list[float] = []
    run_study(spec, folder, workers=workers, progress=_Listener(lambda _: times.append(time.perf_counter())))
    skipped = 2 * workers  # one for each worker begins cold, and what is in flight beside it
    return (times[-2] - times[skipped]) / (len(times) - 2 - skipped)


def _flat(row: Result, prefix: str = "") -> list[tuple[str, str]]:
    lines = []
    for key, value in row.items():
        if isinstance(value, dict):
            lines += _flat(value, f"{prefix}{key}: ")
        elif isinstance(value, float):
            lines.append((f"{prefix}{key}", f"{value / 1e6:.1f} MB" if "memory" in prefix else f"{value:.4g}"))
        else:
            lines.append((f"{prefix}{key}", str(value)))
    return lines


if __name__ == "__main__":
    main()
