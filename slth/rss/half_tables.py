r"""Meet in the middle: the exact search with a table of half of the candidates' subset sums.

The n candidates are split into a left part of a and a right part of b. A selection within ρ of z is a left sum l and a
right sum u with :math:`\|z − l − u\| ≤ ρ`. The 2^b right sums are sorted into a grid (:mod:`slth.rss.meet`). The 2^a
left sums are formed on the fly, and each looks at the right sums in a box of half-width ρ. A scan takes about 2^a
look-ups and 2^b·(16D + 28) bytes. When that does not fit ``max_memory``, b shrinks and a grows. With a fixed size, only
pairs with the right number of selected candidates count.

Source: horowitz1974
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from slth.arrays import BoolArray, FloatArray
from slth.errors import MemoryEstimateError, human_bytes
from slth.rss.control import Control
from slth.rss.meet import build_grid, grid_bytes, popcounts, scan, subset_sums
from slth.rss.problem import Problem

# A left sum is a high part plus one of 2^LOW_CANDIDATES low parts.
LOW_CANDIDATES = 12
# The high parts are shared out in at most this many blocks.
MAX_BLOCKS = 64


class Tables:
    """The left sums and the table of right sums of one instance.

    Args:
        problem: the instance; its target, norm and cardinality are used.
        vectors: float64 (n, D), the candidates that are searched.
        slack: η, the rounding error of a scanned error (:func:`slth.rss.exact.rounding_slack`).
        max_ties: number of selections that one scan may list.
        split: (a, b), the numbers of candidates on the left and on the right (:func:`split_sizes`).
    """

    def __init__(
        self, problem: Problem, vectors: FloatArray, slack: float, max_ties: int, split: tuple[int, int]
    ) -> None:
        left, right = split
        self.left, self.slack, self.max_ties = left, slack, max_ties
        self.name = f"meet in the middle, {left} + {right}, table of {human_bytes(grid_bytes(right, len(vectors[0])))}"
        low = min(LOW_CANDIDATES, left)
        self.low = subset_sums(vectors[:low])
        self.high = subset_sums(vectors[low:left])
        self.sums = subset_sums(vectors[left:])
        self.wanted, self.sizes = problem.cardinality or 0, None
        if problem.cardinality is not None:
            self.sizes = popcounts(len(self.low)), popcounts(len(self.high)), popcounts(len(self.sums))
        self.target = problem.target
        self.euclidean = problem.norm == "l2"
        self.vectors = vectors

    def scan(self, radius: float, control: Control) -> tuple[float, list[BoolArray], bool] | None:
        """Look at every selection with an error up to ``radius``.

        Args:
            radius: ρ, in the problem's norm.
            control: the scan stops at its deadline.

        Returns:
            (the best error seen, the selections within rounding of it, whether these are all), or None if time ran out.
        """
        grid = build_grid(self.sums, radius)
        blocks = np.linspace(0, len(self.high), min(len(self.high), MAX_BLOCKS) + 1).astype(int).tolist()

        def run(span: tuple[int, int]) -> tuple[float, npt.NDArray[np.int64], int] | None:
            if control.expired():
                return None
            ties = np.empty((self.max_ties, 2), dtype=np.int64)
            best, number = scan(
                grid, self.low, self.high, self.target, radius=radius, tie=2 * self.slack, span=span,
                ties=ties, euclidean=self.euclidean, sizes=self.sizes, wanted=self.wanted, control=control,
            )  # fmt: skip
            if control.expired():  # the scan may have ended early
                return None
            return best, ties[:number], number

        with ThreadPoolExecutor(control.threads) as pool:
            results = list(pool.map(run, pairwise(blocks)))
        if any(result is None for result in results):
            return None
        done = [result for result in results if result is not None]
        best = min(result[0] for result in done)
        near: list[tuple[int, int]] = []
        complete = True
        for error, ties, number in done:
            if error <= best + 2 * self.slack:
                near += [(int(a), int(b)) for a, b in ties]
                complete &= number <= self.max_ties
        complete &= len(near) <= self.max_ties
        return best, [self._decode(pair) for pair in near[: self.max_ties]], complete

    def _decode(self, pair: tuple[int, int]) -> BoolArray:
        """The selection of a pair (index of the left sum, index of the right sum)."""
        left, right = pair
        code = left | (right << self.left)
        return np.array([(code >> i) & 1 for i in range(len(self.vectors))], dtype=bool)


def split_sizes(count: int, dimension: int, max_memory: float) -> tuple[int, int]:
    """How the candidates are split: into equal halves, unless the table of 2^b right sums would not fit.

    Args:
        count: n, the number of candidates.
        dimension: D.
        max_memory: bytes that the tables must fit.

    Returns:
        (a, b) with a + b = n.

    Raises:
        MemoryEstimateError: no split fits.
    """
    right = count // 2
    while right > 1 and grid_bytes(right, dimension) > 0.8 * max_memory:
        right -= 1
    left = count - right
    high_parts = 2.0 ** min(max(0, left - LOW_CANDIDATES), 1000) * 8 * dimension
    if high_parts + grid_bytes(right, dimension) > max_memory:
        raise MemoryEstimateError(
            f"exact search over n = {count} candidates in D = {dimension} needs more than "
            f"{human_bytes(high_parts)}; max_memory is {human_bytes(max_memory)}. "
            "Use method='relax', fewer candidates, or a larger max_memory."
        )
    return left, right


def table_bytes(count: int, dimension: int, max_memory: float) -> float:
    """Bytes that the tables take.

    Args:
        count: n, the number of candidates.
        dimension: D.
        max_memory: bytes that the tables must fit.

    Returns:
        The bytes; 0 when no split fits, for then no table is built.
    """
    try:
        left, right = split_sizes(count, dimension, max_memory)
    except MemoryEstimateError:
        return 0.0
    return grid_bytes(right, dimension) + 2.0 ** max(0, left - LOW_CANDIDATES) * 8 * dimension
