"""Where points run: worker processes of this machine (joblib's loky), or of a Dask cluster, through the same calls.

Both are executors of :mod:`concurrent.futures`. A point whose worker dies takes the innocent with it: loky gives up
everything in flight. Those points are then run one at a time, so that the one which kills its worker is known, and it
alone fails.

Dask reschedules the points of a lost worker by itself, and gives a point up once several workers died of it.
"""

from __future__ import annotations

import logging
import os
import re
import time
import warnings
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from typing import Any, Protocol

from slth.environment import usable_cores
from slth.errors import InputError, check_choice, check_int
from slth.experiments.engine.worker import THREAD_VARIABLES, Task, TaskResult, run_task, start_worker

ENGINES = ("local", "dask")
# A scheduler that is there answers within this many seconds.
PATIENCE = 5.0
# How often to look whether the pool is still there, and how large it is.
CHECK_SECONDS = 2.0
# Dask replaces a dead worker of this machine sooner than this. A cluster may be without workers for hours.
NO_WORKER_SECONDS = 60.0


class Pool(Protocol):
    """Workers that take tasks."""

    @property
    def window(self) -> int:
        """How many tasks to have in flight: enough that no worker waits, few enough that little is lost."""

    def submit(self, task: Task) -> Future[TaskResult]:
        """Start a task, on new workers where the old ones died."""

    def check(self) -> None:
        """Raise :class:`InputError` once no worker can be reached any more."""

    def close(self) -> None:
        """Stop; what is in flight is lost."""


def open_pool(engine: str, *, workers: int | None = None, scheduler: str | None = None) -> Pool:
    """Workers of an engine.

    Args:
        engine: one of ``ENGINES``. workers: processes; for a cluster, points in flight, by default twice its threads.
        scheduler: address of a Dask scheduler; without one Dask starts its own workers on this machine.

    Raises:
        InputError: no such engine, no answer from the scheduler, or Dask is not installed.
    """
    check_choice("engine", engine, ENGINES)
    if workers is not None:
        check_int("workers", workers, 1, 10_000, "One for each core is a good choice.")
    if engine == "local":
        if scheduler is not None:
            raise InputError("a scheduler is for Dask. Add --engine dask, or leave --scheduler out.")
        return LocalPool(workers or usable_cores())
    return DaskPool(scheduler, workers)


def complete(tasks: Iterable[Task], pool: Pool, *, retries: int) -> Iterator[TaskResult]:
    """Outcomes as they come, one for each task, whatever happens to the workers.

    Args:
        retries: how often a point is run again after its worker died of it; after that its outcome is an error.
    """
    queue, suspects, deaths = deque(tasks), deque[Task](), Counter[str]()
    flying: dict[Future[TaskResult], Task] = {}
    alone: Task | None = None
    checked = time.monotonic()
    while queue or suspects or flying:
        if suspects and not flying:
            alone = suspects.popleft()
            flying[pool.submit(alone)] = alone
        while queue and not suspects and alone is None and len(flying) < pool.window:
            task = queue.popleft()
            flying[pool.submit(task)] = task
        done, _ = wait(flying, timeout=CHECK_SECONDS, return_when=FIRST_COMPLETED)
        if not done or time.monotonic() - checked > CHECK_SECONDS:
            pool.check()
            checked = time.monotonic()
        for future in done:
            task = flying.pop(future)
            cause = future.exception() if not future.cancelled() else CancelledError()
            if cause is None:
                yield future.result()
            elif isinstance(cause, CancelledError):
                pool.check()
                suspects.append(task)
            elif not _died(cause):
                yield _failed(task, f"{type(cause).__name__}: {cause}")  # the task never began: no slth there, say
            else:
                deaths[task.key] += task is alone  # in company it may be innocent
                if deaths[task.key] > retries:
                    times = f"{deaths[task.key]} times" if retries else "once"
                    yield _failed(task, f"WorkerDiedError: its worker died {times} while it ran alone. {_said(cause)}")
                else:
                    suspects.append(task)
            if task is alone:
                alone = None


class LocalPool:
    """Worker processes on this machine, also when there is but one: a point may crash, a study may not."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.window = 2 * workers
        self._executor: Executor | None = None

    def submit(self, task: Task) -> Future[TaskResult]:
        """See :class:`Pool`."""
        try:
            self._executor = self._executor or self._start()
            return self._executor.submit(run_task, task)
        except BrokenExecutor:
            self._executor = self._start()
            return self._executor.submit(run_task, task)

    def check(self) -> None:
        """Nothing to do: a dead worker shows in its future."""

    def close(self) -> None:
        """See :class:`Pool`."""
        if self._executor is not None:
            self._executor.shutdown(kill_workers=True)  # type: ignore[call-arg]

    def _start(self) -> Executor:
        # joblib.Parallel would run a single worker in this process, where a crash ends everything.
        from joblib.externals.loky import ProcessPoolExecutor

        warnings.filterwarnings("ignore", message="A worker stopped while some jobs")  # loky replaces a grown worker
        made: Executor = ProcessPoolExecutor(
            max_workers=self.workers,
            initializer=start_worker,
            initargs=(os.getpid(),),
            env=dict.fromkeys(THREAD_VARIABLES, "1"),
        )
        return made


class DaskPool:
    """Workers of a Dask cluster."""

    def __init__(self, scheduler: str | None, workers: int | None) -> None:
        try:
            import dask
            from distributed import Client
        except ImportError as cause:
            raise InputError(
                'Dask is not installed. Install it with: pip install "slth[distributed]", or use --engine local.'
            ) from cause
        # Its reconnections and closings are told in our words.
        for name in ("distributed", "distributed.client"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._address = scheduler or "this machine"
        self._ours = scheduler is None
        options: dict[str, Any] = {"address": scheduler, "timeout": PATIENCE}
        if self._ours:
            dask.config.set({"distributed.scheduler.allowed-failures": 0})  # we count deaths ourselves
            options = {"n_workers": workers or usable_cores(), "threads_per_worker": 1, "dashboard_address": None}
        try:
            self._client = Client(**options, set_as_default=False)
        except (OSError, ValueError, TypeError) as cause:
            raise InputError(
                f"no Dask scheduler answers at {self._address}: {str(cause).splitlines()[0]}. "
                "Start one with: dask scheduler, and give the address it prints."
            ) from cause
        self._executor = self._client.get_executor(pure=False)
        self._least = workers or 1
        self._looked, self._threads = -CHECK_SECONDS, 0
        self._manned = time.monotonic()

    @property
    def window(self) -> int:
        """See :class:`Pool`; a cluster may grow and shrink."""
        self._look()
        return max(self._least, 2 * self._threads)

    def submit(self, task: Task) -> Future[TaskResult]:
        """See :class:`Pool`."""
        future: Future[TaskResult] = self._executor.submit(run_task, task)
        return future

    def check(self) -> None:
        """See :class:`Pool`."""
        if self._client.status != "running":
            raise InputError(
                f"the Dask scheduler at {self._address} went away. What is finished is kept; "
                "run the same command again once it is back."
            )
        self._look()
        if self._ours and time.monotonic() - self._manned > NO_WORKER_SECONDS:
            raise InputError("Dask's workers on this machine died and do not come back. Use --engine local.")

    def close(self) -> None:
        """See :class:`Pool`; a point that runs on a cluster ends by itself."""
        self._executor.shutdown(wait=False)
        self._client.close(timeout=PATIENCE)

    def _look(self) -> None:
        if time.monotonic() - self._looked > CHECK_SECONDS:
            self._threads = sum(self._client.nthreads().values())
            self._looked = time.monotonic()
            self._manned = self._looked if self._threads else self._manned


def _died(cause: BaseException) -> bool:
    # Dask's exception by its name: it need not be installed.
    return isinstance(cause, BrokenExecutor) or type(cause).__name__ == "KilledWorker"


def _said(cause: BaseException) -> str:
    """loky's "The exit codes of the workers are {SIGKILL(-9)}" if it is there; else how the message begins."""
    codes = re.search(r"The exit codes of the workers are \{.*?\}", str(cause))
    return codes[0] if codes else " ".join(str(cause).split(". ")[0].split())


def _failed(task: Task, error: str) -> TaskResult:
    return TaskResult(task.key, "{}", error, 0.0, 0.0, "{}")
