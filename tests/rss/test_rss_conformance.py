"""Every method on every awkward tiny instance, against brute force in exact arithmetic."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from incumbents import Incumbents
from instances import ANYTIME, INTEGER, ROUNDING, guard, nsn, optimum, selections, tiny_problems

from slth.errors import InputError, MemoryEstimateError
from slth.rss import SOLVERS, Problem, Solution, Status, exact, exact_error, exact_objective, solve
from slth.rss.control import Control
from slth.rss.exact import solve_exact
from slth.rss.problem import NORMS

ALL_METHODS = [*SOLVERS, "auto"]
PROBLEMS = tiny_problems()
# Entries 10^550 apart do not fit one unit: there the optimum may be found without being proved.
LOSSY = {"mixed"}
OPTIMA = {name: optimum(problem) for name, problem in PROBLEMS.items()}


def check_solution(problem: Problem, solution: Solution, best: Fraction, method: str) -> None:
    """What holds for any solution of any method."""
    assert solution.selected.shape == (problem.size,)
    assert solution.selected.dtype == np.bool_
    assert solution.method in (SOLVERS if method == "auto" else [method])
    error = exact_error(problem, solution.selected)
    assert best <= error  # or the oracle is wrong
    assert error <= Fraction(solution.error) <= error + Fraction(math.ulp(solution.error))
    assert Fraction(solution.lower_bound) <= best
    if solution.status is Status.optimal:
        assert error == best
    if problem.cardinality is not None:
        assert solution.selected.sum() == problem.cardinality


@pytest.mark.parametrize("name", ["integers", "collinear", "mixed", "tiny"])
def test_the_two_oracles_agree(name: str) -> None:
    """Integers in units of 2⁻¹⁰⁷⁴ against slth's fractions: neither is trusted alone."""
    problem = PROBLEMS[name]
    assert OPTIMA[name] == min(exact_error(problem, selected) for selected in selections(problem.size))


def fits(name: str, method: str) -> bool:
    """Whether the numbers of an instance fit the integers that a method rounds them to."""
    return not (name == "far-target" and method in ROUNDING)


@pytest.mark.parametrize(("name", "method"), [(n, m) for n in PROBLEMS for m in ALL_METHODS if fits(n, m)])
def test_solution_is_what_it_says(name: str, method: str) -> None:
    problem = PROBLEMS[name]
    solution = solve(problem, method, threads=1, time_limit=guard(method))
    check_solution(problem, solution, OPTIMA[name], method)
    if method == "exact" and name not in LOSSY:
        assert solution.status is Status.optimal
        assert "proved" in solution.message
    else:
        assert solution.status in (Status.optimal, Status.feasible)  # without eps nothing else makes sense


@pytest.mark.parametrize(("name", "method"), [(n, m) for n in PROBLEMS for m in ALL_METHODS if fits(n, m)])
def test_fixed_cardinality_is_respected(name: str, method: str) -> None:
    problem = PROBLEMS[name]
    for k in sorted({0, 1, problem.size // 2, problem.size - 1, problem.size}):
        fixed = Problem(vectors=problem.vectors, target=problem.target, cardinality=k)
        solution = solve(fixed, method, threads=1, time_limit=guard(method))
        check_solution(fixed, solution, optimum(fixed), method)
        assert method != "exact" or name in LOSSY or solution.status is Status.optimal


@pytest.mark.parametrize("method", sorted(ROUNDING))
def test_integer_solvers_refuse_what_does_not_fit_their_integers(method: str) -> None:
    assert not fits("far-target", method)
    with pytest.raises(InputError, match="grid steps"):
        solve(PROBLEMS["far-target"], method)


def test_exact_equals_brute_force_on_many_random_instances(search: str) -> None:
    """400 instances, half of them small integers full of ties, a third of them with a fixed size."""
    rng = np.random.default_rng(99)
    for trial in range(400):
        n, D = int(rng.integers(1, 11)), int(rng.integers(1, 6))
        k = int(rng.integers(0, n + 1)) if trial % 3 == 0 else None
        if trial % 2:
            problem = nsn(n, D, seed=trial, cardinality=k)
        else:
            whole: Any = rng.integers(-3, 4, size=(n, D))  # integers are taken, and become float64
            problem = Problem(vectors=whole, target=rng.integers(-8, 9, size=D) / 2, cardinality=k)
        best = optimum(problem)
        solution = solve(problem, "exact", threads=1)
        assert solution.status is Status.optimal, f"trial {trial}"
        check_solution(problem, solution, best, "exact")


@pytest.fixture(params=["branch and bound", "meet in the middle"])
def search(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each search of exact alone, including the one that would not have been used."""
    name = str(request.param)
    nodes = -1.0 if name == "meet in the middle" else math.inf
    monkeypatch.setattr(exact, "_branch_nodes", lambda *_: nodes)
    monkeypatch.setattr(exact, "MAX_SORTED", 0)
    return name


@pytest.mark.parametrize("norm", NORMS)
def test_both_searches_prove_the_same_optimum(search: str, norm: str) -> None:
    """Random and integer instances, with every kind of size, against brute force in fractions."""
    for seed in range(24):
        plain = nsn(9, 1 + seed % 4, seed=seed, reach=1.0 + seed % 3)
        vectors = np.round(2 * plain.vectors) if seed % 3 == 0 else plain.vectors
        size = [None, 0, 2, 5, 9][seed % 5]
        problem = Problem(vectors=vectors, target=plain.target, cardinality=size, norm=norm)
        allowed = [one for one in selections(9) if size is None or one.sum() == size]
        best = min(exact_objective(problem, one) for one in allowed)
        solution = solve(problem, "exact")
        assert solution.status is Status.optimal
        assert exact_objective(problem, solution.selected) == best
        assert solution.stats["search"].startswith(search) or not problem.vectors.any()


def test_both_searches_take_the_same_of_equal_optima(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    for _ in range(10):
        problem = Problem(vectors=rng.integers(-2, 3, (14, 2)).astype(float), target=rng.integers(-3, 4, 2) / 2)
        found = []
        for nodes in (math.inf, -1.0):
            monkeypatch.setattr(exact, "_branch_nodes", lambda *_, nodes=nodes: nodes)
            found.append(solve(problem, "exact"))
        assert (found[0].selected == found[1].selected).all()
        assert found[0].stats["search"] != found[1].stats["search"]


def test_branch_and_bound_proves_what_tables_cannot_hold() -> None:
    """56 candidates would need 2^28 rows of 24 coordinates; 4 of 100 need a search that knows the size."""
    for problem, method in ((nsn(56, 24, seed=0), "exact"), (nsn(100, 6, seed=0, cardinality=4), "auto")):
        solution = solve(problem, method)
        assert solution.method == "exact"
        assert solution.status is Status.optimal
        assert solution.error <= solve(problem, "local", time_limit=0.5).error


def test_an_instance_that_neither_search_can_do_is_refused_or_runs_out_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "NODES_WITHOUT_TABLES", 1e5)
    problem = nsn(300, 3, seed=0)
    with pytest.raises(MemoryEstimateError, match="n = 300 candidates in D = 3 needs more than"):
        solve(problem, "exact")
    assert solve(problem, "exact", time_limit=0.2).status is Status.feasible


@pytest.mark.parametrize("target", [0.27, 0.33])
def test_exact_tells_apart_what_float64_sums_cannot(search: str, target: float) -> None:
    """Sums of 3 of 7 numbers that differ in their last bits, by less than a sum's rounding error."""
    vectors = 0.1 + 2.0**-56 * np.array([[2.0], [-3.0], [4.0], [-1.0], [0.0], [3.0], [-2.0]])
    problem = Problem(vectors=vectors, target=np.array([target]))
    solution = solve(problem, "exact")
    assert solution.status is Status.optimal
    assert np.flatnonzero(solution.selected).tolist() == ([1, 3, 6] if target < 0.3 else [0, 2, 5])


@pytest.mark.parametrize("target", [0.77, 0.83])
def test_exact_admits_that_too_many_ties_prove_nothing(search: str, target: float) -> None:
    """12,870 sums of 8 of 16 numbers that differ in their last bits are too many to compare: no false proof."""
    vectors = 0.1 + 2.0**-56 * np.random.default_rng(2).integers(-4, 5, size=(16, 1)).astype(float)
    problem = Problem(vectors=vectors, target=np.array([target]))
    solution = solve(problem, "exact")
    check_solution(problem, solution, optimum(problem), "exact")
    assert solution.lower_bound > 0.99 * float(optimum(problem))


@pytest.mark.parametrize("method", ALL_METHODS)
@pytest.mark.parametrize("name", ["nsn-3", "integers", "all-zero", "huge", "one"])
def test_no_time_still_gives_an_incumbent(name: str, method: str) -> None:
    problem = PROBLEMS[name]
    solution = solve(problem, method, time_limit=0, threads=1)
    check_solution(problem, solution, OPTIMA[name], method)


def test_no_time_with_a_fixed_size_keeps_the_size() -> None:
    for method in ALL_METHODS:
        problem = nsn(10, 3, seed=4, cardinality=6)
        check_solution(problem, solve(problem, method, time_limit=0), optimum(problem), method)


@pytest.mark.parametrize("method", [method for method in SOLVERS if method not in INTEGER and method != "exact"])
def test_every_size_of_a_larger_instance_is_kept(method: str) -> None:
    """From none to all of 40, past every boundary between few, many and nearly all."""
    for k in (0, 1, 2, 3, 7, 17, 20, 35, 38, 39, 40):
        solution = solve(nsn(40, 4, seed=k, cardinality=k), method, threads=1)
        assert solution.selected.sum() == k


@pytest.mark.parametrize("k", [None, 1, 5, 12, 22])
def test_core_that_holds_every_candidate_finds_the_optimum(k: int | None) -> None:
    """Nothing is left to the settlements then; the sizes must match in every pair of halves."""
    for seed in range(3):
        problem = nsn(24, 2, seed=seed, cardinality=k)
        assert solve(problem, "core", threads=1).error == solve(problem, "exact").error


@dataclass(frozen=True, kw_only=True)
class StopAfter(Control):
    """A deadline that passes at a stated look at the clock: timeouts that happen in the same place in every run."""

    looks: list[int] = field(default_factory=lambda: [0])
    limit: int = 0

    def expired(self) -> bool:
        self.looks[0] += 1
        return self.looks[0] > self.limit


@pytest.mark.parametrize("problem", [nsn(8, 1, seed=29), nsn(8, 3, seed=22)], ids=["four scans", "two scans"])
def test_exact_claims_only_what_it_has_seen_when_time_runs_out(search: str, problem: Problem) -> None:
    """Stopped at every possible moment, its bound is at most the optimum and grows towards it."""
    best = optimum(problem)
    bounds = []
    for limit in range(40):
        outcome = solve_exact(problem, StopAfter(limit=limit))
        assert exact_error(problem, outcome.selected) >= best
        assert outcome.lower_bound <= best or math.isinf(outcome.lower_bound)
        bounds.append(outcome.lower_bound)
        if math.isinf(outcome.lower_bound):  # proved: now the selection is the optimum
            assert exact_error(problem, outcome.selected) == best
    assert bounds == sorted(bounds)
    assert bounds[0] == 0
    assert any(0 < bound < math.inf for bound in bounds)
    assert bounds[-1] == math.inf


@pytest.mark.parametrize("exponent", [-400, 0, 400])
@pytest.mark.parametrize("method", sorted(ANYTIME))
def test_anytime_methods_stop_when_eps_is_reached(method: str, exponent: int) -> None:
    """In the units of the problem, whatever they are: the first incumbent will do, and no minute is spent."""
    plain = nsn(200, 8, seed=7)
    problem = Problem(vectors=plain.vectors * 2.0**exponent, target=plain.target * 2.0**exponent)
    solution = solve(problem, method, eps=0.5 * 2.0**exponent, time_limit=60)
    assert solution.status is Status.feasible
    assert solution.seconds < 30


def test_differencing_is_karmarkar_karp_in_one_dimension() -> None:
    """8, 7, 6, 5, 4: it is known to end at 16 against 14, where 15 against 15 would be possible."""
    problem = Problem(vectors=np.array([[8.0], [7], [6], [5], [4]]), target=np.array([15.0]))
    assert solve(problem, "differencing").error == 1
    assert solve(problem, "exact").error == 0
    assert max(solve(nsn(60, 1, seed=seed), "differencing").error for seed in range(5)) < 1e-3


@pytest.mark.parametrize("method", ALL_METHODS)
@pytest.mark.parametrize("name", ["nsn-1", "nsn-2", "nsn-4", "integers-off", "duplicates", "collinear", "tiny"])
@pytest.mark.parametrize("factor", [0.5, 1.5, 100.0])
def test_status_tells_whether_eps_was_reached(name: str, method: str, factor: float) -> None:
    """Infeasible only when the optimum is above eps; unknown only when eps was not reached."""
    problem, best = PROBLEMS[name], OPTIMA[name]
    eps = factor * float(best)
    solution = solve(problem, method, eps=eps, threads=1)
    check_solution(problem, solution, best, method)
    reached = solution.error <= eps
    if solution.status is Status.infeasible:
        assert best > Fraction(eps)
    elif solution.status is Status.unknown:
        assert not reached
    else:
        assert reached
    if method == "exact":
        assert solution.status is (Status.infeasible if factor < 1 else Status.optimal)


@pytest.mark.parametrize("method", ALL_METHODS)
def test_an_eps_that_is_just_reached_is_reached(method: str) -> None:
    """error ≤ eps, not <; one float64 less is no longer reached."""
    problem = PROBLEMS["nsn-5"]
    error = solve(problem, method).error
    assert solve(problem, method, eps=error).status in (Status.optimal, Status.feasible)
    if method in ("pursuit", "relax"):
        assert solve(problem, method, eps=math.nextafter(error, 0)).status is Status.unknown


@pytest.mark.parametrize("method", ["exact", "auto"])
def test_eps_zero_is_reached_when_the_target_is_a_sum(method: str) -> None:
    problem = nsn(10, 2, seed=21)
    integers = np.round(4 * problem.vectors)
    problem = Problem(vectors=integers, target=integers[[1, 4, 7]].sum(axis=0))
    solution = solve(problem, method, eps=0)
    assert solution.error == 0.0
    assert solution.status is Status.optimal


def test_the_smallest_eps_that_is_out_of_reach_is_infeasible() -> None:
    """A hair below the optimum must not be called reached."""
    problem = PROBLEMS["nsn-2"]
    eps = float(OPTIMA["nsn-2"]) * (1 - 1e-12)
    assert solve(problem, "exact", eps=eps).status is Status.infeasible


def test_auto_says_what_it_chose() -> None:
    solution = solve(nsn(10, 3, seed=5))
    assert solution.method == "exact"
    assert solution.stats["chosen"].startswith("exact")
    large = solve(nsn(300, 3, seed=5))
    assert large.method == "tree"
    assert "300" in large.stats["chosen"]
    assert solve(nsn(300, 3, seed=5), time_limit=0.1).method == "tree"
    assert solve(nsn(300, 30, seed=5)).method == "relax"
    assert solve(nsn(300, 30, seed=5), time_limit=0.1).method == "local"
    assert solve(nsn(300, 3, seed=5, cardinality=90)).method == "tree"
    assert solve(nsn(300, 3, seed=5, cardinality=9)).method == "relax"
    assert solve(nsn(300, 30, seed=5, cardinality=90), time_limit=0.1).method == "local"


@pytest.mark.parametrize("method", sorted(ANYTIME))
def test_anytime_methods_tell_of_better_and_better_incumbents(method: str) -> None:
    problem = nsn(200, 8, seed=7)
    solve(problem, method, time_limit=0)  # loading compiled code must not eat the time
    listener = Incumbents()
    solution = solve(problem, method, time_limit=0.8, progress=listener)
    seconds, errors = zip(*listener.told, strict=True)
    assert list(seconds) == sorted(seconds)
    assert all(later < earlier for earlier, later in itertools.pairwise(errors))
    assert errors[-1] == pytest.approx(solution.error, rel=1e-9)
    assert len(errors) > 1


@pytest.mark.parametrize(
    ("vectors", "target", "cardinality", "words"),
    [
        (np.ones(5), np.ones(1), None, "shape"),
        (np.ones((5, 2)), np.ones(3), None, "target must have shape"),
        (np.ones((0, 2)), np.ones(2), None, "n ≥ 1"),
        (np.full((2, 2), np.nan), np.ones(2), None, "finite"),
        (np.ones((2, 1)), np.array([np.inf]), None, "finite"),
        (np.full((3, 1), 5e299), np.ones(1), None, "1e300"),
        (np.ones((3, 1)), np.ones(1), 4, "cardinality"),
        (np.ones((3, 1)), np.ones(1), -1, "cardinality"),
        ([["a"]], np.ones(1), None, "numbers"),
    ],
)
def test_a_problem_that_makes_no_sense_is_refused(
    vectors: Any, target: Any, cardinality: int | None, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        Problem(vectors=vectors, target=target, cardinality=cardinality)


@pytest.mark.parametrize(
    "options",
    [{"method": "magic"}, {"eps": -1.0}, {"time_limit": -1}, {"seed": -1}, {"threads": 0}, {"max_memory": 0}],
)
def test_an_option_out_of_range_is_named(options: dict[str, Any]) -> None:
    name = next(iter(options))
    with pytest.raises(InputError, match=name):
        solve(nsn(5, 2, seed=0), **options)
