"""From solutions of the linear relaxation to selections on a torch device: :mod:`slth.rss.vertex` for a batch."""

from __future__ import annotations

from typing import Any

from slth.rss.device.backend import load_torch
from slth.rss.device.box import box_start_batch, with_ridge
from slth.rss.device.dive import dive_batch
from slth.rss.device.walk import walk_batch
from slth.rss.vertex import FACE_SHARE, GREATEST_DRIFT
from slth.rss.walk import SNAP


def round_vertices(rows: Any, goal: Any, x: Any) -> Any:
    """Move each x to a corner of the box with a sum near to its goal, as :func:`slth.rss.vertex.round_vertex` does.

    Args:
        rows: a tensor float64 (b, m, D), the candidates of each instance, sorted by decreasing norm.
        goal: a tensor float64 (b, D).
        x: a tensor float64 (b, m), points of the box. It is changed in place, to zeros and ones.

    Returns:
        The residuals goal − rowsᵀx, a tensor float64 (b, D).
    """
    torch = load_torch()
    started = x.clone()
    drift = _walk_down(rows, goal, x, torch.float32)
    lost = torch.nonzero(~(drift <= GREATEST_DRIFT * rows.shape[1] ** 0.5))[:, 0]
    for i in lost.tolist():  # rare, and in float64 a walk takes twice the memory
        again = started[i : i + 1].clone()
        _walk_down(rows[i : i + 1], goal[i : i + 1], again, torch.float64)
        x[i] = again[0]
    fractional = (x > SNAP) & (x < 1.0 - SNAP)
    x.copy_(torch.where(fractional, x, x.round()))
    residual = goal - _sums(x, rows)
    most = int(fractional.sum(1).max())
    order = fractional.byte().argsort(dim=1, descending=True, stable=True)[:, :most]
    live = fractional.gather(1, order)
    left = rows.gather(1, order[:, :, None].expand(-1, -1, rows.shape[2])) * live[:, :, None]
    lengths = left.norm(dim=2)
    lengths = torch.where(lengths > 0, lengths, 1.0)
    entries = x.gather(1, order)
    before = entries.clone()
    dive_batch((left / lengths[:, :, None]).float(), lengths, entries, live, residual.float())
    x.scatter_(1, order, entries)
    moved: Any = residual - _sums(entries - before, left)
    return moved


def _walk_down(rows: Any, goal: Any, x: Any, kind: Any) -> Any:
    """Start in the box and walk to a small face. Return how far the walks moved the sums, in units of coordinates."""
    torch = load_torch()
    units = rows.square().mean(1).sqrt()
    units = torch.where(units > 0, units, 1.0)
    scaled = (rows / units[:, None]).to(kind)
    gram = box_start_batch(scaled, (goal / units).to(kind), x)
    before = _sums(x, rows)
    factor, info = torch.linalg.cholesky_ex(with_ridge(gram))
    del gram
    good = torch.nonzero(info == 0)[:, 0]
    whole = len(good) == len(x)
    walked = x if whole else x[good]
    inverse = torch.cholesky_inverse(factor if whole else factor[good])
    del factor
    dim = rows.shape[2]
    if len(good):
        walk_batch(scaled if whole else scaled[good], walked, inverse, dim + dim // FACE_SHARE)
    if not whole:
        x[good] = walked
    return ((_sums(x, rows) - before) / units).abs().amax(1)


def _sums(x: Any, rows: Any) -> Any:
    return (x[:, None] @ rows)[:, 0]
