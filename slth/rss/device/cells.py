"""Neighbours of list entries for many instances at once: :mod:`slth.rss.cells` as sorts of keys on a torch device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slth.arrays import FloatArray, IntArray
from slth.rss.cells import cut_space, partition_bits
from slth.rss.device.backend import load_torch

# A key has 32 bits for the tag, so many for the partition, and the others for the instance.
HOME_BITS = 14
# Instances that fit a key.
MOST_INSTANCES = 2 ** (63 - 32 - HOME_BITS)


@dataclass(frozen=True, eq=False)
class Lists:
    """One list for each of b instances.

    Attributes:
        pool: a tensor of int32 or int64 (E, D), where all lists lie.
        base: int64 (b,), where each list begins.
        counts: int64 (b,), how many entries it has.
    """

    pool: Any
    base: IntArray
    counts: IntArray

    def of(self, which: IntArray) -> Lists:
        """The lists of some of the instances: int64, their numbers."""
        return Lists(self.pool, self.base[which], self.counts[which])

    def tensor(self, values: npt.NDArray[Any]) -> Any:
        """An array of numpy on the device of the lists."""
        return load_torch().as_tensor(values, device=self.pool.device)


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Which entries of the lists a share a cell with each entry of the lists b: tensors.

    Attributes:
        rows_a: int64 (Σ counts of a,), places in the pool, by instance, cell and place.
        rows_b: int64 (Σ counts of b,), places in the pool, by instance, partition and place.
        owner: int64, the instance of each of ``rows_b``.
        home: int64, its partition.
        last: int64, the end of its neighbours in ``rows_a``.
        number: int64, how many neighbours it has.
        partitions: int64 (b,) of numpy, the number of partitions.
    """

    rows_a: Any
    rows_b: Any
    owner: Any
    home: Any
    last: Any
    number: Any
    partitions: IntArray


def find_neighbours(a: Lists, b: Lists, tested: FloatArray, seeds: IntArray) -> Neighbours:
    """Cut space into cells for each instance, and find the neighbours of the entries of b among those of a.

    Args:
        a: the first lists, none of them empty.
        b: the second lists, none of them empty.
        tested: float64 (b,), how many pairs are to share a cell, about; see :func:`slth.rss.cells.cut_space`.
        seeds: int64 (b,), seeds of the cells.
    """
    torch = load_torch()
    size, dimension = len(seeds), a.pool.shape[1]
    squares = _mean_squares(a) + _mean_squares(b)
    mixers, offsets = np.empty((size, dimension), dtype=np.uint64), np.empty((size, dimension))
    inverse = np.array([
        cut_space(squares[i], float(a.counts[i]) * b.counts[i], tested[i], seeds[i], mixers[i], offsets[i])
        for i in range(size)
    ])  # fmt: skip
    bits = np.array([partition_bits(int(count)) for count in a.counts])
    hashing = tuple(a.tensor(one) for one in (mixers.view(np.int64), offsets, bits))
    rows_a, _, keys_a = _keys(a, a.tensor(inverse), *hashing)
    rows_b, owner, keys_b = _keys(b, -a.tensor(inverse), *hashing)
    keys_a, order = keys_a.sort(stable=True)
    rows_a = rows_a[order]
    _, order = (keys_b >> 32).sort(stable=True)
    keys_b = keys_b[order]
    last = torch.searchsorted(keys_a, keys_b, right=True)
    return Neighbours(
        rows_a=rows_a, rows_b=rows_b[order], owner=owner[order], home=keys_b >> 32 & (1 << HOME_BITS) - 1, last=last,
        number=last - torch.searchsorted(keys_a, keys_b), partitions=np.left_shift(1, bits),
    )  # fmt: skip


def _keys(lists: Lists, inverse: Any, mixers: Any, offsets: Any, bits: Any) -> tuple[Any, Any, Any]:
    """(place in the pool, instance, key) of each entry, in int64, whose products wrap as those of uint64 do."""
    torch = load_torch()
    counts = lists.tensor(lists.counts)
    owner = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    start = lists.tensor(lists.base - (np.cumsum(lists.counts) - lists.counts))
    place = torch.arange(len(owner), device=owner.device) + start[owner]
    rows, scale = lists.pool[place], inverse[owner]
    key = torch.zeros_like(owner)
    for d in range(rows.shape[1]):
        key += (rows[:, d] * scale + offsets[owner, d]).floor().long() * mixers[owner, d]
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):  # slth.rss.cells._mixed
        key = (key ^ _shifted(key, shift)) * factor
    key = key ^ _shifted(key, 31)
    home = ((key >> (63 - bits)[owner]) & ((2 << bits) - 1)[owner]) >> 1
    return place, owner, owner << 32 + HOME_BITS | home << 32 | key & 0xFFFFFFFF


def _shifted(key: Any, bits: int) -> Any:
    """The shift of an unsigned number."""
    return key >> bits & (1 << 64 - bits) - 1


def _mean_squares(lists: Lists) -> FloatArray:
    """The mean square of each coordinate of each list, float64 (b, D), from the same entries as in compiled code."""
    step = np.maximum(1, lists.counts // 4096)
    taken = -(-lists.counts // step)
    column = np.arange(taken.max())
    place = lists.base[:, None] + np.minimum(column, taken[:, None] - 1) * step[:, None]
    squares = lists.pool[lists.tensor(place)].double().square_()
    squares *= lists.tensor(column < taken[:, None])[:, :, None]
    return np.asarray(squares.sum(1).cpu().numpy()) / taken[:, None]


def each_pair(
    near: Neighbours, number: Any, counts: IntArray, most: IntArray, size: int
) -> Iterator[tuple[Any, Any, Any]]:
    """The pairs of neighbours, in the order of the compiled code.

    Args:
        near: the neighbours.
        number: int64, how many neighbours of each entry of b are wanted: all of them or none.
        counts: int64 (b,), how many entries each list b has.
        most: int64 (b,), at most so many pairs of an instance.
        size: how many pairs are made at a time.

    Yields:
        Tensors (instance, place in the pool of the entry of a, of the entry of b).
    """
    torch = load_torch()
    ends = number.cumsum(0)
    closing = totals(number, counts).cumsum()
    total, opening = int(closing[-1]), closing - np.diff(closing, prepend=0)
    limited = bool((closing - opening > most).any())
    allowed = torch.as_tensor(opening + most, device=ends.device)
    for start in range(0, total, size):
        pair = torch.arange(start, min(start + size, total), device=ends.device)
        j = torch.searchsorted(ends, pair, right=True)
        if limited:
            inside = torch.nonzero(pair < allowed[near.owner[j]])[:, 0]
            pair, j = pair[inside], j[inside]
            if not len(pair):
                continue
        # The neighbour with the highest place comes first, as in the chains of the compiled table.
        yield near.owner[j], near.rows_a[near.last[j] - 1 - (pair - ends[j] + number[j])], near.rows_b[j]


def totals(values: Any, counts: IntArray) -> IntArray:
    """The sums over the entries of each instance.

    Args:
        values: a tensor of int64 (Σ counts,).
        counts: int64 (b,), how many entries each instance has.

    Returns:
        int64 (b,) of numpy.
    """
    sums = values.cumsum(0)[load_torch().as_tensor(counts.cumsum() - 1, device=values.device)].cpu().numpy()
    return np.diff(np.asarray(sums), prepend=0)
