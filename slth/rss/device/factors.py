"""Cholesky factors of many small Gram matrices at once on a torch device: :mod:`slth.rss.small_factor` for a batch."""

from __future__ import annotations

from typing import Any

from slth.rss.device.backend import load_torch


def factor_independent_batch(gram: Any, least: float) -> tuple[Any, Any]:
    """The Cholesky factors L of Gram matrices, each over its independent columns.

    Args:
        gram: a tensor (b, w, w) of any float type.
        least: the squared length that a column must have beside the earlier ones.

    Returns:
        (L, float64 (b, w, w), with zeros for columns that are left out; which columns it holds, bool (b, w)).
    """
    torch = load_torch()
    left = 0.5 * (gram + gram.mT).double()
    factor, info = torch.linalg.cholesky_ex(left)
    pivots = torch.diagonal(factor, dim1=1, dim2=2) ** 2
    if bool(((pivots >= least).all(1) & (info == 0)).all()):
        return factor, torch.ones_like(pivots, dtype=torch.bool)
    factor, independent = torch.zeros_like(left), torch.zeros_like(pivots, dtype=torch.bool)
    for a in range(left.shape[1]):
        pivot = left[:, a, a]
        independent[:, a] = pivot >= least
        scale = torch.where(independent[:, a], pivot.clamp(min=least).rsqrt(), 0.0)
        column = left[:, a:, a] * scale[:, None]
        factor[:, a:, a] = column
        left[:, a:, a:] -= column[:, :, None] * column[:, None, :]
    return factor, independent


def invert_lower(factor: Any, independent: Any) -> Any:
    """L⁻¹ over the columns that each factor holds, with zeros for the others.

    Args:
        factor: a tensor float64 (b, w, w), L.
        independent: a tensor bool (b, w), the columns that it holds.
    """
    torch = load_torch()
    both = independent[:, :, None] & independent[:, None, :]
    one = torch.eye(factor.shape[1], dtype=factor.dtype, device=factor.device).expand_as(factor)
    inverse = torch.linalg.solve_triangular(torch.where(both, factor, one), one, upper=False)
    return torch.where(both, inverse, 0.0)
