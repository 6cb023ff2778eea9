"""Entries of two lists sorted by the cells of space that they lie in: only pairs in one cell are looked at."""

from __future__ import annotations

import math

import numba
import numpy as np

# Entries of one list in a partition. With D = 9 in int32 its two lists take 180 kB.
PARTITION = 1 << 11
# Measured: lists of pairs have so many times fewer pairs near 0 than uniform balls.
PAIR_FACTOR = 1.5


@numba.njit(nogil=True, cache=True)
def partition_lists(a, b, tested, seed, scratch):  # type: ignore[no-untyped-def]
    """Cut space into cells such that about ``tested`` pairs share a cell; sort both lists by hashes of their cells.

    Args:
        a: a list, int32 or int64 (N, D). Its entries lie in the cells of a.
        b: a list of the same type, (M, D). Its entries lie in the cells of −b.
        tested: how many pairs are to share a cell, about, if both lists are normal; see :func:`crowding`.
        seed: seed of the offset of the cells, and of the hashes.
        scratch: from :func:`slth.rss.sum_lists.make_scratch`; the sorted entries, tags, places and starts go there.

    Returns:
        The number of partitions. Pairs that share a cell are in the same partition and have the same tag.
    """
    keys, rows_a, rows_b, tags_a, tags_b, places_a, places_b, starts_a, starts_b = scratch[:9]
    dimension = a.shape[1]
    mixers, offsets = np.empty(dimension, dtype=np.uint64), np.empty(dimension)
    inverse = cut_space(_mean_squares(a) + _mean_squares(b), float(len(a)) * len(b), tested, seed, mixers, offsets)
    bits = partition_bits(len(a))
    _sort(a, inverse, offsets, mixers, bits, keys, rows_a, tags_a, places_a, starts_a)
    _sort(b, -inverse, offsets, mixers, bits, keys, rows_b, tags_b, places_b, starts_b)
    return 1 << bits


@numba.njit(nogil=True, cache=True)
def cut_space(squares, every, tested, seed, mixers, offsets):  # type: ignore[no-untyped-def]
    """Choose cells of which about ``tested`` pairs of two lists share one.

    Args:
        squares: float64 (D,), the mean squares of both lists, added up.
        every: the number of all pairs of the two lists.
        tested: how many pairs are to share a cell, about, if both lists are normal.
        seed: seed of the offset of the cells, and of the hashes.
        mixers: uint64 (D,). The factors of the hash are written here.
        offsets: float64 (D,). The offsets of the cells, in sides of a cell, are written here.

    Returns:
        1 over the side of a cell; 0 if one cell is enough.
    """
    log_share = math.log(tested / every)  # as if both lists were normal; see :func:`crowding`
    random = np.uint64(seed) + np.uint64(1)
    for d in range(len(mixers)):
        mixers[d] = _mixed(random + np.uint64(2 * d) * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)
        uniform = _mixed(random + np.uint64(2 * d + 1) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(11)
        offsets[d] = float(uniform) * 2.0**-53
    return 0.0 if log_share >= 0.0 else 1.0 / _cell_side(np.sqrt(2.0 * math.pi * squares), log_share)


@numba.njit(nogil=True, cache=True)
def partition_bits(count):  # type: ignore[no-untyped-def]
    """log2 of the number of partitions of a list of ``count`` entries."""
    bits = 0
    while (PARTITION << bits) < count:
        bits += 1
    return bits


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
        home = np.int64((keys[i] >> shift) >> np.uint64(1))
        place = starts[home]
        starts[home] += 1
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
def crowding(dimension):  # type: ignore[no-untyped-def]
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
