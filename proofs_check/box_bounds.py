r"""Bounds on boxes, with their rounding (certified, lines 10, 11 and 14).

``slth.theory.pair_moments.box_ratios`` computes, in float64, a number r for every box of (V, o, u). At random points of
random boxes, Arb evaluates the two bounds of r_i from their definitions:

.. math:: \frac{1}{\sqrt{1 - ρ^2}} \exp\Big( \frac{ρ}{1+ρ} \frac{(ζ+ε)^2}{2} \big(\tfrac1s + \tfrac1{s'}\big) \Big),
          \qquad \frac{1}{p(ζ; s)}

Wherever both scales are in the window, r must not be below the smaller bound, and the box must be counted. A wrong
corner or a wrong direction of rounding shows at some of the points; only the proof covers all points. The power means
of line 12 are left out here, because the tangent check has them. False variant: o at the other edge of each cell.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from flint import arb, ctx

from proofs_check.check import Lemma
from slth.theory import enclosures
from slth.theory.pair_moments import IntegrationGrid, Setting, box_ratios, cell_edges, tabulate_caps
from slth.theory.probability_backends import ARB
from slth.theory.second_moment import setting_with_window

CASES = ((6, 2, 1, 0.05, 0.5), (12, 3, 4, 0.01, 0.5), (20, 19, 9, 0.1, 1.0), (9, 5, 2, 0.2, 0.0))
GRID = IntegrationGrid(v=12, o=40, u=8, table=64)


def margin(false_variant: bool, points: int = 1500) -> float:
    """Smallest of r/bound − 1 over the points, plus 1e-12; −1 where a box in the window is not counted.

    Args:
        false_variant: whether to check the false variant in place of the lemma.
        points: number of random points in all.
    """
    rng = np.random.default_rng(3)
    smallest = 1.0
    for k, j, dim, eps, z_bound in CASES:
        setting = setting_with_window(k=k, dim=dim, eps=eps, z_bound=z_bound, quantile=0.95)
        scales, caps = tabulate_caps(setting, ARB, GRID)
        v, o, u = cell_edges(j, setting, float(caps.max()), GRID)
        used = np.append(o[1:-1], [(1 + o[-2]) / 2, 1.0]) if false_variant else o
        means = np.zeros(len(o) - 1)
        counted = box_ratios(v, o, u, means, setting, scales, caps)[1]
        ratios = box_ratios(v, used, u, means, setting, scales, caps)[0]
        for _ in range(points // len(CASES)):
            box = tuple(int(rng.integers(len(edges) - 1)) for edges in (v, o, u))
            place = [float(rng.uniform(edges[i], edges[i + 1])) for edges, i in zip((v, o, u), box, strict=True)]
            bound = _smaller_bound(place[0], place[1], place[2], setting)
            if bound is None:
                continue
            if not counted[box]:
                return -1.0
            smallest = min(smallest, enclosures.rounded_down(arb(float(ratios[box])) / bound - 1) + 1e-12)
    return smallest


def _smaller_bound(v: float, o: float, u: float, setting: Setting) -> arb | None:
    """The smaller bound of r_i at a point, from s, s' and A; None outside the window."""
    with ctx.workprec(120):
        common, rest = arb(v) * (1 - arb(o)), arb(v) * arb(o)
        s, t = common + rest * arb(u), common + rest * (1 - arb(u))
        if not (s >= setting.low and s <= setting.high and t >= setting.low and t <= setting.high):
            return None
        rho = common / (s * t).sqrt()
        reach = arb(setting.z_bound) + arb(setting.eps)
        growth = rho / (1 + rho) * reach**2 / 2 * (1 / s + 1 / t)
        density = growth.exp() / (1 - rho**2).sqrt()
        root = (2 * s).sqrt()
        z, eps = arb(setting.z_bound), arb(setting.eps)
        cap = 2 / (((z + eps) / root).erf() - ((z - eps) / root).erf())
        return density if density <= cap else cap


LEMMA = Lemma(
    name="bounds on boxes in float64",
    kind="rigorous",
    margin=margin,
    establishes="the float bound is above the exact one at 1,500 random points of random boxes of four settings",
    quick=partial(margin, points=600),
)
