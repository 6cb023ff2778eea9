"""Where the walks of many instances start on a torch device: :mod:`slth.rss.box` for a batch."""

from __future__ import annotations

import math
from typing import Any

from slth.rss.box import REACHED, RIDGE, START_ROUNDS
from slth.rss.device.backend import load_torch


def with_ridge(gram: Any) -> Any:
    """Symmetric matrices (b, D, D) with the ridge of :func:`slth.rss.box.add_ridge`."""
    torch = load_torch()
    diagonal, limits = torch.diagonal(gram, dim1=1, dim2=2), torch.finfo(gram.dtype)
    ridge = RIDGE * limits.eps * diagonal.sum(1).clamp(min=0) / gram.shape[1] + limits.tiny
    return gram + torch.diag_embed(ridge[:, None].expand_as(diagonal))


def box_start_batch(rows: Any, goal: Any, x: Any) -> Any:
    r"""Move each x inside [0,1]^m towards rowsᵀx = goal, as :func:`slth.rss.box.box_start` does.

    Args:
        rows: a tensor (b, m, D), the candidates, float32 or float64.
        goal: a tensor (b, D) of the same type.
        x: a tensor float64 (b, m), points of the box. It is changed in place.

    Returns:
        The Gram matrices of the rows that were not clipped, (b, D, D).
    """
    torch = load_torch()
    gram = rows.mT @ rows
    inside, active = torch.ones_like(x, dtype=torch.bool), torch.ones_like(x[:, 0], dtype=torch.bool)
    enough = REACHED * torch.finfo(rows.dtype).eps * goal.norm(dim=1)
    last = torch.full_like(enough, math.inf)
    for _ in range(START_ROUNDS):
        rest = goal - (x.to(rows.dtype)[:, None] @ rows)[:, 0]
        left = rest.norm(dim=1)
        active &= ~((left <= enough) | (left >= last))
        who = torch.nonzero(active)[:, 0]
        if not len(who):
            break
        factor, info = torch.linalg.cholesky_ex(with_ridge(gram[who]))
        active[who[info != 0]] = False
        who, factor = who[info == 0], factor[info == 0]
        y = torch.cholesky_solve(rest[who][:, :, None], factor)
        step = torch.zeros_like(x)
        step[who] = (rows @ _spread(y, who, len(rows)))[who, :, 0].double()
        moving = inside & active[:, None]
        moved = torch.where(moving, x + step, x)
        clipped = moving & ((moved <= 0.0) | (moved >= 1.0))
        x.copy_(torch.where(moving, moved.clamp(0.0, 1.0), x))
        inside &= ~clipped
        number = clipped.sum(1)
        most = int(number.max())
        if most:
            places = clipped.byte().argsort(dim=1, descending=True, stable=True)[:, :most]
            gone = rows.gather(1, places[:, :, None].expand(-1, -1, rows.shape[2]))
            gone *= clipped.gather(1, places)[:, :, None]
            gram.baddbmm_(gone.mT, gone, alpha=-1)
        last = torch.where(active & (number == 0), left, math.inf)
    return gram


def _spread(values: Any, who: Any, size: int) -> Any:
    """The values of some instances among zeros for the others."""
    whole = values.new_zeros((size, *values.shape[1:]))
    whole[who] = values
    return whole
