"""Every method ends soon after its time limit, and prints nothing."""

from __future__ import annotations

import time

import numpy as np
import pytest
from instances import INTEGER, nsn

from slth.errors import InputError
from slth.rss import SOLVERS, Problem, solve
from slth.rss.control import Control, Incumbent
from slth.rss.integer_process import is_large

ALL_METHODS = [*SOLVERS, "auto"]
LIMIT = 0.2
ALLOWED = 1.2 * LIMIT + 0.5
# (n, D): tables with many coordinates, coordinates without end, and models that take seconds to build.
GRID = ((60, 32), (1000, 9), (4000, 48))
# A busy machine may hold up one run. A method that looks at the clock too seldom is late in every one.
TRIES = 4


@pytest.mark.parametrize(("n", "D"), GRID)
@pytest.mark.parametrize("method", ALL_METHODS)
def test_a_method_ends_soon_after_its_limit(method: str, n: int, D: int) -> None:
    solve(nsn(60, min(D, 9), seed=1), method, time_limit=0.02)  # load the compiled code
    problem, taken = nsn(n, D, seed=0), []
    for _ in range(TRIES):
        began = time.monotonic()
        solution = solve(problem, method, time_limit=LIMIT)
        taken.append(time.monotonic() - began)
        assert np.isfinite(solution.error)
        if taken[-1] <= ALLOWED:
            return
    pytest.fail(f"{method} took {min(taken):.2f} s or more of {LIMIT} s; allowed are {ALLOWED:.2f} s")


def test_a_method_that_is_late_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(problem: Problem, control: Control) -> Incumbent:
        time.sleep(0.6)
        return Incumbent(selected=np.zeros(problem.size, dtype=bool))

    monkeypatch.setitem(SOLVERS, "slow", slow)
    assert solve(nsn(5, 2, seed=0), "slow", time_limit=0.01).stats["late"].startswith("ended 0.")
    assert "late" not in solve(nsn(5, 2, seed=0), "slow", time_limit=0.5).stats


@pytest.mark.parametrize("method", ["differencing", "core"])
def test_a_fixed_size_is_kept_when_time_runs_out(method: str) -> None:
    for size in (300, 1900):
        problem = nsn(2000, 9, seed=size, cardinality=size)
        assert solve(problem, method, time_limit=0.01).selected.sum() == size


def test_differencing_that_is_cut_short_says_how_far_it_came() -> None:
    """What is left takes signs greedily: better than nothing selected, and worse than the whole method."""
    problem = nsn(20_000, 3, seed=0)
    short = solve(problem, "differencing", time_limit=0.1)
    assert 0 <= short.stats["joined"] < 1
    assert short.error < np.abs(problem.target).max() + np.abs(problem.vectors).max()
    assert "joined" not in solve(nsn(100, 3, seed=0), "differencing").stats


@pytest.mark.parametrize("method", sorted(INTEGER))
def test_an_integer_solver_without_time_says_so_and_hands_back_the_selection_of_relax(method: str) -> None:
    problem = nsn(3000, 20, seed=0)
    assert is_large(problem)
    solution = solve(problem, method, time_limit=0.05)
    assert solution.stats["incumbent"] == "relax"
    assert "stopped" in solution.stats["message"]
    assert (solution.selected == solve(problem, "relax").selected).all()
    assert solution.lower_bound == 0


def test_an_integer_solver_in_its_own_process_is_the_same_solver(capfd: pytest.CaptureFixture[str]) -> None:
    """Zero vectors make a small instance large; its optimum stays, and no line of the solver reaches the terminal."""
    small = nsn(10, 2, seed=3)
    padded = Problem(vectors=np.vstack([small.vectors, np.zeros((600, 2))]), target=small.target)
    assert is_large(padded)
    assert not is_large(small)
    best = solve(small, "exact").error
    for method in sorted(INTEGER):
        solution = solve(padded, method, time_limit=20)
        assert solution.stats["found"]
        assert "incumbent" not in solution.stats
        assert solution.error == pytest.approx(best, abs=1e-5)
        assert solution.lower_bound <= best
    with pytest.raises(InputError, match="grid steps"):
        solve(Problem(vectors=padded.vectors * 1e-200, target=padded.target), "cpsat", time_limit=20)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
