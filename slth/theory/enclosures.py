"""Rigorous enclosures of the special functions behind the certified widths, in Arb's ball arithmetic.

Every function returns a ball that contains the exact value, or a float on the side of it that its name says. What
goes in as a float is taken as that exact binary number.

Source: johansson2017
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from flint import arb, ctx, fmpq, fmpz

Density = Callable[[arb], arb]
# Bits of a ball's midpoint. Where cancellation eats them the working precision is doubled up to MOST_BITS; a ball
# that stays wide is still an enclosure, and then only the certificate gets worse.
BITS = 128
MOST_BITS = 8192
# A value is sharp enough when its radius is below 2^-ABSOLUTE_BITS, or below 2^-RELATIVE_BITS of itself.
ABSOLUTE_BITS = 90
RELATIVE_BITS = 40


def hit_probability(z: float, eps: float, variance: float) -> arb:
    r"""P(|N(0, s) − z| ≤ ε).

    .. math:: p(z; s) = Φ((z + ε)/\sqrt{s}) − Φ((z − ε)/\sqrt{s})

    Args:
        z, ε: exact numbers. variance: s > 0.

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

    Source: certified
    """
    if x <= 0:
        return arb(0)
    if math.isinf(x):
        return arb(1)
    bits = BITS
    while True:
        with ctx.workprec(bits):
            value = (arb(x) / 2).gamma_lower(arb(dof) / 2, 1)
        if _sharp(value) or bits >= MOST_BITS:
            return _as_probability(value)
        bits *= 2


def beta_cdf(x: float, a: float, b: float) -> arb:
    r"""P(Beta(a, b) ≤ x) = I_x(a, b), relatively accurate in its lower tail.

    Source: certified
    """
    if x <= 0:
        return arb(0)
    if x >= 1:
        return arb(1)
    bits = BITS
    while True:
        with ctx.workprec(bits):
            if x * (a + b) <= a:
                value = arb(x).beta_lower(arb(a), arb(b), True)
            else:
                value = 1 - (1 - arb(x)).beta_lower(arb(b), arb(a), True)
        if _sharp(value) or bits >= MOST_BITS:
            return _as_probability(value)
        bits *= 2


def binomial_cdf(m: int, trials: int) -> arb:
    """P(Bin(trials, 1/2) ≤ m), an exact sum of integers, rounded once; −1 ≤ m ≤ trials.

    Source: certified
    """
    total = term = fmpz(1)
    for i in range(m):
        term = term * (trials - i) // (i + 1)
        total += term
    return arb(0) if m < 0 else arb(fmpq(total, fmpz(2) ** trials))


def overlap_weight(j: int, n: int, k: int) -> arb:
    r"""Probability that two independent k-subsets of n share j elements.

    .. math:: h_j = \binom{k}{j} \binom{n-k}{k-j} / \binom{n}{k}

    Source: certified
    """
    if k - j > n - k:
        return arb(0)
    with ctx.workprec(2 * BITS):
        return arb(fmpq(math.comb(k, j) * math.comb(n - k, k - j), math.comb(n, k)))


def chi_square_cells(edges: Sequence[float], dof: int) -> list[arb]:
    """Upper bounds of P(x_i < χ²_dof ≤ x_{i+1}) for finite edges ≥ 0.

    Source: certified
    """
    if dof < 2:
        return _differences([chi_square_cdf(x, dof) for x in edges])
    with ctx.workprec(BITS):
        half = arb(dof) / 2
        constant = -half * arb(2).log() - half.lgamma()
        return _tangent_cells(
            edges,
            lambda x: ((half - 1) * x.log() - x / 2 + constant).exp(),
            lambda x: (half - 1) / x - arb(0.5),
        )


def beta_cells(edges: Sequence[float], a: float, b: float) -> list[arb]:
    """Upper bounds of P(x_i < Beta(a, b) ≤ x_{i+1}) for edges in [0, 1].

    Source: certified
    """
    if a < 1 or b < 1:
        return _differences([beta_cdf(x, a, b) for x in edges])
    with ctx.workprec(BITS):
        p, q = arb(a), arb(b)
        constant = (p + q).lgamma() - p.lgamma() - q.lgamma()
        return _tangent_cells(
            edges,
            lambda x: ((p - 1) * x.log() + (q - 1) * (1 - x).log() + constant).exp(),
            lambda x: (p - 1) / x - (q - 1) / (1 - x),
        )


def beta_moment_cells(edges: Sequence[float], a: float, b: float, dim: int) -> list[arb]:
    """Upper bounds of ∫ o^{−D/2} dP(o) over cells of Beta(a, b) for edges in [0, 1]; inf where none is found.

    In t = log o the integrand e^{(a − D/2) t} (1 − e^t)^{b − 1} is log-concave for b ≥ 1, whatever the sign of a − D/2;
    for b < 1 its second factor is largest at the upper edge.

    Source: certified
    """
    with ctx.workprec(BITS):
        p, q = arb(a) - arb(dim) / 2, arb(b)
        constant = (a + q).lgamma() - arb(a).lgamma() - q.lgamma()

        def density(t: arb) -> arb:
            return (p * t + (q - 1) * (-t.expm1()).log() + constant).exp()

        def slope(t: arb) -> arb:
            return p + (q - 1) * t.exp() / t.expm1()

        found = []
        for low, high in pairwise(edges):
            left, right = arb(low).log(), arb(high).log()
            if b >= 1:
                found.append(_tangent_integral(left, arb((low + high) / 2).log(), right, density, slope))
            else:
                bound = density(right) * (right - left) * _exponential_mean(p * (right - left))
                found.append(max_zero(bound) if bound.is_finite() else arb("inf"))
        return found


def max_zero(x: arb) -> arb:
    """The upper end of a ball, at least 0, as an exact number."""
    top = x.upper()
    return top if top > 0 else arb(0)


def above(x: arb) -> float:
    """A float that is not below any number of the ball (inf when there is none)."""
    return -below(-x)


def below(x: arb) -> float:
    """A float that is not above any number of the ball."""
    if not x.is_finite():
        return -math.inf
    bottom = x.lower()
    value = float(bottom)
    while math.isfinite(value) and not arb(value) <= bottom:
        value = math.nextafter(value, -math.inf)
    return value if value < math.inf else math.nextafter(math.inf, 0)


def mantissas(balls: Sequence[arb]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Upper bounds m·2^e of non-negative balls, m in [1/2, 1] and e an integer of any size; zero is m = 0."""
    found = [_mantissa(ball) for ball in balls]
    return np.array([m for m, _ in found]), np.array([e for _, e in found], dtype=np.int64)


def _mantissa(ball: arb) -> tuple[float, int]:
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


def _tangent_cells(edges: Sequence[float], density: Density, slope: Density) -> list[arb]:
    """Upper bounds of the integrals of a log-concave density over cells; 1 where none is found."""
    bounds = [
        _tangent_integral(arb(low), arb((low + high) / 2), arb(high), density, slope) for low, high in pairwise(edges)
    ]
    return [bound if bound.is_finite() else arb(1) for bound in bounds]


def _tangent_integral(low: arb, middle: arb, high: arb, density: Density, slope: Density) -> arb:
    """∫ f over [low, high] for a log-concave f is at most that of any tangent: f(x) ≤ f(c)·e^{(log f)'(c)(x − c)}.

    The tangent in the middle is best for narrow cells; where it is steep those at the edges are tried too.
    """
    best = _exponential_integral(low, middle, high, density(middle), slope(middle))
    if not abs(slope(middle)) * (high - low) < 1:
        for c in (low, high):
            other = _exponential_integral(low, c, high, density(c), slope(c))
            if other.is_finite() and not other >= best:
                best = other
    return max_zero(best) if best.is_finite() else arb("inf")


def _exponential_integral(low: arb, c: arb, high: arb, value: arb, s: arb) -> arb:
    """∫ value·e^{s(x − c)} over [low, high]."""
    width = high - low
    return value * (s * (high - c)).exp() * width * _exponential_mean(s * width)


def _exponential_mean(x: arb) -> arb:
    """The mean of e^{−xs} over s in [0, 1]."""
    return -((-x).expm1()) / x if x > 0 or x < 0 else abs(x).exp()


def _differences(cdf: Sequence[arb]) -> list[arb]:
    with ctx.workprec(2 * BITS):
        return [max_zero(b - a) for a, b in pairwise(cdf)]


def _sharp(value: arb) -> bool:
    if not value.is_finite():
        return False
    radius = value.rad()
    return bool(radius < arb(2) ** -ABSOLUTE_BITS or radius < abs(value.mid()) * arb(2) ** -RELATIVE_BITS)


def _as_probability(value: arb) -> arb:
    """The same number, known to lie in [0, 1]; what Arb could not bound at all is [0, 1]."""
    whole = arb(0.5, 0.5)
    return whole if not value.is_finite() else value.intersection(whole)
