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

Source: karmarkar1982
"""

from __future__ import annotations

import heapq

import numpy as np

from slth.arrays import FloatArray
from slth.errors import InputError
from slth.rss.control import Control, Incumbent
from slth.rss.problem import Problem

# For D > 1 each of n steps reads all items: n²·D operations.
MAX_ITEMS = 20_000


def solve_differencing(problem: Problem, control: Control) -> Incumbent:
    """Solve by the method of this module: differencing.

    Args:
        problem: the instance.
        control: its limits. The time limit is not used: the method always runs to its end.

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
    pairs = _largest_first(items[:, 0]) if plain else _shortest_remainder(items, balanced=size is not None)
    sign = np.zeros(len(items), dtype=np.int8)
    # Each pair holds the partner's sign relative to the survivor's: read them from the last one back.
    sign[pairs[-1][0] if pairs else 0] = 1
    for survivor, partner, relation in reversed(pairs):
        sign[partner] = relation * sign[survivor]
    # With the offset's sign at +1, Σσx + offset is 2(Σ s x − z): twice the error.
    sign *= sign[-1]
    selected[members] = sign[:-1] > 0
    return Incumbent(selected=selected, stats={"steps": len(pairs)})


def _largest_first(values: FloatArray) -> list[tuple[int, int, int]]:
    """The joins of the largest-differencing method: (survivor, partner, the partner's sign relative to it) each."""
    # Items are kept as magnitudes with an orientation, so that a difference is always |a| − |b|.
    orientation = np.where(values < 0, -1, 1)
    heap = [(-abs(float(value)), i) for i, value in enumerate(values)]
    heapq.heapify(heap)
    pairs = []
    while len(heap) > 1:
        first, i = heapq.heappop(heap)
        second, j = heapq.heappop(heap)
        pairs.append((i, j, -int(orientation[i] * orientation[j])))
        heapq.heappush(heap, (first - second, i))
    return pairs


def _shortest_remainder(items: FloatArray, *, balanced: bool) -> list[tuple[int, int, int]]:
    """The same joins for vectors: the largest item takes the partner and sign that leave the shortest remainder.

    With ``balanced`` the items other than the last take as many signs +1 as −1. ``count`` is Σσ over the items that a
    joined item holds, and stays within ±1: two items whose counts are not zero must take opposite signs.
    """
    items = items.copy()
    norms = np.einsum("nd,nd->n", items, items)
    alive = np.ones(len(items), dtype=bool)
    count = np.full(len(items), int(balanced))
    count[-1] = 0
    pairs = []
    for _ in range(len(items) - 1):
        i = int(np.where(alive, norms, -1.0).argmax())
        inner = items @ items[i]
        relation = np.where(count * count[i] == 0, np.where(inner > 0, -1, 1), -count * count[i])
        remainder = np.where(alive, norms + 2.0 * relation * inner, np.inf)
        remainder[i] = np.inf
        j = int(remainder.argmin())
        pairs.append((i, j, int(relation[j])))
        items[i] += relation[j] * items[j]
        count[i] += relation[j] * count[j]
        norms[i] = float(items[i] @ items[i])
        alive[j] = False
    return pairs
