"""Certified agreement: the examples around which target and ticket provably predict the same class."""

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
from slth.tickets.certify.outline import Outline
from slth.tickets.certify.propagate import Propagation
from slth.tickets.networks.folded import fold_record
from slth.tickets.record.images import hash_images
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
    r"""Prove around which examples x target and ticket predict the same class, with rounding errors enclosed.

    .. math:: \arg\max f(x') = \arg\max \hat f(x') = \text{const} \quad \text{for all } x' \in [low, high],\
              \| x' − x \|_∞ ≤ radius

    With radius 0 this is the observed agreement, apart from ties within rounding.

    Args:
        record: the ticket.
        images: the examples, float32 (N, …), within [low, high].
        radius: L∞ radius of the balls around the examples, in units of the input.
        low: least value of an input entry; None for that of the ticket's ``input_range``. A radius of 0 needs none.
        high: greatest value of an input entry; None for that of the ticket's ``input_range``. A radius of 0 needs none.
        unknowns: largest number of unknowns that the affine forms share; None for what ``max_memory`` bytes hold. More
            unknowns prove more and take longer.
        max_memory: bytes for the affine forms.
        progress: True for bars with the time left, or a listener. It hears of a task ``examples`` of as many steps as
            there are examples, and with a radius of a task for the radius with a step for each ball to be proved.

    Returns:
        An :class:`~slth.tickets.certify.certificate.AgreementCertificate`.

    Raises:
        InputError: a step has no sound transformer, the outputs do not have the shape (N, classes), or images lie
            outside the range.

    Source: propagation
    """
    began = time.perf_counter()
    check_positive("radius", radius, "It is an L∞ distance in units of the input.", zero_ok=True)
    outline = Outline(record.target)  # refuses what cannot be certified, before any work
    images = images.double()
    if not images.ndim or not len(images) or not bool(torch.isfinite(images).all()):
        raise InputError(f"images must be finite, of shape (N, …) with N ≥ 1; got {tuple(images.shape)}.")
    outline.check_input((1, *images.shape[1:]))
    if radius:
        low, high = input_range(record, low, high)
        if bool((images < low).any()) or bool((images > high).any()):
            raise InputError(f"images must lie in [{low:g}, {high:g}]. Pass low and high that hold for them.")
    else:
        low, high = (float(images.min()) if low is None else low), (float(images.max()) if high is None else high)
    propagation = Propagation(record.target, enclose(fold_record(record)))
    target_classes, ticket_classes, agreeing, differing, bounds = [], [], [], [], []
    for pair in run_points(propagation, images, progress):
        classes, agree, differ = _decide(pair)
        target_classes.append(classes)
        ticket_classes.append(_likely_classes(pair.ticket_box))
        agreeing.append(agree)
        differing.append(differ)
        bounds.append(pair.delta_box.largest.amax(dim=1))
    classes, certified, difference = torch.cat(target_classes), torch.cat(agreeing), torch.cat(bounds)
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
        disagree=torch.cat(differing).numpy(),
        observed=(classes == torch.cat(ticket_classes)).numpy(),
        classes=classes.numpy(),
        difference=difference.numpy(),
        unknowns=unknowns or 0,
        seconds=time.perf_counter() - began,
        images_sha256=hash_images(images),
    )


def _prove_ball(propagation: Propagation, ball: Box, classes: Tensor, unknowns: int) -> tuple[bool, float]:
    """Whether both networks provably predict the class for all inputs of a ball, and a bound on their difference."""
    # Plain intervals come first: they cost little and prove enough for some networks.
    for limit in (0, unknowns):
        pair = propagation.run(ball, Unknowns(limit))
        if _smaller_margin(pair, classes).item() > 0 or limit == unknowns:
            break
    return _smaller_margin(pair, classes).item() > 0, float(pair.delta_box.largest.max())


def _decide(pair: Pair) -> tuple[Tensor, Tensor, Tensor]:
    """At each example: the target's class, whether the ticket provably predicts it, and whether provably another."""
    if pair.target.center.ndim != 2:
        raise InputError(
            f"agreement needs outputs of shape (N, classes); got {tuple(pair.target.center.shape)}. "
            "Use certify_network() for other outputs."
        )
    classes, ticket_classes = _likely_classes(pair.target_box), _likely_classes(pair.ticket_box)
    proved = _class_margin(pair.target, pair.target_box, classes) > 0
    agree = proved & (_class_margin(pair.ticket, pair.ticket_box, classes) > 0)
    differ = proved & (_class_margin(pair.ticket, pair.ticket_box, ticket_classes) > 0) & (classes != ticket_classes)
    return classes, agree, differ


def _likely_classes(outputs: Box) -> Tensor:
    """The classes that the middles of the intervals give, int64 (B,)."""
    return (outputs.lo + outputs.hi).argmax(dim=1)


def _smaller_margin(pair: Pair, classes: Tensor) -> Tensor:
    """A lower bound on the margins of some classes in both networks, float64 (B,)."""
    target_margin = _class_margin(pair.target, pair.target_box, classes)
    return torch.minimum(target_margin, _class_margin(pair.ticket, pair.ticket_box, classes))


def _class_margin(form: Form, box: Box, classes: Tensor) -> Tensor:
    """A lower bound on the margin of each example's class over every other class, float64 (B,)."""

    def entry(values: Tensor, which: Tensor) -> Tensor:
        """The entries of one class for each example."""
        return values.gather(-1, which.unsqueeze(-1).expand(*values.shape[:-1], 1)).squeeze(-1)

    margin = torch.full(classes.shape, torch.inf, dtype=torch.float64)
    chosen = Form(*(entry(values, classes) for values in (form.center, form.spread, form.rest)))
    for other in range(box.lo.shape[1]):
        rival = Form(form.center[..., other], form.spread[..., other], form.rest[..., other])
        plain = Box(entry(box.lo, classes), entry(box.hi, classes)) - Box(box.lo[:, other], box.hi[:, other])
        ahead = torch.maximum((chosen - rival).box().lo, plain.lo)
        margin = torch.where(classes == other, margin, torch.minimum(margin, ahead))
    return margin
