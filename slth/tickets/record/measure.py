"""The errors of a ticket: its kept channels are regenerated from the seed and compared with the target exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slth.errors import check_array
from slth.rss.exact_sums import largest_errors, squared_errors
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
    mixing, candidates = channel.mixing(used), channel.candidates(used)
    if len(used):
        candidates = check_array("candidates", candidates, "(m, P·D)", 2, "The scales of the parent are too large.")
    places, part_numbers = np.searchsorted(used, block.rows), block.part_numbers()
    errors, squares = [], []
    for instance in channel.instances:
        goals = check_array("goals", instance.goals, "(P, D)", 2, "The target has no such weights.")
        inside = instance.holds(mixing)[places]
        members, counts = places[inside], np.bincount(part_numbers[inside], minlength=len(goals))
        errors.append(largest_errors(candidates, goals, members, counts))
        squares.append(squared_errors(candidates, goals, members, counts))
    return Measure(
        error=float(np.max(errors)),
        # Both signs of a part in turn, one after the other: a ticket's file holds this sum to the last bit.
        squares=float(np.cumsum(np.stack(squares, axis=1))[-1]),
        instances=sum(map(len, errors)),
    )


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
