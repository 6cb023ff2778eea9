r"""The walk: from a point of the box to a face of small dimension, largest candidates first, in blocks.

A step takes the largest fractional candidate j, moves along the projection of e_j on the null space of Aᵀ (over the
fractional entries) until some entry reaches 0 or 1, and fixes that entry. The sum Aᵀx stays.

Blocks of b entries make this run at the speed of matrix products. For candidates J, the projections of e_j are the
columns of :math:`M = I_J - A (A^\top A)^{-1} A_J^\top`, with a row for each of the c fractional entries. The steps of a
block stay in the space of these columns. An entry k that is fixed takes one dimension: that of the projection of e_k,
whose coordinates are row k of M. So a step reads M once. For k in J the steps are those without blocks. Therefore J
holds the largest candidates, which lead, and the entries nearest to a bound, which are fixed next. After the block the
inverse loses its b rows by one symmetric update.

Roofline, for an entry that is fixed among c, with 5b/4 candidates in J: 2.5·D² operations for A_J·(AᵀA)⁻¹, 2D² more
if it is not in J, D² for the update, 2.5·cD for M, 2.5·cb for its step. From c = 4D to 9D/8 that is about 27·D³
operations, all but the last in products of matrices. Without blocks each entry would read the c × D candidates and the
inverse, with two operations for 4 bytes: memory would set the speed, at a small part of that of products.
"""

from __future__ import annotations

import numba
import numpy as np

from slth.rss.blas import add_gram, multiply_symmetric
from slth.rss.small_factor import dot, factor_independent, remove_span, solve_lower, solve_transposed

# An entry this near to 0 or 1 counts as integral.
SNAP = 1e-9
# A row leaves the inverse only if its leverage, given the others that leave, is below 1 by this much.
MIN_ROOM = 1e-5
# A step moves along the projection of e_j only if that has at least this squared length; it is at most 1.
MIN_FREEDOM = 1e-3
# A candidate leads a step only while it has this share of the freedom that it had at the start of the block.
FREEDOM_SHARE = 0.5
# The greatest number of entries that a block fixes.
GREATEST_BLOCK = 64


@numba.njit(nogil=True, cache=True)
def walk(rows, x, inverse, least):  # type: ignore[no-untyped-def]
    """Move x to a point with at most ``least`` fractional entries and the same sum rowsᵀx, up to rounding errors.

    It ends earlier when no candidate has freedom left: numerically at a vertex.

    Args:
        rows: (m, D), the candidates, sorted by decreasing norm, float32 or float64.
        x: float64 (m,), a point of the box. It is changed in place.
        inverse: (D, D), symmetric: the inverse of AᵀA over the rows with a fractional entry. It is changed.
        least: the number of fractional entries that is small enough, D or more.

    Returns:
        The number of blocks.
    """
    dim = rows.shape[1]
    fractional = np.flatnonzero((x > SNAP) & (x < 1.0 - SNAP))
    count = total = fractional.size
    block = block_size(dim)
    # The space of a block has b/2 columns of the largest candidates and 3b/4 of the entries nearest to a bound. Wider
    # spaces take longer, and narrower ones raise the error of the selection.
    largest, nearest = (block + 1) // 2, block - block // 4
    # Fractional rows are packed in any order. place[i] is where the i-th largest stands, −1 once it is fixed.
    packed, values = rows[fractional], x[fractional]
    place, owner = np.arange(total), np.arange(total)
    no_freedom = np.zeros(total, np.bool_)
    width = largest + nearest
    space, move = np.empty(total * width, rows.dtype), np.empty(total, rows.dtype)
    leads, hits = np.empty(width, np.intp), np.empty(total, np.intp)
    first = blocks = 0
    while count > least:
        while place[first] < 0:
            first += 1
        number = _choose_largest(place, no_freedom, first, leads[:largest])
        if number == 0:
            break  # numerically at a vertex
        number = _choose_nearest(values[:count], owner, place, no_freedom, leads, number)
        chosen = place[leads[:number]]
        lead_rows = packed[chosen]
        solved = np.empty_like(lead_rows)
        multiply_symmetric(lead_rows, inverse, solved)
        basis = space[: count * number].reshape(count, number)
        np.dot(packed[:count], (-solved).T, basis)
        for a in range(number):
            basis[chosen[a], a] += 1.0
        wanted = min(block, count - least)
        found = _block_steps(basis, values[:count], chosen, no_freedom, leads, move[:count], hits, wanted)
        if found:
            _remove_rows(inverse, packed, hits[:found], chosen, solved)
        else:
            no_freedom[leads[:number]] = True
        blocks += 1
        # From the last place on, so that the row that fills a gap stays.
        for k in np.sort(hits[:found])[::-1]:
            x[fractional[owner[k]]] = values[k]
            place[owner[k]] = -1
            count -= 1
            if k != count:
                packed[k], values[k], owner[k] = packed[count], values[count], owner[count]
                place[owner[k]] = k
    for k in range(count):
        x[fractional[owner[k]]] = values[k]
    return blocks


@numba.njit(nogil=True, cache=True)
def block_size(dim):  # type: ignore[no-untyped-def]
    """The number of entries that a block fixes: about D/16. Longer blocks raise the error of the selection."""
    if dim < 256:
        return max(dim // 16, min(dim // 8, 8), 1)
    return min(max(16 * ((dim + 128) // 256), 16), GREATEST_BLOCK)  # widths of which products are fast


@numba.njit(nogil=True, cache=True)
def _choose_largest(place, no_freedom, first, leads):  # type: ignore[no-untyped-def]
    """Fill ``leads`` with the largest fractional candidates that may have freedom. Return their number."""
    number = 0
    for i in range(first, place.size):
        if number == leads.size:
            break
        if place[i] >= 0 and not no_freedom[i]:
            leads[number] = i
            number += 1
    return number


@numba.njit(nogil=True, cache=True)
def _choose_nearest(values, owner, place, no_freedom, leads, number):  # type: ignore[no-untyped-def]
    """Append to ``leads`` the entries nearest to a bound, which are likely to be fixed next. Return their number."""
    distance = np.minimum(values, 1.0 - values)
    distance[place[leads[:number]]] = 1.0
    wanted = min(leads.size - number, values.size - number)
    if wanted == 0:
        return number
    limit = np.partition(distance, wanted - 1)[wanted - 1]
    for k in range(values.size):
        if distance[k] <= limit and number < leads.size and not no_freedom[owner[k]]:
            leads[number] = owner[k]
            number += 1
    return number


@numba.njit(nogil=True, cache=True)
def _block_steps(basis, values, chosen, no_freedom, leads, move, hits, most):  # type: ignore[no-untyped-def]
    """Fix up to ``most`` entries, in the space that the columns of ``basis`` span: how many; ``hits`` says which.

    With P_JJ = L·Lᵀ, the columns of M·L⁻ᵀ are orthonormal. In these coordinates e_k has the projection q_k = L⁻¹·M_k.
    """
    number = chosen.size
    factor, independent = factor_independent(basis[chosen], MIN_FREEDOM)
    for a in range(number):
        if basis[chosen[a], a] < MIN_FREEDOM:
            no_freedom[leads[a]] = True
    taken = np.empty((number, number))  # orthonormal: the directions that fixed entries took
    used = found = 0
    alive = independent.copy()
    y, direction = np.empty(number, basis.dtype), np.empty(number)
    while used < min(number, most):
        lead = -1
        for a in range(number):
            if alive[a]:
                direction[:] = factor[a]
                whole = dot(direction, direction)
                remove_span(direction, taken[:used])
                freedom = dot(direction, direction)
                if freedom >= MIN_FREEDOM and freedom >= FREEDOM_SHARE * whole:
                    lead = a
                    break
                alive[a] = False  # it will not have more in this block
        if lead < 0:
            break
        solve_transposed(factor, independent, direction)
        y[:] = direction if values[chosen[lead]] >= 0.5 else -direction
        np.dot(basis, y, move)
        before = found
        found = _advance(values, move, hits, found)
        for h in range(before, found):
            k = hits[h]
            for a in range(number):
                if chosen[a] == k:
                    alive[a] = False
            direction[:] = basis[k]
            solve_lower(factor, independent, direction)
            whole = dot(direction, direction)
            remove_span(direction, taken[:used])
            left = dot(direction, direction)
            if used < number and left > 1e-6 * whole:
                taken[used] = direction / np.sqrt(left)
                used += 1
            basis[k] = 0.0
        if found == before:
            alive[lead] = False
    for h in range(found):
        values[hits[h]] = round(values[hits[h]] - 2.0)
    return found


@numba.njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "reassoc", "contract"})
def _least_room(values, move):  # type: ignore[no-untyped-def]
    """How far x can go along ``move`` inside the box."""
    least = 1e300
    for i in range(values.size):
        v = np.float64(move[i])
        room = (1.0 - values[i] if v > 0.0 else values[i]) / (abs(v) + 1e-300)
        least = min(least, room)
    return least


@numba.njit(nogil=True, cache=True)
def _advance(values, move, hits, found):  # type: ignore[no-untyped-def]
    """Move to the next bound. Entries that reach it become 2 or 3 for 0 or 1, and are appended to ``hits``."""
    length = _least_room(values, move)
    for i in range(values.size):  # a loop of its own, which vectorises
        values[i] += length * move[i]
    start = found
    for i in range(values.size):
        if (values[i] <= SNAP or values[i] >= 1.0 - SNAP) and move[i] != 0.0:
            values[i] = 2.0 if values[i] < 0.5 else 3.0
            hits[found] = i
            found += 1
    if found == start and np.any(move != 0.0):  # rounding errors kept every entry just off its bound
        nearest = np.argmax(np.where(move != 0.0, np.abs(values - 0.5), -1.0))
        values[nearest] = 2.0 if values[nearest] < 0.5 else 3.0
        hits[found] = nearest
        found += 1
    return found


@numba.njit(nogil=True, cache=True)
def _remove_rows(inverse, packed, hits, chosen, solved):  # type: ignore[no-untyped-def]
    """The inverse of AᵀA after some rows have left A (Woodbury): one symmetric update."""
    gone = packed[hits]
    known = np.full(hits.size, -1)
    for h in range(hits.size):
        for a in range(chosen.size):
            if chosen[a] == hits[h]:
                known[h] = a
    others = np.flatnonzero(known < 0)
    images = np.empty_like(gone)
    if others.size:
        fresh = np.empty((others.size, gone.shape[1]), gone.dtype)
        multiply_symmetric(gone[others], inverse, fresh)
        images[others] = fresh
    for h in range(hits.size):
        if known[h] >= 0:
            images[h] = solved[known[h]]
    room = -np.dot(gone, images.T)
    for h in range(hits.size):
        room[h, h] += 1.0
    factor, independent = factor_independent(room, MIN_ROOM)
    inverted, column = np.zeros((hits.size, hits.size), gone.dtype), np.empty(hits.size)  # L⁻¹
    for a in range(hits.size):
        if independent[a]:
            column[:] = 0.0
            column[a] = 1.0
            solve_lower(factor, independent, column)
            inverted[:, a] = column
    add_gram(np.dot(inverted, images), inverse, 1.0)
