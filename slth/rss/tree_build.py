"""Building a tree of lists: its branches in several threads, the joins above them, the nearest pairs at the root."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from slth.arrays import BoolArray
from slth.rss.control import Control
from slth.rss.sum_lists import all_sums, join_lists, make_scratch, nearest_pair
from slth.rss.tree_shape import Shape, tree_bytes

# Pairs that a join looks at for each entry that it wants. Twice as many cost 10 to 20 % more time and gain 5 to 10 %.
LOOKED_AT = 4.0
# Where no pair of the last two lists is in one cell, the cells grow, up to so many pairs for each entry.
WIDENING, MOST_LOOKED_AT = 8.0, 4096.0
# The last two lists are joined once for each so many joins before, with other cells each time.
JOINS_PER_ROUND = 8
LEAST_ROUNDS = 2
# So many branches or more are built in several threads. The number does not depend on the threads.
BRANCHES = 8
# Joins of fewer entries than this in all are done in one thread.
SMALL_TREE = 2**20

Ints = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Tree:
    """The lists of one instance, before they are joined.

    Attributes:
        shape: which lists are joined.
        rows: int64 (k, t), the candidates of each list.
        settled: bool (n,), what is selected of the other candidates.
        halves: int32 or int64 (k, t, D), half of each candidate, in fixed point; with a fixed size, the last coordinate
            counts the candidate.
        starts: (k, D), minus what the sums of each list are to reach.
        counted: whether the last coordinate counts candidates.
    """

    shape: Shape
    rows: npt.NDArray[np.intp]
    settled: BoolArray
    halves: Ints
    starts: Ints
    counted: bool


def best_choices(tree: Tree, seed: int, control: Control, *, euclidean: bool) -> list[BoolArray]:
    """Join all lists, and find nearest pairs of the last two.

    Args:
        tree: the lists.
        seed: seed of the cells.
        control: its limits. Nothing is found when the deadline passes before the last join.
        euclidean: whether the nearest pair is that in L2, not in L∞.

    Returns:
        One choice for each round of the last join: bool (k, t), which candidates of the lists are selected.
    """
    shape = tree.shape
    root, lists = shape.lists + len(shape.children) - 1, shape.lists
    small, branches = _is_small(shape), branch_nodes(shape)
    parents = np.empty((max(1, lists - 2), shape.capacity, 2), dtype=np.int32)
    rounds = root_rounds(shape)
    threads = 1 if small else _threads_that_fit(tree, control)
    with _stopped_at(control.deadline) as stop, ThreadPoolExecutor(threads) as pool:

        def each(function: Callable[..., Any], *columns: Iterable[Any]) -> list[Any]:
            return list((map if threads == 1 else pool.map)(function, *columns))

        built = dict(zip(branches, each(lambda node: _branch(tree, node, seed, parents, stop), branches), strict=True))
        waiting = sorted(set(range(lists, root)) - {int(one) for node in branches for one in shape.order(node)})
        while waiting:
            ready = [node for node in waiting if all(int(child) in built for child in shape.children[node - lists])]
            pairs = [tuple(built.pop(int(child)) for child in shape.children[node - lists]) for node in ready]
            joined = each(lambda node, pair: _join(tree, node, pair, seed, parents, stop), ready, pairs)
            built |= dict(zip(ready, joined, strict=True))
            waiting = [node for node in waiting if node not in built]
        last = tuple(built[int(child)] for child in shape.children[-1])
        seeds = [seed_of(seed, root + i) for i in range(rounds)]
        found = each(lambda one: _nearest(tree, last, one, stop, euclidean), seeds)
        places = sorted({pair for pair in found if pair[0] >= 0})
    return [_trace(shape, parents, one, other) for one, other in places]


def _is_small(shape: Shape) -> bool:
    """Whether one thread builds the whole tree."""
    return shape.lists << shape.bits < SMALL_TREE


def branch_nodes(shape: Shape) -> list[int]:
    """The nodes whose subtrees are built list by list; the other lists are joined afterwards."""
    return shape.branches(2 if _is_small(shape) else BRANCHES)


def root_rounds(shape: Shape) -> int:
    """How often the last two lists are joined."""
    return max(LEAST_ROUNDS, shape.lists // JOINS_PER_ROUND)


def _threads_that_fit(tree: Tree, control: Control) -> int:
    """The number of threads whose lists fit the memory together."""
    shape, (_, _, dimension) = tree.shape, tree.halves.shape

    def fits(threads: int) -> bool:
        need = tree_bytes(shape.bits, shape.lists, dimension, tree.halves.itemsize, threads)
        return need <= control.max_memory

    return next((threads for threads in range(control.threads, 1, -1) if fits(threads)), 1)


@contextmanager
def _stopped_at(deadline: float | None) -> Iterator[npt.NDArray[np.uint8]]:
    """A flag that compiled code reads between joins; it becomes 1 at the deadline."""
    stop = np.zeros(1, dtype=np.uint8)
    if deadline is None:
        yield stop
        return
    timer = threading.Timer(max(0.0, deadline - time.monotonic()), stop.fill, (1,))
    timer.daemon = True
    timer.start()
    try:
        yield stop
    finally:
        timer.cancel()


def seed_of(seed: int, number: int) -> int:
    """The seed of the cells of a join: different for every join of every tree.

    Args:
        seed: seed of the tree.
        number: the number of the node, and for the last join that of the round, counted on.
    """
    return (seed * 1_000_003 + number) % 2**62


def _branch(tree: Tree, node: int, seed: int, parents: Ints, stop: npt.NDArray[np.uint8]) -> Ints:
    """The list of a node, from the lists of all leaves below it; empty when the time is up."""
    shape, dtype = tree.shape, tree.halves.dtype
    depth, dimension = shape.depth(node), tree.halves.shape[2]
    space = np.empty((depth, shape.capacity, dimension), dtype=dtype)
    order = shape.order(node)
    scratch = make_scratch(shape.capacity if len(order) > 1 else 1, dimension, dtype.type)
    slot, count = _build_branch(
        order, tree.halves, tree.starts, float(LOOKED_AT), seed_of(seed, 0), stop, space, parents, scratch
    )
    built: Ints = space[slot, :count] if depth <= 2 else space[slot, :count].copy()
    return built


def _join(
    tree: Tree, node: int, pair: tuple[Ints, Ints], seed: int, parents: Ints, stop: npt.NDArray[np.uint8]
) -> Ints:
    """The list of a node from the lists of its children; empty when the time is up."""
    shape = tree.shape
    out = np.empty((shape.capacity, tree.halves.shape[2]), dtype=tree.halves.dtype)
    if not all(map(len, pair)) or stop[0]:
        return out[:0]
    wanted = 1 << shape.bits
    scratch = make_scratch(shape.capacity, out.shape[1], tree.halves.dtype.type)
    count, _ = join_lists(
        *pair, wanted, LOOKED_AT * wanted, False, seed_of(seed, node), out, parents[node - shape.lists], scratch
    )
    return out[:count]


def _nearest(
    tree: Tree, pair: tuple[Ints, Ints], seed: int, stop: npt.NDArray[np.uint8], euclidean: bool
) -> tuple[int, int]:
    """The places of the nearest pair of the last two lists; (−1, −1) when none is found or the time is up."""
    if not all(map(len, pair)) or stop[0]:
        return -1, -1
    scratch = make_scratch(tree.shape.capacity, tree.halves.shape[2], tree.halves.dtype.type)
    looked_at, one = LOOKED_AT * 2.0**tree.shape.bits, -1
    while one < 0 and looked_at <= MOST_LOOKED_AT * 2.0**tree.shape.bits:
        _, one, other = nearest_pair(*pair, looked_at, seed, euclidean, tree.counted, scratch)
        looked_at *= WIDENING
    return int(one), int(other)


@numba.njit(nogil=True, cache=True)
def _build_branch(order, halves, starts, looked_at, seed, stop, space, parents, scratch):  # type: ignore[no-untyped-def]
    """Build the lists of the nodes in ``order``, children first; (slot of the last one, its length)."""
    lists, bits = halves.shape[:2]
    wanted = 1 << bits
    counts = np.zeros(len(space), dtype=np.int64)
    leaf = np.zeros(len(space), dtype=np.bool_)
    free = np.arange(len(space))[::-1].copy()
    stack = np.empty(len(space), dtype=np.int64)
    height, left, slot = 0, len(space), 0
    for node in order:
        left -= 1
        slot = free[left]
        leaf[slot] = node < lists
        if node < lists:
            counts[slot] = all_sums(halves[node], starts[node], space[slot])
        else:
            height -= 2
            one, other = stack[height], stack[height + 1]
            counts[slot], _ = join_lists(
                space[one, : counts[one]], space[other, : counts[other]], wanted, looked_at * wanted,
                leaf[one] and leaf[other], seed + node, space[slot], parents[node - lists], scratch,
            )  # fmt: skip
            free[left], free[left + 1] = one, other
            left += 2
        if counts[slot] == 0 or stop[0]:
            return slot, 0
        stack[height] = slot
        height += 1
    return slot, counts[slot]


def _trace(shape: Shape, parents: Ints, first: int, second: int) -> BoolArray:
    """The choice from each list that a pair of entries of the last two lists is the sum of: bool (k, t)."""
    chosen = np.zeros((shape.lists, shape.bits), dtype=bool)
    places = [(int(shape.children[-1, 0]), first), (int(shape.children[-1, 1]), second)]
    while places:
        node, place = places.pop()
        if node < shape.lists:
            chosen[node] = (place >> np.arange(shape.bits)) & 1
        else:
            pair = parents[node - shape.lists, place]
            places += [
                (int(child), int(one)) for child, one in zip(shape.children[node - shape.lists], pair, strict=True)
            ]
    return chosen
