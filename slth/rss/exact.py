r"""exact — the proved optimum, any D: branch and bound while that is cheap, then meet in the middle.

Both look for all selections with an error ≤ ρ, in L∞ or in L2. If the best they meet has an error ≤ ρ, every better one
has been seen: it is optimal. Otherwise ρ grows to the incumbent's error, or doubles, and the scan is repeated.

* Branch and bound (:mod:`slth.rss.branch`) goes first, with as many nodes as take about the time that the other is
  expected to. Measured on NSN vectors: n = 40, D = 6: 0.04 million nodes; n = 64, D = 32: 2.5 million, 0.4 s, where
  tables of 2^32 sums are out of the question; but n = 40, D = 2: 780 million, 12 s against 0.4 s.
* Meet in the middle: split the n candidates into a left part of a and a right part of b. A selection within ρ of z is
  a left sum l and a right sum u with :math:`\|z − l − u\| ≤ ρ`. The 2^b right sums are sorted into a grid
  (:mod:`slth.rss.meet`); the 2^a left sums are formed on the fly, and each looks at the right sums in a box of
  half-width ρ. Time about 2^a look-ups a scan, memory about 2^b·(16D + 28) bytes: b shrinks to fit ``max_memory`` and a
  grows.

Sums are float64, so two selections closer together than the rounding error η cannot be told apart by the scan:
all those within 2η of the best are collected and compared in exact arithmetic. With a fixed cardinality the
number of ones is matched exactly beside the coordinates.

Source: horowitz1974
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from slth.errors import MemoryEstimateError, human_bytes
from slth.rss.branch import Branch, OutOfNodes
from slth.rss.control import Control, Incumbent
from slth.rss.meet import MAX_GRID_DIMENSIONS, build_grid, grid_bytes, popcounts, scan, subset_sums
from slth.rss.problem import BoolArray, FloatArray, Problem
from slth.rss.pursuit import pursue_once
from slth.rss.verify import objective_in_units

# Ties within rounding that are compared exactly; beyond it the result is reported as not proved.
MAX_TIES = 4096
# The scan radius carries this many rounding errors of slack, half of them for what "seen" means.
MARGIN = 6
# Nodes of the branch and bound that are always tried: some milliseconds.
LEAST_NODES = 2.0**16
# Nodes for an instance that does not fit the meet in the middle, without a time limit: a second or two.
LONE_NODES = 2.0**24
# Left sums are scanned in runs of 2^RUN (sharing one high part), each a unit of work between deadline checks.
RUN = 12


def solve_exact(problem: Problem, control: Control) -> Incumbent:
    """The exact method; see the module's docstring. Returns the incumbent when time runs out."""
    return _search(problem, control, None)


def provable(problem: Problem, control: Control, nodes: float) -> bool:
    """Whether branch and bound alone proves the optimum, with at most ``nodes`` nodes and before the deadline."""
    try:
        return _search(problem, replace(control, progress=None), nodes).lower_bound == math.inf
    except OutOfNodes:
        return False


def _search(problem: Problem, control: Control, nodes: float | None) -> Incumbent:
    """The search; with ``nodes`` given, branch and bound alone, which raises OutOfNodes when it needs more."""
    incumbent = pursue_once(problem, control)
    useful: BoolArray = np.ones(problem.size, dtype=bool)
    if problem.cardinality is None:  # a zero vector changes nothing, unless it counts
        useful &= (problem.vectors != 0).any(axis=1)
    vectors, count = problem.vectors[useful], int(useful.sum())
    if count == 0:
        return Incumbent(selected=incumbent.selected & False, lower_bound=_floor_zero(problem), stats={"scans": 0})
    slack = rounding_slack(vectors, problem.target, problem.norm)
    error = problem.length(incumbent.selected @ problem.vectors - problem.target)
    budget = _branch_nodes(problem, vectors, control) if nodes is None else nodes
    branch = Branch(problem, vectors, slack, MAX_TIES, budget)
    search: Branch | _Tables = branch
    guess = expected_optimum(vectors, problem.target, problem.norm, problem.cardinality)
    radius = min(error, guess) + MARGIN * slack
    best: BoolArray = incumbent.selected[useful]
    scans, bound = 0, 0.0
    while True:
        try:
            found = search.scan(radius, control)
        except OutOfNodes:
            if nodes is not None:
                raise
            search = _Tables(problem, vectors, split_sizes(count, problem.dimension, control.max_memory), slack)
            continue
        if found is None:  # time ran out
            break
        scans += 1
        pair_error, ties, complete = found
        if ties:
            best = _best_of(problem, useful, [best, *ties])
            length = problem.length(best @ vectors - problem.target)
            if length < error:
                error = length
                control.improved(error)
        # Every selection with a smaller scanned error than this has been met.
        seen = radius - MARGIN / 2 * slack
        if pair_error <= seen:
            # Selections outside the ties are worse than all of them, and the best of the ties was found exactly:
            # nothing is below the incumbent. Too many ties to compare leave the rounding error open.
            bound = math.inf if complete else max(0.0, pair_error - 2 * slack)
            break
        bound = max(bound, seen - slack)
        radius = error + MARGIN * slack if error <= 4 * radius else 2 * radius
    selected = np.zeros(problem.size, dtype=bool)
    selected[useful] = best
    return Incumbent(
        selected=selected,
        lower_bound=bound,
        stats={"scans": scans, "nodes": branch.nodes, "search": search.name},
    )


def _branch_nodes(problem: Problem, vectors: FloatArray, control: Control) -> float:
    """Nodes for the branch and bound: what takes about the time of a scan of the meet in the middle, if that fits."""
    dim = problem.dimension
    if not table_bytes(len(vectors), dim, control.max_memory):
        return LONE_NODES if control.deadline is None else math.inf
    # A node takes 8 + 4D ns, a look-up about 100: at most about the same again, and little where it seldom wins.
    per_lookup = min(dim / 2, 12 / (1 + dim / 2))
    return max(LEAST_NODES, per_lookup * 2.0 ** expected_log2_work(vectors, problem.target))


def split_sizes(count: int, dimension: int, max_memory: float) -> tuple[int, int]:
    """(a, b) with a + b = count: balanced, unless the table of 2^b right sums would not fit ``max_memory``."""
    right = count // 2
    while right > 1 and grid_bytes(right, dimension) > 0.8 * max_memory:
        right -= 1
    left = count - right
    high_parts = 2.0 ** min(max(0, left - RUN), 1000) * 8 * dimension
    if high_parts + grid_bytes(right, dimension) > max_memory:
        raise MemoryEstimateError(
            f"exact search over n = {count} candidates in D = {dimension} needs more than "
            f"{human_bytes(high_parts)}; max_memory is {human_bytes(max_memory)}. "
            "Use method='relax', fewer candidates, or a larger max_memory."
        )
    return left, right


def table_bytes(count: int, dimension: int, max_memory: float) -> float:
    """Bytes that the meet in the middle of ``count`` candidates takes; 0 where it would not fit and is not begun."""
    try:
        left, right = split_sizes(count, dimension, max_memory)
    except MemoryEstimateError:
        return 0.0
    return grid_bytes(right, dimension) + 2.0 ** max(0, left - RUN) * 8 * dimension


def expected_optimum(
    vectors: FloatArray, target: FloatArray, norm: str = "linf", cardinality: int | None = None
) -> float:
    """Where the first moment of the number of solutions is one, for Gaussian sums: a first guess only."""
    n = len(vectors)
    part = 0.5 if cardinality is None else cardinality / n
    spread = math.sqrt(part * (1 - part)) * np.sqrt((vectors**2).sum(axis=0)) + 1e-300
    with np.errstate(over="ignore"):  # a coordinate without any spread
        offset = np.clip((target - part * vectors.sum(axis=0)) / spread, -1e6, 1e6)
    log2_count = n if cardinality is None else math.log2(math.comb(n, cardinality))
    log2_pairs = log2_count - 0.5 * float(offset @ offset) / math.log(2)
    log2_width = float(np.log2(spread * math.sqrt(2 * math.pi)).mean()) - log2_pairs / len(target) - 1
    if norm == "l2":  # a ball of the same volume as the cube
        dim = len(target)
        log2_width += 1 - (dim / 2 * math.log(math.pi) - math.lgamma(dim / 2 + 1)) / (dim * math.log(2))
    return 2.0 ** min(max(log2_width, -1000.0), 900.0)


def expected_log2_work(vectors: FloatArray, target: FloatArray) -> float:
    """log2 of the look-ups and comparisons a scan at the expected optimum makes: what ``auto`` goes by."""
    used = min(len(target), MAX_GRID_DIMENSIONS)
    spread = 0.5 * np.sqrt((vectors[:, :used] ** 2).sum(axis=0)) + 1e-300
    # The cells around a box are twice as wide as the box, against the width of the sums in each coordinate.
    with np.errstate(over="ignore"):
        hit = np.minimum(1.0, 4 * expected_optimum(vectors, target) / (spread * math.sqrt(2 * math.pi)))
    left = len(vectors) - len(vectors) // 2
    return float(np.logaddexp2(left + used - 1, len(vectors) + np.log2(hit).sum()))


def rounding_slack(vectors: FloatArray, target: FloatArray, norm: str = "linf") -> float:
    """η: how far a float64 error computed by the scan can be from the exact one.

    Each of at most n + 2 additions errs by u = 2⁻⁵³ relative to a partial sum of at most Σ|x_i| + |z|.
    """
    largest = float((np.abs(vectors).sum(axis=0) + np.abs(target)).max())
    if norm == "linf":
        return 1.1 * (len(vectors) + 4) * 2.0**-53 * largest
    # √D coordinates err together, and the sum of squares and its root add D + 2 roundings of their own.
    return 1.1 * (len(vectors) + len(target) + 6) * 2.0**-53 * largest * math.sqrt(len(target))


def _floor_zero(problem: Problem) -> float:
    return math.inf if problem.cardinality is None else 0.0


def _best_of(problem: Problem, useful: BoolArray, choices: list[BoolArray]) -> BoolArray:
    """The choice with the smallest exact error; of equals the one that is smallest as a binary number.

    So what is found does not depend on how the candidates were split, as long as all ties are listed.
    """
    best, least = choices[0], None
    for choice in choices:
        whole = np.zeros(problem.size, dtype=bool)
        whole[useful] = choice
        key = objective_in_units(problem, whole), int.from_bytes(np.packbits(choice, bitorder="little"), "little")
        if least is None or key < least:
            best, least = choice, key
    return best


class _Tables:
    """The left half, and the right half's table, of one instance."""

    def __init__(self, problem: Problem, vectors: FloatArray, split: tuple[int, int], slack: float) -> None:
        left, right = split
        self.left, self.slack = left, slack
        self.name = f"meet in the middle, {left} + {right}, table of {human_bytes(grid_bytes(right, len(vectors[0])))}"
        low = min(RUN, left)
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
        """(best error seen, selections within rounding of it, all of them?) or None if time ran out."""
        grid = build_grid(self.sums, radius)
        blocks = np.linspace(0, len(self.high), min(len(self.high), 64) + 1).astype(int).tolist()

        def run(span: tuple[int, int]) -> tuple[float, npt.NDArray[np.int64], int] | None:
            if control.expired():
                return None
            ties = np.empty((MAX_TIES, 2), dtype=np.int64)
            best, number = scan(
                grid, self.low, self.high, self.target, radius=radius, tie=2 * self.slack, span=span,
                ties=ties, euclidean=self.euclidean, sizes=self.sizes, wanted=self.wanted,
            )  # fmt: skip
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
                complete &= number <= MAX_TIES
        return best, [self._decode(pair) for pair in near[:MAX_TIES]], complete and len(near) <= MAX_TIES

    def _decode(self, pair: tuple[int, int]) -> BoolArray:
        """The selection that a (left index, right index) pair stands for."""
        left, right = pair
        code = left | (right << self.left)
        return np.array([(code >> i) & 1 for i in range(len(self.vectors))], dtype=bool)
