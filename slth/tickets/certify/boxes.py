"""The inputs that a certificate is about (range, shape and boxes), and how many unknowns a proof may share."""

from __future__ import annotations

import numpy as np
import torch

from slth.errors import InputError, check_positive
from slth.networks.graph import Step
from slth.progress import Progress, follow
from slth.tickets.certify.differences import Pair
from slth.tickets.certify.forms import Box, Tensor, Unknowns
from slth.tickets.certify.propagate import Propagation
from slth.tickets.record.record import Record

# Copies of an affine form that a step holds at its peak, in float64.
FORM_COPIES = 10
# Examples in one pass without shared unknowns. So few stay near the cache.
POINT_BATCH = 32
# The name under which examples without a ball are reported.
POINTS_TASK = "examples"


def input_range(record: Record, low: float | None, high: float | None) -> tuple[float, float]:
    """The range that all input entries lie in.

    Args:
        record: the ticket.
        low: least value of an entry; None for that of the ticket's ``input_range``.
        high: greatest value of an entry; None for that of the ticket's ``input_range``.

    Returns:
        (low, high), both finite.

    Raises:
        InputError: no finite range is known.
    """
    known = record.target.input_range
    if (low is None or high is None) and isinstance(known, tuple | list):
        low, high = known[0] if low is None else low, known[1] if high is None else high
    if low is None or high is None or not -np.inf < low <= high < np.inf:
        raise InputError(f"a certificate needs a finite range of inputs, low ≤ high; got {low} and {high}. Pass both.")
    return float(low), float(high)


def input_shape(record: Record, shape: tuple[int, ...] | None, images: Tensor | None) -> tuple[int, ...]:
    """The shape of one input, without the batch axis.

    Args:
        record: the ticket.
        shape: the shape; None for that of ``images``, or else of the ticket's example input.
        images: data (N, …), or None.

    Returns:
        The sides, all positive.

    Raises:
        InputError: no such shape is known.
    """
    if shape is None and images is not None:
        shape = tuple(images.shape[1:])
    known = record.info.get("input_shapes")
    if shape is None and known:
        shape = tuple(known[0])
    if shape is None or not all(isinstance(side, int) and side > 0 for side in shape):
        raise InputError(f"a certificate needs the shape of one input; got {shape}. Pass shape=(channels, height, …).")
    return tuple(shape)


def input_box(low: float, high: float, shape: tuple[int, ...]) -> Box:
    """The box of all inputs with entries in [low, high], as one example.

    Args:
        low: least value of an entry.
        high: greatest value of an entry.
        shape: shape of one input, without the batch axis.
    """
    return Box(torch.full((1, *shape), low, dtype=torch.float64), torch.full((1, *shape), high, dtype=torch.float64))


def ball_box(x: Tensor, radius: float, low: float | None, high: float | None) -> Box:
    """A box that contains an L∞ ball, clipped to a range.

    Args:
        x: centre of the ball, float64 (1, …).
        radius: radius of the ball.
        low: least value of an entry; None for no bound.
        high: greatest value of an entry; None for no bound.
    """
    box = Box(x - radius, x + radius)
    wide = Box(torch.nextafter(box.lo, box.lo - 1), torch.nextafter(box.hi, box.hi + 1))
    return wide.map(lambda end: end.clamp(low, high))


def run_points(propagation: Propagation, images: Tensor, progress: bool | Progress = False) -> list[Pair]:
    """Propagate single inputs in batches, where the forms enclose nothing but rounding.

    Args:
        propagation: target and ticket.
        images: inputs (N, …).
        progress: the listener that is told of every finished input, in one task ``examples``.

    Returns:
        The pair of outputs of each batch.
    """
    pairs = []
    with follow(progress, {POINTS_TASK: len(images)}, unit="examples") as listener:
        for part in images.double().split(POINT_BATCH):
            pairs.append(propagation.run(Box(part, part), Unknowns(0)))
            listener.advance(POINTS_TASK, len(part))
    return pairs


def difference_floor(pair: Pair) -> Tensor:
    """A lower bound on ‖δ‖∞ for each example: float64 (B,)."""
    box = pair.delta_box
    return torch.maximum(box.lo, -box.hi).clamp(min=0).flatten(1).amax(dim=1)


def unknowns_budget(propagation: Propagation, box: Box, max_memory: float) -> int:
    """The number of shared unknowns that fit memory.

    Activations and pools introduce unknowns. Every entry of a later form has a coefficient for each of them.

    Args:
        propagation: the target and the ticket.
        box: the inputs of one example.
        max_memory: bytes for the affine forms.

    Raises:
        InputError: a number of bytes that is not finite and positive.
    """
    check_positive("max_memory", max_memory, "It is a number of bytes.")
    wanted, budget = box.lo[0].numel(), int(max_memory / (8 * FORM_COPIES * box.lo[0].numel()))

    def count(step: Step, pair: Pair) -> None:
        nonlocal wanted, budget
        size = pair.target.center[0].numel()
        fit = int(max_memory / (8 * FORM_COPIES * size))
        if wanted > fit:
            budget = min(budget, fit)
        wanted += 2 * size if propagation.adds_unknowns(step) else 0

    propagation.run(box, Unknowns(0), count)
    return min(budget, wanted)
