r"""From a solution of the linear relaxation to a selection: start in the box, walk to a vertex, dive to 0/1.

The relaxation of a subset-sum instance asks for x ∈ [0,1]^m with :math:`A^\top x = b`. A vertex of that polytope has at
most D fractional entries, and rounding them causes the error of the selection. So the entries that stay fractional
should be those of the *smallest* candidates. A simplex code picks a vertex by an objective. The walk below instead
fixes the largest candidates first, at O(D² + mD) per step:

1. :func:`box_start`: the point of the box nearest to its centre with Aᵀx = b (clip and repeat).
2. :func:`walk`: take the largest fractional candidate j. Move along the projection of e_j on the null space of Aᵀ (over
   the fractional entries) until some entry reaches 0 or 1. Fix that entry. Repeat until at most D are left.
3. :func:`dive`: fix the rest one by one, largest first, to the nearer integer. The remaining entries compensate for
   each rounding by clipped ridge least squares (nearest plane inside the box).

Rows of A must be sorted by decreasing norm. All arrays are float64, and x is changed in place.
Source: barany1981 (the null-space walk)
"""

from __future__ import annotations

import numba
import numpy as np

# An entry this near to 0 or 1 counts as integral.
SNAP = 1e-9
# The dive's relative ridge keeps the last few entries inside the box. Values from 0.1 to 1 give similar errors.
DIVE_RIDGE = 0.3
# The walk's relative ridge makes its matrix invertible. A larger one would change the sum that the walk must keep.
WALK_RIDGE = 1e-13
# The walk moves along the projection of e_j only if that has at least this squared length.
MIN_FREEDOM = 1e-7
# The inverse in the walk is recomputed after this many rank-one downdates.
REFRESH_DOWNDATES = 128
# Clipped least squares settles in a few rounds. More rounds change nothing measurable.
CLIP_ROUNDS = 6
# box_start clips and repeats at most this often.
START_ROUNDS = 25


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def _dot(a, b):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@numba.njit(nogil=True, cache=True)
def _covariance_inverse(rows, members):  # type: ignore[no-untyped-def]
    """The inverse of AᵀA over some rows, with a ridge."""
    dim = rows.shape[1]
    active = rows[members]
    matrix = np.dot(active.T, active)
    ridge = WALK_RIDGE * (np.trace(matrix) / dim) + 1e-300
    for d in range(dim):
        matrix[d, d] += ridge
    return np.linalg.inv(matrix)


@numba.njit(nogil=True, cache=True)
def box_start(rows, goal, x):  # type: ignore[no-untyped-def]
    """Move x inside [0,1]^m towards rowsᵀx = goal.

    Args:
        rows: (m, D), the candidates.
        goal: (D,).
        x: (m,), a point of the box. It is changed in place.

    Returns:
        The residual goal − rowsᵀx, which is zero when the goal is reached.
    """
    m = x.size
    residual = goal - np.dot(x, rows)
    size = np.sqrt(_dot(goal, goal)) + 1e-300
    inside = np.ones(m, np.bool_)
    for _ in range(START_ROUNDS):
        members = np.flatnonzero(inside)
        if members.size == 0 or np.sqrt(_dot(residual, residual)) < 1e-12 * size:
            break
        y = np.dot(_covariance_inverse(rows, members), residual)
        for i in members:
            x[i] += _dot(rows[i], y)
            if x[i] <= 0.0 or x[i] >= 1.0:
                x[i] = min(max(x[i], 0.0), 1.0)
                inside[i] = False
        residual = goal - np.dot(x, rows)
    return residual


@numba.njit(nogil=True, cache=True)
def walk(rows, x):  # type: ignore[no-untyped-def]
    """Move x to a point with at most D fractional entries and the same sum rowsᵀx.

    A ridge keeps nearly singular steps finite and changes the sum by about 1e-8 of its size. The dive starts from the
    residual of the new sum, so that change does no harm.

    Args:
        rows: (m, D), the candidates, sorted by decreasing norm.
        x: (m,), a point of the box. It is changed in place.

    Returns:
        The number of steps.
    """
    dim = rows.shape[1]
    fractional = np.flatnonzero((x > SNAP) & (x < 1.0 - SNAP))
    count = fractional.size
    steps = 0
    stale = REFRESH_DOWNDATES
    inverse = np.empty((dim, dim))
    move = np.empty(count)
    while count > dim:
        if stale >= REFRESH_DOWNDATES:
            # Copied into a C-contiguous buffer, because np.dot would copy a matrix of unknown order at every step.
            inverse[:] = _covariance_inverse(rows, fractional[:count])
            stale = 0
        # When j is far larger than the others, e_j has hardly any part in the null space. Then the next one leads.
        freedom = 0.0
        for place in range(count):
            lead = fractional[place]
            y = np.dot(inverse, rows[lead])
            freedom = 1.0 - _dot(rows[lead], y)
            if freedom >= MIN_FREEDOM:
                break
        if freedom < MIN_FREEDOM:
            if stale == 0:
                break  # numerically at a vertex
            stale = REFRESH_DOWNDATES
            continue
        for i in range(count):
            move[i] = -_dot(rows[fractional[i]], y)
        move[place] += 1.0
        toward = 1.0 if x[lead] >= 0.5 else -1.0
        length = np.inf
        for i in range(count):
            move[i] *= toward
            value = x[fractional[i]]
            room = np.inf
            if move[i] > 0.0:
                room = (1.0 - value) / move[i]
            elif move[i] < 0.0:
                room = -value / move[i]
            length = min(length, room)
        kept = 0
        for i in range(count):
            j = fractional[i]
            value = x[j] + length * move[i]
            if value <= SNAP or value >= 1.0 - SNAP:
                x[j] = 0.0 if value < 0.5 else 1.0
                _downdate(inverse, rows[j])
                stale += 1
            else:
                x[j] = value
                fractional[kept] = j
                kept += 1
        if kept == count:  # rounding errors kept every entry just off its bound: fix the nearest one
            nearest = 0
            for i in range(count):
                j = fractional[i]
                k = fractional[nearest]
                if min(x[j], 1.0 - x[j]) < min(x[k], 1.0 - x[k]):
                    nearest = i
            x[fractional[nearest]] = round(x[fractional[nearest]])
            fractional[nearest : count - 1] = fractional[nearest + 1 : count].copy()
            kept = count - 1
            stale = REFRESH_DOWNDATES
        count = kept
        steps += 1
    return steps


@numba.njit(nogil=True, cache=True)
def _downdate(inverse, row):  # type: ignore[no-untyped-def]
    """Sherman–Morrison: the inverse after ``row`` leaves the covariance."""
    v = np.dot(inverse, row)
    left = 1.0 - _dot(row, v)
    if left < 1e-9:
        return  # nearly singular: the inverse stays as it is until it is recomputed
    for d in range(v.size):
        factor = v[d] / left
        for e in range(v.size):
            inverse[d, e] += factor * v[e]


@numba.njit(nogil=True, cache=True)
def dive(rows, x, residual):  # type: ignore[no-untyped-def]
    """Round every fractional entry of x to 0 or 1.

    Args:
        rows: (m, D), the candidates, sorted by decreasing norm.
        x: (m,), a point of the box. It is changed in place.
        residual: (D,), goal − rowsᵀx. It is not changed.

    Returns:
        The residual goal − rowsᵀx after rounding.
    """
    members = np.flatnonzero((x > SNAP) & (x < 1.0 - SNAP))
    residual = residual.copy()
    for i in range(x.size):  # entries within SNAP of a bound take it exactly
        near = round(x[i])
        if abs(x[i] - near) <= SNAP and x[i] != near:
            residual += rows[i] * (x[i] - near)
            x[i] = near
    count = members.size
    active = rows[members]
    inverse = np.dot(active, active.T)
    for i in range(count):
        inverse[i, i] = inverse[i, i] * (1.0 + DIVE_RIDGE) + 1e-300
    if count:
        inverse = np.linalg.inv(inverse)
    gone = np.empty(count, np.bool_)
    while count > 0:
        j = members[0]  # the largest candidate
        near = round(x[j])
        residual += rows[j] * (x[j] - near)
        x[j] = near
        gone[:count] = False
        gone[0] = True
        for _ in range(CLIP_ROUNDS):
            count = _remove(inverse, members, gone, count)
            if count == 0:
                break
            pull = np.empty(count)
            for i in range(count):
                pull[i] = _dot(rows[members[i]], residual)
            clipped = False
            for i in range(count):
                j = members[i]
                old = x[j]
                new = old + _dot(inverse[i, :count], pull)
                gone[i] = new <= SNAP or new >= 1.0 - SNAP
                if gone[i]:
                    new = 0.0 if new < 0.5 else 1.0
                    clipped = True
                x[j] = new
                change = old - new
                row = rows[j]
                for d in range(residual.size):
                    residual[d] += row[d] * change
            if not clipped:
                break
        else:
            count = _remove(inverse, members, gone, count)
    return residual


@numba.njit(nogil=True, cache=True)
def _remove(inverse, members, gone, count):  # type: ignore[no-untyped-def]
    """Remove the flagged members from the inverse of their ridge Gram matrix, in order. Return how many are left."""
    for q in range(count):
        if gone[q]:
            pivot = inverse[q, q]
            for a in range(count):
                if a != q:
                    factor = inverse[a, q] / pivot
                    for b in range(count):
                        inverse[a, b] -= factor * inverse[q, b]
    kept = 0
    for a in range(count):
        if not gone[a]:
            members[kept] = members[a]
            column = 0
            for b in range(count):
                if not gone[b]:
                    inverse[kept, column] = inverse[a, b]
                    column += 1
            kept += 1
    return kept
