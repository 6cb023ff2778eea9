r"""integer — mixed-integer and constraint solvers of others, as rivals and as oracles.

The instance becomes: minimise e subject to −e ≤ Σ_i s_i X_id − z_d ≤ e for every d, s binary.

* ``highs`` (scipy.optimize.milp) and ``scip`` (OR-tools) take the floats as they are, in units of the largest entry.
  Their bounds hold up to their feasibility tolerances, which are subtracted with a margin.
* ``cpsat`` (OR-tools) takes the data rounded to multiples of a grid step h = 2^−q·max|X|, q as large as int64 sums
  allow. Rounding changes every error by at most (n + 1)·h/2, which is subtracted from its bound; "optimal" is
  therefore said of the original instance only if an exact error reaches that bound, which rounding rarely allows.

All three minimise the L∞ error. For a problem in L2 their bound is still a bound, since ‖·‖₂ ≥ ‖·‖∞, and their
selection a selection, though not the best in that norm.

The incumbent at a timeout is kept, and its error is recomputed from the original floats, as for every method.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from slth.errors import InputError
from slth.rss.control import Control, Outcome
from slth.rss.problem import FloatArray, Problem

# Seconds without a time limit: these solvers may otherwise run for days.
DEFAULT_SECONDS = 60.0
# Bits of CP-SAT's grid: the sums of a row stay well inside int64.
CPSAT_BITS = 40
# HiGHS and SCIP accept constraint violations of 1e-7 and 1e-6, and integrality violations of 1e-6.
TOLERANCE = 1e-6


def solve_highs(problem: Problem, control: Control) -> Outcome:
    """HiGHS through ``scipy.optimize.milp``; see the module's docstring."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    n, dim = problem.size, problem.dimension
    unit = max(float(np.abs(problem.vectors).max()), 1e-300)
    columns, goal = problem.vectors.T / unit, problem.target / unit
    ones = np.ones((dim, 1))
    constraints = [
        LinearConstraint(np.hstack([columns, -ones]), -np.inf, goal),
        LinearConstraint(np.hstack([columns, ones]), goal, np.inf),
    ]
    if problem.cardinality is not None:
        constraints.append(LinearConstraint(np.append(np.ones(n), 0.0)[None], problem.cardinality, problem.cardinality))
    result = milp(
        np.append(np.zeros(n), 1.0),
        integrality=np.append(np.ones(n), 0),
        bounds=Bounds(np.zeros(n + 1), np.append(np.ones(n), np.inf)),
        constraints=constraints,
        options={"time_limit": max(_seconds(control), 1e-3), "mip_rel_gap": 0.0},
    )
    selected = _fallback(problem) if result.x is None else result.x[:n] > 0.5
    bound = getattr(result, "mip_dual_bound", None)
    slack = TOLERANCE * (n + 1)
    lower = 0.0 if bound is None or not math.isfinite(bound) else max(0.0, (bound - slack) * unit)
    return Outcome(
        selected=_repair(problem, selected), lower_bound=lower, stats={"solver": "HiGHS", "message": result.message}
    )


def solve_cpsat(problem: Problem, control: Control) -> Outcome:
    """CP-SAT of OR-tools on the rounded instance; see the module's docstring."""
    from ortools.sat.python import cp_model

    scaled, goal, step = _round(problem, CPSAT_BITS)
    n = problem.size
    model = cp_model.CpModel()
    chosen = [model.new_bool_var(f"s{i}") for i in range(n)]
    reach = int((np.abs(scaled).sum(axis=0) + np.abs(goal)).max())
    error = model.new_int_var(0, reach, "e")
    for d in range(problem.dimension):
        total = cp_model.LinearExpr.weighted_sum(chosen, [int(v) for v in scaled[:, d]])
        model.add(total - int(goal[d]) <= error)
        model.add(int(goal[d]) - total <= error)
    if problem.cardinality is not None:
        model.add(sum(chosen) == problem.cardinality)
    model.minimize(error)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = max(_seconds(control), 1e-3)
    solver.parameters.num_workers = control.threads
    solver.parameters.random_seed = control.seed % 2**31
    status = solver.solve(model)
    found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    selected = np.array([solver.boolean_value(v) for v in chosen]) if found else _fallback(problem)
    bound = solver.best_objective_bound if status != cp_model.MODEL_INVALID else 0.0
    return Outcome(
        selected=selected,
        lower_bound=_shift(bound, n, step),
        stats={"solver": "CP-SAT", "step": step, "message": solver.status_name(status)},
    )


def solve_scip(problem: Problem, control: Control) -> Outcome:
    """SCIP through OR-tools; see the module's docstring."""
    from ortools.linear_solver import pywraplp

    n = problem.size
    unit = max(float(np.abs(problem.vectors).max()), 1e-300)
    solver = pywraplp.Solver.CreateSolver("SCIP")
    if solver is None:
        raise InputError("method 'scip' needs an OR-tools build with SCIP; this one has none. Use cpsat or highs.")
    chosen = [solver.BoolVar(f"s{i}") for i in range(n)]
    error = solver.NumVar(0.0, solver.infinity(), "e")
    for d in range(problem.dimension):
        goal = float(problem.target[d] / unit)
        upper = solver.Constraint(-solver.infinity(), goal)
        lower = solver.Constraint(goal, solver.infinity())
        for variable, value in zip(chosen, (problem.vectors[:, d] / unit).tolist(), strict=True):
            upper.SetCoefficient(variable, value)
            lower.SetCoefficient(variable, value)
        upper.SetCoefficient(error, -1.0)
        lower.SetCoefficient(error, 1.0)
    if problem.cardinality is not None:
        solver.Add(sum(chosen) == problem.cardinality)
    solver.Minimize(error)
    solver.SetTimeLimit(max(1, int(1000 * _seconds(control))))
    solver.SetNumThreads(control.threads)
    status = solver.Solve()
    found = status in (pywraplp.Solver.OPTIMAL, pywraplp.Solver.FEASIBLE)
    selected = np.array([v.solution_value() > 0.5 for v in chosen]) if found else _fallback(problem)
    bound = (solver.Objective().BestBound() - TOLERANCE * (n + 1)) * unit if found else 0.0
    return Outcome(
        selected=_repair(problem, selected),
        lower_bound=max(0.0, bound) if math.isfinite(bound) else 0.0,
        stats={
            "solver": "SCIP",
            "message": {0: "OPTIMAL", 1: "FEASIBLE"}.get(status, f"status {status}"),
        },
    )


def _seconds(control: Control) -> float:
    return DEFAULT_SECONDS if control.deadline is None else control.deadline - time.monotonic()


def _round(problem: Problem, bits: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], float]:
    """(X/h, z/h) rounded to int64, and h, a power of two.

    Raises:
        InputError: the target is so large beside the vectors that its multiples of h would overflow int64.
    """
    largest = float(np.abs(problem.vectors).max()) or 1.0
    # n entries of 2^bits and the target must sum inside int64.
    bits = min(bits, 61 - math.ceil(math.log2(problem.size + 1)))
    step = math.ldexp(1.0, math.frexp(largest)[1] - bits)
    if float(np.abs(problem.target).max()) / step > 2.0**61:
        raise InputError(
            f"method 'cpsat' needs |target| < 2^61 grid steps of {step:.3g}; got {np.abs(problem.target).max():.3g}. "
            "Use another method."
        )

    def to_grid(values: FloatArray) -> npt.NDArray[np.int64]:
        return np.round(values / step).astype(np.int64)

    return to_grid(problem.vectors), to_grid(problem.target), step


def _shift(bound: float, n: int, step: float) -> float:
    """A bound for the original instance from one for the rounded instance, in grid steps."""
    if not math.isfinite(bound):
        return 0.0
    return max(0.0, (bound - (n + 1) / 2 - 1) * step)


def _fallback(problem: Problem) -> npt.NDArray[np.bool_]:
    """The incumbent of a solver that found none: the first k candidates, or nothing."""
    selected = np.zeros(problem.size, dtype=bool)
    selected[: problem.cardinality or 0] = True
    return selected


def _repair(problem: Problem, selected: Any) -> npt.NDArray[np.bool_]:
    """``selected`` if it has the fixed size (tolerances may break it), else the fallback."""
    chosen: npt.NDArray[np.bool_] = np.asarray(selected, dtype=bool)
    right = problem.cardinality is None or int(chosen.sum()) == problem.cardinality
    return chosen if right else _fallback(problem)
