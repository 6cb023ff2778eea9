r"""Branch and bound over the candidates, largest first: the exact search that needs no tables.

A node has decided about the t largest candidates; r is the target minus the sum of those it selects. The other
candidates add at least lo_td and at most hi_td to coordinate d. So every selection below the node misses the target in
coordinate d by at least

.. math:: \max(0,\; r_d - hi_{td},\; lo_{td} - r_d)

A node is cut off when these misses, in the problem's norm, exceed ρ or the best error. The small candidates come last,
where the tree would be widest: they can correct little, and D coordinates must all be met, so few nodes are left there.
With a fixed size, lo and hi are taken over exactly as many of the other candidates as are still to be selected.

The search is depth first in one thread. It can be interrupted after any number of nodes and resumed.
Source: horowitz1974 (the search that its table replaces)
"""

from __future__ import annotations

import numba
import numpy as np

from slth.arrays import BoolArray, FloatArray
from slth.rss.control import Control
from slth.rss.problem import Problem

# Nodes between two checks of the deadline.
NODES_PER_CHECK = 2**18
# Bytes that lo and hi may take when they are kept for every size. Beyond it they are kept for subsets of any size.
MAX_RANGE_BYTES = 64e6


class OutOfNodes(Exception):
    """The search needs more nodes than it was given."""


class Branch:
    """The search tree of one instance. It has the interface of :class:`slth.rss.half_tables.Tables`.

    Args:
        problem: the instance; its target, norm and cardinality are used.
        vectors: float64 (n, D), the candidates that are searched.
        slack: η, the rounding error of a scanned error (:func:`slth.rss.exact.rounding_slack`).
        max_ties: number of selections that one scan may list.
        nodes: number of nodes that all scans together may visit.
    """

    name = "branch and bound"

    def __init__(self, problem: Problem, vectors: FloatArray, slack: float, max_ties: int, nodes: float) -> None:
        self.order = np.argsort(-np.einsum("nd,nd->n", vectors, vectors), kind="stable")
        self.rows = np.ascontiguousarray(vectors[self.order])
        self.target, self.slack, self.max_ties = problem.target, slack, max_ties
        self.wanted = -1 if problem.cardinality is None else problem.cardinality
        self.euclidean = problem.norm == "l2"
        self.low, self.high = _attainable_range(self.rows, self.wanted)
        self.nodes, self.budget = 0, nodes

    def scan(self, radius: float, control: Control) -> tuple[float, list[BoolArray], bool] | None:
        """Visit every selection with an error up to about ``radius``.

        A node's miss is known to within 2η and a leaf's error to within η. So the scan meets every leaf whose error is
        at most ``radius`` − 3η and at most the best error + 2η.

        Args:
            radius: ρ, in the problem's norm.
            control: the scan stops at its deadline.

        Returns:
            (the best error seen, the selections within rounding of it, whether these are all), or None if time ran out.

        Raises:
            OutOfNodes: the nodes given for all scans together are used up.
        """
        n, dim = self.rows.shape
        left = np.empty((n + 1, dim))
        left[0] = self.target
        tried, taken, first = np.zeros(n, np.int8), np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        # place holds the depth, the number of nodes and the number of ties; best holds the best error.
        place, best = np.zeros(3, np.int64), np.full(1, np.inf)
        ties = np.empty((self.max_ties, n), np.bool_)
        while place[0] >= 0:
            if control.expired():
                return None
            if self.nodes + place[1] > self.budget:
                self.nodes += int(place[1])
                raise OutOfNodes
            _search_tree(
                self.rows, self.low, self.high, left, tried, taken, first, place, best, ties, self.wanted, radius,
                self.slack, self.euclidean, place[1] + NODES_PER_CHECK,
            )  # fmt: skip
        self.nodes += int(place[1])
        number = int(place[2])
        selections = np.empty((min(number, self.max_ties), n), dtype=bool)
        selections[:, self.order] = ties[: len(selections)]
        return float(best[0]), list(selections), number <= self.max_ties


def _attainable_range(rows: FloatArray, wanted: int) -> tuple[FloatArray, FloatArray]:
    """The range (lo, hi) of sums of subsets of rows t … n − 1, per coordinate.

    The shape is (n + 1, wanted + 1, D) for subsets of exactly j rows, and (n + 1, 1, D) for subsets of any size.
    """
    n, dim = rows.shape
    if wanted < 0 or 16.0 * (n + 1) * (wanted + 1) * dim > MAX_RANGE_BYTES:
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
def _search_tree(  # type: ignore[no-untyped-def]
    rows, low, high, left, tried, taken, first, place, best, ties, wanted, radius, slack, euclidean, limit,
):
    # fmt: on
    """Continue from ``place`` until the tree is exhausted (depth −1) or ``limit`` nodes have been visited."""
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
        if tried[depth] == 0:  # first the branch whose residual is nearer to the middle of the attainable range
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
