"""Solving the subset-sum instances of one input channel and sign: one for each part, over the same hidden channels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slth.arrays import BoolArray, FloatArray
from slth.rss import Problem, solve, solve_weights

# So many candidates of a single weight are searched exhaustively. Their 2²⁴ sums, spread over a range of a few units,
# lie about a millionth apart, and the 2¹² sums of each half fit the first-level cache.
EXHAUSTIVE = 24


def solve_parts(
    candidates: FloatArray, goals: FloatArray, *, method: str, seed: int
) -> list[BoolArray] | npt.NDArray[np.bool_]:
    r"""Select hidden channels for each part.

    .. math:: \min_{s_p \in \{0,1\}^n} \| X_p^\top s_p − z_p \|_\infty \quad p = 1 … P,
              \quad X = (X_1, …, X_P)

    Args:
        candidates: X, float64 (n, P·D).
        goals: z, float64 (P, D).
        method: solver of :func:`slth.rss.solve`; with ``auto``, parts of dimension 1 are all solved at once.
        seed: seed of the solver.

    Returns:
        P selections, bool (n,) each.
    """
    parts, size = goals.shape
    if size == 1 and method == "auto":
        return _solve_singles(candidates, goals[:, 0])
    pieces = candidates.reshape(-1, parts, size)
    return [
        solve(
            Problem(vectors=np.ascontiguousarray(pieces[:, p]), target=goals[p]), method, seed=seed, threads=1
        ).selected
        if goals[p].any()
        else np.zeros(len(candidates), dtype=bool)
        for p in range(parts)
    ]


def _solve_singles(candidates: FloatArray, goals: FloatArray) -> npt.NDArray[np.bool_]:
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
