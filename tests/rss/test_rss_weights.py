"""Batches of one-dimensional instances: every answer is the optimum, whatever the numbers."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from instances import optimum

from slth.errors import InputError
from slth.rss import Problem, Status, exact_error, solve, solve_batch
from slth.rss.sorted_halves import MAX_SORTED
from slth.rss.weights import solve_weights

KINDS = {
    "products": lambda rng, b, n: (rng.normal(size=(b, n)) * rng.normal(size=(b, n)), rng.uniform(-1, 1, b)),
    "integers": lambda rng, b, n: (rng.integers(-3, 4, (b, n)).astype(float), rng.integers(-8, 9, b) / 2),
    "last-bits": lambda rng, b, n: (0.1 + 2.0**-56 * rng.integers(-4, 5, (b, n)), rng.uniform(0, 0.1 * n, b)),
    "tiny": lambda rng, b, n: (1e-300 * rng.normal(size=(b, n)), 1e-300 * rng.normal(size=b)),
    "huge": lambda rng, b, n: (1e280 * rng.normal(size=(b, n)), 1e280 * rng.normal(size=b)),
    "mixed": lambda rng, b, n: (rng.normal(size=(b, n)) * 10.0 ** rng.integers(-20, 20, (b, n)), rng.normal(size=b)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_gets_its_optimum(kind: str) -> None:
    rng = np.random.default_rng(5)
    for n in (1, 2, 3, 5, 8, 9):
        vectors, targets = KINDS[kind](rng, 15, n)
        solution = solve_weights(vectors=vectors, targets=targets, threads=1)
        for i in range(15):
            problem = Problem(vectors=vectors[i][:, None], target=targets[i : i + 1])
            error = exact_error(problem, solution.selected[i])
            assert error == optimum(problem)
            reported = float(solution.error[i])
            assert error <= Fraction(reported) <= error + 2 * Fraction(math.ulp(reported))


def test_candidates_in_common_and_threads_change_nothing() -> None:
    """5,000 weights are several chunks of work; one row of candidates stands for 5,000 equal ones."""
    rng = np.random.default_rng(6)
    vectors, targets = rng.normal(size=11), rng.uniform(-2, 2, 5000)
    one, two = (solve_weights(vectors=vectors, targets=targets, threads=threads) for threads in (1, 2))
    repeated = solve_weights(vectors=np.tile(vectors, (5000, 1)), targets=targets)
    for other in (two, repeated):
        assert (one.selected == other.selected).all()
        assert (one.error == other.error).all()


@pytest.mark.parametrize(
    ("vectors", "targets", "words"),
    [
        (np.ones((3, 2)), np.ones(4), "targets|rows"),
        (np.ones((1, MAX_SORTED + 1)), np.ones(1), str(MAX_SORTED)),
        (np.full((1, 2), np.nan), np.ones(1), "finite"),
        (np.ones((1, 2)), np.array([np.inf]), "finite"),
        (np.ones((1, 1, 1)), np.ones(1), "shape"),
    ],
)
def test_batches_that_make_no_sense_are_refused(vectors: Any, targets: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        solve_weights(vectors=vectors, targets=targets)


@pytest.mark.parametrize("method", ["exact", "auto"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_weights_takes_the_fast_way_and_is_what_solve_says(kind: str, method: str) -> None:
    """The same selections, errors, bounds and statuses as one at a time, with ties and without."""
    rng = np.random.default_rng(8)
    vectors, targets = KINDS[kind](rng, 12, 7)
    for norm, eps in (("linf", None), ("l2", float(0.02 * np.abs(vectors).max()))):
        batch = solve_batch(
            vectors=vectors[:, :, None], targets=targets[:, None], method=method, norm=norm, eps=eps, threads=1
        )
        for i in range(12):
            problem = Problem(vectors=vectors[i][:, None], target=targets[i : i + 1], norm=norm)
            one = solve(problem, "exact", eps=eps)
            assert (batch.selected[i] == one.selected).all()
            assert (batch.error[i], batch.lower_bound[i]) == (one.error, one.lower_bound)
            assert (batch.status[i], batch.methods[i]) == (one.status, "exact")


def test_a_batch_of_weights_that_is_out_of_time_still_gets_selections() -> None:
    rng = np.random.default_rng(9)
    vectors, targets = rng.normal(size=(5, 9, 1)), rng.uniform(-1, 1, (5, 1))
    late = solve_batch(vectors=vectors, targets=targets, method="exact", time_limit=0)
    sized = solve_batch(vectors=vectors, targets=targets, method="exact", cardinality=3)
    assert late.selected.shape == (5, 9)
    assert (late.error >= solve_batch(vectors=vectors, targets=targets).error).all()
    assert (sized.selected.sum(axis=1) == 3).all()
    assert set(sized.status) == {Status.optimal}
    huge = np.full((2, 3, 1), 5e299)
    with pytest.raises(InputError, match="1e300"):
        solve_batch(vectors=huge, targets=targets[:2])
    with pytest.raises(InputError, match="norm"):
        solve_batch(vectors=vectors, targets=targets, norm="l3")
