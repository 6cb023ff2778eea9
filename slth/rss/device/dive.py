r"""The dives of many instances at once on a torch device: :mod:`slth.rss.dive` for a batch.

All instances make a round of least squares together, and then take out the entries that reached a bound, one of each
instance at a time. Roofline, for c entries: 4c³ operations for the matrices, and a round reads the inverse of what is
left: about 1.5 rounds an entry, or 2c³ bytes in float32, which sets the time. At D = 4608 that is 280 GB an instance.
"""

from __future__ import annotations

from typing import Any

from slth.rss.device.backend import load_torch
from slth.rss.dive import CLIP_ROUNDS, DIVE_BLOCK, DIVE_RIDGE, GREATEST_CHOICE, LEAST_CHOICE, SNAP

# Matrices shrink when so many entries are left for each one that there was.
PACKING = 7 / 8


def dive_batch(unit: Any, lengths: Any, x: Any, live: Any, residual: Any) -> None:
    """Round every fractional entry to 0 or 1, as the compiled dive does.

    Args:
        unit: a tensor (b, c, D), the candidates, scaled to unit length and sorted by decreasing length; zeros where an
            instance has fewer.
        lengths: a tensor float64 (b, c), their lengths.
        x: a tensor float64 (b, c), their entries. It is changed in place.
        live: a tensor bool (b, c), the entries that are fractional.
        residual: a tensor (b, D), what is left of the goal, of the type of ``unit``.
    """
    torch = load_torch()
    size, count, dimension = unit.shape
    if not count:
        return
    choice = min(max(dimension // 9, LEAST_CHOICE), GREATEST_CHOICE)
    state = _Dive(unit, lengths, x.clone(), live, residual)
    fresh, rounds = torch.ones_like(x[:, 0], dtype=torch.bool), torch.zeros(size, dtype=torch.int64, device=x.device)
    members = torch.arange(count, device=x.device).repeat(size, 1)
    gone, surplus = torch.zeros_like(live), torch.zeros_like(state.pull)
    while True:
        state.drop(gone, surplus)
        most = int(state.live.sum(1).max())
        if not most:
            x.scatter_(1, members, state.x)
            return
        if most <= PACKING * state.live.shape[1]:
            x.scatter_(1, members, state.x)
            members = members.gather(1, state.pack(most))
        gone, surplus = state.round_one(fresh, choice), torch.zeros_like(state.pull)
        state.drop(gone, surplus)
        rounds = torch.where(fresh, 0, rounds) + 1
        gone, surplus = state.move()
        fresh = ~gone.any(1) | (rounds == CLIP_ROUNDS)


class _Dive:
    """The entries that are left of each instance, and the inverse over them, as inverse − leftᵀ·left."""

    def __init__(self, unit: Any, lengths: Any, x: Any, live: Any, residual: Any) -> None:
        torch = load_torch()
        self.unit, self.lengths, self.x, self.live, self.residual = unit, lengths, x, live.clone(), residual
        self.start = x.clone()
        self.similar = unit @ unit.mT
        ridge = DIVE_RIDGE * torch.eye(unit.shape[1], dtype=unit.dtype, device=unit.device)
        self.inverse = torch.cholesky_inverse(torch.linalg.cholesky_ex(self.similar + ridge)[0])
        self._begin()

    def _begin(self) -> None:
        self.pull = (self.unit @ self.residual[:, :, None])[:, :, 0] * self.live
        self.left, self.used = self.unit.new_zeros((len(self.unit), DIVE_BLOCK, self.unit.shape[1])), 0

    def round_one(self, fresh: Any, choice: int) -> Any:
        """Round an entry of each instance that begins a step: of the largest, the one nearest to 0 or 1. Say which."""
        torch = load_torch()
        every = torch.arange(len(self.x), device=self.x.device)
        begins = fresh & self.live.any(1)
        eligible = self.live & (self.live.cumsum(1) <= choice)
        place = torch.where(eligible, (self.x - self.x.round()).abs(), 2.0).argmin(1)
        near = self.x[every, place].round()
        change = torch.where(begins, (near - self.x[every, place]) * self.lengths[every, place], 0.0)
        self.x[every, place] = torch.where(begins, near, self.x[every, place])
        self.pull = (self.pull - self.similar[every, place] * change[:, None]).to(self.pull.dtype)
        gone = torch.zeros_like(self.live)
        gone[every, place] = begins
        return gone

    def move(self) -> tuple[Any, Any]:
        """Move and clip the entries that are left: (which reached a bound, the part of a move that was clipped off)."""
        torch = load_torch()
        pull = (self.pull * self.live)[:, :, None]
        shift = self.inverse @ pull - self.left.mT @ (self.left @ pull)
        shift = shift[:, :, 0] * self.live
        new = self.x + shift / self.lengths
        hit = self.live & ((new <= SNAP) | (new >= 1.0 - SNAP))
        new = torch.where(hit, torch.where(new < 0.5, 0.0, 1.0), new)
        surplus = torch.where(hit, shift - (new - self.x) * self.lengths, 0.0).to(shift.dtype)
        self.x = torch.where(self.live, new, self.x)
        self.pull = DIVE_RIDGE * shift
        return hit, surplus

    def drop(self, gone: Any, surplus: Any) -> None:
        """Take entries out, one of each instance at a time. The others take over what was clipped off."""
        torch = load_torch()
        every = torch.arange(len(gone), device=gone.device)
        gone = gone.clone()
        for _ in range(int(gone.sum(1).max())):
            drops, place = gone.any(1), gone.byte().argmax(1)
            self.pull = self.pull + self.similar[every, place] * (surplus[every, place] * drops)[:, None]
            if self.used == DIVE_BLOCK:
                self._settle()
            part = self.left[every, :, place]
            row = self.inverse[every, place] - (part[:, None] @ self.left)[:, 0]
            scale = row[every, place].clamp(min=torch.finfo(row.dtype).tiny).rsqrt() * drops
            self.left[:, self.used] = row * scale[:, None]
            self.used += 1
            self.live[every, place] &= ~drops
            gone[every, place] &= ~drops
        self.pull = self.pull * self.live

    def _settle(self) -> None:
        self.inverse.baddbmm_(self.left.mT, self.left, alpha=-1)
        self.left.zero_()
        self.used = 0

    def pack(self, size: int) -> Any:
        """Keep ``size`` places of each instance, those of the entries that are left; say which."""
        self._settle()
        moved = ((self.start - self.x) * self.lengths).to(self.unit.dtype)
        self.residual = self.residual + (moved[:, None] @ self.unit)[:, 0]
        order = self.live.byte().argsort(dim=1, descending=True, stable=True)[:, :size]
        self.lengths, self.x, self.live = (one.gather(1, order) for one in (self.lengths, self.x, self.live))
        self.start = self.x.clone()
        self.unit = self.unit.gather(1, order[:, :, None].expand(-1, -1, self.unit.shape[2]))
        for name in ("similar", "inverse"):
            matrix = getattr(self, name)
            matrix = matrix.gather(1, order[:, :, None].expand(-1, -1, matrix.shape[2]))
            setattr(self, name, matrix.gather(2, order[:, None, :].expand(-1, size, -1)))
        self._begin()
        return order
