r"""core — all subsets of a small-norm core, met in the middle, for D up to about 8.

The m = a + b smallest candidates have 2^m subset sums, packed around their centre with standard deviation
σ_d = ½·(Σ x_d²)^{1/2} in each coordinate. The large candidates bring the target near that centre in many ways (T
settlements: a pursuit, and all its single and double flips of middle-sized candidates). Every settlement is met
with all 2^m sums: 2^a·T look-ups into a grid of 2^b sums (:mod:`slth.rss.meet`). The best error to expect is where

.. math:: 2^m \, T \prod_d \frac{2ε}{σ_d \sqrt{2π}} = 1

so time buys T, and T buys T^{1/D}. It stops when ``time_limit`` has passed, eps is reached, or the settlements are used
up (:data:`DEFAULT_SETTLEMENTS` of them without a time limit). With a fixed size the settlements say how many the core
is to select, about half of its own, and only subsets of that size meet them: C(m, m/2) instead of 2^m.
"""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from slth.rss.control import Control, Incumbent
from slth.rss.meet import Sizes, build_grid, grid_bytes, popcounts, scan, subset_sums
from slth.rss.problem import BoolArray, FloatArray, Problem
from slth.rss.relax import solve_relax

# Table of 2^TABLE sums: it should stay near the cache, and a larger one makes every look-up slower.
TABLE = 20
# Left sums of one settlement: 2^LEFT look-ups. More settlements or more left sums are worth the same.
LEFT = 18
# Middle-sized candidates whose flips make settlements.
MIDDLE = 256
# Below this many seconds an eighth of the table is built: making it must not take the time of using it.
HURRY = 4.0
# Settlements a round: what a round searches does not depend on the number of threads.
ROUND = 8
# Settlements without a time limit: a number and not a time, so that the result does not depend on the machine.
DEFAULT_SETTLEMENTS = 256
# The relative size of box that is searched: the first guess of the final error is that good.
SLACK = 1.5


def solve_core(problem: Problem, control: Control) -> Incumbent:
    """The core method; see the module's docstring."""
    first = solve_relax(problem, replace(control, deadline=None))
    vectors, target = problem.vectors, problem.target
    best = first.selected
    error = problem.length(best @ vectors - target)
    order = np.argsort(np.einsum("nd,nd->n", vectors, vectors), kind="stable")
    hurried = control.deadline is None or control.deadline - time.monotonic() < HURRY
    table = table_size(problem.size, problem.dimension, control.max_memory)
    table = min(table, TABLE - 3) if hurried else table
    left = min(LEFT - 3 if hurried else LEFT, len(order) - table)
    # Small and less small candidates alternate between the halves, so that both have the same spread.
    small = order[: table + left]
    right_rows, left_rows = _deal(small, table)
    share = _share(len(small), problem)
    # The part of the core that is selected; kept off 0 and 1, where a spread would vanish.
    density = 0.5 if share is None else min(max(share, 0.5), len(small) - 0.5) / len(small)
    spread = math.sqrt(density * (1 - density)) * np.sqrt((vectors[small] ** 2).sum(axis=0)) + 1e-300
    settlements, offsets, added = _settle(problem, control, small, order[table + left :], density, spread, share)

    if control.deadline is None:
        offsets = offsets[:DEFAULT_SETTLEMENTS]

    pairs = math.log2(max(len(offsets), 1)) + (len(small) if share is None else math.log2(math.comb(len(small), share)))
    expected = float(np.exp(np.mean(np.log(spread * math.sqrt(math.pi / 2))))) * 2.0 ** (-pairs / problem.dimension)
    if problem.norm == "l2":
        expected *= math.sqrt(problem.dimension)
    radius = min(error, SLACK * expected * 2.0 ** (6.0 / problem.dimension))
    (low, low_codes, low_sizes), (right, right_codes, right_sizes) = (
        _sums(vectors[rows], share, len(small) - len(rows)) for rows in (left_rows, right_rows)
    )
    grid = build_grid(right, radius)
    sizes = None if share is None else (low_sizes, added, right_sizes)
    met = 0
    with ThreadPoolExecutor(control.threads) as pool:
        for start in range(0, len(offsets), ROUND):
            if control.expired() or (control.eps is not None and error <= control.eps):
                break
            reach = min(radius, error)

            def run(index: int, reach: float = reach) -> tuple[float, npt.NDArray[np.int64], int]:
                ties = np.empty((1, 2), dtype=np.int64)
                found, number = scan(
                    grid, low, offsets, target, radius=reach, tie=0.0, span=(index, index + 1), ties=ties,
                    euclidean=problem.norm == "l2", sizes=sizes, wanted=share or 0,
                )  # fmt: skip
                return found, ties[0], number

            for found, pair, number in pool.map(run, range(start, min(start + ROUND, len(offsets)))):
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


def table_size(count: int, dimension: int, max_memory: float) -> int:
    """How many candidates the table is made of: up to TABLE, of at most half of all, that fit ``max_memory``."""
    table = min(TABLE, count // 2)
    while table > 4 and grid_bytes(table, dimension) > 0.8 * max_memory:
        table -= 1
    return table


def _deal(small: npt.NDArray[np.intp], table: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """``table`` of the candidates for the right half, the rest for the left, alternating by norm."""
    places = np.zeros(len(small), dtype=bool)
    places[np.linspace(0, len(small) - 1, table).round().astype(int)] = True
    for i in np.flatnonzero(~places)[: table - int(places.sum())]:
        places[i] = True
    return small[places], small[~places]


def _sums(vectors: FloatArray, share: int | None, others: int) -> tuple[FloatArray, npt.NDArray[np.int64], Sizes]:
    """(sums, codes, sizes) of one half's subsets; only of those that ``share``, give or take 2, leaves possible."""
    sums, sizes = subset_sums(vectors), popcounts(1 << len(vectors))
    codes = np.arange(len(sums))
    if share is not None:
        codes = np.flatnonzero((sizes <= share + 2) & (sizes >= share - 2 - others))
        sums, sizes = sums[codes], sizes[codes]
    return sums, codes, sizes


def _share(count: int, problem: Problem) -> int | None:
    """How many of the ``count`` smallest candidates to select when the size is fixed.

    Half of them, where there are most selections; but half of what is selected, and half of what is not, is left to
    the large candidates (less when there are few of those), which bring the sum near the target.
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
    share: int | None,
) -> tuple[list[tuple[BoolArray, int, int]], FloatArray, Sizes]:
    """Selections of the large candidates that leave a residual near the core's centre, nearest first.

    With a fixed size the number that the core must select is one more coordinate of "near".

    Returns:
        (selection before flips, first flip or −1, second flip or −1) each, their sums (T, D), and the sizes (T,) that
        the flips add.
    """
    vectors = problem.vectors
    centre = density * vectors[small].sum(axis=0)
    if not len(large):
        empty = np.zeros(problem.size, dtype=bool)
        return [(empty, -1, -1)], np.zeros((1, problem.dimension)), np.zeros(1, dtype=np.int8)
    # The large candidates settle on target − centre: relax on them alone.
    base = np.zeros(problem.size, dtype=bool)
    rest = None if problem.cardinality is None or share is None else problem.cardinality - share
    sub = Problem(vectors=vectors[large], target=problem.target - centre, norm=problem.norm, cardinality=rest)
    base[large] = solve_relax(sub, Control(seed=control.seed)).selected
    total = base @ vectors
    middle = large[:MIDDLE]
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
    if share is not None:
        distance += added**2 / (density * (1 - density) * len(small))
    nearest = np.argsort(distance, kind="stable")
    settlements = [(base, int(i), int(j)) for i, j in pairs[nearest]]
    return settlements, np.ascontiguousarray(sums[nearest]), added[nearest].astype(np.int8)


def _selection(
    settlement: tuple[BoolArray, int, int], halves: tuple[npt.NDArray[np.intp], ...], codes: tuple[np.int64, ...]
) -> BoolArray:
    """A settlement with its flips, and the candidates of both halves that the bits of the codes stand for."""
    chosen = settlement[0].copy()
    for flip in settlement[1:]:
        if flip >= 0:
            chosen[flip] = ~chosen[flip]
    for rows, code in zip(halves, codes, strict=True):
        chosen[rows] = (code >> np.arange(len(rows))) & 1 == 1
    return chosen
