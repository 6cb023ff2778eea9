r"""Planted tickets: when a random layer contains given neurons (plantnseek2022).

.. math:: P(\text{found}) \ge \prod_l \Big( 1 - \sum_i (1 - ε_l^{k_i})^{n_l} \Big)

A layer has n_l random neurons, whose k_i parameters are uniform in [−1, 1]. Each is a copy of target i with probability
q_i = ε_l^{k_i}, the share of a box of side 2ε in each parameter. For disjoint boxes, inclusion and exclusion gives the
probability that all targets of a layer are found: Σ_T (−1)^|T| (1 − Σ_T q_i)^n. The check compares it with the bound in
exact rationals, over a finite family of ε, k and n, and over products of two layers. It establishes the bound where
targets compete for neurons. Boxes that the edge of [−1, 1] cuts are smaller; they are not covered. False variant:
Π_i (1 − (1 − q_i)^n), as if the targets did not compete.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, combinations_with_replacement, product
from math import prod

from proofs_check.check import Lemma


def margin(false_variant: bool) -> float:
    """Smallest of exact − bound over the family, plus 1e-15 for the cases of one target, where they are equal."""
    layers = []
    for half, n in product((2, 3, 4), range(1, 13)):
        eps = Fraction(1, half)
        for size in (1, 2, 3):
            for exponents in combinations_with_replacement((1, 2, 3), size):
                chances = [eps**k for k in exponents]
                if sum(chances) <= 1:
                    misses = [(1 - q) ** n for q in chances]
                    bound = prod((1 - m for m in misses), start=Fraction(1)) if false_variant else 1 - sum(misses)
                    layers.append((_probability_of_all(chances, n), max(bound, Fraction(0))))
    smallest = min(float(truth - bound) for truth, bound in layers)
    both = min(float(a[0] * b[0] - a[1] * b[1]) for a, b in product(layers[::7], repeat=2))
    return min(smallest, both) + 1e-15


def _probability_of_all(chances: list[Fraction], n: int) -> Fraction:
    """P(every target is matched by some of n neurons), for disjoint boxes."""
    return sum(
        (
            (-1) ** size * (1 - sum(chosen, Fraction(0))) ** n
            for size in range(len(chances) + 1)
            for chosen in combinations(chances, size)
        ),
        Fraction(0),
    )


LEMMA = Lemma(
    name="planted-ticket probability",
    kind="exhaustive",
    margin=margin,
    establishes="the bound against exact rationals for every member of the family, one and two layers",
)
