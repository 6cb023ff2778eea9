r"""Cell probabilities by tangents of log-concave densities (certified, lines 15 and 16).

.. math:: f(x) \le f(c)\, e^{(\log f)'(c)(x - c)} \;\Rightarrow\;
          P(\text{cell}) \le \int_{cell} f(c)\, e^{(\log f)'(c)(x-c)} dx

for χ² and Beta distributions, and the same in log o for ∫ o^{−D/2} dP(o), which is a Beta probability with another
parameter. Arb's regularised incomplete gamma and beta functions give the exact values as balls. On every cell the bound
must be above the ball's lower end; for b ≥ 1 the bounds must add up to less than 2 % too much. The check verifies the
code on these distributions; the proof shows log-concavity. False variant: the midpoint rule, which is below the
integral wherever the density is convex.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from flint import arb, ctx
from scipy import stats

from proofs_check.check import Lemma
from slth.theory import cell_bounds, enclosures

CHI_SQUARES = (1, 2, 5, 16, 90)
BETAS = ((1.0, 0.5), (1.0, 4.0), (3.0, 2.5), (12.0, 30.0), (40.0, 40.0), (25.0, 1.0))
SCORES = np.linspace(1e-6, 1 - 1e-6, 120)
ROUNDING = 1e-20


def margin(false_variant: bool) -> float:
    """Smallest relative excess of a bound over the exact value, plus 1e-20, or minus the excess of a total."""
    smallest = 1.0
    for dof in CHI_SQUARES:
        edges = [float(x) for x in stats.chi2.ppf(SCORES, dof)]
        exact = [enclosures.chi_square_cdf(x, dof) for x in edges]
        bounds = cell_bounds.chi_square_cells(edges, dof)
        if false_variant:
            bounds = _midpoint_rule(edges, stats.chi2(dof).pdf)
        smallest = min(smallest, _smallest_excess(bounds, exact))
    for a, b in BETAS:
        edges = [float(x) for x in stats.beta.ppf(SCORES, a, b)]
        bounds = cell_bounds.beta_cells(edges, a, b)
        if false_variant:
            bounds = _midpoint_rule(edges, stats.beta(a, b).pdf)
        smallest = min(smallest, _smallest_excess(bounds, [enclosures.beta_cdf(x, a, b) for x in edges]))
        for dim in (1, 4):
            if a > dim / 2 and not false_variant:
                constant = (
                    (arb(a) - arb(dim) / 2).lgamma()
                    - arb(a).lgamma()
                    + (arb(a) + b).lgamma()
                    - (arb(a) + b - arb(dim) / 2).lgamma()
                ).exp()
                exact = [constant * enclosures.beta_cdf(x, a - dim / 2, b) for x in edges]
                bounds = cell_bounds.beta_moment_cells(edges, a, b, dim)
                most = constant * (1.02 if b >= 1 else 1e3)
                smallest = min(smallest, _smallest_excess(bounds, exact, most=most))
    return smallest


def _smallest_excess(bounds: list[arb], cdf: list[arb], most: arb | float = 1.02) -> float:
    """Smallest relative excess of the bounds over the cells' probabilities, and of ``most`` over their sum."""
    with ctx.workprec(200):
        cells = [high - low for low, high in pairwise(cdf)]
        relative = [
            enclosures.rounded_down((bound - cell.lower()) / cell) for bound, cell in zip(bounds, cells, strict=True)
        ]
        room = enclosures.rounded_down(1 - sum(bounds, arb(0)) / most)
    return min([*relative, room]) + ROUNDING


def _midpoint_rule(edges: list[float], density: Callable[[float], float]) -> list[arb]:
    """The midpoint rule, which is a good approximation but not a bound."""
    return [arb(float(density((low + high) / 2)) * (high - low)) for low, high in pairwise(edges)]


LEMMA = Lemma(
    name="cell probabilities by tangents",
    kind="rigorous",
    margin=margin,
    establishes="the bounds the certificates use are above Arb's values, and near them, for eleven distributions",
)
