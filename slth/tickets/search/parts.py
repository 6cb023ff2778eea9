"""Solving the subset-sum instances of one input channel and sign: one for each part, over the same hidden channels."""

from __future__ import annotations

import time

import numpy as np

from slth.arrays import BoolArray, FloatArray
from slth.rss import Problem, Solution, Status, solve, solve_weights
from slth.rss.control import DEFAULT_EFFORT
from slth.rss.flips import improve_best
from slth.tickets.search.search_time import ChannelTime

# So many candidates of a single weight are searched exhaustively. Their 2²⁴ sums, spread over a range of a few units,
# lie about a millionth apart, and the 2¹² sums of each half fit the first-level cache.
EXHAUSTIVE = 24
# Under a time limit these methods start with a pass of a method that ends soon by itself. Cut short, they would return
# hardly more than the empty selection.
FIRST_PASS = {"auto": "relax", "relax": "relax", "local": "relax", "pursuit": "pursuit"}

# So many times the flips of :func:`refine_parts` choose anew among which candidates they are made.
REFINEMENTS = 3


def solve_parts(
    candidates: FloatArray,
    goals: FloatArray,
    *,
    method: str,
    seed: int,
    effort: float = DEFAULT_EFFORT,
    channel_time: ChannelTime | None = None,
) -> BoolArray:
    r"""Select hidden channels for each part.

    .. math:: \min_{s_p \in \{0,1\}^n} \| X_p^\top s_p − z_p \|_\infty \quad p = 1 … P,
              \quad X = (X_1, …, X_P)

    Args:
        candidates: X, float64 (n, P·D).
        goals: z, float64 (P, D).
        method: solver of :func:`slth.rss.solve`; parts of dimension 1 are all solved at once with ``auto``,
            and with ``exact`` up to EXHAUSTIVE candidates.
        seed: seed of the solver.
        effort: seconds of one core for each part, see :func:`slth.rss.solve`; of no use with a time limit.
        channel_time: where each part gets its share of a limited time; None sets no limit. Parts that are all solved
            at once take no share: they take as long as without a limit.

    Returns:
        P selections, bool (P, n).

    Raises:
        InputError: the time is far from enough.
    """
    parts, size = goals.shape
    if size == 1 and (method == "auto" or (method == "exact" and len(candidates) <= EXHAUSTIVE)):
        return _solve_singles(candidates, goals[:, 0])
    pieces = candidates.reshape(-1, parts, size)
    selected = np.zeros((parts, len(candidates)), dtype=bool)
    for p in np.flatnonzero(goals.any(axis=1)):
        problem = Problem(vectors=np.ascontiguousarray(pieces[:, p]), target=goals[p])
        selected[p] = _solve_part(problem, method, seed, effort, channel_time)
    return selected


def load_solvers(method: str) -> None:
    """Load or compile the code of a solver on tiny instances, so that no limited time is spent on it.

    Args:
        method: solver of :func:`slth.rss.solve`, or ``auto``.
    """
    rng = np.random.default_rng(0)
    for size, name in (
        (8, method),
        *(((60, "tree"), (60, "core"), (60, "local"), (60, "exact")) if method == "auto" else ()),
    ):
        problem = Problem(vectors=rng.standard_normal((size, 2)), target=rng.standard_normal(2))
        for first in {FIRST_PASS.get(name, name), name}:
            solve(problem, first, time_limit=1e-3, threads=1)


def _solve_part(problem: Problem, method: str, seed: int, effort: float, channel_time: ChannelTime | None) -> BoolArray:
    """Select hidden channels for one part, within its share of the time if that is limited."""
    if channel_time is None:
        return solve(problem, method, seed=seed, effort=effort, threads=1).selected
    share, began = channel_time.share(problem.dimension), time.monotonic()
    found: list[Solution] = []
    if method in FIRST_PASS:
        found.append(solve(problem, FIRST_PASS[method], seed=seed, threads=1))
    left = share - (time.monotonic() - began)
    if left > 0 or not found:
        found.append(solve(problem, method, time_limit=max(left, 0.0), seed=seed, threads=1))
    proved = any(one.status is Status.optimal for one in found)
    channel_time.settle(problem.dimension, share, time.monotonic() - began, proved=proved)
    return min(found, key=lambda one: one.error).selected


def _solve_singles(candidates: FloatArray, goals: FloatArray) -> BoolArray:
    """Solve P one-dimensional instances, exactly up to EXHAUSTIVE candidates: bool (P, n).

    Of more candidates, the larger ones are decided first, in falling order of their modulus. Each is taken when it
    brings what is left of the goal nearer to half the sum of the EXHAUSTIVE smallest, the middle of what those can
    reach. The smallest leave no gaps; they are searched exhaustively.
    """
    order = np.argsort(-np.abs(candidates), axis=0, kind="stable")
    descending = np.take_along_axis(candidates, order, axis=0)
    large, small = descending[:-EXHAUSTIVE], descending[-EXHAUSTIVE:]
    half = 0.5 * small.sum(axis=0)
    residual = goals - half
    chosen = np.zeros(descending.shape, dtype=bool)
    for i, values in enumerate(large):
        chosen[i] = np.abs(residual - values) < np.abs(residual)
        residual -= np.where(chosen[i], values, 0.0)
    chosen[len(large) :] = solve_weights(vectors=small.T, targets=residual + half, threads=1).selected.T
    selected = np.empty_like(chosen)
    np.put_along_axis(selected, order, chosen & (goals != 0), axis=0)  # for a goal of zero, nothing selected is exact
    return np.ascontiguousarray(selected.T)


def refine_parts(candidates: FloatArray, goals: FloatArray, chosen: BoolArray, metric: FloatArray) -> BoolArray:
    r"""Improve selections by flips of one or two hidden channels, in a metric of the kernels' errors.

    .. math:: \min_{s_p} \sum_k \| (X_{p,k}^\top s_p − z_{p,k}) M \|_2^2, \quad k \text{ over the kernels of part } p

    Args:
        candidates: X, float64 (n, P·D).
        goals: z, float64 (P, D); a part holds whole kernels.
        chosen: the selections to start from, bool (P, n). They are not changed.
        metric: M, float64 (taps, taps).

    Returns:
        P selections, bool (P, n).
    """
    refined, shape = chosen.copy(), (len(candidates), *goals.shape)
    seen = (candidates.reshape(-1, len(metric)) @ metric).reshape(shape)
    aims = (goals.reshape(-1, len(metric)) @ metric).reshape(goals.shape)
    for p in np.flatnonzero(goals.any(axis=1)):
        vectors = np.ascontiguousarray(seen[:, p])
        for _ in range(REFINEMENTS):
            found = improve_best(vectors, aims[p] - refined[p] @ vectors, refined[p])
            if (found == refined[p]).all():
                break
            refined[p] = found
    return refined
