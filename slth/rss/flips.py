r"""Local search by single flips and pairs of flips that reduce ‖Xᵀs − z‖₂.

Let σ_i = +1 for an unselected and −1 for a selected candidate, r = z − Xᵀs the residual, and G the Gram matrix.
Flipping i, or i and j, lowers ‖r‖₂² by

.. math:: g_i = 2σ_i⟨x_i, r⟩ − G_{ii}, \qquad g_{ij} = g_i + g_j − 2σ_iσ_j G_{ij}

Once G is known, a flip updates every gain in O(m), and a pass over all pairs costs m²/2 operations whatever D is. One
pass serves several moves. Only candidates about as small as the residual can help, so callers pass the small ones, and
:func:`improve_best` takes the most promising of many.
"""

from __future__ import annotations

import numba
import numpy as np

from slth.arrays import BoolArray, FloatArray

# A flip must lower ‖r‖² by more than this fraction. Smaller gains could be rounding errors and repeat forever.
MIN_GAIN = 1e-12
# The same in float32, whose rounding errors are larger.
MIN_SINGLE_GAIN = 1e-5
# Moves that share one pass gain at least this fraction of the best one.
GAIN_SHARE = 0.5
# improve_best takes this many candidates, in units of D: with 2 the errors are those of all 4D candidates of a core
# (D = 72, 144 and 576), in a quarter of the time and memory.
POOL_RATIO = 2
# Up to so many candidates all are taken, in float64.
SMALL_POOL = 128


def improve_best(
    vectors: FloatArray, residual: FloatArray, selected: BoolArray, *, swaps_only: bool = False
) -> BoolArray:
    """:func:`improve` with the candidates whose single flips gain most, with a Gram matrix in float32.

    A pair gains the sum of both flips and an inner product, which is small between vectors of many dimensions. So a
    candidate whose flip loses much is of no use in a pair.

    Args:
        vectors: float64 (m, D), the candidates that may be flipped. The Gram matrix takes 16·D² bytes.
        residual: float64 (D,), z − Xᵀs of the current selection among all candidates, these and others.
        selected: bool (m,), the current selection among these candidates. It is not changed.
        swaps_only: only pairs of one selected and one unselected candidate are flipped, so the size is kept.

    Returns:
        The new selection, bool (m,).
    """
    count = POOL_RATIO * vectors.shape[1]
    if len(vectors) <= max(count, SMALL_POOL):
        return improve(vectors, residual, selected, swaps_only=swaps_only)[0]
    gain = 2.0 * np.where(selected, -1.0, 1.0) * (vectors @ residual) - np.einsum("md,md->m", vectors, vectors)
    if swaps_only:
        sides = [np.flatnonzero(selected == side) for side in (False, True)]
        pool = np.concatenate([side[np.argsort(-gain[side], kind="stable")[: count // 2]] for side in sides])
    else:
        pool = np.argpartition(-gain, count)[:count]
    pool.sort()
    new = selected.copy()
    # A power of two keeps the products inside the range of float32.
    unit = np.exp2(np.round(0.5 * np.log2(float(residual @ residual) or 1.0)))
    rows = np.divide(vectors[pool], unit, dtype=np.float32, casting="same_kind")
    new[pool], _ = improve(rows, (residual / unit).astype(np.float32), selected[pool], swaps_only=swaps_only)
    return new


def improve(
    vectors: FloatArray, residual: FloatArray, selected: BoolArray, *, swaps_only: bool = False
) -> tuple[BoolArray, int]:
    """Make good flips of one or two candidates, again and again, until none helps.

    Args:
        vectors: float64 (m, D), the candidates that may be flipped. The Gram matrix takes 8·m² bytes. With float32 all
            is computed in float32.
        residual: (D,), z − Xᵀs of the current selection among all candidates, these and others, of the same type.
        selected: bool (m,), the current selection among these candidates. It is not changed.
        swaps_only: only pairs of one selected and one unselected candidate are flipped, so the size is kept.

    Returns:
        (the new selection, bool (m,); the number of moves).
    """
    kind = vectors.dtype.type
    sign = np.where(selected, kind(-1.0), kind(1.0))
    inner = vectors @ vectors.T
    gain = 2 * sign * (vectors @ residual) - np.diag(inner)
    least = MIN_GAIN if kind is np.float64 else MIN_SINGLE_GAIN
    moves = _flip_until_stuck(gain, inner, sign, float(residual @ residual), least, swaps_only, kind(-3e38))
    return sign < 0, moves


@numba.njit(nogil=True, cache=True)
def _flip_until_stuck(gain, inner, sign, energy, least, swaps_only, lowest):  # type: ignore[no-untyped-def]
    """Make moves until none helps; ``gain`` and ``sign`` change in place. Return how many were made."""
    m = gain.size
    moves = 0
    limit = 50 * m  # never reached in practice, since every move lowers the energy
    tops = np.empty(m)
    while moves < limit:
        for a in range(m):
            tops[a] = _row_best(gain, inner[a], sign, a, swaps_only, lowest)
        best = tops.max()
        if best <= least * energy:
            break
        good = np.flatnonzero(tops >= GAIN_SHARE * best)
        bar = max(GAIN_SHARE * best, least * energy)
        for a in good[np.argsort(-tops[good])]:
            # Earlier moves of this pass have changed the gains. Two passes over a row: finding the maximum vectorises.
            top = _row_best(gain, inner[a], sign, a, swaps_only, lowest)
            if top < bar or top <= least * energy:
                continue
            second = -1
            if swaps_only or gain[a] < top:
                for b in range(a):
                    if _pair_gain(gain, inner[a], sign, a, b) == top and (not swaps_only or sign[a] != sign[b]):
                        second = b
                        break
                if second < 0:
                    continue
            energy -= top
            _flip(gain, inner[a], sign, a)
            if second >= 0:
                _flip(gain, inner[second], sign, second)
            moves += 1
    return moves


@numba.njit(nogil=True, cache=True, inline="always")
def _pair_gain(gain, row, sign, a, b):  # type: ignore[no-untyped-def]
    return gain[a] + gain[b] - (sign[a] + sign[a]) * sign[b] * row[b]


@numba.njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "ninf"})
def _row_best(gain, row, sign, a, swaps_only, lowest):  # type: ignore[no-untyped-def]
    """The largest gain of a alone, or of a pair of a and an earlier candidate."""
    top = lowest
    if swaps_only:
        for b in range(a):
            value = _pair_gain(gain, row, sign, a, b) if sign[a] != sign[b] else lowest
            top = max(top, value)
    else:
        top = gain[a]
        for b in range(a):
            top = max(top, _pair_gain(gain, row, sign, a, b))
    return top


@numba.njit(nogil=True, cache=True)
def _flip(gain, row, sign, q):  # type: ignore[no-untyped-def]
    """Flip candidate q, whose inner products are ``row``: update all gains."""
    old = gain[q]
    twice = sign[q] + sign[q]
    for i in range(gain.size):
        gain[i] -= twice * sign[i] * row[i]
    gain[q] = -old
    sign[q] = -sign[q]
