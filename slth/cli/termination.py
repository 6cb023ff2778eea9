"""SIGTERM ends a command as Ctrl-C does: what it started is stopped, and files are whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Exit code of a command that SIGTERM ended, as a shell reports it: 128 and the number of the signal.
TERMINATED = 143
TERMINATED_LINE = (
    "ended by SIGTERM: no file was left half-written. Run the same command again: a study goes on with the points that "
    "are missing, training with its last checkpoint, anything else begins again."
)


class Terminated(BaseException):
    """The process was told to end. No ``except Exception`` holds it up."""


@contextmanager
def catch_sigterm() -> Iterator[None]:
    """Raise :class:`Terminated` in the main thread when SIGTERM comes; later ones do not disturb the tidying up."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
