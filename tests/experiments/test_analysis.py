"""What studies share: growth laws, medians with ranges, groups of rows, intervals."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from slth.experiments.analysis.growth import fit_growth_law
from slth.experiments.analysis.intervals import format_interval, interval, paired_difference
from slth.experiments.analysis.summary import Spread, missing_combinations, settings
from slth.experiments.engine.study import Row


def test_a_law_is_recovered() -> None:
    """Exact powers exactly; with 5 % noise (one fixed draw) within the intervals' width."""
    cells = [(D, n) for D in (4, 16, 64) for n in (100, 200, 400, 800)]
    factors = {"D": [D for D, _ in cells], "n": [n for _, n in cells]}
    law = fit_growth_law([0.35 * D**1.5 / n for D, n in cells], factors)
    assert law is not None
    assert law.constant.value == pytest.approx(0.35)
    assert law.exponents["D"].value == pytest.approx(1.5)
    assert law.exponents["n"].value == pytest.approx(-1)
    assert law.at(D=9, n=50) == pytest.approx(0.35 * 27 / 50)
    rng = np.random.default_rng(0)
    noisy = fit_growth_law([0.35 * D**1.5 / n * math.exp(0.05 * rng.standard_normal()) for D, n in cells], factors)
    assert noisy is not None
    for name, truth in (("D", 1.5), ("n", -1.0)):
        one = noisy.exponents[name]
        # A percentile bootstrap of twelve cells covers less than 95 %: twice its width is asked for.
        assert abs(one.value - truth) < one.high - one.low < 0.2


def test_a_law_that_the_cells_do_not_determine_is_none() -> None:
    assert fit_growth_law([], {"n": []}) is None
    assert fit_growth_law([1.0, 2.0], {"n": [1, 2]}) is None
    assert fit_growth_law([1.0, 1.1, 0.9], {"n": [5, 5, 5]}) is None
    # One dimension only: it is part of the constant.
    law = fit_growth_law([1 / n for n in (1, 2, 4, 8)], {"D": [3] * 4, "n": [1, 2, 4, 8]})
    assert law is not None
    assert set(law.exponents) == {"n"}
    # D and n that move together: neither exponent can be told.
    assert fit_growth_law([1.0, 2.0, 3.0, 4.0], {"D": [1, 2, 4, 8], "n": [10, 20, 40, 80]}) is None


def test_spread_and_holes() -> None:
    assert str(Spread.of([1.0, 3.0, 2.0])) == "2 [1, 3]"
    assert str(Spread.of([2.0])) == "2"
    row = Row(key="", study="", point={"a": 1, "b": 1}, seed=0, status="done", result={"x": 1})
    rows = [dataclasses.replace(row, point={"a": a, "b": b}, seed=s) for a in (1, 2) for b in (1, 2) for s in (0, 1)]
    assert missing_combinations(rows, "a", "b") == ""
    assert "1 of the 8 combinations" in missing_combinations(rows[1:], "a", "b")
    assert missing_combinations([], "a") == ""


def test_settings_by_hand() -> None:
    def row(seed: int, **point: object) -> Row:
        return Row(key=f"{seed} {point}", study="s", point=point, seed=seed, status="done", result={"x": 1})

    some = [row(0, n=1, law="b", m="x"), row(0, n=2, law="a", m="x"), row(1, n=1, law="b", m="y")]
    assert settings(some, varied=("n",), named=("law",)) == [
        (("a",), ", m x", [some[1]]), (("b",), ", m x", [some[0]]), (("b",), ", m y", [some[2]]),
    ]  # fmt: skip
    assert settings(some[:2], varied=("n",), named=("law",))[0][1] == ""


def test_intervals_are_those_of_the_bootstrap() -> None:
    """All 27 resamples of three values: the 2.5 % and 97.5 % quantiles of their means are the extremes."""
    assert interval([0.1, 0.2, 0.6]) == pytest.approx((0.3, 0.1, 0.6))
    assert interval([0.4]) == (0.4, 0.4, 0.4)
    assert interval([0.4, 0.4]) == (0.4, 0.4, 0.4)
    mean, low, high = interval(list(torch.randn(400, generator=torch.Generator().manual_seed(0)).numpy()))
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.2)
    assert low < mean < high
    assert paired_difference([0.5, 0.7], [0.4, 0.6]) == pytest.approx((0.1, 0.1, 0.1))
    assert format_interval((0.5, 0.4, 0.6)) == "50.00 [40.00, 60.00] %"
    assert format_interval((2.0, 2.0, 2.0), percent=False, digits=1) == "2.0"
