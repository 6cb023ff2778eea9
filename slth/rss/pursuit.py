r"""pursuit — greedy flips over all candidates, then 1- and 2-flips on the small ones.

Each greedy step flips the candidate that lowers ‖z − Xᵀs‖₂ most, one product with X a step. The reach at large D
is about 0.7·D^{3/2}/n for NSN candidates, whatever the size of the target: the product law offers candidates of
every scale. With a fixed cardinality k, the k best are added first and then exchanged one for one.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from slth.rss.control import Control, Outcome
from slth.rss.local import MIN_GAIN, improve
from slth.rss.problem import BoolArray, FloatArray, Problem

# Candidates that the pair search looks at: its Gram matrix is 8·m² bytes.
LOCAL_SIZE = 768
# Multiply-adds between two looks at the clock: some milliseconds.
LOOK = 2**24


def solve_pursuit(problem: Problem, control: Control) -> Outcome:
    """The pursuit method; see the module's docstring."""
    vectors, target = problem.vectors, problem.target
    norms = np.einsum("nd,nd->n", vectors, vectors)
    if problem.cardinality is None:
        selected, residual, flips = pursue(vectors, target, norms, control=control)
    else:
        selected, residual, flips = _exchange(vectors, target, norms, problem.cardinality, control)
    local = _local_set(norms, selected, problem.cardinality is not None)
    improved, moves = improve(vectors[local], residual, selected[local], swaps_only=problem.cardinality is not None)
    selected[local] = improved
    return Outcome(selected=selected, stats={"flips": flips, "local_moves": moves})


def pursue(
    vectors: FloatArray, target: FloatArray, norms: FloatArray, *, control: Control, stop: float = 0.0
) -> tuple[BoolArray, FloatArray, int]:
    """Flip greedily until nothing helps, ‖residual‖₂ ≤ ``stop`` or time is up: (selected, residual, flips).

    A step reads X once (8·n·D bytes) for 2·n·D operations: it runs at memory speed, so X is kept contiguous and
    the product is the whole cost.
    """
    sign, residual = np.ones(len(vectors)), target.copy()
    steps = max(1, LOOK // vectors.size)
    flips = 0
    while not control.expired():
        made = _flip_best(vectors, norms, sign, residual, stop, steps)
        flips += made
        if made < steps:
            break
    return sign < 0, residual, flips


@numba.njit(nogil=True, cache=True)
def _flip_best(vectors, norms, sign, residual, stop, steps):  # type: ignore[no-untyped-def]
    """Up to ``steps`` best flips in ``sign`` and ``residual``; fewer when none helps or ‖residual‖₂ ≤ ``stop``."""
    for step in range(steps):
        energy = np.dot(residual, residual)
        if energy <= stop * stop:
            return step
        inner = np.dot(vectors, residual)
        best, top = 0, -np.inf
        for i in range(norms.size):
            gain = 2.0 * sign[i] * inner[i] - norms[i]
            if gain > top:
                best, top = i, gain
        if top <= MIN_GAIN * energy:
            return step
        for d in range(residual.size):
            residual[d] -= sign[best] * vectors[best, d]
        sign[best] = -sign[best]
    return steps


def _exchange(
    vectors: FloatArray, target: FloatArray, norms: FloatArray, cardinality: int, control: Control
) -> tuple[BoolArray, FloatArray, int]:
    """Fixed size: add the best k one by one, then swap the best pair of (worst kept, best left out)."""
    selected = np.zeros(len(vectors), dtype=bool)
    residual = target.copy()
    for _ in range(cardinality):
        gain = np.where(selected, -np.inf, 2.0 * (vectors @ residual) - norms)
        best = int(gain.argmax())
        residual -= vectors[best]
        selected[best] = True
    swaps = 0
    while 0 < cardinality < len(vectors) and not control.expired():
        out_gain = np.where(selected, -2.0 * (vectors @ residual) - norms, -np.inf)
        out = int(out_gain.argmax())
        freed = residual + vectors[out]
        in_gain = np.where(selected, -np.inf, 2.0 * (vectors @ freed) - norms)
        into = int(in_gain.argmax())
        if out_gain[out] + in_gain[into] <= MIN_GAIN * float(residual @ residual):
            break
        residual = freed - vectors[into]
        selected[out], selected[into] = False, True
        swaps += 1
    return selected, residual, cardinality + swaps


def _local_set(norms: FloatArray, selected: BoolArray, fixed_size: bool) -> Any:
    """Indices of the smallest candidates; with a fixed size, half of them kept ones and half left out."""
    if not fixed_size:
        return np.argsort(norms, kind="stable")[:LOCAL_SIZE]
    order = np.argsort(norms, kind="stable")
    kept = order[selected[order]][: LOCAL_SIZE // 2]
    out = order[~selected[order]][: LOCAL_SIZE // 2]
    return np.sort(np.concatenate([kept, out]))
