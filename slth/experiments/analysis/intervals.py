"""Means over seeds, with percentile bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slth.figures.bands import Interval as Interval

CONFIDENCE = 0.95
DRAWS = 2000


def interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % percentile bootstrap interval; with one value, or equal ones, the interval is the value.

    With three values the interval ends at about the least and the largest, for 1 in 27 resamples repeats one value
    alone. Read it as the range of the values; it is no test.
    """
    mean = float(np.mean(values))
    if len(values) < 2 or min(values) == max(values):
        return mean, mean, mean
    from scipy.stats import bootstrap  # it takes half a second to load

    found = bootstrap(
        (np.asarray(values, float),), np.mean, confidence_level=CONFIDENCE, n_resamples=DRAWS, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return mean, float(found.low), float(found.high)


def paired_difference(one: Sequence[float], other: Sequence[float]) -> Interval:
    """Mean of the paired differences ``one − other``, and its interval.

    Args:
        one: a value for each seed.
        other: a value for each of the same seeds, in the same order.

    Returns:
        (mean, low, high).
    """
    return interval([a - b for a, b in zip(one, other, strict=True)])


def in_percent(value: Interval) -> Interval:
    """An interval of fractions as one of percentages."""
    mean, low, high = value
    return 100 * mean, 100 * low, 100 * high


def format_interval(value: Interval, *, percent: bool = True, digits: int = 2) -> str:
    """An interval as text, such as ``97.12 [96.80, 97.43] %``.

    Args:
        value: (mean, low, high).
        percent: whether to write it in percent.
        digits: after the decimal point.

    Returns:
        The mean, and the interval in brackets unless it is the mean alone.
    """
    factor, unit = (100, " %") if percent else (1, "")
    mean, low, high = (f"{factor * one:.{digits}f}" for one in value)
    return f"{mean}{unit}" if low == high else f"{mean} [{low}, {high}]{unit}"
