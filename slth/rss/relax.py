r"""relax — a vertex of the relaxation on the small-norm core, rounded, then local search.

1. Sort the candidates by norm. The m = 4D smallest are the core.
2. Pursue z − ½·Σ core with the others, greedily, only until the core can take over: the core's zonotope reaches
   ½·Σ|⟨x_i, w⟩| in direction w, and half of that in the direction of the residual is enough.
3. :mod:`slth.rss.vertex`: a point of the box, a walk to a vertex with at most D fractional entries among the
   smallest candidates, a dive to 0/1.
4. 1- and 2-flips on the core.

The error is about 0.35·D^{3/2}/n (root mean square over coordinates) for n NSN candidates, measured; 1. to 4.
cost about n·D² operations, less than one call of a simplex code on the core. With a time limit it restarts from
other points of the box and keeps the best.
"""

from __future__ import annotations

import numpy as np

from slth.errors import InputError
from slth.rss import vertex
from slth.rss.control import Control, Outcome
from slth.rss.local import improve
from slth.rss.problem import BoolArray, FloatArray, Problem
from slth.rss.pursuit import pursue

# Core size in units of D. 2 is often infeasible, 3 nearly always feasible, above 5 the selection only grows.
CORE_RATIO = 4
# Stop pursuing when ‖residual‖ is this fraction of the core's reach in that direction.
HANDOVER = 0.5


def solve_relax(problem: Problem, control: Control) -> Outcome:
    """The relax method; see the module's docstring."""
    if problem.cardinality is not None:
        raise InputError(
            "method 'relax' has no fixed-size form; got cardinality = "
            f"{problem.cardinality}. Use method='pursuit', or 'exact' for small n."
        )
    vectors, target = problem.vectors, problem.target
    # Work in units of the largest candidate: the kernels square norms, and 1e-300 must not underflow there.
    unit = float(np.abs(vectors).max())
    if unit == 0.0:
        return Outcome(selected=np.zeros(problem.size, dtype=bool), stats={"restarts": 0})
    if not 1e-60 < unit < 1e60:
        shift = 2.0 ** -np.floor(np.log2(unit))
        vectors, target = vectors * shift, target * shift
    norms = np.einsum("nd,nd->n", vectors, vectors)
    order = np.argsort(norms, kind="stable")
    small = order[: CORE_RATIO * problem.dimension][::-1]
    large = np.sort(order[CORE_RATIO * problem.dimension :])
    core = np.ascontiguousarray(vectors[small])

    selected = np.zeros(problem.size, dtype=bool)
    goal, flips = target, 0
    if len(large):
        centre = 0.5 * core.sum(axis=0)
        chosen, residual, flips = _approach(vectors[large], target - centre, norms[large], core, control)
        selected[large] = chosen
        goal = residual + centre

    best, best_error, restarts = None, np.inf, 0
    while best is None or (control.deadline is not None and not control.expired()):
        part, error = _round(core, goal, np.random.default_rng([control.seed, restarts]) if restarts else None)
        restarts += 1
        if error < best_error:
            best, best_error = part, error
        if control.eps is not None and best_error <= control.eps:
            break
    selected[small] = best
    return Outcome(selected=selected, stats={"flips": flips, "core": len(core), "restarts": restarts})


def _approach(
    vectors: FloatArray, goal: FloatArray, norms: FloatArray, core: FloatArray, control: Control
) -> tuple[BoolArray, FloatArray, int]:
    """Pursue ``goal`` in stages, until the core reaches what is left in its own direction."""
    selected, residual, flips = np.zeros(len(vectors), dtype=bool), goal, 0
    reach = float(np.abs(core @ residual).sum()) / 2
    energy = float(residual @ residual)
    if energy <= HANDOVER * reach:
        return selected, residual, flips
    # ‖residual‖ at handover, estimated from this direction (the core is nearly isotropic); checked by box_start.
    stop = HANDOVER * reach / np.sqrt(energy)
    return pursue(vectors, goal, norms, control=control, stop=stop)


def _round(core: FloatArray, goal: FloatArray, rng: np.random.Generator | None) -> tuple[BoolArray, float]:
    """One selection of the core for ``goal`` and its L∞ error; ``rng`` starts the walk away from the centre."""
    x = np.full(len(core), 0.5) if rng is None else rng.uniform(0.25, 0.75, len(core))
    residual = vertex.box_start(core, goal, x)
    vertex.walk(core, x)
    residual = vertex.dive(core, x, goal - x @ core)
    chosen, _ = improve(core, residual, x > 0.5)
    return chosen, float(np.abs(goal - chosen @ core).max())
