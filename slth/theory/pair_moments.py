r"""Second moments of pairs of k-subsets that share j candidates, bounded from above cell by cell.

The sums of a pair (S, S') have the scales s = A + B and s' = A + B', where A ~ χ²_j and B, B' ~ χ²_{k−j} are
independent, and

.. math:: m_j = E\Big[ 1_W(s)\, 1_W(s') \prod_i r_i \Big], \qquad
          r_i = \frac{P(|X_i - z_i| \le ε, |X'_i - z_i| \le ε)}{p(z_i; s)\, p(z_i; s')}
              \le \min\Big( \frac{e^{\,g}}{\sqrt{1 - ρ^2}}, \frac{1}{p(ζ; s)} \Big)

where ρ² = A²/(s s') and g = ρ/(1+ρ) · (ζ + ε)²/2 · (1/s + 1/s'). Three coordinates are independent:

- V = A + B + B' ~ χ²_{2k−j},
- o = (B + B')/V ~ Beta(k−j, j/2),
- u = min(B, B')/(B + B'), distributed like the lower half of Beta((k−j)/2, (k−j)/2).

In these coordinates every factor is monotone, so the largest value on a box is at a known corner. The bound is the
upper Riemann sum over boxes with rigorous probabilities. proofs_check/certified_width.md proves it line by line.

Source: certified
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from flint import arb
from scipy import special

from slth.arrays import BoolArray, FloatArray
from slth.theory.enclosures import ROUNDING_SLACK
from slth.theory.probability_backends import ProbabilityBackend
from slth.theory.scaled_numbers import power, upper_sum

# Cell edges lie at normal scores of each distribution up to this one; one cell on either side takes the rest.
FARTHEST_SCORE = 7.0
# The rounding errors that the code here and in scaled_numbers.py allow for are bounded for D up to this.
LARGEST_DIMENSION = 2**12
# e^t ≤ (1 − t/2^4)^(−2^4) takes four squarings; exp itself has no proved error.
EXP_SQUARINGS = 4


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The arguments that the pair moments of one subset size depend on.

    Attributes:
        k: subset size.
        dim: dimension D.
        eps: tolerance ε.
        z_bound: ζ ≥ max |z_i|.
        low: lower end of the window W of scales that are counted.
        high: upper end of the window W.
    """

    k: int
    dim: int
    eps: float
    z_bound: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class IntegrationGrid:
    """How fine the cells are.

    Attributes:
        v: cells of V.
        o: cells of o.
        u: cells of u.
        table: intervals of the table of 1/p over the window.
    """

    v: int
    o: int
    u: int
    table: int


def pair_moment(j: int, setting: Setting, *, backend: ProbabilityBackend, grid: IntegrationGrid) -> arb:
    """Upper bound of m_j; rigorous when the backend is :data:`slth.theory.probability_backends.ARB`.

    Args:
        j: candidates that the two subsets share, 1 ≤ j ≤ k.
        setting: subset size, target and window.
        backend: where the probabilities come from.
        grid: how fine the cells are.

    Source: certified
    """
    scales, caps = tabulate_caps(setting, backend, grid)
    if j == setting.k:
        weights = backend.chi_square(scales, setting.k)
        return upper_sum(power(np.maximum(caps[:-1], caps[1:]), setting.dim), weights)
    v, o, u = cell_edges(j, setting, caps.max(), grid)
    half = (setting.k - j) / 2
    of_o = backend.beta(o, 2 * half, j / 2)
    means = backend.power_means(o, 2 * half, j / 2, setting.dim, of_o)
    of_v, of_u = backend.chi_square(v, 2 * setting.k - j), backend.beta(u, half, half)
    ratio, counted = box_ratios(v, o, u, means, setting, scales, caps)
    mantissa = of_v[0][:, None, None] * of_o[0][None, :, None] * of_u[0] * 2.0  # u and 1 − u
    exponent = of_v[1][:, None, None] + of_o[1][None, :, None] + of_u[1]
    return upper_sum(power(ratio, setting.dim), (np.where(counted, mantissa, 0.0), exponent))


def box_ratios(
    v: FloatArray,
    o: FloatArray,
    u: FloatArray,
    means: FloatArray,
    setting: Setting,
    scales: FloatArray,
    caps: FloatArray,
) -> tuple[FloatArray, BoolArray]:
    """An r for every box with E[∏ r_i; box] ≤ P(box) r^D, and whether the box meets the window.

    The computation consists of sums, products, quotients and roots of non-negative numbers. Nothing cancels, so every
    rounding error is relative.

    Args:
        v: edges of the cells of V.
        o: edges of the cells of o.
        u: edges of the cells of u.
        means: power mean ō of each cell of o, or 0.
        setting: subset size, target and window.
        scales: points over the window, increasing.
        caps: 1/p(ζ; s) at these points.

    Returns:
        Two arrays over the boxes (V, o, u): r, and whether the box is counted.
    """
    reach = setting.z_bound + setting.eps
    v0, v1 = v[:-1, None, None], v[1:, None, None]
    o0, o1 = o[None, :-1, None], o[None, 1:, None]
    u0, u1 = u[None, None, :-1], u[None, None, 1:]
    # s/V = 1 − o(1 − u) = (1 − o) + o u falls in o and rises in u; s'/V = 1 − o u falls in both.
    small_low, small_high = v0 * ((1 - o1) + o1 * u0), v1 * ((1 - o0) + o0 * u1)
    large_low, large_high = v0 * ((1 - o1) + o1 * (1 - u1)), v1 * ((1 - o0) + o0 * (1 - u0))
    down, up = 1 - ROUNDING_SLACK, 1 + ROUNDING_SLACK
    counted = (small_low * down <= setting.high) & (large_low * down <= setting.high)
    counted &= (small_high * up >= setting.low) & (large_high * up >= setting.low)

    product = ((1 - o0) + o0 * u0) * ((1 - o0) + o0 * (1 - u0))
    with np.errstate(divide="ignore", invalid="ignore"):
        # 1 − ρ² = o·G rises in o and u; G rises in u, and rises and then falls in o.
        factor = ((1 - o0) + o0 * u0 * (1 - u0)) / product
        other = ((1 - o1) + o1 * u0 * (1 - u0)) / (((1 - o1) + o1 * u0) * ((1 - o1) + o1 * (1 - u0)))
        independence = np.fmax(o0 * factor, means[None, :, None] * np.minimum(factor, np.nan_to_num(other, nan=0.0)))
        rho = (1 - o0) / np.sqrt(product)  # the largest ρ
        # The largest 1/s + 1/s': (2 − o)/(V a a') rises in o, falls in V and u; and both scales are in the window.
        inverse = np.fmin((2 - o1) / (((1 - o1) + o1 * u0) * ((1 - o1) + o1 * (1 - u0))) / v0, 2 / setting.low)
        growth = rho / (1 + rho) * (reach * reach / 2) * inverse
        density = _upper_exp(growth) / np.sqrt(independence)
    first = np.searchsorted(scales, np.clip(small_low * down, setting.low, setting.high), side="right") - 1
    last = np.searchsorted(scales, np.clip(small_high * up, setting.low, setting.high), side="left")
    # p(ζ; ·) rises, then falls: its smallest value on an interval is at an end.
    cap = np.maximum(caps[first], caps[last])
    return np.fmin(density, cap), counted


def tabulate_caps(
    setting: Setting, backend: ProbabilityBackend, grid: IntegrationGrid
) -> tuple[FloatArray, FloatArray]:
    """Points s over the window, and 1/p(ζ; s) at them, which bounds every r_i.

    Args:
        setting: subset size, target and window.
        backend: where the probabilities come from.
        grid: how fine the table is.
    """
    scales = np.geomspace(setting.low, setting.high, grid.table + 1)
    scales[0], scales[-1] = setting.low, setting.high
    return scales, backend.inverse_hits(scales, setting.z_bound, setting.eps)


def cell_edges(
    j: int, setting: Setting, cap: float, grid: IntegrationGrid
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Edges of the cells of V, o and u.

    Any increasing floats would do. These follow the distributions, and the place where the cap is the smaller bound.

    Args:
        j: candidates that the two subsets share, 1 ≤ j < k.
        setting: subset size, target and window.
        cap: the largest 1/p(ζ; s) over the window.
        grid: how many cells there are.
    """
    rest, far = setting.k - j, FARTHEST_SCORE
    scores = special.ndtr(np.linspace(-far, far, grid.v - 1))
    v = np.asarray(2 * special.gammaincinv((2 * setting.k - j) / 2, scores), dtype=np.float64)
    # s ≤ V and max(s, s') ≥ V/2: outside [low, 2 high] nothing is counted.
    v = _edges_between(v, setting.low, 2 * setting.high)
    bulk = special.betaincinv(rest, j / 2, special.ndtr(np.linspace(-4, far, grid.o - grid.o // 4)))
    start = min(0.25 / cap**2, float(bulk[0]))
    o = _edges_between(np.concatenate([np.geomspace(start, bulk[0], grid.o // 4), bulk]), 0.0, 1.0)
    u = np.asarray(special.betaincinv(rest / 2, rest / 2, special.ndtr(np.linspace(-far, 0, grid.u))), dtype=np.float64)
    return v, o, _edges_between(u, 0.0, 0.5)


def _edges_between(edges: FloatArray, low: float, high: float) -> FloatArray:
    inside = edges[(edges > low) & (edges < high) & np.isfinite(edges)]
    return np.unique(np.concatenate([[low], inside, [high]]))


def _upper_exp(t: FloatArray) -> FloatArray:
    """A number ≥ e^t for t ≥ 0, from correctly rounded operations alone; inf where t is too large for them."""
    steps = 2**EXP_SQUARINGS
    value = np.where(t < steps / 2, 1 / (1 - np.minimum(t, steps / 2) / steps), np.inf)
    for _ in range(EXP_SQUARINGS):
        value = value * value
    return value
