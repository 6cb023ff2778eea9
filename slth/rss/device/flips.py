r"""Flips of one or two candidates for many instances at once on a torch device: :mod:`slth.rss.flips` for a batch.

Roofline, for a pool of 2D candidates: 8·D³ operations for the Gram matrix, and a pass over all pairs reads its 16·D²
bytes a few times, because torch writes the gains of a tile before it takes their maxima.
"""

from __future__ import annotations

import math
from typing import Any

from slth.rss.device.backend import load_torch
from slth.rss.flips import GAIN_SHARE, MIN_GAIN, MIN_SINGLE_GAIN, POOL_RATIO, SMALL_POOL

# The bytes of a tile of gains.
TILE_BYTES = 2**26


def improve_best_batch(vectors: Any, residual: Any, selected: Any) -> Any:
    """What :func:`slth.rss.flips.improve_best` does, for every instance.

    Args:
        vectors: a tensor float64 (b, m, D), the candidates that may be flipped.
        residual: a tensor float64 (b, D), z − Xᵀs of the current selection among all candidates.
        selected: a tensor bool (b, m), the current selection among these candidates. It is not changed.

    Returns:
        The new selections, bool (b, m).
    """
    torch = load_torch()
    count = POOL_RATIO * vectors.shape[2]
    if vectors.shape[1] <= max(count, SMALL_POOL):
        return improve_batch(vectors, residual, selected)
    gain = 2.0 * torch.where(selected, -1.0, 1.0) * _times(vectors, residual) - vectors.square().sum(2)
    pool = gain.topk(count, dim=1)[1].sort(dim=1)[0]
    energy = residual.square().sum(1)
    unit = torch.exp2(torch.round(0.5 * torch.log2(torch.where(energy > 0, energy, 1.0))))
    rows = vectors.gather(1, pool[:, :, None].expand(-1, -1, vectors.shape[2]))
    rows /= unit[:, None, None]
    chosen = improve_batch(rows.float(), (residual / unit[:, None]).float(), selected.gather(1, pool))
    return selected.scatter(1, pool, chosen)


def improve_batch(vectors: Any, residual: Any, selected: Any) -> Any:
    """What :func:`slth.rss.flips.improve` does, for every instance.

    Args:
        vectors: a tensor (b, m, D), the candidates that may be flipped, float32 or float64.
        residual: a tensor (b, D) of the same type.
        selected: a tensor bool (b, m). It is not changed.

    Returns:
        The new selections, bool (b, m).
    """
    torch = load_torch()
    sign = torch.where(selected, -1.0, 1.0).to(vectors.dtype)
    inner = vectors @ vectors.mT
    gain = 2 * sign * _times(vectors, residual) - torch.diagonal(inner, dim1=1, dim2=2)
    energy = residual.square().sum(1).double()
    least = MIN_GAIN if vectors.dtype == torch.float64 else MIN_SINGLE_GAIN
    size, m = sign.shape
    every = torch.arange(size, device=sign.device)
    moves, limit = torch.zeros_like(every), 50 * m
    while True:
        tops = _tops(gain, inner, sign)
        best = tops.amax(1)
        going = (best > least * energy) & (moves < limit)
        if not bool(going.any()):
            return sign < 0
        bar = torch.maximum(GAIN_SHARE * best, least * energy)
        number = ((tops >= GAIN_SHARE * best[:, None]) & going[:, None]).sum(1)
        order = tops.sort(dim=1, descending=True, stable=True)[1]
        for rank in range(int(number.max())):
            first = order[:, rank]
            pairs = _pair_gains(gain, inner[every, first], sign, first)
            top, second = pairs.max(1)
            made = (rank < number) & (top >= bar) & (top > least * energy)
            energy = energy - torch.where(made, top, 0.0)
            _flip(gain, inner, sign, first, made)
            _flip(gain, inner, sign, second, made & (second != first))
            moves += made


def _pair_gains(gain: Any, row: Any, sign: Any, first: Any) -> Any:
    """The gains of flipping ``first`` with each earlier candidate, and alone at its own place: (b, m)."""
    torch = load_torch()
    own = first[:, None]
    both = gain.gather(1, own) + gain - 2 * sign.gather(1, own) * sign * row
    place = torch.arange(gain.shape[1], device=gain.device)
    return torch.where(place < own, both, torch.where(place == own, gain, -math.inf))


def _tops(gain: Any, inner: Any, sign: Any) -> Any:
    """The largest gain of each candidate alone, or of a pair of it and an earlier one: float64 (b, m)."""
    torch = load_torch()
    size, m = gain.shape
    tile = max(1, int(TILE_BYTES / (size * m * gain.element_size())))
    place = torch.arange(m, device=gain.device)
    tops = torch.empty((size, m), dtype=torch.float64, device=gain.device)
    for start in range(0, m, tile):
        part = slice(start, start + tile)
        end = min(start + tile, m)
        both = (-2 * sign[:, part, None]) * sign[:, None, :end] * inner[:, part, :end]
        both += gain[:, part, None] + gain[:, None, :end]
        both.masked_fill_(place[None, :end] >= place[part, None], -math.inf)
        tops[:, part] = torch.maximum(both.amax(2), gain[:, part]).double()
    return tops


def _flip(gain: Any, inner: Any, sign: Any, which: Any, made: Any) -> None:
    """Flip a candidate of each instance in which a move is made: update all gains."""
    torch = load_torch()
    every = torch.arange(len(sign), device=sign.device)
    old, own = gain[every, which], sign[every, which]
    gain -= (2 * own * made)[:, None] * sign * inner[every, which]
    gain[every, which] = torch.where(made, -old, old)
    sign[every, which] = torch.where(made, -own, own)


def _times(vectors: Any, residual: Any) -> Any:
    return (vectors @ residual[:, :, None])[:, :, 0]
