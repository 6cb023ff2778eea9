r"""integer — published mixed-integer and constraint solvers, for comparison and as independent checks.

For L∞ the instance becomes: minimise e subject to −e ≤ Σ_i s_i X_id − z_d ≤ e for every d, with s binary.

* ``highs`` (scipy.optimize.milp) and ``scip`` (OR-tools) take the floats in units of the largest entry. Their bounds
  hold up to their feasibility tolerances, which are subtracted with a margin. They accept linear constraints only, so
  L2 is solved by tangents. Let r be the residual of the last selection and u = r/‖r‖. The constraints
  −e ≤ uᵀ(Xᵀs − z) ≤ e are added and the solver starts again, until the bound meets the smallest error or time is up.
  Each of these problems is a relaxation, because ‖r‖₂ ≥ uᵀr for every unit vector u. So each bound holds.
* ``cpsat`` (OR-tools) takes the data rounded to multiples of a step h, as fine as sums in int64 allow: for L∞ at least
  2^−40·max|X|; for L2, where the sum of squares is minimised, such that this sum stays below 2^61. Rounding changes
  every coordinate by at most (n + 1)·h/2, which is subtracted from the bound (times √D in L2). So the original instance
  is called optimal only if an exact error reaches that smaller bound, which is rare.

Large instances are solved in a process of their own (:mod:`slth.rss.integer_process`), which ends at its time limit.
The incumbent at a timeout is kept. Its error is recomputed from the original floats, as for every method.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from slth.arrays import BoolArray, FloatArray
from slth.errors import InputError
from slth.rss.control import Control, Incumbent
from slth.rss.integer_process import is_large, solve_apart
from slth.rss.problem import Problem

# Seconds that are allowed without a time limit: these solvers could otherwise run for days.
DEFAULT_SECONDS = 60.0
# CP-SAT's data have this many bits, so that their sums stay well inside int64.
CPSAT_BITS = 40
# HiGHS and SCIP accept constraint violations of 1e-7 and 1e-6, and integrality violations of 1e-6.
TOLERANCE = 1e-6

# (problem, rows, goal, seconds, control) → (selection or None, lower bound, message)
Minimise = Callable[[Problem, FloatArray, FloatArray, float, Control], "tuple[BoolArray | None, float, str]"]


def solve_highs(problem: Problem, control: Control) -> Incumbent:
    """Solve with HiGHS through ``scipy.optimize.milp``, as the module describes.

    Args:
        problem: the instance.
        control: its limits.

    Returns:
        The best selection found, and a lower bound.
    """
    return _solve(problem, control, "highs")


def solve_scip(problem: Problem, control: Control) -> Incumbent:
    """Solve with SCIP through OR-tools, as the module describes.

    Args:
        problem: the instance.
        control: its limits.

    Returns:
        The best selection found, and a lower bound.

    Raises:
        InputError: OR-tools was built without SCIP.
    """
    return _solve(problem, control, "scip")


def solve_cpsat(problem: Problem, control: Control) -> Incumbent:
    """Solve with CP-SAT of OR-tools on the rounded instance, as the module describes.

    Args:
        problem: the instance.
        control: its limits.

    Returns:
        The best selection found, and a lower bound for the original instance.

    Raises:
        InputError: the target is too large beside the vectors for int64.
    """
    return _solve(problem, control, "cpsat")


def _solve(problem: Problem, control: Control, solver: str) -> Incumbent:
    """Run a solver in this process; on a large instance in a process of its own."""
    if is_large(problem):
        return solve_apart(problem, control, solver, max(_seconds_left(control), 0.0))
    return MODELS[solver](problem, control)


def _model_cpsat(problem: Problem, control: Control) -> Incumbent:
    """CP-SAT in this process."""
    from ortools.sat.python import cp_model

    euclidean = problem.norm == "l2"
    scaled, goal, step = _to_integers(problem, CPSAT_BITS)
    n = problem.size
    model = cp_model.CpModel()
    chosen = [model.new_bool_var(f"s{i}") for i in range(n)]
    reach = int((np.abs(scaled).sum(axis=0) + np.abs(goal)).max())
    error = model.new_int_var(0, problem.dimension * reach**2 if euclidean else reach, "e")
    squares = []
    for d in range(problem.dimension):
        total = cp_model.LinearExpr.weighted_sum(chosen, [int(v) for v in scaled[:, d]])
        if euclidean:
            residual, square = model.new_int_var(-reach, reach, f"r{d}"), model.new_int_var(0, reach**2, f"q{d}")
            model.add(residual == total - int(goal[d]))
            model.add_multiplication_equality(square, [residual, residual])
            squares.append(square)
        else:
            model.add(total - int(goal[d]) <= error)
            model.add(int(goal[d]) - total <= error)
    if euclidean:
        model.add(sum(squares) == error)
    if problem.cardinality is not None:
        model.add(sum(chosen) == problem.cardinality)
    model.minimize(error)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = max(_seconds_left(control), 1e-3)
    solver.parameters.num_workers = control.threads
    solver.parameters.random_seed = control.seed % 2**31
    status = solver.solve(model)
    found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    selected = np.array([solver.boolean_value(v) for v in chosen]) if found else _fallback(problem)
    bound = solver.best_objective_bound if status != cp_model.MODEL_INVALID else 0.0
    return Incumbent(
        selected=selected,
        lower_bound=_unrounded_bound(bound, problem, step),
        stats={"solver": "CP-SAT", "step": step, "message": solver.status_name(status), "found": found},
    )


def _solve_by_tangents(problem: Problem, control: Control, minimise: Minimise, solver: str) -> Incumbent:
    """Minimise max_u |uᵀ residual| over a set of directions u: once for L∞, with ever more directions for L2."""
    unit = max(float(np.abs(problem.vectors).max()), 1e-300)
    columns, goal = problem.vectors.T / unit, problem.target / unit
    directions = np.vstack([np.eye(problem.dimension), -np.eye(problem.dimension)])
    # A constraint may be violated by TOLERANCE. So may the integrality of each s_i, whose coefficient is at most √D (1
    # in L∞).
    slack = TOLERANCE * (problem.size * (1.0 if problem.norm == "linf" else math.sqrt(problem.dimension)) + 1)
    end = time.monotonic() + _seconds_left(control)
    best, error, lower, solves, seen = _fallback(problem), math.inf, 0.0, 0, set[bytes]()
    while True:
        seconds = max(end - time.monotonic(), 1e-3)
        found, bound, message = minimise(problem, directions @ columns, directions @ goal, seconds, control)
        solves += 1
        if math.isfinite(bound):
            lower = max(lower, (bound - slack) * unit)
        if found is None:
            break
        selected = _of_fixed_size(problem, found)
        residual = problem.target - selected @ problem.vectors
        length = problem.length(residual)
        if length < error:
            best, error = selected, length
            control.improved(error)
        met = lower >= error - 2 * slack * unit or error <= (control.eps or 0.0)
        # The tangent at a selection makes e equal to its error there. So a selection that returns is optimal, up to the
        # tolerances.
        again = selected.tobytes() in seen
        if problem.norm == "linf" or met or again or time.monotonic() >= end:
            break
        seen.add(selected.tobytes())
        tangent = residual / length * (1 - 2.0**-40)  # at most of length 1, in spite of rounding
        directions = np.vstack([directions, tangent, -tangent])
    return Incumbent(selected=best, lower_bound=lower, stats={
        "solver": solver, "solves": solves, "message": message, "found": math.isfinite(error)
    })  # fmt: skip


def _minimise_highs(
    problem: Problem, rows: FloatArray, goal: FloatArray, seconds: float, control: Control
) -> tuple[BoolArray | None, float, str]:
    """Minimise e subject to rows @ s − e ≤ goal: (s or None, a lower bound on e or ±inf, message)."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    n = problem.size
    constraints = [LinearConstraint(np.hstack([rows, -np.ones((len(rows), 1))]), -np.inf, goal)]
    if problem.cardinality is not None:
        constraints.append(LinearConstraint(np.append(np.ones(n), 0.0)[None], problem.cardinality, problem.cardinality))
    result = milp(
        np.append(np.zeros(n), 1.0),
        integrality=np.append(np.ones(n), 0),
        bounds=Bounds(np.zeros(n + 1), np.append(np.ones(n), np.inf)),
        constraints=constraints,
        options={"time_limit": seconds, "mip_rel_gap": 0.0},
    )
    bound = getattr(result, "mip_dual_bound", None)
    found = None if result.x is None else result.x[:n] > 0.5
    return found, -math.inf if bound is None else float(bound), str(result.message)


def _minimise_scip(
    problem: Problem, rows: FloatArray, goal: FloatArray, seconds: float, control: Control
) -> tuple[BoolArray | None, float, str]:
    """The same with SCIP."""
    from ortools.linear_solver import pywraplp

    solver = pywraplp.Solver.CreateSolver("SCIP")
    if solver is None:
        raise InputError("method 'scip' needs an OR-tools build with SCIP; this one has none. Use cpsat or highs.")
    chosen = [solver.BoolVar(f"s{i}") for i in range(problem.size)]
    error = solver.NumVar(0.0, solver.infinity(), "e")
    began = time.monotonic()
    for row, limit in zip(rows.tolist(), goal.tolist(), strict=True):
        if time.monotonic() - began > seconds:
            return None, -math.inf, "building the model took all the time"
        constraint = solver.Constraint(-solver.infinity(), limit)
        constraint.SetCoefficient(error, -1.0)
        for variable, value in zip(chosen, row, strict=True):
            constraint.SetCoefficient(variable, value)
    if problem.cardinality is not None:
        solver.Add(sum(chosen) == problem.cardinality)
    solver.Minimize(error)
    solver.SetTimeLimit(max(1, int(1000 * (seconds - (time.monotonic() - began)))))
    solver.SetNumThreads(control.threads)
    status = solver.Solve()
    message = {0: "OPTIMAL", 1: "FEASIBLE"}.get(status, f"status {status}")
    if status not in (pywraplp.Solver.OPTIMAL, pywraplp.Solver.FEASIBLE):
        return None, -math.inf, message
    return np.array([v.solution_value() > 0.5 for v in chosen]), float(solver.Objective().BestBound()), message


# The solvers as they run in the process that calls them.
MODELS: dict[str, Callable[[Problem, Control], Incumbent]] = {
    "highs": lambda problem, control: _solve_by_tangents(problem, control, _minimise_highs, "HiGHS"),
    "scip": lambda problem, control: _solve_by_tangents(problem, control, _minimise_scip, "SCIP"),
    "cpsat": _model_cpsat,
}


def _seconds_left(control: Control) -> float:
    return DEFAULT_SECONDS if control.deadline is None else control.deadline - time.monotonic()


def _to_integers(problem: Problem, bits: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], float]:
    """X/h and z/h rounded to int64, and the step h, a power of two.

    Raises:
        InputError: the target is so large beside the vectors that its multiples of h would overflow int64.
    """
    largest = float(np.abs(problem.vectors).max()) or 1.0
    # The sum of n entries of 2^bits and the target must fit int64.
    bits = min(bits, 61 - math.ceil(math.log2(problem.size + 1)))
    step = math.ldexp(1.0, math.frexp(largest)[1] - bits)
    most = 2.0**61
    if problem.norm == "l2":  # the squares of D coordinates of the residual must fit
        most = 2.0**30 / math.sqrt(problem.dimension)
        reach = float((np.abs(problem.vectors).sum(axis=0) + np.abs(problem.target)).max())
        step = max(step, math.ldexp(1.0, math.frexp(reach / (most - problem.size - 1))[1]))
    if float(np.abs(problem.target).max()) / step > most or step > largest:
        raise InputError(
            f"method 'cpsat' needs |target| < {most:.3g} grid steps, and a step no larger than the largest entry of "
            f"vectors, {largest:.3g}; got |target| = {np.abs(problem.target).max():.3g} and a step of {step:.3g}. "
            "Use another method."
        )

    def to_grid(values: FloatArray) -> npt.NDArray[np.int64]:
        return np.round(values / step).astype(np.int64)

    return to_grid(problem.vectors), to_grid(problem.target), step


def _unrounded_bound(bound: float, problem: Problem, step: float) -> float:
    """A lower bound for the original instance, from one for the rounded instance in steps (L2: squared steps)."""
    if not math.isfinite(bound):
        return 0.0
    half = (problem.size + 1) / 2 + 1
    if problem.norm == "l2":
        bound, half = math.sqrt(max(0.0, bound * (1 - 2.0**-50))), half * math.sqrt(problem.dimension)
    return max(0.0, (bound - half) * step)


def _fallback(problem: Problem) -> BoolArray:
    """The incumbent when a solver found no selection: the first k candidates, or none of them."""
    selected = np.zeros(problem.size, dtype=bool)
    selected[: problem.cardinality or 0] = True
    return selected


def _of_fixed_size(problem: Problem, selected: BoolArray) -> BoolArray:
    """``selected`` if it has the fixed size, which a solver's tolerances may violate; otherwise the fallback."""
    valid = problem.cardinality is None or int(selected.sum()) == problem.cardinality
    return selected if valid else _fallback(problem)
