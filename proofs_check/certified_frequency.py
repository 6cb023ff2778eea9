r"""Certified success probabilities are never above the truth (certified, the whole theorem).

.. math:: P(\exists S, |S| = k : \|Σ_S Y - z\|_∞ \le ε) \ge p

At the certified (n, k) for D = 1 and 2, ε = 0.01, candidates are drawn and *every* k-subset is examined, by meeting in
the middle; two targets, a corner of the box and 0. The frequency must not contradict p at 99.9 %: four comparisons, so
the false-alarm probability is at most 0.4 % where p is exact, and far less as it is a bound. It shows that p is not too
high there; D > 2 rests on the proof. False variant: p as if four
blocks had been drawn.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import combinations

import numpy as np
from scipy import stats

from proofs_check.check import Lemma
from slth.theory import certified
from slth.theory.overlap import FloatArray

EPS, Z = 0.01, 0.5
LEVEL = 1e-3


def margin(false_variant: bool, trials: int = 2000) -> float:
    """Smallest of (upper Clopper–Pearson limit of the frequency) − (certified probability)."""
    smallest = 1.0
    for dim in (1, 2):
        proved = certified.width(D=dim, eps=EPS, delta=0.5, z_bound=Z)
        p = certified.success_lower_bound(proved.n, proved.k, dim, EPS, Z)
        claimed = 1 - (1 - p) ** 4 if false_variant else p
        rng = np.random.default_rng(5)
        for z in (Z, 0.0):
            target = np.full(dim, z)
            hits = sum(found(draw(rng, proved.n, dim), proved.k, target) for _ in range(trials))
            limit = float(stats.beta.ppf(1 - LEVEL, hits + 1, trials - hits)) if hits < trials else 1.0
            smallest = min(smallest, limit - claimed)
    return smallest


def draw(rng: np.random.Generator, n: int, dim: int) -> FloatArray:
    """n NSN vectors."""
    return np.asarray(rng.standard_normal((n, 1)) * rng.standard_normal((n, dim)))


def found(vectors: FloatArray, k: int, target: FloatArray) -> bool:
    """Whether some k-subset is within EPS of the target: sums of the halves, sorted by their first coordinate."""
    half = len(vectors) // 2
    left, right = vectors[:half], vectors[half:]
    for size in range(max(0, k - len(right)), min(k, half) + 1):
        first, second = sums(left, size), target - sums(right, k - size)
        first = first[np.argsort(first[:, 0])]
        low = np.searchsorted(first[:, 0], second[:, 0] - EPS)
        count = np.searchsorted(first[:, 0], second[:, 0] + EPS, side="right") - low
        rows = np.repeat(np.arange(len(second)), count)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
        if len(rows) and (np.abs(first[low[rows] + within] - second[rows]) <= EPS).all(1).any():
            return True
    return False


def sums(vectors: FloatArray, size: int) -> FloatArray:
    """The sums of all subsets of a size."""
    chosen = np.array(list(combinations(range(len(vectors)), size)), dtype=np.int64)
    chosen = chosen.reshape(math.comb(len(vectors), size), size)
    return np.asarray(vectors[chosen].sum(1))


LEMMA = Lemma(
    name="certified success against brute force",
    kind="statistical",
    margin=margin,
    establishes="2,000 exact trials for each of two dimensions and two targets do not contradict p at 99.9 %",
    quick=partial(margin, trials=300),
)
