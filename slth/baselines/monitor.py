"""Watching training from outside: a progress bar and TensorBoard files, for all runs that a search makes.

A search may train many times, deep inside a method; what watches is not the method's business. So it is said once,
around the call, and the training loop looks for it:

    with watched(bar=True, tensorboard=Path("events")):
        gem_miner.find(...)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from slth.errors import InputError


class Monitor:
    """What the training loop tells; this one hears nothing."""

    def start(self, steps: int) -> None:
        """A run of so many steps begins."""

    def step(self) -> None:
        """A step was taken."""

    def epoch(self, step: int, line: Mapping[str, float]) -> None:
        """An epoch has ended at ``step``, with the numbers of :class:`slth.baselines.training.History`."""

    def stop(self) -> None:
        """The run has ended, also by an error."""


_current: ContextVar[Monitor] = ContextVar("monitor")


def current() -> Monitor:
    """The monitor that is watching, or one that hears nothing."""
    return _current.get(Monitor())


@contextmanager
def watched(*, bar: bool = False, tensorboard: Path | None = None) -> Iterator[None]:
    """Watch all training inside.

    Args:
        bar: steps of each run on standard error, where that is a terminal. tensorboard: folder of event files, one
            sub-folder a run.

    Raises:
        InputError: TensorBoard files are asked for and its package is not installed, or they cannot be written.
    """
    parts: list[Monitor] = [*([_Bar()] if bar else []), *([_Events(tensorboard)] if tensorboard else [])]
    token = _current.set(_Several(parts))
    try:
        yield
    finally:
        _current.reset(token)


class _Several(Monitor):
    def __init__(self, parts: list[Monitor]) -> None:
        self.parts = parts

    def start(self, steps: int) -> None:
        for part in self.parts:
            part.start(steps)

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def epoch(self, step: int, line: Mapping[str, float]) -> None:
        for part in self.parts:
            part.epoch(step, line)

    def stop(self) -> None:
        for part in self.parts:
            part.stop()


class _Bar(Monitor):
    def start(self, steps: int) -> None:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        self._shown = Progress(console=console, disable=not console.is_terminal, transient=True)
        self._task = self._shown.add_task("training", total=steps)
        self._shown.start()

    def step(self) -> None:
        self._shown.advance(self._task)

    def stop(self) -> None:
        self._shown.stop()


class _Events(Monitor):
    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as cause:
            raise InputError('TensorBoard files need its package: pip install "slth[tensorboard]".') from cause
        self._make, self._folder, self._runs = SummaryWriter, folder, 0
        self._writer: Any = None

    def start(self, steps: int) -> None:
        self._runs += 1
        try:
            self._writer = self._make(str(self._folder / f"run-{self._runs:03d}"))
        except OSError as cause:
            raise InputError(
                f"cannot write TensorBoard files to {self._folder}: {cause.strerror}. Choose another folder."
            ) from cause

    def epoch(self, step: int, line: Mapping[str, float]) -> None:
        for name in ("loss", "rate", "validation"):
            if name in line:
                self._writer.add_scalar(name, line[name], step)

    def stop(self) -> None:
        self._writer.close()
