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

# Entries of one list in a partition. With D = 9 in int32 its two lists take 180 kB.
PARTITION = 1 << 11
# The pairs of 1/SAMPLE of the entries decide how near a pair must be to be kept.
SAMPLE = 16
# A join looks at most at this many pairs for each entry that is wanted; equal sums could give many more.
MOST_PAIRS = 64
# Measured: lists of pairs have so many times fewer pairs near 0 than uniform balls.
PAIR_FACTOR = 1.5
# A join that finds fewer pairs than it wants takes larger cells, so many times.
ATTEMPTS = 6

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
    """Write start + Σ ±halves for all signs; entry i has the sign + for halves[b] if bit b of i is set. Their number."""
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

    ``tested`` is the number of pairs to look at. ``normal`` says that both lists hold all sums of a group, which are
    about normal, and not pairs, which fill a ball. The sums go to ``out``, the places of the two entries to
    ``parents``. Return (the number of sums, the number of pairs looked at).
    """
    keys, rows_a, rows_b, tags_a, tags_b, places_a, places_b, starts_a, starts_b, heads, links, lengths = scratch
    capacity = out.shape[0]
    every = float(len(a)) * len(b)
    asked = min(every, tested if normal else tested * _crowding(a.shape[1]))
    limit = np.float32(np.inf)
    for _ in range(ATTEMPTS):
        partitions = _partition(
            a, b, asked, seed, keys, rows_a, rows_b, tags_a, tags_b, places_a, places_b, starts_a, starts_b
        )
        # A sample of the entries of b, with all entries of a: a few whole partitions, or a part of each one.
        share = SAMPLE if len(b) > 64 * SAMPLE else 1
        shown = max(1, partitions // share) if partitions >= share else partitions
        part = 1 if partitions >= share else share
        found, looked = _pairs(
            rows_a, tags_a, places_a, starts_a, rows_b, tags_b, places_b, starts_b, shown, part,
            np.float32(np.inf), capacity, out, parents, lengths, heads, links,
        )  # fmt: skip
        seen = max(1.0, starts_b[shown] / part) / len(b)
        if asked >= every or looked >= capacity or looked / seen >= 1.2 * wanted:
            break
        asked = min(every, asked * min(16.0, max(1.5, 1.1 * tested * seen / max(looked, 1))))
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

    With ``counted``, the last coordinate must be 0 and is not part of the norm. Return (the norm, the place in a, the
    place in b); the norm is infinite when no pair was found.
    """
    keys, rows_a, rows_b, tags_a, tags_b, places_a, places_b, starts_a, starts_b, heads, links, _ = scratch
    partitions = _partition(
        a, b, min(tested * _crowding(a.shape[1]), float(len(a)) * len(b)), seed, keys, rows_a, rows_b, tags_a, tags_b, places_a, places_b,
        starts_a, starts_b,
    )  # fmt: skip
    dimension = a.shape[1] - counted
    best, first, second = np.inf, -1, -1
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


@numba.njit(nogil=True, cache=True)
def _partition(  # type: ignore[no-untyped-def]
    a, b, tested, seed, keys, rows_a, rows_b, tags_a, tags_b, places_a, places_b, starts_a, starts_b
):
    """Cut space into cells such that about ``tested`` pairs share a cell; sort both lists by hashes of their cells.

    Return the number of partitions. Pairs that share a cell are in the same partition and have the same tag.
    """
    dimension = a.shape[1]
    spread = np.sqrt(2.0 * math.pi * (_mean_squares(a) + _mean_squares(b)))
    # As if both lists were normal; see _crowding.
    log_share = math.log(tested / (float(len(a)) * len(b)))
    inverse = 0.0 if log_share >= 0.0 else 1.0 / _cell_side(spread, log_share)
    random = np.uint64(seed) + np.uint64(1)
    mixers = np.empty(dimension, dtype=np.uint64)
    offsets = np.empty(dimension)
    for d in range(dimension):
        mixers[d] = _mixed(random + np.uint64(2 * d) * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)
        uniform = _mixed(random + np.uint64(2 * d + 1) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(11)
        offsets[d] = float(uniform) * 2.0**-53
    bits = 0
    while (PARTITION << bits) < len(a):
        bits += 1
    _sort(a, inverse, offsets, mixers, bits, keys, rows_a, tags_a, places_a, starts_a)
    _sort(b, -inverse, offsets, mixers, bits, keys, rows_b, tags_b, places_b, starts_b)
    return 1 << bits


@numba.njit(nogil=True, cache=True)
def _sort(rows, inverse, offsets, mixers, bits, keys, out, tags, places, starts):  # type: ignore[no-untyped-def]
    """Copy entries into partitions by the high bits of the hashes of their cells; tags are the low 32 bits."""
    count, dimension = rows.shape
    partitions = 1 << bits
    shift = np.uint64(63 - bits)  # one bit more is shifted away below, because a shift by 64 is not defined
    starts[: partitions + 1] = 0
    for i in range(count):
        key = np.uint64(0)
        for d in range(dimension):
            key += np.uint64(np.int64(math.floor(rows[i, d] * inverse + offsets[d]))) * mixers[d]
        key = _mixed(key)
        keys[i] = key
        starts[np.int64((key >> shift) >> np.uint64(1)) + 1] += 1
    for p in range(partitions):
        starts[p + 1] += starts[p]
    for i in range(count):
        p = np.int64((keys[i] >> shift) >> np.uint64(1))
        place = starts[p]
        starts[p] += 1
        for d in range(dimension):
            out[place, d] = rows[i, d]
        tags[place] = np.uint32(keys[i] & np.uint64(0xFFFFFFFF))
        places[place] = i
    for p in range(partitions, 0, -1):
        starts[p] = starts[p - 1]
    starts[0] = 0


@numba.njit(nogil=True, cache=True, inline="always")
def _mixed(value):  # type: ignore[no-untyped-def]
    """A hash of 64 bits in which every bit depends on every bit of ``value``."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@numba.njit(nogil=True, cache=True)
def _mean_squares(rows):  # type: ignore[no-untyped-def]
    """The mean square of each coordinate, from at most 4096 entries."""
    step = max(1, len(rows) // 4096)
    total = np.zeros(rows.shape[1])
    for i in range(0, len(rows), step):
        for d in range(rows.shape[1]):
            total[d] += float(rows[i, d]) ** 2
    return total / max(1, (len(rows) + step - 1) // step)


@numba.njit(nogil=True, cache=True)
def _crowding(dimension):  # type: ignore[no-untyped-def]
    """How many times more pairs two normal lists would have near 0 than two lists that fill a ball of equal spread.

    That is (D/4 + 1/2)^{D/2} / Γ(D/2 + 1); lists of pairs have a soft edge, and need PAIR_FACTOR times as many again.
    """
    return PAIR_FACTOR * math.exp(
        0.5 * dimension * math.log(0.25 * dimension + 0.5) - math.lgamma(0.5 * dimension + 1.0)
    )


@numba.njit(nogil=True, cache=True)
def _cell_side(spread, log_share):  # type: ignore[no-untyped-def]
    """The side w of a cell with Σ log min(1, w / spread_d) = log_share, at least 1."""
    low, high = 0.0, max(1.0, spread.max())
    for _ in range(40):
        side = 0.5 * (low + high)
        total = 0.0
        for d in range(len(spread)):
            if side < spread[d]:
                total += math.log(side / spread[d])
        if total > log_share:
            high = side
        else:
            low = side
    return max(high, 1.0)
