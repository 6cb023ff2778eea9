"""Threads: how many, one of them for BLAS, and a map that keeps order and stops cleanly.

Hot loops release the GIL (numba, numpy), so threads share the candidates without copying. BLAS runs one thread
inside :func:`one_blas_thread`: results then do not depend on ``threads``, and workers do not fight over cores.
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
    """``threads``; when it is None ``$SLTH_THREADS``, or without that the number of cores this process may use."""
    if threads is None and (said := os.environ.get("SLTH_THREADS")):
        if not said.isdecimal():
            raise InputError(f"SLTH_THREADS must be a whole number ≥ 1; got {said!r}. Unset it to use every core.")
        threads = int(said)
    if threads is None:
        return usable_cores()
    return check_int("threads", threads, 1, 4096, "Leave it out to use every core.")


@cache
def _controller() -> threadpoolctl.ThreadpoolController:
    # numba calls scipy's BLAS and loads it on first use: a controller made before that would not see it.
    import_module("scipy.linalg.cython_blas")
    return threadpoolctl.ThreadpoolController()  # finding the libraries takes milliseconds: once is enough


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS at one thread; may be nested and entered from several threads at once."""
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
    """``[function(item) for item in items]`` over ``threads`` workers, results in the order of ``items``.

    ``done(index, result)`` is called in the calling thread as each one ends. An exception, Ctrl-C included,
    cancels what has not started, waits for what has, and is raised.
    """
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
