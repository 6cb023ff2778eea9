r"""Calibrated goals: each layer of a ticket is found on what the ticket's own layers before it feed into it.

For every layer, in the order of first use, with features q of the ticket and outputs y of the target:

1. W* is the regression of y on q, shrunk towards the target's weight (:mod:`slth.tickets.calibration.moments`). How
   strongly is chosen on batches that are held out; after that all batches count.
2. Blocks of input channels are solved one after the other. Their goals come from W* and the errors of the blocks before
   (:mod:`slth.tickets.calibration.feedback`).
3. The bias is the last subset sum. Its goal is :math:`E[y] − \hat W E[q]`, so that the mean error is zero.

Nothing is trained: the parent's weights stay as they were drawn, and no label is used. Only the goals change.

Source: hassibi1992
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slth.networks.linear_map import LinearMap
from slth.networks.target import Target
from slth.tickets.calibration.feedback import DAMPING, DAMPING_PER_FEATURE, Feedback
from slth.tickets.calibration.inputs import HELD_OUT_EVERY, CalibrationInputs
from slth.tickets.calibration.moments import MOST_ROWS, Matrix, Moments, regression, squared_loss
from slth.tickets.calibration.walk import Walk
from slth.tickets.networks.folded import FoldedModule
from slth.tickets.record.instance import Candidates, Channels, InputChannel, Instance

# Strengths of the shrinkage among which the held-out inputs choose; None keeps the target's weights.
SHRINKAGES: tuple[float | None, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, None)
# A layer's channels are solved in about so many blocks. More blocks feed back more, and keep cores waiting more often.
BLOCKS = 16

# Instances and their goals, float64 (parts, part_size) each → the sums that were found, float64 (parts·part_size,).
Solve = Callable[[Sequence[Instance], Sequence[Candidates], Sequence[Matrix | None]], Sequence[Candidates]]


def settings() -> dict[str, Any]:
    """The numbers that decide the goals, apart from the inputs, as JSON. A ticket records them."""
    return {
        "blocks": BLOCKS,
        "damping": [DAMPING, DAMPING_PER_FEATURE],
        "most_rows": MOST_ROWS,
        "held_out_every": HELD_OUT_EVERY,
    }


@dataclass(frozen=True, kw_only=True)
class LayerGoals:
    """What is recorded of the goals of one layer.

    Attributes:
        name: name of the layer.
        shrinkage: strength of the shrinkage of W* towards W, in units of the mean of diag H; None for W* = W.
        shift: root mean square of goal − W over that of W, bias excluded.
        goal_error: largest error of a kept sum against its goal, bias excluded; in units of the weights.
        bias_goal_error: the same for the bias; None without one.
    """

    name: str
    shrinkage: float | None
    shift: float
    goal_error: float
    bias_goal_error: float | None


def calibrate(
    target: Target,
    channels: Channels,
    inputs: CalibrationInputs,
    solve: Solve,
    *,
    shrinkages: dict[str, float | None] | None = None,
    max_memory: float | None = None,
) -> list[LayerGoals]:
    """Find every layer of a ticket for calibrated goals.

    Args:
        target: the network to approximate.
        channels: the input channels of every layer.
        inputs: the calibration inputs.
        solve: chooses hidden channels for instances with these goals, and returns the sums that it reached.
        shrinkages: name of a layer → the shrinkage to take; None to choose each on held-out inputs.
        max_memory: bytes that may be used; None for 80 % of free memory.

    Returns:
        What is to be recorded of each layer, in the order of the target's maps.

    Raises:
        InputError: the inputs do not fit the network.
        MemoryEstimateError: the calibration would not fit memory.
    """
    by_name = {layer[0].linear.name: layer for layer in channels}
    found: dict[str, LayerGoals] = {}

    def find(linear: LinearMap, fitted: Moments, held_out: Moments) -> FoldedModule:
        weight = _grouped(linear)
        shrinkage = _choose_shrinkage(fitted, held_out, weight) if shrinkages is None else shrinkages[linear.name]
        layer = _Layer(by_name[linear.name], fitted.merged(held_out), weight, shrinkage)
        found[linear.name] = layer.find(solve)
        return layer.module

    Walk(target, inputs, max_memory).run(find)
    return [found[linear.name] for linear in target.maps]


class _Layer:
    """One layer whose channels are being found."""

    def __init__(
        self, channels: Sequence[InputChannel], moments: Moments, weight: Matrix, shrinkage: float | None
    ) -> None:
        self.linear = channels[0].linear
        self.channels, self.moments, self.weight, self.shrinkage = channels, moments, weight, shrinkage
        self.goals, self.sums = np.zeros_like(weight), np.zeros_like(weight)
        self.bias: Candidates | None = None
        self.taps = weight.shape[2] // (len(self.linear.signs) * int(self.linear.weight.shape[1]))

    def find(self, solve: Solve) -> LayerGoals:
        """Find the channels block by block, and the bias at the end."""
        aim = regression(self.moments, self.weight, self.shrinkage)
        second = self.moments.covariances()[0]
        damping = DAMPING + DAMPING_PER_FEATURE * second.shape[-1] / self.moments.rows
        feedback = [Feedback(h, w, self.taps, damping) for h, w in zip(second, aim, strict=True)]
        units = len(feedback[0].order)
        step = -(-units // BLOCKS)
        for _ in range(0, units, step):
            self._find_block(feedback, step, solve)
        bias_error = None
        if self.linear.bias is not None:
            bias_error = self._find_bias(solve)
        power = float(np.square(self.weight).mean())
        return LayerGoals(
            name=self.linear.name,
            shrinkage=self.shrinkage,
            shift=float(np.sqrt(np.square(self.goals - self.weight).mean() / power)) if power else 0.0,
            goal_error=float(np.abs(self.goals - self.sums).max()),
            bias_goal_error=bias_error,
        )

    def _find_block(self, feedback: list[Feedback], count: int, solve: Solve) -> None:
        """Find the next channels of every group."""
        inside = int(self.linear.weight.shape[1])
        instances, goals, places, chosen = [], [], [], []
        metrics: list[Matrix | None] = []
        for group, one in enumerate(feedback):
            units, wanted, weights = one.next_goals(count)
            metrics += weights
            chosen.append(units)
            for k, unit in enumerate(units):
                sign, channel = self.linear.signs[unit // inside], self.channels[group * inside + unit % inside]
                instance = next(one for one in channel.instances if one.sign == sign)
                factor = 1.0 if sign == "+" else -1.0
                instances.append(instance)
                goals.append(factor * np.ascontiguousarray(wanted[:, k]).reshape(-1, channel.part_size))
                places.append((group, slice(unit * self.taps, (unit + 1) * self.taps), factor))
        for (group, columns, factor), goal, found in zip(places, goals, solve(instances, goals, metrics), strict=True):
            self.goals[group, :, columns] = factor * goal.reshape(-1, self.taps)
            self.sums[group, :, columns] = factor * found.reshape(-1, self.taps)
        for group, (one, units) in enumerate(zip(feedback, chosen, strict=True)):
            one.settle(self.sums[group].reshape(len(self.sums[group]), -1, self.taps)[:, units])

    def _find_bias(self, solve: Solve) -> float:
        """Find the bias, and return its largest error against its goal."""
        m, channel = self.moments, self.channels[-1]
        mean = (m.outputs - np.einsum("gof,gf->go", self.sums, m.features)) / m.rows
        goal = mean.reshape(-1)
        (self.bias,) = solve(channel.instances, [goal.reshape(-1, channel.part_size)], [None])
        return float(np.abs(self.bias - goal).max())

    @property
    def module(self) -> FoldedModule:
        """The layer of the ticket, once it is found."""
        shape = (*self.sums.shape[:2], len(self.linear.signs), -1)
        parts = dict(zip(self.linear.signs, np.moveaxis(self.sums.reshape(shape), 2, 0), strict=True))
        none = np.zeros(self.linear.weight.shape)
        positive, negative = (
            np.ascontiguousarray(parts[sign]).reshape(self.linear.weight.shape) if sign in parts else none
            for sign in "+-"
        )
        return FoldedModule(self.linear, positive, negative, self.bias).float()


def _grouped(linear: LinearMap) -> Matrix:
    """The target's weight for the features of each group, float64 (groups, c_out/groups, F)."""
    weight = linear.weight.astype(np.float64).reshape(linear.groups, linear.channels[1] // linear.groups, -1)
    return np.concatenate([weight] * len(linear.signs), axis=2)


def _choose_shrinkage(fitted: Moments, held_out: Moments, weight: Matrix) -> float | None:
    """The shrinkage whose regression on some inputs has the smallest loss on others."""
    if not fitted.rows or not held_out.rows:
        return None
    losses = [squared_loss(held_out, regression(fitted, weight, one)) for one in SHRINKAGES]
    return SHRINKAGES[int(np.argmin(losses))]
