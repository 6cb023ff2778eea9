r"""Second moments of pairs of k-subsets that share j candidates, bounded from above cell by cell.

The pair (S, S') has scales s = A + B and s' = A + B' with A ~ χ²_j and B, B' ~ χ²_{k−j} independent, and

.. math:: m_j = E\Big[ 1_W(s)\, 1_W(s') \prod_i r_i \Big], \qquad
          r_i = \frac{P(|X_i - z_i| \le ε, |X'_i - z_i| \le ε)}{p(z_i; s)\, p(z_i; s')}
              \le \min\Big( \frac{e^{\,g}}{\sqrt{1 - ρ^2}}, \frac{1}{p(ζ; s)} \Big)

where ρ² = A²/(s s') and g = ρ/(1+ρ) · (ζ + ε)²/2 · (1/s + 1/s'). In the coordinates V = A + B + B' ~ χ²_{2k−j},
o = (B + B')/V ~ Beta(k−j, j/2), u = min(B, B')/(B + B') ~ the lower half of Beta((k−j)/2, (k−j)/2), which are
independent, every factor is monotone: the largest value on a box is at a known corner. The upper Riemann sum over
boxes with rigorous probabilities is the bound. proofs_check/certified_width.md has the proof, line by line.

Source: certified
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from flint import arb
from scipy import special

from slth.theory.laws import FloatArray, Laws, Scaled

# Proposed cell edges lie at these normal scores of each law; what lies beyond is one cell on either side.
FARTHEST_SCORE = 7.0
# Slack for the rounding of +, −, ×, ÷, √ on float64s without cancellation (line 14 of the proof): in comparisons, and
# for a sum. The error of one r is below 2^11 units of 2^-53, that of r^D for D ≤ 2^12 below 2^24, that of a sum of
# fewer than 2^22 terms below 2^22: together less than 2^-28.
NUDGE = 2.0**-40
INFLATION = 1 + 2.0**-24
LARGEST_DIMENSION = 2**12
# e^t ≤ (1 − t/2^4)^(−2^4): four squarings, where exp itself has no proved error.
EXP_SQUARINGS = 4


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the pair moments of one subset size depend on.

    Attributes:
        k: subset size. dim: D. eps: ε. z_bound: ζ ≥ max|z_i|. low, high: the window W of scales that is counted.
    """

    k: int
    dim: int
    eps: float
    z_bound: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Grid:
    """How many cells each of V, o and u gets, and how finely 1/p is tabulated over the window."""

    v: int
    o: int
    u: int
    table: int


def pair_moment(j: int, setting: Setting, *, laws: Laws, grid: Grid) -> arb:
    """Upper bound of m_j for 1 ≤ j ≤ k; rigorous when ``laws`` is :data:`slth.theory.laws.ARB`.

    Source: certified
    """
    points, caps = tabulate(setting, laws, grid)
    if j == setting.k:
        weights = laws.chi_square(points, setting.k)
        return _total(_power(np.maximum(caps[:-1], caps[1:]), setting.dim), weights)
    v, o, u = cell_edges(j, setting, caps.max(), grid)
    half = (setting.k - j) / 2
    of_o = laws.beta(o, 2 * half, j / 2)
    means = laws.power_means(o, 2 * half, j / 2, setting.dim, of_o)
    of_v, of_u = laws.chi_square(v, 2 * setting.k - j), laws.beta(u, half, half)
    ratio, counted = box_ratios(v, o, u, means, setting, points, caps)
    mantissa = of_v[0][:, None, None] * of_o[0][None, :, None] * of_u[0] * 2.0  # u and 1 − u
    exponent = of_v[1][:, None, None] + of_o[1][None, :, None] + of_u[1]
    return _total(_power(ratio, setting.dim), (np.where(counted, mantissa, 0.0), exponent))


def box_ratios(
    v: FloatArray,
    o: FloatArray,
    u: FloatArray,
    means: FloatArray,
    setting: Setting,
    points: FloatArray,
    caps: FloatArray,
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """An r with E[∏ r_i; box] ≤ P(box) r^D for every box, and whether the box meets the window: arrays (V, o, u).

    Only sums, products, quotients and roots of non-negative numbers: nothing cancels, every rounding is relative.
    """
    reach = setting.z_bound + setting.eps
    v0, v1 = v[:-1, None, None], v[1:, None, None]
    o0, o1 = o[None, :-1, None], o[None, 1:, None]
    u0, u1 = u[None, None, :-1], u[None, None, 1:]
    # s/V = 1 − o(1 − u) = (1 − o) + o u falls in o and rises in u; s'/V = 1 − o u falls in both.
    small_low, small_high = v0 * ((1 - o1) + o1 * u0), v1 * ((1 - o0) + o0 * u1)
    large_low, large_high = v0 * ((1 - o1) + o1 * (1 - u1)), v1 * ((1 - o0) + o0 * (1 - u0))
    down, up = 1 - NUDGE, 1 + NUDGE
    counted = (small_low * down <= setting.high) & (large_low * down <= setting.high)
    counted &= (small_high * up >= setting.low) & (large_high * up >= setting.low)

    product = ((1 - o0) + o0 * u0) * ((1 - o0) + o0 * (1 - u0))
    with np.errstate(divide="ignore", invalid="ignore"):
        # 1 − ρ² = o·G rises in o and u; G rises in u, and rises and falls in o.
        factor = ((1 - o0) + o0 * u0 * (1 - u0)) / product
        other = ((1 - o1) + o1 * u0 * (1 - u0)) / (((1 - o1) + o1 * u0) * ((1 - o1) + o1 * (1 - u0)))
        independence = np.fmax(o0 * factor, means[None, :, None] * np.minimum(factor, np.nan_to_num(other, nan=0.0)))
        rho = (1 - o0) / np.sqrt(product)  # ρ at its largest
        # 1/s + 1/s' at its largest: (2 − o)/(V a a') rises in o, falls in V and u; and both scales are in the window.
        inverse = np.fmin((2 - o1) / (((1 - o1) + o1 * u0) * ((1 - o1) + o1 * (1 - u0))) / v0, 2 / setting.low)
        growth = rho / (1 + rho) * (reach * reach / 2) * inverse
        density = _exp_above(growth) / np.sqrt(independence)
    index = np.searchsorted(points, np.clip(small_low * down, setting.low, setting.high), side="right") - 1
    to = np.searchsorted(points, np.clip(small_high * up, setting.low, setting.high), side="left")
    # p(ζ; ·) rises, then falls: its smallest value on an interval is at an end.
    cap = np.maximum(caps[index], caps[to])
    return np.fmin(density, cap), counted


def _exp_above(t: FloatArray) -> FloatArray:
    """A number ≥ e^t for t ≥ 0 from correctly rounded operations alone; inf where t is too large for that."""
    steps = 2**EXP_SQUARINGS
    value = np.where(t < steps / 2, 1 / (1 - np.minimum(t, steps / 2) / steps), np.inf)
    for _ in range(EXP_SQUARINGS):
        value = value * value
    return value


def tabulate(setting: Setting, laws: Laws, grid: Grid) -> tuple[FloatArray, FloatArray]:
    """Points over the window and 1/p(ζ; s) at them."""
    points = np.geomspace(setting.low, setting.high, grid.table + 1)
    points[0], points[-1] = setting.low, setting.high
    return points, laws.caps(points, setting.z_bound, setting.eps)


def cell_edges(j: int, setting: Setting, cap: float, grid: Grid) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Cell edges: any increasing floats would do; these follow the laws and the place where the cap takes over."""
    m, far = setting.k - j, FARTHEST_SCORE
    scores = special.ndtr(np.linspace(-far, far, grid.v - 1))
    v = np.asarray(2 * special.gammaincinv((2 * setting.k - j) / 2, scores), dtype=np.float64)
    # s ≤ V and max(s, s') ≥ V/2: outside [low, 2 high] nothing is counted.
    v = _between(v, setting.low, 2 * setting.high)
    bulk = special.betaincinv(m, j / 2, special.ndtr(np.linspace(-4, far, grid.o - grid.o // 4)))
    start = min(0.25 / cap**2, float(bulk[0]))
    o = _between(np.concatenate([np.geomspace(start, bulk[0], grid.o // 4), bulk]), 0.0, 1.0)
    u = np.asarray(special.betaincinv(m / 2, m / 2, special.ndtr(np.linspace(-far, 0, grid.u))), dtype=np.float64)
    return v, o, _between(u, 0.0, 0.5)


def _between(edges: FloatArray, low: float, high: float) -> FloatArray:
    inside = edges[(edges > low) & (edges < high) & np.isfinite(edges)]
    return np.unique(np.concatenate([[low], inside, [high]]))


def _power(r: FloatArray, exponent: int) -> Scaled:
    """r^exponent as m·2^e, by squaring: exact powers of two taken out before anything can overflow."""
    mantissa, shift = np.frexp(r)
    base, base_shift = mantissa, shift.astype(np.int64)
    value, total = np.ones_like(base), np.zeros_like(base_shift)
    while exponent:
        if exponent & 1:
            value, more = np.frexp(value * base)
            total = total + base_shift + more
        base, more = np.frexp(base * base)
        base_shift = 2 * base_shift + more
        exponent >>= 1
    return value, total


def _total(values: Scaled, weights: Scaled) -> arb:
    """Upper bound of Σ values·weights of non-negative scaled numbers; inf if any term that counts is not finite."""
    mantissa, exponent = np.broadcast_arrays(values[0] * weights[0], values[1] + weights[1])
    counted = weights[0] > 0
    counted = np.broadcast_to(counted, mantissa.shape)
    mantissa, exponent = mantissa[counted], exponent[counted]
    if not len(mantissa):
        return arb(0)
    if not np.isfinite(mantissa).all():
        return arb("inf")
    top = int(exponent.max())
    # What is 2^-900 below the largest term is counted as that: never less than it is.
    shifted = np.maximum(exponent - top, -900)
    return arb(float(np.ldexp(mantissa, shifted.astype(np.int32)).sum()) * INFLATION) * arb(2) ** top
