r"""pursuit — greedy flips over all candidates, then 1- and 2-flips among the small ones.

Each greedy step flips the candidate that lowers ‖z − Xᵀs‖₂ most, at the cost of one product with X. For NSN candidates
and large D it reaches an error of about 0.7·D^{3/2}/n, whatever the size of the target, because the candidates come in
every size. With a fixed cardinality k the start selects every other one of the 2k smallest candidates. (When k > n/2 it
selects every other one of the 2(n − k) smallest, and all larger ones.) The steps are then swaps: the best candidate to
remove, then the best one to add in its place.

With a time limit the greedy selection is followed by beams of width 4, 16 and 64 (:mod:`slth.rss.beam`). The best
selection is kept, and the search ends then even if time is left. Measured errors, greedy → beam: 0.041 → 0.009 (D = 9,
n = 1000, 0.05 s), 0.26 → 0.12 (D = 36, n = 2000, 0.15 s), 0.31 → 0.20 (D = 72, n = 5000, 0.7 s).
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from slth.arrays import BoolArray, FloatArray
from slth.rss.beam import beam_search
from slth.rss.control import Control, Incumbent
from slth.rss.flips import MIN_GAIN, improve
from slth.rss.problem import Problem

# Pairs are flipped among this many of the smallest candidates. Their Gram matrix takes 8·768² bytes.
PAIR_SIZE = 768
# Widths of the beams, tried in this order while there is time. Width 64 takes fifty times as long as the greedy
# pursuit.
BEAM_WIDTHS = (4, 16, 64)
# Multiply-adds between two checks of the deadline: some milliseconds.
OPERATIONS_PER_CHECK = 2**24


def solve_pursuit(problem: Problem, control: Control) -> Incumbent:
    """Solve by the method of this module: a greedy pursuit, then beams.

    Args:
        problem: the instance.
        control: its limits. Without a time limit there are no beams.

    Returns:
        The best selection found; nothing is proved.
    """
    first = pursue_once(problem, control)
    best, error, width = first.selected, problem.length(problem.target - first.selected @ problem.vectors), 1
    control.improved(error)
    start, norms, fixed_size = _initial_selection(problem)
    residual = problem.target - start @ problem.vectors
    for wider in BEAM_WIDTHS if control.deadline is not None else ():
        if control.expired() or error <= (control.eps or 0.0):
            break
        width = wider
        found, more = beam_search(
            problem.vectors, residual, start, norms, width=width, fixed_size=fixed_size, control=control
        )
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
    """The greedy pursuit without beams: a first incumbent for other methods.

    Args:
        problem: the instance.
        control: the pursuit stops at its deadline.

    Returns:
        The selection found; nothing is proved.
    """
    start, norms, fixed_size = _initial_selection(problem)
    if fixed_size:
        residual = problem.target - start @ problem.vectors
        selected, residual, flips = exchange(problem.vectors, residual, start, norms, control=control)
    else:
        selected, residual, flips = pursue(problem.vectors, problem.target, norms, control=control)
    selected, moves = _refine(problem, selected, residual, norms)
    return Incumbent(selected=selected, stats={"flips": flips, "local_moves": moves})


def _initial_selection(problem: Problem) -> tuple[BoolArray, FloatArray, bool]:
    """(the first selection, the squared norms, whether the size is fixed)."""
    norms = np.einsum("nd,nd->n", problem.vectors, problem.vectors)
    if problem.cardinality is None:
        return np.zeros(problem.size, dtype=bool), norms, False
    return alternating_selection(np.argsort(norms, kind="stable"), problem.cardinality), norms, True


def _refine(problem: Problem, selected: BoolArray, residual: FloatArray, norms: FloatArray) -> tuple[BoolArray, int]:
    """1- and 2-flips (or swaps) among the small candidates: (selection, moves)."""
    fixed_size, selected = problem.cardinality is not None, selected.copy()
    small = smallest_candidates(norms, selected, PAIR_SIZE, fixed_size=fixed_size)
    selected[small], moves = improve(problem.vectors[small], residual, selected[small], swaps_only=fixed_size)
    return selected, moves


def pursue(
    vectors: FloatArray,
    target: FloatArray,
    norms: FloatArray,
    *,
    control: Control,
    stop: float = 0.0,
    gain_share: float = 1.0,
) -> tuple[BoolArray, FloatArray, int]:
    """Flip greedily, from the empty selection, until nothing helps, ‖residual‖₂ ≤ ``stop`` or time is up.

    A step reads X once (8·n·D bytes) for 2·n·D operations, so its speed is that of the memory. With ``gain_share``
    below 1 one reading of X serves several flips: in many dimensions the candidates are nearly orthogonal, and a flip
    hardly changes the gains of the others.

    Args:
        vectors: float64 (n, D), the candidates, contiguous.
        target: float64 (D,).
        norms: float64 (n,), their squared L2 norms.
        control: the pursuit stops at its deadline.
        stop: an L2 norm of the residual that is small enough.
        gain_share: after the best flip, a step also makes those flips whose gain, recomputed, is at least this fraction
            of the best one's. At 1 a step makes the best flip alone.

    Returns:
        (selected bool (n,), the residual float64 (D,), the number of flips).
    """
    sign, residual = np.ones(len(vectors)), target.copy()
    steps = max(1, OPERATIONS_PER_CHECK // vectors.size)
    flips = 0
    while not control.expired():
        made, ended = _flip_best(vectors, norms, sign, residual, stop, steps, gain_share)
        flips += made
        if ended:
            break
    return sign < 0, residual, flips


@numba.njit(nogil=True, cache=True)
def _flip_best(vectors, norms, sign, residual, stop, steps, gain_share):  # type: ignore[no-untyped-def]
    """Make up to ``steps`` steps, in place in ``sign`` and ``residual``: (flips, whether the pursuit has ended)."""
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
        least = gain_share * top
        if gain_share < 1.0:
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


def alternating_selection(order: npt.NDArray[np.intp], size: int) -> BoolArray:
    """A selection with ``size`` ones that takes every other one of the smallest candidates.

    So both the selected and the unselected candidates offer every small size for swaps.

    Args:
        order: intp (n,), the places of the candidates by increasing norm.
        size: k, the number of ones. The 2k smallest candidates alternate and the larger ones are left out; when
            k > n/2, the 2(n − k) smallest alternate and the larger ones are taken.

    Returns:
        bool (n,).
    """
    selected = np.full(len(order), 2 * size > len(order))
    rare = min(size, len(order) - size)
    selected[order[: 2 * rare : 2]] = ~selected[:1]
    return selected


def exchange(
    vectors: FloatArray, residual: FloatArray, selected: BoolArray, norms: FloatArray, *, control: Control,
    stop: float = 0.0,
) -> tuple[BoolArray, FloatArray, int]:  # fmt: skip
    """:func:`pursue` with a fixed size: remove the best candidate and add the best one in its place, until none helps.

    Args:
        vectors: float64 (n, D), the candidates.
        residual: float64 (D,), z − Xᵀs of ``selected``. It is not changed.
        selected: bool (n,), the first selection. It is not changed.
        norms: float64 (n,), squared L2 norms of the candidates.
        control: the exchange stops at its deadline.
        stop: an L2 norm of the residual that is small enough.

    Returns:
        (selected bool (n,), the residual float64 (D,), the number of swaps).
    """
    sign, residual = np.where(selected, -1.0, 1.0), residual.copy()
    steps = max(1, OPERATIONS_PER_CHECK // vectors.size)
    swaps = 0
    while 0 < np.count_nonzero(selected) < len(selected) and not control.expired():
        made = _swap_best(vectors, norms, sign, residual, stop, steps)
        swaps += made
        if made < steps:
            break
    return sign < 0, residual, swaps


@numba.njit(nogil=True, cache=True)
def _swap_best(vectors, norms, sign, residual, stop, steps):  # type: ignore[no-untyped-def]
    """Make up to ``steps`` swaps in place; fewer when none helps or ‖residual‖₂ ≤ ``stop``. Return their number."""
    freed = np.empty_like(residual)
    for step in range(steps):
        energy = np.dot(residual, residual)
        if energy <= stop * stop:
            return step
        out, lost = _best_flip(np.dot(vectors, residual), norms, sign, -1.0)
        freed[:] = residual + vectors[out]
        into, won = _best_flip(np.dot(vectors, freed), norms, sign, 1.0)
        if lost + won <= MIN_GAIN * energy:
            return step
        residual[:] = freed - vectors[into]
        sign[out], sign[into] = 1.0, -1.0
    return steps


@numba.njit(nogil=True, cache=True)
def _best_flip(inner, norms, sign, side):  # type: ignore[no-untyped-def]
    """The best flip among the candidates whose sign is ``side``, and its gain."""
    best, top = 0, -np.inf
    for i in range(norms.size):
        if sign[i] == side:
            gain = 2.0 * side * inner[i] - norms[i]
            if gain > top:
                best, top = i, gain
    return best, top


def smallest_candidates(
    norms: FloatArray, selected: BoolArray, count: int, *, fixed_size: bool
) -> npt.NDArray[np.intp]:
    """The places of the smallest candidates.

    Args:
        norms: float64 (n,), squared L2 norms of the candidates.
        selected: bool (n,), the current selection.
        count: how many places are wanted.
        fixed_size: half of the places are then selected candidates and half unselected ones, so that swaps exist.

    Returns:
        intp, at most ``count`` places.
    """
    order = np.argsort(norms, kind="stable")
    if not fixed_size:
        return order[:count]
    kept, out = order[selected[order]], order[~selected[order]]
    return np.sort(np.concatenate([kept[: count // 2], out[: count // 2]]))
