"""The published solvers that the engine is set beside: CP-SAT, HiGHS, SCIP, and Gurobi where it is installed.

Gurobi is no dependency. It runs where ``gurobipy`` can be imported. The licence inside that package allows models of
2,000 variables; larger instances say so in their row.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from slth.rss import Problem, Solution, error_upper_bound, solve
from slth.rss.threads import thread_count

Row = dict[str, Any]
RIVALS = ("cpsat", "highs", "scip", "gurobi")
# What the licence inside gurobipy allows, in variables and in constraints.
GUROBI_SIZE = 2000


def run_rival(name: str, problems: Sequence[Problem], ours: Sequence[Solution], limit: float) -> Row:
    """Run one rival on some instances, one after the other.

    Args:
        name: one of RIVALS.
        problems: the instances, with norm ``linf``.
        ours: what the engine found for each.
        limit: seconds for each instance.

    Returns:
        Errors, seconds, and errors over ours, each as median, low and high; or under ``state`` why there are none.
    """
    if name == "gurobi":
        if importlib.util.find_spec("gurobipy") is None:
            return {"state": "not installed"}
        if problems[0].size + 1 > GUROBI_SIZE:
            return {"state": f"not run: the size-limited licence allows {GUROBI_SIZE:,} variables"}
    errors, seconds, ratios = [], [], []
    for problem, one in zip(problems, ours, strict=True):
        began = time.perf_counter()
        error = _gurobi(problem, limit) if name == "gurobi" else _integer(problem, name, limit)
        if error is not None:
            seconds.append(time.perf_counter() - began)
            errors.append(error)
            ratios.append(error / one.error)
    if not errors:
        return {"state": f"found no selection in {limit:g} s", "instances": len(problems)}
    return {
        "error": summary(errors),
        "seconds": summary(seconds),
        "ratio": summary(ratios),
        "instances": len(problems),
        "without_selection": len(problems) - len(errors),
    }


def summary(values: Sequence[float]) -> Row:
    """Median, least and greatest of some values."""
    return {"median": float(statistics.median(values)), "low": min(values), "high": max(values)}


def _integer(problem: Problem, name: str, limit: float) -> float | None:
    """The error of a solver that slth ships; None if it found no selection."""
    solution = solve(problem, name, time_limit=limit)
    return solution.error if solution.stats["found"] else None


def _gurobi(problem: Problem, limit: float) -> float | None:
    """The error of Gurobi on the model that HiGHS and SCIP get: minimise e subject to −e ≤ Xᵀs − z ≤ e."""
    import gurobipy

    with gurobipy.Env(params={"OutputFlag": 0}) as environment, gurobipy.Model(env=environment) as model:
        chosen = model.addMVar(problem.size, vtype=gurobipy.GRB.BINARY)
        error = model.addMVar(1, lb=0.0)
        ones = np.ones((problem.dimension, 1))
        model.addConstr(problem.vectors.T @ chosen - ones @ error <= problem.target)
        model.addConstr(problem.vectors.T @ chosen + ones @ error >= problem.target)
        model.setObjective(error.sum())
        model.Params.TimeLimit = limit
        model.Params.Threads = thread_count(None)
        model.Params.MIPGap = 0.0
        model.optimize()
        if not model.SolCount:
            return None
        return error_upper_bound(problem, np.asarray(chosen.X) > 0.5)
