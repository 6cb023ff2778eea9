"""The cost of running a ticket and its target: weights, floating-point operations and milliseconds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from slth.tickets.networks.compact import compact_module
from slth.tickets.record.inputs import known_shapes, make_inputs
from slth.tickets.record.record import Record


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of running one network on one input.

    Attributes:
        name: ``target`` or ``ticket``.
        weights: floating-point numbers that the network holds.
        flops: operations in its matrix products and convolutions; a multiplication with an addition counts as two.
        milliseconds: median wall time of one pass.
    """

    name: str
    weights: int
    flops: int
    milliseconds: float


def measure_cost(record: Record, inputs: Sequence[torch.Tensor] | None = None, *, runs: int = 11) -> list[Cost]:
    """Measure the cost of the target and of the ticket on one input.

    Args:
        record: the ticket.
        inputs: inputs with their batch axis; None for zeros of the shapes of the example that the ticket was found
            with.
        runs: number of timed passes; the first pass is not timed.

    Returns:
        The cost of the target and that of the ticket.

    Raises:
        InputError: no inputs are given, and the ticket does not know their shapes, as one of an older version.
    """
    given = make_inputs(record, known_shapes(record, "inputs"), 1) if inputs is None else tuple(inputs)
    return [
        _cost("target", record.target.to_module(), given, runs),
        _cost("ticket", compact_module(record), given, runs),
    ]


def _cost(name: str, module: nn.Module, inputs: Sequence[torch.Tensor], runs: int) -> Cost:
    """The cost of one network."""
    with torch.no_grad():
        with FlopCounterMode(display=False) as counter:
            module(*inputs)
        seconds = []
        for _ in range(runs):
            began = time.perf_counter()
            module(*inputs)
            seconds.append(time.perf_counter() - began)
    return Cost(
        name=name,
        weights=sum(values.numel() for values in module.state_dict().values() if values.is_floating_point()),
        flops=counter.get_total_flops(),
        milliseconds=1000 * statistics.median(seconds),
    )
