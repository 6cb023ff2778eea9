r"""Overlap distribution: how many elements two k-subsets of n share (certified, line 4).

.. math:: h_j = \binom{k}{j} \binom{n-k}{k-j} \Big/ \binom{n}{k}

The check lists all pairs of subsets for n ≤ 8 and every k. The counts must equal the exact rationals that
``slth.theory.enclosures.overlap_weight`` encloses. For larger n see the hypergeometric identities. False variant: the
second subset's other elements drawn from all n.
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from itertools import combinations
from math import comb

from flint import arb, fmpq

from proofs_check.check import Lemma, holds
from slth.theory.enclosures import overlap_weight


def margin(false_variant: bool, largest: int = 8) -> float:
    """1 when every count equals the formula and lies in the ball that the certificates use, −1 otherwise.

    Args:
        false_variant: whether to check the false variant in place of the lemma.
        largest: the largest n.
    """
    facts = []
    for n in range(1, largest + 1):
        for k in range(1, n + 1):
            subsets = [set(subset) for subset in combinations(range(n), k)]
            counts = [0] * (k + 1)
            for one in subsets:
                for other in subsets:
                    counts[len(one & other)] += 1
            for j, count in enumerate(counts):
                other_elements = n if false_variant else n - k
                expected = Fraction(comb(k, j) * comb(other_elements, k - j), comb(n, k))
                found = Fraction(count, len(subsets) ** 2)
                ball = overlap_weight(j, n, k)
                facts += [
                    found == expected,
                    bool(
                        ball.contains(arb(fmpq(found.numerator, found.denominator)))
                        or ball.overlaps(arb(fmpq(found.numerator, found.denominator)))
                    ),
                ]
    return holds(*facts)


LEMMA = Lemma(
    name="overlap distribution",
    kind="exhaustive",
    margin=margin,
    establishes="the distribution of the overlap for every n ≤ 8 and k, by listing all pairs",
    quick=partial(margin, largest=6),
)
