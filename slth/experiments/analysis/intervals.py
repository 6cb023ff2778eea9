"""Means over seeds with percentile bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import bootstrap

from slth.figures.bands import Interval as Interval

CONFIDENCE = 0.95
DRAWS = 2000


def interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % percentile bootstrap interval; with one value, or equal ones, the interval is the value.

    With three values the interval ends at about the least and the largest: 1 in 27 resamples repeats one value alone,
    so it is an honest picture of the spread, not a test.
    """
    mean = float(np.mean(values))
    if len(values) < 2 or min(values) == max(values):
        return mean, mean, mean
    found = bootstrap(
        (np.asarray(values, float),), np.mean, confidence_level=CONFIDENCE, n_resamples=DRAWS, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return mean, float(found.low), float(found.high)


def difference(one: Sequence[float], other: Sequence[float]) -> Interval:
    """Mean of the paired differences ``one − other`` and its interval: the same seeds in the same order."""
    return interval([a - b for a, b in zip(one, other, strict=True)])


def show(value: Interval, *, percent: bool = True, digits: int = 2) -> str:
    """``97.12 [96.80, 97.43] %``."""
    factor, unit = (100, " %") if percent else (1, "")
    mean, low, high = (f"{factor * one:.{digits}f}" for one in value)
    return f"{mean}{unit}" if low == high else f"{mean} [{low}, {high}]{unit}"
