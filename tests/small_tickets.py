"""A small ticket with everything that a file can hold, and tickets that differ from another in one thing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from slth.tickets import Ticket, find_ticket
from slth.tickets.record.instance import ChannelIndices
from slth.tickets.record.record import Block


def small_ticket() -> Ticket:
    """Conv and linear layers, both signs, a layer with a bias and one without, and steps that stay."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3, bias=False)
    )
    example = torch.zeros(1, 1, 4, 4)
    found = find_ticket(model, width=60, input_range=(-1, 1), seed=2**40 + 5, example_input=example)
    # The same bytes in every run: the time it took is replaced by numbers with an exponent and 17 digits.
    layers = [dataclasses.replace(report, seconds=1.2345678901234567e-05 / 3) for report in found.layers]
    return dataclasses.replace(found, layers=tuple(layers))


def replace_layer(ticket: Ticket, index: int, **changes: Any) -> Ticket:
    layers = list(ticket.layers)
    layers[index] = dataclasses.replace(layers[index], **changes)
    return dataclasses.replace(ticket, layers=tuple(layers))


def replace_kept(ticket: Ticket, change: Callable[[ChannelIndices], ChannelIndices]) -> Ticket:
    """The ticket with a change in the only part of the first block of the first layer."""
    first = (Block.of([change(ticket.kept[0][0].rows)]), *ticket.kept[0][1:])
    return dataclasses.replace(ticket, kept=(first, *ticket.kept[1:]))


def replace_weight(ticket: Ticket) -> Ticket:
    first, *others = ticket.target.maps
    weight = first.weight.copy()
    weight[0, 0, 0, 0] += np.float32(1e-3)
    maps = (dataclasses.replace(first, weight=weight), *others)
    return dataclasses.replace(ticket, target=dataclasses.replace(ticket.target, maps=maps))


def replace_parent_layer(ticket: Ticket, **changes: Any) -> Ticket:
    first, *others = ticket.parent.layers
    layers = (dataclasses.replace(first, **changes), *others)
    return dataclasses.replace(ticket, parent=dataclasses.replace(ticket.parent, layers=layers))


def replace_counts(ticket: Ticket, counts: list[int]) -> Ticket:
    block = dataclasses.replace(ticket.kept[0][0], counts=np.array(counts, dtype=np.int64))
    return dataclasses.replace(ticket, kept=((block, *ticket.kept[0][1:]), *ticket.kept[1:]))
