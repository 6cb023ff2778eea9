r"""Chi-square tails (laurent2000).

.. math:: P(χ^2_k \ge k + 2\sqrt{kx} + 2x) \le e^{-x}, \qquad P(χ^2_k \le k - 2\sqrt{kx}) \le e^{-x}

The check is rigorous at each of 72 pairs (k, x): it rounds the thresholds to the side that makes the probability
larger, and Arb encloses the distribution function and the exponential. Other pairs rest on the published proof. False
variant: the upper threshold without 2x.
"""

from __future__ import annotations

from itertools import product

from flint import arb

from proofs_check.check import Lemma
from slth.theory import enclosures

DEGREES = (1, 2, 3, 5, 10, 30, 100, 300)
LEVELS = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 20.0)


def margin(false_variant: bool) -> float:
    """Smallest of 1 − probability·e^x over all pairs and both tails."""
    smallest = 1.0
    for k, x in product(DEGREES, LEVELS):
        spread = 2 * (arb(k) * arb(x)).sqrt()
        upper = enclosures.rounded_down(k + spread + (0 if false_variant else 2 * arb(x)))
        lower = enclosures.rounded_up(k - spread)
        beyond = 1 - enclosures.chi_square_cdf(upper, k)
        under = enclosures.chi_square_cdf(lower, k)
        smallest = min(smallest, *(enclosures.rounded_down(1 - tail * arb(x).exp()) for tail in (beyond, under)))
    return smallest


LEMMA = Lemma(
    name="chi-square tails",
    kind="rigorous",
    margin=margin,
    establishes="both tails at 72 pairs of degrees of freedom and level",
)
