"""The subset-sum instances of one input channel and sign: one for each part, all from the same hidden channels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slth.arrays import BoolArray, FloatArray
from slth.rss import Problem, solve, solve_weights

# Candidates of a single weight that are searched exhaustively: 2²⁴ sums over a range of a few are a millionth apart,
# and both halves' 2¹² sums stay in the first-level cache.
EXHAUSTIVE = 24


def solve_parts(
    candidates: FloatArray, goals: FloatArray, *, method: str, seed: int
) -> list[BoolArray] | npt.NDArray[np.bool_]:
    r"""One selection of hidden channels for each part.

    .. math:: \min_{s_p \in \{0,1\}^n} \| X_p^\top s_p − z_p \|_\infty \quad p = 1 … P,
              \quad X = (X_1, …, X_P)

    Args:
        candidates: X, float64 (n, P·D). goals: z, float64 (P, D). method, seed: of :func:`slth.rss.solve`; with
            ``auto``, parts of dimension 1 are solved all at once.

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
    """Bool (P, n): P one-dimensional instances, exact up to EXHAUSTIVE candidates.

    Of more candidates the largest settle first, in falling order, each taken when that brings the sum nearer to the
    target less half of the others' sum; the EXHAUSTIVE smallest, which leave no gaps, are then searched exhaustively.
    """
    order = np.argsort(-np.abs(candidates), axis=0, kind="stable")
    falling = np.take_along_axis(candidates, order, axis=0)
    large, small = falling[:-EXHAUSTIVE], falling[-EXHAUSTIVE:]
    half = 0.5 * small.sum(axis=0)
    residual = goals - half
    chosen = np.zeros(falling.shape, dtype=bool)
    for i, values in enumerate(large):
        chosen[i] = np.abs(residual - values) < np.abs(residual)
        residual -= np.where(chosen[i], values, 0.0)
    chosen[len(large) :] = solve_weights(vectors=small.T, targets=residual + half, threads=1).selected.T
    selected = np.empty_like(chosen)
    np.put_along_axis(selected, order, chosen & (goals != 0), axis=0)  # of a zero the empty selection is exact
    return np.ascontiguousarray(selected.T)
