"""What a worker does: run one point on one thread, measure its time and memory, and catch its failure.

A worker receives a :class:`Task` and sends back a :class:`TaskResult`. Both are small and hold plain values and JSON
only, so that they travel to a process of this machine and to another machine alike. Nothing heavy is imported before
the study, because a library that is imported after the limits on threads are set keeps to them.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import threadpoolctl

from slth.environment import environment, peak_memory, processor, reset_peak_memory, source_commit
from slth.experiments.engine.registry import load_study
from slth.experiments.engine.study import Study

THREAD_VARIABLES = (
    "SLTH_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)  # fmt: skip
# A worker notices within this time that the process which started it is gone.
ORPHAN_SECONDS = 0.5
# A point over its limit has this long to come back to Python; after that the system ends its worker.
GRACE_SECONDS = 2.0
# Timers take no longer waits than this (three years): a longer limit is no limit.
LONGEST_LIMIT = 1e8


class PointTimeoutError(Exception):
    """A point ran for longer than its budget."""


@dataclass(frozen=True)
class Task:
    """One point to run.

    Attributes:
        key: of the row that will hold the result.
        study: a name in the registry, or ``module:ATTRIBUTE``.
        paths: folders put before ``sys.path`` to find the study.
        point: parameters of the point.
        seed: seed of everything random in the point.
        limit: seconds the point may take; None for no limit.
    """

    key: str
    study: str
    paths: tuple[str, ...]
    point: dict[str, Any]
    seed: int
    limit: float | None


@dataclass(frozen=True)
class TaskResult:
    """What came of a task.

    Attributes:
        key: of the task.
        result: what the study measured, as JSON text; ``{}`` on failure.
        error: a traceback; empty on success.
        seconds: wall time of the point.
        peak_memory: bytes the worker held at most while the point ran.
        origin: commit, versions and machine, as JSON text.
    """

    key: str
    result: str
    error: str
    seconds: float
    peak_memory: float
    origin: str


def start_worker(parent: int) -> None:
    """Prepare a local worker, once: it ignores Ctrl-C, ends with its parent, and prints on standard error only.

    Args:
        parent: number of the process that started it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the parent may ignore it, and children inherit that
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    os.dup2(2, 1)  # what a study prints must not come between the lines of --json


def import_study(name: str, paths: tuple[str, ...]) -> Study:
    """Import a study with all that its points need, with one thread for each library.

    Args:
        name: a name in the registry, or ``module:ATTRIBUTE``.
        paths: folders put before ``sys.path`` to find the study.

    Returns:
        The study.
    """
    # numba refuses to compile once the variable differs from the number with which its threads were started.
    started = {"NUMBA_NUM_THREADS"} if "numba" in sys.modules else set()
    os.environ.update(dict.fromkeys(set(THREAD_VARIABLES) - started, "1"))
    study = load_study(name, paths)
    for module in study.imports:
        import_module(module)
    return study


def warm_up(name: str, paths: tuple[str, ...]) -> None:
    """Do what every point needs before the first one comes. What goes wrong here is the error of that point.

    Args:
        name: see :func:`import_study`.
        paths: see :func:`import_study`.
    """
    with suppress(Exception, SystemExit):
        import_study(name, paths)
        _origin()


def run_task(task: Task, *, killable: bool = False) -> TaskResult:
    """Run one point; an exception of the point is part of the result.

    Args:
        task: the point.
        killable: whether this process runs nothing but this task, so that the system may end it where compiled code
            does not come back to Python (see :data:`GRACE_SECONDS`). In a worker of Dask, which runs other tasks too,
            a point over its limit is stopped at its next Python instruction only.

    Returns:
        What came of it.
    """
    result, error = "{}", ""
    began = time.perf_counter()
    try:
        study = import_study(task.study, task.paths)
        _hold_to_one_thread()
        point = study.point(**task.point)
        reset_peak_memory()
        began = time.perf_counter()
        with _time_limit(task.limit, killable=killable):
            found = study.run(point, task.seed)
        if not isinstance(found, dict):
            raise TypeError(f"a result must be a dict of what was measured; got {type(found).__name__}.")
        result = json.dumps(found, default=_numpy_as_json)
    except (Exception, SystemExit):
        error = traceback.format_exc()
    return TaskResult(task.key, result, error, time.perf_counter() - began, peak_memory(), _origin())


def killed_by_limit(task: Task) -> TaskResult:
    """The result of a task whose worker the system ended because the point did not come back to Python.

    Args:
        task: a task with a limit.

    Returns:
        A failure with the error of a point over its limit. Its time is that of the timer; its memory is unknown.
    """
    assert task.limit is not None
    last = traceback.format_exception_only(_over_budget(task.limit))[-1]
    error = f"Compiled code did not come back to Python: the worker was ended {GRACE_SECONDS:g} s later.\n{last}"
    return TaskResult(task.key, "{}", error, task.limit + GRACE_SECONDS, 0.0, "{}")


def _hold_to_one_thread() -> None:
    """Limit BLAS and OpenMP, and the pools of torch and numba, which no variable reaches once they are imported."""
    loaded = frozenset(name for name in ("torch", "numba") if name in sys.modules)
    _limit_thread_pools(loaded)
    for name in loaded:
        # numba's number is that of a thread, and Dask may take another thread for each task.
        sys.modules[name].set_num_threads(1)


@cache
def _limit_thread_pools(loaded: frozenset[str]) -> None:
    # Finding the libraries takes milliseconds: once, and again when torch or numba came with libraries of its own.
    threadpoolctl.threadpool_limits(1)


@cache
def _origin() -> str:
    found = {"commit": source_commit(), "environment": environment(), "processor": processor()}
    return json.dumps(found, sort_keys=True)


@contextmanager
def _time_limit(seconds: float | None, *, killable: bool) -> Iterator[None]:
    """Raise :class:`PointTimeoutError` in this thread at its first Python instruction after ``seconds``.

    Compiled code may never come back to Python, and it may hold the lock of the interpreter, so that no other thread of
    this process runs either. The alarm of the system is then what is left: nobody handles it, so it ends the process.
    """
    if seconds is None or seconds > LONGEST_LIMIT:
        yield
        return
    thread, lock, running = threading.get_ident(), threading.Lock(), [True]

    def stop() -> None:
        with lock:
            if running:
                error = ctypes.py_object(PointTimeoutError)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), error)

    # A signal would reach the main thread only, and a Dask worker runs its tasks in another one.
    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    alarm = killable and hasattr(signal, "setitimer")  # Windows has no alarm
    if alarm:
        signal.setitimer(signal.ITIMER_REAL, seconds + GRACE_SECONDS)
    try:
        yield
    except PointTimeoutError as cause:
        raise _over_budget(seconds) from cause
    finally:
        if alarm:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        with lock:
            running.clear()
            # An exception that was set but not yet raised must not strike later.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), None)
        timer.cancel()


def _over_budget(seconds: float) -> PointTimeoutError:
    return PointTimeoutError(f"the point took longer than its budget of {seconds:g} s")


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_SECONDS)
    os._exit(1)


def _numpy_as_json(value: Any) -> Any:
    """Turn numpy's scalars and arrays into what JSON holds."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a result must be JSON; it holds {type(value).__name__}. Turn it into numbers, text or lists.")
