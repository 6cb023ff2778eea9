r"""Second moment, term by term (certified, lines 5, 6, 9 and 13).

.. math:: μ_j = E\big[ w(s)\,w(s')\,1\{\text{hit } S\}\,1\{\text{hit } S'\} \big] \le m_j, \qquad w = 1_W / P_z

The check draws NSN vectors, of which S and S' share j, and keeps a pair of hits in the window with probability
w(s)w(s')/w_max². That makes a Bernoulli variable of mean μ_j/w_max². The lower Clopper–Pearson limit of its frequency
must not exceed m_j/w_max², for every j of two settings: seven comparisons, each with false-alarm probability 1e-5. The
check can reject a bound that is too low by more than the sampling error (a few per cent), but not one that is too high.
False variant: m_j = P(W)² for every j, as if overlapping subsets were independent.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import special, stats

from proofs_check.check import FALSE_ALARM, Lemma
from slth.arrays import FloatArray
from slth.theory import enclosures
from slth.theory.pair_moments import Setting
from slth.theory.second_moment import certified_moments, setting_with_window

CASES = ((4, 1, 0.1), (3, 2, 0.2))
Z = 0.5
CHUNK = 100_000


def margin(false_variant: bool, trials: int = 1_000_000) -> float:
    """Smallest of 1 − (lower limit of the frequency)/(bound) over all j and settings.

    Args:
        false_variant: whether to check the false variant in place of the lemma.
        trials: number of draws for each j and setting, a multiple of CHUNK.
    """
    rng = np.random.default_rng(4)
    smallest = 1.0
    for k, dim, eps in CASES:
        setting = setting_with_window(k=k, dim=dim, eps=eps, z_bound=Z, quantile=0.95)
        mass, moments = certified_moments(setting)
        scales = np.linspace(setting.low, setting.high, 10_001)
        heaviest = float((1 / _hit_probability(scales, setting)).max()) * 1.0001
        for j, moment in enumerate(moments, start=1):
            kept = sum(_kept_pairs(j, setting, heaviest, rng) for _ in range(trials // CHUNK))
            limit = float(stats.beta.ppf(FALSE_ALARM, kept, trials - kept + 1)) if kept else 0.0
            bound = enclosures.rounded_up(mass * mass if false_variant else moment) / heaviest**2
            smallest = min(smallest, 1 - limit / bound)
    return smallest


def _kept_pairs(j: int, setting: Setting, heaviest: float, rng: np.random.Generator) -> int:
    """How many of CHUNK pairs of subsets with overlap j are kept: both hit, and both scales are in the window."""
    size = 2 * setting.k - j
    z = rng.standard_normal((CHUNK, size))
    w = rng.standard_normal((CHUNK, size, setting.dim))
    y, squares = z[:, :, None] * w, z * z
    weight = np.full(CHUNK, 1.0)
    for part in (slice(0, setting.k), slice(setting.k - j, size)):
        scale, sums = squares[:, part].sum(1), y[:, part].sum(1)
        near = (np.abs(sums - Z) <= setting.eps).all(1) & (scale >= setting.low) & (scale <= setting.high)
        weight[near] /= _hit_probability(scale[near], setting) * heaviest
        weight[~near] = 0.0
    return int((rng.random(CHUNK) < weight).sum())


def _hit_probability(scale: FloatArray, setting: Setting) -> FloatArray:
    """The probability P_z(s) of a hit for z = (ζ, …, ζ)."""
    root = np.sqrt(scale)
    one = special.ndtr((Z + setting.eps) / root) - special.ndtr((Z - setting.eps) / root)
    return np.asarray(one**setting.dim)


LEMMA = Lemma(
    name="second moment, term by term",
    kind="statistical",
    margin=margin,
    establishes="no simulated term exceeds its bound at level 1e-5; the target is the corner of the box",
    quick=partial(margin, trials=200_000),
)
