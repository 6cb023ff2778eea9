"""The search for inputs on which a ticket differs most from its target, which gives the lower end of a bracket."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from slth.errors import InputError
from slth.progress import Progress, follow
from slth.tickets.certify.forms import Box, Tensor
from slth.tickets.networks.folded import FoldedLayer, build_pair
from slth.tickets.record.record import Record

# Starting points of each kind. All of them ascend for STEPS steps.
STARTS = 32
STEPS = 100
# The best points then ascend again for longer.
LONG_STARTS = 32
LONG_STEPS = 600
# Points that are returned.
RESULTS = 8
# The first step, as a share of the width of the box.
FIRST_STEP = 0.2
# The name under which the search is reported.
ATTACK_TASK = "search for the worst input"


def find_differences(
    record: Record,
    folded: Mapping[str, FoldedLayer],
    box: Box,
    *,
    images: Tensor | None = None,
    seed: int = 0,
    progress: bool | Progress = False,
) -> Tensor:
    r"""Search a box for the inputs on which the outputs differ most, by projected sign-gradient ascent.

    .. math:: \max_{x \in [lo, hi]} \| \hat f(x) − f(x) \|_∞

    Args:
        record: the ticket.
        folded: the layers that :func:`~slth.tickets.networks.folded.fold_record` returned for it.
        box: least and greatest inputs, float64 (1, …).
        images: further starting points, (N, …); those on which the outputs differ most are used.
        seed: seed of the random starting points, which lie in the box and at its corners.
        progress: the listener that is told of every step of every point.

    Returns:
        Up to RESULTS inputs, float64 (k, …) with values that float32 holds exactly, the best first. Nothing is proved
        of them.

    Raises:
        InputError: the box does not fit the network.
    """
    target, ticket = build_pair(record, folded, torch.float32)
    lo, hi = _float32_ends(box)
    shape = (STARTS, *lo.shape[1:])
    generator = torch.Generator().manual_seed(seed)
    uniform = lo + (hi - lo) * torch.rand(shape, generator=generator)
    corners = torch.where(torch.rand(shape, generator=generator) < 0.5, lo.expand(shape), hi.expand(shape))
    starts = [uniform, corners, (lo + hi) / 2]
    try:
        if images is not None:
            given = images.float().clamp(lo, hi)
            differ = torch.cat([_difference(target, ticket, part) for part in given.split(256)])
            starts.append(given[differ.argsort(descending=True)[:STARTS]])
        points = torch.cat(starts)
        total = len(points) * (STEPS + 1) + min(len(points), LONG_STARTS) * (LONG_STEPS + 1)
        with follow(progress, {ATTACK_TASK: total}) as listener:

            def ascend(x: Tensor, steps: int) -> Tensor:
                return _ascend(target, ticket, x, lo, hi, steps, lambda: listener.advance(ATTACK_TASK, len(x)))

            return ascend(ascend(points, STEPS)[:LONG_STARTS], LONG_STEPS)[:RESULTS].double()
    except (RuntimeError, ValueError, IndexError) as cause:
        raise InputError(
            f"inputs of shape {tuple(lo.shape[1:])} do not fit the network: {str(cause).splitlines()[0]} "
            "Pass the shape of one input, without its batch axis."
        ) from cause


def _ascend(
    target: nn.Module, ticket: nn.Module, x: Tensor, lo: Tensor, hi: Tensor, steps: int, stepped: Callable[[], None]
) -> Tensor:
    """The best point on the way up from each starting point, the best of all first; ``stepped`` hears each step."""
    best, most = x.clone(), torch.full((len(x),), -torch.inf)
    for step in range(steps + 1):
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            value = _difference(target, ticket, x)
            (slope,) = torch.autograd.grad(value.sum(), x)
        better = value.detach() > most
        most = torch.where(better, value.detach(), most)
        best[better] = x.detach()[better]
        x = (x + slope.sign() * (hi - lo) * FIRST_STEP * (1 - step / steps)).clamp(lo, hi)
        stepped()
    return best[most.argsort(descending=True)].detach()


def _difference(target: nn.Module, ticket: nn.Module, x: Tensor) -> Tensor:
    """‖f̂(x) − f(x)‖∞ for each input."""
    out: Tensor = (ticket(x) - target(x)).flatten(1).abs().amax(dim=1)
    return out


def _float32_ends(box: Box) -> tuple[Tensor, Tensor]:
    """The ends of a box as float32 numbers that lie inside it."""
    lo, hi = box.lo.float(), box.hi.float()
    lo = torch.where(lo.double() < box.lo, torch.nextafter(lo, torch.full_like(lo, torch.inf)), lo)
    hi = torch.where(hi.double() > box.hi, torch.nextafter(hi, torch.full_like(hi, -torch.inf)), hi)
    return lo, torch.maximum(lo, hi)
