"""What a ticket does on data: its accuracy, and how often it predicts what its target predicts."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from slth.data import Split
from slth.errors import InputError
from slth.tickets.networks.compact import compact_module, keep_all
from slth.tickets.networks.folded import folded_module
from slth.tickets.record.control import random_kept
from slth.tickets.record.record import Record

# The unpruned parent is evaluated up to this many bytes of weights; a larger one only costs time.
PARENT_BYTES = 5e8


@dataclass(frozen=True, kw_only=True)
class Score:
    """One network on one data set: fractions of its examples.

    Attributes:
        name: what it is. accuracy: predicts the label. agreement: predicts what the target predicts.
        hidden_channels: random hidden channels it holds (0 for the target). seconds: wall time of the pass.
    """

    name: str
    accuracy: float
    agreement: float
    hidden_channels: int
    seconds: float


def predict(module: nn.Module, images: torch.Tensor, batch: int = 250) -> torch.Tensor:
    """Predicted classes, int64 (N,), in evaluation mode without gradients.

    Raises:
        InputError: the images do not fit the network.
    """
    module.eval()
    try:
        with torch.no_grad():
            return torch.cat([module(part).argmax(dim=-1) for part in images.split(batch)])
    except (RuntimeError, ValueError) as cause:
        raise InputError(
            f"images of shape {tuple(images.shape[1:])} do not fit the network: {str(cause).splitlines()[0]} "
            "Choose data with the target's input shape."
        ) from cause


def evaluate(record: Record, data: Split, *, controls: bool = True, seed: int = 0, folded: bool = False) -> list[Score]:
    """Scores of the target, the ticket and, with ``controls``, of what the ticket must be told apart from.

    The controls are a random ticket (as many usable hidden channels in every block and sign, drawn at random) and
    the unpruned random parent, where that fits memory. Both should be near chance.

    Args:
        record: the ticket.
        data: images and labels.
        controls: whether the controls are evaluated too.
        seed: of the random ticket.
        folded: sum each block's kept candidates first: the same function at its target's cost, apart from float32
            rounding, for tickets of so many channels that :meth:`slth.tickets.Ticket.to_module` is slow. The unpruned
            parent is left out then.

    Returns:
        One :class:`Score` for each network, the target's first.

    Raises:
        InputError: images or labels that do not fit, or a ticket without its target.
    """
    parent, target = record.parent, record.target
    if not target.known:
        raise InputError("the target's weights are not at hand: a ticket is evaluated beside it. Pass the target.")
    reference = target.to_module()
    wanted = predict(reference, data.images)
    # The last map need not be the last layer: that one may be left out, or be read by other steps.
    check_labels(data, int(reference(data.images[:1]).shape[-1]))
    build = folded_module if folded else compact_module
    named = [("ticket", record)]
    if controls:
        named.append(("random ticket", dataclasses.replace(record, kept=random_kept(record, seed))))
    networks: list[tuple[str, Callable[[], nn.Module], int]] = [("target", target.to_module, 0)]
    networks += [(name, partial(build, one), record.kept_channels) for name, one in named]
    if controls and not folded and 4.0 * sum(layer.weight_count for layer in parent.layers) < PARENT_BYTES:
        whole = keep_all(parent, target)
        count = sum(len(block.rows) for layer in whole.kept for block in layer)
        networks.append(("unpruned parent", partial(compact_module, whole), count))
    scores = []
    for name, make, channels in networks:
        began = time.perf_counter()
        predicted = predict(make(), data.images)
        scores.append(
            Score(
                name=name,
                accuracy=float((predicted == data.labels).double().mean()),
                agreement=float((predicted == wanted).double().mean()),
                hidden_channels=channels,
                seconds=time.perf_counter() - began,
            )
        )
    return scores


def check_labels(data: Split, classes: int) -> None:
    """Raise InputError when a label cannot be one of ``classes`` outputs."""
    low, high = int(data.labels.min()), int(data.labels.max())
    if low < 0 or high >= classes:
        raise InputError(
            f"labels must lie between 0 and {classes - 1} for this target; got {low} to {high}. Choose its data set."
        )
