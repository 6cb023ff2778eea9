r"""Local search: single flips and pairs of flips that shrink ‖Xᵀs − z‖₂.

With signs σ_i = +1 for an unselected and −1 for a selected candidate, r = z − Xᵀs the residual and G the Gram
matrix, flipping i lowers ‖r‖₂² by

.. math:: g_i = 2σ_i⟨x_i, r⟩ − G_{ii}, \qquad g_{ij} = g_i + g_j − 2σ_iσ_j G_{ij}

so a flip updates every gain in O(m) once G is known, and a sweep over all pairs costs m²/2 operations with no
dependence on D. Only candidates about as small as the residual can help: callers pass the small-norm core.
"""

from __future__ import annotations

import numba
import numpy as np

from slth.rss.problem import BoolArray, FloatArray

# A flip must lower ‖r‖² by more than this fraction: below it, rounding noise could cycle.
MIN_GAIN = 1e-12


def improve(
    vectors: FloatArray, residual: FloatArray, selected: BoolArray, *, swaps_only: bool = False
) -> tuple[BoolArray, int]:
    """Return the selection after the best 1- and 2-flips until none helps, and the number of moves.

    Args:
        vectors: (m, D) the candidates that may be flipped; memory is 8·m² bytes.
        residual: (D,) z − Xᵀs of the current selection (over all candidates, these and others).
        selected: bool (m,), left as it is.
        swaps_only: keep the number of selected candidates (one in, one out).
    """
    sign = np.where(selected, -1.0, 1.0)
    pair = vectors @ vectors.T
    gain = 2.0 * sign * (vectors @ residual) - np.diag(pair)
    # In place: three more matrices of this size cost more in fresh pages than the flips do.
    pair *= 2.0 * sign[:, None]
    pair *= sign
    moves = _flip_until_stuck(gain, pair, sign, float(residual @ residual), swaps_only)
    return sign < 0, moves


@numba.njit(nogil=True, cache=True)
def _flip_until_stuck(gain, pair, sign, energy, swaps_only):  # type: ignore[no-untyped-def]
    m = gain.size
    moves = 0
    limit = 50 * m  # never reached in practice: every move lowers the energy
    while moves < limit:
        best = MIN_GAIN * energy
        first = -1
        second = -1
        if not swaps_only:
            j = gain.argmax()
            if gain[j] > best:
                best, first = gain[j], j
        for a in range(m):
            # Two passes over a row: the maximum vectorises, finding its place is rare.
            top = _row_best(gain, pair, sign, a, swaps_only)
            if top > best:
                best, first = top, a
                for b in range(a):
                    if gain[a] + gain[b] - pair[a, b] == top and (not swaps_only or sign[a] != sign[b]):
                        second = b
                        break
        if first < 0:
            break
        energy -= best
        _flip(gain, pair, sign, first)
        if second >= 0:
            _flip(gain, pair, sign, second)
        moves += 1
    return moves


@numba.njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "ninf"})
def _row_best(gain, pair, sign, a, swaps_only):  # type: ignore[no-untyped-def]
    top = -np.inf if a == 0 else -1e300
    here = gain[a]
    if swaps_only:
        for b in range(a):
            value = here + gain[b] - pair[a, b] if sign[a] != sign[b] else -1e300
            top = max(top, value)
    else:
        for b in range(a):
            top = max(top, here + gain[b] - pair[a, b])
    return top


@numba.njit(nogil=True, cache=True)
def _flip(gain, pair, sign, q):  # type: ignore[no-untyped-def]
    old = gain[q]
    for i in range(gain.size):
        gain[i] -= pair[i, q]
    gain[q] = -old
    keep = pair[q, q]
    for i in range(gain.size):
        pair[i, q] = -pair[i, q]
        pair[q, i] = -pair[q, i]
    pair[q, q] = keep
    sign[q] = -sign[q]
