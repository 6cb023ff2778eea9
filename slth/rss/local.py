r"""local — 1- to 4-flips that reduce the error itself (L∞ or L2), from the best start that ``relax`` finds.

Each round splits the M smallest candidates into two halves at random. A change is the sum that up to two flips within
one half add. A move of up to four flips is one change from each half. The best move is the pair of changes whose sum is
nearest to the residual. It is found by a meet in the middle: a round covers (M²/8)² pairs through the grid of
:mod:`slth.rss.meet`, and rejects most of them after a coordinate or two. With a fixed size only pairs that keep it
count: one or two swaps. Half of the time limit goes to restarts of ``relax``, the rest to these rounds.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from slth.arrays import BoolArray, FloatArray
from slth.rss.control import Control, Incumbent
from slth.rss.meet import Sizes, build_grid, scan
from slth.rss.problem import Problem
from slth.rss.pursuit import smallest_candidates
from slth.rss.relax import solve_relax

# M: only the smallest candidates can change the sum by about as little as the residual.
POOL_SIZE = 160
# The scan of a round is shared out in this many parts, so that the move does not depend on the number of threads.
SCAN_PARTS = 8
# Without a time limit the search stops after this many rounds in a row without an improvement.
MAX_IDLE_ROUNDS = 8

# (changes (m, D), the places that are flipped (m, 2) with −1 for none, the sizes that they add (m,))
Changes = tuple[FloatArray, npt.NDArray[np.int64], Sizes]


def solve_local(problem: Problem, control: Control) -> Incumbent:
    """Solve by the method of this module: 1- to 4-flips from the best start of ``relax``.

    Args:
        problem: the instance.
        control: its limits.

    Returns:
        The best selection found; nothing is proved.
    """
    halfway = None
    if control.deadline is not None:
        halfway = time.monotonic() + 0.5 * (control.deadline - time.monotonic())
    start = solve_relax(problem, replace(control, deadline=halfway))
    selected, moves = polish(problem, start.selected, control)
    return Incumbent(selected=selected, stats={**start.stats, "moves": moves})


def polish(problem: Problem, selected: BoolArray, control: Control) -> tuple[BoolArray, int]:
    """Apply the best 1- to 4-flips until time is up, or without a time limit until none is found any more.

    Args:
        problem: the instance; its norm is the one that is reduced.
        selected: bool (n,), the first selection. It is not changed.
        control: the limits of the search.

    Returns:
        (the selection reached, the number of moves).
    """
    vectors, fixed_size = problem.vectors, problem.cardinality is not None
    norms = np.einsum("nd,nd->n", vectors, vectors)
    pool = smallest_candidates(norms, selected, POOL_SIZE, fixed_size=fixed_size)
    pool = pool if fixed_size else pool[norms[pool] > 0]
    rng = np.random.default_rng([control.seed, 11])
    selected = selected.copy()
    moves = idle = 0
    while len(pool) > 1 and not control.expired() and (control.deadline is not None or idle < MAX_IDLE_ROUNDS):
        residual = problem.target - selected @ vectors
        error = problem.length(residual)
        if error <= (control.eps or 0.0):
            break
        order = rng.permutation(pool)
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        changes = [_changes(vectors[half], selected[half]) for half in halves]
        found, codes = _best_pair(changes[0], changes[1], residual, error, control, problem)
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
    left: Changes, right: Changes, residual: FloatArray, error: float, control: Control, problem: Problem
) -> tuple[float, npt.NDArray[np.int64] | None]:
    """The pair of changes, one of each half, whose sum is nearest to the residual.

    Returns:
        (the error after it, the indices of both changes, or None if none is nearer than ``error``).
    """
    grid = build_grid(right[0], error)
    zero = np.zeros((1, len(residual)))

    def run(start: int) -> tuple[float, npt.NDArray[np.int64] | None]:
        ties = np.empty((1, 2), dtype=np.int64)
        sizes = left[2][start::SCAN_PARTS], np.zeros(1, dtype=np.int8), right[2]
        found, number = scan(
            grid, left[0][start::SCAN_PARTS], zero, residual, radius=error, tie=0.0, span=(0, 1), ties=ties,
            euclidean=problem.norm == "l2", sizes=None if problem.cardinality is None else sizes,
            control=control,
        )  # fmt: skip
        return found, np.array([start + SCAN_PARTS * ties[0, 0], ties[0, 1]]) if number else None

    with ThreadPoolExecutor(control.threads) as pool:
        return min(pool.map(run, range(SCAN_PARTS)), key=lambda result: result[0])


def _changes(vectors: FloatArray, selected: BoolArray) -> Changes:
    """The changes that no flip, one flip and two flips make."""
    sign = np.where(selected, -1, 1)
    single = sign[:, None] * vectors
    first, second = np.triu_indices(len(vectors), 1)
    changes = np.concatenate([np.zeros((1, vectors.shape[1])), single, single[first] + single[second]])
    alone = np.full(len(vectors), -1)
    members = np.concatenate(
        [[[-1, -1]], np.column_stack([np.arange(len(vectors)), alone]), np.column_stack([first, second])]
    )
    return changes, members, np.concatenate([[0], sign, sign[first] + sign[second]]).astype(np.int8)
