"""A plan: which solver runs on a problem and in which units, and how its incumbent becomes a solution."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from slth.errors import check_int, check_positive
from slth.rss.auto import choose
from slth.rss.control import Control, Incumbent
from slth.rss.core import solve_core
from slth.rss.differencing import solve_differencing
from slth.rss.exact import solve_exact
from slth.rss.integer import solve_cpsat, solve_highs, solve_scip
from slth.rss.local import solve_local
from slth.rss.problem import Problem, Solution, Status
from slth.rss.pursuit import solve_pursuit
from slth.rss.relax import solve_relax
from slth.rss.tree import solve_tree
from slth.rss.verify import error_lower_bound, error_upper_bound

# The solver of each method: a function (Problem, Control) → Incumbent. A new method is a new file and a line here.
SOLVERS: dict[str, Callable[[Problem, Control], Incumbent]] = {
    "exact": solve_exact,
    "core": solve_core,
    "tree": solve_tree,
    "local": solve_local,
    "relax": solve_relax,
    "pursuit": solve_pursuit,
    "differencing": solve_differencing,
    "cpsat": solve_cpsat,
    "highs": solve_highs,
    "scip": solve_scip,
}

# Problems whose largest entry lies within 2^±64 are solved in their own units.
HARMLESS_EXPONENT = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """Which solver runs on a problem, and in which units.

    Attributes:
        problem: the instance in the caller's units.
        scaled: the instance in units of 2^exponent, which the solver gets.
        exponent: 0 unless the entries are extremely small or large.
        exact: whether scaling lost nothing.
        control: the limits, in the units of ``scaled``.
        method: name of the method.
        why: the reason for the choice.
        began: value of ``time.monotonic()`` when planning began.
    """

    problem: Problem
    scaled: Problem
    exponent: int
    exact: bool
    control: Control
    method: str
    why: str
    began: float


def make_plan(problem: Problem, method: str, control: Control) -> Plan:
    """Choose the units and the method for a problem.

    Args:
        problem: the instance.
        method: ``auto``, or a key of :data:`SOLVERS`.
        control: the limits, in the problem's units.

    Returns:
        The plan.
    """
    began = time.monotonic()
    scaled, exponent, exact = _normalise(problem)
    if exponent:
        eps = None if control.eps is None else math.ldexp(control.eps, -exponent)
        control = replace(control, eps=eps, exponent=exponent)
    chosen, why = choose(scaled, control) if method == "auto" else (method, "asked for")
    return Plan(
        problem=problem, scaled=scaled, exponent=exponent, exact=exact, control=control, method=chosen, why=why,
        began=began,
    )  # fmt: skip


def carry_out(plan: Plan, eps: float | None, threads: int) -> Solution:
    """Run the solver of a plan, recompute its error exactly, and name the status.

    Args:
        plan: what to run.
        eps: an error that is good enough, in the problem's units.
        threads: number of threads that the solver may use.

    Returns:
        The solution, in the problem's units.
    """
    return conclude(plan, SOLVERS[plan.method](plan.scaled, replace(plan.control, threads=threads)), eps)


def conclude(plan: Plan, incumbent: Incumbent, eps: float | None) -> Solution:
    """Recompute the error of an incumbent exactly, and name the status.

    Args:
        plan: what was run.
        incumbent: what its solver handed back.
        eps: an error that is good enough, in the problem's units.

    Returns:
        The solution, in the problem's units.
    """
    problem, exponent = plan.problem, plan.exponent
    error = error_upper_bound(problem, incumbent.selected)
    bound = incumbent.lower_bound if plan.exact else 0.0
    if exponent and math.isfinite(bound):
        bound = math.nextafter(math.ldexp(bound, exponent), 0.0)  # a subnormal result may have been rounded up
    # The reported error is the smallest float64 that is not below the exact error. So a bound, which is a float64,
    # reaches the one exactly if it reaches the other.
    proved = bound >= error
    # A bound that reaches the error proves that this error is the smallest: report that as the bound.
    lower_bound = error_lower_bound(problem, incumbent.selected) if proved else bound
    reached = eps is None or error <= eps
    if eps is not None and lower_bound > eps:
        status = Status.infeasible
    elif proved:
        status = Status.optimal
    else:
        status = Status.feasible if reached else Status.unknown
    return Solution(
        selected=incumbent.selected,
        error=error,
        status=status,
        lower_bound=lower_bound,
        method=plan.method,
        seconds=time.monotonic() - plan.began,
        stats={**incumbent.stats, "chosen": f"{plan.method}: {plan.why}"},
    )


def _normalise(problem: Problem) -> tuple[Problem, int, bool]:
    """(the problem in units of 2^exponent, the exponent, whether scaling lost nothing).

    Solvers square norms and multiply by inverses, where entries of 1e-300 or 1e250 would under- or overflow. Scaling by
    a power of two is exact, unless a problem mixes entries more than 2^1000 apart.
    """
    vectors, target = problem.vectors, problem.target
    exponent = math.frexp(max(vectors.max(), -vectors.min(), np.abs(target).max()))[1]
    if abs(exponent) <= HARMLESS_EXPONENT:
        return problem, 0, True
    scaled = Problem(
        vectors=np.ldexp(vectors, -exponent),
        target=np.ldexp(target, -exponent),
        cardinality=problem.cardinality,
        norm=problem.norm,
    )
    exact = np.array_equal(np.ldexp(scaled.vectors, exponent), vectors)
    return scaled, exponent, exact and np.array_equal(np.ldexp(scaled.target, exponent), target)


def make_control(
    eps: float | None, time_limit: float | None, effort: float, seed: int, threads: int, max_memory: float
) -> Control:
    """Check the options of a solve. The time limit begins now.

    Args:
        eps: an error that is good enough (≥ 0), or None.
        time_limit: seconds (≥ 0), or None.
        effort: seconds of one core (> 0), counted in steps.
        seed: the seed of every random choice (≥ 0).
        threads: number of threads that a solver may use.
        max_memory: bytes that a solver may take for its tables.

    Returns:
        The limits.

    Raises:
        InputError: an option out of range.
    """
    if eps is not None:
        check_positive("eps", eps, "It is an error in the problem's norm.", zero_ok=True)
    if time_limit is not None:
        check_positive("time_limit", time_limit, "It is in seconds.", zero_ok=True)
    check_positive("effort", effort, "It is in seconds of one core, counted in steps.")
    check_positive("max_memory", max_memory, "It is in bytes.")
    check_int("seed", seed, 0)
    deadline = None if time_limit is None else time.monotonic() + time_limit
    return Control(eps=eps, deadline=deadline, effort=effort, seed=seed, threads=threads, max_memory=max_memory)
