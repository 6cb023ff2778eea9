"""What a ticket costs to run beside its target: numbers held, floating-point operations, milliseconds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from slth.errors import InputError
from slth.tickets.ticket import Ticket


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One network on one input.

    Attributes:
        name: what it is. weights: numbers it holds. flops: of its matrix products and convolutions, a multiplication
            and an addition counted as two. milliseconds: median wall time of one pass.
    """

    name: str
    weights: int
    flops: int
    milliseconds: float


def measure_cost(ticket: Ticket, inputs: Sequence[torch.Tensor] | None = None, *, runs: int = 11) -> list[Cost]:
    """The costs of the target and of the ticket on one input.

    Args:
        inputs: with their batch axis; default: zeros of the shapes of the example the ticket was found with.
        runs: timed passes, after one that is not timed.

    Raises:
        InputError: no inputs, and no example when the ticket was found.
    """
    shapes = ticket.info.get("input_shapes")
    if inputs is None and shapes is None:
        raise InputError("the ticket does not know its input's shape: it was found without example_input. Pass inputs.")
    given = [torch.zeros(1, *shape) for shape in shapes or ()] if inputs is None else list(inputs)
    return [
        _cost("target", ticket.target.to_module(), given, runs),
        _cost("ticket", ticket.to_module(), given, runs),
    ]


def _cost(name: str, module: nn.Module, inputs: Sequence[torch.Tensor], runs: int) -> Cost:
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
