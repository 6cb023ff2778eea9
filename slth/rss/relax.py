r"""relax — a vertex of the linear relaxation over a core of small candidates, rounded, then local search.

1. Sort the candidates by norm. The m = 4D smallest (6D with a time limit) are the core.
2. Approach z − ½·Σ core greedily with the other candidates, until the core can do the rest. Fractions of the core's
   candidates reach ½·Σ|⟨x_i, w⟩| from their centre in a unit direction w. The pursuit stops when the residual is half
   as long as that, in its own direction.
3. With :mod:`slth.rss.vertex`: start at a point of the box, walk until 9D/8 entries are fractional, all among the
   smallest candidates, and dive to 0/1.
4. Make 1- and 2-flips within the core, among the 2D candidates that promise most.

A pass takes about 40·D³ operations, nearly all in products of float32 matrices (measured: 9 to 13 times as long as two
float64 products of D × D matrices, for D = 576 to 4608).

With a fixed size k, the size is one more coordinate (a column of ones) of a core of m = 6(D + 1) candidates, the large
candidates are swapped instead of flipped, and so are those of the last step. When k or n − k is below 4(D + 1), or the
swaps end before the core can do the rest, a selection of ``pursuit`` is refined instead. The core is then the smallest
candidates that it selects and the smallest that it does not.

The measured error is about 0.35·D^{3/2}/n (root mean square over coordinates) for n NSN candidates, and the same with a
fixed size that is not small beside D. With a time limit the method restarts from other points of the box while a pass
fits the time that is left, and keeps the best selection. The first pass is never cut, because half of it is of no use.
"""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import numpy.typing as npt

from slth.arrays import BoolArray, FloatArray
from slth.rss.control import Control, Incumbent
from slth.rss.flips import improve_best
from slth.rss.problem import Problem
from slth.rss.pursuit import alternating_selection, exchange, pursue, pursue_once, smallest_candidates
from slth.rss.vertex import round_vertex

# Core size in units of D. 2 is often infeasible and 3 nearly always feasible; above 5 only the selection grows.
CORE_RATIO = 4
# The same with a time limit, where restarts find more in a wider core (D = 9, n = 1000, 3 s: error 0.0031, not 0.0074),
# and with a fixed size, where only swaps refine the rounded vertex.
WIDE_RATIO = 6
# The entry of the size coordinate, in units of the median norm. Values from 1 to 4 give similar errors.
SIZE_WEIGHT = 2.0
# The pursuit stops when ‖residual‖ is this fraction of the core's reach in that direction.
HANDOVER_FRACTION = 0.5
# Flips that share one reading of X gain at least this fraction of the best one. At D = 576 this takes a tenth of the
# time and no more flips.
GAIN_SHARE = 0.5
# A restart may end so many seconds after the time limit.
OVERTIME_SECONDS = 0.2
# When there are many large candidates, the pursuit looks at DENSE_RATIO·D of the smallest and at MIN_SPARSE others or
# more.
DENSE_RATIO = 16
MIN_SPARSE = 2048

Indices = npt.NDArray[np.intp]


def solve_relax(problem: Problem, control: Control) -> Incumbent:
    """Solve by the method of this module: a rounded vertex of the relaxation, improved by flips.

    Args:
        problem: the instance.
        control: its limits. Without a time limit there is one pass and no restart.

    Returns:
        The best selection found; nothing is proved.
    """
    vectors = problem.vectors
    norms = np.einsum("nd,nd->n", vectors, vectors)
    choose_start = _free_start if problem.cardinality is None else _sized_start
    start, small, core, best, flips = choose_start(problem, norms, control)
    core_ones = None if problem.cardinality is None else int(start[small].sum())
    start[small] = False
    goal = problem.target - start @ vectors
    best_error = np.inf
    if best is not None:
        best_error = problem.length(problem.target - best @ vectors)
        control.improved(best_error)

    restarts = 0
    # With one thread the work stays in the calling thread, so that a worker of a batch starts no other threads.
    with ThreadPoolExecutor(control.threads) if control.threads > 1 else nullcontext() as pool:
        parallel_map = map if pool is None else pool.map
        # Restart r depends on (seed, r) alone. More threads make more restarts in the same time; nothing else changes.
        generators: list[np.random.Generator | None] = [None]
        while len(core):
            began = time.monotonic()
            for chosen in parallel_map(lambda rng: _select_from_core(core, goal, rng, core_ones), generators):
                restarts += 1
                error = problem.length(goal - chosen @ core)
                if error < best_error:
                    best, best_error = start.copy(), error
                    best[small] = chosen
                    control.improved(error)
            if control.deadline is None or control.expired() or best_error <= (control.eps or 0.0):
                break
            if 2 * time.monotonic() - began > control.deadline + OVERTIME_SECONDS:
                break  # another pass would take as long
            generators = [np.random.default_rng([control.seed, restarts + i]) for i in range(control.threads)]
    stats = {"flips": flips, "core": len(core), "restarts": restarts}
    return Incumbent(selected=start if best is None else best, stats=stats)


def _free_start(
    problem: Problem, norms: FloatArray, control: Control
) -> tuple[BoolArray, Indices, FloatArray, None, int]:
    """(the selection of the large candidates, the core's places, the core, no incumbent, the number of flips).

    The core is sorted by decreasing norm.
    """
    order = np.argsort(norms, kind="stable")
    order = order[norms[order] > 0]  # zero vectors change nothing and are never selected
    count = (CORE_RATIO if control.deadline is None else WIDE_RATIO) * problem.dimension
    small = order[:count][::-1]
    core = problem.vectors[small]
    start, flips, _ = _approach(problem, norms, order, core, np.zeros(problem.size, dtype=bool), control)
    return start, small, core, None, flips


def _sized_start(
    problem: Problem, norms: FloatArray, control: Control
) -> tuple[BoolArray, Indices, FloatArray, BoolArray | None, int]:
    """(a selection of the right size, the core's places, the core, the incumbent if there is one, swaps or flips)."""
    size, count = problem.cardinality or 0, WIDE_RATIO * (problem.dimension + 1)
    order = np.argsort(norms, kind="stable")
    if 3 * min(size, problem.size - size) >= 2 * count:
        small = order[:count][::-1]
        core = problem.vectors[small]
        start, swaps, near = _approach(problem, norms, order, core, alternating_selection(order, size), control)
        if near:
            return start, small, core, None, swaps
    # k or n − k is small, or only few selections come near the target.
    first = pursue_once(problem, control)
    small = smallest_candidates(norms, first.selected, count, fixed_size=True)
    small = small[np.argsort(-norms[small], kind="stable")]
    return first.selected.copy(), small, problem.vectors[small], first.selected, first.stats["flips"]


def _approach(
    problem: Problem, norms: FloatArray, order: Indices, core: FloatArray, start: BoolArray, control: Control
) -> tuple[BoolArray, int, bool]:
    """Change the selection of the large candidates until those of the core, the smallest, can reach the rest.

    Returns:
        (the selection, the number of flips or swaps, whether the small candidates can reach the rest).
    """
    vectors, selected, large = problem.vectors, start.copy(), order[len(core) :]
    outside = start.copy()
    outside[order[: len(core)]] = False
    residual = problem.target - 0.5 * core.sum(axis=0)
    if outside.any():
        residual -= outside @ vectors
    energy, flips = float(residual @ residual), 0
    reach = float(np.abs(core @ residual).sum()) / 2
    if not len(large) or energy <= HANDOVER_FRACTION * reach:
        return selected, flips, True
    # The reach in the first direction stands for all, because the core is nearly isotropic.
    stop = HANDOVER_FRACTION * reach / np.sqrt(energy)
    # A step reads all of its candidates, so most steps are made on a sample of them.
    for sample in (large[thin(len(large), DENSE_RATIO * problem.dimension)], large):
        rows = np.sort(sample)
        if problem.cardinality is None:
            rows = rows[~selected[rows]]
            chosen, residual, more = pursue(
                vectors[rows], residual, norms[rows], control=control, stop=stop, gain_share=GAIN_SHARE
            )
        else:
            own = selected[rows]
            chosen, residual, more = exchange(vectors[rows], residual, own, norms[rows], control=control, stop=stop)
        selected[rows] = chosen
        flips += more
        if residual @ residual <= stop * stop or len(sample) == len(large):
            break
    return selected, flips, bool(residual @ residual <= stop * stop)


def thin(count: int, dense: int) -> Indices:
    """A sample of candidates that serves a pursuit about as well as all of them.

    The error that a pursuit reaches depends on how many candidates there are of about that size, so all small ones are
    kept. Of the large ones, ``dense`` for every factor e in rank are enough (and at least MIN_SPARSE in all).

    Args:
        count: number of candidates, sorted by increasing norm.
        dense: how many of the smallest are all kept.

    Returns:
        intp, the places of the sample, ascending.
    """
    if count <= dense + MIN_SPARSE:
        return np.arange(count)
    others = np.geomspace(dense, count - 1, thinned_size(count, dense) - dense).astype(np.intp)
    return np.unique(np.concatenate([np.arange(dense), others]))


def thinned_size(count: float, dense: int) -> int:
    """A bound on the number of places that :func:`thin` returns.

    Args:
        count: number of candidates.
        dense: how many of the smallest are all kept.

    Returns:
        The bound.
    """
    if count <= dense + MIN_SPARSE:
        return int(count)
    return dense + max(MIN_SPARSE, int(dense * math.log(count / dense)))


def _select_from_core(
    core: FloatArray, goal: FloatArray, rng: np.random.Generator | None, core_ones: int | None
) -> BoolArray:
    """A selection of the core whose sum is near ``goal``, with ``core_ones`` ones if that is not None.

    It starts at the centre of the box, or with ``rng`` at a random point.
    """
    rows, aim = core, goal
    if core_ones is not None:  # the size is one more coordinate
        weight = SIZE_WEIGHT * float(np.sqrt(np.median(np.einsum("nd,nd->n", core, core)))) or 1.0
        rows, aim = np.column_stack([core, np.full(len(core), weight)]), np.append(goal, weight * core_ones)
    middle = 0.5 if core_ones is None else core_ones / len(core)
    x = np.full(len(core), middle)
    if rng is not None:
        x = np.minimum(x * rng.uniform(0.5, 1.5, len(core)), 1.0)
    residual = round_vertex(rows, aim, x)[: len(goal)]
    chosen = x > 0.5
    if core_ones is not None:
        chosen, residual = _resize(core, np.ascontiguousarray(residual), chosen, core_ones)
    return improve_best(core, residual, chosen, swaps_only=core_ones is not None)


def _resize(core: FloatArray, residual: FloatArray, chosen: BoolArray, size: int) -> tuple[BoolArray, FloatArray]:
    """Make the best flips, one at a time, until ``size`` candidates are chosen: rounding may have missed it."""
    chosen, norms = chosen.copy(), np.einsum("nd,nd->n", core, core)
    while (count := int(chosen.sum())) != size:
        sign = 1.0 if count < size else -1.0
        gain = np.where(chosen == (sign < 0), 2.0 * sign * (core @ residual) - norms, -np.inf)
        best = int(gain.argmax())
        chosen[best] = ~chosen[best]
        residual = residual - sign * core[best]
    return chosen, residual
