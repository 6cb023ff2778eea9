r"""From a solution of the linear relaxation to a selection: start in the box, walk to a small face, dive to 0/1.

The relaxation of a subset-sum instance asks for x ∈ [0,1]^m with :math:`A^\top x = b`. A vertex of that polytope has at
most D fractional entries, and rounding them causes the error of the selection. So the entries that stay fractional
should be those of the *smallest* candidates. A simplex code picks a vertex by an objective. The walk instead fixes the
largest candidates first:

1. :mod:`slth.rss.box`: a point of the box near its centre with Aᵀx = b (clip and repeat).
2. :mod:`slth.rss.walk`: move within the null space of Aᵀ, and fix the largest entries first, until 9D/8 are left.
3. :mod:`slth.rss.dive`: fix the rest one by one, largest first, to the nearer integer. The remaining entries compensate
   for each rounding by clipped ridge least squares (nearest plane inside the box).

The walk need not end at a vertex, because the dive rounds 9D/8 entries as well as D (measured: D = 36 and 144, errors
within 1 %). From there on the inverse of the walk would be ill-conditioned. So float32 is enough, in which products run
twice as fast. The residual that the dive starts from is computed in float64, and repairs what the walk has lost.

Source: barany1981 (the null-space walk)
"""

from __future__ import annotations

import numba
import numpy as np

from slth.arrays import FloatArray
from slth.rss.blas import factorise, invert_factorised
from slth.rss.box import add_ridge, box_start
from slth.rss.dive import dive
from slth.rss.walk import SNAP, walk

# The walk ends when D + D/8 entries are fractional.
FACE_SHARE = 8
# A walk in float32 that changes a coordinate of the sum by more than this fraction of its typical size is made again in
# float64. That takes nearly dependent coordinates.
GREATEST_DRIFT = 1e-2


def round_vertex(rows: FloatArray, goal: FloatArray, x: FloatArray) -> FloatArray:
    """Move x to a corner of the box with a sum near to the goal.

    Args:
        rows: float64 (m, D), the candidates A, sorted by decreasing norm.
        goal: float64 (D,), b.
        x: float64 (m,), a point of the box. It is changed in place, to zeros and ones.

    Returns:
        The residual goal − rowsᵀx, float64 (D,).
    """
    started = x.copy()
    drift, total = _walk_down(rows, goal, x, np.empty(rows.shape, np.float32))
    if not drift <= GREATEST_DRIFT * np.sqrt(len(rows)):
        x[:] = started
        _, total = _walk_down(rows, goal, x, np.empty(rows.shape))
    near = (x <= SNAP) | (x >= 1.0 - SNAP)
    rounded = np.round(x[near])
    members = np.flatnonzero(~near)
    left = rows[members]
    residual: FloatArray = goal - total
    moved = rounded != x[near]
    if moved.any():
        residual -= (rounded - x[near])[moved] @ rows[near][moved]
    x[near] = rounded
    entries = x[members]
    _dive_down(left, np.empty(left.shape, np.float32), entries, residual)
    residual -= (entries - x[members]) @ left
    x[members] = entries
    return residual


@numba.njit(nogil=True, cache=True)
def _walk_down(rows, goal, x, scaled):  # type: ignore[no-untyped-def]
    """Start in the box and walk to a small face. ``scaled`` becomes the candidates in units of their coordinates.

    Neither the box nor the null space depends on these units, and the conditioning does.

    Returns:
        (how far the walk moved the sum, in these units; the sum rowsᵀx).
    """
    m, dim = rows.shape
    units = np.zeros(dim)
    for i in range(m):
        for d in range(dim):
            units[d] += rows[i, d] * rows[i, d]
    for d in range(dim):
        units[d] = np.sqrt(units[d] / m) if units[d] > 0.0 else 1.0
    for i in range(m):
        for d in range(dim):
            scaled[i, d] = rows[i, d] / units[d]
    inverse = box_start(scaled, (goal / units).astype(scaled.dtype), x)
    before = np.dot(x, rows)
    add_ridge(inverse, inverse)
    if not factorise(inverse):
        return 0.0, before
    invert_factorised(inverse)
    walk(scaled, x, inverse, dim + dim // FACE_SHARE)
    total = np.dot(x, rows)
    return np.abs((total - before) / units).max(), total


@numba.njit(nogil=True, cache=True)
def _dive_down(rows, unit, x, residual):  # type: ignore[no-untyped-def]
    """Dive with the candidates of fractional entries. ``unit`` becomes these scaled to unit length."""
    lengths = np.empty(x.size)
    for i in range(x.size):
        total = 0.0
        for d in range(rows.shape[1]):
            total += rows[i, d] * rows[i, d]
        lengths[i] = np.sqrt(total) if total > 0.0 else 1.0
        for d in range(rows.shape[1]):
            unit[i, d] = rows[i, d] / lengths[i]
    dive(unit, lengths, x, residual.astype(unit.dtype))
