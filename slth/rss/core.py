r"""core — all subsets of a small-norm core, met in the middle, for D up to about 8.

The core is the m = a + b smallest candidates. Their 2^m subset sums lie around a centre with standard deviation
σ_d = ½·(Σ x_d²)^{1/2} in coordinate d. A settlement is a selection of the large candidates that brings the target near
that centre. There are T of them: one pursuit, and all its single and double flips of middle-sized candidates. Every
settlement is combined with all 2^m sums of the core by 2^a look-ups into a grid of 2^b sums (:mod:`slth.rss.meet`). The
best error ε to expect satisfies

.. math:: 2^m \, T \prod_d \frac{2ε}{σ_d \sqrt{2π}} = 1

T grows in proportion to the time, and the error falls like T^{−1/D}. The search stops when ``time_limit`` has passed,
eps is reached, or the settlements are used up (without a time limit there are :data:`DEFAULT_SETTLEMENTS`). With a
fixed size each settlement fixes how many candidates the core must select, about half of them. Only subsets of that size
are combined with it: C(m, m/2) instead of 2^m.
"""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from slth.arrays import BoolArray, FloatArray
from slth.rss.control import Control, Incumbent
from slth.rss.meet import Sizes, build_grid, grid_bytes, popcounts, scan, subset_sums
from slth.rss.problem import Problem
from slth.rss.relax import solve_relax

# b: the table holds 2^b sums. It should stay near the cache, because a larger one makes every look-up slower.
TABLE_CANDIDATES = 20
# a: a settlement takes 2^a look-ups. Twice the left sums are worth as much as twice the settlements.
LEFT_CANDIDATES = 18
# Middle-sized candidates whose flips make settlements.
MIDDLE_CANDIDATES = 256
# With fewer seconds than this, a table and left sums of an eighth are used, so that building them takes little of it.
SHORT_SECONDS = 4.0
SHORT_REDUCTION = 3
# Settlements per round. The number is fixed, so that a round does not depend on the number of threads.
ROUND_SETTLEMENTS = 8
# Settlements without a time limit. It is a number and not a time, so that the result does not depend on the machine.
DEFAULT_SETTLEMENTS = 256
# The box that is searched is this much larger than the expected error, which is only an estimate.
RADIUS_FACTOR = 1.5


def solve_core(problem: Problem, control: Control) -> Incumbent:
    """Solve by the method of this module: the subsets of a core of small candidates.

    Args:
        problem: the instance.
        control: its limits.

    Returns:
        The best selection found; nothing is proved.
    """
    first = solve_relax(problem, replace(control, deadline=None))
    if control.expired():  # many coordinates: no time is left for a table
        return Incumbent(selected=first.selected, stats={"table": 0, "left": 0, "settlements": 0, **first.stats})
    vectors, target = problem.vectors, problem.target
    best = first.selected
    error = problem.length(best @ vectors - target)
    order = np.argsort(np.einsum("nd,nd->n", vectors, vectors), kind="stable")
    hurried = control.deadline is None or control.deadline - time.monotonic() < SHORT_SECONDS
    reduction = SHORT_REDUCTION if hurried else 0
    table = table_candidates(problem.size, problem.dimension, control.max_memory)
    table = min(table, TABLE_CANDIDATES - reduction)
    left = min(LEFT_CANDIDATES - reduction, len(order) - table)
    # Small and less small candidates alternate between the halves, so that both have the same spread.
    small = order[: table + left]
    right_rows, left_rows = _alternate(small, table)
    core_ones = _core_ones(len(small), problem)
    # The fraction of the core that is selected. It is kept away from 0 and 1, where the spread would vanish.
    density = 0.5 if core_ones is None else min(max(core_ones, 0.5), len(small) - 0.5) / len(small)
    spread = math.sqrt(density * (1 - density)) * np.sqrt((vectors[small] ** 2).sum(axis=0)) + 1e-300
    settlements, offsets, added = _settle(problem, control, small, order[table + left :], density, spread, core_ones)

    if control.deadline is None:
        offsets = offsets[:DEFAULT_SETTLEMENTS]

    log2_subsets = len(small) if core_ones is None else math.log2(math.comb(len(small), core_ones))
    log2_pairs = math.log2(max(len(offsets), 1)) + log2_subsets
    typical = float(np.exp(np.mean(np.log(spread * math.sqrt(math.pi / 2)))))
    expected = typical * 2.0 ** (-log2_pairs / problem.dimension)
    if problem.norm == "l2":
        expected *= math.sqrt(problem.dimension)
    radius = min(error, RADIUS_FACTOR * expected * 2.0 ** (6.0 / problem.dimension))
    (low, low_codes, low_sizes), (right, right_codes, right_sizes) = (
        _half_sums(vectors[rows], core_ones, len(small) - len(rows)) for rows in (left_rows, right_rows)
    )
    grid = build_grid(right, radius)
    sizes = None if core_ones is None else (low_sizes, added, right_sizes)
    met = 0
    with ThreadPoolExecutor(control.threads) as pool:
        for start in range(0, len(offsets), ROUND_SETTLEMENTS):
            if control.expired() or (control.eps is not None and error <= control.eps):
                break
            reach = min(radius, error)

            def run(index: int, reach: float = reach) -> tuple[float, npt.NDArray[np.int64], int]:
                ties = np.empty((1, 2), dtype=np.int64)
                found, number = scan(
                    grid, low, offsets, target, radius=reach, tie=0.0, span=(index, index + 1), ties=ties,
                    euclidean=problem.norm == "l2", sizes=sizes, wanted=core_ones or 0, control=control,
                )  # fmt: skip
                return found, ties[0], number

            for found, pair, number in pool.map(run, range(start, min(start + ROUND_SETTLEMENTS, len(offsets)))):
                met += 1
                if number and found < error:
                    codes = low_codes[pair[0] % len(low)], right_codes[pair[1]]
                    best = _selection(settlements[int(pair[0]) // len(low)], (left_rows, right_rows), codes)
                    error = problem.length(best @ vectors - target)
                    control.improved(error)
    return Incumbent(
        selected=best,
        stats={"table": table, "left": left, "settlements": met, **first.stats},
    )


def table_candidates(count: int, dimension: int, max_memory: float) -> int:
    """How many candidates the table of a core search is made of.

    Args:
        count: n, the number of candidates of the instance.
        dimension: D.
        max_memory: bytes that the table must fit.

    Returns:
        At most TABLE_CANDIDATES, and at most half of all candidates.
    """
    table = min(TABLE_CANDIDATES, count // 2)
    while table > 4 and grid_bytes(table, dimension) > 0.8 * max_memory:
        table -= 1
    return table


def _alternate(small: npt.NDArray[np.intp], table: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Split the core into a right half of ``table`` candidates and a left half, alternating by norm."""
    places = np.zeros(len(small), dtype=bool)
    places[np.linspace(0, len(small) - 1, table).round().astype(int)] = True
    for i in np.flatnonzero(~places)[: table - int(places.sum())]:
        places[i] = True
    return small[places], small[~places]


def _half_sums(
    vectors: FloatArray, core_ones: int | None, others: int
) -> tuple[FloatArray, npt.NDArray[np.int64], Sizes]:
    """(sums, codes, sizes) of the subsets of one half.

    With a fixed size these are only the subsets that can be part of ``core_ones`` ± 2 selected candidates, given that
    the other half has ``others`` candidates.
    """
    sums, sizes = subset_sums(vectors), popcounts(1 << len(vectors))
    codes = np.arange(len(sums))
    if core_ones is not None:
        codes = np.flatnonzero((sizes <= core_ones + 2) & (sizes >= core_ones - 2 - others))
        sums, sizes = sums[codes], sizes[codes]
    return sums, codes, sizes


def _core_ones(count: int, problem: Problem) -> int | None:
    """How many of the ``count`` smallest candidates to select when the size is fixed, and None when it is free.

    Half of the core has the most subsets. But the large candidates must be able to bring the sum near the target: about
    half of all selected candidates, and half of all others, are left to them (fewer when few candidates are large).
    """
    n, k = problem.size, problem.cardinality
    if k is None:
        return None
    part = max(0.5, count / n)
    return int(min(max(count / 2, count - part * (n - k)), part * k))


def _settle(
    problem: Problem,
    control: Control,
    small: npt.NDArray[np.intp],
    large: npt.NDArray[np.intp],
    density: float,
    spread: FloatArray,
    core_ones: int | None,
) -> tuple[list[tuple[BoolArray, int, int]], FloatArray, Sizes]:
    """The T selections of the large candidates whose residuals are nearest to the core's centre, nearest first.

    With a fixed size, the number that the core must select counts as one more coordinate of that distance.

    Returns:
        (T settlements, their sums (T, D), the numbers of selected candidates (T,) that their flips add). A settlement
        is (the selection before flips, the first flip or −1, the second flip or −1).
    """
    vectors = problem.vectors
    centre = density * vectors[small].sum(axis=0)
    if not len(large):
        empty = np.zeros(problem.size, dtype=bool)
        return [(empty, -1, -1)], np.zeros((1, problem.dimension)), np.zeros(1, dtype=np.int8)
    # relax brings the large candidates alone near target − centre.
    base = np.zeros(problem.size, dtype=bool)
    rest = None if problem.cardinality is None or core_ones is None else problem.cardinality - core_ones
    sub = Problem(vectors=vectors[large], target=problem.target - centre, norm=problem.norm, cardinality=rest)
    base[large] = solve_relax(sub, Control(seed=control.seed)).selected
    total = base @ vectors
    middle = large[:MIDDLE_CANDIDATES]
    sign = np.where(base[middle], -1, 1)
    change = sign[:, None] * vectors[middle]
    first, second = np.triu_indices(len(middle), 1)
    changes = np.concatenate([np.zeros((1, problem.dimension)), change, change[first] + change[second]])
    pairs = np.concatenate(
        [
            [[-1, -1]],
            np.column_stack([middle, np.full(len(middle), -1)]),
            np.column_stack([middle[first], middle[second]]),
        ]
    )
    sums = total + changes
    added = np.concatenate([[0], sign, sign[first] + sign[second]])
    distance = (((sums + centre - problem.target) / spread) ** 2).sum(axis=1)
    if core_ones is not None:
        distance += added**2 / (density * (1 - density) * len(small))
    nearest = np.argsort(distance, kind="stable")
    settlements = [(base, int(i), int(j)) for i, j in pairs[nearest]]
    return settlements, np.ascontiguousarray(sums[nearest]), added[nearest].astype(np.int8)


def _selection(
    settlement: tuple[BoolArray, int, int], halves: tuple[npt.NDArray[np.intp], ...], codes: tuple[np.int64, ...]
) -> BoolArray:
    """A settlement with its flips made, plus the candidates that the codes of both halves select."""
    chosen = settlement[0].copy()
    for flip in settlement[1:]:
        if flip >= 0:
            chosen[flip] = ~chosen[flip]
    for rows, code in zip(halves, codes, strict=True):
        chosen[rows] = (code >> np.arange(len(rows))) & 1 == 1
    return chosen
