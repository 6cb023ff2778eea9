r"""The shape of a tree of lists: how many candidates go into how many lists, and in which order they are joined.

k lists hold the 2^t sums of t candidates each, the smallest first. A join of two lists with spreads r and s, which
keeps as many sums as a list holds, has the spread

.. math:: c·\sqrt{r² + s²}, \qquad c = λ·\sqrt{2π/12}·2^{−t/D}

With λ = 1 that would be the box that holds the 2^t nearest of the 2^{2t} pairs, if all were found. Two lists of the
largest spread are always joined next, so the lists of large candidates go through more joins than those of small ones.

The candidates in no list leave a residual of about 0.28 times the norm of the smallest of them in each coordinate, and
sums so far from the centre are rarer. That costs a factor exp(0.47·D/m), with m = k·t.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from slth.arrays import FloatArray
from slth.rss.sum_lists import scratch_bytes

# λ: a join loses this factor, because only pairs in the same cell are seen. Measured for D = 2 to 16: 1.23 to 1.4.
LOSS = 1.3
# The exponent 0.47 of the module's last formula, for norms that grow in proportion to their rank.
OFF_CENTRE = 0.47
# A tree of fewer candidates is preferred if the error to expect is at most so many times the least.
NEARLY = 1.15
# A list has room for this many times the entries that are wanted.
ROOM = 1.25
# t: the fewest and the most candidates of one list. With t below SHRINKING·D, joins of equal lists shrink the spread to
# 3/4 at best; the formulas above then promise too much (measured at D = 12, 16, 25), and other methods are better.
FEWEST, MOST, SHRINKING = 4, 24, 0.85
# A tree is chosen whose lists fit the memory when so many threads build it, so that the choice does not depend on the
# number of threads. More threads are used if their lists fit too.
PLANNED_THREADS = 2
# More lists than this are not considered.
MOST_LISTS = 4096

Nodes = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Shape:
    """A tree of lists.

    Attributes:
        bits: t, the number of candidates of one list.
        lists: k, the number of lists at the leaves; leaf 0 holds the largest candidates.
        children: int64 (k − 1, 2); node k + i of the tree is the join of two earlier nodes. The last node is the root.
            The first of two children is built first.
        expected: the error to expect, in the units of the candidates.
    """

    bits: int
    lists: int
    children: Nodes
    expected: float

    @property
    def capacity(self) -> int:
        """Entries that a list has room for."""
        return list_capacity(self.bits)

    def order(self, node: int) -> Nodes:
        """The nodes of the subtree of ``node``, children first, such that few lists are alive at a time."""
        order: Nodes = _postorder(self.children, self.lists, node)
        return order

    def depth(self, node: int) -> int:
        """How many lists are alive at once when the subtree of ``node`` is built in this order."""
        alive = most = 0
        for one in self.order(node):
            alive += 1
            most = max(most, alive)
            alive -= 2 * (one >= self.lists)
        return most

    def branches(self, number: int) -> list[int]:
        """Nodes whose subtrees hold all leaves and share none, at least ``number`` of them if the tree is large."""
        sizes = np.ones(self.lists + len(self.children), dtype=np.int64)
        for i, (first, second) in enumerate(self.children):
            sizes[self.lists + i] = sizes[first] + sizes[second]
        found = [int(child) for child in self.children[-1]]
        while len(found) < number:
            largest = max(found, key=lambda node: (sizes[node], node))
            if largest < self.lists:
                break
            found.remove(largest)
            found += [int(child) for child in self.children[largest - self.lists]]
        return found


def list_capacity(bits: int) -> int:
    """Entries that a list with 2^bits wanted entries has room for."""
    return int(ROOM * (1 << bits)) + 8


def tree_bytes(bits: int, lists: int, dimension: int, itemsize: int, threads: int) -> float:
    """Bytes that a tree takes while it is built, at most.

    Args:
        bits: t.
        lists: k.
        dimension: D of the lists.
        itemsize: bytes of one coordinate.
        threads: number of threads.
    """
    capacity = list_capacity(bits)
    alive = (math.log2(lists) + 3) * threads + 8
    return capacity * (8.0 * lists + alive * dimension * itemsize) + threads * scratch_bytes(
        capacity, dimension, itemsize
    )


def effort_bytes(entries: float, dimension: int) -> float:
    """Bytes that no tree of a budget of entries exceeds, built by one thread.

    Args:
        entries: the budget.
        dimension: D of the lists.
    """
    return max(tree_bytes(bits, max(2, int(entries / 2**bits)), dimension, 8, 1) for bits in range(1, MOST + 1)
               if entries >= 2 ** (bits + 1) or bits == 1)  # fmt: skip


def choose_shape(
    squares: FloatArray,
    dimension: int,
    entries: float,
    max_memory: float,
    *,
    itemsize: int,
    resolution: float = 0.0,
) -> Shape | None:
    """The tree with the smallest error to expect among those that fit a budget.

    Args:
        squares: float64 (m,), ‖x‖² of the candidates that may be used, in increasing order.
        dimension: D of the lists.
        entries: the budget: list entries in all joins together.
        max_memory: bytes that the tree may take.
        itemsize: bytes of one coordinate.
        resolution: an error that rounding leaves anyway; the smallest tree that reaches it is taken.

    Returns:
        The shape; None when there are too few candidates for two lists, or no lists that the budget allows would shrink
        when they are joined.
    """
    sums = np.concatenate([[0.0], np.cumsum(squares)])
    able: list[tuple[float, int, int]] = []
    # Fewer candidates than can fill two lists are all of them in two lists, whatever their joins do.
    fewest = min(max(FEWEST, math.ceil(SHRINKING * dimension)), len(squares) // 2)
    for bits in range(fewest, MOST + 1):
        most = min(len(squares) // bits if bits else 0, MOST_LISTS, int(entries / 2**bits))
        if most < 2:
            break
        for halvings in range(12):
            lists = max(2, round(most / 2 ** (halvings / 2)))
            if tree_bytes(bits, lists, dimension, itemsize, PLANNED_THREADS) <= max_memory:
                able.append((max(resolution, _expected(sums, bits, lists, dimension)), bits, lists))
            if lists == 2:
                break
    if not able:
        return None
    # About half of the candidates in lists are selected: of nearly equal errors, the one with the fewest is taken.
    good = NEARLY * min(able)[0]
    expected, bits, lists = min((one for one in able if one[0] <= good), key=lambda one: (one[1] * one[2], one[0]))
    children = np.empty((lists - 1, 2), dtype=np.int64)
    _join_order(_spreads(sums, bits, lists, dimension), _contraction(bits, dimension), children)
    _heavy_first(children, lists)
    return Shape(bits=bits, lists=lists, children=children, expected=expected)


@numba.njit(nogil=True, cache=True)
def _contraction(bits, dimension):  # type: ignore[no-untyped-def]
    """C: the spread of a join over that of the two lists together."""
    return LOSS * math.sqrt(2.0 * math.pi / 12.0) * 2.0 ** (-bits / dimension)


@numba.njit(nogil=True, cache=True)
def _spreads(sums, bits, lists, dimension):  # type: ignore[no-untyped-def]
    """The spread of a coordinate in each list, the largest first: ½·(Σ‖x‖²/D)^{1/2}."""
    spreads = np.empty(lists)
    for i in range(lists):
        low = (lists - 1 - i) * bits
        spreads[i] = math.sqrt(max(sums[low + bits] - sums[low], 0.0) / (4.0 * dimension))
    return spreads


@numba.njit(nogil=True, cache=True)
def _expected(sums, bits, lists, dimension):  # type: ignore[no-untyped-def]
    """The error of the nearest of the 2^{2t} pairs of the last two lists; see the module."""
    children = np.empty((lists - 1, 2), dtype=np.int64)
    last = _join_order(_spreads(sums, bits, lists, dimension), _contraction(bits, dimension), children)
    off_centre = math.exp(min(OFF_CENTRE * dimension / (bits * lists), 100.0))
    return off_centre * LOSS * math.sqrt(math.pi / 2.0) * last * 2.0 ** (-2.0 * bits / dimension)


@numba.njit(nogil=True, cache=True)
def _join_order(spreads, contraction, children):  # type: ignore[no-untyped-def]
    """Join the two lists of largest spread, again and again. Return the spread of the last two together.

    Joins come out in falling order of spread as long as the contraction is below √½, so two queues hold all lists.
    """
    lists = len(spreads)
    joined = np.empty(lists)
    leaf = first = 0
    total = 0.0
    for i in range(lists - 1):
        total = 0.0
        for side in range(2):
            if first >= i or (leaf < lists and spreads[leaf] >= joined[first]):
                total += spreads[leaf] ** 2
                children[i, side] = leaf
                leaf += 1
            else:
                total += joined[first] ** 2
                children[i, side] = lists + first
                first += 1
        joined[i] = contraction * math.sqrt(total)
    return math.sqrt(total)


@numba.njit(nogil=True, cache=True)
def _heavy_first(children, lists):  # type: ignore[no-untyped-def]
    """Of two children, put the one first whose subtree needs more lists at a time."""
    need = np.ones(lists + len(children), dtype=np.int64)
    for i in range(len(children)):
        first, second = children[i]
        if need[first] < need[second]:
            children[i, 0], children[i, 1] = second, first
        need[lists + i] = max(need[first], need[second]) + (need[first] == need[second])


@numba.njit(nogil=True, cache=True)
def _postorder(children, lists, node):  # type: ignore[no-untyped-def]
    """The subtree of a node: that of its first child, that of its second child, and the node."""
    order = np.empty(2 * lists, dtype=np.int64)
    waiting = np.empty(2 * lists, dtype=np.int64)
    waiting[0], left, place = node, 1, 2 * lists
    while left:
        left -= 1
        place -= 1
        order[place] = waiting[left]
        if waiting[left] >= lists:
            # The order is filled from its end: what lies on top of the stack is built last.
            waiting[left], waiting[left + 1] = children[waiting[left] - lists]
            left += 2
    return order[place:].copy()
