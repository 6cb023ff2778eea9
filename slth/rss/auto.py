"""The choice that method ``auto`` makes for a problem, and the reason it gives."""

from __future__ import annotations

import math
import time

from slth.rss.control import Control
from slth.rss.exact import expected_log2_work, provable
from slth.rss.meet import grid_bytes
from slth.rss.problem import Problem

# auto proves the optimum when that costs at most about 2^26 look-ups, a second's work. Otherwise it searches.
MAX_LOG2_LOOKUPS = 26
LOOKUPS_PER_SECOND = 2.0**26
# With at most 2^MAX_LOG2_SELECTIONS selections, auto also tries branch and bound with this many nodes: 10 to 100 ms.
MAX_LOG2_SELECTIONS = 64
TRIAL_NODES = 2.0**20
# Up to this dimension core enumeration beats restarts and flips (measured at n = 1000, 5 s).
CORE_DIMENSION = 8


def choose(problem: Problem, control: Control) -> tuple[str, str]:
    """The method that ``auto`` takes for a problem.

    Args:
        problem: the instance.
        control: its limits. A proof must fit the time and the memory.

    Returns:
        (name of the method, the reason).
    """
    n, dim = problem.size, problem.dimension
    if n <= MAX_LOG2_SELECTIONS and grid_bytes(n // 2, dim) <= control.max_memory / 2:
        work = expected_log2_work(problem.vectors, problem.target)
        if work <= _affordable_log2_lookups(control):
            return "exact", f"n = {n}, D = {dim}: about 2^{work:.0f} look-ups prove the optimum"
    k = problem.cardinality
    log2_selections = n if k is None else math.log2(math.comb(n, k))
    if log2_selections <= MAX_LOG2_SELECTIONS and provable(problem, control, TRIAL_NODES):
        return "exact", f"n = {n}, D = {dim}: branch and bound proves the optimum"
    if control.deadline is None and control.eps is None:
        return "relax", f"n = {n}, D = {dim}: too large to prove, and no time limit to use up"
    if dim <= CORE_DIMENSION:
        return "core", f"n = {n} is too large to prove; D = {dim} is small enough to enumerate a core"
    return "local", f"n = {n}, D = {dim}: too large to prove or to enumerate a core"


def _affordable_log2_lookups(control: Control) -> float:
    """log2 of the look-ups that a proof may take. With a deadline they must fit half of the time left."""
    if control.deadline is None:
        return MAX_LOG2_LOOKUPS
    left = max(control.deadline - time.monotonic(), 1e-9)
    return min(MAX_LOG2_LOOKUPS, math.log2(left * LOOKUPS_PER_SECOND / 2))
