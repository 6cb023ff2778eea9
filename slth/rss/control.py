"""What a solver is given besides the problem, and what it hands back."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from slth.arrays import BoolArray
from slth.progress import Progress, Silent

# The name under which a solve reports its progress.
SOLVE_TASK = "solve"
# The default effort of a solve without a time limit, in seconds of one core.
DEFAULT_EFFORT = 0.002


@dataclass(frozen=True, kw_only=True)
class Control:
    """The limits of one solve, and who hears of its progress.

    Attributes:
        eps: the solver stops as soon as it has a selection with an error ≤ eps; None asks for the minimum.
        deadline: the value of ``time.monotonic()`` at which the solver returns its incumbent; None sets no limit.
        effort: seconds of one core that a solver without a deadline may take, about; they are counted in steps and not
            measured, so that the result does not depend on the machine.
        seed: the seed of every random choice.
        max_memory: bytes that a solver may take for its tables.
        threads: number of threads that a solver may use. Without a deadline the result does not depend on it.
        progress: the listener that hears of every better incumbent.
        exponent: the solver sees the problem in units of 2^exponent; reports are in the caller's units.
        began: the value of ``time.monotonic()`` from which the seconds of a report count.
    """

    eps: float | None = None
    deadline: float | None = None
    effort: float = DEFAULT_EFFORT
    seed: int = 0
    max_memory: float = 1e9
    threads: int = 1
    progress: Progress = field(default_factory=Silent)
    exponent: int = 0
    began: float = field(default_factory=time.monotonic)

    def expired(self) -> bool:
        """True once the deadline has passed."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def improved(self, error: float) -> None:
        """Report a better incumbent, given its error in the solver's units."""
        seconds = time.monotonic() - self.began
        self.progress.report(SOLVE_TASK, {"seconds": seconds, "error": math.ldexp(error, self.exponent)})


@dataclass(frozen=True, kw_only=True, eq=False)
class Incumbent:
    """The best selection that a solver found, and what it proved.

    Attributes:
        selected: bool (n,), the selection.
        lower_bound: an error, in exact arithmetic, that every selection the problem allows reaches or exceeds.
            :func:`slth.rss.solve` calls a solution optimal exactly when its error does not exceed this bound; infinity
            says that nothing is better than ``selected``.
        stats: what the solver tells of its run: counts, sizes, messages.
    """

    selected: BoolArray
    lower_bound: float = 0.0
    stats: Mapping[str, Any] = field(default_factory=dict)
