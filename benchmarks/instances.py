"""The subset-sum instances of the benchmarks."""

from __future__ import annotations

import numpy as np

from slth.rss import Problem


def instance(n: int, dimension: int, seed: int) -> Problem:
    """An instance with NSN candidates and a target uniform on [−1, 1]^D.

    Args:
        n: number of candidates.
        dimension: D.
        seed: the seed of candidates and target.
    """
    rng = np.random.default_rng([n, dimension, seed])
    vectors = rng.standard_normal((n, 1)) * rng.standard_normal((n, dimension))
    return Problem(vectors=vectors, target=rng.uniform(-1, 1, dimension))
