r"""relax — a vertex of the relaxation on the small-norm core, rounded, then local search.

1. Sort the candidates by norm. The m = 4D smallest (6D with a time limit) are the core.
2. Pursue z − ½·Σ core with the others, greedily, only until the core can take over: the core's zonotope reaches
   ½·Σ|⟨x_i, w⟩| in direction w, and half of that in the direction of the residual is enough.
3. :mod:`slth.rss.vertex`: a point of the box, a walk to a vertex with at most D fractional entries among the
   smallest candidates, a dive to 0/1.
4. 1- and 2-flips on the core.

With a fixed size k the size is one more coordinate (a column of ones) of a core of m = 6(D + 1), the large candidates
are exchanged instead of added, and the last step swaps. When k or n − k is below 4(D + 1), or the exchange ends before
the core can take over, a selection of ``pursuit`` is refined instead: the core is the smallest it keeps and leaves out.

The error is about 0.35·D^{3/2}/n (root mean square over coordinates) for n NSN candidates, measured, and the same with
a fixed size that is not small beside D. With a time limit it restarts from other points of the box and keeps the best.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from slth.rss import vertex
from slth.rss.control import Control, Incumbent
from slth.rss.local import improve
from slth.rss.problem import BoolArray, FloatArray, Problem
from slth.rss.pursuit import exchange, pursue, pursue_once, smallest, spread

# Core size in units of D. 2 is often infeasible, 3 nearly always feasible, above 5 the selection only grows.
CORE_RATIO = 4
# The same with a time limit, where restarts find more in a wider core (D = 9, n = 1000, 3 s: error 0.0031, not 0.0074),
# and with a fixed size, where only swaps refine the rounded vertex.
WIDE_RATIO = 6
# What a candidate weighs in the size coordinate, in median norms; 1 to 4 are alike.
SIZE_WEIGHT = 2.0
# Stop pursuing when ‖residual‖ is this fraction of the core's reach in that direction.
HANDOVER = 0.5
# Flips of one reading of X gain at least this share of the best one: at D = 576 a tenth of the time, as many flips.
SHARE = 0.5
# Of many large candidates the pursuit looks at this many times D of the smallest, and at least this many others.
DENSE_RATIO = 16
SPARSE = 2048

Indices = npt.NDArray[np.intp]


def solve_relax(problem: Problem, control: Control) -> Incumbent:
    """The relax method; see the module's docstring."""
    vectors = problem.vectors
    norms = np.einsum("nd,nd->n", vectors, vectors)
    start, small, best, flips = (_free_start if problem.cardinality is None else _sized_start)(problem, norms, control)
    small = small[np.argsort(-norms[small], kind="stable")]
    core = np.ascontiguousarray(vectors[small])
    part = None if problem.cardinality is None else int(start[small].sum())
    start[small] = False
    goal = problem.target - start @ vectors
    best_error = np.inf
    if best is not None:
        best_error = problem.length(problem.target - best @ vectors)
        control.improved(best_error)

    restarts = 0
    # One thread is the calling one: a worker of a batch starts no threads of its own.
    with ThreadPoolExecutor(control.threads) as pool:
        spread_over = map if control.threads == 1 else pool.map
        # Restart r is a function of (seed, r): with more threads more of them fit the time, nothing else changes.
        generators: list[np.random.Generator | None] = [None]
        while len(core):
            for chosen in spread_over(lambda rng: _round(core, goal, rng, part), generators):
                restarts += 1
                error = problem.length(goal - chosen @ core)
                if error < best_error:
                    best, best_error = start.copy(), error
                    best[small] = chosen
                    control.improved(error)
            if control.deadline is None or control.expired() or best_error <= (control.eps or 0.0):
                break
            generators = [np.random.default_rng([control.seed, restarts + i]) for i in range(control.threads)]
    stats = {"flips": flips, "core": len(core), "restarts": restarts}
    return Incumbent(selected=start if best is None else best, stats=stats)


def _free_start(problem: Problem, norms: FloatArray, control: Control) -> tuple[BoolArray, Indices, None, int]:
    """(selection of the large candidates, the core, no incumbent, flips)."""
    order = np.argsort(norms, kind="stable")
    order = order[norms[order] > 0]  # a zero vector changes nothing: never select one
    count = (CORE_RATIO if control.deadline is None else WIDE_RATIO) * problem.dimension
    start, flips, _ = _approach(problem, norms, order, count, np.zeros(problem.size, dtype=bool), control)
    return start, order[:count], None, flips


def _sized_start(
    problem: Problem, norms: FloatArray, control: Control
) -> tuple[BoolArray, Indices, BoolArray | None, int]:
    """(selection of the right size, the core, incumbent if there is one, swaps)."""
    size, count = problem.cardinality or 0, WIDE_RATIO * (problem.dimension + 1)
    order = np.argsort(norms, kind="stable")
    if 3 * min(size, problem.size - size) >= 2 * count:
        start, swaps, near = _approach(problem, norms, order, count, spread(order, size), control)
        if near:
            return start, order[:count], None, swaps
    # Few to select or to leave out, or a target that only few selections come near: refine the best pursuit.
    first = pursue_once(problem, control)
    small = smallest(norms, first.selected, count, sized=True)
    return first.selected.copy(), small, first.selected, first.stats["flips"]


def _approach(
    problem: Problem, norms: FloatArray, order: Indices, count: int, start: BoolArray, control: Control
) -> tuple[BoolArray, int, bool]:
    """Pursue with the large candidates until the ``count`` small ones reach what is left: (selected, flips, done?)."""
    vectors, selected, large = problem.vectors, start.copy(), order[count:]
    core, outside = vectors[order[:count]], start.copy()
    outside[order[:count]] = False
    residual = problem.target - 0.5 * core.sum(axis=0) - outside @ vectors
    energy, flips = float(residual @ residual), 0
    reach = float(np.abs(core @ residual).sum()) / 2
    if not len(large) or energy <= HANDOVER * reach:
        return selected, flips, True
    # Estimated from the first direction: the core is nearly isotropic, and box_start takes what it cannot reach.
    stop = HANDOVER * reach / np.sqrt(energy)
    # A step costs one pass over X: most of them are made on a sample.
    for sample in (large[thin(len(large), DENSE_RATIO * problem.dimension)], large):
        rows = np.sort(sample)
        if problem.cardinality is None:
            rows = rows[~selected[rows]]
            chosen, residual, more = pursue(
                vectors[rows], residual, norms[rows], control=control, stop=stop, share=SHARE
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
    """Places among ``count`` candidates sorted by norm: all of the ``dense`` smallest, and some of the others.

    How near a pursuit comes is set by how dense the candidates are at the scale of what is left, so none of the
    small ones may go; of the large ones, ``dense`` for every factor e in rank do as well as all (at least SPARSE).
    """
    if count <= dense + SPARSE:
        return np.arange(count)
    others = np.geomspace(dense, count - 1, thinned_size(count, dense) - dense).astype(np.intp)
    return np.unique(np.concatenate([np.arange(dense), others]))


def thinned_size(count: float, dense: int) -> int:
    """At most so many places does :func:`thin` return."""
    if count <= dense + SPARSE:
        return int(count)
    return dense + max(SPARSE, int(dense * math.log(count / dense)))


def _round(core: FloatArray, goal: FloatArray, rng: np.random.Generator | None, part: int | None) -> BoolArray:
    """One selection of the core for ``goal``, with ``part`` ones; ``rng`` starts away from the centre of the box."""
    rows, aim = core, goal
    if part is not None:  # the size is one more coordinate
        weight = SIZE_WEIGHT * float(np.sqrt(np.median(np.einsum("nd,nd->n", core, core)))) or 1.0
        rows, aim = np.column_stack([core, np.full(len(core), weight)]), np.append(goal, weight * part)
    middle = 0.5 if part is None else part / len(core)
    x = np.full(len(core), middle)
    if rng is not None:
        x = np.minimum(x * rng.uniform(0.5, 1.5, len(core)), 1.0)
    vertex.box_start(rows, aim, x)
    vertex.walk(rows, x)
    residual = vertex.dive(rows, x, aim - x @ rows)[: len(goal)]
    chosen = x > 0.5
    if part is not None:
        chosen, residual = _resize(core, np.ascontiguousarray(residual), chosen, part)
    return improve(core, residual, chosen, swaps_only=part is not None)[0]


def _resize(core: FloatArray, residual: FloatArray, chosen: BoolArray, size: int) -> tuple[BoolArray, FloatArray]:
    """Flip the best one at a time until ``size`` are chosen: rounding may have missed it."""
    chosen, norms = chosen.copy(), np.einsum("nd,nd->n", core, core)
    while (count := int(chosen.sum())) != size:
        sign = 1.0 if count < size else -1.0
        gain = np.where(chosen == (sign < 0), 2.0 * sign * (core @ residual) - norms, -np.inf)
        best = int(gain.argmax())
        chosen[best] = ~chosen[best]
        residual = residual - sign * core[best]
    return chosen, residual
