"""Cholesky factors of small Gram matrices, column by column: those of the candidates of one block of the walk.

Their rows are too few for BLAS. A column that depends on earlier ones is left out of the factor.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def dot(a, b):  # type: ignore[no-untyped-def]
    """The inner product of two short vectors.

    Args:
        a: float64 (b,).
        b: float64 (b,).
    """
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@numba.njit(nogil=True, cache=True)
def factor_independent(gram, least):  # type: ignore[no-untyped-def]
    """The Cholesky factor L of a Gram matrix, over its independent columns.

    Args:
        gram: (b, b), of any float type.
        least: the squared length that a column must have beside the earlier ones.

    Returns:
        (L, float64 (b, b), with zeros for columns that are left out; which columns it holds, bool (b,)).
    """
    size = gram.shape[0]
    factor, independent = np.zeros((size, size)), np.zeros(size, np.bool_)
    for a in range(size):
        for b in range(a):
            if independent[b]:
                value = 0.5 * (gram[a, b] + gram[b, a])
                factor[a, b] = (value - dot(factor[a, :b], factor[b, :b])) / factor[b, b]
        pivot = gram[a, a] - dot(factor[a, :a], factor[a, :a])
        if pivot >= least:
            independent[a] = True
            factor[a, a] = np.sqrt(pivot)
    return factor, independent


@numba.njit(nogil=True, cache=True)
def solve_lower(factor, independent, q):  # type: ignore[no-untyped-def]
    """Replace q by L⁻¹·q over the columns that the factor holds.

    Args:
        factor: float64 (b, b), L.
        independent: bool (b,), the columns that it holds.
        q: float64 (b,). It is overwritten; the other entries become zero.
    """
    for a in range(q.size):
        q[a] = (q[a] - dot(factor[a, :a], q[:a])) / factor[a, a] if independent[a] else 0.0


@numba.njit(nogil=True, cache=True)
def solve_transposed(factor, independent, q):  # type: ignore[no-untyped-def]
    """Replace q by L⁻ᵀ·q over the columns that the factor holds.

    Args:
        factor: float64 (b, b), L.
        independent: bool (b,), the columns that it holds.
        q: float64 (b,). It is overwritten; the other entries become zero.
    """
    for a in range(q.size - 1, -1, -1):
        if independent[a]:
            q[a] /= factor[a, a]
            for c in range(a):
                q[c] -= factor[a, c] * q[a]
        else:
            q[a] = 0.0


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def remove_span(direction, taken):  # type: ignore[no-untyped-def]
    """Remove from a vector its part in the span of orthonormal rows.

    Args:
        direction: float64 (b,). It is changed in place.
        taken: float64 (k, b), the rows.
    """
    for t in range(taken.shape[0]):
        part = dot(taken[t], direction)
        for d in range(direction.size):
            direction[d] -= part * taken[t, d]
