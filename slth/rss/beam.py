r"""Beam pursuit: the best ``width`` distinct selections are carried along instead of one.

A state is a selection with its residual. Each step scores every flip (with a fixed size: the swaps among each state's
best leavers and comers) of every state, and keeps the ``width`` lowest energies ‖z − Xᵀs‖₂² that are reached, one
state for each selection, however it was reached. A state that no move improves is finished. Width 1 is the greedy
pursuit; a step costs ``width`` times one of its steps.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slth.rss.control import Control
from slth.rss.local import MIN_GAIN
from slth.rss.problem import BoolArray, FloatArray

# With a fixed size: leavers and comers of a state that are paired.
SWAP_SIDE = 8
# Finished states that are returned.
KEEP = 4


def beam(
    vectors: FloatArray, residual: FloatArray, start: BoolArray, norms: FloatArray, *, width: int, sized: bool,
    control: Control,
) -> tuple[list[BoolArray], bool]:  # fmt: skip
    """The best selections that moves from ``start`` lead to, best first, and whether a wider beam would see more.

    Args:
        vectors: (n, D). residual: (D,) z − Xᵀs of ``start``. norms: (n,) squared. sized: swaps instead of flips.
    """
    selected, residuals = start[None].copy(), residual[None].copy()
    # A random key a candidate: the exclusive or of those selected tells selections apart, whatever the order of moves.
    keys = np.random.default_rng(0).integers(2**63, size=len(vectors), dtype=np.uint64)
    marks = np.zeros(1, dtype=np.uint64)
    finished: list[tuple[float, BoolArray]] = []
    cut = False
    while len(selected) and not control.expired():
        energy = np.einsum("bd,bd->b", residuals, residuals)
        moves, gain = _moves(vectors, residuals, selected, norms, width, sized)
        useful = gain > MIN_GAIN * energy[:, None]
        for i in np.flatnonzero(~useful.any(axis=1)):
            finished.append((float(energy[i]), selected[i].copy()))
        finished = sorted(finished, key=lambda state: state[0])[:KEEP]
        after = np.where(useful, energy[:, None] - gain, np.inf).ravel()
        reached = marks[:, None] ^ np.bitwise_xor.reduce(keys[moves], axis=2)
        order = np.argsort(after, kind="stable")[: int(useful.sum())]
        _, first = np.unique(reached.ravel()[order], return_index=True)
        cut |= len(first) > width or (not sized and moves.shape[1] < len(vectors))
        parent, move = np.divmod(order[np.sort(first)[:width]], moves.shape[1])
        marks, chosen = reached[parent, move], moves[parent, move]
        selected, residuals = selected[parent], residuals[parent]
        for k in range(chosen.shape[1]):
            rows, place = np.arange(len(chosen)), chosen[:, k]
            residuals = residuals - np.where(selected[rows, place], -1.0, 1.0)[:, None] * vectors[place]
            selected[rows, place] = ~selected[rows, place]
    running = [(float(left @ left), chosen) for left, chosen in zip(residuals, selected, strict=True)]
    return [chosen for _, chosen in sorted(finished + running, key=lambda state: state[0])[:KEEP]], cut


def _moves(
    vectors: FloatArray, residuals: FloatArray, selected: BoolArray, norms: FloatArray, width: int, sized: bool
) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """The best moves of every state: (places to flip (b, c, 1 or 2), by how much each lowers ‖residual‖² (b, c))."""
    gain = 2.0 * np.where(selected, -1.0, 1.0) * (residuals @ vectors.T) - norms
    if not sized:
        places = _largest(gain, width)
        return places[:, :, None], np.take_along_axis(gain, places, axis=1)
    out = _largest(np.where(selected, gain, -np.inf), SWAP_SIDE)
    into = _largest(np.where(selected, -np.inf, gain), SWAP_SIDE)
    # One leaves and one comes: what they share counts for the pair. Fewer than SWAP_SIDE may be there on a side.
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
