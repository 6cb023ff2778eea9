"""Threads: how many to use, how BLAS is held at one, and a map over threads that keeps order and stops cleanly.

The inner loops (numba, numpy) release the GIL, so threads share the candidates without copying. BLAS runs one thread
inside :func:`one_blas_thread`. So results do not depend on ``threads``, and workers do not compete for cores.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import threadpoolctl

from slth.environment import usable_cores
from slth.errors import InputError, check_int

Item = TypeVar("Item")
Result = TypeVar("Result")

_lock = threading.Lock()
_depth = 0
_limiter: Any = None


def thread_count(threads: int | None) -> int:
    """The number of threads to use: ``threads``, or ``$SLTH_THREADS``, or the number of cores this process may use.

    Args:
        threads: None leaves the choice to the environment.

    Raises:
        InputError: not a whole number between 1 and 4096.
    """
    if threads is None and (configured := os.environ.get("SLTH_THREADS")):
        if not configured.isdecimal():
            raise InputError(
                f"SLTH_THREADS must be a whole number ≥ 1; got {configured!r}. Unset it to use every core."
            )
        threads = int(configured)
    if threads is None:
        return usable_cores()
    return check_int("threads", threads, 1, 4096, "Leave it out to use every core.")


@cache
def _controller() -> threadpoolctl.ThreadpoolController:
    # numba calls scipy's BLAS and loads it on first use. A controller made before that would not know it.
    import_module("scipy.linalg.cython_blas")
    return threadpoolctl.ThreadpoolController()  # cached, because finding the libraries takes milliseconds


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS at one thread. It may be nested, and entered from several threads at once."""
    global _depth, _limiter
    with _lock:
        if _depth == 0:
            _limiter = _controller().limit(limits=1, user_api="blas")
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                _limiter.restore_original_limits()


def map_threads(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    threads: int,
    done: Callable[[int, Result], None] | None = None,
) -> list[Result]:
    """Compute ``[function(item) for item in items]`` in several threads; one thread is the calling thread.

    An exception, Ctrl-C included, cancels the items that have not started, waits for the others, and is raised.

    Args:
        function: called with each item, in a worker thread.
        items: its arguments.
        threads: number of worker threads.
        done: called in the calling thread as ``done(index, result)`` whenever an item ends.

    Returns:
        The results in the order of ``items``.
    """
    if threads == 1:
        return _map_here(function, items, done)
    results: dict[int, Result] = {}
    ended: SimpleQueue[Future[Result]] = SimpleQueue()
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        try:
            waiting = {pool.submit(function, item): i for i, item in enumerate(items)}
            for future in waiting:
                future.add_done_callback(ended.put)
            while len(results) < len(waiting):
                try:
                    # A finite wait lets Ctrl-C through on every platform.
                    future = ended.get(timeout=0.2)
                except Empty:
                    continue
                index = waiting[future]
                results[index] = future.result()
                if done is not None:
                    done(index, results[index])
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [results[i] for i in range(len(items))]


def _map_here(
    function: Callable[[Item], Result], items: Sequence[Item], done: Callable[[int, Result], None] | None
) -> list[Result]:
    """The same in the calling thread: a worker that calls :func:`map_threads` for little work starts no thread."""
    results = []
    with one_blas_thread():
        for i, item in enumerate(items):
            results.append(function(item))
            if done is not None:
                done(i, results[i])
    return results
