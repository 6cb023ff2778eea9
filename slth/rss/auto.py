"""The choice that method ``auto`` makes for a problem, and the reason it gives."""

from __future__ import annotations

import math
import time

import numpy as np

from slth.rss.control import Control
from slth.rss.exact import expected_log2_work, provable
from slth.rss.meet import grid_bytes
from slth.rss.problem import Problem
from slth.rss.tree import expected_error

# auto proves the optimum when that costs at most about 2^26 look-ups, a second's work. Otherwise it searches.
MAX_LOG2_LOOKUPS = 26
LOOKUPS_PER_SECOND = 2.0**26
# With at most 2^MAX_LOG2_SELECTIONS selections, auto also tries branch and bound with this many nodes: 10 to 100 ms.
MAX_LOG2_SELECTIONS = 64
TRIAL_NODES = 2.0**20
# The error that relax leaves in each coordinate is about this share of the norm of the D-th smallest candidate. The
# largest of D coordinates is larger by about (2·ln(D + 1))^{1/2}. Measured with NSN candidates, D = 4 to 144.
RELAX_SHARE = 0.28
# With so few candidates core sees nearly all selections, and lists hold too few sums (D = 2 and 4, 0.05 s and 1 s).
CORE_CANDIDATES, CORE_DIMENSION = 56, 8
# With a time limit relax and local search on, to about this share of that error (D = 16 and 25, n = 1000, 5 s).
SEARCHED_SHARE = 0.38

# Seconds that a search for eps without a time limit is planned for.
LONGEST = 60.0


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
        tree = expected_error(problem, control.effort, control)
        if tree < _relax_error(problem):
            return "tree", f"n = {n}, D = {dim}: error {tree:.2g} expected for an effort of {control.effort:g} s"
        return "relax", f"n = {n}, D = {dim}: too large to prove, and no time limit to use up"
    if n <= CORE_CANDIDATES and dim <= CORE_DIMENSION:
        return "core", f"n = {n}, D = {dim}: small enough to enumerate a core"
    seconds = LONGEST if control.deadline is None else max(control.deadline - time.monotonic(), 0.0)
    tree = expected_error(problem, seconds * control.threads, control)
    if tree < SEARCHED_SHARE * _relax_error(problem):
        return "tree", f"n = {n}, D = {dim}: too large to prove; an error of {tree:.2g} is expected in the time"
    return "local", f"n = {n}, D = {dim}: too large to prove, or for lists of subset sums"


def _relax_error(problem: Problem) -> float:
    """The L∞ error to expect of ``relax``."""
    dim = problem.dimension
    norms = np.sqrt(np.einsum("nd,nd->n", problem.vectors, problem.vectors))
    norms = norms[norms > 0]
    if len(norms) <= dim:
        return math.inf
    return RELAX_SHARE * float(np.partition(norms, dim)[dim]) * math.sqrt(2.0 * math.log(dim + 1.0))


def _affordable_log2_lookups(control: Control) -> float:
    """log2 of the look-ups that a proof may take. With a deadline they must fit half of the time left."""
    if control.deadline is None:
        return MAX_LOG2_LOOKUPS
    left = max(control.deadline - time.monotonic(), 1e-9)
    return min(MAX_LOG2_LOOKUPS, math.log2(left * LOOKUPS_PER_SECOND / 2))
