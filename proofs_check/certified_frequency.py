r"""Certified success probabilities are never above the truth (certified, the whole theorem).

.. math:: P(\exists S, |S| = k : \|Σ_S Y - z\|_∞ \le ε) \ge p

The check draws candidates at the certified (n, k) for D = 1 and 2 and ε = 0.01, and examines *every* k-subset by
meeting in the middle. There are two targets: a corner of the box, and 0. The frequency of hits must not contradict p
at 99.9 %. With four comparisons the false-alarm probability would be at most 0.4 % if p were exact; it is far less
because p is a lower bound. The check shows that p is not too high there; D > 2 rests on the proof. False variant: p as
if four blocks had been drawn.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import combinations

import numpy as np
from scipy import stats

from proofs_check.check import Lemma
from slth.arrays import FloatArray
from slth.theory import certified

EPS, Z = 0.01, 0.5
LEVEL = 1e-3


def margin(false_variant: bool, trials: int = 2000) -> float:
    """Smallest of (upper Clopper–Pearson limit of the frequency) − (certified probability).

    Args:
        false_variant: whether to check the false variant in place of the lemma.
        trials: number of draws for each dimension and target.
    """
    smallest = 1.0
    for dim in (1, 2):
        proved = certified.width(D=dim, eps=EPS, delta=0.5, z_bound=Z)
        p = certified.success_lower_bound(proved.n, proved.k, dim, EPS, Z)
        claimed = 1 - (1 - p) ** 4 if false_variant else p
        rng = np.random.default_rng(5)
        for z in (Z, 0.0):
            target = np.full(dim, z)
            hits = sum(_has_hit(_nsn_vectors(rng, proved.n, dim), proved.k, target) for _ in range(trials))
            limit = float(stats.beta.ppf(1 - LEVEL, hits + 1, trials - hits)) if hits < trials else 1.0
            smallest = min(smallest, limit - claimed)
    return smallest


def _nsn_vectors(rng: np.random.Generator, n: int, dim: int) -> FloatArray:
    return np.asarray(rng.standard_normal((n, 1)) * rng.standard_normal((n, dim)))


def _has_hit(vectors: FloatArray, k: int, target: FloatArray) -> bool:
    """Whether some k-subset sums to within EPS of the target, from the subset sums of two halves of the vectors."""
    half = len(vectors) // 2
    left, right = vectors[:half], vectors[half:]
    for size in range(max(0, k - len(right)), min(k, half) + 1):
        first, second = _subset_sums(left, size), target - _subset_sums(right, k - size)
        first = first[np.argsort(first[:, 0])]
        low = np.searchsorted(first[:, 0], second[:, 0] - EPS)
        count = np.searchsorted(first[:, 0], second[:, 0] + EPS, side="right") - low
        rows = np.repeat(np.arange(len(second)), count)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
        if len(rows) and (np.abs(first[low[rows] + within] - second[rows]) <= EPS).all(1).any():
            return True
    return False


def _subset_sums(vectors: FloatArray, size: int) -> FloatArray:
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
