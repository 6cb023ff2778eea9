r"""exact — the proved optimum, any D: branch and bound while that is cheap, then meet in the middle.

Both searches scan all selections with an error ≤ ρ, in L∞ or in L2. If the best one met has an error ≤ ρ, it is
optimal: every better one would have been met. Otherwise ρ grows to the incumbent's error, or doubles, and the scan is
repeated.

* Branch and bound (:mod:`slth.rss.branch`) goes first. Its nodes are limited to about the time that the meet in the
  middle is expected to take. Measured on NSN vectors: 0.04 million nodes for n = 40, D = 6; 2.5 million (0.4 s) for
  n = 64, D = 32, where tables would need 2^32 sums; but 780 million (12 s) for n = 40, D = 2, where the meet in the
  middle takes 0.4 s.
* Meet in the middle (:mod:`slth.rss.half_tables`) follows when the nodes are used up.

Before both, an instance of D = 1 with at most 32 candidates goes through :mod:`slth.rss.sorted_halves`, which takes
microseconds. Only where that finds ties do the searches follow.

Sums are float64, so a scan cannot tell apart two errors that are closer than the rounding error η. All selections
within 2η of the best are collected and compared in exact arithmetic.

Source: horowitz1974
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from slth.arrays import BoolArray, FloatArray
from slth.progress import Silent
from slth.rss.branch import Branch, OutOfNodes
from slth.rss.control import Control, Incumbent
from slth.rss.half_tables import Tables, split_sizes, table_bytes
from slth.rss.meet import MAX_GRID_DIMENSIONS
from slth.rss.problem import Problem
from slth.rss.pursuit import pursue_once
from slth.rss.sorted_halves import MAX_SORTED, closest_sums
from slth.rss.verify import objective_in_units

# Up to this many ties within rounding are compared exactly. With more of them the optimum is not proved.
MAX_TIES = 4096
# The scan radius is enlarged by this many rounding errors η. Errors up to the radius less half of that are surely met.
RADIUS_MARGIN = 6
# The least number of nodes that branch and bound may visit: some milliseconds.
MIN_NODES = 2.0**16
# Nodes for an instance whose tables do not fit the memory, without a time limit: a second or two.
NODES_WITHOUT_TABLES = 2.0**24


def solve_exact(problem: Problem, control: Control) -> Incumbent:
    """Solve by the methods of this module: branch and bound, then meet in the middle.

    Args:
        problem: the instance.
        control: its limits. The incumbent is returned when time runs out.

    Returns:
        The best selection found, with an infinite lower bound when it is proved optimal.

    Raises:
        MemoryEstimateError: without a time limit, if the tables would not fit ``max_memory``.
    """
    if problem.dimension == 1 and problem.cardinality is None and problem.size <= MAX_SORTED:
        selected, unique = closest_sums(problem.vectors.T, problem.target)
        if unique[0]:
            control.improved(problem.length(selected[0] @ problem.vectors - problem.target))
            return Incumbent(selected=selected[0], lower_bound=math.inf, stats={"search": "sorted sums of two halves"})
    return _search(problem, control, None)


def provable(problem: Problem, control: Control, nodes: float) -> bool:
    """Whether branch and bound alone proves the optimum in time.

    Args:
        problem: the instance.
        control: its limits; the proof must end before its deadline. Nothing is reported.
        nodes: number of nodes that the proof may visit.

    Returns:
        True if the optimum was proved.
    """
    try:
        return _search(problem, replace(control, progress=Silent()), nodes).lower_bound == math.inf
    except OutOfNodes:
        return False


def _search(problem: Problem, control: Control, nodes: float | None) -> Incumbent:
    """Search with both methods. With ``nodes``, use branch and bound alone, and raise OutOfNodes if it needs more."""
    incumbent = pursue_once(problem, control)
    useful: BoolArray = np.ones(problem.size, dtype=bool)
    if problem.cardinality is None:  # a zero vector changes nothing, unless the size is fixed
        useful &= (problem.vectors != 0).any(axis=1)
    vectors, count = problem.vectors[useful], int(useful.sum())
    if count == 0:  # only zero vectors, of any number: every selection has the same error
        return Incumbent(selected=incumbent.selected & False, lower_bound=math.inf, stats={"scans": 0})
    slack = rounding_slack(vectors, problem.target, problem.norm)
    error = problem.length(incumbent.selected @ problem.vectors - problem.target)
    budget = _branch_nodes(problem, vectors, control) if nodes is None else nodes
    branch = Branch(problem, vectors, slack, MAX_TIES, budget)
    search: Branch | Tables = branch
    guess = expected_optimum(vectors, problem.target, problem.norm, problem.cardinality)
    radius = min(error, guess) + RADIUS_MARGIN * slack
    best: BoolArray = incumbent.selected[useful]
    scans, bound = 0, 0.0
    while True:
        try:
            found = search.scan(radius, control)
        except OutOfNodes:
            if nodes is not None:
                raise
            split = split_sizes(count, problem.dimension, control.max_memory)
            search = Tables(problem, vectors, slack, MAX_TIES, split)
            continue
        if found is None:  # time ran out
            break
        scans += 1
        scanned_error, ties, complete = found
        if ties:
            best = _exactly_best(problem, useful, [best, *ties])
            length = problem.length(best @ vectors - problem.target)
            if length < error:
                error = length
                control.improved(error)
        # Every selection with a smaller scanned error than this has been met.
        seen = radius - RADIUS_MARGIN / 2 * slack
        if scanned_error <= seen:
            # All ties were compared exactly, and every other selection is worse than they: the incumbent is optimal.
            # With too many ties to compare, the optimum is known only up to the rounding error.
            bound = math.inf if complete else max(0.0, scanned_error - 2 * slack)
            break
        bound = max(bound, seen - slack)
        radius = error + RADIUS_MARGIN * slack if error <= 4 * radius else 2 * radius
    selected = np.zeros(problem.size, dtype=bool)
    selected[useful] = best
    return Incumbent(
        selected=selected,
        lower_bound=bound,
        stats={"scans": scans, "nodes": branch.nodes, "search": search.name},
    )


def _branch_nodes(problem: Problem, vectors: FloatArray, control: Control) -> float:
    """Nodes for branch and bound: about the time that a scan of the tables takes, if these fit the memory."""
    dim = problem.dimension
    if not table_bytes(len(vectors), dim, control.max_memory):
        return NODES_WITHOUT_TABLES if control.deadline is None else math.inf
    # A node takes 8 + 4D ns, a look-up about 100 ns. The nodes take at most about as long as the tables, and less for
    # few or many coordinates.
    per_lookup = min(dim / 2, 12 / (1 + dim / 2))
    expected: float = per_lookup * 2.0 ** expected_log2_work(vectors, problem.target)
    return max(MIN_NODES, expected)


def expected_optimum(
    vectors: FloatArray, target: FloatArray, norm: str = "linf", cardinality: int | None = None
) -> float:
    """The error at which the expected number of selections is one, if sums were Gaussian. It is only a first guess.

    Args:
        vectors: float64 (n, D), the candidates.
        target: float64 (D,).
        norm: ``linf`` or ``l2``.
        cardinality: number of selected candidates, or None for any.

    Returns:
        An error in that norm.
    """
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
    width: float = 2.0 ** min(max(log2_width, -1000.0), 900.0)
    return width


def expected_log2_work(vectors: FloatArray, target: FloatArray) -> float:
    """log2 of the look-ups and comparisons of a scan with the expected optimum as its radius.

    Args:
        vectors: float64 (n, D), the candidates.
        target: float64 (D,).

    Returns:
        The estimate by which ``auto`` chooses.
    """
    used = min(len(target), MAX_GRID_DIMENSIONS)
    spread = 0.5 * np.sqrt((vectors[:, :used] ** 2).sum(axis=0)) + 1e-300
    # The cells around a box are twice as wide as the box, against the width of the sums in each coordinate.
    with np.errstate(over="ignore"):
        hit = np.minimum(1.0, 4 * expected_optimum(vectors, target) / (spread * math.sqrt(2 * math.pi)))
    left = len(vectors) - len(vectors) // 2
    return float(np.logaddexp2(left + used - 1, len(vectors) + np.log2(hit).sum()))


def rounding_slack(vectors: FloatArray, target: FloatArray, norm: str = "linf") -> float:
    """η: a bound on the difference between an error that a scan computes in float64 and the exact one.

    Each of at most n + 2 additions errs by at most u = 2⁻⁵³ relative to a partial sum, which is at most Σ|x_i| + |z|.

    Args:
        vectors: float64 (n, D), the candidates.
        target: float64 (D,).
        norm: ``linf`` or ``l2``.

    Returns:
        η, in the units of the vectors.
    """
    largest = float((np.abs(vectors).sum(axis=0) + np.abs(target)).max())
    if norm == "linf":
        return 1.1 * (len(vectors) + 4) * 2.0**-53 * largest
    # The errors of D coordinates add up to √D of one. The sum of squares and its root add D + 2 roundings.
    return 1.1 * (len(vectors) + len(target) + 6) * 2.0**-53 * largest * math.sqrt(len(target))


def _exactly_best(problem: Problem, useful: BoolArray, choices: list[BoolArray]) -> BoolArray:
    """The choice with the smallest exact error; among equal ones, the smallest as a binary number.

    As long as all ties are listed, the result then does not depend on how the candidates were split.
    """
    best, least = choices[0], None
    for choice in choices:
        whole = np.zeros(problem.size, dtype=bool)
        whole[useful] = choice
        number = int.from_bytes(np.packbits(choice, bitorder="little"), "little")
        key = objective_in_units(problem, whole), number
        if least is None or key < least:
            best, least = choice, key
    return best
