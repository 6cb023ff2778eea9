r"""The walks of many instances at once on a torch device: :mod:`slth.rss.walk` for a batch.

Roofline, for an instance: the products of the compiled walk, but with whole matrices in place of symmetric ones, about
40·D³ operations in float32. At D = 4608 that is 3.9e12, and the products read 40 operations for each byte. Beside them
the steps read the basis, c × w numbers each: 3D steps of 4·2.5D·80 bytes, or 13 GB at D = 4608.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from slth.rss.device.backend import load_torch
from slth.rss.device.block import Walkers, block_steps
from slth.rss.device.factors import factor_independent_batch, invert_lower
from slth.rss.walk import MIN_ROOM, SNAP, block_size

# Entries are packed anew when so many of them are left for each one that there was.
PACKING = 7 / 8


def walk_batch(rows: Any, x: Any, inverse: Any, least: int) -> None:
    """Move each x to a point with at most ``least`` fractional entries and the same sum, as the compiled walk does.

    Args:
        rows: a tensor (b, m, D), the candidates, sorted by decreasing norm, float32 or float64.
        x: a tensor float64 (b, m), points of the box. It is changed in place.
        inverse: a tensor (b, D, D): the inverse of AᵀA over the rows with a fractional entry. It is changed.
        least: the number of fractional entries that is small enough, D or more.
    """
    torch = load_torch()
    block = block_size(rows.shape[2])
    largest, nearest = (block + 1) // 2, block - block // 4
    live = (x > SNAP) & (x < 1.0 - SNAP)
    walkers = _pack(Walkers(rows, x, live, torch.zeros_like(live), _numbers(x)), x)
    order = PackedOrder(walkers.live.cpu().numpy())
    going = torch.ones_like(x[:, 0], dtype=torch.bool)
    while True:
        counts = walkers.live.sum(1)
        going &= (counts > least) & (walkers.live & ~walkers.stuck).any(1)
        if not bool(going.any()):
            break
        if int(counts.max()) <= PACKING * walkers.live.shape[1]:
            order.keep(walkers.live.cpu().numpy(), int(counts.max()))
            walkers = _pack(walkers, x)
        packed = walkers.packed
        places = torch.as_tensor(order.places, device=x.device)
        leads, leading = _choose(walkers, places, going, largest, nearest)
        expanded = leads[:, :, None].expand(-1, -1, packed.shape[2])
        solved = packed.gather(1, expanded) * leading[:, :, None] @ inverse
        basis = packed @ -solved.mT
        basis *= walkers.live[:, :, None]
        basis.scatter_add_(1, leads[:, None, :], leading[:, None, :].to(basis.dtype))
        wanted = (counts - least).clamp(max=block) * going
        step_of = block_steps(walkers, basis, leads, leading, wanted)
        found = (step_of >= 0).sum(1)
        idle = (found == 0) & going
        walkers.stuck.scatter_(1, leads, walkers.stuck.gather(1, leads) | (leading & idle[:, None]))
        most = int(found.max())
        if most:
            late = torch.where(step_of >= 0, step_of, torch.iinfo(step_of.dtype).max)
            hits = late.argsort(dim=1, stable=True)[:, :most]
            fixed = torch.arange(most, device=x.device) < found[:, None]
            _remove_rows(inverse, packed, hits, fixed)
            order.close(hits.cpu().numpy(), found.cpu().numpy())
    x.scatter_(1, walkers.members, walkers.values)


class PackedOrder:
    """The places at which the compiled walk would keep the entries of each instance: they decide which one leads.

    A gap is filled from the end. So the places depend on the order in which entries left.

    Attributes:
        places: int64 (b, c), the place of each entry that is fractional.
        counts: int64 (b,), how many there are.
    """

    def __init__(self, live: Any) -> None:
        self.places, self.counts = np.where(live, np.cumsum(live, axis=1) - 1, -1), live.sum(axis=1)

    def keep(self, live: Any, size: int) -> None:
        """Keep the ``size`` first entries of each instance, those in ``live``, bool (b, c), before the others.

        Args:
            live: bool (b, c), the entries that are fractional.
            size: how many entries are kept.
        """
        order = np.argsort(~live, axis=1, kind="stable")[:, :size]
        self.places = np.take_along_axis(self.places, order, axis=1)

    def close(self, hits: Any, found: Any) -> None:
        """Take entries out, and fill the gaps.

        Args:
            hits: int64 (b, h), the entries that leave.
            found: int64 (b,), how many of them count.
        """
        for i in range(len(hits)):
            self.counts[i] = close_gaps(self.places[i], self.counts[i], hits[i, : found[i]])


@numba.njit(nogil=True, cache=True)
def close_gaps(places, count, hits):  # type: ignore[no-untyped-def]
    """Fill the gaps that entries leave in an array of ``count`` places, each with what then stands last.

    Args:
        places: int64 (c,), the place of each entry. It is changed in place; −1 for those that left.
        count: how many places are filled.
        hits: int64 (h,), the entries that leave.

    Returns:
        How many places are filled afterwards.
    """
    owner = np.full(count, -1)
    for i in range(places.size):
        if 0 <= places[i] < count:
            owner[places[i]] = i
    gaps = np.sort(places[hits])[::-1]
    places[hits] = -1
    for k in gaps:
        count -= 1
        if k != count:
            owner[k] = owner[count]
            places[owner[k]] = k
    return count


def _numbers(x: Any) -> Any:
    return load_torch().arange(x.shape[1], device=x.device).repeat(len(x), 1)


def _pack(walkers: Walkers, x: Any) -> Walkers:
    """The entries that are fractional, in order; x gets the values of all."""
    x.scatter_(1, walkers.members, walkers.values.clone())
    live = walkers.live
    order = live.byte().argsort(dim=1, descending=True, stable=True)[:, : max(1, int(live.sum(1).max()))]
    packed = walkers.packed.gather(1, order[:, :, None].expand(-1, -1, walkers.packed.shape[2]))
    values, live, stuck, members = (
        one.gather(1, order) for one in (walkers.values, live, walkers.stuck, walkers.members)
    )
    return Walkers(packed, values, live, stuck, members)


def _choose(walkers: Walkers, places: Any, going: Any, largest: int, nearest: int) -> tuple[Any, Any]:
    """(the places of the leading candidates, int64 (b, w); which of these count).

    The largest come first, then the entries nearest to a bound, in the order in which the compiled walk has them.
    """
    torch = load_torch()
    free = walkers.live & ~walkers.stuck & going[:, None]
    count, size = walkers.live.sum(1), free.shape[1]
    first = free & (free.cumsum(1) <= largest)
    number = first.sum(1)
    wanted = torch.minimum(largest + nearest - number, count - number)
    distance = torch.minimum(walkers.values, 1.0 - walkers.values)
    distance = torch.where(first, 1.0, torch.where(walkers.live, distance, math.inf))
    width = min(largest + nearest, size)
    least = distance.topk(width, dim=1, largest=False, sorted=True)[0]
    limit = least.gather(1, (wanted - 1).clamp(min=0)[:, None])
    second = free & ~first & (distance <= limit) & (wanted > 0)[:, None]
    rank = torch.where(first, _numbers(distance), torch.where(second, size + places, 3 * size))
    leads = rank.argsort(dim=1, stable=True)[:, :width]
    return leads, (first | second).gather(1, leads)


def _remove_rows(inverse: Any, packed: Any, hits: Any, fixed: Any) -> None:
    """The inverses of AᵀA after some rows have left each A (Woodbury), in place."""
    torch = load_torch()
    gone = packed.gather(1, hits[:, :, None].expand(-1, -1, packed.shape[2])) * fixed[:, :, None]
    images = gone @ inverse
    room = torch.eye(hits.shape[1], dtype=gone.dtype, device=gone.device) - gone @ images.mT
    factor, independent = factor_independent_batch(room, MIN_ROOM)
    update = invert_lower(factor, independent).to(gone.dtype) @ images
    inverse.baddbmm_(update.mT, update)
