"""Progress of long work: one protocol that searches, training, proofs and studies report to.

Long work names its tasks, says how many steps each has, and tells every step. Who listens decides what becomes of it:
nothing (:class:`Silent`), bars with the time left (:class:`Bars`), lines of text (:class:`Lines`), or several of these.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from slth.errors import TimeLimitError
from slth.text import printable

if TYPE_CHECKING:
    from rich.progress import TaskID


class Progress(Protocol):
    """What long work reports to. A listener of your own inherits from :class:`Silent` and overrides what it hears."""

    def begin(self, task: str, total: int, done: int = 0) -> None:
        """A task begins, or begins again.

        Args:
            task: its name, unique among the tasks that are under way.
            total: number of its steps.
            done: number of steps that an earlier run has done already.
        """

    def advance(self, task: str, steps: int = 1) -> None:
        """More steps of a task are done.

        Args:
            task: its name.
            steps: how many steps were done since the last call.
        """

    def report(self, task: str, facts: Mapping[str, Any]) -> None:
        """Something was measured on the way.

        Args:
            task: its name.
            facts: what was measured, JSON-ready: the loss of an epoch, a finished point of a study.
        """

    def say(self, line: str) -> None:
        """Tell a line of news.

        Args:
            line: text without a line break.
        """

    def end(self, task: str) -> None:
        """A task is over: it is complete, or an error or Ctrl-C ended it.

        Args:
            task: its name.
        """


class Silent:
    """Hears nothing."""

    def begin(self, task: str, total: int, done: int = 0) -> None:
        """See :class:`Progress`."""

    def advance(self, task: str, steps: int = 1) -> None:
        """See :class:`Progress`."""

    def report(self, task: str, facts: Mapping[str, Any]) -> None:
        """See :class:`Progress`."""

    def say(self, line: str) -> None:
        """See :class:`Progress`."""

    def end(self, task: str) -> None:
        """See :class:`Progress`."""


class Lines(Silent):
    """Passes lines of news on, and shows no bars.

    Args:
        write: called with each line.
    """

    def __init__(self, write: Callable[[str], None] = print) -> None:
        self._write = write

    def say(self, line: str) -> None:
        """See :class:`Progress`."""
        self._write(line)


class Bars(Silent):
    """A bar for each task with steps done, steps in all and time left, on standard error.

    Nothing is drawn where standard error is not a terminal.

    Args:
        unit: what a step is, in the plural.
        write: called with each line of news; None leaves them out.
        transient: whether bars disappear once all tasks are over.
    """

    def __init__(
        self, unit: str = "steps", *, write: Callable[[str], None] | None = None, transient: bool = False
    ) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        self._write = write
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            disable=not console.is_terminal,
            transient=transient,
        )
        self._tasks: dict[str, TaskID] = {}
        self._active: set[str] = set()

    def begin(self, task: str, total: int, done: int = 0) -> None:
        """See :class:`Progress`."""
        if task in self._tasks:
            self._bars.reset(self._tasks[task], total=total, completed=done, left="")
        else:
            self._tasks[task] = self._bars.add_task(printable(task), total=total, completed=done, left="")
        # What an earlier run has done says nothing of this run's speed.
        self._bars.update(self._tasks[task], done_before=done)
        if not self._active:
            self._bars.start()
        self._active.add(task)

    def advance(self, task: str, steps: int = 1) -> None:
        """See :class:`Progress`."""
        number = self._tasks[task]
        self._bars.advance(number, steps)
        bar = self._bars.tasks[self._bars.task_ids.index(number)]
        fresh = bar.completed - bar.fields["done_before"]
        # rich's own estimate forgets what is older than half a minute: of slow steps it would have none.
        if fresh and bar.elapsed and bar.total is not None:
            left = timedelta(seconds=round((bar.total - bar.completed) * bar.elapsed / fresh))
            self._bars.update(number, left=f"{left} left")

    def say(self, line: str) -> None:
        """See :class:`Progress`."""
        if self._write is not None:
            self._write(line)

    def end(self, task: str) -> None:
        """See :class:`Progress`."""
        self._active.discard(task)
        if not self._active:
            self._bars.stop()


class Deadline(Silent):
    """Stops work at the first step that it tells after its time is over.

    Args:
        seconds: how long the work may take from now on.
        kept: what stays of the work and what to do next, a sentence for the error.
    """

    def __init__(self, seconds: float, kept: str) -> None:
        self._seconds, self._kept = seconds, kept
        self._end = time.monotonic() + seconds

    def advance(self, task: str, steps: int = 1) -> None:
        """See :class:`Progress`.

        Args:
            task: its name.
            steps: how many steps were done since the last call.

        Raises:
            TimeLimitError: the time is over.
        """
        if time.monotonic() >= self._end:
            raise TimeLimitError(f"stopped after the time limit of {self._seconds:g} s. {self._kept}")


class Several:
    """Passes everything on to several listeners.

    Args:
        parts: who hears it, in order.
    """

    def __init__(self, parts: Sequence[Progress]) -> None:
        self._parts = tuple(parts)

    def begin(self, task: str, total: int, done: int = 0) -> None:
        """See :class:`Progress`."""
        for part in self._parts:
            part.begin(task, total, done)

    def advance(self, task: str, steps: int = 1) -> None:
        """See :class:`Progress`."""
        for part in self._parts:
            part.advance(task, steps)

    def report(self, task: str, facts: Mapping[str, Any]) -> None:
        """See :class:`Progress`."""
        for part in self._parts:
            part.report(task, facts)

    def say(self, line: str) -> None:
        """See :class:`Progress`."""
        for part in self._parts:
            part.say(line)

    def end(self, task: str) -> None:
        """See :class:`Progress`."""
        for part in self._parts:
            part.end(task)


class WithoutNews(Several):
    """Passes everything on but lines of news: for a part of the work whose lines are of no interest to the whole.

    Args:
        parts: who hears it, in order.
    """

    def say(self, line: str) -> None:
        """Leave the line out."""


@contextmanager
def follow(progress: bool | Progress, tasks: Mapping[str, int], *, unit: str = "steps") -> Iterator[Progress]:
    """Begin tasks, and end them whatever happens.

    Args:
        progress: who listens; True for :class:`Bars`, False for :class:`Silent`.
        tasks: name → number of steps.
        unit: what a step is, in the plural, for bars made here.

    Yields:
        Who listens. The caller tells it every step.
    """
    listener = listening(progress, unit=unit)
    try:
        for task, total in tasks.items():
            listener.begin(task, total)
        yield listener
    finally:
        for task in tasks:
            listener.end(task)


def listening(progress: bool | Progress, *, unit: str = "steps") -> Progress:
    """Who listens.

    Args:
        progress: True for :class:`Bars`, False for :class:`Silent`; an object that listens is returned as it is.
        unit: what a step is, in the plural.

    Returns:
        An object with the methods of :class:`Progress`.
    """
    if isinstance(progress, bool):
        return Bars(unit) if progress else Silent()
    return progress
