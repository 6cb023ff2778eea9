r"""Beam search: a pursuit that carries along the best ``width`` distinct selections instead of one.

A state is a selection with its residual. A move is a flip, or a swap when the size is fixed. Each step scores the moves
of every state and keeps the ``width`` distinct selections with the lowest energies ‖z − Xᵀs‖₂². A state that no move
improves is finished. Width 1 is the greedy pursuit. A step costs ``width`` times as much as a step of that pursuit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slth.arrays import BoolArray, FloatArray
from slth.rss.control import Control
from slth.rss.flips import MIN_GAIN

# With a fixed size, swaps pair the best this many candidates to remove with the best this many to add.
SWAP_SIDE = 8
# How many finished states are returned.
MAX_FINISHED = 4


def beam_search(
    vectors: FloatArray, residual: FloatArray, start: BoolArray, norms: FloatArray, *, width: int, fixed_size: bool,
    control: Control,
) -> tuple[list[BoolArray], bool]:  # fmt: skip
    """The best selections that moves from ``start`` lead to.

    Args:
        vectors: float64 (n, D), the candidates.
        residual: float64 (D,), z − Xᵀs of ``start``.
        start: bool (n,), the first selection.
        norms: float64 (n,), squared L2 norms of the candidates.
        width: number of states that are carried along.
        fixed_size: whether moves are swaps, which keep the number of selected candidates.
        control: the search stops at its deadline.

    Returns:
        (at most MAX_FINISHED selections, best first; whether a wider beam would have seen more).
    """
    selected, residuals = start[None].copy(), residual[None].copy()
    # Each candidate has a random key. The exclusive or of the selected keys identifies a selection, in whatever order
    # its moves were made.
    keys = np.random.default_rng(0).integers(2**63, size=len(vectors), dtype=np.uint64)
    marks = np.zeros(1, dtype=np.uint64)
    finished: list[tuple[float, BoolArray]] = []
    cut_off = False
    while len(selected) and not control.expired():
        energy = np.einsum("bd,bd->b", residuals, residuals)
        moves, gain = _best_moves(vectors, residuals, selected, norms, width, fixed_size)
        useful = gain > MIN_GAIN * energy[:, None]
        for i in np.flatnonzero(~useful.any(axis=1)):
            finished.append((float(energy[i]), selected[i].copy()))
        finished = sorted(finished, key=lambda state: state[0])[:MAX_FINISHED]
        after = np.where(useful, energy[:, None] - gain, np.inf).ravel()
        reached = marks[:, None] ^ np.bitwise_xor.reduce(keys[moves], axis=2)
        order = np.argsort(after, kind="stable")[: int(useful.sum())]
        _, first = np.unique(reached.ravel()[order], return_index=True)
        cut_off |= len(first) > width or (not fixed_size and moves.shape[1] < len(vectors))
        parent, move = np.divmod(order[np.sort(first)[:width]], moves.shape[1])
        marks, chosen = reached[parent, move], moves[parent, move]
        selected, residuals = selected[parent], residuals[parent]
        for k in range(chosen.shape[1]):
            rows, place = np.arange(len(chosen)), chosen[:, k]
            residuals = residuals - np.where(selected[rows, place], -1.0, 1.0)[:, None] * vectors[place]
            selected[rows, place] = ~selected[rows, place]
    running = [(float(left @ left), chosen) for left, chosen in zip(residuals, selected, strict=True)]
    return [chosen for _, chosen in sorted(finished + running, key=lambda state: state[0])[:MAX_FINISHED]], cut_off


def _best_moves(
    vectors: FloatArray, residuals: FloatArray, selected: BoolArray, norms: FloatArray, width: int, fixed_size: bool
) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """The c best moves of each of b states: (places to flip (b, c, 1 or 2), decrease of ‖residual‖² (b, c))."""
    gain = 2.0 * np.where(selected, -1.0, 1.0) * (residuals @ vectors.T) - norms
    if not fixed_size:
        places = _largest(gain, width)
        return places[:, :, None], np.take_along_axis(gain, places, axis=1)
    out = _largest(np.where(selected, gain, -np.inf), SWAP_SIDE)
    into = _largest(np.where(selected, -np.inf, gain), SWAP_SIDE)
    # The gain of a swap is the sum of both gains plus an inner product. Where a side has fewer than SWAP_SIDE
    # candidates, the surplus places are excluded.
    both = np.take_along_axis(gain, out, axis=1)[:, :, None] + np.take_along_axis(gain, into, axis=1)[:, None, :]
    both += 2.0 * np.einsum("bod,bid->boi", vectors[out], vectors[into])
    both[~np.take_along_axis(selected, out, axis=1)] = -np.inf
    both.transpose(0, 2, 1)[np.take_along_axis(selected, into, axis=1)] = -np.inf
    pairs = np.stack(np.broadcast_arrays(out[:, :, None], into[:, None, :]), axis=-1)
    return pairs.reshape(len(selected), -1, 2), both.reshape(len(selected), -1)


def _largest(gain: FloatArray, count: int) -> npt.NDArray[np.intp]:
    """Places of the ``count`` largest entries of every row, in no particular order."""
    count = min(count, gain.shape[1])
    return np.argpartition(-gain, count - 1, axis=1)[:, :count]
