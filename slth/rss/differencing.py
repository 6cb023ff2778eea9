r"""differencing — Karmarkar–Karp, and its extension to vectors: the classical reference.

With signs σ = 2s − 1 the instance reads :math:`\tfrac12 X^\top σ = z − \tfrac12 Σ_i x_i`: a number-partitioning
problem with one more item, the offset y = 2z − Σ_i x_i, whose sign is fixed. Differencing replaces two items by
their difference (they take opposite signs) or sum (equal signs), whichever is shorter, until one is left; the tree
of these decisions, read back from the root, gives every sign.

* D = 1: always the two largest (the largest-differencing method): error n^{−Θ(log n)}.
* D > 1: the largest item is paired with the item that leaves the shortest remainder. No such rate is known; for
  large D it is far behind ``relax``, which is why it is here.

Source: karmarkar1982
"""

from __future__ import annotations

import heapq

import numpy as np

from slth.errors import InputError
from slth.rss.control import Control, Outcome
from slth.rss.problem import FloatArray, Problem

# Above D = 1 each of n steps scans all items: n² D operations.
MAX_ITEMS = 20_000


def solve_differencing(problem: Problem, control: Control) -> Outcome:
    """The differencing method; see the module's docstring. Not anytime: it runs to its end."""
    problem.refuse_fixed_size("differencing")
    if problem.dimension > 1 and problem.size > MAX_ITEMS:
        raise InputError(
            f"method 'differencing' takes n ≤ {MAX_ITEMS:,} for D > 1; got n = {problem.size:,}. Use 'relax'."
        )
    offset = problem.vectors.sum(axis=0) - 2.0 * problem.target
    items = np.vstack([problem.vectors, offset])
    pairs = _largest_first(items[:, 0]) if problem.dimension == 1 else _shortest_remainder(items)
    sign = np.zeros(len(items), dtype=np.int8)
    # Each pair says: partner's sign relative to the survivor's. Read back from the last one.
    sign[pairs[-1][0] if pairs else 0] = 1
    for survivor, partner, relation in reversed(pairs):
        sign[partner] = relation * sign[survivor]
    # The offset item must have sign +1: Σσx + offset is then the residual of 2(Σ s x − z).
    sign *= sign[-1]
    return Outcome(selected=sign[:-1] > 0, stats={"steps": len(pairs)})


def _largest_first(values: FloatArray) -> list[tuple[int, int, int]]:
    """(survivor, partner, sign of partner relative to survivor) for the largest-differencing method."""
    # Items are kept as magnitudes with an orientation, so that differencing is always |a| − |b|.
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


def _shortest_remainder(items: FloatArray) -> list[tuple[int, int, int]]:
    """The same for vectors: the largest item takes the partner and sign that leave the shortest remainder."""
    items = items.copy()
    norms = np.einsum("nd,nd->n", items, items)
    alive = np.ones(len(items), dtype=bool)
    pairs = []
    for _ in range(len(items) - 1):
        i = int(np.where(alive, norms, -1.0).argmax())
        inner = items @ items[i]
        remainder = np.where(alive, norms - 2.0 * np.abs(inner), np.inf)
        remainder[i] = np.inf
        j = int(remainder.argmin())
        relation = -1 if inner[j] > 0 else 1
        pairs.append((i, j, relation))
        items[i] += relation * items[j]
        norms[i] = float(items[i] @ items[i])
        alive[j] = False
    return pairs
