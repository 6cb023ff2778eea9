r"""relax — a vertex of the relaxation on the small-norm core, rounded, then local search.

1. Sort the candidates by norm. The m = 4D smallest are the core.
2. Pursue z − ½·Σ core with the others, greedily, only until the core can take over: the core's zonotope reaches
   ½·Σ|⟨x_i, w⟩| in direction w, and half of that in the direction of the residual is enough.
3. :mod:`slth.rss.vertex`: a point of the box, a walk to a vertex with at most D fractional entries among the
   smallest candidates, a dive to 0/1.
4. 1- and 2-flips on the core.

The error is about 0.35·D^{3/2}/n (root mean square over coordinates) for n NSN candidates, measured. With a time
limit it restarts from other points of the box and keeps the best.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from slth.rss import vertex
from slth.rss.control import Control, Outcome
from slth.rss.local import improve
from slth.rss.problem import BoolArray, FloatArray, Problem
from slth.rss.pursuit import pursue

# Core size in units of D. 2 is often infeasible, 3 nearly always feasible, above 5 the selection only grows.
CORE_RATIO = 4
# Stop pursuing when ‖residual‖ is this fraction of the core's reach in that direction.
HANDOVER = 0.5
# Of many large candidates the pursuit looks at this many times D of the smallest, and at least this many others.
DENSE_RATIO = 16
SPARSE = 2048

Indices = npt.NDArray[np.intp]


def solve_relax(problem: Problem, control: Control) -> Outcome:
    """The relax method; see the module's docstring."""
    problem.refuse_fixed_size("relax")
    vectors, target = problem.vectors, problem.target
    norms = np.einsum("nd,nd->n", vectors, vectors)
    order = np.argsort(norms, kind="stable")
    order = order[norms[order] > 0]  # a zero vector changes nothing: never select one
    if not len(order):
        return Outcome(selected=np.zeros(problem.size, dtype=bool), stats={"restarts": 0})
    small = order[: CORE_RATIO * problem.dimension][::-1]
    large = order[CORE_RATIO * problem.dimension :]
    core = np.ascontiguousarray(vectors[small])

    centre = 0.5 * core.sum(axis=0)
    selected, residual, flips = _approach(vectors, norms, large, target - centre, core, control)
    goal = residual + centre

    best, best_error, restarts = _round(core, goal, None), np.inf, 1
    best_error = problem.length(goal - best @ core)
    control.improved(best_error)
    with ThreadPoolExecutor(control.threads) as pool:
        # Restart r is a function of (seed, r): with more threads more of them fit the time, nothing else changes.
        while control.deadline is not None and not control.expired() and not best_error <= (control.eps or 0.0):
            starts = [np.random.default_rng([control.seed, restarts + i]) for i in range(control.threads)]
            for part in pool.map(lambda rng: _round(core, goal, rng), starts):
                restarts += 1
                error = problem.length(goal - part @ core)
                if error < best_error:
                    best, best_error = part, error
                    control.improved(error)
    selected[small] = best
    return Outcome(selected=selected, stats={"flips": flips, "core": len(core), "restarts": restarts})


def _approach(
    vectors: FloatArray,
    norms: FloatArray,
    large: Indices,
    goal: FloatArray,
    core: FloatArray,
    control: Control,
) -> tuple[BoolArray, FloatArray, int]:
    """Pursue ``goal`` with the large candidates until the core reaches what is left: (selected, residual, flips)."""
    selected, residual, flips = np.zeros(len(vectors), dtype=bool), goal, 0
    energy = float(residual @ residual)
    reach = float(np.abs(core @ residual).sum()) / 2
    if not len(large) or energy <= HANDOVER * reach:
        return selected, residual, flips
    # Estimated from the first direction: the core is nearly isotropic, and box_start takes what it cannot reach.
    stop = HANDOVER * reach / np.sqrt(energy)
    # A step costs one pass over X: most of them are made on a sample.
    for sample in (large[thin(len(large), DENSE_RATIO * len(goal))], large):
        rows = np.sort(sample[~selected[sample]])
        chosen, residual, more = pursue(vectors[rows], residual, norms[rows], control=control, stop=stop)
        selected[rows] = chosen
        flips += more
        if residual @ residual <= stop * stop or len(sample) == len(large):
            break
    return selected, residual, flips


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


def _round(core: FloatArray, goal: FloatArray, rng: np.random.Generator | None) -> BoolArray:
    """One selection of the core for ``goal``; ``rng`` starts the walk away from the centre of the box."""
    x = np.full(len(core), 0.5) if rng is None else rng.uniform(0.25, 0.75, len(core))
    residual = vertex.box_start(core, goal, x)
    vertex.walk(core, x)
    residual = vertex.dive(core, x, goal - x @ core)
    return improve(core, residual, x > 0.5)[0]
