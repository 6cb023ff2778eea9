r"""Batches of one-dimensional instances, solved exactly: the weight-level construction.

For each of b weights z_i with its own n candidates X_i ∈ R^n,

.. math:: \min_{s \in \{0,1\}^n} |X_i^\top s − z_i|

by meet in the middle. The subset sums of both halves are built in sorted order: adding a candidate merges a list with
its shifted copy. One two-pointer sweep then finds the closest pair. An instance takes about 3·2^{n/2+1} steps. For
n ≤ 24 they stay in the first-level cache, and no branch depends on the data.

Sums are float64 and carry an error of at most η (:func:`slth.rss.exact.rounding_slack`). The sweep also finds the
second smallest error. If that is more than 2η above the smallest, the best pair is proved optimal. Otherwise the
instance goes to ``exact``, which compares the ties in rational arithmetic.

Source: horowitz1974
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from slth.arrays import BoolArray, FloatArray
from slth.errors import InputError, check_array
from slth.rss.control import Control
from slth.rss.exact import solve_exact
from slth.rss.problem import Problem
from slth.rss.threads import map_threads, thread_count
from slth.rss.verify import error_upper_bound

# Instances per task of a thread: many enough that threads seldom wait for each other, few enough to share evenly.
TASK_INSTANCES = 2048
# With more candidates the 2^{n/2} sums of a half leave the cache, and solve_batch is the better choice.
MAX_CANDIDATES = 32


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
    if n > MAX_CANDIDATES:
        raise InputError(f"vectors must have n ≤ {MAX_CANDIDATES} columns; got {n}. Use solve_batch for more.")
    codes = np.empty(len(goals), np.int64)
    error, unique = np.empty(len(goals)), np.empty(len(goals), np.bool_)

    def run(start: int) -> None:
        part = slice(start, start + TASK_INSTANCES)
        own = rows if shared else rows[part]
        _solve_chunk(own, goals[part], codes[part], error[part], unique[part])

    map_threads(run, range(0, len(goals), TASK_INSTANCES), thread_count(threads))
    selected = ((codes[:, None] >> np.arange(n)) & 1).astype(bool)
    for i in np.flatnonzero(~unique):
        problem = Problem(vectors=rows[0 if shared else i][:, None], target=goals[i : i + 1])
        selected[i] = solve_exact(problem, Control()).selected
        error[i] = error_upper_bound(problem, selected[i])
    return WeightSolution(selected=selected, error=error, ties=int((~unique).sum()), seconds=time.monotonic() - began)


@numba.njit(nogil=True, cache=True)
def _sorted_sums(values, sums, spare):  # type: ignore[no-untyped-def]
    """The 2^m subset sums of ``values``, ascending, in whichever of the two buffers is returned.

    A list and its shifted copy are merged from both ends at once. As many outputs as the list is long come from each
    end, so they neither run out nor overlap. The loop has no branch, and two independent chains of operations.
    """
    sums[0] = 0.0
    size = 1
    for k in range(values.size):
        x = values[k]
        shift = abs(x)
        # For x < 0 the shifted copy is the lower one: merge sums + x with (sums + x) + |x|, the same numbers.
        base = min(x, 0.0)
        i = 0
        j = 0
        p = size - 1
        q = size - 1
        for out in range(size):
            first = sums[i] if base == 0.0 else sums[i] + base
            second = sums[j] + shift if base == 0.0 else sums[j]
            take = first <= second
            spare[out] = first if take else second
            i += take
            j += 1 - take
            first = sums[p] if base == 0.0 else sums[p] + base
            second = sums[q] + shift if base == 0.0 else sums[q]
            take = second >= first
            spare[2 * size - 1 - out] = second if take else first
            q -= take
            p -= 1 - take
        size *= 2
        sums, spare = spare, sums
    return sums


@numba.njit(nogil=True, cache=True)
def _find_code(values, wanted, sums):  # type: ignore[no-untyped-def]
    """The code of the selection whose sum, added in the order of :func:`_sorted_sums`, is ``wanted``; −1 if none is."""
    sums[0] = 0.0
    size = 1
    for k in range(values.size):
        for i in range(size):
            sums[size + i] = sums[i] + values[k]
        size *= 2
    for i in range(size):
        if sums[i] == wanted:
            return i
    return -1


@numba.njit(nogil=True, cache=True)
def _solve_chunk(vectors, targets, best_code, best_error, unique):  # type: ignore[no-untyped-def]
    """Write the code and error of the best selection of each instance, and whether it is proved to be the only best."""
    n = vectors.shape[1]
    left = n // 2
    size = 1 << (n - left)
    a_one, a_two = np.empty(size), np.empty(size)
    b_one, b_two = np.empty(size), np.empty(size)
    scratch = np.empty(size)
    a, b = a_one, b_one
    a_size = 1 << left
    for w in range(targets.size):
        own = 0 if vectors.shape[0] == 1 else w
        row = vectors[own]
        if w == 0 or vectors.shape[0] > 1:
            a = _sorted_sums(row[:left], a_one, a_two)
            b = _sorted_sums(row[left:], b_one, b_two)
        z = targets[w]
        best, second, best_i, best_j = _sweep(a, a_size, b, size, z)
        # A pair the sweep did not visit can only tie if it shares a row or a column with the best one.
        for i in (best_i - 1, best_i + 1):
            if 0 <= i < a_size:
                second = min(second, abs(a[i] + b[best_j] - z))
        for j in (best_j - 1, best_j + 1):
            if 0 <= j < size:
                second = min(second, abs(a[best_i] + b[j] - z))
        total = abs(z)
        for k in range(n):
            total += abs(row[k])
        slack = 1.1 * (n + 4) * 2.0**-53 * total
        code = _find_code(row[:left], a[best_i], scratch)
        code |= _find_code(row[left:], b[best_j], scratch) << left
        best_code[w] = code
        unique[w] = second > best + 2.0 * slack
        best_error[w] = _error_up(row, code, z)


@numba.njit(nogil=True, cache=True)
def _sweep(a, a_size, b, b_size, z):  # type: ignore[no-untyped-def]
    """The smallest |a_i + b_j − z| of the visited pairs, the second smallest, and the pair (i, j) of the smallest.

    The sweep follows the staircase between the sums below z and the sums above it, in the lower and the upper half of a
    at once. These are two independent chains of dependent loads: while one waits for memory, the other works.
    """
    middle = a_size // 2
    # The staircase enters the upper half just above the last b with a[middle] + b < z.
    start = min(np.searchsorted(b[:b_size], z - a[middle]) + 1, b_size - 1)
    best1, second1, i1, j1 = np.inf, np.inf, 0, 0
    best2, second2, i2, j2 = np.inf, np.inf, middle, start
    i, j, p, q = 0, b_size - 1, middle, start
    while i < middle and j >= 0 and p < a_size and q >= 0:
        gap = a[i] + b[j] - z
        error = abs(gap)
        if error < second1:
            if error < best1:
                second1, best1, i1, j1 = best1, error, i, j
            else:
                second1 = error
        below = gap < 0.0
        i += below
        j -= 1 - below
        gap = a[p] + b[q] - z
        error = abs(gap)
        if error < second2:
            if error < best2:
                second2, best2, i2, j2 = best2, error, p, q
            else:
                second2 = error
        below = gap < 0.0
        p += below
        q -= 1 - below
    best1, second1, i1, j1 = _finish_sweep(a, i, middle, b, j, z, best1, second1, i1, j1)
    best2, second2, i2, j2 = _finish_sweep(a, p, a_size, b, q, z, best2, second2, i2, j2)
    if best1 <= best2:
        return best1, min(second1, best2), i1, j1
    return best2, min(second2, best1), i2, j2


@numba.njit(nogil=True, cache=True)
def _finish_sweep(a, i, end, b, j, z, best, second, best_i, best_j):  # type: ignore[no-untyped-def]
    """Follow one half of the staircase to its end, once the other half has ended."""
    while i < end and j >= 0:
        gap = a[i] + b[j] - z
        error = abs(gap)
        if error < second:
            if error < best:
                second, best, best_i, best_j = best, error, i, j
            else:
                second = error
        below = gap < 0.0
        i += below
        j -= 1 - below
    return best, second, best_i, best_j


@numba.njit(nogil=True, cache=True)
def _error_up(row, code, z):  # type: ignore[no-untyped-def]
    """|Σ selected − z| rounded up to float64: a double-double sum, plus a bound on its rounding error."""
    high = -z
    low = 0.0
    size = abs(z)
    for k in range(row.size):
        if (code >> k) & 1:
            x = row[k]
            size += abs(x)
            total = high + x
            back = total - high
            low += (high - (total - back)) + (x - back)
            high = total
    exact_to = 4.0 * row.size * row.size * 2.0**-106 * size
    value = abs(high + low)
    if low == 0.0:
        return value  # every addition was exact
    return np.nextafter(value + exact_to, np.inf)
