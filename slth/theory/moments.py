r"""From pair moments to a success probability: the second-moment bound of one block of n candidates.

.. math:: P(\exists S, |S| = k : \|Σ_S Y - z\|_∞ ≤ ε) \;\ge\;
          \frac{P(W)^2}{h_0 P(W)^2 + \sum_{j ≥ 1} h_j m_j}, \qquad
          h_j = \binom{k}{j}\binom{n-k}{k-j} \Big/ \binom{n}{k}

The moments m_j do not depend on n: they are computed once for a subset size and a window of scales, and serve every n.

Source: certified
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from flint import arb
from scipy import special

from slth.theory import enclosures
from slth.theory.laws import ARB, FLOAT, FloatArray, Laws
from slth.theory.overlap import Grid, Setting, pair_moment

# The window of scales runs from this quantile of χ²_k to one of those. A low upper end keeps the large scales, where
# a hit is worth most and happens least, from filling the second moment; a high one loses fewer subsets. At the lower
# end, scales far below ζ² are left out for the same reason.
LOWEST_SCALE = 0.001
WINDOWS = (0.7, 0.85, 0.95, 0.999)
# Cells of a certificate, of one with a large k, and of the floating-point search that proposes n and k.
FINE = Grid(v=96, o=160, u=32, table=1024)
MEDIUM = Grid(v=48, o=80, u=24, table=1024)
COARSE = Grid(v=24, o=48, u=12, table=256)
FINE_UP_TO = 100


def setting(*, k: int, dim: int, eps: float, z_bound: float, window: float) -> Setting:
    """The window of scales that ends at the ``window`` quantile of χ²_k (its ends are floats, taken as exact)."""
    lowest, quarter, high = (2 * float(special.gammaincinv(k / 2, q)) for q in (LOWEST_SCALE, 0.25, window))
    low = max(lowest, min(z_bound**2 / 4, quarter))
    return Setting(k=k, dim=dim, eps=eps, z_bound=z_bound, low=low, high=high)


def success(n: int, chosen: Setting) -> arb:
    """Rigorous lower end of the success probability at n for one window; 0 when nothing is proved.

    Source: certified
    """
    mass, moments = certified_moments(chosen)
    total = enclosures.overlap_weight(0, n, chosen.k) * mass * mass
    for j, moment in enumerate(moments, start=1):
        weight = enclosures.overlap_weight(j, n, chosen.k)
        if not weight.is_zero():
            total += weight * moment
    ratio = mass * mass / total
    return ratio.lower() if ratio.is_finite() and ratio > 0 else arb(0)


@lru_cache(maxsize=64)
def certified_moments(chosen: Setting) -> tuple[arb, tuple[arb, ...]]:
    """A lower bound of P(W), and upper bounds of m_1 … m_k.

    Source: certified
    """
    high, low = (enclosures.chi_square_cdf(end, chosen.k) for end in (chosen.high, chosen.low))
    mass = (high - low).lower()
    grid = FINE if chosen.k <= FINE_UP_TO else MEDIUM
    return (mass if mass > 0 else arb(0)), _moments(chosen, ARB, grid)


class Proposal:
    """Success probabilities in floating point, on coarse cells: fast, close, and proving nothing.

    Attributes:
        chosen: the setting. logs: log m_j for j = 1 … k.
    """

    def __init__(self, chosen: Setting) -> None:
        self.chosen = chosen
        self.logs = np.array([float(moment.log()) for moment in _moments(chosen, FLOAT, COARSE)])
        ends = special.gammainc(chosen.k / 2, np.array([chosen.low, chosen.high]) / 2)
        self.log_mass = float(np.log(ends[1] - ends[0]))

    def success(self, n: int) -> float:
        """About what :func:`success` will give at n."""
        k = self.chosen.k
        j = np.arange(max(0, 2 * k - n), k + 1, dtype=np.int64)
        weights = _log_binomial(k, j) + _log_binomial(n - k, k - j) - _log_binomial(n, k)
        moments = np.concatenate([[2 * self.log_mass], self.logs])[j]
        with np.errstate(over="ignore"):
            return float(np.exp(2 * self.log_mass - special.logsumexp(weights + moments)))

    def smallest(self, wanted: float, most: int) -> int | None:
        """About the smallest n ≤ ``most`` whose success is ``wanted``; None when there is none."""
        low, high = self.chosen.k - 1, most
        if self.success(high) < wanted:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.success(middle) >= wanted else (middle, high)
        return high


@lru_cache(maxsize=512)
def proposal(k: int, dim: int, eps: float, z_bound: float) -> Proposal:
    """The proposal of the window that needs the fewest candidates for a success of one half."""
    found = []
    for window in WINDOWS:
        one = Proposal(setting(k=k, dim=dim, eps=eps, z_bound=z_bound, window=window))
        half = one.smallest(0.5, 1000 * k)
        found.append((math.inf if half is None else half, -one.success(half or 1000 * k), window, one))
    return min(found, key=lambda entry: entry[:3])[3]


def _moments(chosen: Setting, laws: Laws, grid: Grid) -> tuple[arb, ...]:
    return tuple(pair_moment(j, chosen, laws=laws, grid=grid) for j in range(1, chosen.k + 1))


def _log_binomial(n: int, k: npt.NDArray[np.int64] | int) -> FloatArray:
    k = np.asarray(k, dtype=np.float64)
    return np.asarray(special.gammaln(n + 1.0) - special.gammaln(k + 1.0) - special.gammaln(n - k + 1.0))
