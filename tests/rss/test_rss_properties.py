"""What must hold of every instance: symmetries, independence of threads, and errors that are never understated."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instances import INTEGER, all_errors, guard, nsn

from slth.errors import InputError
from slth.rss import SOLVERS, Problem, exact_error, solve, solve_batch
from slth.rss.auto import choose
from slth.rss.control import Control

ALL_METHODS = [*SOLVERS, "auto"]
modest = settings(derandomize=True, deadline=None, max_examples=40)


@st.composite
def integer_problems(draw: st.DrawFn) -> Problem:
    """Small integers: ties, zero vectors and duplicates are common."""
    n, D = draw(st.integers(1, 9)), draw(st.integers(1, 4))
    vectors = draw(st.lists(st.lists(st.integers(-3, 3), min_size=D, max_size=D), min_size=n, max_size=n))
    target = draw(st.lists(st.integers(-12, 12), min_size=D, max_size=D))
    return Problem(vectors=np.array(vectors, dtype=float), target=np.array(target) / 2)


@modest
@given(problem=integer_problems(), seed=st.integers(0, 1000), data=st.data())
def test_the_order_of_candidates_does_not_change_the_optimum(problem: Problem, seed: int, data: st.DataObject) -> None:
    k = data.draw(st.one_of(st.none(), st.integers(0, problem.size)))
    order = np.random.default_rng(seed).permutation(problem.size)
    errors = {
        exact_error(one, solve(one, "exact", threads=1).selected)
        for one in (
            Problem(vectors=problem.vectors, target=problem.target, cardinality=k),
            Problem(vectors=problem.vectors[order], target=problem.target, cardinality=k),
        )
    }
    assert len(errors) == 1


@modest
@given(problem=integer_problems(), extra=st.lists(st.integers(-3, 3), min_size=4, max_size=4))
def test_one_more_candidate_never_raises_the_optimum(problem: Problem, extra: list[int]) -> None:
    more = np.vstack([problem.vectors, np.array(extra[: problem.dimension], dtype=float)])
    larger = Problem(vectors=more, target=problem.target)
    assert solve(larger, "exact", threads=1).error <= solve(problem, "exact", threads=1).error


@pytest.mark.parametrize("method", ALL_METHODS)
@settings(modest, max_examples=20)
@given(exponent=st.integers(-900, 900), seed=st.integers(0, 50), size=st.sampled_from([6, 10, 100]))
def test_a_power_of_two_scales_the_error_and_nothing_else(method: str, exponent: int, seed: int, size: int) -> None:
    """Scaling by 2^e is exact in float64, so a method that is told nothing about units cannot tell the difference."""
    if method in {"exact", "auto", "core", *INTEGER}:
        size = min(size, 10)  # these would take seconds, or stop by the clock
    problem = nsn(size, 3, seed)
    factor = 2.0**exponent
    scaled = Problem(vectors=problem.vectors * factor, target=problem.target * factor)
    one, other = (solve(p, method, threads=1, time_limit=guard(method)) for p in (problem, scaled))
    assert (one.selected == other.selected).all()
    assert other.error == one.error * factor
    assert other.status is one.status


@pytest.mark.parametrize("method", ALL_METHODS)
@settings(modest, max_examples=20)
@given(problem=integer_problems(), exponent=st.integers(-60, 60))
def test_a_power_of_two_does_not_change_which_of_many_ties_is_taken(
    method: str, problem: Problem, exponent: int
) -> None:
    scaled = Problem(vectors=problem.vectors * 2.0**exponent, target=problem.target * 2.0**exponent)
    one, other = solve(problem, method, threads=1), solve(scaled, method, threads=1)
    assert (one.selected == other.selected).all()
    assert exact_error(scaled, other.selected) == exact_error(problem, one.selected) * Fraction(2) ** exponent


@pytest.mark.parametrize(
    ("method", "n", "D"),
    [
        ("exact", 18, 3),
        ("exact", 22, 8),
        ("relax", 900, 9),
        ("pursuit", 900, 9),
        ("local", 300, 9),
        ("core", 30, 4),
        ("differencing", 300, 5),
        ("auto", 700, 36),
        ("auto", 20, 2),
    ],
)
def test_the_number_of_threads_changes_nothing(method: str, n: int, D: int) -> None:
    for seed in range(3):
        problem = nsn(n, D, seed)
        one, two = (solve(problem, method, threads=threads, seed=seed) for threads in (1, 2))
        assert (one.selected == two.selected).all()
        assert (one.error, one.status, one.lower_bound) == (two.error, two.status, two.lower_bound)


def test_ties_do_not_depend_on_the_number_of_threads() -> None:
    """Among thousands of equal optima, the same one is reported whoever finds it first."""
    rng = np.random.default_rng(3)
    problem = Problem(vectors=rng.integers(-2, 3, size=(20, 1)).astype(float), target=np.array([7.0]))
    one, two, again = (solve(problem, "exact", threads=threads).selected for threads in (1, 2, 2))
    assert (one == two).all()
    assert (one == again).all()


@pytest.mark.parametrize(
    ("method", "n"),
    [
        ("exact", 12),
        ("relax", 200),
        ("pursuit", 200),
        ("differencing", 50),
        ("core", 12),
        ("local", 60),
        ("auto", 12),
        ("auto", 200),
    ],
)
def test_a_batch_is_its_instances_one_by_one(method: str, n: int) -> None:
    size = n // 3 if method == "relax" else None
    problems = [nsn(n, 4, seed, cardinality=size) for seed in range(6)]
    vectors, targets = np.stack([p.vectors for p in problems]), np.stack([p.target for p in problems])
    batches = [
        solve_batch(vectors=vectors, targets=targets, cardinality=size, method=method, seed=5, threads=threads)
        for threads in (1, 2)
    ]
    singles = [solve(problem, method, seed=5) for problem in problems]
    for batch in batches:
        assert (batch.selected == np.stack([single.selected for single in singles])).all()
        assert batch.error.tolist() == [single.error for single in singles]
        assert batch.lower_bound.tolist() == [single.lower_bound for single in singles]
        assert batch.status == tuple(single.status for single in singles)
        assert batch.methods == tuple(single.method for single in singles)


@pytest.mark.parametrize("method", ["exact", "auto", "core"])
def test_a_batch_with_little_memory_is_still_its_instances_one_by_one(method: str) -> None:
    """Many ties, and memory for less than one whole table: the halves must not depend on how many threads there are."""
    rng = np.random.default_rng(12)
    vectors, targets = rng.integers(-2, 3, (4, 18, 2)).astype(float), rng.integers(-3, 4, (4, 2)) / 2
    options: dict[str, Any] = {"method": method, "max_memory": 40_000}
    batches = [solve_batch(vectors=vectors, targets=targets, threads=threads, **options) for threads in (1, 3)]
    for i in range(4):
        single = solve(Problem(vectors=vectors[i], target=targets[i]), **options)
        for batch in batches:
            assert (batch.selected[i] == single.selected).all()
            assert batch.methods[i] == single.method


def test_a_batch_that_no_table_fits_is_solved_by_branch_and_bound() -> None:
    problems = [nsn(52, 20, seed) for seed in range(3)]
    vectors, targets = np.stack([p.vectors for p in problems]), np.stack([p.target for p in problems])
    batch = solve_batch(vectors=vectors, targets=targets, method="exact", max_memory=1e7, threads=2)
    assert [str(status) for status in batch.status] == ["optimal"] * 3


def test_of_equal_optima_the_smallest_binary_number_is_taken() -> None:
    """However the candidates are split: by the memory for the table, and against brute force."""
    rng = np.random.default_rng(4)
    for trial in range(20):
        size = [None, 5][trial % 2]
        vectors, target = rng.integers(-2, 3, (11, 2)).astype(float), rng.integers(-3, 4, 2) / 2
        problem = Problem(vectors=vectors, target=target, cardinality=size)
        errors = all_errors(problem)
        best = min(errors.values())
        wanted = min((bits for bits, error in errors.items() if error == best), key=lambda bits: bits[::-1])
        for memory in (1e9, 3000):
            assert tuple(solve(problem, "exact", max_memory=memory).selected.astype(int)) == wanted


def test_a_batch_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(InputError, match="targets must have shape"):
        solve_batch(vectors=np.ones((2, 5, 3)), targets=np.ones((2, 4)))
    with pytest.raises(InputError, match="vectors must have shape"):
        solve_batch(vectors=np.ones((5, 3)), targets=np.ones((2, 3)))


def test_auto_does_not_start_a_proof_that_the_time_does_not_allow() -> None:
    """2^23 look-ups take an eighth of a second; in a twentieth, better a method that finds than one that proves."""
    problem = nsn(40, 4, seed=0)
    assert choose(problem, Control())[0] == "exact"
    assert choose(problem, Control(deadline=time.monotonic() + 60))[0] == "exact"
    assert choose(problem, Control(deadline=time.monotonic() + 0.05))[0] == "core"
