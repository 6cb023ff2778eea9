r"""Branch and bound over the candidates, largest first: the other exact search, without a table.

A node has decided the t largest candidates; r is what is left of the target. The others can add to coordinate d no
less than lo_td and no more than hi_td, so every selection below the node misses the target there by at least

.. math:: \max(0,\; r_d - hi_{td},\; lo_{td} - r_d)

and a node whose miss, in the problem's norm, exceeds ρ or the best error is cut off. Small candidates come last, where
the tree would be wide: with D coordinates to violate, and magnitudes that fall off, few nodes are left there. With a
fixed size lo and hi are over exactly as many of the others as are still wanted.

The search is depth first in one thread; it can be interrupted after any number of nodes and taken up again.
Source: horowitz1974 (the search that its table replaces)
"""

from __future__ import annotations

import numba
import numpy as np

from slth.rss.control import Control
from slth.rss.problem import BoolArray, FloatArray, Problem

# Nodes between two looks at the clock.
LOOK = 2**18
# Bytes that the bounds for every wanted size may take; beyond it they are those for any size.
TABLE_BYTES = 64e6


class OutOfNodes(Exception):
    """The search would go on, but the nodes it was given are used up."""


class Branch:
    """The tree of one instance, with the interface of the meet in the middle."""

    name = "branch and bound"

    def __init__(self, problem: Problem, vectors: FloatArray, slack: float, max_ties: int, nodes: float) -> None:
        self.order = np.argsort(-np.einsum("nd,nd->n", vectors, vectors), kind="stable")
        self.rows = np.ascontiguousarray(vectors[self.order])
        self.target, self.slack, self.max_ties = problem.target, slack, max_ties
        self.wanted = -1 if problem.cardinality is None else problem.cardinality
        self.euclidean = problem.norm == "l2"
        self.low, self.high = _reach(self.rows, self.wanted)
        self.nodes, self.budget = 0, nodes

    def scan(self, radius: float, control: Control) -> tuple[float, list[BoolArray], bool] | None:
        """(best error seen, selections within rounding of it, all of them?) or None if time ran out.

        A node's miss is known to within 2η and a leaf's error to within η, so leaves with an error up to
        ``radius`` − 3η, and up to the best + 2η, are met.

        Raises:
            OutOfNodes: the nodes given for all scans together are used up.
        """
        n, dim = self.rows.shape
        left = np.empty((n + 1, dim))
        left[0] = self.target
        tried, taken, first = np.zeros(n, np.int8), np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        # depth, nodes, ties met; best error
        place, best = np.zeros(3, np.int64), np.full(1, np.inf)
        ties = np.empty((self.max_ties, n), np.bool_)
        while place[0] >= 0:
            if control.expired():
                return None
            if self.nodes + place[1] > self.budget:
                self.nodes += int(place[1])
                raise OutOfNodes
            _descend(
                self.rows, self.low, self.high, left, tried, taken, first, place, best, ties, self.wanted, radius,
                self.slack, self.euclidean, place[1] + LOOK,
            )  # fmt: skip
        self.nodes += int(place[1])
        number = int(place[2])
        selections = np.empty((min(number, self.max_ties), n), dtype=bool)
        selections[:, self.order] = ties[: len(selections)]
        return float(best[0]), list(selections), number <= self.max_ties


def _reach(rows: FloatArray, wanted: int) -> tuple[FloatArray, FloatArray]:
    """(lo, hi) of shape (n + 1, 1 or wanted + 1, D): what rows t … n − 1 can add, with any or exactly j of them."""
    n, dim = rows.shape
    if wanted < 0 or 16.0 * (n + 1) * (wanted + 1) * dim > TABLE_BYTES:
        low, high = np.zeros((n + 1, 1, dim)), np.zeros((n + 1, 1, dim))
        low[:n, 0] = np.minimum(rows, 0.0)[::-1].cumsum(axis=0)[::-1]
        high[:n, 0] = np.maximum(rows, 0.0)[::-1].cumsum(axis=0)[::-1]
        return low, high
    low, high = np.zeros((n + 1, wanted + 1, dim)), np.zeros((n + 1, wanted + 1, dim))
    for t in range(n):
        ordered, most = np.sort(rows[t:], axis=0), min(wanted, n - t)
        low[t, 1 : most + 1] = ordered[:most].cumsum(axis=0)
        high[t, 1 : most + 1] = ordered[::-1][:most].cumsum(axis=0)
    return low, high


# fmt: off
@numba.njit(nogil=True, cache=True)
def _descend(  # type: ignore[no-untyped-def]
    rows, low, high, left, tried, taken, first, place, best, ties, wanted, radius, slack, euclidean, limit,
):
    # fmt: on
    """Go on from ``place`` until the tree is exhausted (depth −1) or ``limit`` nodes have been seen."""
    n, dim = rows.shape
    depth, nodes, number = place[0], place[1], place[2]
    chosen = 0
    for t in range(depth):
        chosen += taken[t]
    while depth >= 0 and nodes < limit:
        if depth == n:
            error = _norm(left[n], euclidean)
            if error <= best[0] + 2.0 * slack:
                if error < best[0] - 2.0 * slack:
                    number = 0
                best[0] = min(best[0], error)
                if number < ties.shape[0]:
                    ties[number] = taken
                number += 1
            depth -= 1
            chosen -= taken[depth]
            continue
        if tried[depth] == 2:
            tried[depth] = 0
            depth -= 1
            if depth >= 0:
                chosen -= taken[depth]
            continue
        if tried[depth] == 0:  # the branch first whose residual is nearer to the middle of what can still be added
            lean = 0.0
            for d in range(dim):
                middle = low[depth + 1, 0, d] + high[depth + 1, 0, d]
                lean += rows[depth, d] * (2.0 * left[depth, d] - rows[depth, d] - middle)
            first[depth] = lean > 0.0
        take = first[depth] == (tried[depth] == 0)
        tried[depth] += 1
        nodes += 1
        missing = wanted - chosen - take
        if wanted >= 0 and (missing < 0 or missing > n - depth - 1):
            continue
        allowed = min(radius, best[0] + 5.0 * slack)
        size = missing if high.shape[1] > 1 else 0
        miss = 0.0
        for d in range(dim):
            rest = left[depth, d] - rows[depth, d] if take else left[depth, d]
            left[depth + 1, d] = rest
            over = max(0.0, rest - high[depth + 1, size, d], low[depth + 1, size, d] - rest)
            miss = miss + over * over if euclidean else max(miss, over)
            if miss > (allowed * allowed if euclidean else allowed):
                break
        else:
            taken[depth] = take
            chosen += take
            depth += 1
    place[0], place[1], place[2] = depth, nodes, number


@numba.njit(nogil=True, cache=True, inline="always")
def _norm(residual, euclidean):  # type: ignore[no-untyped-def]
    error = 0.0
    for value in residual:
        error = error + value * value if euclidean else max(error, abs(value))
    return np.sqrt(error) if euclidean else error
