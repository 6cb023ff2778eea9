r"""From pair moments to a success probability: the second-moment bound for one block of n candidates.

.. math:: P(\exists S, |S| = k : \|Σ_S Y - z\|_∞ ≤ ε) \;\ge\;
          \frac{P(W)^2}{h_0 P(W)^2 + \sum_{j ≥ 1} h_j m_j}, \qquad
          h_j = \binom{k}{j}\binom{n-k}{k-j} \Big/ \binom{n}{k}

The moments m_j do not depend on n. They are computed once for a subset size and a window of scales, and serve every n.

Source: certified
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from flint import arb
from scipy import special

from slth.arrays import FloatArray, IntArray
from slth.theory import enclosures
from slth.theory.pair_moments import IntegrationGrid, Setting, pair_moment
from slth.theory.probability_backends import ARB, SCIPY, ProbabilityBackend

# The window of scales runs from the first of these quantiles of χ²_k to one of the others. At the lower end, scales far
# below ζ² are left out too. With a low upper end, the large scales, where a hit is rare and has a large weight, do not
# dominate the second moment; with a high one, fewer subsets are lost.
LOWEST_QUANTILE = 0.001
UPPER_QUANTILES = (0.7, 0.85, 0.95, 0.999)
# Cells of a certificate, of a certificate with a large k, and of the floating-point search that proposes n and k.
FINE = IntegrationGrid(v=96, o=160, u=32, table=1024)
MEDIUM = IntegrationGrid(v=48, o=80, u=24, table=1024)
COARSE = IntegrationGrid(v=24, o=48, u=12, table=256)
FINE_UP_TO = 100


def setting_with_window(*, k: int, dim: int, eps: float, z_bound: float, quantile: float) -> Setting:
    """The setting whose window of scales ends at a quantile of χ²_k; the ends are floats, taken as exact.

    Args:
        k: subset size.
        dim: dimension D.
        eps: tolerance ε.
        z_bound: ζ ≥ max |z_i|.
        quantile: probability below the upper end of the window.
    """
    lowest, quarter, high = (2 * float(special.gammaincinv(k / 2, q)) for q in (LOWEST_QUANTILE, 0.25, quantile))
    low = max(lowest, min(z_bound**2 / 4, quarter))
    return Setting(k=k, dim=dim, eps=eps, z_bound=z_bound, low=low, high=high)


def success_lower_end(n: int, setting: Setting) -> arb:
    """A rigorous lower bound of the success probability; 0 when nothing is proved.

    Args:
        n: candidates of the block.
        setting: subset size, target and window.

    Source: certified
    """
    mass, moments = certified_moments(setting)
    total = enclosures.overlap_weight(0, n, setting.k) * mass * mass
    for j, moment in enumerate(moments, start=1):
        weight = enclosures.overlap_weight(j, n, setting.k)
        if not weight.is_zero():
            total += weight * moment
    ratio = mass * mass / total
    return ratio.lower() if ratio.is_finite() and ratio > 0 else arb(0)


@lru_cache(maxsize=64)
def certified_moments(setting: Setting) -> tuple[arb, tuple[arb, ...]]:
    """A lower bound of P(W), and upper bounds of m_1 … m_k.

    Source: certified
    """
    high, low = (enclosures.chi_square_cdf(end, setting.k) for end in (setting.high, setting.low))
    mass = (high - low).lower()
    grid = FINE if setting.k <= FINE_UP_TO else MEDIUM
    return (mass if mass > 0 else arb(0)), _pair_moments(setting, ARB, grid)


class Proposal:
    """Success probabilities in floating point on coarse cells: fast and close, but no proof.

    Args:
        setting: subset size, target and window.

    Attributes:
        setting: subset size, target and window.
        log_moments: log m_j for j = 1 … k.
        log_mass: log P(W).
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.log_moments = np.array([float(moment.log()) for moment in _pair_moments(setting, SCIPY, COARSE)])
        ends = special.gammainc(setting.k / 2, np.array([setting.low, setting.high]) / 2)
        self.log_mass = float(np.log(ends[1] - ends[0]))

    def success(self, n: int) -> float:
        """Estimate the value that :func:`success_lower_end` will have for n candidates."""
        k = self.setting.k
        j = np.arange(max(0, 2 * k - n), k + 1, dtype=np.int64)
        weights = _log_binomial(k, j) + _log_binomial(n - k, k - j) - _log_binomial(n, k)
        moments = np.concatenate([[2 * self.log_mass], self.log_moments])[j]
        with np.errstate(over="ignore"):
            return float(np.exp(2 * self.log_mass - special.logsumexp(weights + moments)))

    def smallest(self, wanted: float, most: int) -> int | None:
        """Estimate the smallest number of candidates with a success probability; None when no number reaches it.

        Args:
            wanted: the success probability.
            most: the largest number of candidates.
        """
        low, high = self.setting.k - 1, most
        if self.success(high) < wanted:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.success(middle) >= wanted else (middle, high)
        return high


@lru_cache(maxsize=512)
def best_proposal(k: int, dim: int, eps: float, z_bound: float) -> Proposal:
    """The proposal of the window that needs the fewest candidates for a success probability of one half.

    Args:
        k: subset size.
        dim: dimension D.
        eps: tolerance ε.
        z_bound: ζ ≥ max |z_i|.
    """
    found = []
    for quantile in UPPER_QUANTILES:
        one = Proposal(setting_with_window(k=k, dim=dim, eps=eps, z_bound=z_bound, quantile=quantile))
        half = one.smallest(0.5, 1000 * k)
        found.append((math.inf if half is None else half, -one.success(half or 1000 * k), quantile, one))
    return min(found, key=lambda entry: entry[:3])[3]


def _pair_moments(setting: Setting, backend: ProbabilityBackend, grid: IntegrationGrid) -> tuple[arb, ...]:
    return tuple(pair_moment(j, setting, backend=backend, grid=grid) for j in range(1, setting.k + 1))


def _log_binomial(n: int, k: IntArray | int) -> FloatArray:
    k = np.asarray(k, dtype=np.float64)
    return np.asarray(special.gammaln(n + 1.0) - special.gammaln(k + 1.0) - special.gammaln(n - k + 1.0))
