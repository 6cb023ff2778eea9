r"""tree — lists of subset sums, joined pair by pair so that only sums near the target are left, for D up to about 16.

1. Most candidates are split into k groups of t, by size. A list of 2^t sums stands for each group.
2. A few of the largest candidates are decided by :mod:`slth.rss.relax`, such that the rest has half of its sum to reach.
3. Two lists become one, which holds about 2^t of their 2^{2t} pairs: those nearest to what the two groups must
   contribute (:mod:`slth.rss.sum_lists`). Lists of the largest candidates come first (:mod:`slth.rss.tree_shape`).
4. Of the last two lists, the nearest pair of all is taken; its selection is traced back through the joins.

With m = k·t of n NSN candidates, whose sums have the spread :math:`σ_m ≈ 0.36\,m^{1.5}/n`, the error is about

.. math:: ε ≈ C·σ_m·2^{−t(1 + \log_2 k)/D}

C is 1 for a balanced tree without loss. Measured, with lists joined by size: see :data:`MEASURED`. The pair (t, k)
that is expected to give the smallest error is taken, among those whose joins hold at most as many entries as the budget
allows: :data:`ENTRIES_PER_SECOND` for each second of effort. With a time limit, trees grow :data:`GROWTH`-fold as long as
the next one will fit the time; others with other cells follow until the time is up.

With a fixed size, the number of selected candidates is one more coordinate of every list, which must reach its aim
exactly. It needs a size such that k and n − k are at least :data:`FEWEST_OF_A_KIND`; otherwise the answer is that of
``relax``.

Source: wagner2002 minder2012 lyubashevsky2005
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace

import numba
import numpy as np
import numpy.typing as npt

from slth.arrays import BoolArray
from slth.rss.control import Control, Incumbent
from slth.rss.problem import Problem
from slth.rss.relax import solve_relax
from slth.rss.tree_build import Tree, best_choices
from slth.rss.tree_shape import choose_shape

# Entries that the joins of one core make in a second, about: effort counts in these.
ENTRIES_PER_SECOND = 1e7
# Candidates that relax decides, in units of D, and as a share of n.
SETTLED_RATIO, SETTLED_SHARE = 4, 8
# With a fixed size, the selected and the others must both be at least so many.
FEWEST_OF_A_KIND = 16
# The rounding of fixed point may cost this share of the error to expect.
ROUNDING_SHARE = 0.02
# The budget of the first tree in entries, how many times larger the next one may be, and the share of the time left that
# it may take.
FIRST_ENTRIES, GROWTH, TIME_SHARE = 2.0**17, 8.0, 0.6
# A further tree is built only if the error to expect is at most so many times that of the best one.
WORTHWHILE = 1.5


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
        for chosen in best_choices(tree, seed, control, euclidean=problem.norm == "l2"):
            selected = tree.settled.copy()
            selected[tree.rows[chosen]] = True
            found = problem.length(problem.target - selected @ problem.vectors)
            if found < error:
                best, error = selected, found
                control.improved(error)
        trees, shape = trees + 1, tree.shape
        if control.eps is not None and error <= control.eps:
            break
    stats = {"trees": trees, **first.stats}
    if shape is not None:
        stats |= {"lists": shape.lists, "candidates_per_list": shape.bits, "expected": shape.expected}
    return Incumbent(selected=best, stats=stats)


def _trees(problem: Problem, control: Control) -> Iterator[tuple[Tree, int]]:
    """The trees to build, each with its seed; one by one, because the time that one takes decides about the next."""
    deadline, seed = control.deadline, 1009 * control.seed
    if deadline is None:
        tree = _plant(problem, control.effort * ENTRIES_PER_SECOND, control)
        if tree is not None:
            yield tree, seed
        return
    entries, best = FIRST_ENTRIES, math.inf
    while not control.expired():
        began = time.monotonic()
        tree = _plant(problem, entries, control)
        if tree is None or tree.shape.expected > WORTHWHILE * best:
            return
        best = min(best, tree.shape.expected)
        yield tree, seed
        now = time.monotonic()
        # The tree may have been smaller than its budget: there may be no more candidates, or no more memory.
        made = min(entries, float(tree.shape.lists) * 2.0**tree.shape.bits)
        entries = min(GROWTH * made, TIME_SHARE * max(0.0, deadline - now) * made / (now - began))
        seed += 1


def _plant(problem: Problem, entries: float, control: Control) -> Tree | None:
    """Choose lists for a budget of entries, settle the other candidates, and write the lists in fixed point."""
    vectors, size = problem.vectors, problem.cardinality
    n, dimension = vectors.shape
    norms = np.einsum("nd,nd->n", vectors, vectors)
    order = np.argsort(norms, kind="stable")
    counted = size is not None
    if size is None:
        order = order[norms[order] > 0]  # zero vectors change nothing and are never selected
        usable = len(order) - min(SETTLED_RATIO * dimension, len(order) // SETTLED_SHARE)
    else:
        kind = min(size, n - size)
        usable = min(n - min(SETTLED_RATIO * dimension, n // SETTLED_SHARE), 2 * (kind - kind // SETTLED_SHARE))
        if kind < FEWEST_OF_A_KIND:
            return None
    squares = norms[order[:usable]]
    for kind_of_number in (np.int32, np.int64):
        shape = choose_shape(
            squares, dimension + counted, entries, control.max_memory,
            itemsize=np.dtype(kind_of_number).itemsize, threads=control.threads,
        )  # fmt: skip
        if shape is None:
            return None
        # Lists of the largest candidates come first.
        rows = order[: shape.lists * shape.bits].reshape(shape.lists, shape.bits)[::-1].copy()
        settled = _settle(problem, rows, order[rows.size :], control)
        rest = problem.target - settled @ vectors - 0.5 * vectors[rows].sum(axis=(0, 1))
        # No sum of any of the halves reaches 2^30 or 2^62 of these units.
        largest = 0.5 * np.abs(vectors[rows]).sum(axis=(0, 1)).max() + 2.0 * np.abs(rest).max()
        unit = largest / 2.0 ** (8 * np.dtype(kind_of_number).itemsize - 2)
        if unit > 0.0 and math.sqrt(n) * unit < ROUNDING_SHARE * shape.expected:
            break
    if unit <= 0.0:
        return None
    halves = np.empty((*rows.shape, dimension + counted), dtype=kind_of_number)
    halves[:, :, :dimension] = np.rint(vectors[rows] * (0.5 / unit))
    # Each list contributes to what is missing in proportion to the variance of its sums.
    shares = np.einsum("ktd,ktd->k", vectors[rows], vectors[rows])
    steps = np.rint(np.cumsum(shares / shares.sum())[:, None] * (rest / unit)).astype(kind_of_number)
    starts = np.zeros((shape.lists, dimension + counted), dtype=kind_of_number)
    starts[:, :dimension] = -np.diff(steps, axis=0, prepend=0)
    if size is not None:
        # A count is worth as much as the spread of a list of middle-sized candidates.
        weight = max(1, int(math.sqrt(float(np.median(shares)) / (dimension * shape.bits)) * 0.5 / unit))
        halves[:, :, dimension] = weight
        starts[0, dimension] = -weight * (2 * (size - int(settled.sum())) - rows.size)
    return Tree(
        shape=shape, rows=rows, settled=settled, halves=halves, starts=starts, unit=unit, counted=counted
    )  # fmt: skip


def _settle(problem: Problem, rows: npt.NDArray[np.intp], others: npt.NDArray[np.intp], control: Control) -> BoolArray:
    """Select from the candidates that are in no list such that about half of those in the lists do the rest."""
    settled = np.zeros(problem.size, dtype=bool)
    goal = problem.target - 0.5 * problem.vectors[rows].sum(axis=(0, 1))
    if problem.cardinality is None:
        _select_by_size(problem.vectors, others[::-1], goal, settled)
    elif len(others):
        sub = Problem(
            vectors=problem.vectors[others],
            target=goal,
            norm=problem.norm,
            cardinality=problem.cardinality - rows.size // 2,
        )
        settled[others] = solve_relax(sub, Control(seed=control.seed)).selected
    return settled


@numba.njit(nogil=True, cache=True)
def _select_by_size(vectors, rows, goal, selected):  # type: ignore[no-untyped-def]
    """Take each candidate, or leave it, such that the rest of the goal stays near half of the candidates to come."""
    rest = goal.copy()
    for row in rows:
        rest -= 0.5 * vectors[row]
    for row in rows:
        if np.dot(rest, vectors[row]) > 0.0:
            selected[row] = True
            rest -= 0.5 * vectors[row]
        else:
            rest += 0.5 * vectors[row]
