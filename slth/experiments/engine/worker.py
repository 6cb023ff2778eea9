"""One point in a worker process: one thread, its time and memory measured, its failure caught.

A worker receives a :class:`Task` and sends back an :class:`TaskResult`; both are small and hold JSON only, so a task
travels equally well to a process on this machine and to another machine. Nothing heavy is imported before the study
itself, because what is imported after the limits are set keeps to them.
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
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import threadpoolctl

from slth.environment import environment, peak_memory, processor, reset_peak_memory, source_commit
from slth.experiments.engine.registry import load_study

THREAD_VARIABLES = (
    "SLTH_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)  # fmt: skip
# How soon a worker notices that whoever started it was killed.
ORPHAN_SECONDS = 0.5


class PointTimeoutError(Exception):
    """A point ran for longer than its budget."""


@dataclass(frozen=True)
class Task:
    """What to run. paths: put before ``sys.path`` to find the study. limit: seconds, or None."""

    key: str
    study: str
    paths: tuple[str, ...]
    point: dict[str, Any]
    seed: int
    limit: float | None


@dataclass(frozen=True)
class TaskResult:
    """What came of it. result: JSON text. origin: commit, versions and machine, as JSON text."""

    key: str
    result: str
    error: str
    seconds: float
    peak_memory: float
    origin: str


def start_worker(parent: int) -> None:
    """Called once in a local worker: it leaves Ctrl-C to ``parent``, ends with it, and keeps off its output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    os.dup2(2, 1)  # what a study prints must not get between the lines of --json


def run_task(task: Task) -> TaskResult:
    """Run one point; whatever it raises is in the outcome."""
    result, error = "{}", ""
    began = time.perf_counter()
    try:
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
        study = load_study(task.study, task.paths)
        _hold_to_one_thread()
        point = study.point(**task.point)
        reset_peak_memory()
        began = time.perf_counter()
        with _limited(task.limit):
            found = study.run(point, task.seed)
        if not isinstance(found, dict):
            raise TypeError(f"a result must be a dict of what was measured; got {type(found).__name__}.")
        result = json.dumps(found, default=_plain)
    except (Exception, SystemExit):
        error = traceback.format_exc()
    return TaskResult(task.key, result, error, time.perf_counter() - began, peak_memory(), _origin())


def _hold_to_one_thread() -> None:
    """BLAS and OpenMP of the libraries so far, and torch and numba, whose own pools no variable reaches any more."""
    loaded = frozenset(name for name in ("torch", "numba") if name in sys.modules)
    _hold_libraries(loaded)
    for name in loaded:
        sys.modules[name].set_num_threads(1)  # numba's is that of a thread, and Dask may take another for each task


@cache
def _hold_libraries(loaded: frozenset[str]) -> None:
    # Looking for them takes milliseconds: once, and again when one came that brings its own.
    threadpoolctl.threadpool_limits(1)


@cache
def _origin() -> str:
    found = {"commit": source_commit(), "environment": environment(), "processor": processor()}
    return json.dumps(found, sort_keys=True)


@contextmanager
def _limited(seconds: float | None) -> Iterator[None]:
    """Raise :class:`PointTimeoutError` in this thread after ``seconds``, at its next Python instruction."""
    if seconds is None:
        yield
        return
    thread, lock, running = threading.get_ident(), threading.Lock(), [True]
    late = ctypes.py_object(PointTimeoutError)

    def stop() -> None:
        with lock:
            if running:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), late)

    # A signal would reach the main thread only, and a Dask worker runs its tasks in another one.
    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    except PointTimeoutError as cause:
        raise PointTimeoutError(f"the point took longer than its budget of {seconds:g} s") from cause
    finally:
        with lock:
            running.clear()
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), None)  # one set but not yet raised
        timer.cancel()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_SECONDS)
    os._exit(1)


def _plain(value: Any) -> Any:
    """numpy's scalars and arrays as JSON."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a result must be JSON; it holds {type(value).__name__}. Turn it into numbers, text or lists.")
