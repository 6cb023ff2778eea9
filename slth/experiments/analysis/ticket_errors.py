r"""Errors of a ticket as studies measure them: by subset sum, by layer, and at the output.

Where an error has a unit, it is :math:`σ`, the standard deviation of an entry :math:`|u| \cdot V` of a candidate.
"""

from __future__ import annotations

import numpy as np
import torch

from slth.networks.generator import DEVIATION
from slth.tickets import Ticket
from slth.tickets.record.approximation import approximated_weight, kept_candidates

# Images that go through the networks at once.
BATCH = 250


def candidate_deviation(ticket: Ticket, layer: int) -> float:
    """The standard deviation σ of a candidate's entry.

    Args:
        ticket: any ticket.
        layer: number of the layer, from 0.

    Returns:
        σ in the unit of the target's weights.
    """
    return ticket.parent.layers[layer].scale * DEVIATION[ticket.parent.law] ** 2


def target_size(ticket: Ticket, layer: int) -> float:
    """Root mean square of the weights of a target's layer.

    Args:
        ticket: any ticket.
        layer: number of the layer, from 0.

    Returns:
        The root mean square, in σ.
    """
    weight = ticket.target.maps[layer].weight
    return float(np.sqrt(np.mean(np.square(weight, dtype=np.float64)))) / candidate_deviation(ticket, layer)


def instance_errors(ticket: Ticket, layer: int) -> list[float]:
    """L∞ error of every subset sum of a layer.

    Args:
        ticket: any ticket.
        layer: number of the layer, from 0.

    Returns:
        One error for each input channel and sign, in σ.
    """
    unit, errors = candidate_deviation(ticket, layer), []
    for channel, block in zip(ticket.channels[layer], ticket.kept[layer], strict=True):
        if channel.is_bias:
            continue
        found = kept_candidates(channel, block)
        for instance in channel.instances:
            difference = found[instance.sign].sum(axis=0) - instance.goals.reshape(-1)
            errors.append(float(np.abs(difference).max()) / unit)
    return errors


def relative_error(ticket: Ticket) -> float:
    """Root mean square over layers and signs of ‖K̂ − K‖₂/‖K‖₂, for kernels K without biases."""
    squares = []
    for i, linear in enumerate(ticket.target.maps):
        for sign in linear.signs:
            found = approximated_weight(ticket, i, sign)
            weight = linear.weight.astype(np.float64)
            squares.append(float(np.square(found - weight).sum() / np.square(weight).sum()))
    return float(np.sqrt(np.mean(squares)))


def output_error(ticket: Ticket, images: torch.Tensor) -> float:
    """The largest output difference max |ticket − target| over images and outputs.

    Args:
        ticket: any ticket.
        images: inputs with their batch axis.

    Returns:
        The difference, relative to the largest |output| of the target.
    """
    folded, reference, largest, span = ticket.folded(), ticket.target.to_module(), 0.0, 0.0
    with torch.no_grad():
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            wanted = reference(part)
            largest = max(largest, float((folded(part) - wanted).abs().max()))
            span = max(span, float(wanted.abs().max()))
    return largest / span
