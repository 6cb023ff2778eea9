"""Progress of a search: one rich bar per layer, silent where nobody watches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """What :func:`slth.tickets.find_ticket` tells its progress to."""

    def start(self, names: Sequence[str], totals: Sequence[int]) -> None:
        """Called once, with the layers and the number of input channels of each."""

    def advance(self, layer: int) -> None:
        """Called when an input channel of ``layer`` is done."""

    def stop(self) -> None:
        """Called at the end, also after an error or Ctrl-C."""


class Silent:
    """No progress at all."""

    def start(self, names: Sequence[str], totals: Sequence[int]) -> None:
        pass

    def advance(self, layer: int) -> None:
        pass

    def stop(self) -> None:
        pass


class Bars:
    """A rich progress bar per layer, on standard error; nothing is drawn when that is not a terminal."""

    def start(self, names: Sequence[str], totals: Sequence[int]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("channels"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks = [self._bars.add_task(name, total=total) for name, total in zip(names, totals, strict=True)]
        self._bars.start()

    def advance(self, layer: int) -> None:
        self._bars.advance(self._tasks[layer])

    def stop(self) -> None:
        self._bars.stop()


@contextmanager
def track(progress: bool | Progress, names: Sequence[str], totals: Sequence[int]) -> Iterator[Progress]:
    """Start the given progress (True: bars, False: silent) and stop it whatever happens."""
    shown: Progress = (Bars() if progress else Silent()) if isinstance(progress, bool) else progress
    shown.start(names, totals)
    try:
        yield shown
    finally:
        shown.stop()
