"""Errors are recomputed exactly: never below the true one, and not one float64 too large, whatever the numbers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instances import nsn

from slth.errors import InputError
from slth.rss import Problem, error_lower_bound, error_upper_bound, exact_objective
from slth.rss.exact_sums import DIGITS, largest_errors, squared_errors, sum_digits
from slth.rss.problem import NORMS
from slth.rss.verify import objective_in_units

modest = settings(derandomize=True, deadline=None, max_examples=40)

# Numbers of wildly different size, subnormals included; n·max must stay below 1e300.
wild = st.one_of(
    st.floats(-1e290, 1e290, allow_subnormal=True),
    st.floats(-4, 4),
    st.integers(-3, 3).map(float),
    st.builds(lambda m, e: math.ldexp(m, e), st.floats(-1, 1), st.integers(-1074, 900)),
)


def check_bounds(vectors: np.ndarray, target: np.ndarray, selected: np.ndarray) -> None:
    """In both norms, the two neighbours of the exact value: no float64 lies between it and either."""
    for norm in NORMS:
        problem = Problem(vectors=vectors, target=target, norm=norm)
        power = 1 if norm == "linf" else 2
        value, down, up = (
            exact_objective(problem, selected),
            error_lower_bound(problem, selected),
            error_upper_bound(problem, selected),
        )
        assert Fraction(down) ** power <= value <= Fraction(up) ** power
        assert up == down or (up == math.nextafter(down, math.inf) and Fraction(up) ** power != value)
        assert objective_in_units(problem, selected) == value * 2 ** (1074 * power)


@settings(modest, max_examples=300)
@given(data=st.data(), n=st.integers(1, 7), D=st.integers(1, 3))
def test_the_error_is_rounded_up_whatever_the_magnitudes(data: st.DataObject, n: int, D: int) -> None:
    row = st.lists(wild, min_size=D, max_size=D)
    vectors = np.array(data.draw(st.lists(row, min_size=n, max_size=n)))
    target = np.array(data.draw(row))
    if float(np.abs(vectors).max()) * n + float(np.abs(target).max()) >= 1e300:
        vectors, target = vectors * 2.0**-30, target * 2.0**-30
    selected = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    check_bounds(vectors, target, selected)


@modest
@given(exponent=st.integers(-1060, 900), seed=st.integers(0, 100))
def test_the_error_is_rounded_up_at_any_scale(exponent: int, seed: int) -> None:
    """Sums that are not representable, at every scale down to the subnormals."""
    rng = np.random.default_rng(seed)
    values = np.ldexp(rng.uniform(-1, 1, size=(6, 3)), exponent - rng.integers(0, 60, size=(6, 3)))
    for code in range(1, 32, 3):
        check_bounds(values[:5], values[5], np.array([code >> i & 1 for i in range(5)]))


TINY = 5e-324
# (summands, the error as it must be reported): what sums in float64 get wrong.
SUMS = {
    "cancellation": ([1e299, 1.0, -1e299], 1.0),
    "subnormal beside huge": ([1e299, TINY], math.nextafter(1e299, math.inf)),
    "a subnormal survives": ([1e299, TINY, -1e299], TINY),
    "half an ulp up": ([1.0, 2.0**-53], 1 + 2.0**-52),
    "half an ulp to even": ([1 + 2.0**-52, 2.0**-53], 1 + 2.0**-51),
    "less than half an ulp": ([1.0, 2.0**-80], 1 + 2.0**-52),
    "below a power of two": ([1.0, -(2.0**-80)], 1.0),
    "negative, away from zero": ([-1.0, -(2.0**-80)], 1 + 2.0**-52),
    "negative, towards zero": ([-1.0, 2.0**-80], 1.0),
    "carries": ([2.0**32 - 1, 1.0, 2.0**64 - 2.0**32], 2.0**64),
    "borrows": ([2.0**96, -TINY, -(2.0**96)], TINY),
    "subnormals": ([TINY] * 5, 5 * TINY),
    "nothing": ([0.0, -0.0], 0.0),
}


@pytest.mark.parametrize("name", SUMS)
def test_sums_that_float64_gets_wrong(name: str) -> None:
    summands, wanted = SUMS[name]
    vectors, chosen = np.array(summands)[:, None], np.ones(len(summands), dtype=bool)
    for sign in (1, -1):
        for norm in NORMS:
            assert error_upper_bound(Problem(vectors=sign * vectors, target=np.zeros(1), norm=norm), chosen) == wanted
        check_bounds(sign * vectors, np.zeros(1), chosen)


def test_digits_of_many_rows_are_their_sum() -> None:
    """The compiled loop against fractions: 5,000 rows over 2^±1000, and 5,000 equal ones that carry."""
    rng = np.random.default_rng(8)
    mixed = np.ldexp(rng.uniform(-1, 1, (5000, 2)), rng.integers(-1074, 980, (5000, 2)))
    for rows in (mixed, np.full((5000, 2), 1.0 - 2.0**-53), np.full((5000, 2), -TINY)):
        goal = rows[17].copy()
        chosen = np.flatnonzero(rng.random(5000) < 0.7)
        digits = sum_digits(rows.view(np.int64), chosen, goal.view(np.int64))
        assert digits.shape == (2, DIGITS)
        for d in range(2):
            wanted = sum(map(Fraction, rows[chosen, d].tolist()), start=-Fraction(goal[d]))
            found = int.from_bytes(digits[d].astype("<u4").tobytes(), "little", signed=True)
            assert found == wanted * 2**1074


@modest
@given(triple=st.sampled_from([(3, 4, 5), (5, 12, 13), (20, 21, 29)]), exponent=st.integers(-1060, 900))
def test_a_length_that_is_a_float_is_that_float(triple: tuple[int, int, int], exponent: int) -> None:
    legs = np.ldexp(np.array(triple[:2], dtype=float), exponent)
    problem = Problem(vectors=legs[None], target=np.zeros(2), norm="l2")
    assert error_upper_bound(problem, [1]) == error_lower_bound(problem, [1]) == math.ldexp(triple[2], exponent)


def test_bounds_take_only_selections() -> None:
    problem = nsn(4, 2, seed=0, cardinality=2)
    assert error_upper_bound(problem, [1, 1, 0, 0]) == error_upper_bound(problem, np.array([True, True, False, False]))
    for wrong, words in (([1, 1, 0], "shape"), ([2, 0, 0, 0], "0/1"), ([1, 1, 1, 0], "cardinality")):
        with pytest.raises(InputError, match=words):
            error_upper_bound(problem, wrong)


@settings(modest, max_examples=150)
@given(data=st.data(), P=st.integers(1, 4), D=st.sampled_from([1, 2, 9]))
def test_many_sums_at_once_have_the_errors_of_each(data: st.DataObject, P: int, D: int) -> None:
    """Rows that several sums share, sums of nothing, and numbers of wildly different size."""
    m = data.draw(st.integers(1, 6))
    numbers = data.draw(st.lists(wild, min_size=(m + 1) * P * D, max_size=(m + 1) * P * D))
    rows, goals = np.array(numbers[: m * P * D]).reshape(m, P * D), np.array(numbers[m * P * D :]).reshape(P, D)
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=P * m, max_size=P * m))).reshape(P, m)
    errors = largest_errors(rows, goals, np.nonzero(kept)[1], kept.sum(axis=1))
    for p in range(P):
        columns = rows[:, p * D : (p + 1) * D]
        gaps = [sum(map(Fraction, columns[kept[p], d].tolist()), -Fraction(goals[p, d])) for d in range(D)]
        exact = max(map(abs, gaps))
        below = math.nextafter(float(errors[p]), -math.inf)
        assert Fraction(below) < exact <= Fraction(float(errors[p])) or exact == errors[p] == 0


@pytest.mark.parametrize("D", [1, 2, 25, 300])
def test_squared_errors_are_those_of_numpy_to_the_last_bit(D: int) -> None:
    """A ticket's file holds them, and the file of a search must not change: no member, few, and many."""
    rng = np.random.default_rng(D)
    sizes = [0, 1, 7, 8, 9, 127, 128, 129, 700]
    rows, goals = rng.standard_normal((700, len(sizes) * D)), rng.uniform(-1, 1, (len(sizes), D))
    sets = [np.sort(rng.permutation(700)[:size]) for size in sizes]
    found = squared_errors(rows, goals, np.concatenate(sets), np.array(sizes))
    for p, chosen in enumerate(sets):
        assert found[p] == np.square(rows[chosen, p * D : (p + 1) * D].sum(axis=0) - goals[p]).sum()
