r"""Width: how the error of a ticket falls with the width of its parent, layer by layer, beside the theory.

For each (width, seed) a ticket of a trained target is found. For each layer the error of a subset-sum instance is

.. math:: ε = \| Σ_S |u_t| V_t ∓ K_c \|_∞ / σ, \qquad σ = \text{a candidate entry's standard deviation},

the median over the layer's input channels and signs, and n = width/2 candidates share a sign. To (D, n, ε) the law
ε = c·D^a·n^b is fitted; theory says how many candidates there must be, provably or by the paper's form, for that ε.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from slth.errors import SlthError
from slth.experiments.engine.study import Study
from slth.experiments.studies.subjects import SubjectPoint, load_subject
from slth.experiments.studies.width_sections import sections
from slth.networks.generator import DEVIATION
from slth.theory import thresholds
from slth.tickets import Ticket, evaluate, find_ticket
from slth.tickets.record.approximation import kept_candidates

# The box of targets that certified widths are asked for, and the probability; the cost of a proof grows with both D
# and the box. Targets of tickets are larger, which the figure's label says.
BOX, FAILURE = 0.5, 0.5


class WidthPoint(SubjectPoint):
    """One width.

    Attributes:
        width: hidden channels per input channel, both signs. structure, law, method: of ``find_ticket``.
        certify: tolerances ε for which widths are proved, for layers of at most ``certify_dimension``.
    """

    width: int = Field(ge=2)
    structure: Literal["weight", "kernel", "channel"] = "channel"
    law: Literal["normal", "uniform"] = "normal"
    method: str = "auto"
    certify: tuple[float, ...] = ()
    certify_dimension: int = Field(default=60, ge=1)


def run(point: WidthPoint, seed: int) -> dict[str, Any]:
    """Find the ticket of one width and one parent, and measure it: layers, outputs, accuracy."""
    subject = load_subject(point)
    ticket = find_ticket(
        subject.target, width=point.width, structure=point.structure, seed=seed, law=point.law, method=point.method,
        threads=1,
    )  # fmt: skip
    scores = {score.name: score for score in evaluate(ticket, subject.test, folded=True)}
    return {
        "layers": [_layer(ticket, i, point) for i in range(len(ticket.layers))],
        "accuracy": {name: scores[name].accuracy for name in ("target", "ticket", "random ticket")},
        "agreement": scores["ticket"].agreement,
        "output_error": output_error(ticket, subject.test.images),
        "kept_channels": ticket.kept_channels,
    }


def output_error(ticket: Ticket, images: torch.Tensor) -> float:
    """max |ticket − target| over outputs and images, in units of the largest |target output|."""
    folded, reference, largest, span = ticket.folded(), ticket.target.to_module(), 0.0, 0.0
    with torch.no_grad():
        for part in images.split(250):
            wanted = reference(part)
            largest = max(largest, float((folded(part) - wanted).abs().max()))
            span = max(span, float(wanted.abs().max()))
    return largest / span


def instance_errors(ticket: Ticket, layer: int) -> list[float]:
    """L∞ error of every input channel and sign of a layer, in units of a candidate entry's standard deviation."""
    unit, errors = unit_of(ticket, layer), []
    for channel, block in zip(ticket.channels[layer], ticket.kept[layer], strict=True):
        if channel.is_bias:
            continue
        found = kept_candidates(channel, block)
        for instance in channel.instances:
            difference = found[instance.sign].sum(axis=0) - instance.goals.reshape(-1)
            errors.append(float(np.abs(difference).max()) / unit)
    return errors


def unit_of(ticket: Ticket, layer: int) -> float:
    """The standard deviation of a candidate's entry |u|·V of a layer, in weight units."""
    return ticket.parent.layers[layer].scale * DEVIATION[ticket.parent.law] ** 2


def _layer(ticket: Ticket, layer: int, point: WidthPoint) -> dict[str, Any]:
    report, linear = ticket.layers[layer], ticket.target.maps[layer]
    dimension = linear.part_size(point.structure, 0)
    error = float(np.median(instance_errors(ticket, layer)))
    size = float(np.sqrt(np.mean(np.square(linear.weight, dtype=np.float64)))) / unit_of(ticket, layer)
    return {
        "name": report.name,
        "D": dimension,
        "n": point.width / 2,
        "error": error,
        "relative_rms": report.relative_rms,
        "target_rms": size,
        "kept": report.kept,
        "usable": report.usable,
        "first_moment": _first_moment(dimension, error, size) if point.law == "normal" else None,
        "certified": {str(eps): _certified(dimension, eps, point.certify_dimension) for eps in point.certify},
    }


def _first_moment(dimension: int, eps: float, z: float) -> float | None:
    """The n at which one subset within ε of a target of this size is expected, NSN candidates; None out of range."""
    if eps >= z:
        return None  # keeping nothing will do
    try:
        return thresholds.width(D=dimension, eps=eps, z=z).crossing
    except SlthError:
        return None


@functools.cache
def _certified(dimension: int, eps: float, limit: int) -> int | None:
    """The width proved for targets of the box, None where it was not asked for or not reached."""
    if dimension > limit:
        return None
    from slth.theory import certified  # its interval arithmetic takes a moment to load

    try:
        return certified.width(dimension, eps, FAILURE, BOX).n
    except SlthError:
        return None


STUDY = Study(
    name="width",
    title="Error against width",
    about="A ticket of a wider parent is a better one. For every layer of a trained target this study measures the "
    "error of its kernels in units of a candidate's standard deviation, fits a power law of the dimension D and the "
    "number n of candidates to it, and sets it beside three numbers of candidates that theory has for the same "
    "error: the fewest with which a solution is to be expected (first moment), a number that is proved to suffice "
    "(certified), and the form of da Cunha, d'Amore and Natale (2023) with its unspecified constant assumed.\n\n"
    "Existence would allow the error to fall exponentially with n; of a search in polynomial time a power of n is to "
    "be expected, and the fitted exponent says which. Layers in which n is too small to reach the target at all are "
    "shown, but not fitted.",
    point=WidthPoint,
    run=run,
    sections=sections,
)
