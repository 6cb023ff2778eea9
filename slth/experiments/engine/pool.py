"""Hand points to workers, and take back one result for each, whatever happens to the workers.

A pool is worker processes of this machine (:mod:`~slth.experiments.engine.local_pool`) or of a Dask cluster
(:mod:`~slth.experiments.engine.dask_pool`); both give futures of :mod:`concurrent.futures`.

A point whose worker dies need not be the cause. On a cluster another point may have ended the worker. On any machine
the other points take memory, and the system ends processes when memory runs out. Such a point is run again with no
other point beside it, and only the deaths of a point that runs alone are counted.
"""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from typing import Protocol

from slth.environment import usable_cores
from slth.errors import InputError, check_choice, check_int
from slth.experiments.engine.dask_pool import DaskPool
from slth.experiments.engine.local_pool import LocalPool
from slth.experiments.engine.worker import Task, TaskResult, killed_by_limit

ENGINES = ("local", "dask")
# How often to look whether the pool is still there.
CHECK_SECONDS = 2.0


class Pool(Protocol):
    """Workers that take tasks."""

    @property
    def window(self) -> int:
        """How many tasks to have in flight: enough that no worker waits, few enough that little is lost."""

    def submit(self, task: Task) -> Future[TaskResult]:
        """Start a task, on a new worker where the old one died; at most ``window`` tasks may be in flight."""

    def check(self) -> None:
        """Raise :class:`InputError` once no worker can be reached any more."""

    def ended_by_limit(self, cause: BaseException) -> bool:
        """Whether this exception of a future says that its worker was ended at the time limit of the task."""

    def close(self) -> None:
        """Stop; what is in flight is lost."""


def check_engine(engine: str, *, workers: int | None = None, scheduler: str | None = None) -> None:
    """Refuse an engine that cannot be opened with these options, before a folder is made for it.

    Args:
        engine: one of ``ENGINES``.
        workers: see :func:`open_pool`.
        scheduler: see :func:`open_pool`.

    Raises:
        InputError: no such engine, or an option that makes no sense to it.
    """
    check_choice("engine", engine, ENGINES)
    if workers is not None:
        check_int("workers", workers, 1, 10_000, "One for each core is a good choice.")
    if engine == "local" and scheduler is not None:
        raise InputError("a scheduler is for Dask. Add --engine dask, or leave --scheduler out.")


def open_pool(
    engine: str, tasks: Sequence[Task] = (), *, workers: int | None = None, scheduler: str | None = None
) -> Pool:
    """Start the workers of an engine.

    Args:
        engine: one of ``ENGINES``.
        tasks: what is to be run, all of one study. Workers of this machine start at once, no more than there are tasks,
            and import what the study needs.
        workers: number of processes, by default one for each core; of a cluster, the least number of points in flight,
            which is otherwise twice the number of its threads.
        scheduler: address of a Dask scheduler; without one Dask starts workers on this machine.

    Returns:
        The workers. Whoever opens them closes them.

    Raises:
        InputError: see :func:`check_engine`; or no answer from the scheduler, or Dask is not installed.
    """
    check_engine(engine, workers=workers, scheduler=scheduler)
    if engine == "local":
        return LocalPool(min(workers or usable_cores(), len(tasks)), tasks)
    return DaskPool(scheduler, workers)


def complete(tasks: Iterable[Task], pool: Pool, *, retries: int) -> Iterator[TaskResult]:
    """Run tasks on a pool.

    Args:
        tasks: what to run, in the order in which to begin.
        pool: where to run it.
        retries: how often a point is run again after its worker died of it; after that its result is an error.

    Yields:
        One result for each task, in the order in which they end.
    """
    queue, suspects, deaths = deque(tasks), deque[Task](), Counter[str]()
    in_flight: dict[Future[TaskResult], Task] = {}
    alone: Task | None = None
    checked = time.monotonic()
    while queue or suspects or in_flight:
        if suspects and not in_flight:
            alone = suspects.popleft()
            in_flight[pool.submit(alone)] = alone
        while queue and not suspects and alone is None and len(in_flight) < pool.window:
            task = queue.popleft()
            in_flight[pool.submit(task)] = task
        ended, _ = wait(in_flight, timeout=CHECK_SECONDS, return_when=FIRST_COMPLETED)
        if not ended or time.monotonic() - checked > CHECK_SECONDS:
            pool.check()
            checked = time.monotonic()
        for future in ended:
            task = in_flight.pop(future)
            cause = future.exception() if not future.cancelled() else CancelledError()
            if cause is None:
                yield future.result()
            elif isinstance(cause, CancelledError):
                pool.check()
                suspects.append(task)
            elif task.limit is not None and pool.ended_by_limit(cause):
                yield killed_by_limit(task)
            elif not _worker_died(cause):
                # The point never began: slth is not installed there, say.
                yield _failed(task, f"{type(cause).__name__}: {cause}")
            else:
                deaths[task.key] += task is alone
                if deaths[task.key] > retries:
                    times = f"{deaths[task.key]} times" if retries else "once"
                    error = f"WorkerDiedError: its worker died {times} while it ran alone. {_death_notice(cause)}"
                    yield _failed(task, error)
                else:
                    suspects.append(task)
            if task is alone:
                alone = None


def _worker_died(cause: BaseException) -> bool:
    # Dask's exception by its name: it need not be installed.
    return isinstance(cause, BrokenExecutor) or type(cause).__name__ == "KilledWorker"


def _death_notice(cause: BaseException) -> str:
    """The part of loky's message on exit codes, "… are {SIGKILL(-9)}"; without such a part, the first sentence."""
    codes = re.search(r"The exit codes of the workers are \{.*?\}", str(cause))
    return codes[0] if codes else " ".join(str(cause).split(". ")[0].split())


def _failed(task: Task, error: str) -> TaskResult:
    return TaskResult(task.key, "{}", error, 0.0, 0.0, "{}")
