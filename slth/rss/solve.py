"""The entry points of the subset-sum engine: solve one instance, or a batch of instances of one shape."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from slth.arrays import FloatArray
from slth.errors import InputError, check_array, check_choice
from slth.progress import Progress, follow
from slth.rss.control import DEFAULT_EFFORT, SOLVE_TASK, Control
from slth.rss.core import table_candidates
from slth.rss.device import check_method, solve_on_device
from slth.rss.device.backend import open_device
from slth.rss.half_tables import table_bytes
from slth.rss.meet import grid_bytes
from slth.rss.plan import SOLVERS, Plan, carry_out, conclude, make_control, make_plan
from slth.rss.problem import MAX_REACH, NORMS, BatchSolution, Problem, Solution, Status
from slth.rss.sorted_halves import MAX_SORTED, sorted_bytes
from slth.rss.threads import map_threads, one_blas_thread, thread_count
from slth.rss.tree import ENTRIES_PER_SECOND
from slth.rss.tree_shape import effort_bytes
from slth.rss.weights import Singles, prove_singles

# A solve that takes this many times its limit, and these seconds more, is called late.
LATE_FACTOR = 1.2
LATE_SECONDS = 0.5


def solve(
    problem: Problem,
    method: str = "auto",
    *,
    eps: float | None = None,
    time_limit: float | None = None,
    effort: float = DEFAULT_EFFORT,
    seed: int = 0,
    threads: int | None = None,
    max_memory: float = 1e9,
    progress: bool | Progress = False,
) -> Solution:
    r"""Find s ∈ {0,1}^n that makes ‖Xᵀs − z‖ small, in L∞ or in L2 as the problem says.

    .. math:: \min_{s \in \{0,1\}^n} \| X^\top s - z \|_\infty
              \quad\text{optionally with}\quad \textstyle\sum_i s_i = k

    Args:
        problem: X (n, D), z (D,), and k or None.
        method: ``auto``, which says in ``stats["chosen"]`` what it took and why; ``exact`` (proved; n up to about 60);
            ``tree`` (lists of subset sums, D up to about 16, from a millisecond to as long as it is given); ``relax``
            (fast, large n and D); ``local`` (larger D, uses the time it is given); ``core`` (D ≤ 8, likewise);
            ``pursuit`` (greedy); ``differencing`` (the classical method, for comparison); ``cpsat``, ``highs``,
            ``scip`` (published integer solvers). All of them keep a fixed size.
        eps: an error (≥ 0), in the problem's norm, that is good enough. The status then tells whether it was reached.
        time_limit: seconds (≥ 0) after which the incumbent is returned. ``relax``, ``local``, ``core`` and ``tree`` use
            most of them unless eps is reached. A solve that ends more than a fifth of them and half a second later says
            so in ``stats["late"]``: a first look at many coordinates takes that long. Where an integer solver found
            nothing, ``stats["incumbent"]`` says whose incumbent it is.
        effort: without a time limit, about so many seconds of one core (> 0) go into an instance. They are counted in
            steps, so the result does not depend on the speed of the machine. ``auto`` takes the method from which it
            expects the smallest error for this effort, and ``tree`` the tree.
        seed: the seed of every random choice. Without a time limit the result depends on it and never on ``threads``,
            except for ``cpsat`` and ``scip``, whose parallel search may vary.
        threads: number of threads; None for every core.
        max_memory: bytes for the tables of ``exact`` and ``core`` and the lists of ``tree``.
        progress: True for a bar with the time, or a listener. It hears of one task ``solve`` of one step, and at every
            better incumbent of a report with ``seconds`` since the start and the incumbent's ``error``.

    Returns:
        A :class:`Solution`; its error is recomputed from ``selected`` and rounded up, and its status is
        ``optimal`` or ``infeasible`` only when that was proved.

    Raises:
        InputError: an unknown method, or an option out of range.
        MemoryEstimateError: ``exact`` would not fit ``max_memory``.

    Source: becchetti2022
    """
    control = make_control(eps, time_limit, effort, seed, thread_count(threads), max_memory)
    check_choice("method", method, ("auto", *SOLVERS))
    with one_blas_thread(), follow(progress, {SOLVE_TASK: 1}, unit="problems") as listener:
        plan = make_plan(problem, method, replace(control, progress=listener))
        solution = carry_out(plan, eps, control.threads)
        listener.advance(SOLVE_TASK)
    if time_limit is None or solution.seconds <= LATE_FACTOR * time_limit + LATE_SECONDS:
        return solution
    late = f"ended {solution.seconds - time_limit:.2g} s after the limit: a first look takes that long"
    return replace(solution, stats={**solution.stats, "late": late})


def solve_batch(
    *,
    vectors: npt.ArrayLike,
    targets: npt.ArrayLike,
    cardinality: int | None = None,
    norm: str = "linf",
    method: str = "auto",
    eps: float | None = None,
    time_limit: float | None = None,
    effort: float = DEFAULT_EFFORT,
    seed: int = 0,
    threads: int | None = None,
    max_memory: float = 1e9,
    device: str | None = None,
) -> BatchSolution:
    """Solve b instances of one shape on all cores; each is what :func:`solve` would return for it.

    Args:
        vectors: float64 (b, n, D), the candidates of each instance.
        targets: float64 (b, D), the target of each instance.
        cardinality: k of every instance, or None when any size is allowed.
        norm: norm of every instance, ``linf`` or ``l2``.
        method: as for :func:`solve`. ``exact`` and ``auto`` solve instances of D = 1 with n ≤ 32 all at once, as
            :func:`solve_weights` does.
        eps: as for :func:`solve`, for every instance.
        time_limit: seconds for the whole batch. Instances not reached by then get a first incumbent.
        effort: as for :func:`solve`, for every instance.
        seed: as for :func:`solve`, for every instance.
        threads: number of threads; None for every core.
        max_memory: bytes for the tables of all threads together. If instances need more, fewer of them run at once.
        device: a torch device (``cuda``, ``cpu``) on which ``tree``, ``relax`` and ``pursuit`` take all instances at
            once; None for the cores. ``auto`` then sends there what it gives to these methods, and the cores solve the
            rest. Selections are those of the cores, except where rounding decides: with ``tree`` hardly ever, with
            ``relax`` in most instances of D above 36. On a GPU the batch is cut by the GPU's memory, else by
            ``max_memory``. A fixed size needs ``tree`` or ``auto`` there. On torch's CPU it takes 3 to 16 times as long
            as on the cores: it is written for a GPU, and was not run on one.

    Returns:
        A :class:`BatchSolution`: what :class:`Solution` tells, for each instance.

    Raises:
        InputError: shapes that do not match, NaN or infinity, an option out of range, or a device that cannot be used.
        MemoryEstimateError: ``exact`` would not fit ``max_memory``, or a device has not enough memory.
    """
    stacked = check_array("vectors", vectors, "(b, n, D), none of them 0", 3, "Pass one (n, D) matrix per instance.")
    goals = check_array("targets", targets, "(b, D)", 2, "Pass one target per instance.")
    if goals.shape != (stacked.shape[0], stacked.shape[2]):
        raise InputError(
            f"targets must have shape (b, D) = ({stacked.shape[0]}, {stacked.shape[2]}) to match vectors "
            f"{stacked.shape}; got {goals.shape}. Pass one target per instance."
        )
    check_choice("method", method, ("auto", *SOLVERS))
    check_choice("norm", norm, NORMS)
    workers = thread_count(threads)
    control = make_control(eps, time_limit, effort, seed, 1, max_memory)
    began = time.monotonic()

    place = None
    if device is not None:
        check_method(method, cardinality)
        place = open_device(device, max_memory)

    singles = _prove_singles(stacked, goals, cardinality, method, control, workers)
    # The general way is for what is left: ties, what time did not allow, and all other shapes.
    places = range(len(stacked)) if singles is None else np.flatnonzero(~singles.proved).tolist()

    def plan(i: int) -> Plan:
        problem = Problem(vectors=stacked[i], target=goals[i], cardinality=cardinality, norm=norm)
        return make_plan(problem, method, control)

    plans = dict(zip(places, map_threads(plan, places, workers), strict=True))
    there = {} if place is None else solve_on_device(plans, place, workers)
    here = [plan for i, plan in plans.items() if i not in there]
    at_once = _instances_at_once(here, control, workers)

    def run(i: int) -> Solution:
        if i in there:
            return replace(conclude(plans[i], there[i], eps), seconds=0.0)
        # If memory does not allow an instance for every thread, several threads share one. A tree with a deadline is as
        # large as the time and the memory allow, so those that are built at once share the memory.
        chosen = plans[i]
        if chosen.method == "tree":
            chosen = replace(chosen, control=replace(chosen.control, max_memory=max_memory / at_once))
        return carry_out(chosen, eps, workers // at_once)

    solutions = dict(zip(places, map_threads(run, places, at_once), strict=True))
    singles = singles or Singles.of_size(len(stacked), stacked.shape[1])
    for i, one in solutions.items():
        singles.selected[i], singles.error[i], singles.lower_bound[i] = one.selected, one.error, one.lower_bound
    return BatchSolution(
        selected=singles.selected,
        error=singles.error,
        lower_bound=singles.lower_bound,
        status=tuple(
            solutions[i].status if i in solutions else _proved(bound, eps)
            for i, bound in enumerate(singles.lower_bound.tolist())
        ),
        methods=tuple(solutions[i].method if i in solutions else "exact" for i in range(len(stacked))),
        seconds=time.monotonic() - began,
    )


def _prove_singles(
    vectors: FloatArray, targets: FloatArray, cardinality: int | None, method: str, control: Control, workers: int
) -> Singles | None:
    """A first pass over a batch of one-dimensional instances; None if the batch is of another kind."""
    n = vectors.shape[1]
    if vectors.shape[2] > 1 or cardinality is not None or method not in ("auto", "exact"):
        return None
    if n > MAX_SORTED or workers * sorted_bytes(n) > control.max_memory:
        return None
    if not n * max(vectors.max(), -vectors.min()) + np.abs(targets).max() < MAX_REACH:
        return None  # The general way names the instance whose sums may overflow.
    return prove_singles(vectors[:, :, 0], targets[:, 0], control, workers)


def _instances_at_once(plans: list[Plan], control: Control, workers: int) -> int:
    """How many instances of one shape fit ``max_memory`` at once, each with the tables it would have alone.

    Tables do not shrink with the number of threads, because what is found would change with them.
    """
    if not plans:
        return workers
    methods = {plan.method for plan in plans}
    n, dim, limit = plans[0].problem.size, plans[0].problem.dimension, control.max_memory
    need = 1.0
    if "exact" in methods:
        need = max(need, table_bytes(n, dim, limit))
    if "core" in methods:
        need = max(need, grid_bytes(table_candidates(n, dim, limit), dim))
    if "tree" in methods and control.deadline is None:
        need = max(need, effort_bytes(control.effort * ENTRIES_PER_SECOND, dim + 1))
    return int(min(workers, max(1.0, limit // need)))


def _proved(bound: float, eps: float | None) -> Status:
    """The status of an optimum with this lower bound."""
    return Status.optimal if eps is None or bound <= eps else Status.infeasible
