"""The probabilities that a second moment is summed with: from Arb for a certificate, from scipy for the search.

Both give the same shapes, so one summation serves both; only :data:`ARB` proves anything.

Source: certified
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from flint import arb
from scipy import special

from slth.theory import enclosures

FloatArray = npt.NDArray[np.float64]
# m·2^e with e of any size: r^D leaves the range of float64 when D is in the hundreds.
Scaled = tuple[FloatArray, npt.NDArray[np.int64]]
# Below any rounding error of a few float64 operations.
NUDGE = 2.0**-40


@dataclass(frozen=True, kw_only=True)
class Laws:
    """Where the probabilities come from.

    Attributes:
        chi_square: (edges, dof) → the probabilities of the cells. beta: (edges, a, b) → the same.
        power_means: (edges, a, b, D, probabilities) → ō with ∫_cell o^{−D/2} dP ≤ P(cell) ō^{−D/2}, 0 if none is known.
        caps: (variances, ζ, ε) → 1/p(ζ; s) at each.
    """

    chi_square: Callable[[FloatArray, int], Scaled]
    beta: Callable[[FloatArray, float, float], Scaled]
    power_means: Callable[[FloatArray, float, float, int, Scaled], FloatArray]
    caps: Callable[[FloatArray, float, float], FloatArray]


def _arb_chi_square(edges: FloatArray, dof: int) -> Scaled:
    return enclosures.mantissas(enclosures.chi_square_cells(edges.tolist(), dof))


def _arb_beta(edges: FloatArray, a: float, b: float) -> Scaled:
    return enclosures.mantissas(enclosures.beta_cells(edges.tolist(), a, b))


def _arb_power_means(edges: FloatArray, a: float, b: float, dim: int, weights: Scaled) -> FloatArray:
    moments = enclosures.beta_moment_cells(edges.tolist(), a, b, dim)
    masses = [arb(float(m)) * arb(2) ** int(e) for m, e in zip(*weights, strict=True)]
    means = [
        enclosures.below((mass / moment) ** (arb(2) / dim)) if moment > 0 and mass > 0 else 0.0
        for mass, moment in zip(masses, moments, strict=True)
    ]
    return np.asarray(np.clip(means, 0.0, None) * (1 - NUDGE))


def _arb_caps(points: FloatArray, z_bound: float, eps: float) -> FloatArray:
    hits = [enclosures.hit_probability(z_bound, eps, float(s)) for s in points]
    return np.array([enclosures.above(1 / hit) if hit > 0 else np.inf for hit in hits])


def _float_chi_square(edges: FloatArray, dof: int) -> Scaled:
    return _scaled(np.diff(special.gammainc(dof / 2, edges / 2)))


def _float_beta(edges: FloatArray, a: float, b: float) -> Scaled:
    return _scaled(np.diff(special.betainc(a, b, edges)))


def _float_power_means(edges: FloatArray, a: float, b: float, dim: int, weights: Scaled) -> FloatArray:
    """Mass and moment of a narrow cell from their tangents in log o; the weights are not needed for that."""
    middles = np.sqrt(edges[:-1] * edges[1:])
    slopes = a - dim / 2 - (b - 1) * middles / (1 - middles)
    plain = a - (b - 1) * middles / (1 - middles)
    half = np.log(edges[1:] / np.maximum(edges[:-1], 1e-300)) / 2
    return np.asarray(middles * np.exp(-(_log_sinhc(slopes * half) - _log_sinhc(plain * half)) * 2 / dim))


def _float_caps(points: FloatArray, z_bound: float, eps: float) -> FloatArray:
    # The leading term in ε: the difference of two distribution functions would cancel.
    density = np.exp(-((z_bound + eps) ** 2) / (2 * points)) / np.sqrt(2 * np.pi * points)
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(1 / np.minimum(2 * eps * density, 1.0))


def _scaled(values: npt.ArrayLike) -> Scaled:
    mantissa, exponent = np.frexp(np.maximum(np.asarray(values, dtype=np.float64), 0.0))
    return mantissa, exponent.astype(np.int64)


def _log_sinhc(x: FloatArray) -> FloatArray:
    """log(sinh(x)/x)."""
    x = np.maximum(np.abs(x), 1e-8)
    return np.asarray(x + np.log(-np.expm1(-2 * x) / (2 * x)))


ARB = Laws(chi_square=_arb_chi_square, beta=_arb_beta, power_means=_arb_power_means, caps=_arb_caps)
FLOAT = Laws(chi_square=_float_chi_square, beta=_float_beta, power_means=_float_power_means, caps=_float_caps)
