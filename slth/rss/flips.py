r"""Local search by single flips and pairs of flips that reduce ‖Xᵀs − z‖₂.

Let σ_i = +1 for an unselected and −1 for a selected candidate, r = z − Xᵀs the residual, and G the Gram matrix.
Flipping i, or i and j, lowers ‖r‖₂² by

.. math:: g_i = 2σ_i⟨x_i, r⟩ − G_{ii}, \qquad g_{ij} = g_i + g_j − 2σ_iσ_j G_{ij}

Once G is known, a flip updates every gain in O(m), and a pass over all pairs costs m²/2 operations whatever D is. Only
candidates about as small as the residual can help, so callers pass the small ones.
"""

from __future__ import annotations

import numba
import numpy as np

from slth.arrays import BoolArray, FloatArray

# A flip must lower ‖r‖² by more than this fraction. Smaller gains could be rounding errors and repeat forever.
MIN_GAIN = 1e-12


def improve(
    vectors: FloatArray, residual: FloatArray, selected: BoolArray, *, swaps_only: bool = False
) -> tuple[BoolArray, int]:
    """Make the best flip of one or two candidates, again and again, until none helps.

    Args:
        vectors: float64 (m, D), the candidates that may be flipped. The Gram matrix takes 8·m² bytes.
        residual: float64 (D,), z − Xᵀs of the current selection among all candidates, these and others.
        selected: bool (m,), the current selection among these candidates. It is not changed.
        swaps_only: only pairs of one selected and one unselected candidate are flipped, so the size is kept.

    Returns:
        (the new selection, bool (m,); the number of moves).
    """
    sign = np.where(selected, -1.0, 1.0)
    pair = vectors @ vectors.T
    gain = 2.0 * sign * (vectors @ residual) - np.diag(pair)
    # In place, because allocating three more matrices of this size would take longer than the flips.
    pair *= 2.0 * sign[:, None]
    pair *= sign
    moves = _flip_until_stuck(gain, pair, sign, float(residual @ residual), swaps_only)
    return sign < 0, moves


@numba.njit(nogil=True, cache=True)
def _flip_until_stuck(gain, pair, sign, energy, swaps_only):  # type: ignore[no-untyped-def]
    """Make the best move until none helps; ``gain``, ``pair`` and ``sign`` change in place. Return the moves made."""
    m = gain.size
    moves = 0
    limit = 50 * m  # never reached in practice, since every move lowers the energy
    while moves < limit:
        best = MIN_GAIN * energy
        first = -1
        second = -1
        if not swaps_only:
            j = gain.argmax()
            if gain[j] > best:
                best, first = gain[j], j
        for a in range(m):
            # Two passes over a row: finding the maximum vectorises, and its place is rarely needed.
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
    """The largest gain of a pair of a and an earlier candidate."""
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
    """Flip candidate q: update all gains, and the signs of its row and column of ``pair``."""
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
