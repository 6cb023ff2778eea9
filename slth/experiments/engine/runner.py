"""Run what a folder does not hold yet of a study, one row for each (point, seed), committed as it comes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slth.errors import DataError, InputError
from slth.experiments.engine.pool import complete, open_pool
from slth.experiments.engine.registry import load_study
from slth.experiments.engine.spec import Spec, canonical, make_spec
from slth.experiments.engine.store import Store, write_store
from slth.experiments.engine.study import Row, Study
from slth.experiments.engine.worker import Task
from slth.files import write_whole

Event = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Of everything a spec asks for: points × seeds, and how many of them are done or failed."""

    total: int
    done: int
    failed: int

    @property
    def missing(self) -> int:
        """Not run yet."""
        return self.total - self.done - self.failed


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What a folder holds of the spec that was run there last.

    Attributes:
        rows: of that spec, in its order, done or failed; the folder may hold others. runs: every start of a run.
    """

    spec: Spec
    study: Study
    rows: list[Row]
    totals: Totals
    runs: list[dict[str, Any]]


def run_study(
    spec: Spec,
    folder: str | Path,
    *,
    engine: str = "local",
    workers: int | None = None,
    scheduler: str | None = None,
    listen: Callable[[Event], None] = lambda event: None,
    command: str = "",
) -> Totals:
    """Run what ``folder`` does not hold of ``spec``; points that failed before are run again.

    Args:
        engine, workers, scheduler: see :func:`slth.experiments.engine.pool.open_pool`.
        listen: called with JSON-ready events: ``start``, a ``point`` for each one finished, ``end``.
        command: what the user typed, for the report.

    Raises:
        InputError: a spec that makes no sense, a folder that cannot be written or is being written by another process,
            a full disk, no scheduler. What was committed before stays.
    """
    study = load_study(spec.study, spec.paths)
    tasks = plan(spec, study)
    with write_store(folder) as store:
        before = [run["spec"] for run in store.runs()]
        _refuse_another(before, spec, folder)
        status = store.statuses()
        missing = [task for task in tasks if status.get(task.key) != "done"]
        # A run that cannot begin is not noted: status and report stay with the one before.
        # A finished study needs no cluster; options that make no sense are refused all the same.
        idle = not missing and engine == "dask"
        pool = None if idle else open_pool(engine, workers=workers, scheduler=scheduler)
        try:
            store.begin(spec=spec.model_dump_json(), command=command)
            _keep_spec(Path(folder) / "spec.toml", spec, before)
            done, failed, began = len(tasks) - len(missing), 0, time.monotonic()
            listen({"event": "start", "study": study.name, "total": len(tasks), "done": done, "missing": len(missing)})
            shared = {"spec": spec.digest, "budget": spec.budget.model_dump(), "engine": engine}
            waiting = {task.key: task for task in missing}
            for outcome in complete(missing, pool, retries=spec.budget.retries) if pool is not None else ():
                task = waiting.pop(outcome.key)
                store.add(
                    key=task.key, study=study.name, point=canonical(task.point), seed=task.seed,
                    result=outcome.result, error=outcome.error, seconds=outcome.seconds,
                    peak_memory=outcome.peak_memory, origin=_origin(shared, outcome.origin),
                )  # fmt: skip
                done, failed = done + (not outcome.error), failed + bool(outcome.error)
                elapsed = time.monotonic() - began
                rate = (len(missing) - len(waiting)) / elapsed
                listen({
                    "event": "point", "key": task.key, "point": task.point, "seed": task.seed,
                    "status": "failed" if outcome.error else "done", "error": outcome.error,
                    "seconds": outcome.seconds, "done": done, "failed": failed, "total": len(tasks), "rate": rate,
                    "eta": len(waiting) / rate,
                })  # fmt: skip
        finally:
            if pool is not None:
                pool.close()
        totals = Totals(total=len(tasks), done=done, failed=failed)
        listen({"event": "end", **asdict(totals), "elapsed": time.monotonic() - began})
    return totals


def read_study(folder: str | Path) -> Holding:
    """What a folder holds, also while another process writes it.

    Raises:
        DataError: no study is there. InputError: it cannot be read, or its study cannot be imported.
    """
    with Store(folder) as store:
        runs = store.runs()
        if not runs:
            raise DataError(f"{folder} holds no run. Start one with: slth study run NAME --out {folder}")
        spec = make_spec(runs[-1]["spec"], f"the spec stored in {folder}")
        study = load_study(spec.study, spec.paths)
        keys = [task.key for task in plan(spec, study)]
        known = {row.key: row for row in store.rows(study=study.name)}
    rows = [known[key] for key in keys if key in known]
    failed = sum(row.status == "failed" for row in rows)
    totals = Totals(total=len(keys), done=len(rows) - failed, failed=failed)
    return Holding(spec=spec, study=study, rows=rows, totals=totals, runs=runs)


def plan(spec: Spec, study: Study) -> list[Task]:
    """Everything a spec asks for, in its order."""
    limit, paths = spec.budget.seconds, spec.paths
    tasks, values, text, last = [], {}, "", None
    for point, seed in spec.expand(study):
        if point is not last:  # its seeds follow one another
            values, last = point.model_dump(mode="json"), point
            text = canonical(values)
        key = row_key(study.name, text, seed)
        tasks.append(Task(key=key, study=spec.study, paths=paths, point=values, seed=seed, limit=limit))
    return tasks


def row_key(study: str, point: str, seed: int) -> str:
    """A function of the study's name, all parameters as canonical JSON, and the seed: the same on any machine."""
    return hashlib.sha256(f"{study} {point} {seed}".encode()).hexdigest()[:16]


def _refuse_another(before: Sequence[Mapping[str, Any]], spec: Spec, folder: str | Path) -> None:
    if before and before[-1]["study"] != spec.study:
        raise InputError(f"{folder} holds the study {before[-1]['study']!r}. Choose another folder with --out.")


def _keep_spec(path: Path, spec: Spec, before: Sequence[Mapping[str, Any]]) -> None:
    """A copy of the spec beside the rows, unless a file that no run wrote stands in its place: the store has it too."""
    try:
        ours = not path.exists() or path.read_text(encoding="utf-8") in {one.get("text") for one in before}
    except (OSError, UnicodeDecodeError):
        ours = False
    if ours and spec.text:
        write_whole(path, spec.text)


def _origin(shared: dict[str, Any], worker: str) -> str:
    return json.dumps({**shared, **json.loads(worker)}, sort_keys=True)
