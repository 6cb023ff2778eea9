"""Rigorous enclosures of the probabilities behind the certified widths, in Arb's ball arithmetic.

Every function returns a ball that contains the exact value, or a float rounded in the direction that its name says. An
argument that is a float stands for that exact binary number.

Source: johansson2017
"""

from __future__ import annotations

import math
from collections.abc import Callable

from flint import arb, ctx, fmpq, fmpz

# Bits of a ball's midpoint. Where cancellation loses bits, the working precision is doubled up to MOST_BITS. A ball
# that stays wide is still an enclosure; it only makes the certificate weaker.
BITS = 128
MOST_BITS = 8192
# A value is accurate enough when its radius is below 2^-ABSOLUTE_BITS, or below 2^-RELATIVE_BITS of the value.
ABSOLUTE_BITS = 90
RELATIVE_BITS = 40
# More than the relative rounding error of a few float64 operations without cancellation.
ROUNDING_SLACK = 2.0**-40


def hit_probability(z: float, eps: float, variance: float) -> arb:
    r"""P(|N(0, s) − z| ≤ ε).

    .. math:: p(z; s) = Φ((z + ε)/\sqrt{s}) − Φ((z − ε)/\sqrt{s})

    Args:
        z: target z.
        eps: tolerance ε > 0.
        variance: variance s > 0.

    Source: certified
    """
    middle, reach = arb(z), arb(eps)
    # The difference of two nearly equal values loses about log2(1/ε) bits.
    with ctx.workprec(2 * BITS + max(0, -math.frexp(eps)[1])):
        scale = (2 * arb(variance)).sqrt()
        inside = ((middle + reach) / scale).erf() - ((middle - reach) / scale).erf()
        return inside / 2


def chi_square_cdf(x: float, dof: int) -> arb:
    r"""P(χ²_dof ≤ x) = P(dof/2, x/2), the regularised lower incomplete gamma function.

    Args:
        x: where the distribution function is evaluated; any float, infinite ones included.
        dof: degrees of freedom, ≥ 1.

    Source: certified
    """
    if x <= 0:
        return arb(0)
    if math.isinf(x):
        return arb(1)
    return _probability(lambda: (arb(x) / 2).gamma_lower(arb(dof) / 2, 1))


def beta_cdf(x: float, a: float, b: float) -> arb:
    r"""P(Beta(a, b) ≤ x) = I_x(a, b), with a small relative error also in the lower tail.

    Args:
        x: where the distribution function is evaluated.
        a: first parameter, > 0.
        b: second parameter, > 0.

    Source: certified
    """
    if x <= 0:
        return arb(0)
    if x >= 1:
        return arb(1)
    if x * (a + b) <= a:
        return _probability(lambda: arb(x).beta_lower(arb(a), arb(b), True))
    return _probability(lambda: 1 - (1 - arb(x)).beta_lower(arb(b), arb(a), True))


def binomial_cdf(m: int, trials: int) -> arb:
    """P(Bin(trials, 1/2) ≤ m): an exact sum of integers, rounded once.

    Args:
        m: number of successes, −1 ≤ m ≤ trials.
        trials: number of trials.

    Source: certified
    """
    total = term = fmpz(1)
    for i in range(m):
        term = term * (trials - i) // (i + 1)
        total += term
    return arb(0) if m < 0 else arb(fmpq(total, fmpz(2) ** trials))


def overlap_weight(j: int, n: int, k: int) -> arb:
    r"""Probability that two independent k-subsets of n elements share j of them.

    .. math:: h_j = \binom{k}{j} \binom{n-k}{k-j} / \binom{n}{k}

    Args:
        j: elements in common, 0 ≤ j ≤ k.
        n: number of elements.
        k: size of both subsets.

    Source: certified
    """
    if k - j > n - k:
        return arb(0)
    with ctx.workprec(2 * BITS):
        return arb(fmpq(math.comb(k, j) * math.comb(n - k, k - j), math.comb(n, k)))


def nonnegative_upper_end(x: arb) -> arb:
    """The upper end of a ball, or 0 where that is negative, as an exact number."""
    top = x.upper()
    return top if top > 0 else arb(0)


def rounded_up(x: arb) -> float:
    """A float that is not below any number of the ball; inf where the ball is unbounded."""
    return -rounded_down(-x)


def rounded_down(x: arb) -> float:
    """A float that is not above any number of the ball; −inf where the ball is unbounded."""
    if not x.is_finite():
        return -math.inf
    bottom = x.lower()
    value = float(bottom)
    while math.isfinite(value) and not arb(value) <= bottom:
        value = math.nextafter(value, -math.inf)
    return value if value < math.inf else math.nextafter(math.inf, 0)


def _probability(compute: Callable[[], arb]) -> arb:
    """A probability, computed with more and more bits until it is accurate or MOST_BITS are reached."""
    bits = BITS
    while True:
        with ctx.workprec(bits):
            value = compute()
        if _is_accurate(value) or bits >= MOST_BITS:
            return _within_unit_interval(value)
        bits *= 2


def _is_accurate(value: arb) -> bool:
    if not value.is_finite():
        return False
    radius = value.rad()
    return bool(radius < arb(2) ** -ABSOLUTE_BITS or radius < abs(value.mid()) * arb(2) ** -RELATIVE_BITS)


def _within_unit_interval(value: arb) -> arb:
    """The part of the ball in [0, 1], where a probability lies; all of [0, 1] where Arb found no bound."""
    unit_interval = arb(0.5, 0.5)
    return unit_interval if not value.is_finite() else value.intersection(unit_interval)
