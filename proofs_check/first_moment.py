r"""First moment: the probability that one k-subset hits (certified, lines 1 and 3).

.. math:: P(|Σ_S Y - z| \le ε) = E_{A \sim χ^2_k}[p(z; A)], \qquad E[\#\text{hits}] = \binom{n}{k} P(\text{hit})

For D = 1 the sum of k = 2 NSN variables is a Laplace variable, and the sum of k = 4 is the sum of two of those, so the
left side is elementary. Arb's verified quadrature on [0.0001, 60] encloses the right side, with bounds for the two
ends. The closed form must lie in the enclosure, and the enclosure must be narrow. The binomial factor is linearity of
expectation. A larger D needs no other formula, only more factors. False variant: A ~ χ²_{k+1}.
"""

from __future__ import annotations

from itertools import product

from flint import acb, arb, ctx

from proofs_check.check import Lemma
from slth.theory import enclosures

LOW, HIGH = 1e-4, 60.0


def margin(false_variant: bool) -> float:
    """Smallest distance of the closed form from the ends of its enclosure, relative to it; negative outside."""
    smallest = 1.0
    for k, z, eps in product((2, 4), (0.0, 0.5, 2.0), (0.05, 0.3)):
        exact = _window_probability(k, arb(z), arb(eps))
        low, high = _enclosure(k + false_variant, z, eps)
        if not high - low < exact / 25:
            return -1.0
        slack = min(enclosures.rounded_down((exact - low) / exact), enclosures.rounded_down((high - exact) / exact))
        smallest = min(smallest, slack)
    return smallest


def _enclosure(k: int, z: float, eps: float) -> tuple[arb, arb]:
    """Bounds of E_{A ~ χ²_k}[p(z; A)] from below and from above."""
    with ctx.workprec(100):
        constant = (-(arb(k) / 2) * arb(2).log() - (arb(k) / 2).lgamma()).exp()

        def integrand(a: acb, _: bool) -> acb:
            root = (2 * a).sqrt()
            hit = (((z + acb(eps)) / root).erf() - ((z - acb(eps)) / root).erf()) / 2
            return hit * constant * (-a / 2).exp() * (a.log() * (acb(k) / 2 - 1)).exp()

        middle = acb.integral(integrand, acb(LOW), acb(HIGH)).real
        ends = enclosures.chi_square_cdf(LOW, k) + 1 - enclosures.chi_square_cdf(HIGH, k)
        return middle.lower(), (middle + ends).upper()


def _window_probability(k: int, z: arb, eps: arb) -> arb:
    """P(|X − z| ≤ ε) for a Laplace variable (k = 2) or the sum of two (k = 4)."""

    def cdf(x: arb) -> arb:
        tail = (-abs(x)).exp() * (1 if k == 2 else 1 + abs(x) / 2) / 2
        return 1 - tail if x > 0 else tail

    return cdf(z + eps) - cdf(z - eps)


LEMMA = Lemma(
    name="first moment",
    kind="rigorous",
    margin=margin,
    establishes="the formula for one coordinate against closed forms at twelve points, within verified enclosures",
)
