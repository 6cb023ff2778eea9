r"""local — 1- to 4-flips that shrink the error itself (L∞, or L2), from the best start that ``relax`` finds.

The changes of up to two flips among M/2 candidates are pairs δ; a move of up to four flips is one such change from
each of two disjoint halves, chosen at random. The best move is the pair of changes nearest to the residual,
met in the middle: (M²/8)² combinations a round through the grid of :mod:`slth.rss.meet`, most of them rejected after
a coordinate or two. With a fixed size only pairs count that leave it as it is: one or two swaps, wherever their
halves lie. Half of the time limit goes to restarts of ``relax``, the rest to rounds.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from slth.rss.control import Control, Incumbent
from slth.rss.meet import Sizes, build_grid, scan
from slth.rss.problem import BoolArray, FloatArray, Problem
from slth.rss.pursuit import smallest
from slth.rss.relax import solve_relax

# Candidates considered, the smallest: only changes about as small as the residual help.
POOL = 160
# Parts of a round: fixed, so that the move does not depend on the number of threads.
PARTS = 8
# Without a time limit: rounds in a row without an improvement after which it stops.
PATIENCE = 8

Changes = tuple[FloatArray, npt.NDArray[np.int64], Sizes]


def solve_local(problem: Problem, control: Control) -> Incumbent:
    """The local method; see the module's docstring."""
    half = None
    if control.deadline is not None:
        half = time.monotonic() + 0.5 * (control.deadline - time.monotonic())
    start = solve_relax(problem, replace(control, deadline=half))
    selected, moves = polish(problem, start.selected, control)
    return Incumbent(selected=selected, stats={**start.stats, "moves": moves})


def polish(problem: Problem, selected: BoolArray, control: Control) -> tuple[BoolArray, int]:
    """Apply best 1- to 4-flips in L∞ until time is up, or ``PATIENCE`` rounds find none: (selection, moves made)."""
    vectors, sized = problem.vectors, problem.cardinality is not None
    norms = np.einsum("nd,nd->n", vectors, vectors)
    pool = smallest(norms, selected, POOL, sized=sized)
    pool = pool if sized else pool[norms[pool] > 0]
    rng = np.random.default_rng([control.seed, 11])
    selected = selected.copy()
    moves = idle = 0
    while len(pool) > 1 and not control.expired() and (control.deadline is not None or idle < PATIENCE):
        residual = problem.target - selected @ vectors
        error = problem.length(residual)
        if error <= (control.eps or 0.0):
            break
        order = rng.permutation(pool)
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        changes = [_changes(vectors[half], selected[half]) for half in halves]
        found, codes = _best_pair(changes[0], changes[1], residual, error, control.threads, problem)
        if codes is not None and found < error * (1 - 1e-9):
            for half, (_, members, _), code in zip(halves, changes, codes, strict=True):
                flips = members[int(code)]
                flips = half[flips[flips >= 0]]
                selected[flips] = ~selected[flips]
            moves, idle = moves + 1, 0
            control.improved(found)
        else:
            idle += 1
    return selected, moves


def _best_pair(
    left: Changes, right: Changes, residual: FloatArray, error: float, threads: int, problem: Problem
) -> tuple[float, npt.NDArray[np.int64] | None]:
    """The change of each half whose sum is nearest to the residual, if nearer than ``error``: (error, codes)."""
    grid = build_grid(right[0], error)
    zero = np.zeros((1, len(residual)))

    def run(start: int) -> tuple[float, npt.NDArray[np.int64] | None]:
        ties = np.empty((1, 2), dtype=np.int64)
        sizes = left[2][start::PARTS], np.zeros(1, dtype=np.int8), right[2]
        found, number = scan(
            grid, left[0][start::PARTS], zero, residual, radius=error, tie=0.0, span=(0, 1), ties=ties,
            euclidean=problem.norm == "l2", sizes=None if problem.cardinality is None else sizes,
        )  # fmt: skip
        return found, np.array([start + PARTS * ties[0, 0], ties[0, 1]]) if number else None

    with ThreadPoolExecutor(threads) as pool:
        return min(pool.map(run, range(PARTS)), key=lambda result: result[0])


def _changes(vectors: FloatArray, selected: BoolArray) -> Changes:
    """Sums changed by no, one and two flips: (changes (m, D), flipped places (m, 2), −1 for none, added sizes (m,))."""
    sign = np.where(selected, -1, 1)
    single = sign[:, None] * vectors
    first, second = np.triu_indices(len(vectors), 1)
    changes = np.concatenate([np.zeros((1, vectors.shape[1])), single, single[first] + single[second]])
    alone = np.full(len(vectors), -1)
    members = np.concatenate(
        [[[-1, -1]], np.column_stack([np.arange(len(vectors)), alone]), np.column_stack([first, second])]
    )
    return changes, members, np.concatenate([[0], sign, sign[first] + sign[second]]).astype(np.int8)
