r"""Second moment, term by term (certified, lines 5, 6, 9 and 13).

.. math:: μ_j = E\big[ w(s)\,w(s')\,1\{\text{hit } S\}\,1\{\text{hit } S'\} \big] \le m_j, \qquad w = 1_W / P_z

NSN vectors are drawn, S and S' share j of them, and a pair of hits in the window is kept with probability
w(s)w(s')/w_max²: a Bernoulli variable of mean μ_j/w_max². The lower Clopper–Pearson limit of its frequency must not
exceed m_j/w_max², for every j of two settings: seven comparisons, each with false-alarm probability 1e-5. It can reject
a bound that is too low by more than the sampling error (a few per cent), not one that is too high. False variant:
m_j = P(W)² for every j, as if overlapping subsets were independent.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import special, stats

from proofs_check.check import FALSE_ALARM, Lemma
from slth.theory import enclosures
from slth.theory.moments import certified_moments, setting
from slth.theory.overlap import FloatArray, Setting

CASES = ((4, 1, 0.1), (3, 2, 0.2))
Z = 0.5
CHUNK = 100_000


def margin(false_variant: bool, trials: int = 1_000_000) -> float:
    """Smallest of 1 − (lower limit of the frequency)/(bound) over all j and settings."""
    rng = np.random.default_rng(4)
    smallest = 1.0
    for k, dim, eps in CASES:
        chosen = setting(k=k, dim=dim, eps=eps, z_bound=Z, window=0.95)
        mass, moments = certified_moments(chosen)
        scales = np.linspace(chosen.low, chosen.high, 10_001)
        heaviest = float((1 / hit(scales, chosen)).max()) * 1.0001
        for j, moment in enumerate(moments, start=1):
            kept = sum(pairs(j, chosen, heaviest, rng) for _ in range(trials // CHUNK))
            limit = float(stats.beta.ppf(FALSE_ALARM, kept, trials - kept + 1)) if kept else 0.0
            bound = enclosures.above(mass * mass if false_variant else moment) / heaviest**2
            smallest = min(smallest, 1 - limit / bound)
    return smallest


def pairs(j: int, chosen: Setting, heaviest: float, rng: np.random.Generator) -> int:
    """How many of CHUNK pairs of subsets with overlap j both hit, lie in the window, and are kept."""
    size = 2 * chosen.k - j
    z = rng.standard_normal((CHUNK, size))
    w = rng.standard_normal((CHUNK, size, chosen.dim))
    y, squares = z[:, :, None] * w, z * z
    weight = np.full(CHUNK, 1.0)
    for part in (slice(0, chosen.k), slice(chosen.k - j, size)):
        scale, sums = squares[:, part].sum(1), y[:, part].sum(1)
        near = (np.abs(sums - Z) <= chosen.eps).all(1) & (scale >= chosen.low) & (scale <= chosen.high)
        weight[near] /= hit(scale[near], chosen) * heaviest
        weight[~near] = 0.0
    return int((rng.random(CHUNK) < weight).sum())


def hit(scale: FloatArray, chosen: Setting) -> FloatArray:
    """P_z(s) for z = (ζ, …, ζ)."""
    root = np.sqrt(scale)
    one = special.ndtr((Z + chosen.eps) / root) - special.ndtr((Z - chosen.eps) / root)
    return np.asarray(one**chosen.dim)


LEMMA = Lemma(
    name="second moment, term by term",
    kind="statistical",
    margin=margin,
    establishes="no simulated term exceeds its bound at level 1e-5; the target is the corner of the box",
    quick=partial(margin, trials=200_000),
)
