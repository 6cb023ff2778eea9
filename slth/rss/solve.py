"""The front of the subset-sum engine: choose a method, run it, recompute its error, name the outcome."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from slth.errors import InputError, check_array, check_choice, check_int, check_positive
from slth.rss.auto import choose
from slth.rss.control import Control, Incumbent
from slth.rss.core import solve_core, table_size
from slth.rss.device import pursue_on_device
from slth.rss.differencing import solve_differencing
from slth.rss.exact import solve_exact, table_bytes
from slth.rss.integer import solve_cpsat, solve_highs, solve_scip
from slth.rss.meet import grid_bytes
from slth.rss.polish import solve_local
from slth.rss.problem import BatchSolution, BoolArray, Problem, Solution, Status
from slth.rss.pursuit import solve_pursuit
from slth.rss.relax import solve_relax
from slth.rss.threads import map_threads, one_blas_thread, thread_count
from slth.rss.verify import below, verify

# One line per method: a function (Problem, Control) → Incumbent. A new method is a new file and a line here.
SOLVERS: dict[str, Callable[[Problem, Control], Incumbent]] = {
    "exact": solve_exact,
    "core": solve_core,
    "local": solve_local,
    "relax": solve_relax,
    "pursuit": solve_pursuit,
    "differencing": solve_differencing,
    "cpsat": solve_cpsat,
    "highs": solve_highs,
    "scip": solve_scip,
}

# Problems whose largest entry lies within 2^±64 are solved as they are.
HARMLESS_EXPONENT = 64


def solve(
    problem: Problem,
    method: str = "auto",
    *,
    eps: float | None = None,
    time_limit: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    max_memory: float = 1e9,
    progress: Callable[[float, float], None] | None = None,
) -> Solution:
    r"""Find s ∈ {0,1}^n that makes ‖Xᵀs − z‖ small, in L∞ or in L2 as the problem says.

    .. math:: \min_{s \in \{0,1\}^n} \| X^\top s - z \|_\infty
              \quad\text{optionally with}\quad \textstyle\sum_i s_i = k

    Args:
        problem: X (n, D), z (D,), and k or None.
        method: ``auto``, which says in ``stats["chosen"]`` what it took and why; ``exact`` (proved; n up to about 60);
            ``core`` (D ≤ 8, uses the time it is given); ``local`` (larger D, likewise); ``relax`` (fast, large n);
            ``pursuit`` (greedy); ``differencing`` (the classical reference); ``cpsat``, ``highs``, ``scip`` (integer
            solvers of others). All of them keep a fixed size.
        eps: an error, in the problem's norm, that is good enough; statuses then tell whether it was reached (≥ 0).
        time_limit: seconds (≥ 0). The incumbent is returned when they have passed; ``relax``, ``local`` and
            ``core`` use all of them unless eps is reached.
        seed: of every random choice. Without a time limit the result depends on it, never on ``threads`` (except
            for ``cpsat`` and ``scip``, whose parallel search is their own).
        threads: None for every core.
        max_memory: bytes for the tables of ``exact`` and ``core``.
        progress: called with (seconds, error) at each better incumbent of an anytime method.

    Returns:
        A :class:`Solution`; its error is recomputed from ``selected`` and rounded up, and its status is
        ``optimal`` or ``infeasible`` only when that was proved.

    Raises:
        InputError: an unknown method, or an option out of range.
        MemoryEstimateError: ``exact`` would not fit ``max_memory``.

    Source: becchetti2022
    """
    control = _control(eps, time_limit, seed, thread_count(threads), max_memory)
    control = replace(control, progress=progress)
    check_choice("method", method, ("auto", *SOLVERS))
    with one_blas_thread():
        return _carry_out(_plan(problem, method, control), eps, control.threads)


def solve_batch(
    *,
    vectors: npt.ArrayLike,
    targets: npt.ArrayLike,
    cardinality: int | None = None,
    norm: str = "linf",
    method: str = "auto",
    eps: float | None = None,
    time_limit: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    max_memory: float = 1e9,
    device: str | None = None,
) -> BatchSolution:
    """Solve b instances of one shape on all cores; each is what :func:`solve` would return for it.

    Args:
        vectors: float64 (b, n, D). targets: float64 (b, D). cardinality, norm: of every instance.
        time_limit: seconds for the whole batch; instances not reached by then get a first incumbent.
        max_memory: bytes for the tables of all workers together; fewer instances run at once where they need more.
        device: a torch device (``cuda``, ``cpu``) for ``pursuit`` on all instances at once; None for the cores.

    Returns:
        selected (b, n), error (b,), lower_bound (b,), one status and one method an instance.

    Raises:
        InputError: shapes that do not match, NaN or infinity.
    """
    stacked = check_array("vectors", vectors, "(b, n, D), none of them 0", 3, "Pass one (n, D) matrix per instance.")
    goals = check_array("targets", targets, "(b, D)", 2, "Pass one target per instance.")
    if goals.shape != (stacked.shape[0], stacked.shape[2]):
        raise InputError(
            f"targets must have shape (b, D) = ({stacked.shape[0]}, {stacked.shape[2]}) to match vectors "
            f"{stacked.shape}; got {goals.shape}. Pass one target per instance."
        )
    check_choice("method", method, ("auto", *SOLVERS))
    workers = thread_count(threads)
    control = _control(eps, time_limit, seed, 1, max_memory)
    began = time.monotonic()

    if device is not None:
        if method not in ("auto", "pursuit"):
            raise InputError(f"device needs method 'pursuit'; got {method!r}. Leave device out for the others.")
        if cardinality is not None:
            raise InputError(f"device takes selections of any size; got cardinality = {cardinality}. Leave device out.")
        selections = pursue_on_device(stacked, goals, device)

    places = range(len(stacked))

    def plan(i: int) -> _Plan:
        problem = Problem(vectors=stacked[i], target=goals[i], cardinality=cardinality, norm=norm)
        return _plan(problem, method if device is None else "pursuit", control)

    plans = map_threads(plan, places, workers)
    together = workers if device is not None else _together(plans, control, workers)

    def run(i: int) -> Solution:
        if device is not None:
            return _found(plans[i].problem, selections[i], control)
        # Threads that cannot have an instance each, for want of memory, share one.
        return _carry_out(plans[i], eps, workers // together)

    solutions = map_threads(run, places, together)
    return BatchSolution(
        selected=np.stack([solution.selected for solution in solutions]),
        error=np.array([solution.error for solution in solutions]),
        lower_bound=np.array([solution.lower_bound for solution in solutions]),
        status=tuple(solution.status for solution in solutions),
        methods=tuple(solution.method for solution in solutions),
        seconds=time.monotonic() - began,
    )


def _together(plans: list[_Plan], control: Control, workers: int) -> int:
    """How many instances of one shape fit ``max_memory`` at once, each with the tables it would have alone.

    The tables do not shrink with the number of threads: what is found would change with them.
    """
    methods = {plan.method for plan in plans}
    n, dim, limit = plans[0].problem.size, plans[0].problem.dimension, control.max_memory
    need = 1.0
    if "exact" in methods:
        need = max(need, table_bytes(n, dim, limit))
    if "core" in methods:
        need = max(need, grid_bytes(table_size(n, dim, limit), dim))
    return int(min(workers, max(1.0, limit // need)))


def _control(eps: float | None, time_limit: float | None, seed: int, threads: int, max_memory: float) -> Control:
    if eps is not None:
        check_positive("eps", eps, "It is an error in the problem's norm.", zero_ok=True)
    if time_limit is not None:
        check_positive("time_limit", time_limit, "It is in seconds.", zero_ok=True)
    check_positive("max_memory", max_memory, "It is in bytes.")
    check_int("seed", seed, 0)
    deadline = None if time_limit is None else time.monotonic() + time_limit
    return Control(eps=eps, deadline=deadline, seed=seed, threads=threads, max_memory=max_memory)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Plan:
    """What is going to be run for a problem: the problem in units of 2^exponent, whether that is exact, the method."""

    problem: Problem
    scaled: Problem
    exponent: int
    exact: bool
    control: Control
    method: str
    why: str
    began: float


def _plan(problem: Problem, method: str, control: Control) -> _Plan:
    began = time.monotonic()
    scaled, exponent, exact = _normalise(problem)
    if exponent:
        control = _in_units(control, exponent)
    chosen, why = choose(scaled, control) if method == "auto" else (method, "asked for")
    return _Plan(
        problem=problem, scaled=scaled, exponent=exponent, exact=exact, control=control, method=chosen, why=why,
        began=began,
    )  # fmt: skip


def _carry_out(plan: _Plan, eps: float | None, threads: int) -> Solution:
    """Run a plan, recompute the error, name the outcome; ``eps`` in the problem's own units."""
    problem, exponent = plan.problem, plan.exponent
    outcome = SOLVERS[plan.method](plan.scaled, replace(plan.control, threads=threads))
    error = verify(problem, outcome.selected)
    bound = outcome.lower_bound if plan.exact else 0.0
    if exponent and math.isfinite(bound):
        bound = math.nextafter(math.ldexp(bound, exponent), 0.0)  # a subnormal result may have been rounded up
    # The error is the smallest float64 that is not below the exact one: a bound is no less than one if it is than both.
    proved = bound >= error
    # A bound above the error says "nothing better exists": report it as the error it proves.
    lower_bound = below(problem, outcome.selected) if proved else bound
    reached = eps is None or error <= eps
    if eps is not None and lower_bound > eps:
        status = Status.infeasible
    elif proved:
        status = Status.optimal
    else:
        status = Status.feasible if reached else Status.unknown
    return Solution(
        selected=outcome.selected,
        error=error,
        status=status,
        lower_bound=lower_bound,
        method=plan.method,
        seconds=time.monotonic() - plan.began,
        stats={**outcome.stats, "chosen": f"{plan.method}: {plan.why}"},
    )


def _found(problem: Problem, selected: BoolArray, control: Control) -> Solution:
    """The solution that a selection found on a device is."""
    error = verify(problem, selected)
    reached = control.eps is None or error <= control.eps
    return Solution(
        selected=selected,
        error=error,
        status=Status.feasible if reached else Status.unknown,
        lower_bound=0.0,
        method="pursuit",
        seconds=0.0,
    )


def _in_units(control: Control, exponent: int) -> Control:
    """The control for a problem in units of 2^exponent."""
    tell = control.progress
    return replace(
        control,
        eps=None if control.eps is None else math.ldexp(control.eps, -exponent),
        progress=None if tell is None else lambda seconds, error: tell(seconds, math.ldexp(error, exponent)),
    )


def _normalise(problem: Problem) -> tuple[Problem, int, bool]:
    """The problem in units of 2^exponent, and whether that lost nothing.

    Methods square norms and multiply by inverses: entries of 1e-300 or 1e250 must not under- or overflow there.
    Scaling by a power of two is exact, unless a problem mixes entries more than 2^1000 apart.
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
