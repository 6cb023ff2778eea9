"""A point of the box near its centre with a given sum: where the walk to a vertex starts."""

from __future__ import annotations

import numba
import numpy as np

from slth.rss.blas import add_gram, factorise, solve_factorised

# The point is moved and clipped at most this often.
START_ROUNDS = 25
# The relative ridge that keeps AᵀA invertible, in units of the rounding error of its type.
RIDGE = 16.0
# The goal is reached when this fraction of it is left, in units of the rounding error of its type.
REACHED = 64.0


@numba.njit(nogil=True, cache=True)
def add_ridge(gram, out):  # type: ignore[no-untyped-def]
    """Copy a symmetric matrix and add a ridge, which makes it positive definite.

    Args:
        gram: (D, D), symmetric.
        out: (D, D). It is overwritten.
    """
    dim = gram.shape[0]
    trace = 0.0
    for d in range(dim):
        trace += gram[d, d]
    out[:] = gram
    for d in range(dim):
        out[d, d] += RIDGE * np.finfo(gram.dtype).eps * max(trace, 0.0) / dim + np.finfo(gram.dtype).tiny


@numba.njit(nogil=True, cache=True)
def box_start(rows, goal, x):  # type: ignore[no-untyped-def]
    r"""Move x inside [0,1]^m towards rowsᵀx = goal: by least squares, again without the entries that were clipped.

    A round costs D³/3 + 4mD operations, for one Cholesky factor. The Gram matrix loses the rows that were clipped.

    Args:
        rows: (m, D), the candidates, float32 or float64.
        goal: (D,), of the type of ``rows``.
        x: float64 (m,), a point of the box. It is changed in place.

    Returns:
        The Gram matrix of the rows that were not clipped, (D, D), symmetric: its lower triangle counts.
    """
    m, dim = rows.shape
    gram, factor = np.zeros((dim, dim), rows.dtype), np.empty((dim, dim), rows.dtype)
    add_gram(rows, gram, 1.0)
    step, y = np.empty(m, rows.dtype), np.empty(dim, rows.dtype)
    inside = np.ones(m, np.bool_)
    clipped = np.empty(m, np.intp)
    size = np.sqrt(np.dot(goal, goal))
    last = np.inf
    for _ in range(START_ROUNDS):
        y[:] = goal - np.dot(x.astype(rows.dtype), rows)
        left = np.sqrt(np.dot(y, y))
        if left <= REACHED * np.finfo(rows.dtype).eps * size or left >= last:
            break
        add_ridge(gram, factor)
        if not factorise(factor):
            break
        solve_factorised(factor, y)
        np.dot(rows, y, step)
        count = 0
        for i in range(m):
            if inside[i]:
                x[i] += step[i]
                if x[i] <= 0.0 or x[i] >= 1.0:
                    x[i] = min(max(x[i], 0.0), 1.0)
                    inside[i] = False
                    clipped[count] = i
                    count += 1
        if count:
            add_gram(rows[clipped[:count]], gram, -1.0)
        last = left if count == 0 else np.inf
    return gram
