r"""pursuit — greedy flips over all candidates, then 1- and 2-flips on the small ones.

Each greedy step flips the candidate that lowers ‖z − Xᵀs‖₂ most, one product with X a step. The reach at large D
is about 0.7·D^{3/2}/n for NSN candidates, whatever the size of the target: the product law offers candidates of
every scale. With a fixed cardinality k it starts from every other one of the 2k smallest candidates (of the 2(n − k)
smallest, with all others, when that is less) and swaps: the one that leaves best, then the best for its place.

With a time limit it is repeated with a beam of 4, 16 and 64 (:mod:`slth.rss.beam`) instead of one greedy selection, and
the best of all is kept; it then ends, whatever time is left. Measured errors, greedy → beam: 0.041 → 0.009 (D = 9,
n = 1000, 0.05 s), 0.26 → 0.12 (D = 36, n = 2000, 0.15 s), 0.31 → 0.20 (D = 72, n = 5000, 0.7 s).
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from slth.rss.beam import beam
from slth.rss.control import Control, Incumbent
from slth.rss.local import MIN_GAIN, improve
from slth.rss.problem import BoolArray, FloatArray, Problem

# Candidates that the pair search looks at: its Gram matrix is 8·m² bytes.
LOCAL_SIZE = 768
# Widths of the beam, one after the other while there is time: 64 takes fifty times the greedy pursuit's time.
WIDTHS = (4, 16, 64)
# Multiply-adds between two looks at the clock: some milliseconds.
LOOK = 2**24


def solve_pursuit(problem: Problem, control: Control) -> Incumbent:
    """The pursuit method; see the module's docstring."""
    first = pursue_once(problem, control)
    best, error, width = first.selected, problem.length(problem.target - first.selected @ problem.vectors), 1
    control.improved(error)
    start, norms, sized = _start(problem)
    residual = problem.target - start @ problem.vectors
    for wider in WIDTHS if control.deadline is not None else ():
        if control.expired() or error <= (control.eps or 0.0):
            break
        width = wider
        found, more = beam(problem.vectors, residual, start, norms, width=width, sized=sized, control=control)
        for selected in found:
            left = problem.target - selected @ problem.vectors
            refined, _ = _refine(problem, selected, left, norms)
            length = problem.length(problem.target - refined @ problem.vectors)
            if length < error:
                best, error = refined, length
                control.improved(error)
        if not more:
            break
    return Incumbent(selected=best, stats={**first.stats, "beam": width})


def pursue_once(problem: Problem, control: Control) -> Incumbent:
    """The greedy pursuit, time limit or not: a first incumbent for other methods."""
    start, norms, sized = _start(problem)
    if sized:
        residual = problem.target - start @ problem.vectors
        selected, residual, flips = exchange(problem.vectors, residual, start, norms, control=control)
    else:
        selected, residual, flips = pursue(problem.vectors, problem.target, norms, control=control)
    selected, moves = _refine(problem, selected, residual, norms)
    return Incumbent(selected=selected, stats={"flips": flips, "local_moves": moves})


def _start(problem: Problem) -> tuple[BoolArray, FloatArray, bool]:
    """(first selection, squared norms, whether the size is fixed)."""
    norms = np.einsum("nd,nd->n", problem.vectors, problem.vectors)
    if problem.cardinality is None:
        return np.zeros(problem.size, dtype=bool), norms, False
    return spread(np.argsort(norms, kind="stable"), problem.cardinality), norms, True


def _refine(problem: Problem, selected: BoolArray, residual: FloatArray, norms: FloatArray) -> tuple[BoolArray, int]:
    """1- and 2-flips (or swaps) among the small candidates: (selection, moves)."""
    sized, selected = problem.cardinality is not None, selected.copy()
    local = smallest(norms, selected, LOCAL_SIZE, sized=sized)
    selected[local], moves = improve(problem.vectors[local], residual, selected[local], swaps_only=sized)
    return selected, moves


def pursue(
    vectors: FloatArray,
    target: FloatArray,
    norms: FloatArray,
    *,
    control: Control,
    stop: float = 0.0,
    share: float = 1.0,
) -> tuple[BoolArray, FloatArray, int]:
    """Flip greedily until nothing helps, ‖residual‖₂ ≤ ``stop`` or time is up: (selected, residual, flips).

    A step reads X once (8·n·D bytes) for 2·n·D operations: it runs at memory speed, so X is kept contiguous and
    the product is the whole cost. With ``share`` below 1 a step makes, after the best flip, also those whose gain,
    recomputed, is still at least that share of the best one's: in many dimensions candidates are nearly orthogonal,
    and one reading of X serves dozens of flips.
    """
    sign, residual = np.ones(len(vectors)), target.copy()
    steps = max(1, LOOK // vectors.size)
    flips = 0
    while not control.expired():
        made, ended = _flip_best(vectors, norms, sign, residual, stop, steps, share)
        flips += made
        if ended:
            break
    return sign < 0, residual, flips


@numba.njit(nogil=True, cache=True)
def _flip_best(vectors, norms, sign, residual, stop, steps, share):  # type: ignore[no-untyped-def]
    """Up to ``steps`` readings of X; flips in ``sign`` and ``residual``: (flips, whether that was all)."""
    flips = 0
    gains = np.empty_like(norms)
    for _ in range(steps):
        energy = np.dot(residual, residual)
        if energy <= stop * stop:
            return flips, True
        inner = np.dot(vectors, residual)
        best, top = 0, -np.inf
        for i in range(norms.size):
            gains[i] = 2.0 * sign[i] * inner[i] - norms[i]
            if gains[i] > top:
                best, top = i, gains[i]
        if top <= MIN_GAIN * energy:
            return flips, True
        least = share * top
        if share < 1.0:
            good = np.flatnonzero(gains >= least)
            order = good[np.argsort(-gains[good])]
        else:
            order = np.array([best])
        for i in order:
            if i != best and 2.0 * sign[i] * np.dot(vectors[i], residual) - norms[i] < least:
                continue
            for d in range(residual.size):
                residual[d] -= sign[i] * vectors[i, d]
            sign[i] = -sign[i]
            flips += 1
            if np.dot(residual, residual) <= stop * stop:
                return flips, True
    return flips, False


def spread(order: npt.NDArray[np.intp], size: int) -> BoolArray:
    """A selection with ``size`` ones: every other one of the smallest candidates, those above all in or all out.

    Whatever is then exchanged, candidates of every small size wait on both sides.
    """
    selected = np.full(len(order), 2 * size > len(order))
    rare = min(size, len(order) - size)
    selected[order[: 2 * rare : 2]] = ~selected[:1]
    return selected


def exchange(
    vectors: FloatArray, residual: FloatArray, selected: BoolArray, norms: FloatArray, *, control: Control,
    stop: float = 0.0,
) -> tuple[BoolArray, FloatArray, int]:  # fmt: skip
    """:func:`pursue` with a fixed size: swap the best one out, then the best one for its place in, until none helps."""
    sign, residual = np.where(selected, -1.0, 1.0), residual.copy()
    steps = max(1, LOOK // vectors.size)
    swaps = 0
    while 0 < np.count_nonzero(selected) < len(selected) and not control.expired():
        made = _swap_best(vectors, norms, sign, residual, stop, steps)
        swaps += made
        if made < steps:
            break
    return sign < 0, residual, swaps


@numba.njit(nogil=True, cache=True)
def _swap_best(vectors, norms, sign, residual, stop, steps):  # type: ignore[no-untyped-def]
    """Up to ``steps`` swaps in ``sign`` and ``residual``; fewer when none helps or ‖residual‖₂ ≤ ``stop``."""
    freed = np.empty_like(residual)
    for step in range(steps):
        energy = np.dot(residual, residual)
        if energy <= stop * stop:
            return step
        out, lost = _best_of(np.dot(vectors, residual), norms, sign, -1.0)
        freed[:] = residual + vectors[out]
        into, won = _best_of(np.dot(vectors, freed), norms, sign, 1.0)
        if lost + won <= MIN_GAIN * energy:
            return step
        residual[:] = freed - vectors[into]
        sign[out], sign[into] = 1.0, -1.0
    return steps


@numba.njit(nogil=True, cache=True)
def _best_of(inner, norms, sign, side):  # type: ignore[no-untyped-def]
    """The best flip among the candidates whose sign is ``side``, and its gain."""
    best, top = 0, -np.inf
    for i in range(norms.size):
        if sign[i] == side:
            gain = 2.0 * side * inner[i] - norms[i]
            if gain > top:
                best, top = i, gain
    return best, top


def smallest(norms: FloatArray, selected: BoolArray, count: int, *, sized: bool) -> npt.NDArray[np.intp]:
    """The ``count`` smallest candidates; with a fixed size, half of them kept ones and half left out."""
    order = np.argsort(norms, kind="stable")
    if not sized:
        return order[:count]
    kept, out = order[selected[order]], order[~selected[order]]
    return np.sort(np.concatenate([kept[: count // 2], out[: count // 2]]))
