"""Non-negative numbers m·2^e in arrays, with an exponent e of any size: r^D leaves float64 for D in the hundreds.

Source: certified
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from flint import arb

from slth.arrays import FloatArray, IntArray

# (m, e), two arrays of one shape.
ScaledNumbers = tuple[FloatArray, IntArray]
# More than the relative rounding error of one power (exponent ≤ 2^12) and of a sum of them (line 14 of the proof): the
# error of one r is below 2^11 units of 2^-53, that of r^D for D ≤ 2^12 below 2^24, that of a sum of fewer than 2^22
# terms below 2^22. Together that is less than 2^-28.
SUM_INFLATION = 1 + 2.0**-24
# A term this many powers of two below the largest is counted as if it were that large.
SMALLEST_EXPONENT = -900


def from_floats(values: npt.ArrayLike) -> ScaledNumbers:
    """Non-negative floats as scaled numbers; negative ones become 0."""
    mantissa, exponent = np.frexp(np.maximum(np.asarray(values, dtype=np.float64), 0.0))
    return mantissa, exponent.astype(np.int64)


def from_balls(balls: Sequence[arb]) -> ScaledNumbers:
    """Upper bounds m·2^e of non-negative balls, with m in [1/2, 1]; zero has m = 0."""
    found = [_from_ball(ball) for ball in balls]
    return np.array([m for m, _ in found]), np.array([e for _, e in found], dtype=np.int64)


def power(r: FloatArray, exponent: int) -> ScaledNumbers:
    """Raise floats to a whole power by squaring; powers of two are split off before anything can overflow.

    Args:
        r: non-negative floats.
        exponent: the power, ≥ 0.
    """
    mantissa, shift = np.frexp(r)
    base, base_shift = mantissa, shift.astype(np.int64)
    value, total = np.ones_like(base), np.zeros_like(base_shift)
    while exponent:
        if exponent & 1:
            value, more = np.frexp(value * base)
            total = total + base_shift + more
        base, more = np.frexp(base * base)
        base_shift = 2 * base_shift + more
        exponent >>= 1
    return value, total


def upper_sum(values: ScaledNumbers, weights: ScaledNumbers) -> arb:
    """An upper bound of Σ values·weights over the terms of positive weight; inf if any of them is not finite.

    Args:
        values: scaled numbers ≥ 0.
        weights: scaled numbers ≥ 0, of a shape that broadcasts with the values.
    """
    mantissa, exponent = np.broadcast_arrays(values[0] * weights[0], values[1] + weights[1])
    counted = np.broadcast_to(weights[0] > 0, mantissa.shape)
    mantissa, exponent = mantissa[counted], exponent[counted]
    if not len(mantissa):
        return arb(0)
    if not np.isfinite(mantissa).all():
        return arb("inf")
    top = int(exponent.max())
    shifted = np.maximum(exponent - top, SMALLEST_EXPONENT)  # raises small terms, so the sum stays an upper bound
    return arb(float(np.ldexp(mantissa, shifted.astype(np.int32)).sum()) * SUM_INFLATION) * arb(2) ** top


def _from_ball(ball: arb) -> tuple[float, int]:
    if not ball.is_finite():
        return math.inf, 0
    top = ball.upper()
    if not top > 0:
        return 0.0, 0
    man, exp = (int(part) for part in top.man_exp())
    size = man.bit_length()
    shift = max(size - 53, 0)
    rounded = -(-man >> shift)  # towards plus infinity
    return math.ldexp(rounded, shift - size), exp + size
