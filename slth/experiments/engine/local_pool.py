"""Worker processes of this machine: one of loky's executors for each, so that a worker ends alone.

An executor whose worker dies gives up everything that it was handed. With one worker each, that is the point which the
worker ran, and no other: a point that crashes, or that the system ends at its time limit, costs the others nothing.

Two others were tried. ``concurrent.futures`` starts workers that run the user's script again, unless it is guarded by
``if __name__ == "__main__"``. ``pebble`` does the same, and loses a point for good if its worker dies while the parent
is busy: pebble looks for dead workers before it has read that the worker took the point.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Executor, Future

from slth.experiments.engine.worker import THREAD_VARIABLES, Task, TaskResult, run_task, start_worker, warm_up


class LocalPool:
    """Worker processes of this machine, also when there is but one: a point may crash, the study goes on.

    Args:
        workers: how many processes. They start at once, and import the study while the caller prepares its points.
        tasks: what is to be run, all of one study; none only without workers.
    """

    def __init__(self, workers: int, tasks: Sequence[Task]) -> None:
        self.window = workers
        self._workers = [_Worker() for _ in range(workers)]
        for worker in self._workers:
            worker.warm_up(tasks[0])

    def submit(self, task: Task) -> Future[TaskResult]:
        """See :class:`~slth.experiments.engine.pool.Pool`."""
        return next(worker for worker in self._workers if worker.idle).submit(task)

    def check(self) -> None:
        """A dead worker shows in its future: there is nothing else to look for."""

    def ended_by_limit(self, cause: BaseException) -> bool:
        """See :class:`~slth.experiments.engine.pool.Pool`."""
        return isinstance(cause, BrokenExecutor) and "SIGALRM" in str(cause)  # loky names the exit code

    def close(self) -> None:
        """See :class:`~slth.experiments.engine.pool.Pool`."""
        for worker in self._workers:
            worker.kill()


class _Worker:
    """One process that runs one task at a time. It starts again after it died."""

    def __init__(self) -> None:
        self._executor: Executor | None = None
        self._current: Future[TaskResult] | None = None

    @property
    def idle(self) -> bool:
        return self._current is None or self._current.done()

    def warm_up(self, first: Task) -> None:
        self._executor = _start_executor()
        self._executor.submit(warm_up, first.study, first.paths)

    def submit(self, task: Task) -> Future[TaskResult]:
        try:
            self._executor = self._executor or _start_executor()
            self._current = self._executor.submit(run_task, task, killable=True)
        except BrokenExecutor:
            self._executor = _start_executor()
            self._current = self._executor.submit(run_task, task, killable=True)
        return self._current

    def kill(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(kill_workers=True)  # type: ignore[call-arg]


def _start_executor() -> Executor:
    # joblib.Parallel would run a single worker in this process, where a crash ends everything.
    from joblib.externals.loky import ProcessPoolExecutor

    warnings.filterwarnings("ignore", message="A worker stopped while some jobs")  # loky replaces a grown worker
    # The variables must be there before a worker imports numpy or torch.
    executor: Executor = ProcessPoolExecutor(
        max_workers=1,
        initializer=start_worker,
        initargs=(os.getpid(),),
        env=dict.fromkeys(THREAD_VARIABLES, "1"),
    )
    return executor
