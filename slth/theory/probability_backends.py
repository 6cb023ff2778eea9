"""Where a second moment gets its probabilities from: Arb for a certificate, scipy for the search.

Both backends return arrays of the same shapes, so one summation serves both. Only :data:`ARB` proves anything.

Source: certified
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from flint import arb
from scipy import special

from slth.arrays import FloatArray
from slth.theory import cell_bounds, enclosures
from slth.theory.scaled_numbers import ScaledNumbers, from_balls, from_floats


@dataclass(frozen=True, kw_only=True)
class ProbabilityBackend:
    """The functions that compute the probabilities of cells and hits; cells lie between neighbouring edges.

    Attributes:
        chi_square: (edges, dof) → the probabilities of the cells under χ²_dof.
        beta: (edges, a, b) → the probabilities of the cells under Beta(a, b).
        power_means: (edges, a, b, D, probabilities) → for each cell of Beta(a, b) an ō with
            ∫_cell o^{−D/2} dP ≤ P(cell) ō^{−D/2}; 0 where none is found.
        inverse_hits: (variances, ζ, ε) → 1/p(ζ; s) at each variance s.
    """

    chi_square: Callable[[FloatArray, int], ScaledNumbers]
    beta: Callable[[FloatArray, float, float], ScaledNumbers]
    power_means: Callable[[FloatArray, float, float, int, ScaledNumbers], FloatArray]
    inverse_hits: Callable[[FloatArray, float, float], FloatArray]


def _arb_chi_square(edges: FloatArray, dof: int) -> ScaledNumbers:
    return from_balls(cell_bounds.chi_square_cells(edges.tolist(), dof))


def _arb_beta(edges: FloatArray, a: float, b: float) -> ScaledNumbers:
    return from_balls(cell_bounds.beta_cells(edges.tolist(), a, b))


def _arb_power_means(edges: FloatArray, a: float, b: float, dim: int, probabilities: ScaledNumbers) -> FloatArray:
    moments = cell_bounds.beta_moment_cells(edges.tolist(), a, b, dim)
    masses = [arb(float(m)) * arb(2) ** int(e) for m, e in zip(*probabilities, strict=True)]
    means = [
        enclosures.rounded_down((mass / moment) ** (arb(2) / dim)) if moment > 0 and mass > 0 else 0.0
        for mass, moment in zip(masses, moments, strict=True)
    ]
    return np.asarray(np.clip(means, 0.0, None) * (1 - enclosures.ROUNDING_SLACK))


def _arb_inverse_hits(variances: FloatArray, z_bound: float, eps: float) -> FloatArray:
    hits = [enclosures.hit_probability(z_bound, eps, float(s)) for s in variances]
    return np.array([enclosures.rounded_up(1 / hit) if hit > 0 else np.inf for hit in hits])


def _scipy_chi_square(edges: FloatArray, dof: int) -> ScaledNumbers:
    return from_floats(np.diff(special.gammainc(dof / 2, edges / 2)))


def _scipy_beta(edges: FloatArray, a: float, b: float) -> ScaledNumbers:
    return from_floats(np.diff(special.betainc(a, b, edges)))


def _scipy_power_means(edges: FloatArray, a: float, b: float, dim: int, _: ScaledNumbers) -> FloatArray:
    """Mass and moment of a narrow cell from their tangents in log o, which need no probabilities."""
    middles = np.sqrt(edges[:-1] * edges[1:])
    moment_slopes = a - dim / 2 - (b - 1) * middles / (1 - middles)
    mass_slopes = a - (b - 1) * middles / (1 - middles)
    half = np.log(edges[1:] / np.maximum(edges[:-1], 1e-300)) / 2
    return np.asarray(middles * np.exp(-(_log_sinhc(moment_slopes * half) - _log_sinhc(mass_slopes * half)) * 2 / dim))


def _scipy_inverse_hits(variances: FloatArray, z_bound: float, eps: float) -> FloatArray:
    # The leading term in ε, because the difference of two distribution functions would cancel.
    density = np.exp(-((z_bound + eps) ** 2) / (2 * variances)) / np.sqrt(2 * np.pi * variances)
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(1 / np.minimum(2 * eps * density, 1.0))


def _log_sinhc(x: FloatArray) -> FloatArray:
    """The logarithm of sinh(x)/x."""
    x = np.maximum(np.abs(x), 1e-8)
    return np.asarray(x + np.log(-np.expm1(-2 * x) / (2 * x)))


ARB = ProbabilityBackend(
    chi_square=_arb_chi_square, beta=_arb_beta, power_means=_arb_power_means, inverse_hits=_arb_inverse_hits
)
SCIPY = ProbabilityBackend(
    chi_square=_scipy_chi_square, beta=_scipy_beta, power_means=_scipy_power_means, inverse_hits=_scipy_inverse_hits
)
