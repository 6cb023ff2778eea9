"""One selection for each part: optimal for single weights, and independent of the other parts for kernels."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from instances import optimum

from slth.rss import Problem
from slth.tickets.search.parts import EXHAUSTIVE, solve_parts


@pytest.mark.parametrize("count", [1, 2, 5, 8, 12])
@pytest.mark.parametrize("method", ["auto", "exact"])
def test_single_weights_get_their_optimum(count: int, method: str) -> None:
    """Each selection is compared with exact brute force over all selections."""
    rng = np.random.default_rng(count)
    for _ in range(6 if count > 8 else 12):
        candidates = rng.normal(size=(count, 1)) * rng.normal(size=(count, 3))
        goals = rng.uniform(-1, 1, (3, 1))
        selections = solve_parts(candidates, goals, method=method, seed=0)
        for p, selected in enumerate(selections):
            problem = Problem(vectors=candidates[:, p : p + 1], target=goals[p])
            best = optimum(problem)
            got = sum((Fraction(value) for value in candidates[selected, p].tolist()), -Fraction(float(goals[p, 0])))
            assert abs(got) == best


def test_parts_are_solved_by_themselves() -> None:
    """Each kernel is solved from its own columns, and a goal of zero keeps nothing."""
    rng = np.random.default_rng(7)
    candidates, goals = rng.normal(size=(10, 12)), rng.uniform(-1, 1, (3, 4))
    goals[1] = 0
    selections = solve_parts(candidates, goals, method="exact", seed=0)
    assert not selections[1].any()
    for p in (0, 2):
        vectors = np.ascontiguousarray(candidates[:, 4 * p : 4 * p + 4])
        problem = Problem(vectors=vectors, target=goals[p])
        exact = min(
            np.abs(vectors[list(subset)].sum(axis=0) - goals[p]).max()
            for size in range(11)
            for subset in itertools.combinations(range(10), size)
        )
        assert np.abs(vectors[selections[p]].sum(axis=0) - goals[p]).max() == pytest.approx(exact, rel=1e-12)
        assert float(optimum(problem)) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("count", [EXHAUSTIVE + 1, 60, 500])
def test_many_candidates_leave_a_tiny_error(count: int) -> None:
    r"""2^24 sums of the smallest: the nearest is within 1e-4 of the largest candidate for 200 weights.

    The smallest 24 of n candidates (products of normals) have sums spread over about their absolute sum s ≥ 0.01;
    2^24 of them lie s·2^-24 ≈ 1e-7·s apart near the middle. Fixed seed; a failure would need a gap a thousand times
    the mean gap near a goal, e^-1000 for independent sums, or a goal out of reach, which `reach` excludes.
    """
    rng = np.random.default_rng(count)
    candidates = rng.normal(size=(count, 1)) * rng.normal(size=(count, 200))
    low, high = np.minimum(candidates, 0).sum(axis=0), np.maximum(candidates, 0).sum(axis=0)
    reach = 0.4
    goals = rng.uniform(reach * low, reach * high)[:, None]
    selections = np.array(solve_parts(candidates, goals, method="auto", seed=0))
    errors = np.abs((candidates * selections.T).sum(axis=0) - goals[:, 0])
    assert errors.max() < 1e-4
