"""Methods for instances too large to prove: core enumeration, L∞ flips, streams, and the torch backend."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from incumbents import Incumbents
from instances import nsn

from slth.arrays import BoolArray
from slth.errors import InputError
from slth.rss import Problem, error_upper_bound, relax, solve, solve_stream
from slth.rss.control import Control
from slth.rss.core import solve_core
from slth.rss.differencing import MAX_ITEMS
from slth.rss.local import polish
from slth.rss.relax import solve_relax, thin, thinned_size


def error(problem: Problem, selected: np.ndarray) -> float:
    return float(np.abs(selected @ problem.vectors - problem.target).max())


def test_core_finds_far_smaller_errors_than_relax_in_few_dimensions() -> None:
    """Deterministic seeds; the expected factor is above 10 (two orders of magnitude more combinations)."""
    found = []
    for seed in range(3):
        problem = nsn(120, 3, seed=seed)
        core = solve(problem, "core", time_limit=1.0)
        found.append((core.error, solve(problem, "relax").error))
        assert core.error < found[-1][1]
        assert core.error == error_upper_bound(problem, core.selected)
    enumerated, rounded = np.median(found, axis=0)
    assert enumerated < 0.2 * rounded


@pytest.mark.parametrize(("limit", "passes"), [(0.0, 1), (0.3, 1), (0.7, 3)])
def test_relax_makes_a_first_pass_and_only_restarts_that_fit(
    limit: float, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With passes of 0.2 s on a clock of the test."""
    now = [100.0]
    monkeypatch.setattr("slth.rss.relax.OVERTIME_SECONDS", 0.0)
    monkeypatch.setattr("slth.rss.relax.time.monotonic", lambda: now[0])
    plain = relax._select_from_core

    def slow(*arguments: Any) -> BoolArray:
        now[0] += 0.2
        return plain(*arguments)

    monkeypatch.setattr(relax, "_select_from_core", slow)
    found = solve_relax(nsn(60, 4, seed=1), Control(deadline=now[0] + limit))
    assert found.stats["restarts"] == passes


def test_core_stops_at_eps_and_keeps_to_its_memory() -> None:
    problem = nsn(200, 2, seed=1)
    loose = solve_core(problem, Control(eps=0.5))
    assert loose.stats["settlements"] == 0
    small = solve_core(problem, Control(max_memory=2e5, deadline=time.monotonic() + 0.2))
    assert small.stats["table"] < 12
    assert error(problem, small.selected) < 1


def test_polish_never_makes_it_worse_and_finds_four_flips() -> None:
    improved = 0
    for seed in range(4):
        problem = nsn(400, 12, seed=seed)
        start = solve_relax(problem, Control()).selected
        better, moves = polish(problem, start, Control(seed=seed))
        assert error(problem, better) <= error(problem, start)
        improved += moves > 0
    assert improved >= 2


@pytest.mark.parametrize("method", ["relax", "local", "core"])
def test_an_anytime_method_does_not_depend_on_threads(method: str) -> None:
    """Without a clock: relax makes one pass, local runs out of patience, core out of settlements."""
    problem = nsn(14, 2, seed=3) if method == "core" else nsn(300, 10, seed=3)
    one, two = (solve(problem, method, threads=threads) for threads in (1, 2))
    assert (one.selected == two.selected).all()


def test_local_uses_its_time_and_reports_progress() -> None:
    listener = Incumbents()
    problem = nsn(500, 20, seed=0)
    solution = solve(problem, "local", time_limit=0.5, progress=listener)
    assert 0.4 < solution.seconds < 5
    assert listener.told
    values = [value for _, value in listener.told]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(solution.error, rel=1e-9)


def test_a_solve_is_one_task_that_ends_whatever_happens() -> None:
    listener = Incumbents()
    solve(nsn(300, 12, seed=0), "local", progress=listener)
    reports = len(listener.told)
    assert reports > 0
    assert listener.calls == ["begin", *["report"] * reports, "advance", "end"]
    refused = Incumbents()
    too_many = Problem(vectors=np.ones((MAX_ITEMS + 1, 2)), target=np.ones(2))
    with pytest.raises(InputError, match="method 'differencing' takes n ≤ 20,000"):
        solve(too_many, "differencing", progress=refused)
    assert refused.calls == ["begin", "end"]


def test_progress_is_in_the_units_of_the_problem() -> None:
    listener = Incumbents()
    problem = nsn(200, 6, seed=0)
    huge = Problem(vectors=problem.vectors * 2.0**200, target=problem.target * 2.0**200)
    solution = solve(huge, "relax", progress=listener)
    assert listener.told[-1][1] == pytest.approx(solution.error, rel=1e-9)


@pytest.mark.parametrize(("n", "dimension", "size"), [(600, 9, 300), (600, 9, 90), (1500, 36, 750), (1500, 36, 1200)])
def test_a_fixed_size_costs_relax_little(n: int, dimension: int, size: int) -> None:
    """Deterministic seeds: beside the free problem within a factor, and far better than a pursuit of that size."""
    found: dict[str, list[float]] = {"free": [], "relax": [], "pursuit": []}
    for seed in range(5):
        free = nsn(n, dimension, seed=seed)
        fixed = Problem(vectors=free.vectors, target=free.target, cardinality=size)
        found["free"].append(solve(free, "relax").error)
        for method in ("relax", "pursuit"):
            found[method].append(solve(fixed, method).error)
    median = {name: float(np.median(errors)) for name, errors in found.items()}
    assert median["relax"] < 2 * median["free"]
    assert median["relax"] < 0.7 * median["pursuit"]


def test_few_candidates_to_select_are_no_worse_than_a_pursuit() -> None:
    for size in (3, 10, 40, 290, 297):
        problem = nsn(300, 12, seed=size, cardinality=size)
        assert solve(problem, "relax").error <= solve(problem, "pursuit").error


@pytest.mark.parametrize("size", [40, 200])
def test_polish_keeps_the_size(size: int) -> None:
    problem = nsn(400, 12, seed=size, cardinality=size)
    start = solve_relax(problem, Control()).selected
    better, moves = polish(problem, start, Control())
    assert moves > 0
    assert better.sum() == size
    assert error(problem, better) < error(problem, start)


def test_core_with_a_fixed_size_beats_relax_by_far() -> None:
    for size in (12, 60, 105):
        problem = nsn(120, 3, seed=size, cardinality=size)
        assert solve(problem, "core").error < 0.3 * solve(problem, "relax").error


def test_thin_keeps_all_small_and_some_of_every_scale() -> None:
    places = thin(100_000, 500)
    assert (places[:500] == np.arange(500)).all()
    assert (np.diff(places) > 0).all()
    assert places[-1] == 99_999
    assert len(places) <= thinned_size(100_000, 500) < 3200
    for start in np.geomspace(500, 90_000 / math.e, 8):  # about as many for every factor e in rank as small ones
        assert 450 < ((places >= start) & (places < math.e * start)).sum() < 550
    assert thin(1000, 500).tolist() == list(range(1000))


def chunks(vectors: np.ndarray, size: int) -> list[np.ndarray]:
    return [vectors[i : i + size] for i in range(0, len(vectors), size)]


def test_a_stream_solves_what_it_has_seen_and_indexes_it_rightly() -> None:
    problem = nsn(20_000, 8, seed=5)
    found = solve_stream(chunks(problem.vectors, 700), problem.target)
    assert found.count == 20_000
    assert found.kept < 4000
    assert (np.diff(found.indices) > 0).all()
    selected = np.zeros(20_000, dtype=bool)
    selected[found.indices] = True
    assert error_upper_bound(problem, selected) == found.error
    # Screening loses little: three times the error of the whole instance at most (deterministic seed).
    assert found.error <= 3 * solve(problem, "relax").error


def test_a_stream_does_not_depend_on_its_chunks() -> None:
    problem = nsn(5000, 4, seed=6)
    one = solve_stream(chunks(problem.vectors, 5000), problem.target)
    many = solve_stream(chunks(problem.vectors, 333), problem.target)
    assert one.indices.tolist() == many.indices.tolist()


def test_a_bad_stream_is_refused() -> None:
    with pytest.raises(InputError, match="at least one candidate"):
        solve_stream([], np.ones(2))
    with pytest.raises(InputError, match="with D = 2; got"):
        solve_stream([np.ones((4, 3))], np.ones(2))
    with pytest.raises(InputError, match="must be finite"):
        solve_stream([np.array([[np.nan, 1.0]])], np.ones(2))
