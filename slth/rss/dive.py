r"""The dive: round the fractional entries one by one, largest candidates first, while the others compensate.

After each rounding the entries that are left move by clipped ridge least squares towards the residual r. Rows are
scaled to unit length, so that y = x·‖a‖ moves by :math:`\delta = (C + \lambda I)^{-1} p` with C their inner products
and p those with r. Afterwards p is λδ, so no step reads the candidates. An entry that reaches 0 or 1 stays there.

Roofline, for c entries: c³ operations for C, as many for the inverse, and 2c³/3 for its updates, all matrix products;
a step reads the inverse of what is left, 4c³/3 bytes in all. That sets the time only when it fits no cache.
"""

from __future__ import annotations

import numba
import numpy as np

from slth.rss.blas import add_inner_products, factorise, invert_factorised, mirror

# An entry this near to 0 or 1 counts as integral.
SNAP = 1e-9
# λ, the ridge. It keeps the last few entries inside the box. Values from 0.1 to 1 give similar errors.
DIVE_RIDGE = 0.3
# Clipped least squares settles in a few rounds. More rounds change nothing measurable.
CLIP_ROUNDS = 6
# Of so many of the largest entries, D/9 within these limits, the one nearest to 0 or 1 is rounded first. This lowers
# the error by 2 % at D = 144, and would raise it below D = 36.
LEAST_CHOICE, GREATEST_CHOICE = 1, 16
# So many entries leave the inverse by one matrix product.
DIVE_BLOCK = 32


@numba.njit(nogil=True, cache=True)
def dive(unit, lengths, x, residual):  # type: ignore[no-untyped-def]
    """Round every entry of x to 0 or 1.

    Args:
        unit: (c, D), the candidates with fractional entries, scaled to unit length and sorted by decreasing length;
            float32 or float64.
        lengths: float64 (c,), their lengths.
        x: float64 (c,), their entries. It is changed in place.
        residual: (D,), what is left of the goal, of the type of ``unit``.

    Returns:
        The number of rounds of least squares.
    """
    count = total = x.size
    if total == 0:
        return 0
    similar = np.zeros((total, total), unit.dtype)
    add_inner_products(unit, similar)
    store = similar.copy()
    for i in range(total):
        store[i, i] += DIVE_RIDGE
    factorise(store)
    invert_factorised(store)
    mirror(similar)
    mirror(store)
    # The inverse over the members is kept as inverse − leftᵀ·left. So entries leave it in blocks.
    flat, members = store.reshape(total * total), np.arange(total)
    inverse = flat[: total * total].reshape(total, total)
    alive = np.ones(total, np.bool_)
    left, used = np.zeros((DIVE_BLOCK, total), unit.dtype), 0
    choice = min(max(unit.shape[1] // 9, LEAST_CHOICE), GREATEST_CHOICE)
    start = x.copy()
    pull = np.dot(unit, residual)
    shift = np.empty(total, unit.dtype)
    gone, dead, rounds, first = np.empty(total, np.intp), 0, 0, 0
    while True:
        while first < count and not alive[first]:
            first += 1
        if first == count:
            return rounds
        if dead >= DIVE_BLOCK:
            count = _compact(flat, members, alive, left[:used], count)
            inverse = flat[: count * count].reshape(count, count)
            left, used, dead, first = np.zeros((DIVE_BLOCK, count), unit.dtype), 0, 0, 0
            moved = ((start - x) * lengths).astype(unit.dtype)
            pull = np.dot(unit, residual + np.dot(moved, unit))[members[:count]]
        chosen = _nearest_to_bound(x, members[:count], alive, first, choice)
        j = members[chosen]
        near = round(x[j])
        change = (near - x[j]) * lengths[j]
        x[j] = near
        for i in range(count):
            pull[i] -= similar[j, members[i]] * change
        gone[0] = chosen
        number = 1
        for _ in range(CLIP_ROUNDS):
            used = _drop(inverse, left, used, alive, pull, gone[:number])
            dead += number
            if dead == count:
                break
            rounds += 1
            np.dot(inverse, pull[:count], shift[:count])
            if used:
                shift[:count] -= np.dot(np.dot(left[:used], pull[:count]), left[:used])
            number = _move(x, lengths, members[:count], alive, shift, pull, gone)
            for h in range(number):
                k = gone[h]
                surplus = shift[k]
                for i in range(count):
                    pull[i] += similar[members[k], members[i]] * surplus
            if number == 0:
                break
        else:
            used = _drop(inverse, left, used, alive, pull, gone[:number])
            dead += number


@numba.njit(nogil=True, cache=True)
def _nearest_to_bound(x, members, alive, first, choice):  # type: ignore[no-untyped-def]
    """Of the ``choice`` largest entries that are left, the one nearest to 0 or 1."""
    best, least, seen = first, 1.0, 0
    for i in range(first, members.size):
        if alive[i]:
            distance = abs(x[members[i]] - round(x[members[i]]))
            if distance < least:
                best, least = i, distance
            seen += 1
            if seen == choice:
                break
    return best


@numba.njit(nogil=True, cache=True)
def _move(x, lengths, members, alive, shift, pull, gone):  # type: ignore[no-untyped-def]
    """Move and clip the entries that are left. ``shift`` becomes the part of a move that was clipped off.

    Returns:
        The number of entries that reached a bound; ``gone`` says which.
    """
    number = 0
    for i in range(members.size):
        if not alive[i]:
            continue
        j = members[i]
        pull[i] = DIVE_RIDGE * shift[i]
        new = x[j] + shift[i] / lengths[j]
        if new <= SNAP or new >= 1.0 - SNAP:
            new = 0.0 if new < 0.5 else 1.0
            shift[i] -= (new - x[j]) * lengths[j]
            gone[number] = i
            number += 1
        x[j] = new
    return number


@numba.njit(nogil=True, cache=True)
def _drop(inverse, left, used, alive, pull, gone):  # type: ignore[no-untyped-def]
    """Take entries out of the inverse: each is one more row of ``left``. Return how many rows that has."""
    count = inverse.shape[0]
    for q in gone:
        if used == left.shape[0]:
            inverse -= np.dot(left.T, left)
            used = 0
        row = left[used]
        for i in range(count):
            row[i] = inverse[q, i]
        for t in range(used):
            factor = left[t, q]
            for i in range(count):
                row[i] -= factor * left[t, i]
        scale = np.sqrt(max(row[q], np.finfo(inverse.dtype).tiny))
        for i in range(count):
            row[i] /= scale
        used += 1
        alive[q] = False
        pull[q] = 0.0
    return used


@numba.njit(nogil=True, cache=True)
def _compact(flat, members, alive, left, count):  # type: ignore[no-untyped-def]
    """Apply the update and close the gaps of ``flat``, the inverse over ``count`` members. Return how many are left."""
    update = np.dot(left.T, left)
    kept = np.flatnonzero(alive[:count])
    place = 0
    for a in kept:
        for b in kept:
            flat[place] = flat[a * count + b] - update[a, b]
            place += 1
    members[: kept.size] = members[kept]
    alive[: kept.size] = True
    return kept.size
