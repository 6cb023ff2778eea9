"""What a method is given besides the problem, and what it hands back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from slth.rss.problem import BoolArray


@dataclass(frozen=True, kw_only=True)
class Control:
    """The limits of one solve.

    Attributes:
        eps: stop as soon as a selection is this close (None: go for the minimum).
        deadline: ``time.monotonic()`` value after which the incumbent is returned (None: no limit).
        seed: of every random choice a method makes.
        max_memory: bytes a method may take for its tables.
        threads: how many a method may use; without a deadline results do not depend on it.
        progress: called with (seconds since ``began``, error) at every better incumbent.
        began: ``time.monotonic()`` value from which progress counts.
    """

    eps: float | None = None
    deadline: float | None = None
    seed: int = 0
    max_memory: float = 1e9
    threads: int = 1
    progress: Callable[[float, float], None] | None = None
    began: float = field(default_factory=time.monotonic)

    def expired(self) -> bool:
        """True once the deadline has passed."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def improved(self, error: float) -> None:
        """Tell the caller's progress of a better incumbent."""
        if self.progress is not None:
            self.progress(time.monotonic() - self.began, error)


@dataclass(frozen=True, kw_only=True, eq=False)
class Incumbent:
    """What a method found: the selection, a rigorous lower bound on any error, and whether eps was excluded.

    ``lower_bound`` must hold for every selection the problem allows, in exact arithmetic: :func:`slth.rss.solve`
    calls a solution optimal exactly when its exact error does not exceed it.
    """

    selected: BoolArray
    lower_bound: float = 0.0
    stats: Mapping[str, Any] = field(default_factory=dict)
