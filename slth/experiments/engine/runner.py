"""Run what a folder does not hold of a study yet: one row for each (point, seed), committed when the point ends."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slth.errors import DataError, InputError
from slth.experiments.engine.pool import check_engine, complete, open_pool
from slth.experiments.engine.registry import load_study
from slth.experiments.engine.spec import Spec, canonical, make_spec
from slth.experiments.engine.store import Store
from slth.experiments.engine.study import Row, Study
from slth.experiments.engine.worker import Task
from slth.experiments.engine.writable_store import write_store
from slth.files import write_whole
from slth.progress import Progress, listening

# The name of the one task that a run reports to its progress.
POINTS = "points"


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Counts over everything a spec asks for.

    Attributes:
        total: number of (point, seed).
        done: how many of them are done.
        failed: how many of them failed.
    """

    total: int
    done: int
    failed: int

    @property
    def missing(self) -> int:
        """How many were not run yet."""
        return self.total - self.done - self.failed


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What a folder holds of the spec that was run there last.

    Attributes:
        spec: that spec.
        study: its study.
        rows: its rows, in its order, done or failed. The folder may hold rows of other specs too.
        totals: counts over the spec.
        runs: every start of a run in the folder: ``began``, ``spec``, ``command``.
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
    progress: bool | Progress = False,
    command: str = "",
) -> Totals:
    """Run what ``folder`` does not hold of ``spec``; points that failed before are run again.

    Args:
        spec: what to run.
        folder: where the rows lie; it is made if it is not there.
        engine: ``local`` or ``dask``.
        workers: see :func:`~slth.experiments.engine.pool.open_pool`.
        scheduler: see :func:`~slth.experiments.engine.pool.open_pool`.
        progress: True for a bar; or who is told of the task ``points``. Its reports are JSON-ready: one whose ``event``
            is ``start``, one with ``point`` for each point that ends, and one with ``end``.
        command: what the user typed, for the report.

    Returns:
        Counts over the spec, when all is run.

    Raises:
        InputError: a spec that makes no sense, a folder that cannot be written or is being written by another process,
            a full disk, no scheduler. Rows that were committed before stay.
    """
    check_engine(engine, workers=workers, scheduler=scheduler)
    study = load_study(spec.study, spec.paths)
    tasks = plan(spec, study)
    listener = listening(progress, unit=POINTS)
    with write_store(folder) as store:
        runs_before = [run["spec"] for run in store.runs()]
        _refuse_another_study(runs_before, spec, folder)
        statuses = store.statuses()
        missing = [task for task in tasks if statuses.get(task.key) != "done"]
        # The pool comes before the note of the run: where none can be opened, the folder shows the run before.
        # A finished study needs no cluster; options that make no sense are refused all the same.
        no_pool = not missing and engine == "dask"
        pool = None if no_pool else open_pool(engine, missing, workers=workers, scheduler=scheduler)
        done, failed, began = len(tasks) - len(missing), 0, time.monotonic()
        try:
            with nullcontext() if pool is None else closing(pool):
                listener.begin(POINTS, len(tasks), done)
                if store.notice:
                    listener.say(store.notice)
                store.begin(spec=spec.model_dump_json(), command=command)
                _copy_spec(Path(folder) / "spec.toml", spec, runs_before)
                counts = {"total": len(tasks), "done": done, "missing": len(missing)}
                listener.report(POINTS, {"event": "start", "study": study.name, **counts})
                shared = {"spec": spec.digest, "budget": spec.budget.model_dump(), "engine": engine}
                waiting = {task.key: task for task in missing}
                for ended in complete(missing, pool, retries=spec.budget.retries) if pool is not None else ():
                    task = waiting.pop(ended.key)
                    store.add(
                        key=task.key, study=study.name, point=canonical(task.point), seed=task.seed,
                        result=ended.result, error=ended.error, seconds=ended.seconds,
                        peak_memory=ended.peak_memory, origin=_origin(shared, ended.origin),
                    )  # fmt: skip
                    done, failed = done + (not ended.error), failed + bool(ended.error)
                    rate = (len(missing) - len(waiting)) / (time.monotonic() - began)
                    listener.advance(POINTS)
                    listener.report(POINTS, {
                        "event": "point", "key": task.key, "point": task.point, "seed": task.seed,
                        "status": "failed" if ended.error else "done", "error": ended.error,
                        "seconds": ended.seconds, "done": done, "failed": failed, "total": len(tasks), "rate": rate,
                        "eta": len(waiting) / rate,
                    })  # fmt: skip
            totals = Totals(total=len(tasks), done=done, failed=failed)
            listener.report(POINTS, {"event": "end", **asdict(totals), "elapsed": time.monotonic() - began})
        finally:
            listener.end(POINTS)
    return totals


def read_study(folder: str | Path) -> Holding:
    """Read what a folder holds, also while another process writes it.

    Args:
        folder: where a study was run.

    Returns:
        The spec that was run last, its rows, and counts.

    Raises:
        DataError: no study is there.
        InputError: the folder cannot be read, or its study cannot be imported.
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
    """List everything a spec asks for, in its order.

    Args:
        spec: what to run.
        study: the study that the spec names.

    Returns:
        One task for each (point, seed).
    """
    limit, paths = spec.budget.seconds, spec.paths
    tasks, values, text, last = [], {}, "", None
    for point, seed in spec.expand(study):
        if point is not last:  # the seeds of a point follow one another
            values, last = point.model_dump(mode="json"), point
            text = canonical(values)
        key = _row_key(study.name, text, seed)
        tasks.append(Task(key=key, study=spec.study, paths=paths, point=values, seed=seed, limit=limit))
    return tasks


def _row_key(study: str, point: str, seed: int) -> str:
    """A function of the study's name, all parameters as canonical JSON, and the seed: the same on any machine."""
    return hashlib.sha256(f"{study} {point} {seed}".encode()).hexdigest()[:16]


def _refuse_another_study(runs_before: Sequence[Mapping[str, Any]], spec: Spec, folder: str | Path) -> None:
    if runs_before and runs_before[-1]["study"] != spec.study:
        raise InputError(f"{folder} holds the study {runs_before[-1]['study']!r}. Choose another folder with --out.")


def _copy_spec(path: Path, spec: Spec, runs_before: Sequence[Mapping[str, Any]]) -> None:
    """Write the spec beside the rows, where a reader finds it; a file there that no run wrote is left alone."""
    try:
        ours = not path.exists() or path.read_text(encoding="utf-8") in {run.get("text") for run in runs_before}
    except (OSError, UnicodeDecodeError):
        ours = False
    if ours and spec.text:
        write_whole(path, spec.text)


def _origin(shared: dict[str, Any], of_worker: str) -> str:
    return json.dumps({**shared, **json.loads(of_worker)}, sort_keys=True)
