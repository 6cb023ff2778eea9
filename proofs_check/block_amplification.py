r"""Independent blocks (certified, line 18).

.. math:: P(\text{no block has a hit}) = (1-p)^m

For p = i/8 and m ≤ 8, the check lists the 2^m outcomes of m independent blocks and adds their probabilities as exact
rationals. The outcomes without a hit must sum to the formula, and to a number in the ball that
``slth.theory.width_search.all_blocks_fail`` returns; all outcomes must sum to 1. The check establishes the arithmetic;
blocks are independent because their candidates are disjoint. False variant: (1−p)/m.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product

from flint import arb, fmpq

from proofs_check.check import Lemma, holds
from slth.theory.width_search import all_blocks_fail


def margin(false_variant: bool) -> float:
    """1 when every sum equals the formula and lies in its ball, −1 otherwise."""
    facts = []
    for eighths, m in product(range(1, 8), range(1, 9)):
        p = Fraction(eighths, 8)
        no_hit, total = Fraction(0), Fraction(0)
        for outcome in product((False, True), repeat=m):
            chance = Fraction(1)
            for success in outcome:
                chance *= p if success else 1 - p
            total += chance
            no_hit += chance * (not any(outcome))
        formula = (1 - p) / m if false_variant else (1 - p) ** m
        ball = all_blocks_fail(arb(float(p)), m)
        facts += [no_hit == formula, total == 1, bool(ball.overlaps(arb(fmpq(no_hit.numerator, no_hit.denominator))))]
    return holds(*facts)


LEMMA = Lemma(
    name="block amplification",
    kind="exhaustive",
    margin=margin,
    establishes="(1−p)^m by listing all outcomes, and that the code's ball holds it",
)
