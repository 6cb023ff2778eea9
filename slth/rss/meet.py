"""The grid of right sums, and the scan of left sums against it: the inner loops of the meet in the middle.

The 2^b right sums are sorted into the cells of a grid on their first G coordinates. So the rows of one cell, and of
cells that are neighbours in the last of these coordinates, lie together in memory. A left sum needs all rows in a box
of half-width ρ. With cells at least 2ρ wide these are at most 2^(G−1) runs of rows. The cost is a cache miss at the
start of each run (about 100 ns), and then 8·D bytes per row. So G is the smallest number of coordinates that leaves
about one row per cell, or that the width 2ρ allows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from slth.arrays import FloatArray
from slth.rss.control import Control

# The number of selected candidates of each of some subsets.
Sizes = npt.NDArray[np.int8]

# The grid is on at most this many coordinates.
MAX_GRID_DIMENSIONS = 4
# Steps of a scan between two looks at the clock: about ten milliseconds, and fifty where every coordinate is read.
STEPS_PER_CHECK = 2**21
# The first row of a run is a cache miss, which takes as long as so many rows that follow.
RUN_STEPS = 16


@dataclass(frozen=True, eq=False)
class SumGrid:
    """Right sums, sorted by the cells of a grid.

    Attributes:
        rows: float64 (2^b, D), the sums in the order of their cells.
        codes: int32 (2^b,), the index of each row among the sums as they were given; its bits are the selection.
        starts: int64 (cells + 1,), the first row of each cell.
        origin: float64 (G,), the lower corner of the grid.
        width: float64 (G,), the width of a cell per coordinate.
        shape: int64 (G,), the number of cells per coordinate.
    """

    rows: FloatArray
    codes: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    origin: FloatArray
    width: FloatArray
    shape: npt.NDArray[np.int64]


def grid_bytes(right: int, dimension: int) -> float:
    """The peak of memory while a grid is built: the sums twice, cell numbers, codes and starts.

    Args:
        right: b, for a grid of 2^b sums.
        dimension: D.

    Returns:
        Bytes.
    """
    # 2^1000 bytes exceed any memory already, and larger powers overflow float64.
    return 2.0 ** min(right, 1000) * (16 * dimension + 8 + 4 + 16)


def subset_sums(vectors: FloatArray) -> FloatArray:
    """(2^m, D): row i is the sum of the vectors whose bit is set in i."""
    sums = np.zeros((1 << len(vectors), vectors.shape[1]))
    for k, row in enumerate(vectors):
        np.add(sums[: 1 << k], row, out=sums[1 << k : 2 << k])
    return sums


def popcounts(size: int) -> Sizes:
    """int8 (size,): the number of set bits of 0 … size − 1."""
    return np.bitwise_count(np.arange(size, dtype=np.uint32)).astype(np.int8)


def build_grid(sums: FloatArray, radius: float) -> SumGrid:
    """Sort sums into a grid whose cells are at least 2·radius wide.

    Args:
        sums: float64 (m, D).
        radius: ρ, half the least width of a cell.

    Returns:
        The grid, with about m cells at most.
    """
    low, high = sums.min(axis=0), sums.max(axis=0)
    span = np.maximum(high - low, 1e-300)
    budget = 2.0 * len(sums)
    widest = np.floor(span / np.maximum(span / budget, 2.0 * radius)).astype(np.int64)
    dimensions = 1
    while (
        dimensions < min(len(low), MAX_GRID_DIMENSIONS) and np.prod(np.maximum(widest[:dimensions], 1.0)) < budget / 2
    ):
        dimensions += 1
    shape = np.clip(widest[:dimensions], 1, max(1, int(budget ** (1 / dimensions))))
    origin = low[:dimensions].copy()
    width = np.maximum(span[:dimensions] / shape, 2.0 * radius)
    cells, starts = _count_cells(sums, origin, width, shape)
    rows, codes = _sort_by_cell(sums, cells, starts)
    return SumGrid(rows=rows, codes=codes, starts=starts, origin=origin, width=width, shape=shape)


@numba.njit(nogil=True, cache=True, inline="always")
def _cell(value, origin, width, count):  # type: ignore[no-untyped-def]
    # Monotone in value even with rounding: a number between two values has a cell between their cells.
    place = np.floor((value - origin) / width)
    return np.int64(min(max(place, 0.0), count - 1.0))


@numba.njit(nogil=True, cache=True)
def _count_cells(sums, origin, width, shape):  # type: ignore[no-untyped-def]
    """The cell of each sum, and the first row of each cell once the sums are sorted by cell."""
    total = np.int64(1)
    for g in range(shape.size):
        total *= shape[g]
    cells = np.empty(sums.shape[0], np.int64)
    starts = np.zeros(total + 1, np.int64)
    for i in range(sums.shape[0]):
        cell = np.int64(0)
        for g in range(shape.size):
            cell = cell * shape[g] + _cell(sums[i, g], origin[g], width[g], shape[g])
        cells[i] = cell
        starts[cell + 1] += 1
    for c in range(total):
        starts[c + 1] += starts[c]
    return cells, starts


@numba.njit(nogil=True, cache=True)
def _sort_by_cell(sums, cells, starts):  # type: ignore[no-untyped-def]
    """The sums in the order of their cells, and their former indices."""
    rows = np.empty_like(sums)
    codes = np.empty(sums.shape[0], np.int32)
    fill = starts[:-1].copy()
    for i in range(sums.shape[0]):
        place = fill[cells[i]]
        fill[cells[i]] += 1
        codes[place] = i
        for d in range(sums.shape[1]):
            rows[place, d] = sums[i, d]
    return rows, codes


def scan(
    grid: SumGrid, low: FloatArray, high: FloatArray, target: FloatArray, *, radius: float, tie: float,
    span: tuple[int, int], ties: npt.NDArray[np.int64], euclidean: bool,
    sizes: tuple[Sizes, Sizes, Sizes] | None = None, wanted: int = 0, control: Control | None = None,
) -> tuple[float, int]:  # fmt: skip
    """Look up target − (high[h] + low[i]) in a grid of right sums, for every i and every h in a span.

    Args:
        grid: the right sums.
        low: float64 (m, D), low parts of the left sums.
        high: float64 (k, D), high parts of the left sums.
        target: float64 (D,).
        radius: ρ, the half-width of the box that is searched around target − left sum.
        tie: pairs within this of the best error are listed.
        span: (first h, end of h), a range of rows of ``high``.
        ties: int64 (t, 2), written with the listed pairs (index of the left sum, code of the right sum). The index of
            high[h] + low[i] is h·m + i.
        euclidean: whether errors are measured in L2 instead of L∞.
        sizes: sizes of the low, high and right sums. With them, only pairs whose sizes add up to ``wanted`` count.
        wanted: the number of selected candidates when ``sizes`` is given.
        control: its deadline ends the scan early, with what was met so far; None sets no limit.

    Returns:
        (the smallest error met, the number of pairs; it exceeds t when some did not fit ``ties``).
    """
    none = np.empty(0, dtype=np.int8)
    of_low, of_high, of_right = (none, none, none) if sizes is None else sizes
    # place holds the next h, the next i and the number of pairs; best holds the smallest error.
    place, best = np.array([span[0], 0, 0]), np.full(1, np.inf)
    while place[0] < span[1] and not (control is not None and control.expired()):
        _scan(
            low, high, grid.rows, grid.codes, grid.starts, grid.origin, grid.width, grid.shape, target, radius, tie,
            span[1], of_low, of_high, of_right, wanted, ties, euclidean, place, best, STEPS_PER_CHECK,
        )  # fmt: skip
    return float(best[0]), int(place[2])


# fmt: off
@numba.njit(nogil=True, cache=True)
def _scan(  # type: ignore[no-untyped-def]
    low, high, rows, codes, starts, origin, width, shape, target, radius, tie,
    end, of_low, of_high, of_right, wanted, ties, euclidean, place, best_met, steps,
):
    # fmt: on
    """Continue from ``place`` until the span ends or the steps are made: a row is one, and a run RUN_STEPS more."""
    dim = target.size
    grid_dim = shape.size
    last = grid_dim - 1
    sized = of_right.size > 0
    best = best_met[0]
    number = place[2]
    goal = np.empty(dim)
    first = np.empty(grid_dim, np.int64)
    count = np.empty(grid_dim, np.int64)
    for h in range(place[0], end):
        for i in range(place[1] if h == place[0] else 0, low.shape[0]):
            if steps <= 0:
                place[0], place[1], place[2] = h, i, number
                best_met[0] = best
                return
            for d in range(dim):
                goal[d] = target[d] - (high[h, d] + low[i, d])
            runs = np.int64(1)
            for g in range(grid_dim):
                first[g] = _cell(goal[g] - radius, origin[g], width[g], shape[g])
                count[g] = _cell(goal[g] + radius, origin[g], width[g], shape[g]) - first[g] + 1
                if g != last:
                    runs *= count[g]
            steps -= RUN_STEPS * runs
            for run in range(runs):
                rest = run
                cell = np.int64(0)
                for g in range(last):
                    cell = cell * shape[g] + first[g] + rest % count[g]
                    rest //= count[g]
                cell = cell * shape[last] + first[last]
                steps -= starts[cell + count[last]] - starts[cell]
                for row in range(starts[cell], starts[cell + count[last]]):
                    error = abs(goal[0] - rows[row, 0])
                    if error > best + tie:
                        continue
                    if euclidean:
                        squares = 0.0
                        for d in range(dim):
                            squares += (goal[d] - rows[row, d]) ** 2
                        error = np.sqrt(squares)
                    else:
                        for d in range(1, dim):
                            error = max(error, abs(goal[d] - rows[row, d]))
                    if error > best + tie:
                        continue
                    if sized and of_high[h] + of_low[i] + of_right[codes[row]] != wanted:
                        continue
                    if error < best - tie:
                        number = 0
                    best = min(best, error)
                    if number < ties.shape[0]:
                        ties[number, 0] = h * low.shape[0] + i
                        ties[number, 1] = codes[row]
                    number += 1
    place[0], place[1], place[2] = end, 0, number
    best_met[0] = best
