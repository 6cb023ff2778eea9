r"""Lists of subset sums: all sums of a group of candidates, and the nearest pairs of two lists.

A list is an integer array (N, D), in fixed point, so that sums are exact and the same on every machine. Two lists A and
B are joined by pairs (a, b) with a + b near 0. Space is cut into cells of side w with a random offset. Only pairs with
a and −b in the same cell are looked at. w is chosen such that this gives a few pairs for each entry that is wanted, and
the pairs with the smallest ‖a + b‖₂ are kept.

Cost of a join of two lists of N entries, measured on one core: about 100 ns for each entry, for D from 2 to 16. The
roofline is memory traffic. Both lists are read twice and written once into partitions of :data:`PARTITION` entries; the
result is written once. In int32 that is 28·D + 60 bytes an entry: 310 bytes at D = 9, or 30 ns at 10 GB/s. The
partitions then fit the second-level cache, where look-ups of single entries cost no memory traffic. Without them every
look-up would wait for memory, 80 ns each.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from slth.rss.cells import PARTITION, crowding, partition_lists

# The pairs of 1/SAMPLE of the entries decide how near a pair must be to be kept; of short lists, 1/LEAST_SAMPLE.
SAMPLE, LEAST_SAMPLE = 16, 5
# A join looks at most at this many pairs for each entry that is wanted; equal sums could give many more.
MOST_PAIRS = 64
# A join that would look at fewer pairs than this share of those it was asked for takes larger cells, so many times.
ENOUGH, ATTEMPTS = 0.6, 6

Scratch = tuple[npt.NDArray[Any], ...]


def make_scratch(capacity: int, dimension: int, dtype: type) -> Scratch:
    """Working arrays for joins of lists of at most ``capacity`` entries.

    Args:
        capacity: the largest number of entries.
        dimension: D, the number of coordinates.
        dtype: int32 or int64, the type of the lists.

    Returns:
        The arrays, for one thread: keys; entries, tags and places of both lists in partitions; starts of the
        partitions; the heads and links of a table; lengths.
    """
    partitions = 2 * max(1, 2 * capacity // PARTITION) + 2
    rows, tags, places = (np.empty((2, capacity, *tail), dtype=kind) for tail, kind in (
        ((dimension,), dtype), ((), np.uint32), ((), np.int32)))  # fmt: skip
    return (
        np.empty(capacity, dtype=np.uint64), *rows, *tags, *places, *np.empty((2, partitions), dtype=np.int64),
        np.empty(4 * PARTITION, dtype=np.int32), np.empty(capacity, dtype=np.int32),
        np.empty(capacity, dtype=np.float32),
    )  # fmt: skip


def scratch_bytes(capacity: int, dimension: int, itemsize: int) -> float:
    """Bytes that :func:`make_scratch` takes.

    Args:
        capacity: the largest number of entries.
        dimension: D.
        itemsize: bytes of one coordinate.
    """
    return capacity * (2.0 * dimension * itemsize + 32.0) + 16.0 * PARTITION


@numba.njit(nogil=True, cache=True)
def all_sums(halves, start, out):  # type: ignore[no-untyped-def]
    """Write the sums start + Σ_b ±halves_b for all signs.

    Args:
        halves: int32 or int64 (t, D).
        start: integers (D,).
        out: the list to write, of the type of ``halves`` (≥ 2^t, D). Bit b of the place of a sum is 1 for the sign +.

    Returns:
        2^t, the number of sums.
    """
    for d in range(halves.shape[1]):
        value = start[d]
        for i in range(halves.shape[0]):
            value -= halves[i, d]
        out[0, d] = value
    count = 1
    for i in range(halves.shape[0]):
        for j in range(count):
            for d in range(halves.shape[1]):
                out[count + j, d] = out[j, d] + 2 * halves[i, d]
        count *= 2
    return count


@numba.njit(nogil=True, cache=True)
def join_lists(a, b, wanted, tested, normal, seed, out, parents, scratch):  # type: ignore[no-untyped-def]
    """Find about ``wanted`` of the pairs of entries of a and b with the smallest ‖a + b‖₂.

    Args:
        a: a list, int32 or int64 (N, D).
        b: a list of the same type, (M, D).
        wanted: how many pairs to keep.
        tested: how many pairs to look at, about.
        normal: whether both lists hold all sums of a group, which are about normal; pairs fill a ball.
        seed: seed of the cells.
        out: the sums are written here; as many as there is room for, at most.
        parents: int32 (rows of ``out``, 2), the places in a and b are written here.
        scratch: from :func:`make_scratch`, for lists at least as long as a and b.

    Returns:
        (the number of sums, the number of pairs looked at).
    """
    _, rows_a, rows_b, tags_a, tags_b, places_a, places_b, starts_a, starts_b, heads, links, lengths = scratch
    capacity = out.shape[0]
    every = float(len(a)) * len(b)
    asked = min(every, tested if normal else tested * crowding(a.shape[1]))
    limit = np.float32(np.inf)
    for _ in range(ATTEMPTS):
        partitions = partition_lists(a, b, asked, seed, scratch)
        # A sample of the entries of b, with all entries of a: a few whole partitions, or a part of the only ones.
        share = SAMPLE if len(b) >= 128 * SAMPLE else LEAST_SAMPLE if len(b) >= 8 * LEAST_SAMPLE else 1
        shown, part = (partitions // share, 1) if partitions >= share else (partitions, share)
        found, looked = _pairs(
            rows_a, tags_a, places_a, starts_a, rows_b, tags_b, places_b, starts_b, shown, part,
            np.float32(np.inf), capacity, out, parents, lengths, heads, links,
        )  # fmt: skip
        seen = max(1.0, starts_b[shown] / part) / len(b)
        if asked >= every or found >= capacity or looked >= ENOUGH * tested * seen:
            break
        asked = min(every, asked * min(16.0, max(1.5, tested * seen / max(looked, 1))))
    kept = int(seen * wanted)
    if found > kept:
        limit = np.partition(lengths[:found], kept)[kept]
    return _pairs(
        rows_a, tags_a, places_a, starts_a, rows_b, tags_b, places_b, starts_b, partitions, 1,
        limit, capacity, out, parents, lengths, heads, links,
    )  # fmt: skip


@numba.njit(nogil=True, cache=True)
def nearest_pair(a, b, tested, seed, euclidean, counted, scratch):  # type: ignore[no-untyped-def]
    """Find the pair of entries of a and b with the smallest ‖a + b‖, among about ``tested`` pairs.

    Args:
        a: a list, int32 or int64 (N, D).
        b: a list of the same type, (M, D).
        tested: how many pairs to look at, about.
        seed: seed of the cells.
        euclidean: whether the norm is L2, not L∞.
        counted: whether the last coordinate must be 0; it is then not part of the norm.
        scratch: from :func:`make_scratch`, for lists at least as long as a and b.

    Returns:
        (the norm, the place in a, the place in b); the norm is infinite when no pair was found.
    """
    _, rows_a, rows_b, tags_a, tags_b, places_a, places_b, starts_a, starts_b, heads, links, _ = scratch
    asked = min(tested * crowding(a.shape[1]), float(len(a)) * len(b))
    partitions = partition_lists(a, b, asked, seed, scratch)
    dimension = a.shape[1] - counted
    best, first, second = math.inf, -1, -1
    left = MOST_PAIRS * tested
    for p in range(partitions):
        mask = _fill_table(tags_a, starts_a[p], starts_a[p + 1], heads, links)
        for j in range(starts_b[p], starts_b[p + 1]):
            tag = tags_b[j]
            i = heads[tag & mask]
            while i >= 0 and left > 0:
                if tags_a[i] == tag:
                    left -= 1
                    length = 0.0
                    if counted and rows_a[i, dimension] + rows_b[j, dimension] != 0:
                        length = np.inf
                    for d in range(dimension):
                        value = abs(float(rows_a[i, d] + rows_b[j, d]))
                        length = length + value * value if euclidean else max(length, value)
                    if length < best:
                        best, first, second = length, places_a[i], places_b[j]
                i = links[i]
    return math.sqrt(best) if euclidean else best, first, second


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def _pairs(  # type: ignore[no-untyped-def]
    rows_a, tags_a, places_a, starts_a, rows_b, tags_b, places_b, starts_b, partitions, part, limit, capacity,
    out, parents, lengths, heads, links,
):  # fmt: skip
    """Write the pairs of the first partitions with ‖a + b‖₂² ≤ limit, from 1/part of the entries of b in each.

    Return (the number of pairs written, the number of pairs looked at).
    """
    dimension = rows_a.shape[1]
    found = looked = 0
    for p in range(partitions):
        mask = _fill_table(tags_a, starts_a[p], starts_a[p + 1], heads, links)
        end = starts_b[p] + (starts_b[p + 1] - starts_b[p] + part - 1) // part
        for j in range(starts_b[p], end):
            tag = tags_b[j]
            i = heads[tag & mask]
            while i >= 0:
                if tags_a[i] == tag:
                    if found >= capacity or looked >= MOST_PAIRS * capacity:
                        return found, looked
                    looked += 1
                    length = np.float32(0.0)
                    for d in range(dimension):
                        value = rows_a[i, d] + rows_b[j, d]
                        out[found, d] = value
                        length += np.float32(value) * np.float32(value)
                    if length <= limit:
                        parents[found, 0] = places_a[i]
                        parents[found, 1] = places_b[j]
                        lengths[found] = length
                        found += 1
                i = links[i]
    return found, looked


@numba.njit(nogil=True, cache=True, inline="always")
def _fill_table(tags, start, end, heads, links):  # type: ignore[no-untyped-def]
    """Link the entries of a partition by the low bits of their tags; return the mask of these bits."""
    size = 1
    while size < end - start and size < len(heads):
        size *= 2
    mask = np.uint32(size - 1)
    heads[:size] = -1
    for i in range(start, end):
        slot = tags[i] & mask
        links[i] = heads[slot]
        heads[slot] = i
    return mask
