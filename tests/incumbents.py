"""A listener that several tests of the subset-sum engine share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slth.progress import Silent


class Incumbents(Silent):
    """Keeps what a solve tells.

    Attributes:
        told: (seconds, error) of each better incumbent, in order.
        calls: the names of the methods that were called, in order; all for the task ``solve``.
    """

    def __init__(self) -> None:
        self.told: list[tuple[float, float]] = []
        self.calls: list[str] = []

    def begin(self, task: str, total: int, done: int = 0) -> None:
        """See :class:`slth.progress.Progress`."""
        assert (task, total, done) == ("solve", 1, 0)
        self.calls.append("begin")

    def advance(self, task: str, steps: int = 1) -> None:
        """See :class:`slth.progress.Progress`."""
        assert (task, steps) == ("solve", 1)
        self.calls.append("advance")

    def end(self, task: str) -> None:
        """See :class:`slth.progress.Progress`."""
        assert task == "solve"
        self.calls.append("end")

    def report(self, task: str, facts: Mapping[str, Any]) -> None:
        """See :class:`slth.progress.Progress`."""
        assert task == "solve"
        self.calls.append("report")
        self.told.append((facts["seconds"], facts["error"]))
