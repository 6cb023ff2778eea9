"""The L2 objective: proved optima against brute force, exact comparison, errors never understated."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from instances import INTEGER, nsn

from slth.errors import InputError
from slth.rss import SOLVERS, Problem, Status, exact_error, exact_objective, solve, solve_batch, solve_stream


def euclidean(problem: Problem) -> Problem:
    return Problem(vectors=problem.vectors, target=problem.target, cardinality=problem.cardinality, norm="l2")


def optimum(problem: Problem) -> Fraction:
    """The smallest exact squared error over every selection."""
    codes = np.arange(2**problem.size)
    selections = ((codes[:, None] >> np.arange(problem.size)) & 1).astype(bool)
    if problem.cardinality is not None:
        selections = selections[selections.sum(axis=1) == problem.cardinality]
    return min(exact_objective(problem, selected) for selected in selections)


@pytest.mark.parametrize("seed", range(40))
def test_exact_proves_the_euclidean_optimum(seed: int) -> None:
    dimension, n = 1 + seed % 4, 2 + seed % 6
    plain = nsn(n, dimension, seed=seed)
    vectors = np.round(2 * plain.vectors) if seed % 3 == 0 else plain.vectors  # integers: many exact ties
    cardinality = seed % (n + 1) if seed % 5 == 0 else None
    problem = Problem(vectors=vectors, target=plain.target, cardinality=cardinality, norm="l2")
    solution = solve(problem, "exact")
    assert solution.status is Status.optimal
    assert exact_objective(problem, solution.selected) == optimum(problem)
    assert Fraction(solution.error) ** 2 >= exact_objective(problem, solution.selected)


@pytest.mark.parametrize("method", sorted(SOLVERS))
def test_no_method_claims_what_is_not_so(method: str) -> None:
    problem = euclidean(nsn(7, 3, seed=4))
    best = optimum(problem)
    solution = solve(problem, method, time_limit=2)
    assert exact_objective(problem, solution.selected) >= best
    assert Fraction(solution.lower_bound) ** 2 <= best
    if solution.status is Status.optimal:
        assert exact_objective(problem, solution.selected) == best


@pytest.mark.parametrize("method", sorted(INTEGER))
def test_integer_solvers_find_the_euclidean_optimum(method: str) -> None:
    """Also where the L∞ optimum is another one, with ties, and with a fixed size; their bounds are close and hold."""
    others = 0
    for seed in range(6):
        plain = nsn(8, 3, seed=seed)
        vectors = np.round(2 * plain.vectors) if seed == 1 else plain.vectors
        size = 3 if seed % 3 == 2 else None
        problem = Problem(vectors=vectors, target=plain.target, cardinality=size, norm="l2")
        best, solution = optimum(problem), solve(problem, method, time_limit=20)
        assert exact_objective(problem, solution.selected) == best
        assert 0.99 * math.sqrt(best) <= solution.lower_bound
        assert Fraction(solution.lower_bound) ** 2 <= best
        flat = Problem(vectors=vectors, target=plain.target, cardinality=size)
        others += exact_objective(problem, solve(flat, "exact").selected) > best
    assert others > 0


@pytest.mark.parametrize("exponent", [-600, 0, 900])
def test_cpsat_minimises_squares_at_any_scale(exponent: int) -> None:
    plain = nsn(9, 4, seed=2)
    vectors, target = np.ldexp(plain.vectors, exponent), np.ldexp(plain.target, exponent)
    problem = Problem(vectors=vectors, target=target, norm="l2")
    solution = solve(problem, "cpsat", time_limit=20)
    assert exact_objective(problem, solution.selected) == optimum(problem)
    assert Fraction(solution.lower_bound) ** 2 <= optimum(problem)


def test_cpsat_refuses_squares_that_overflow() -> None:
    problem = Problem(vectors=np.ones((3, 2)), target=np.array([1e12, 0.0]), norm="l2")
    with pytest.raises(InputError, match="grid steps"):
        solve(problem, "cpsat")


def test_the_norm_changes_what_is_best() -> None:
    """(2.5, 2.5) is the shorter of the two in L∞, (3, 0) in L2."""
    vectors = np.array([[3.0, 0.0], [2.5, 2.5]])
    shape: dict[str, Any] = {"vectors": vectors, "target": np.zeros(2), "cardinality": 1}
    assert solve(Problem(**shape), "exact").selected.tolist() == [False, True]
    assert solve(Problem(**shape, norm="l2"), "exact").selected.tolist() == [True, False]


def test_batches_and_streams_take_a_norm() -> None:
    problem = nsn(12, 2, seed=9)
    wanted = solve(euclidean(problem)).error
    batch = solve_batch(vectors=problem.vectors[None], targets=problem.target[None], norm="l2")
    stream = solve_stream([problem.vectors], problem.target, norm="l2")
    assert batch.error[0] == wanted == stream.error


def test_wrong_uses_are_named() -> None:
    problem = euclidean(nsn(3, 2, seed=0))
    with pytest.raises(InputError, match="Use exact_objective"):
        exact_error(problem, np.zeros(3, dtype=bool))
    with pytest.raises(InputError, match="norm must be one of linf, l2; got 'l1'"):
        Problem(vectors=np.ones((2, 2)), target=np.ones(2), norm="l1")
