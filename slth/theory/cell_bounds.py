r"""Upper bounds of the probabilities of cells, for χ² and Beta distributions.

A density f that is log-concave lies below each of its tangents in the logarithm,

.. math:: f(x) \le f(c)\, e^{(\log f)'(c)(x - c)},

and the right side has an elementary integral. Arb evaluates it.

Source: certified
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from flint import arb, ctx

from slth.theory.enclosures import BITS, beta_cdf, chi_square_cdf, nonnegative_upper_end

Density = Callable[[arb], arb]


def chi_square_cells(edges: Sequence[float], dof: int) -> list[arb]:
    """Upper bounds of P(x_i < χ²_dof ≤ x_{i+1}), one for each cell.

    Args:
        edges: increasing finite edges x_i ≥ 0 of the cells.
        dof: degrees of freedom, ≥ 1.

    Source: certified
    """
    if dof < 2:  # no log-concave density
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
    """Upper bounds of P(x_i < Beta(a, b) ≤ x_{i+1}), one for each cell.

    Args:
        edges: increasing edges x_i in [0, 1] of the cells.
        a: first parameter, > 0.
        b: second parameter, > 0.

    Source: certified
    """
    if a < 1 or b < 1:  # no log-concave density
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
    r"""Upper bounds of :math:`\int o^{-D/2} dP(o)` over cells of Beta(a, b); inf where none is found.

    In t = log o the integrand is :math:`e^{(a - D/2) t} (1 - e^t)^{b - 1}` up to a constant. For b ≥ 1 it is
    log-concave, whatever the sign of a − D/2. For b < 1 its second factor is largest at the upper edge.

    Args:
        edges: increasing edges in [0, 1] of the cells.
        a: first parameter, > 0.
        b: second parameter, > 0.
        dim: dimension D.

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
                found.append(nonnegative_upper_end(bound) if bound.is_finite() else arb("inf"))
        return found


def _tangent_cells(edges: Sequence[float], density: Density, slope: Density) -> list[arb]:
    """Upper bounds of the integrals of a log-concave density over cells; 1 where none is found."""
    bounds = [
        _tangent_integral(arb(low), arb((low + high) / 2), arb(high), density, slope) for low, high in pairwise(edges)
    ]
    return [bound if bound.is_finite() else arb(1) for bound in bounds]


def _tangent_integral(low: arb, middle: arb, high: arb, density: Density, slope: Density) -> arb:
    """An upper bound of the integral of a log-concave density over [low, high]; inf where none is found.

    The tangent in the middle is best for narrow cells. Where it is steep, the tangents at the edges are tried too.
    """
    best = _exponential_integral(low, middle, high, density(middle), slope(middle))
    if not abs(slope(middle)) * (high - low) < 1:
        for c in (low, high):
            other = _exponential_integral(low, c, high, density(c), slope(c))
            if other.is_finite() and not other >= best:
                best = other
    return nonnegative_upper_end(best) if best.is_finite() else arb("inf")


def _exponential_integral(low: arb, c: arb, high: arb, value: arb, s: arb) -> arb:
    """The integral of value·e^{s(x − c)} over [low, high]."""
    width = high - low
    return value * (s * (high - c)).exp() * width * _exponential_mean(s * width)


def _exponential_mean(x: arb) -> arb:
    """The mean of e^{−xs} over s in [0, 1]."""
    return -((-x).expm1()) / x if x > 0 or x < 0 else abs(x).exp()


def _differences(cdf: Sequence[arb]) -> list[arb]:
    """Upper bounds of the differences of a distribution function at neighbouring edges."""
    with ctx.workprec(2 * BITS):
        return [nonnegative_upper_end(b - a) for a, b in pairwise(cdf)]
