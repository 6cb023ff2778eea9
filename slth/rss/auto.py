"""Which method ``auto`` takes for a problem, and why."""

from __future__ import annotations

import math
import time

from slth.rss.control import Control
from slth.rss.exact import expected_log2_work, provable
from slth.rss.meet import grid_bytes
from slth.rss.problem import Problem

# auto proves the optimum when that costs at most about 2^26 look-ups (a second), and searches otherwise.
AUTO_EXACT_LOG2_WORK = 26
LOOK_UPS_A_SECOND = 2.0**26
# Of 2^64 selections at most, it also tries whether branch and bound gets through with this many nodes: 10 to 100 ms.
AUTO_NODES = 2.0**20
# Up to this dimension core enumeration beats restarts and flips (measured at n = 1000, 5 s).
CORE_DIMENSION = 8


def choose(problem: Problem, control: Control) -> tuple[str, str]:
    """(method, why) that ``auto`` takes for a problem."""
    n, dim = problem.size, problem.dimension
    if n <= 64 and grid_bytes(n // 2, dim) <= control.max_memory / 2:
        work = expected_log2_work(problem.vectors, problem.target)
        if work <= _affordable(control):
            return "exact", f"n = {n}, D = {dim}: about 2^{work:.0f} look-ups prove the optimum"
    k = problem.cardinality
    if (n if k is None else math.log2(math.comb(n, k))) <= 64 and provable(problem, control, AUTO_NODES):
        return "exact", f"n = {n}, D = {dim}: branch and bound proves the optimum"
    if control.deadline is None and control.eps is None:
        return "relax", f"n = {n}, D = {dim}: too large to prove, and no time limit to use up"
    if dim <= CORE_DIMENSION:
        return "core", f"n = {n} is too large to prove; D = {dim} is small enough to enumerate a core"
    return "local", f"n = {n}, D = {dim}: too large to prove or to enumerate a core"


def _affordable(control: Control) -> float:
    """log2 of the look-ups that a proof may take: half of what the time left allows, when that is limited."""
    if control.deadline is None:
        return AUTO_EXACT_LOG2_WORK
    left = max(control.deadline - time.monotonic(), 1e-9)
    return min(AUTO_EXACT_LOG2_WORK, math.log2(left * LOOK_UPS_A_SECOND / 2))
