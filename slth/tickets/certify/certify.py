"""Certificates: what is proved of a ticket as a function, rounding included, and how near the proof comes to the truth.

The ticket is taken as a real function, its kept channels summed (:mod:`slth.tickets.certify.folded`); a float32
evaluation of it differs from that by its own rounding, as any network's does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

from slth.errors import InputError, available_memory, check_int, check_positive
from slth.networks.graph import Step
from slth.tickets.certify.attack import find_differences
from slth.tickets.certify.certificate import AgreementCertificate, Limit, NetworkCertificate
from slth.tickets.certify.differences import Pair
from slth.tickets.certify.folded import fold_ticket
from slth.tickets.certify.forms import Box, Form, Tensor, Unknowns
from slth.tickets.certify.propagate import Propagation
from slth.tickets.ticket import Ticket

# Copies of the affine forms that a step holds at its peak, in float64.
_COPIES = 10
# Examples of one pass without shared unknowns: they stay near the cache.
_BATCH = 32


def certify_network(
    ticket: Ticket,
    *,
    low: float | None = None,
    high: float | None = None,
    shape: tuple[int, ...] | None = None,
    images: Tensor | None = None,
    unknowns: int | None = None,
    max_memory: float = 1e9,
    seed: int = 0,
) -> NetworkCertificate:
    r"""Bracket the largest difference between a ticket's and its target's outputs over all inputs in [low, high].

    .. math:: \sup_{x \in [low, high]^{shape}} \| \hat f(x) − f(x) \|_∞

    Args:
        low, high: of every input entry; default: the ticket's ``input_range``.
        shape: of one input, without its batch axis; default: that of the ticket's example input, or of ``images``.
        images: data (N, …), on which the difference is observed and from which the search starts.
        unknowns: shared by the affine forms; default: what ``max_memory`` bytes hold. More is tighter and slower.
        seed: of the search for the worst input.

    Raises:
        InputError: a step without a sound transformer (named), several inputs or outputs, no range or shape.

    Source: propagation
    """
    began = time.perf_counter()
    low, high = _range(ticket, low, high)
    shape = _shape(ticket, shape, images)
    folded = fold_ticket(ticket)
    propagation = Propagation(ticket.target, folded)
    box = _whole(low, high, shape)
    room = _room(propagation, box, max_memory) if unknowns is None else check_int("unknowns", unknowns, 0)
    proved: list[tuple[str, float, float]] = []
    result = propagation.run(box, Unknowns(room), _recorder(propagation, proved))
    observed = None
    if images is not None:
        observed = max(_least(pair).max().item() for pair in _points(propagation, images))
    points = find_differences(ticket, folded, box, images=images, seed=seed)
    found: list[tuple[str, float, float]] = []
    there = _least(propagation.run(Box(points, points), Unknowns(0), _recorder(propagation, found)))
    limits = tuple(
        Limit(name=name, found=seen, proved=bound, open=share)
        for (name, bound, share), (_, seen, _) in zip(proved, found, strict=True)
    )
    return NetworkCertificate(
        low=low,
        high=high,
        shape=shape,
        proved=float(result.delta_box.largest.max()),
        found=float(there.max()),
        norm_bound=result.norm_bound,
        observed=observed,
        worst=points[int(there.argmax())].float().numpy(),
        limits=limits,
        unknowns=room,
        seconds=time.perf_counter() - began,
    )


def prove_network(ticket: Ticket, low: float, high: float, shape: tuple[int, ...], unknowns: int) -> Pair:
    """The proof alone: the pair of outputs for all inputs of the box."""
    propagation, box = Propagation(ticket.target, fold_ticket(ticket)), _whole(low, high, shape)
    # A record from elsewhere may ask for more than this machine holds; fewer unknowns are sound too.
    room = _room(propagation, box, available_memory() / 2)
    return propagation.run(box, Unknowns(min(unknowns, room)))


def largest_difference(ticket: Ticket, points: Tensor) -> float:
    """A rigorous lower bound on the largest ‖f̂(x) − f(x)‖∞ of some inputs, float64 (N, …)."""
    propagation = Propagation(ticket.target, fold_ticket(ticket))
    return max(float(_least(pair).max()) for pair in _points(propagation, points))


def certified_agreement(
    ticket: Ticket,
    images: Tensor,
    *,
    radius: float = 0.0,
    low: float | None = None,
    high: float | None = None,
    unknowns: int | None = None,
    max_memory: float = 1e9,
    progress: Callable[[int, int], None] | None = None,
) -> AgreementCertificate:
    r"""The examples x around which target and ticket provably predict one class, rounding enclosed.

    .. math:: \arg\max f(x') = \arg\max \hat f(x') = \text{const} \quad \text{for all } x' \in [low, high],\
              \| x' − x \|_∞ ≤ radius

    With radius 0 this is the observed agreement but for ties within rounding.

    Args:
        images: float32 (N, …) within [low, high]; default of those: the ticket's ``input_range`` (only needed for a
            radius above 0). unknowns, max_memory: see :func:`certify_network`. progress: told (done, of).

    Raises:
        InputError: a step without a sound transformer (named), outputs that are no (N, classes), images off the range.

    Source: propagation
    """
    began = time.perf_counter()
    check_positive("radius", radius, "It is an L∞ distance in units of the input.", zero_ok=True)
    images = images.double()
    if not images.ndim or not len(images) or not bool(torch.isfinite(images).all()):
        raise InputError(f"images must be finite, of shape (N, …) with N ≥ 1; got {tuple(images.shape)}.")
    if radius:
        low, high = _range(ticket, low, high)
        if bool((images < low).any()) or bool((images > high).any()):
            raise InputError(f"images must lie in [{low:g}, {high:g}]. Pass low and high that hold for them.")
    else:
        low, high = (float(images.min()) if low is None else low), (float(images.max()) if high is None else high)
    propagation = Propagation(ticket.target, fold_ticket(ticket))
    ours, theirs, sure, differ, bounds = [], [], [], [], []
    for pair in _points(propagation, images):
        classes, same, apart = _decide(pair)
        ours.append(classes)
        theirs.append((pair.ticket_box.lo + pair.ticket_box.hi).argmax(dim=1))
        sure.append(same)
        differ.append(apart)
        bounds.append(pair.delta_box.largest.amax(dim=1))
    classes, certified, difference = torch.cat(ours), torch.cat(sure), torch.cat(bounds)
    if radius:
        difference[~certified] = torch.nan
        todo = certified.nonzero().flatten().tolist()
        for i, at in enumerate(todo):
            ball = _ball(images[at : at + 1], radius, low, high)
            if not i and unknowns is None:
                unknowns = _room(propagation, ball, max_memory)
            certified[at], difference[at] = _prove(propagation, ball, classes[at : at + 1], unknowns or 0)
            if progress is not None:
                progress(i + 1, len(todo))
    return AgreementCertificate(
        radius=float(radius),
        low=low,
        high=high,
        certified=certified.numpy(),
        disagree=torch.cat(differ).numpy(),
        observed=(classes == torch.cat(theirs)).numpy(),
        classes=classes.numpy(),
        difference=difference.numpy(),
        unknowns=unknowns or 0,
        seconds=time.perf_counter() - began,
    )


def _prove(propagation: Propagation, ball: Box, classes: Tensor, unknowns: int) -> tuple[bool, float]:
    """Whether both networks predict the class all over a ball, and a bound on their difference there."""
    # Plain intervals first: they cost little, and are enough for some networks.
    for limit in (0, unknowns):
        pair = propagation.run(ball, Unknowns(limit))
        if _margins(pair, classes).item() > 0 or limit == unknowns:
            break
    return _margins(pair, classes).item() > 0, float(pair.delta_box.largest.max())


def _whole(low: float, high: float, shape: tuple[int, ...]) -> Box:
    """All inputs with entries in [low, high], as one example."""
    return Box(torch.full((1, *shape), low, dtype=torch.float64), torch.full((1, *shape), high, dtype=torch.float64))


def _ball(x: Tensor, radius: float, low: float | None, high: float | None) -> Box:
    """A box that holds the ball, clipped to the range."""
    box = Box(x - radius, x + radius)
    wide = Box(torch.nextafter(box.lo, box.lo - 1), torch.nextafter(box.hi, box.hi + 1))
    return wide.map(lambda end: end.clamp(low, high))


def _points(propagation: Propagation, images: Tensor) -> Iterator[Pair]:
    """The outputs at single inputs, in batches: only rounding is enclosed."""
    for part in images.double().split(_BATCH):
        yield propagation.run(Box(part, part), Unknowns(0))


def _least(pair: Pair) -> Tensor:
    """A lower bound on ‖δ‖∞ of each example: (B,)."""
    box = pair.delta_box
    return torch.maximum(box.lo, -box.hi).clamp(min=0).flatten(1).amax(dim=1)


def _decide(pair: Pair) -> tuple[Tensor, Tensor, Tensor]:
    """The target's class at each example, whether the ticket provably has the same, or provably another."""
    if pair.target.center.ndim != 2:
        raise InputError(
            f"agreement needs outputs of shape (N, classes); got {tuple(pair.target.center.shape)}. "
            "Use certify_network() for other outputs."
        )
    classes = (pair.target_box.lo + pair.target_box.hi).argmax(dim=1)
    theirs = (pair.ticket_box.lo + pair.ticket_box.hi).argmax(dim=1)
    sure = _lead(pair.target, pair.target_box, classes) > 0
    same = sure & (_lead(pair.ticket, pair.ticket_box, classes) > 0)
    apart = sure & (_lead(pair.ticket, pair.ticket_box, theirs) > 0) & (classes != theirs)
    return classes, same, apart


def _margins(pair: Pair, classes: Tensor) -> Tensor:
    """A lower bound on the smaller of both networks' leads of a class: (B,)."""
    ours = _lead(pair.target, pair.target_box, classes)
    return torch.minimum(ours, _lead(pair.ticket, pair.ticket_box, classes))


def _lead(form: Form, box: Box, classes: Tensor) -> Tensor:
    """A lower bound on by how much a class is ahead of every other: (B,)."""

    def entry(values: Tensor, which: Tensor) -> Tensor:
        return values.gather(-1, which.unsqueeze(-1).expand(*values.shape[:-1], 1)).squeeze(-1)

    lead = torch.full(classes.shape, torch.inf, dtype=torch.float64)
    mine = Form(*(entry(values, classes) for values in (form.center, form.spread, form.rest)))
    for other in range(box.lo.shape[1]):
        theirs = Form(form.center[..., other], form.spread[..., other], form.rest[..., other])
        plain = Box(entry(box.lo, classes), entry(box.hi, classes)) - Box(box.lo[:, other], box.hi[:, other])
        ahead = torch.maximum((mine - theirs).box().lo, plain.lo)
        lead = torch.where(classes == other, lead, torch.minimum(lead, ahead))
    return lead


def _recorder(propagation: Propagation, record: list[tuple[str, float, float]]) -> Callable[[Step, Pair], None]:
    """Writes down (name, ‖δ‖∞, fraction of open signs) after every linear map."""

    def watch(step: Step, pair: Pair) -> None:
        if not propagation.operation(step) and step.kind == "module":
            box = pair.target_box
            share = float(((box.lo < 0) & (box.hi > 0)).double().mean())
            record.append((step.call, float(pair.delta_box.largest.max()), share))

    return watch


def _room(propagation: Propagation, box: Box, max_memory: float) -> int:
    """How many shared unknowns fit memory: they are born at activations and pools and live in every later entry."""
    born, room = box.lo[0].numel(), int(max_memory / (8 * _COPIES * box.lo[0].numel()))

    def watch(step: Step, pair: Pair) -> None:
        nonlocal born, room
        size = pair.target.center[0].numel()
        fit = int(max_memory / (8 * _COPIES * size))
        if born > fit:
            room = min(room, fit)
        born += 2 * size if propagation.gives_unknowns(step) else 0

    propagation.run(box, Unknowns(0), watch)
    return min(room, born)


def _range(ticket: Ticket, low: float | None, high: float | None) -> tuple[float, float]:
    known = ticket.info.get("input_range")
    if (low is None or high is None) and isinstance(known, tuple | list):
        low, high = known[0] if low is None else low, known[1] if high is None else high
    if low is None or high is None or not -np.inf < low <= high < np.inf:
        raise InputError(f"a certificate needs a finite range of inputs, low ≤ high; got {low} and {high}. Pass both.")
    return float(low), float(high)


def _shape(ticket: Ticket, shape: tuple[int, ...] | None, images: Tensor | None) -> tuple[int, ...]:
    if shape is None and images is not None:
        shape = tuple(images.shape[1:])
    known = ticket.info.get("input_shapes")
    if shape is None and known:
        shape = tuple(known[0])
    if shape is None or not all(isinstance(side, int) and side > 0 for side in shape):
        raise InputError(f"a certificate needs the shape of one input; got {shape}. Pass shape=(channels, height, …).")
    return tuple(shape)
