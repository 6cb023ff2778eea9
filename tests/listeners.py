"""Listeners that tests hand to long work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from slth.progress import Silent


class Reports(Silent):
    """Keeps every report.

    Args:
        react: called with each report.
    """

    def __init__(self, react: Callable[[Mapping[str, Any]], None] = lambda facts: None) -> None:
        self.facts: list[Mapping[str, Any]] = []
        self.calls: list[tuple[Any, ...]] = []
        self._react = react

    def begin(self, task: str, total: int, done: int = 0) -> None:
        """See :class:`~slth.progress.Progress`."""
        self.calls.append(("begin", task, total, done))

    def advance(self, task: str, steps: int = 1) -> None:
        """See :class:`~slth.progress.Progress`."""
        self.calls.append(("advance", task, steps))

    def report(self, task: str, facts: Mapping[str, Any]) -> None:
        """See :class:`~slth.progress.Progress`."""
        self.facts.append(facts)
        self._react(facts)

    def end(self, task: str) -> None:
        """See :class:`~slth.progress.Progress`."""
        self.calls.append(("end", task))
