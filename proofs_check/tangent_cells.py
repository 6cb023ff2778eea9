r"""Cell probabilities by tangents of log-concave densities (certified, lines 15 and 16).

.. math:: f(x) \le f(c)\, e^{(\log f)'(c)(x - c)} \;\Rightarrow\;
          P(\text{cell}) \le \int_{cell} f(c)\, e^{(\log f)'(c)(x-c)} dx

for χ² and Beta laws, and the same in log o for ∫ o^{−D/2} dP(o), which is a Beta probability of another parameter.
Arb's regularised incomplete gamma and beta functions give the exact values as balls: the bound must be above the ball's
lower end on every cell and, for b ≥ 1, less than 2 % too high in all. It verifies the code on these laws; log-concavity
itself is in the proof. False variant: the midpoint rule, which is below the integral wherever the density is convex.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from flint import arb, ctx
from scipy import stats

from proofs_check.check import Lemma
from slth.theory import enclosures

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
        bounds = enclosures.chi_square_cells(edges, dof)
        if false_variant:
            bounds = midpoints(edges, lambda x, dof=dof: stats.chi2.pdf(x, dof))
        smallest = min(smallest, excess(bounds, exact))
    for a, b in BETAS:
        edges = [float(x) for x in stats.beta.ppf(SCORES, a, b)]
        bounds = enclosures.beta_cells(edges, a, b)
        if false_variant:
            bounds = midpoints(edges, lambda x, a=a, b=b: stats.beta.pdf(x, a, b))
        smallest = min(smallest, excess(bounds, [enclosures.beta_cdf(x, a, b) for x in edges]))
        for dim in (1, 4):
            if a > dim / 2 and not false_variant:
                constant = (
                    (arb(a) - arb(dim) / 2).lgamma()
                    - arb(a).lgamma()
                    + (arb(a) + b).lgamma()
                    - (arb(a) + b - arb(dim) / 2).lgamma()
                ).exp()
                exact = [constant * enclosures.beta_cdf(x, a - dim / 2, b) for x in edges]
                smallest = min(
                    smallest,
                    excess(
                        enclosures.beta_moment_cells(edges, a, b, dim), exact, most=constant * (1.02 if b >= 1 else 1e3)
                    ),
                )
    return smallest


def excess(bounds: list[arb], cdf: list[arb], most: arb | float = 1.02) -> float:
    """Smallest relative excess of the bounds over the differences of a distribution function, and of ``most``."""
    with ctx.workprec(200):
        cells = [high - low for low, high in pairwise(cdf)]
        relative = [enclosures.below((bound - cell.lower()) / cell) for bound, cell in zip(bounds, cells, strict=True)]
        room = enclosures.below(1 - sum(bounds, arb(0)) / most)
    return min([*relative, room]) + ROUNDING


def midpoints(edges: list[float], density: object) -> list[arb]:
    """The midpoint rule: a good approximation, and no bound."""
    return [
        arb(float(density((low + high) / 2)) * (high - low))  # type: ignore[operator]
        for low, high in pairwise(edges)
    ]


LEMMA = Lemma(
    name="cell probabilities by tangents",
    kind="rigorous",
    margin=margin,
    establishes="the bounds the certificates use are above Arb's values, and near them, for eleven laws",
)
