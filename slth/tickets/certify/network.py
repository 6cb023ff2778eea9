"""The certificate of a network: a proved bracket around the largest difference between ticket and target.

The ticket is taken as a function on real numbers, with its kept channels summed (:mod:`slth.tickets.networks.folded`).
The rounding errors of the proof itself are enclosed. A float32 evaluation of the ticket differs from this function by
its own rounding, as that of any network does.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from slth.errors import available_memory, check_int
from slth.networks.graph import Step
from slth.progress import Progress
from slth.tickets.certify.attack import find_differences
from slth.tickets.certify.boxes import (
    difference_floor,
    input_box,
    input_range,
    input_shape,
    run_points,
    unknowns_budget,
)
from slth.tickets.certify.certificate import Limit, NetworkCertificate
from slth.tickets.certify.differences import Pair
from slth.tickets.certify.enclosed import enclose
from slth.tickets.certify.forms import Box, Tensor, Unknowns
from slth.tickets.certify.outline import Outline
from slth.tickets.certify.propagate import Propagation
from slth.tickets.networks.folded import fold_record
from slth.tickets.record.record import Record


def certify_network(
    record: Record,
    *,
    low: float | None = None,
    high: float | None = None,
    shape: tuple[int, ...] | None = None,
    images: Tensor | None = None,
    unknowns: int | None = None,
    max_memory: float = 1e9,
    seed: int = 0,
    progress: bool | Progress = False,
) -> NetworkCertificate:
    r"""Bracket the largest difference between the outputs of ticket and target over all inputs in [low, high].

    .. math:: \sup_{x \in [low, high]^{shape}} \| \hat f(x) − f(x) \|_∞

    Args:
        record: the ticket.
        low: least value of an input entry; None for that of the ticket's ``input_range``.
        high: greatest value of an input entry; None for that of the ticket's ``input_range``.
        shape: shape of one input, without the batch axis; None for that of ``images``, or else of the ticket's example
            input.
        images: data (N, …), on which the difference is observed and from which the search starts.
        unknowns: largest number of unknowns that the affine forms share; None for what ``max_memory`` bytes hold. More
            unknowns prove a tighter bound and take longer.
        max_memory: bytes for the affine forms.
        seed: seed of the search for the worst input.
        progress: True for bars with the time left, or a listener. It hears of three tasks, one after the other:
            ``proof``, the search for the worst input, and with images ``examples``.

    Returns:
        A :class:`~slth.tickets.certify.certificate.NetworkCertificate`.

    Raises:
        InputError: a step has no sound transformer, the network has several inputs or outputs, or the range or the
            shape is not known.

    Source: propagation
    """
    began = time.perf_counter()
    check_int("seed", seed, 0, 2**64 - 1)
    outline = Outline(record.target)  # refuses what cannot be certified, before any work
    low, high = input_range(record, low, high)
    shape = input_shape(record, shape, images)
    outline.check_input((1, *shape))
    folded = fold_record(record)
    propagation = Propagation(record.target, enclose(folded))
    box = input_box(low, high, shape)
    budget = unknowns_budget(propagation, box, max_memory) if unknowns is None else check_int("unknowns", unknowns, 0)
    proved: list[tuple[str, float, float]] = []
    result = propagation.run(box, Unknowns(budget), _recorder(propagation, proved), progress)
    observed = None
    if images is not None:
        observed = max(difference_floor(pair).max().item() for pair in run_points(propagation, images, progress))
    points = find_differences(record, folded, box, images=images, seed=seed, progress=progress)
    found: list[tuple[str, float, float]] = []
    there = difference_floor(propagation.run(Box(points, points), Unknowns(0), _recorder(propagation, found)))
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
        unknowns=budget,
        seconds=time.perf_counter() - began,
    )


def prove_network(
    record: Record,
    low: float,
    high: float,
    shape: tuple[int, ...],
    unknowns: int,
    progress: bool | Progress = False,
) -> Pair:
    """Prove the upper bound alone.

    Args:
        record: the ticket.
        low: least value of an input entry.
        high: greatest value of an input entry.
        shape: shape of one input, without the batch axis.
        unknowns: largest number of unknowns that the affine forms share; fewer if memory does not hold as many.
        progress: the listener that is told of every step of the graph.

    Returns:
        The pair of outputs for all inputs of the box.
    """
    propagation, box = Propagation(record.target, enclose(fold_record(record))), input_box(low, high, shape)
    # A record may come from a larger machine. A proof with fewer unknowns is sound too.
    budget = unknowns_budget(propagation, box, available_memory() / 2)
    return propagation.run(box, Unknowns(min(unknowns, budget)), progress=progress)


def largest_difference(record: Record, points: Tensor) -> float:
    """Prove a lower bound on the largest ‖f̂(x) − f(x)‖∞ among some inputs.

    Args:
        record: the ticket.
        points: the inputs, float64 (N, …).
    """
    propagation = Propagation(record.target, enclose(fold_record(record)))
    return max(float(difference_floor(pair).max()) for pair in run_points(propagation, points))


def _recorder(propagation: Propagation, found: list[tuple[str, float, float]]) -> Callable[[Step, Pair], None]:
    """A visitor that appends (name, ‖δ‖∞, fraction of open signs) to ``found`` after every linear map."""

    def visit(step: Step, pair: Pair) -> None:
        if propagation.is_linear(step):
            box = pair.target_box
            share = float(((box.lo < 0) & (box.hi > 0)).double().mean())
            found.append((step.call, float(pair.delta_box.largest.max()), share))

    return visit
