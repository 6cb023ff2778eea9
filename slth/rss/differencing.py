r"""differencing — Karmarkar–Karp, and its extension to vectors: the classical reference.

With signs σ = 2s − 1 the instance reads :math:`\tfrac12 X^\top σ = z − \tfrac12 Σ_i x_i`. This is number partitioning
with one more item, the offset y = 2z − Σ_i x_i, whose sign is fixed. Differencing replaces two items by their
difference (they take opposite signs) or by their sum (equal signs), whichever is shorter, until one item is left. The
tree of these decisions, read from the root, gives every sign.

* D = 1: the two largest items are always joined (the largest-differencing method). The error is n^{−Θ(log n)}.
* D > 1: the largest item is joined with the item that leaves the shortest remainder. No such rate is known. For large D
  the errors are far above those of ``relax``; the method serves as the classical comparison.
* Size k fixed: the balanced form. 2k candidates, spread over all norms, take k signs of each kind. Two items that each
  hold one sign too many may only be joined with opposite signs. The other n − 2k candidates are left out. When k > n/2,
  2(n − k) candidates take the signs, and all others are selected.

When time runs out, the items that are left take signs one by one, the largest first: each the sign that shortens the
sum of those before it. ``stats["joined"]`` then says what part of the items had been joined.

Source: karmarkar1982
"""

from __future__ import annotations

import heapq

import numba
import numpy as np

from slth.arrays import FloatArray, IntArray
from slth.errors import InputError
from slth.rss.control import Control, Incumbent
from slth.rss.problem import Problem

# (survivor, partner, the partner's sign relative to it)
Joins = list[tuple[int, int, int]]

# In one dimension the clock is looked at after so many joins.
JOINS_PER_CHECK = 256
# For D > 1 each of n steps reads all items: n²·D operations.
MAX_ITEMS = 20_000


def solve_differencing(problem: Problem, control: Control) -> Incumbent:
    """Solve by the method of this module: differencing.

    Args:
        problem: the instance.
        control: its limits.

    Returns:
        The selection found; nothing is proved.

    Raises:
        InputError: more than MAX_ITEMS candidates with D > 1 or a fixed size.
    """
    vectors, size = problem.vectors, problem.cardinality
    plain = problem.dimension == 1 and size is None
    if not plain and problem.size > MAX_ITEMS:
        raise InputError(
            f"method 'differencing' takes n ≤ {MAX_ITEMS:,} for D > 1 or a fixed size; got n = {problem.size:,}. "
            "Use 'relax'."
        )
    members, selected = np.arange(problem.size), np.zeros(problem.size, dtype=bool)
    if size is not None:
        rare = min(size, problem.size - size)
        order = np.argsort(np.einsum("nd,nd->n", vectors, vectors), kind="stable")
        members = order[np.linspace(0, problem.size - 1, 2 * rare).round().astype(np.intp)]
        selected[:] = 2 * size > problem.size
    goal = problem.target - selected @ vectors + selected[members] @ vectors[members]
    items = np.vstack([vectors[members], vectors[members].sum(axis=0) - 2.0 * goal])
    joins, sums = (
        _largest_first(items, control) if plain else _shortest_remainder(items, control, balanced=size is not None)
    )
    alone = np.ones(len(items), dtype=bool)
    alone[[partner for _, partner, _ in joins]] = False
    roots = np.flatnonzero(alone)
    sign = np.zeros(len(items), dtype=np.int8)
    order = roots[np.argsort(-np.einsum("nd,nd->n", sums[roots], sums[roots]), kind="stable")]
    held = _held_signs(len(items), joins) if size is not None else np.zeros(len(items), dtype=np.int64)
    sign[order] = _greedy_signs(sums[order], held[order])
    # Each join holds the partner's sign relative to the survivor's: read them from the last one back.
    for survivor, partner, relation in reversed(joins):
        sign[partner] = relation * sign[survivor]
    # With the offset's sign at +1, Σσx + offset is 2(Σ s x − z): twice the error.
    sign *= sign[-1]
    selected[members] = sign[:-1] > 0
    stats: dict[str, float] = {"steps": len(joins)}
    if len(roots) > 1:
        stats["joined"] = len(joins) / (len(items) - 1)
    return Incumbent(selected=selected, stats=stats)


def _largest_first(items: FloatArray, control: Control) -> tuple[Joins, FloatArray]:
    """(the joins of the largest-differencing method until time is up, what the survivors then are)."""
    # Items are kept as magnitudes with an orientation, so that a difference is always |a| − |b|.
    values = items[:, 0]
    orientation = np.where(values < 0, -1, 1)
    order = np.argsort(-np.abs(values), kind="stable")
    heap = list(zip((-np.abs(values[order])).tolist(), order.tolist(), strict=True))  # a sorted list is a heap
    joins: Joins = []
    while len(heap) > 1:
        if len(joins) % JOINS_PER_CHECK == 0 and control.expired():
            break
        first, i = heapq.heappop(heap)
        second, j = heapq.heappop(heap)
        joins.append((i, j, -int(orientation[i] * orientation[j])))
        heapq.heappush(heap, (first - second, i))
    sums = items.copy()
    if joins:
        size, left = np.array([value for value, _ in heap]), np.array([i for _, i in heap])
        sums[left, 0] = -size * orientation[left]
    return joins, sums


def _shortest_remainder(items: FloatArray, control: Control, *, balanced: bool) -> tuple[Joins, FloatArray]:
    """The same for vectors: the largest item takes the partner and sign that leave the shortest remainder.

    With ``balanced`` the items other than the last take as many signs +1 as −1. ``count`` is Σσ over the items that a
    joined item holds, and stays within ±1: two items whose counts are not zero must take opposite signs.
    """
    items = items.copy()
    norms = np.einsum("nd,nd->n", items, items)
    alive = np.ones(len(items), dtype=bool)
    count = _held_signs(len(items), []) if balanced else np.zeros(len(items), dtype=np.int64)
    joins: Joins = []
    while len(joins) < len(items) - 1 and not control.expired():
        i = int(np.where(alive, norms, -1.0).argmax())
        inner = items @ items[i]
        relation = np.where(count * count[i] == 0, np.where(inner > 0, -1, 1), -count * count[i])
        remainder = np.where(alive, norms + 2.0 * relation * inner, np.inf)
        remainder[i] = np.inf
        j = int(remainder.argmin())
        joins.append((i, j, int(relation[j])))
        items[i] += relation[j] * items[j]
        count[i] += relation[j] * count[j]
        norms[i] = float(items[i] @ items[i])
        alive[j] = False
    return joins, items


def _held_signs(size: int, joins: Joins) -> IntArray:
    """Σσ over the items that each survivor holds, when the last of ``size`` items, the offset, does not count."""
    held = np.ones(size, dtype=np.int64)
    held[-1] = 0
    for survivor, partner, relation in joins:
        held[survivor] += relation * held[partner]
    return held


@numba.njit(nogil=True, cache=True)
def _greedy_signs(items, held):  # type: ignore[no-untyped-def]
    """A sign for each item, in this order: it shortens the sum so far, and keeps the signs held within ±1."""
    signs = np.ones(len(items), np.int8)
    total = np.zeros(items.shape[1])
    balance = 0
    for i in range(len(items)):
        if held[i] * balance != 0:
            sign = -held[i] * balance
        else:
            inner = 0.0
            for d in range(items.shape[1]):
                inner += total[d] * items[i, d]
            sign = -1 if inner > 0.0 else 1
        signs[i] = sign
        balance += sign * held[i]
        for d in range(items.shape[1]):
            total[d] += sign * items[i, d]
    return signs
