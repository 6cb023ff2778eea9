r"""core — all subsets of a small-norm core, met in the middle, for D up to about 12.

The m = a + b smallest candidates have 2^m subset sums, packed around their centre with standard deviation
σ_d = ½·(Σ x_d²)^{1/2} in each coordinate. The large candidates bring the target near that centre in many ways (T
settlements: a pursuit, and all its single and double flips of middle-sized candidates). Every settlement is met
with all 2^m sums: 2^a·T look-ups into a grid of 2^b sums (:mod:`slth.rss.meet`). The best error to expect is where

.. math:: 2^m \, T \prod_d \frac{2ε}{σ_d \sqrt{2π}} = 1

so time buys T, and T buys T^{1/D}. It stops when ``time_limit`` has passed, eps is reached, or the settlements are used
up (:data:`DEFAULT_SETTLEMENTS` of them without a time limit).
"""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from slth.rss.control import Control, Outcome
from slth.rss.meet import build_grid, grid_bytes, scan, subset_sums
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


def solve_core(problem: Problem, control: Control) -> Outcome:
    """The core method; see the module's docstring."""
    problem.refuse_fixed_size("core")
    first = solve_relax(problem, replace(control, deadline=None))
    vectors, target = problem.vectors, problem.target
    best = first.selected
    error = problem.length(best @ vectors - target)
    order = np.argsort(np.einsum("nd,nd->n", vectors, vectors), kind="stable")
    hurried = control.deadline is None or control.deadline - time.monotonic() < HURRY
    table = min(TABLE - 3 if hurried else TABLE, len(order) // 2)
    while table > 4 and grid_bytes(table, problem.dimension) > 0.8 * control.max_memory:
        table -= 1
    left = min(LEFT - 3 if hurried else LEFT, len(order) - table)
    # Small and less small candidates alternate between the halves, so that both have the same spread.
    small = order[: table + left]
    right_rows, left_rows = _deal(small, table)
    spread = 0.5 * np.sqrt((vectors[small] ** 2).sum(axis=0)) + 1e-300
    settlements, offsets = _settle(problem, control, small, order[table + left :], spread)

    if control.deadline is None:
        offsets = offsets[:DEFAULT_SETTLEMENTS]

    pairs = len(small) + math.log2(max(len(offsets), 1))
    expected = float(np.exp(np.mean(np.log(spread * math.sqrt(math.pi / 2))))) * 2.0 ** (-pairs / problem.dimension)
    if problem.norm == "l2":
        expected *= math.sqrt(problem.dimension)
    radius = min(error, SLACK * expected * 2.0 ** (6.0 / problem.dimension))
    grid = build_grid(subset_sums(vectors[right_rows]), radius)
    low = subset_sums(vectors[left_rows])
    met = 0
    with ThreadPoolExecutor(control.threads) as pool:
        for start in range(0, len(offsets), ROUND):
            if control.expired() or (control.eps is not None and error <= control.eps):
                break
            reach = min(radius, error)

            def run(index: int, reach: float = reach) -> tuple[float, npt.NDArray[np.int64], int]:
                ties = np.empty((1, 2), dtype=np.int64)
                found, number = scan(
                    grid,
                    low,
                    offsets,
                    target,
                    radius=reach,
                    tie=0.0,
                    span=(index, index + 1),
                    cardinality=-1,
                    ties=ties,
                    euclidean=problem.norm == "l2",
                )
                return found, ties[0], number

            for found, pair, number in pool.map(run, range(start, min(start + ROUND, len(offsets)))):
                met += 1
                if number and found < error:
                    best = _selection(problem, settlements, pair, left_rows, right_rows)
                    error = problem.length(best @ vectors - target)
                    control.improved(error)
    return Outcome(
        selected=best,
        stats={"table": table, "left": left, "settlements": met, **first.stats},
    )


def _deal(small: npt.NDArray[np.intp], table: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """``table`` of the candidates for the right half, the rest for the left, alternating by norm."""
    places = np.zeros(len(small), dtype=bool)
    places[np.linspace(0, len(small) - 1, table).round().astype(int)] = True
    for i in np.flatnonzero(~places)[: table - int(places.sum())]:
        places[i] = True
    return small[places], small[~places]


def _settle(
    problem: Problem, control: Control, small: npt.NDArray[np.intp], large: npt.NDArray[np.intp], spread: FloatArray
) -> tuple[list[tuple[BoolArray, int, int]], FloatArray]:
    """Selections of the large candidates that leave a residual near the core's centre, nearest first.

    Returns:
        (selection before flips, first flip or −1, second flip or −1) each, and their sums (T, D).
    """
    vectors = problem.vectors
    centre = 0.5 * vectors[small].sum(axis=0)
    if not len(large):
        empty = np.zeros(problem.size, dtype=bool)
        return [(empty, -1, -1)], np.zeros((1, problem.dimension))
    # The large candidates settle on target − centre: relax on them alone.
    base = np.zeros(problem.size, dtype=bool)
    sub = Problem(vectors=vectors[large], target=problem.target - centre, norm=problem.norm)
    base[large] = solve_relax(sub, Control(seed=control.seed)).selected
    total = base @ vectors
    middle = large[:MIDDLE]
    change = np.where(base[middle], -1.0, 1.0)[:, None] * vectors[middle]
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
    distance = (((sums + centre - problem.target) / spread) ** 2).sum(axis=1)
    nearest = np.argsort(distance, kind="stable")
    return [(base, int(i), int(j)) for i, j in pairs[nearest]], np.ascontiguousarray(sums[nearest])


def _selection(
    problem: Problem,
    settlements: list[tuple[BoolArray, int, int]],
    pair: npt.NDArray[np.int64],
    left_rows: npt.NDArray[np.intp],
    right_rows: npt.NDArray[np.intp],
) -> BoolArray:
    """The selection that a (left code, right code) pair of the scan stands for."""
    size = 1 << len(left_rows)
    base, first, second = settlements[int(pair[0]) // size]
    chosen = base.copy()
    for flip in (first, second):
        if flip >= 0:
            chosen[flip] = ~chosen[flip]
    for rows, code in ((left_rows, int(pair[0]) % size), (right_rows, int(pair[1]))):
        chosen[rows] = (code >> np.arange(len(rows))) & 1 == 1
    return chosen
