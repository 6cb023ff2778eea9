r"""The covering net (certified, line 19).

With η = ε − ε₁ and c = ⌈ζ/η⌉ intervals a side, every point of [−ζ, ζ]^D is within η of one of the c^D centres of
``slth.theory.width_search.covering_net``. An L∞ ball is a product of intervals, so it is enough to check one side: in
exact rationals, neighbouring centres and the ends of the side must be no further apart than the radii allow. The check
covers every (D, ε, δ, ζ) of a finite family. False variant: one interval fewer a side.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product

from proofs_check.check import Lemma
from slth.theory.width_search import covering_net

FAMILY = tuple(product((1, 2, 5, 25), (0.01, 0.1, 0.2), (0.5, 1e-6), (0.05, 0.3, 0.5, 1.0, 3.7)))


def margin(false_variant: bool) -> float:
    """Smallest relative slack of the radius over the farthest point of the side, plus 1e-12; negative if uncovered."""
    smallest = 1.0
    for dim, eps, delta, z_bound in FAMILY:
        tolerance, side = covering_net(dim, eps, delta, z_bound)
        count = side - 1 if false_variant and side > 1 else side
        radius = Fraction(eps) - Fraction(tolerance)
        zeta = Fraction(z_bound)
        centres = [-zeta + zeta * (2 * i + 1) / count for i in (0, count // 2, count - 1)]
        inside = all(abs(centre) <= zeta for centre in centres)
        # The farthest points are the ends of the intervals, ζ/c from the nearest centre.
        farthest = zeta / count
        slack = float((radius - farthest) / radius) if inside else -1.0
        smallest = min(smallest, slack + 1e-12, 1.0 if 0 < tolerance < eps else -1.0)
    return smallest


LEMMA = Lemma(
    name="covering net",
    kind="exhaustive",
    margin=margin,
    establishes="the net of every member of the family covers its box, in exact arithmetic",
)
