r"""Independent blocks (certified, line 18).

.. math:: P(\text{no block has a hit}) = (1-p)^m

The 2^m outcomes of m independent blocks are added up as exact rationals for p = i/8 and m ≤ 8; the sum must lie in the
ball that ``slth.theory.search.missed`` returns, and the whole must be 1. It establishes the arithmetic; independence is
that of disjoint candidates. False variant: (1−p)/m.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product

from flint import arb, fmpq

from proofs_check.check import Lemma, holds
from slth.theory.search import missed


def margin(false_variant: bool) -> float:
    """1 when every sum is the formula's and lies in its ball."""
    facts = []
    for eighths, m in product(range(1, 8), range(1, 9)):
        p = Fraction(eighths, 8)
        none, whole = Fraction(0), Fraction(0)
        for outcome in product((False, True), repeat=m):
            chance = Fraction(1)
            for success in outcome:
                chance *= p if success else 1 - p
            whole += chance
            none += chance * (not any(outcome))
        formula = (1 - p) / m if false_variant else (1 - p) ** m
        ball = missed(arb(float(p)), m)
        facts += [none == formula, whole == 1, bool(ball.overlaps(arb(fmpq(none.numerator, none.denominator))))]
    return holds(*facts)


LEMMA = Lemma(
    name="block amplification",
    kind="exhaustive",
    margin=margin,
    establishes="(1−p)^m by listing all outcomes, and that the code's ball holds it",
)
