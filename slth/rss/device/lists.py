r"""Joins of lists of subset sums for many instances at once, on a torch device: :mod:`slth.rss.sum_lists` as sorts.

The lists of all instances lie in one array, the pool. An entry's key is its instance, its partition and its tag. Sorted
by keys, the entries of a that share a cell with an entry of b stand side by side, and two binary searches find them.
Cells, keys and sums are those of the compiled join, and pairs come in its order. Only the lengths ‖a + b‖₂², in
float32, depend on the order of additions, and the sides of cells, in float64. So a join keeps other pairs only where a
length is within some roundings of the limit, or an entry within 1e-12 of the side of a cell.

Roofline: memory traffic. An entry takes about 25 passes over 8 bytes for its key, two sorts of 8 radix passes over 16
bytes each, and two binary searches: about 700 bytes. A pair that is looked at takes 60 bytes and two rows of the pool.
With four pairs for each entry that is about 1.2 kB an entry at D = 9 in int32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from slth.arrays import BoolArray, FloatArray, IntArray
from slth.rss.cells import crowding
from slth.rss.device.backend import load_torch
from slth.rss.device.cells import HOME_BITS, Lists, Neighbours, each_pair, find_neighbours, totals
from slth.rss.sum_lists import ATTEMPTS, ENOUGH, LEAST_SAMPLE, MOST_PAIRS, SAMPLE


@dataclass(frozen=True, eq=False)
class Output:
    """Where a join writes.

    Attributes:
        base: int64 (b,), the place in the pool of each list that is written.
        parents: a tensor of int32 (b, capacity, 2). The places of both parts of each sum are written here.
        pairs: how many pairs are looked at at a time.
    """

    base: IntArray
    parents: Any
    pairs: int


def join_batch(
    a: Lists, b: Lists, wanted: int, tested: float, normal: BoolArray, seeds: IntArray, out: Output
) -> Lists:
    """What :func:`slth.rss.sum_lists.join_lists` does, for every instance.

    Args:
        a: the first lists.
        b: the second lists.
        wanted: how many pairs to keep.
        tested: how many pairs to look at, about.
        normal: bool (b,), whether both lists hold all sums of a group.
        seeds: int64 (b,), seeds of the cells.
        out: where the sums and the places of their parts are written.

    Returns:
        The joined lists. Where a list is empty, so is the join.
    """
    torch = load_torch()
    who = np.flatnonzero((a.counts > 0) & (b.counts > 0))
    counts = np.zeros(len(a.counts), dtype=np.int64)
    if not len(who):
        return Lists(a.pool, out.base, counts)
    first, second = a.of(who), b.of(who)
    capacity = out.parents.shape[1]
    near, limit = _near_enough(first, second, wanted, tested, normal[who], seeds[who], capacity, out.pairs)
    bases = [a.tensor(one) for one in (first.base, second.base, out.base[who], who)]
    written = torch.zeros(len(who), dtype=torch.int64, device=a.pool.device)
    most = np.full(len(who), MOST_PAIRS * capacity)
    for owner, i, j in each_pair(near, near.number, second.counts, most, out.pairs):
        sums = a.pool[i] + a.pool[j]
        keep = torch.nonzero(sums.float().square().sum(1) <= limit[owner])[:, 0]
        owner, i, j, sums = owner[keep], i[keep], j[keep], sums[keep]
        more = torch.bincount(owner, minlength=len(who))
        rank = torch.arange(len(owner), device=owner.device) + (written - (more.cumsum(0) - more))[owner]
        written += more
        if bool((written > capacity).any()):
            room = torch.nonzero(rank < capacity)[:, 0]
            owner, i, j, sums, rank = owner[room], i[room], j[room], sums[room], rank[room]
        a.pool[bases[2][owner] + rank] = sums
        places = torch.stack([i - bases[0][owner], j - bases[1][owner]], 1)
        out.parents[bases[3][owner], rank] = places.to(torch.int32)
    counts[who] = written.clamp(max=capacity).cpu().numpy()
    return Lists(a.pool, out.base, counts)


def nearest_batch(
    a: Lists, b: Lists, tested: float, seeds: IntArray, *, euclidean: bool, counted: bool, pairs: int
) -> IntArray:
    """What :func:`slth.rss.sum_lists.nearest_pair` does, for every instance.

    Args:
        a: the first lists, none of them empty.
        b: the second lists, none of them empty.
        tested: how many pairs to look at, about.
        seeds: int64 (b,), seeds of the cells.
        euclidean: whether the norm is L2, not L∞.
        counted: whether the last coordinate must be 0; it is then not part of the norm.
        pairs: how many pairs are looked at at a time.

    Returns:
        int64 (b, 2), the places in a and b; −1 where no pair was found.
    """
    torch = load_torch()
    dimension = a.pool.shape[1]
    every = a.counts.astype(float) * b.counts
    near = find_neighbours(a, b, np.minimum(tested * crowding(dimension), every), seeds)
    bases = [a.tensor(one) for one in (a.base, b.base)]
    best = torch.full((len(every),), math.inf, dtype=torch.float64, device=a.pool.device)
    places = torch.full((len(every), 2), -1, dtype=torch.int64, device=a.pool.device)
    most = np.full(len(every), math.ceil(MOST_PAIRS * tested))
    for owner, i, j in each_pair(near, near.number, b.counts, most, pairs):
        sums = a.pool[i] + a.pool[j]
        measured = sums[:, : dimension - counted].double().abs()
        length = torch.zeros(len(owner), dtype=torch.float64, device=a.pool.device)
        for d in range(dimension - counted):  # in the order of the compiled code
            length = length + measured[:, d] ** 2 if euclidean else torch.maximum(length, measured[:, d])
        if counted:
            length = torch.where(sums[:, -1] == 0, length, math.inf)
        least = torch.full_like(best, math.inf).scatter_reduce(0, owner, length, "amin")
        order = torch.arange(len(owner), device=owner.device)
        reached = torch.where(length == least[owner], order, len(owner) - 1)  # the first of equal pairs
        where = torch.full_like(places[:, 0], len(owner) - 1).scatter_reduce(0, owner, reached, "amin")
        better = least < best
        pair = torch.stack([i[where] - bases[0], j[where] - bases[1]], 1)
        places, best = torch.where(better[:, None], pair, places), torch.where(better, least, best)
    return np.asarray(places.cpu().numpy())


def _near_enough(
    a: Lists, b: Lists, wanted: int, tested: float, normal: BoolArray, seeds: IntArray, capacity: int, pairs: int
) -> tuple[Neighbours, Any]:
    """(the neighbours, the squared length up to which pairs are kept, float32 (b,)), from the pairs of a sample."""
    torch = load_torch()
    every = a.counts.astype(float) * b.counts
    asked = np.minimum(every, np.where(normal, tested, tested * crowding(a.pool.shape[1])))
    used, redo = asked.copy(), np.arange(len(every))
    near = None
    for attempt in range(ATTEMPTS):
        used[redo] = asked[redo]
        part = find_neighbours(a.of(redo), b.of(redo), used[redo], seeds[redo])
        near = part if attempt == 0 else None
        _, looked, seen = _sample(part, b.counts[redo])
        looked = np.minimum(looked, capacity)
        enough = (used[redo] >= every[redo]) | (looked >= capacity) | (looked >= ENOUGH * tested * seen)
        grown = used[redo] * np.minimum(16.0, np.maximum(1.5, tested * seen / np.maximum(looked, 1)))
        asked[redo] = np.minimum(every[redo], grown)
        redo = redo[~enough]
        if not len(redo):
            break
    near = near or find_neighbours(a, b, used, seeds)
    number, looked, seen = _sample(near, b.counts)
    looked, kept = np.minimum(looked, capacity), (seen * wanted).astype(np.int64)
    # The sample's lengths by instance and length: of float32 numbers ≥ 0 the bits have the same order.
    keys = [a.tensor(np.empty(0, dtype=np.int64))]
    for owner, i, j in each_pair(near, number, b.counts, np.full(len(every), capacity), pairs):
        length = (a.pool[i] + a.pool[j]).float().square().sum(1)
        keys.append(owner << 32 | length.view(torch.int32).long())
    lengths = (torch.cat(keys).sort()[0] & 0xFFFFFFFF).to(torch.int32).view(torch.float32)
    where = np.minimum(np.cumsum(looked) - looked + kept, max(0, len(lengths) - 1))
    limit = torch.full((len(every),), math.inf, device=a.pool.device)
    if len(lengths):
        limit = torch.where(a.tensor(looked > kept), lengths[a.tensor(where)], limit)
    return near, limit


def _sample(near: Neighbours, counts: IntArray) -> tuple[Any, IntArray, FloatArray]:
    """(neighbours of each entry of b that is in the sample, pairs of each instance, the share of b in the sample)."""
    torch = load_torch()
    share = np.where(counts >= 128 * SAMPLE, SAMPLE, np.where(counts >= 8 * LEAST_SAMPLE, LEAST_SAMPLE, 1))
    whole = near.partitions >= share
    shown = np.where(whole, near.partitions // share, near.partitions)
    part = np.where(whole, 1, share)
    device = near.owner.device
    group = near.owner << HOME_BITS | near.home
    first, last = (torch.searchsorted(group, group, right=right) for right in (False, True))
    rank = torch.arange(len(group), device=device) - first
    parts = torch.as_tensor(part, device=device)[near.owner]
    inside = near.home < torch.as_tensor(shown, device=device)[near.owner]
    chosen = inside & (rank < (last - first + parts - 1) // parts)
    number = torch.where(chosen, near.number, 0)
    seen = np.maximum(1.0, totals(inside.long(), counts) / part) / counts
    return number, totals(number, counts), seen
