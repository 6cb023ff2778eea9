"""Certified agreement: examples around which target and ticket provably predict one class."""

from __future__ import annotations

import time

import torch

from slth.errors import InputError, check_positive
from slth.progress import Progress, follow
from slth.tickets.certify.boxes import ball_box, input_range, run_points, unknowns_budget
from slth.tickets.certify.certificate import AgreementCertificate
from slth.tickets.certify.differences import Pair
from slth.tickets.certify.enclosed import enclose
from slth.tickets.certify.forms import Box, Form, Tensor, Unknowns
from slth.tickets.certify.propagate import Propagation
from slth.tickets.networks.folded import fold_record
from slth.tickets.record.record import Record


def certified_agreement(
    record: Record,
    images: Tensor,
    *,
    radius: float = 0.0,
    low: float | None = None,
    high: float | None = None,
    unknowns: int | None = None,
    max_memory: float = 1e9,
    progress: bool | Progress = False,
) -> AgreementCertificate:
    r"""The examples x around which target and ticket provably predict one class, rounding enclosed.

    .. math:: \arg\max f(x') = \arg\max \hat f(x') = \text{const} \quad \text{for all } x' \in [low, high],\
              \| x' − x \|_∞ ≤ radius

    With radius 0 this is the observed agreement but for ties within rounding.

    Args:
        record: the ticket.
        images: float32 (N, …) within [low, high].
        radius: L∞ radius of the balls around the examples, in units of the input.
        low: least value of an input entry; default: the ticket's ``input_range``. Needed for a radius above 0 only.
        high: greatest value of an input entry, likewise.
        unknowns: number of unknowns that the affine forms share; default: what ``max_memory`` bytes hold. More is
            tighter and slower.
        max_memory: bytes for the affine forms.
        progress: who is told every finished ball.

    Returns:
        An :class:`AgreementCertificate`.

    Raises:
        InputError: a step without a sound transformer (named), outputs of a shape other than (N, classes), images
            outside the range.

    Source: propagation
    """
    began = time.perf_counter()
    check_positive("radius", radius, "It is an L∞ distance in units of the input.", zero_ok=True)
    images = images.double()
    if not images.ndim or not len(images) or not bool(torch.isfinite(images).all()):
        raise InputError(f"images must be finite, of shape (N, …) with N ≥ 1; got {tuple(images.shape)}.")
    if radius:
        low, high = input_range(record, low, high)
        if bool((images < low).any()) or bool((images > high).any()):
            raise InputError(f"images must lie in [{low:g}, {high:g}]. Pass low and high that hold for them.")
    else:
        low, high = (float(images.min()) if low is None else low), (float(images.max()) if high is None else high)
    propagation = Propagation(record.target, enclose(fold_record(record)))
    ours, theirs, sure, differ, bounds = [], [], [], [], []
    for pair in run_points(propagation, images):
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
        name = f"radius {radius:.4g}"
        with follow(progress, {name: len(todo)}, unit="examples") as listener:
            for at in todo:
                ball = ball_box(images[at : at + 1], radius, low, high)
                if unknowns is None:
                    unknowns = unknowns_budget(propagation, ball, max_memory)
                certified[at], difference[at] = _prove_ball(propagation, ball, classes[at : at + 1], unknowns)
                listener.advance(name)
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


def _prove_ball(propagation: Propagation, ball: Box, classes: Tensor, unknowns: int) -> tuple[bool, float]:
    """Whether both networks predict the class all over a ball, and a bound on their difference there."""
    # Plain intervals first: they cost little, and are enough for some networks.
    for limit in (0, unknowns):
        pair = propagation.run(ball, Unknowns(limit))
        if _smaller_margin(pair, classes).item() > 0 or limit == unknowns:
            break
    return _smaller_margin(pair, classes).item() > 0, float(pair.delta_box.largest.max())


def _decide(pair: Pair) -> tuple[Tensor, Tensor, Tensor]:
    """The target's class at each example, whether the ticket provably has the same, or provably another."""
    if pair.target.center.ndim != 2:
        raise InputError(
            f"agreement needs outputs of shape (N, classes); got {tuple(pair.target.center.shape)}. "
            "Use certify_network() for other outputs."
        )
    classes = (pair.target_box.lo + pair.target_box.hi).argmax(dim=1)
    theirs = (pair.ticket_box.lo + pair.ticket_box.hi).argmax(dim=1)
    sure = _class_margin(pair.target, pair.target_box, classes) > 0
    same = sure & (_class_margin(pair.ticket, pair.ticket_box, classes) > 0)
    apart = sure & (_class_margin(pair.ticket, pair.ticket_box, theirs) > 0) & (classes != theirs)
    return classes, same, apart


def _smaller_margin(pair: Pair, classes: Tensor) -> Tensor:
    """A lower bound on the smaller of both networks' margins of a class: (B,)."""
    ours = _class_margin(pair.target, pair.target_box, classes)
    return torch.minimum(ours, _class_margin(pair.ticket, pair.ticket_box, classes))


def _class_margin(form: Form, box: Box, classes: Tensor) -> Tensor:
    """A lower bound on the margin of a class over every other class: (B,)."""

    def entry(values: Tensor, which: Tensor) -> Tensor:
        return values.gather(-1, which.unsqueeze(-1).expand(*values.shape[:-1], 1)).squeeze(-1)

    margin = torch.full(classes.shape, torch.inf, dtype=torch.float64)
    mine = Form(*(entry(values, classes) for values in (form.center, form.spread, form.rest)))
    for other in range(box.lo.shape[1]):
        theirs = Form(form.center[..., other], form.spread[..., other], form.rest[..., other])
        plain = Box(entry(box.lo, classes), entry(box.hi, classes)) - Box(box.lo[:, other], box.hi[:, other])
        ahead = torch.maximum((mine - theirs).box().lo, plain.lo)
        margin = torch.where(classes == other, margin, torch.minimum(margin, ahead))
    return margin
