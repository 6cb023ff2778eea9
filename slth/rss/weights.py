r"""Batches of one-dimensional instances, solved exactly: the weight-level construction.

For each of b weights z_i with its own n candidates X_i ∈ R^n,

.. math:: \min_{s \in \{0,1\}^n} |X_i^\top s − z_i|

by the sorted sums of both halves (:mod:`slth.rss.sorted_halves`). Instances with ties within rounding go to ``exact``,
which compares the ties in rational arithmetic.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slth.arrays import BoolArray, FloatArray
from slth.errors import InputError, check_array
from slth.rss.control import Control
from slth.rss.exact import solve_exact
from slth.rss.exact_sums import largest_errors
from slth.rss.problem import Problem
from slth.rss.sorted_halves import MAX_SORTED, closest_sums
from slth.rss.threads import map_threads, thread_count
from slth.rss.verify import error_upper_bound

# Instances per task of a thread: many enough that threads seldom wait for each other, few enough to share evenly.
TASK_INSTANCES = 2048
# From this number of candidates on a task has fewer instances: the clock is looked at between tasks.
LONG_CANDIDATES = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightSolution:
    """Optimal selections of b one-dimensional instances.

    Attributes:
        selected: bool (b, n), one selection per weight.
        error: float64 (b,), |X_iᵀs − z_i| rounded up.
        ties: number of instances whose ties were compared in rational arithmetic.
        seconds: wall time.
    """

    selected: BoolArray
    error: FloatArray
    ties: int
    seconds: float


def solve_weights(*, vectors: npt.ArrayLike, targets: npt.ArrayLike, threads: int | None = None) -> WeightSolution:
    """Solve b one-dimensional instances to proved optimality.

    Args:
        vectors: float64 (b, n), the candidates of each weight, with n ≤ 32; or (n,), the same ones for every weight.
        targets: float64 (b,), the weights.
        threads: number of threads; None for every core.

    Returns:
        The optimal selections and their errors.

    Raises:
        InputError: shapes that do not match, n above 32, NaN or infinity.
    """
    began = time.monotonic()
    goals = check_array("targets", targets, "(b,)", 1, "Pass one target per weight.")
    shared = np.ndim(vectors) == 1
    candidates = check_array(
        "vectors", vectors, "(b, n), or (n,) for candidates in common", 1 if shared else 2, "Pass one row per weight."
    )
    rows = candidates.reshape(1, -1) if shared else candidates
    n = rows.shape[1]
    if not shared and len(rows) != len(goals):
        raise InputError(f"vectors must have b = {len(goals)} rows, one per target; got {len(rows)}.")
    if n > MAX_SORTED:
        raise InputError(f"vectors must have n ≤ {MAX_SORTED} columns; got {n}. Use solve_batch for more.")
    proved = prove_singles(rows, goals, Control(), thread_count(threads))
    selected, error = proved.selected, proved.error
    ties = np.flatnonzero(~proved.proved)
    for i in ties:
        problem = Problem(vectors=rows[0 if shared else i][:, None], target=goals[i : i + 1])
        selected[i] = solve_exact(problem, Control()).selected
        error[i] = error_upper_bound(problem, selected[i])
    return WeightSolution(selected=selected, error=error, ties=len(ties), seconds=time.monotonic() - began)


@dataclass(frozen=True, kw_only=True, eq=False)
class Singles:
    """What a first pass over b one-dimensional instances found.

    Attributes:
        selected: bool (b, n).
        error: float64 (b,), the errors rounded up.
        lower_bound: float64 (b,), the errors rounded down.
        proved: bool (b,), whether the selection is the optimum. Where it is not, there are ties, or time was up.
    """

    selected: BoolArray
    error: FloatArray
    lower_bound: FloatArray
    proved: BoolArray

    @staticmethod
    def of_size(count: int, candidates: int) -> Singles:
        """The start: empty selections, none of them proved.

        Args:
            count: b.
            candidates: n.
        """
        return Singles(
            selected=np.zeros((count, candidates), dtype=bool),
            error=np.zeros(count),
            lower_bound=np.zeros(count),
            proved=np.zeros(count, dtype=bool),
        )


def prove_singles(rows: FloatArray, goals: FloatArray, control: Control, workers: int) -> Singles:
    """Solve the one-dimensional instances that have no ties, until time is up.

    Args:
        rows: float64 (b, n), the candidates of each instance, n ≤ MAX_SORTED; or (1, n), the same ones for all.
        goals: float64 (b,), the target of each instance.
        control: its deadline is the only limit that counts.
        workers: number of threads.

    Returns:
        The selections, their errors, and which of them are proved.
    """
    b, n = len(goals), rows.shape[1]
    found = Singles.of_size(b, n)
    step = max(1, TASK_INSTANCES >> max(0, (n - LONG_CANDIDATES) // 2))

    def run(start: int) -> None:
        if control.expired():
            return
        part = slice(start, start + step)
        own, wanted = rows if len(rows) == 1 else rows[part], goals[part]
        selected, found.proved[part] = closest_sums(own, wanted)
        found.selected[part] = selected
        columns = np.ascontiguousarray(np.broadcast_to(own, selected.shape).T)
        members, counts = np.nonzero(selected)[1], selected.sum(axis=1)
        found.error[part] = largest_errors(columns, wanted[:, None], members, counts)
        found.lower_bound[part] = largest_errors(columns, wanted[:, None], members, counts, down=True)

    map_threads(run, range(0, b, step), workers)
    return found
