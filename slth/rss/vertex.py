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

import numpy as np

from slth.arrays import FloatArray
from slth.rss.blas import factorise, invert_factorised
from slth.rss.box import add_ridge, box_start
from slth.rss.dive import dive
from slth.rss.walk import SNAP, walk

# From this D on, products inside are in float32. Below, their time is negligible.
SINGLE_FROM = 32
# The walk ends when D + D/8 entries are fractional.
FACE_SHARE = 8
# A walk in float32 that changes the sum by more than this fraction of the candidates' typical sum is made again in
# float64: the candidates are then nearly dependent.
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
    # Neither the box nor the null space depends on the units of the coordinates, and the conditioning does.
    units = np.sqrt(np.einsum("md,md->d", rows, rows) / len(rows))
    units[units == 0.0] = 1.0
    started = x.copy()
    single = rows.shape[1] >= SINGLE_FROM
    drift = _walk_down(rows, goal, x, units, np.dtype(np.float32 if single else np.float64))
    if single and not drift <= GREATEST_DRIFT * np.sqrt(len(rows)):
        x[:] = started
        _walk_down(rows, goal, x, units, np.dtype(np.float64))
    near = (x <= SNAP) | (x >= 1.0 - SNAP)
    x[near] = np.round(x[near])
    members = np.flatnonzero(~near)
    residual = goal - x @ rows
    left = rows[members]
    lengths = np.sqrt(np.einsum("cd,cd->c", left, left))
    lengths[lengths == 0.0] = 1.0
    unit = np.divide(left, lengths[:, None], out=np.empty(left.shape, np.float32 if single else np.float64), casting="same_kind")
    entries = x[members]
    dive(unit, lengths, entries, residual.astype(unit.dtype))
    residual -= (entries - x[members]) @ left
    x[members] = entries
    return residual


def _walk_down(rows: FloatArray, goal: FloatArray, x: FloatArray, units: FloatArray, kind: np.dtype) -> float:
    """Start in the box and walk to a small face. Return how far the walk moved the sum, in units of its coordinates."""
    scaled = np.divide(rows, units, out=np.empty(rows.shape, kind), casting="same_kind")
    inverse = box_start(scaled, (goal / units).astype(kind), x)
    before = x @ rows
    add_ridge(inverse, inverse)
    if factorise(inverse):
        invert_factorised(inverse)
        dim = rows.shape[1]
        walk(scaled, x, inverse, dim + dim // FACE_SHARE)
    return float(np.abs((x @ rows - before) / units).max())
