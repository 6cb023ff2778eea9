"""From the relaxation to a selection: box, walk, dive, and the BLAS routines below them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from instances import core

from slth.arrays import BoolArray, FloatArray
from slth.rss import blas, vertex
from slth.rss.box import add_ridge, box_start
from slth.rss.dive import dive
from slth.rss.walk import SNAP, walk

Kind = type[np.floating[Any]]
BOTH: list[Kind] = [np.float32, np.float64]


def fractional(x: FloatArray) -> BoolArray:
    return (x > SNAP) & (x < 1 - SNAP)


def positive(D: int, kind: Kind) -> np.ndarray:
    """A positive definite matrix whose upper triangle is NaN, so that a routine that reads it is found out."""
    rows = np.random.default_rng(D).normal(size=(3 * D, D))
    matrix = (rows.T @ rows).astype(kind)
    matrix[np.triu_indices(D, 1)] = np.nan
    return matrix


def full(matrix: np.ndarray) -> FloatArray:
    lower: FloatArray = np.tril(matrix).astype(float)
    return lower + np.tril(lower, -1).T


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(("m", "D"), [(1, 1), (3, 7), (40, 33)])
def test_symmetric_routines_do_what_numpy_does(m: int, D: int, kind: Kind) -> None:
    rows = np.random.default_rng([m, D]).normal(size=(m, D)).astype(kind)
    exact, rounding = rows.astype(float), 300 * D * float(np.finfo(kind).eps)
    matrix = positive(D, kind)
    before = full(matrix)
    blas.add_gram(rows, matrix, -0.5)
    assert np.allclose(full(matrix), before - 0.5 * exact.T @ exact, rtol=0, atol=rounding)
    inner = np.full((m, m), np.nan, dtype=kind)
    inner[np.tril_indices(m)] = 0
    blas.add_inner_products(rows, inner)
    assert np.allclose(full(inner), exact @ exact.T, rtol=0, atol=rounding)
    product = np.full((m, D), np.nan, dtype=kind)
    blas.multiply_symmetric(rows, positive(D, kind), product)
    assert np.allclose(product, exact @ before, rtol=0, atol=rounding)
    blas.mirror(matrix)
    assert (matrix == matrix.T).all()


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("D", [1, 5, 40])
def test_a_cholesky_factor_solves_and_inverts(D: int, kind: Kind) -> None:
    matrix = positive(D, kind)
    before = full(matrix)
    assert blas.factorise(matrix)
    right = np.arange(D, dtype=kind)
    blas.solve_factorised(matrix, right)
    assert np.allclose(before @ right, np.arange(D), rtol=0, atol=1e3 * D * float(np.finfo(kind).eps))
    blas.invert_factorised(matrix)
    assert np.allclose(full(matrix) @ before, np.eye(D), rtol=0, atol=1e3 * D * float(np.finfo(kind).eps))
    assert not blas.factorise(np.diag(np.array([1.0, -1.0])).astype(kind))


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(("D", "m"), [(1, 4), (2, 30), (5, 20), (12, 48), (36, 144), (4, 3)])
def test_box_start_reaches_a_goal_inside_the_zonotope(D: int, m: int, kind: Kind) -> None:
    for seed in range(5):
        rows = core(D, m, seed)
        goal = np.random.default_rng(seed).uniform(0.4, 0.6, m) @ rows
        x = np.full(m, 0.5)
        gram = box_start(rows.astype(kind), goal.astype(kind), x)
        assert (x >= 0).all()
        assert (x <= 1).all()
        tolerance = 1e-9 if kind is np.float64 else 1e-5
        assert np.abs(goal - x @ rows).max() <= tolerance * np.abs(rows).sum()
        inside = rows[(x > 0) & (x < 1)]
        assert np.allclose(full(gram), inside.T @ inside, rtol=0, atol=tolerance * np.square(rows).sum())


def test_box_start_stays_inside_the_box_when_the_goal_is_out_of_reach() -> None:
    rows = core(6, 24, seed=1)
    goal = 3.0 * np.abs(rows).sum(axis=0)
    x = np.full(24, 0.5)
    box_start(rows, goal, x)
    assert (x >= 0).all()
    assert (x <= 1).all()
    # It has gone a good part of the way: each coordinate of the sum has grown.
    assert (x @ rows > 0.5 * rows.sum(axis=0)).all()


def walked(rows: FloatArray, x: FloatArray, least: int, kind: Kind = np.float64) -> int:
    """Walk from x, which changes; the number of blocks."""
    inside = rows[fractional(x)].astype(kind)
    inverse = inside.T @ inside
    add_ridge(inverse, inverse)
    assert blas.factorise(inverse)
    blas.invert_factorised(inverse)
    return int(walk(rows.astype(kind), x, inverse, least))


@pytest.mark.parametrize(("D", "m"), [(1, 7), (3, 40), (9, 36), (36, 144), (20, 400), (80, 320), (8, 8), (8, 3)])
def test_walk_ends_at_a_vertex_with_the_same_sum(D: int, m: int) -> None:
    """At most D fractional entries, every entry in [0, 1], rowsᵀx unchanged."""
    for seed in range(5):
        rows = core(D, m, seed)
        x = np.random.default_rng([seed, 1]).uniform(0.25, 0.75, m)
        before = x @ rows
        blocks = walked(rows, x, D)
        assert (x >= 0).all()
        assert (x <= 1).all()
        assert fractional(x).sum() <= D
        assert (blocks == 0) == (m <= D)
        # The ridge that keeps a nearly singular step finite moves the sum a little; the dive gives it back.
        assert np.abs(x @ rows - before).max() <= 1e-8 * np.abs(rows).sum(axis=0).max()


@pytest.mark.parametrize(("D", "m"), [(40, 160), (80, 320)])
def test_walk_in_float32_loses_little_of_the_sum(D: int, m: int) -> None:
    for seed in range(5):
        rows = core(D, m, seed)
        x = np.full(m, 0.5)
        before = x @ rows
        walked(rows, x, D + D // vertex.FACE_SHARE, np.float32)
        assert D < fractional(x).sum() <= D + D // vertex.FACE_SHARE
        assert np.abs(x @ rows - before).max() <= 1e-3 * np.linalg.norm(rows, axis=0).max()


def test_walk_passes_over_a_candidate_without_freedom() -> None:
    """One candidate alone has the last coordinate: it can never move, and stays fractional."""
    rows = core(4, 24, seed=2)
    rows[1:, 3] = 0.0
    rows[0] = 50.0
    x = np.full(24, 0.5)
    before = x @ rows
    walked(rows, x, 4)
    assert x[0] == pytest.approx(0.5, abs=1e-6)
    assert fractional(x).sum() <= 4
    assert np.allclose(x @ rows, before, rtol=0, atol=1e-6)


def test_walk_leaves_the_small_candidates_fractional() -> None:
    """The order is the point of the walk: walking the smallest first leaves far larger ones to be rounded."""
    D, m = 12, 48
    left, reverse = 0.0, 0.0
    for seed in range(10):
        rows = core(D, m, seed)
        x, y = np.full(m, 0.5), np.full(m, 0.5)
        walked(rows, x, D)
        left += np.square(rows[fractional(x)]).sum()
        backward = np.ascontiguousarray(rows[::-1])
        walked(backward, y, D)
        reverse += np.square(backward[fractional(y)]).sum()
    assert left < reverse / 3


def dived(rows: FloatArray, x: FloatArray, goal: FloatArray, kind: Kind = np.float64) -> None:
    """Dive from x, which changes."""
    members = np.flatnonzero(fractional(x))
    lengths = np.linalg.norm(rows[members], axis=1)
    entries = x[members]
    dive((rows[members] / lengths[:, None]).astype(kind), lengths, entries, (goal - x @ rows).astype(kind))
    x[members] = entries


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("D", "m", "free"), [(1, 6, 1), (5, 20, 5), (12, 48, 12), (36, 144, 36), (3, 10, 10), (2, 4, 0)]
)
def test_dive_ends_at_a_corner_and_leaves_integral_entries(D: int, m: int, free: int, kind: Kind) -> None:
    for seed in range(5):
        rows = core(D, m, seed)
        rng = np.random.default_rng([seed, 2])
        x = rng.integers(0, 2, m).astype(float)
        x[m - free :] = rng.uniform(0.05, 0.95, free)
        start = x.copy()
        dived(rows, x, rng.uniform(-1, 1, D), kind)
        assert np.isin(x, (0.0, 1.0)).all()
        assert (x[: m - free] == start[: m - free]).all()


@pytest.mark.parametrize("kind", BOTH)
def test_dive_beats_rounding_each_entry_to_the_nearer_integer(kind: Kind) -> None:
    D, m, better = 16, 64, 0
    for seed in range(20):
        rows = core(D, m, seed)
        x = np.full(m, 0.5)
        goal = x @ rows
        walked(rows, x, D)
        rounded = np.linalg.norm(goal - np.round(x) @ rows)
        dived(rows, x, goal, kind)
        better += np.linalg.norm(goal - x @ rows) < rounded
    assert better >= 17


@pytest.mark.parametrize(("D", "m"), [(1, 4), (2, 1), (9, 36), (40, 160), (40, 30)])
def test_round_vertex_returns_the_residual_of_a_corner(D: int, m: int) -> None:
    for seed in range(3):
        rows = core(D, m, seed)
        goal = np.random.default_rng(seed).uniform(0.4, 0.6, m) @ rows
        x = np.full(m, 0.5)
        residual = vertex.round_vertex(rows, goal, x)
        assert np.isin(x, (0.0, 1.0)).all()
        assert np.abs(residual - (goal - x @ rows)).max() <= 1e-12 * np.abs(rows).sum()


def test_coordinates_of_any_scale_and_nearly_dependent_ones_are_walked() -> None:
    """Units differ by 10¹²; or the last coordinate is the first one up to 10⁻⁹."""
    D, m = 40, 160
    plain = core(D, m, seed=3)
    units = np.logspace(-6, 6, D)
    start = np.random.default_rng(3).uniform(0.4, 0.6, m)
    lengths = []
    for rows in (plain, plain * units, np.column_stack([plain[:, :-1], plain[:, 0] + 1e-9 * plain[:, -1]])):
        x = np.full(m, 0.5)
        residual = vertex.round_vertex(np.ascontiguousarray(rows), start @ rows, x)
        assert np.isin(x, (0.0, 1.0)).all()
        lengths.append(np.linalg.norm(residual) / np.linalg.norm(start @ rows))
    assert max(lengths) < 0.25


def test_a_walk_that_lost_the_sum_is_made_again_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = core(40, 160, seed=4)
    goal = np.random.default_rng(4).uniform(0.4, 0.6, 160) @ rows
    kinds: list[type] = []
    walk_down = vertex._walk_down

    def listening(rows: FloatArray, goal: FloatArray, x: FloatArray, scaled: np.ndarray) -> Any:
        assert (x == 0.5).all()  # each walk starts from the point that was given
        kinds.append(scaled.dtype.type)
        return walk_down(rows, goal, x, scaled)

    monkeypatch.setattr(vertex, "_walk_down", listening)
    vertex.round_vertex(rows, goal, np.full(160, 0.5))
    assert kinds == [np.float32]
    monkeypatch.setattr(vertex, "GREATEST_DRIFT", 0.0)
    residual = vertex.round_vertex(rows, goal, np.full(160, 0.5))
    assert kinds == [np.float32, np.float32, np.float64]
    assert np.linalg.norm(residual) < 0.2 * np.linalg.norm(goal)
