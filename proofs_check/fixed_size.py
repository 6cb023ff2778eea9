r"""Fixed-size subset sum in one dimension (natale2024), with assumed constants.

.. math:: n \ge c\,\frac{\log_2(k/ε)}{H_2(k/n)},\; 1 \le k \le n/2 \;\Rightarrow\;
          P\big(\exists S, |S| = k : |Σ_S X - z| < ε\big) \ge c' \quad \forall z \in [-\sqrt k, \sqrt k]

The source leaves c and c' unspecified. Here **c = 1.5 and c' = 1/2 are assumed**. For normal X and each (n, k) below, ε
is the smallest that the condition allows. The check draws X many times and looks at all C(n, k) subsets of each draw,
for z = 0, √k/2 and √k. The upper Clopper–Pearson limit of the frequency of hits at 1e-5 must be at least c' (twelve
comparisons). A pass says that these constants are not contradicted at these points, not that they are right. False
variant: c = 0.7.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import combinations

import numpy as np
from scipy import stats

from proofs_check.check import FALSE_ALARM, Lemma

POINTS = ((14, 7), (16, 5), (18, 4), (16, 8))
CONSTANT, SUCCESS = 1.5, 0.5


def margin(false_variant: bool, trials: int = 400) -> float:
    """Smallest of (upper limit of the frequency) − c'.

    Args:
        false_variant: whether to check the false variant in place of the lemma.
        trials: number of draws for each (n, k).
    """
    rng = np.random.default_rng(6)
    smallest = 1.0
    for n, k in POINTS:
        entropy = -(k / n) * math.log2(k / n) - (1 - k / n) * math.log2(1 - k / n)
        eps = k * 2.0 ** (-n * entropy / (0.7 if false_variant else CONSTANT))
        subsets = np.array(list(combinations(range(n), k)))
        sums = rng.standard_normal((trials, n))[:, subsets].sum(2)
        for z in (0.0, math.sqrt(k) / 2, math.sqrt(k)):
            hits = int((np.abs(sums - z) < eps).any(1).sum())
            limit = float(stats.beta.ppf(1 - FALSE_ALARM, hits + 1, trials - hits)) if hits < trials else 1.0
            smallest = min(smallest, limit - SUCCESS)
    return smallest


LEMMA = Lemma(
    name="fixed-size subset sum, assumed constants",
    kind="statistical",
    margin=margin,
    establishes="c = 1.5 with c' = 1/2 is not contradicted by exact counts at four sizes and three targets",
    quick=partial(margin, trials=60),
)
