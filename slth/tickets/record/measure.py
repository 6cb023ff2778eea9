"""The errors of a ticket: its kept channels are regenerated from the seed and compared with the target exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slth.rss import Problem, error_upper_bound
from slth.tickets.record.instance import InputChannel
from slth.tickets.record.record import Block


@dataclass(frozen=True)
class Measure:
    """The error of one input channel.

    Attributes:
        error: the largest L∞ error of its instances, rounded up; in units of the weights.
        squares: squared errors, summed over entries and instances in ordinary float64.
        instances: number of instances that were compared.
    """

    error: float
    squares: float
    instances: int


def measure_channel(channel: InputChannel, block: Block) -> Measure:
    """Regenerate the kept hidden channels of one input channel and compare their sums with the target.

    The candidates are exact products of float32 weights. Their sums are compared with the target in exact arithmetic;
    only the sum of squared errors is ordinary float64.

    Args:
        channel: the input channel.
        block: the hidden channels that are kept of it.

    Returns:
        Its :class:`Measure`.
    """
    used = block.used
    mixing, candidates, size = channel.mixing(used), channel.candidates(used), channel.part_size
    sides = [(instance.holds(mixing), instance.goals) for instance in channel.instances]
    error, squares, instances = 0.0, 0.0, 0
    for p, rows in enumerate(block.parts()):
        places = np.searchsorted(used, rows)
        for inside, goals in sides:
            group = candidates[places[inside[places]], p * size : (p + 1) * size]
            goal = goals[p]
            if len(group):
                problem = Problem(vectors=group, target=goal)
                error = max(error, error_upper_bound(problem, np.ones(len(group), dtype=bool)))
            else:
                error = max(error, float(np.abs(goal).max()))
            squares += float(np.square(group.sum(axis=0) - goal).sum())
            instances += 1
    return Measure(error=error, squares=squares, instances=instances)


def account_layer(
    channels: Sequence[InputChannel], blocks: Sequence[Block], measures: Sequence[Measure]
) -> dict[str, Any]:
    """The fields of a :class:`~slth.tickets.record.record.LayerReport`, without ``usable`` and ``seconds``.

    Args:
        channels: the input channels of one layer, the bias channel last.
        blocks: the hidden channels that are kept of each.
        measures: the errors of each.

    Returns:
        Name of a field → its value.
    """
    first = channels[0]
    linear, spec = first.linear, first.parent.layers[first.layer]
    c_in = linear.channels[0]
    weights = measures[:c_in]
    power = float(np.square(linear.weight.astype(np.float64)).sum()) * len(linear.signs)
    hidden = sum(len(block.used) for block in blocks)
    entries = sum(len(block.rows) * channel.part_size for channel, block in zip(channels, blocks, strict=True))
    return {
        "name": linear.name,
        "kind": linear.kind,
        "dimension": first.part_size,
        "width": spec.width,
        "kept": sum(len(block.rows) for block in blocks),
        "channels": hidden,
        "weights": hidden + entries,
        "random": spec.weight_count,
        "error": max(one.error for one in weights),
        "bias_error": measures[c_in].error if linear.bias is not None else None,
        "relative_rms": math.sqrt(sum(one.squares for one in weights) / power) if power else 0.0,
    }
