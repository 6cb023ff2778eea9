r"""How many hidden channels give enough candidates of one sign (certified, line 20).

.. math:: P(\mathrm{Bin}(w, 1/2) < N) \le δ \quad\text{for}\quad w = \texttt{group\_width}(N, δ)

The check counts all 2^w patterns of signs for w ≤ 14. The counts must equal the exact rationals that ``binomial_cdf``
encloses, and ``group_width`` must be the smallest w that keeps the bound. For larger w the code adds the same integers.
False variant: one channel fewer.
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial

import numpy as np
from flint import arb, fmpq

from proofs_check.check import Lemma, holds
from slth.theory.composition import group_width
from slth.theory.enclosures import binomial_cdf


def margin(false_variant: bool, largest: int = 14) -> float:
    """1 when the counts agree and every width is the smallest that suffices, −1 otherwise.

    Args:
        false_variant: whether to check the false variant in place of the lemma.
        largest: the largest w.
    """
    facts, below = [], {}
    for w in range(1, largest + 1):
        patterns = np.arange(2**w)
        positive = np.bitwise_count(patterns)
        for wanted in range(1, w + 1):
            chance = Fraction(int((positive < wanted).sum()), 2**w)
            below[wanted, w] = chance
            ball = binomial_cdf(wanted - 1, w)
            facts.append(bool(ball.overlaps(arb(fmpq(chance.numerator, chance.denominator)))))
    for wanted in (1, 2, 3, 4):
        for failure in (0.4, 0.1, 0.05):
            w = group_width(wanted, failure) - false_variant
            facts.append(w > largest or below.get((wanted, w), Fraction(1)) <= Fraction(failure))
            facts.append(w > largest or below.get((wanted, w - 1), Fraction(1)) > Fraction(failure))
    return holds(*facts)


LEMMA = Lemma(
    name="candidates of one sign",
    kind="exhaustive",
    margin=margin,
    establishes="the binomial tail and the smallest width by counting all sign patterns up to fourteen channels",
    quick=partial(margin, largest=11),
)
