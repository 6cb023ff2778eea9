"""Workers of a Dask cluster: of a scheduler's, or of workers that Dask starts on this machine.

Dask reschedules the points of a lost worker by itself, and gives a point up once several workers died of it. A point
over its time limit is stopped when it comes back to Python: compiled code runs to its end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from slth.environment import usable_cores
from slth.errors import InputError
from slth.experiments.engine.worker import Task, TaskResult, run_task

# A scheduler that is there answers within this many seconds.
ANSWER_SECONDS = 5.0
# The threads of the cluster are counted again after this many seconds.
COUNT_SECONDS = 2.0
# Dask replaces a dead worker of this machine sooner than this. A cluster may be without workers for hours.
NO_WORKER_SECONDS = 60.0


class DaskPool:
    """Workers of a Dask cluster.

    Args:
        scheduler: address of a scheduler; None starts workers on this machine.
        workers: processes to start on this machine, by default one for each core; of a cluster, the least number of
            points in flight.

    Raises:
        InputError: Dask is not installed, or no scheduler answers.
    """

    def __init__(self, scheduler: str | None, workers: int | None) -> None:
        try:
            import dask
            from distributed import Client
        except ImportError as cause:
            raise InputError(
                'Dask is not installed. Install it with: pip install "slth[distributed]", or use --engine local.'
            ) from cause
        # Dask logs every lost connection; our errors say what happened.
        for name in ("distributed", "distributed.client"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._address = scheduler or "this machine"
        self._on_this_machine = scheduler is None
        options: dict[str, Any] = {"address": scheduler, "timeout": ANSWER_SECONDS}
        if self._on_this_machine:
            # One death gives a point up: the retries of a study are counted by whoever hands out its points.
            dask.config.set({"distributed.scheduler.allowed-failures": 0})
            options = {"n_workers": workers or usable_cores(), "threads_per_worker": 1, "dashboard_address": None}
        connect: Callable[..., Any] = Client
        try:
            self._client = connect(**options, set_as_default=False)
        except (OSError, ValueError, TypeError) as cause:
            raise InputError(
                f"no Dask scheduler answers at {self._address}: {str(cause).splitlines()[0]}. "
                "Start one with: dask scheduler, and give the address it prints."
            ) from cause
        self._executor = self._client.get_executor(pure=False)
        self._least_window = workers or 1
        self._threads, self._counted_at = 0, -COUNT_SECONDS
        self._had_workers_at = time.monotonic()

    @property
    def window(self) -> int:
        """See :class:`~slth.experiments.engine.pool.Pool`; a cluster may grow and shrink."""
        self._count_threads()
        return max(self._least_window, 2 * self._threads)

    def submit(self, task: Task) -> Future[TaskResult]:
        """See :class:`~slth.experiments.engine.pool.Pool`."""
        future: Future[TaskResult] = self._executor.submit(run_task, task)
        return future

    def check(self) -> None:
        """See :class:`~slth.experiments.engine.pool.Pool`."""
        if self._client.status != "running":
            raise InputError(
                f"the Dask scheduler at {self._address} went away. What is finished is kept; "
                "run the same command again once it is back."
            )
        self._count_threads()
        if self._on_this_machine and time.monotonic() - self._had_workers_at > NO_WORKER_SECONDS:
            raise InputError("Dask's workers on this machine died and do not come back. Use --engine local.")

    def ended_by_limit(self, cause: BaseException) -> bool:
        """No worker of Dask is ended at a limit: it may run other tasks."""
        return False

    def close(self) -> None:
        """See :class:`~slth.experiments.engine.pool.Pool`; a point that runs on a cluster ends by itself."""
        self._executor.shutdown(wait=False)
        self._client.close(timeout=ANSWER_SECONDS)

    def _count_threads(self) -> None:
        if time.monotonic() - self._counted_at > COUNT_SECONDS:
            self._threads = sum(self._client.nthreads().values())
            self._counted_at = time.monotonic()
            self._had_workers_at = self._counted_at if self._threads else self._had_workers_at
