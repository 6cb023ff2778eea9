r"""Error feedback: what the channels that are solved have missed goes into the goals of those still to be solved.

With E = W* − Ŵ the layer's expected squared error is tr(E H Eᵀ). With the features in the order in which their channels
are solved, let H + λI = UUᵀ, with U upper triangular. Then

.. math:: \operatorname{tr}(E (H + λI) E^T)
          = \sum_j \Big\| \Big(E_j + \sum_{i<j} E_i U_{ij} U_{jj}^{-1}\Big) U_{jj} \Big\|^2

over blocks j of channels. A block's term holds errors of earlier blocks only. So block j is given the goal
:math:`W^*_j + \sum_{i<j} E_i U_{ij} U_{jj}^{-1}`, and what it misses weighs :math:`U_{jj} U_{jj}^T`: the part of H that
the blocks after it cannot make up for. That part is small for the first blocks and all of H for the last one. So the
strongest channels are solved first.

Source: frantar2022
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from slth.tickets.calibration.moments import Matrix

# λ in units of the mean of diag H: a constant, and a part in proportion to features/positions. Of fewer positions than
# features, H says nothing about most errors.
DAMPING, DAMPING_PER_FEATURE = 1e-3, 0.03


class Feedback:
    """The goals of the channels of one group of a layer, block by block.

    Args:
        second: H, float64 (F, F), with the features of a channel side by side.
        weight: W*, float64 (c_out, F).
        taps: features of a channel.
        damping: λ, in units of the mean of diag H.

    Attributes:
        order: numbers of the channels in the order in which they are to be solved, strongest first.
    """

    def __init__(self, second: Matrix, weight: Matrix, taps: int, damping: float) -> None:
        size = len(second)
        strength = np.diag(second).reshape(-1, taps).sum(axis=1)
        self.order: npt.NDArray[np.int64] = np.argsort(-strength, kind="stable")
        self._taps, self._done = taps, 0
        self._places = (self.order[:, None] * taps + np.arange(taps)).reshape(-1)
        ridge = damping * float(np.trace(second)) / size
        ordered = second[np.ix_(self._places, self._places)]
        ordered[np.diag_indices(size)] += ridge if ridge > 0 else 1.0
        # A lower factor from the last feature to the first is an upper factor from the first to the last.
        self._upper = np.linalg.cholesky(ordered[::-1, ::-1])[::-1, ::-1]
        self._weight = weight[:, self._places]
        self._errors = np.zeros_like(self._weight)

    def next_goals(self, count: int) -> tuple[npt.NDArray[np.int64], Matrix, list[Matrix]]:
        """The next channels, and their goals.

        Args:
            count: how many at most.

        Returns:
            Numbers of the channels (k,), goals, float64 (c_out, k, taps), and a metric for each channel, float64
            (taps, taps), of determinant 1.
        """
        start, stop = self._done, min(self._done + count * self._taps, len(self._upper))
        carried = self._errors[:, :start] @ self._upper[:start, start:stop]
        # x·U = carried for the block's own U
        own = self._upper[start:stop, start:stop]
        passed = solve_triangular(own, carried.T, trans="T").T
        goals = self._weight[:, start:stop] + passed
        channels = self.order[start // self._taps : stop // self._taps]
        return channels, goals.reshape(len(goals), len(channels), self._taps), _metrics(own, self._taps)

    def settle(self, sums: Matrix) -> None:
        """The channels that :meth:`next_goals` gave are solved.

        Args:
            sums: what was found for them, float64 (c_out, k, taps).
        """
        start, stop = self._done, self._done + sums.shape[1] * self._taps
        self._errors[:, start:stop] = self._weight[:, start:stop] - sums.reshape(len(sums), -1)
        self._done = stop

    @property
    def loss(self) -> float:
        """tr(E (H + λI) Eᵀ), of the channels that are solved."""
        return float(np.square(self._errors[:, : self._done] @ self._upper[: self._done, : self._done]).sum())


def _metrics(upper: Matrix, taps: int) -> list[Matrix]:
    """M with MMᵀ in proportion to the weight of each channel's error, for the channels of a block with this factor."""
    weight = upper @ upper.T
    found = []
    for start in range(0, len(weight), taps):
        factor = np.linalg.cholesky(weight[start : start + taps, start : start + taps])
        found.append(factor / np.exp(np.log(np.diag(factor)).mean()))
    return found
