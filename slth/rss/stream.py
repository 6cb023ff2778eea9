r"""Instances too large for memory: candidates arrive in chunks, and only the useful ones are kept.

The error that a solver reaches depends on the smallest candidates, and on having some of every larger size to approach
the target. So of all candidates seen, the 24·D smallest are kept, and the first 192 of every factor √2 in norm. That is
a few thousand rows whatever n is.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slth.arrays import FloatArray
from slth.errors import InputError, check_array
from slth.rss.problem import Problem, Solution
from slth.rss.solve import solve

# How many of the smallest candidates are kept, in units of D; the core of slth.rss.relax takes 6·D at most.
SMALL_RATIO = 24
# How many candidates are kept for every factor √2 in norm.
PER_SCALE = 192


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamSolution:
    """A selection from a stream of candidates.

    Attributes:
        indices: int64, the positions of the selected candidates in the stream, ascending.
        error: ‖Σ selected − z‖ in the norm asked for, rounded up to float64.
        count: number of candidates seen.
        kept: number of candidates that were kept and solved for.
        solution: the solution of the instance of the kept candidates.
        seconds: wall time, including the time in which the caller made the chunks.
    """

    indices: npt.NDArray[np.int64]
    error: float
    count: int
    kept: int
    solution: Solution
    seconds: float


def solve_stream(
    chunks: Iterable[npt.ArrayLike],
    target: npt.ArrayLike,
    *,
    norm: str = "linf",
    method: str = "auto",
    eps: float | None = None,
    time_limit: float | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> StreamSolution:
    """Solve an instance whose candidates arrive in chunks, each read once.

    Args:
        chunks: float arrays (m, D), in order.
        target: z, float64 (D,).
        norm: ``linf`` or ``l2``.
        method: as for :func:`slth.rss.solve`.
        eps: as for :func:`slth.rss.solve`.
        time_limit: seconds for the solve alone, after all chunks were read.
        seed: as for :func:`slth.rss.solve`.
        threads: as for :func:`slth.rss.solve`.

    Returns:
        The positions of the selected candidates in the stream, and their error.

    Raises:
        InputError: no candidates, or a chunk of another shape or with NaN or infinity.
    """
    began = time.monotonic()
    goal = check_array("target", target, "(D,)", 1, "Pass one number per coordinate.")
    small, scales = SMALL_RATIO * len(goal), _Scales()
    rows = np.empty((0, len(goal)))
    places = np.empty(0, dtype=np.int64)
    norms = np.empty(0)
    count = 0
    for chunk in chunks:
        part = check_array("a chunk", chunk, f"(m, D) with D = {len(goal)}", 2, "Every chunk must have D columns.")
        if part.shape[1] != len(goal):
            raise InputError(f"a chunk must have shape (m, D) with D = {len(goal)}; got {part.shape}.")
        size = np.einsum("nd,nd->n", part, part)
        scales.keep(part, size, count)
        # The smallest so far, and every candidate of this chunk that could be among them.
        near = np.flatnonzero(size < norms.max()) if len(norms) >= small else np.arange(len(part))
        rows = np.concatenate([rows, part[near]])
        places = np.concatenate([places, count + near])
        norms = np.concatenate([norms, size[near]])
        if len(norms) > small:
            best = np.argpartition(norms, small - 1)[:small]
            rows, places, norms = rows[best], places[best], norms[best]
        count += len(part)
    if not count:
        raise InputError("chunks must hold at least one candidate; got none. Pass an iterable of (m, D) arrays.")
    places = np.concatenate([places, *scales.places])
    places, first = np.unique(places, return_index=True)
    vectors = np.concatenate([rows, *scales.rows])[first]
    solution = solve(
        Problem(vectors=vectors, target=goal, norm=norm),
        method,
        eps=eps,
        time_limit=time_limit,
        seed=seed,
        threads=threads,
    )
    return StreamSolution(
        indices=places[solution.selected],
        error=solution.error,
        count=count,
        kept=len(places),
        solution=solution,
        seconds=time.monotonic() - began,
    )


class _Scales:
    """The first PER_SCALE candidates of every factor √2 in norm."""

    def __init__(self) -> None:
        self.rows: list[FloatArray] = []
        self.places: list[npt.NDArray[np.int64]] = []
        self._free: dict[int, int] = {}

    def keep(self, part: FloatArray, size: FloatArray, offset: int) -> None:
        """Keep the candidates of a chunk whose scales are not full yet.

        Args:
            part: float64 (m, D), the chunk.
            size: float64 (m,), squared L2 norms of its rows.
            offset: position of its first row in the stream.
        """
        with np.errstate(divide="ignore"):
            scale = np.floor(np.log2(size))  # log2 of ‖x‖²: one step is a factor √2 in norm
        for value in np.unique(scale[np.isfinite(scale)]):
            free = self._free.get(int(value), PER_SCALE)
            if free:
                chosen = np.flatnonzero(scale == value)[:free]
                self._free[int(value)] = free - len(chosen)
                self.rows.append(part[chosen])
                self.places.append(offset + chosen)
