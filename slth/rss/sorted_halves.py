r"""The exact search for one-dimensional instances: the sorted subset sums of both halves, and one sweep.

The subset sums of both halves are built in sorted order: adding a candidate merges a list with its shifted copy. One
two-pointer sweep then finds the closest pair. An instance takes about 3·2^{n/2+1} steps. For n ≤ 24 they stay in the
first-level cache, and no branch depends on the data.

Sums are float64 and carry an error of at most η (:func:`slth.rss.exact.rounding_slack`). The sweep also finds the
second smallest error. If that is more than 2η above the smallest, the best pair is proved optimal. Otherwise there are
ties, which this search does not settle.

Source: horowitz1974
"""

from __future__ import annotations

import numba
import numpy as np

from slth.arrays import BoolArray, FloatArray

# With more candidates the 2^{n/2} sums of a half leave the cache.
MAX_SORTED = 32


def closest_sums(rows: FloatArray, goals: FloatArray) -> tuple[BoolArray, BoolArray]:
    """Find the best selection of each of b one-dimensional instances.

    Args:
        rows: float64 (b, n), the candidates of each instance, n ≤ MAX_SORTED; or (1, n), the same ones for all.
        goals: float64 (b,), the target of each instance.

    Returns:
        (selections, bool (b, n); whether each is proved to be the only best one, bool (b,)).
    """
    codes, unique = np.empty(len(goals), dtype=np.int64), np.empty(len(goals), dtype=np.bool_)
    _closest_sums(rows, goals, codes, unique)
    return (codes[:, None] >> np.arange(rows.shape[1])) & 1 == 1, unique


def sorted_bytes(count: int) -> float:
    """Bytes that a thread takes for the sums of two halves.

    Args:
        count: n, the number of candidates.
    """
    return 5.0 * 8 * 2.0 ** (count - count // 2)


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
def _closest_sums(vectors, targets, best_code, unique):  # type: ignore[no-untyped-def]
    """Write the code of the best selection of each instance, and whether it is proved to be the only best."""
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
