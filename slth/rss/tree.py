r"""tree — lists of subset sums, joined pair by pair so that only sums near the target are left, for D up to about 16.

1. Most candidates are split into k groups of t, by size. A list of 2^t sums stands for each group.
2. The other candidates are decided by :mod:`slth.rss.relax`, such that half of the candidates in lists can do the rest.
   They are at least an eighth of all candidates, or 4D if that is fewer.
3. Two lists become one, which holds about 2^t of their 2^{2t} pairs: those nearest to what the two groups must
   contribute (:mod:`slth.rss.sum_lists`). Lists of the largest candidates come first (:mod:`slth.rss.tree_shape`).
4. Of the last two lists, the nearest pair of all is taken; its selection is traced back through the joins.

With m = k·t of n NSN candidates, whose sums have the spread :math:`σ_m ≈ 0.36\,m^{1.5}/n`, the error is about

.. math:: ε ≈ C·σ_m·2^{−t(1 + \log_2 k)/D}

C would be 1 for a balanced tree without loss. Measured, with lists joined by size: 0.3 to 0.9, the median 0.5, for
D = 2 to 16, n = 300 to 5000 and 2 to 200 ms of one core. Below 1e-14 of the largest sums the fixed point of 64 bits
ends the law.

The pair (t, k) with the smallest error to expect is taken, among those with at most :data:`ENTRIES_PER_SECOND` list
entries for each second of effort. With a time limit, trees grow :data:`GROWTH`-fold as long as the next one will fit
the time. Others with other cells follow until the time is up.

With a fixed size, the number of selected candidates is one more coordinate of every list, which must reach its aim
exactly. It needs a size such that k and n − k are at least :data:`FEWEST_OF_A_KIND`; otherwise the answer is that of
``relax``.

The tree of lists comes from cryptography, where it joins bit strings. For subset sums it is due to (lyubashevsky2005),
with short lists to (minder2012). Here sums are near in all coordinates at once, and joins follow the candidates' sizes.

Source: wagner2002
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from slth.arrays import BoolArray, FloatArray
from slth.rss.control import Control, Incumbent
from slth.rss.problem import Problem
from slth.rss.relax import solve_relax
from slth.rss.tree_build import Ints, Tree, best_choices
from slth.rss.tree_shape import MOST, SHRINKING, Shape, choose_shape

# Entries that the joins of one core make in a second, about: effort counts in these.
ENTRIES_PER_SECOND = 1e7
# At least so many candidates are in no list: SETTLED_RATIO·D, or 1/SETTLED_SHARE of all if that is fewer.
SETTLED_RATIO, SETTLED_SHARE = 4, 8
# With a fixed size, the selected and the others must both be at least so many.
FEWEST_OF_A_KIND = 16
# The types of a list's numbers: the first one if it is precise enough.
NUMBERS: tuple[type, ...] = (np.int32, np.int64)
# A sum of halves of all candidates in lists takes all but so many bits of a number. What the lists must reach may be
# 2^REST_BITS times that.
RESERVED_BITS, REST_BITS = 3, 1
# The rounding of fixed point may cost this share of the error to expect.
ROUNDING_SHARE = 0.02
# The budget of the first tree in entries, how many times larger the next one may be, and the share of the time left
# that it may take.
FIRST_ENTRIES, GROWTH, TIME_SHARE = 2.0**17, 8.0, 0.6
# A further tree is built only if the error to expect is at most so many times that of the best one.
WORTHWHILE = 1.5

# Trees of one solve have seeds in a row, and those of the next seed are so far away.
SEED_STEP = 1009

Rows = npt.NDArray[np.intp]


def solve_tree(problem: Problem, control: Control) -> Incumbent:
    """Solve by the method of this module: a tree of lists of subset sums.

    Args:
        problem: the instance.
        control: its limits.

    Returns:
        The best selection found; nothing is proved.
    """
    first = solve_relax(problem, replace(control, deadline=None))
    best, error = first.selected, problem.length(problem.target - first.selected @ problem.vectors)
    trees, shape = 0, None
    for tree, seed in _trees(problem, control):
        choices = best_choices(tree, seed, control, euclidean=problem.norm == "l2")
        found, length = nearest_selection(problem, tree, choices)
        if found is not None and length < error:
            best, error = found, length
            control.improved(error)
        trees, shape = trees + 1, tree.shape
        if control.eps is not None and error <= control.eps:
            break
    stats = {"trees": trees, **first.stats}
    if shape is not None:
        stats |= {"lists": shape.lists, "candidates_per_list": shape.bits, "expected": shape.expected}
    return Incumbent(selected=best, stats=stats)


def nearest_selection(problem: Problem, tree: Tree, choices: list[BoolArray]) -> tuple[BoolArray | None, float]:
    """The selection with the smallest error among those that the choices from a tree's lists stand for.

    Args:
        problem: the instance.
        tree: its lists.
        choices: bool (k, t) each, which candidates of the lists are selected.

    Returns:
        (the selection, its error in float64); (None, infinity) without a choice.
    """
    best, error = None, math.inf
    for chosen in choices:
        selected = tree.settled.copy()
        selected[tree.rows[chosen]] = True
        found = problem.length(problem.target - selected @ problem.vectors)
        if found < error:
            best, error = selected, found
    return best, error


def _trees(problem: Problem, control: Control) -> Iterator[tuple[Tree, int]]:
    """The trees to build, each with its seed; one by one, because the time that one takes decides about the next."""
    deadline, seed = control.deadline, SEED_STEP * control.seed
    if deadline is None:
        entries, best = control.effort * ENTRIES_PER_SECOND, math.inf
        # For an eps, trees grow until one reaches it, or until the candidates or the memory allow no better one.
        while (tree := plant(problem, entries, control)) is not None and tree.shape.expected < best:
            best = tree.shape.expected
            yield tree, seed
            if control.eps is None:
                return
            entries *= GROWTH
        return
    entries, best = FIRST_ENTRIES, math.inf
    while not control.expired():
        began = time.monotonic()
        tree = plant(problem, entries, control)
        if tree is None or tree.shape.expected > WORTHWHILE * best:
            return
        best = min(best, tree.shape.expected)
        yield tree, seed
        now = time.monotonic()
        entries = next_entries(tree.shape, entries, now - began, deadline - now)
        seed += 1


def next_entries(shape: Shape, entries: float, seconds: float, left: float) -> float:
    """The budget of the next tree under a time limit.

    Args:
        shape: the last tree.
        entries: its budget.
        seconds: the time it took.
        left: the seconds that are left.
    """
    # The tree may have been smaller than its budget: there may be no more candidates, or no more memory.
    made = min(entries, float(shape.lists) * 2.0**shape.bits)
    return min(GROWTH * made, TIME_SHARE * max(0.0, left) * made / seconds)


def expected_error(problem: Problem, seconds: float, control: Control) -> float:
    """The error to expect of the best tree that fits an effort; infinity if no tree fits it.

    Args:
        problem: the instance.
        seconds: the effort, in seconds of one core.
        control: its limits.
    """
    if SHRINKING * problem.dimension > MOST:  # at once, because sorting a large instance takes as long as relax
        return math.inf
    order, usable = _candidates(problem)
    shape = _shape(problem, order[:usable], seconds * ENTRIES_PER_SECOND, control, np.int32)
    return math.inf if shape is None else shape.expected


def plant(problem: Problem, entries: float, control: Control) -> Tree | None:
    """Choose lists for a budget of entries, settle the other candidates, and write the lists in fixed point.

    Args:
        problem: the instance.
        entries: the budget, in entries of all lists together.
        control: its limits.

    Returns:
        The lists; None where no tree is of use.
    """
    order, usable = _candidates(problem)
    for number in NUMBERS:
        shape = _shape(problem, order[:usable], entries, control, number)
        if shape is None:
            return None
        # Lists of the largest candidates come first.
        rows = order[: shape.lists * shape.bits].reshape(shape.lists, shape.bits)[::-1].copy()
        unit = _largest_sum(problem.vectors[rows.ravel()]) / 2.0 ** (8 * np.dtype(number).itemsize - RESERVED_BITS)
        if math.sqrt(problem.size) * unit < ROUNDING_SHARE * shape.expected:
            break
    assert shape is not None
    settled = _settle(problem, rows, order[rows.size :], control)
    rest = problem.target - settled @ problem.vectors - 0.5 * problem.vectors[rows].sum(axis=(0, 1))
    if not unit > 0.0 or np.abs(rest).max() > 2.0**REST_BITS * _largest_sum(problem.vectors[rows.ravel()]):
        return None  # the target lies far outside what the lists can reach
    return _write_lists(problem, shape, rows, settled, rest / unit, unit, number)


def _write_lists(
    problem: Problem, shape: Shape, rows: Rows, settled: BoolArray, rest: FloatArray, unit: float, number: type
) -> Tree:
    """The lists in fixed point; ``rest`` is what they must reach together, in units."""
    vectors, dimension = problem.vectors[rows], problem.dimension
    counted = problem.cardinality is not None
    halves = np.empty((*rows.shape, dimension + counted), dtype=number)
    halves[:, :, :dimension] = np.rint(vectors * (0.5 / unit))
    # Each list contributes in proportion to the variance of its sums.
    shares = np.einsum("ktd,ktd->k", vectors, vectors)
    steps: Ints = np.rint(np.cumsum(shares / shares.sum())[:, None] * rest).astype(number)
    starts: Ints = np.zeros((shape.lists, dimension + counted), dtype=number)
    starts[:, :dimension] = -np.diff(steps, axis=0, prepend=0)
    if problem.cardinality is not None:
        # A count is worth as much as the spread of a list of middle-sized candidates.
        spread = 0.5 * math.sqrt(float(np.median(shares)) / (dimension * shape.bits)) / unit
        weight = max(1, min(int(spread), np.iinfo(number).max // (8 * problem.size)))
        halves[:, :, dimension] = weight
        # Half of an odd list is one more or one less in turn, so that every list can reach its aim exactly.
        starts[:, dimension] = weight * np.resize([1, -1], shape.lists) * (shape.bits % 2)
    return Tree(shape=shape, rows=rows, settled=settled, halves=halves, starts=starts, counted=counted)


def _candidates(problem: Problem) -> tuple[Rows, int]:
    """(the candidates by size, the smallest first; how many of them may be in lists)."""
    norms = np.einsum("nd,nd->n", problem.vectors, problem.vectors)
    order = np.argsort(norms, kind="stable")
    if problem.cardinality is None:
        order = order[norms[order] > 0]  # zero vectors change nothing and are never selected
        return order, len(order) - min(SETTLED_RATIO * problem.dimension, len(order) // SETTLED_SHARE)
    fewer = min(problem.cardinality, problem.size - problem.cardinality)
    if fewer < FEWEST_OF_A_KIND:
        return order, 0
    # About half of the candidates in lists are selected, and the others must fill the size up.
    settled = min(SETTLED_RATIO * problem.dimension, problem.size // SETTLED_SHARE)
    return order, min(problem.size - settled, 2 * (fewer - fewer // SETTLED_SHARE))


def _shape(problem: Problem, usable: Rows, entries: float, control: Control, number: type) -> Shape | None:
    """The best tree for a budget of entries; None where none is of use."""
    squares = np.einsum("nd,nd->n", problem.vectors[usable], problem.vectors[usable])
    itemsize = np.dtype(number).itemsize
    finest = _largest_sum(problem.vectors[usable]) / 2.0 ** (64 - RESERVED_BITS)
    return choose_shape(
        squares, problem.dimension + (problem.cardinality is not None), entries, control.max_memory,
        itemsize=itemsize, resolution=math.sqrt(problem.size) * finest,
    )  # fmt: skip


def _largest_sum(vectors: FloatArray) -> float:
    """A bound of a coordinate of every sum of ± halves."""
    return 0.5 * float(np.abs(vectors).sum(axis=0).max(initial=0.0))


def _settle(problem: Problem, rows: Rows, others: Rows, control: Control) -> BoolArray:
    """Select from the candidates that are in no list such that about half of those in the lists do the rest."""
    settled = np.zeros(problem.size, dtype=bool)
    if len(others):
        sub = Problem(
            vectors=problem.vectors[others],
            target=problem.target - 0.5 * problem.vectors[rows].sum(axis=(0, 1)),
            norm=problem.norm,
            cardinality=None if problem.cardinality is None else problem.cardinality - rows.size // 2,
        )
        settled[others] = solve_relax(sub, Control(seed=control.seed)).selected
    return settled
