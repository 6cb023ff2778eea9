"""Evaluating a ticket on data: its accuracy, and how often it predicts the same class as its target."""

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
from slth.progress import Progress, follow
from slth.tickets.calibration.inputs import count_seen
from slth.tickets.networks.compact import compact_module, keep_all
from slth.tickets.networks.folded import folded_module
from slth.tickets.record.random_kept import random_kept
from slth.tickets.record.record import Record

# An unpruned parent with more bytes of weights is not evaluated: it would only cost time.
PARENT_BYTES = 5e8


@dataclass(frozen=True, kw_only=True)
class Score:
    """How one network predicts one data set.

    Attributes:
        name: which network: ``target``, ``ticket`` or a control.
        accuracy: fraction of the examples for which it predicts the label.
        agreement: fraction of the examples for which it predicts the same class as the target.
        hidden_channels: number of random hidden channels it holds; 0 for the target.
        seconds: wall time to build the network and to predict.
    """

    name: str
    accuracy: float
    agreement: float
    hidden_channels: int
    seconds: float


def predict(
    module: nn.Module, images: torch.Tensor, batch: int = 250, *, advance: Callable[[int], None] = lambda steps: None
) -> torch.Tensor:
    """Predict the class of every image, in evaluation mode and without gradients.

    Args:
        module: the network; it is put into evaluation mode.
        images: float32 (N, …).
        batch: number of images in a pass.
        advance: called after each pass with its number of images.

    Returns:
        Predicted classes, int64 (N,).

    Raises:
        InputError: the images do not fit the network.
    """
    module.eval()
    found = []
    try:
        with torch.no_grad():
            for part in images.split(batch):
                found.append(module(part).argmax(dim=-1))
                advance(len(part))
        return torch.cat(found)
    except (RuntimeError, ValueError) as cause:
        raise _misfit(images, cause) from cause


def evaluate(
    record: Record,
    data: Split,
    *,
    controls: bool = True,
    seed: int = 0,
    folded: bool = False,
    progress: bool | Progress = False,
) -> list[Score]:
    """Score the target, the ticket and, with ``controls``, two random networks that the ticket should surpass.

    The controls are a random ticket (as many hidden channels in every block and sign, drawn at random) and the unpruned
    random parent, unless it is large. Both should predict no better than chance.

    Args:
        record: the ticket.
        data: images and labels.
        controls: whether the controls are scored too.
        seed: seed of the random ticket.
        folded: whether to sum the kept candidates of each block first. This computes the same function, apart from
            float32 rounding, at the cost of the target, and serves wide tickets for which
            :meth:`slth.tickets.Ticket.to_module` is slow. The unpruned parent is then left out.
        progress: True for bars with the time left, or a listener. It hears of one task for each network, one after the
            other, with a step for each image.

    Returns:
        One :class:`Score` for each network, that of the target first.

    Raises:
        InputError: the images or the labels do not fit the network, the target's weights are not known, or the ticket
            was calibrated on some of the images.
    """
    parent, target = record.parent, record.target
    if not target.known:
        raise InputError("the target's weights are missing; a ticket is scored beside its target. Pass the target.")
    if seen := count_seen(record.info, data.images):
        raise InputError(
            f"the ticket was calibrated on images of this data ({seen} were recognised), so it is not judged on them. "
            "Evaluate it on other data, such as the test half."
        )
    # The classes are read from an output: the last linear map need not be the last layer of the network.
    check_labels(data, count_classes(target.to_module(), data.images))
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
    scores: list[Score] = []
    wanted: torch.Tensor | None = None
    for name, make, channels in networks:
        began = time.perf_counter()
        with follow(progress, {name: len(data)}, unit="images") as listener:
            predicted = predict(make(), data.images, advance=partial(listener.advance, name))
        wanted = predicted if wanted is None else wanted  # those of the target, which comes first
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


def count_classes(module: nn.Module, images: torch.Tensor) -> int:
    """Number of classes among which a network chooses.

    Args:
        module: the network; it is put into evaluation mode.
        images: float32 (N, …), of which the first one is tried.

    Raises:
        InputError: the images do not fit the network.
    """
    module.eval()
    try:
        with torch.no_grad():
            return int(module(images[:1]).shape[-1])
    except (RuntimeError, ValueError) as cause:
        raise _misfit(images, cause) from cause


def check_labels(data: Split, classes: int) -> None:
    """Refuse labels that are not among the target's classes.

    Args:
        data: images and labels.
        classes: number of classes, which are numbered from 0.

    Raises:
        InputError: a label is not a class.
    """
    low, high = int(data.labels.min()), int(data.labels.max())
    if low < 0 or high >= classes:
        raise InputError(
            f"labels must lie between 0 and {classes - 1} for this target; got {low} to {high}. Choose its data set."
        )


def _misfit(images: torch.Tensor, cause: Exception) -> InputError:
    """The error for images that a network cannot take."""
    return InputError(
        f"images of shape {tuple(images.shape[1:])} do not fit the network: {str(cause).splitlines()[0]} "
        "Choose data with the target's input shape."
    )
