"""The hash table of right-hand sums, and the scan of left-hand sums against it: the hot loops of ``exact``.

A cell is a box of side ``width`` on the first ``hashed`` coordinates. The table is a counting sort of the rows by
hashed cell, so a look-up is one random access for the bucket and a run of rows; at 2^20 sums and more it is the
cache miss of that access (about 100 ns) that costs, not the arithmetic.
"""

from __future__ import annotations

import numba
import numpy as np

from slth.rss.problem import FloatArray


def subset_sums(vectors: FloatArray) -> FloatArray:
    """(2^m, D): row i is the sum of the vectors whose bit is set in i."""
    sums = np.zeros((1, vectors.shape[1]))
    for row in vectors:
        sums = np.concatenate([sums, sums + row])
    return sums


def popcounts(size: int) -> np.ndarray:
    """int64 (size,): the number of set bits of 0 … size − 1."""
    return np.bitwise_count(np.arange(size, dtype=np.uint64)).astype(np.int64)


@numba.njit(nogil=True, cache=True, inline="always")
def _mix(key, cell):  # type: ignore[no-untyped-def]
    mixed = (key ^ np.uint64(cell)) * np.uint64(0x9E3779B97F4A7C15)
    return mixed ^ (mixed >> np.uint64(29))


@numba.njit(nogil=True, cache=True)
def build_table(sums, hashed, width, bits):  # type: ignore[no-untyped-def]
    """Counting sort of the rows by hashed cell: rows of bucket h are items[heads[h]:heads[h + 1]]."""
    n = sums.shape[0]
    shift = np.uint64(64 - bits)
    heads = np.zeros((1 << bits) + 1, np.int64)
    bucket = np.empty(n, np.int32)
    for i in range(n):
        key = np.uint64(0)
        for g in range(hashed):
            key = _mix(key, np.int64(np.floor(sums[i, g] / width)))
        place = np.int64((key * np.uint64(0x9E3779B97F4A7C15)) >> shift)
        bucket[i] = place
        heads[place + 1] += 1
    for h in range(1 << bits):
        heads[h + 1] += heads[h]
    fill = heads[:-1].copy()
    items = np.empty(n, np.int32)
    for i in range(n):
        items[fill[bucket[i]]] = i
        fill[bucket[i]] += 1
    return heads, items


@numba.njit(nogil=True, cache=True)
def _ones(row):  # type: ignore[no-untyped-def]
    ones = 0
    while row:
        ones += row & 1
        row >>= 1
    return ones


# fmt: off
@numba.njit(nogil=True, cache=True)
def scan_block(  # type: ignore[no-untyped-def]
    low, high, sums, target, heads, items, width, hashed, bits, tie,
    start, stop, counts_low, counts_high, cardinality, ties,
):
    # fmt: on
    """Look up every left sum high[h] + low[i], start ≤ h < stop; return the best error and the number of ties."""
    dim = target.size
    half = 0.5 * width
    shift = np.uint64(64 - bits)
    best = np.inf
    number = 0
    goal = np.empty(dim)
    first = np.empty(hashed, np.int64)
    spread = np.empty(hashed, np.int64)
    for h in range(start, stop):
        for i in range(low.shape[0]):
            for d in range(dim):
                goal[d] = target[d] - (high[h, d] + low[i, d])
            combinations = np.int64(1)
            for g in range(hashed):
                a = np.int64(np.floor((goal[g] - half) / width))
                b = np.int64(np.floor((goal[g] + half) / width))
                first[g] = a
                spread[g] = b - a + 1
                combinations *= b - a + 1
            for c in range(combinations):
                rest = c
                key = np.uint64(0)
                for g in range(hashed):
                    key = _mix(key, first[g] + rest % spread[g])
                    rest //= spread[g]
                place = np.int64((key * np.uint64(0x9E3779B97F4A7C15)) >> shift)
                for t in range(heads[place], heads[place + 1]):
                    row = items[t]
                    error = 0.0
                    for d in range(dim):
                        error = max(error, abs(goal[d] - sums[row, d]))
                        if error > best + tie:
                            break
                    if error > best + tie:
                        continue
                    if cardinality >= 0:
                        ones = counts_high[h] + counts_low[i] + _ones(row)
                        if ones != cardinality:
                            continue
                    if error < best - tie:
                        number = 0
                    best = min(best, error)
                    # The same row can be met through two cells of one bucket: keep it once.
                    left = h * low.shape[0] + i
                    if (
                        number
                        and number <= ties.shape[0]
                        and ties[number - 1, 0] == left
                        and ties[number - 1, 1] == row
                    ):
                        continue
                    if number < ties.shape[0]:
                        ties[number, 0] = left
                        ties[number, 1] = row
                    number += 1
    return best, number
