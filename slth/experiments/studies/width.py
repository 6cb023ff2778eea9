r"""Width: how the error of a ticket falls with the width of its parent, layer by layer, beside the theory.

For each (width, seed) a ticket of a trained target is found. The error of one subset sum of a layer is

.. math:: ε = \| Σ_S |u_t| V_t ∓ K_c \|_∞ / σ, \qquad σ = \text{a candidate entry's standard deviation},

and a layer's error is the median over its input channels and signs. n = width/2 candidates share a sign. The growth law
ε = c·D^a·n^b is fitted to the layers; beside it stand the numbers of candidates that theory asks for at the same ε.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from slth.cache import made_once, writable_cache_folder
from slth.errors import SlthError
from slth.experiments.engine.study import Row, Study
from slth.experiments.studies.subjects import SUBJECT_IMPORTS, SubjectPoint, load_subject

if TYPE_CHECKING:
    from slth.report import Section
    from slth.tickets import Ticket

# Certified widths are for targets in the box [−BOX, BOX]^D and hold with probability at least 1 − FAILURE. The cost of
# a proof grows with D and with the box. Targets of tickets lie outside of it, as the figure's label says.
BOX, FAILURE = 0.5, 0.5


class WidthPoint(SubjectPoint):
    """One width.

    Attributes:
        width: hidden channels per input channel, both signs.
        structure: ``channel``, ``kernel`` or ``weight``.
        law: of the parent's random weights.
        method: of the search, as in :func:`slth.tickets.find_ticket`.
        certify: tolerances ε, in σ, for which widths are proved.
        certify_dimension: the largest D for which they are.
    """

    width: int = Field(ge=2)
    structure: Literal["weight", "kernel", "channel"] = "channel"
    law: Literal["normal", "uniform"] = "normal"
    method: str = "auto"
    certify: tuple[float, ...] = ()
    certify_dimension: int = Field(default=60, ge=1)


def run(point: WidthPoint, seed: int) -> dict[str, Any]:
    """Find the ticket of one width and one parent, and measure it.

    Args:
        point: the width.
        seed: of the parent.

    Returns:
        ``layers``: the numbers of each layer; ``accuracy`` by network, ``agreement`` with the target, ``output_error``
        relative to the target's largest output, ``kept_channels``.
    """
    from slth.experiments.analysis.ticket_errors import output_error
    from slth.tickets import evaluate, find_ticket

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


def _layer(ticket: Ticket, layer: int, point: WidthPoint) -> dict[str, Any]:
    from slth.experiments.analysis.ticket_errors import instance_errors, target_size

    report, linear = ticket.layers[layer], ticket.target.maps[layer]
    dimension = linear.part_size(point.structure, 0)
    error = float(np.median(instance_errors(ticket, layer)))
    size = target_size(ticket, layer)
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
    """Candidates with which one subset within ε of a target of size z is expected; None out of range."""
    from slth.theory import thresholds

    if eps >= z:
        return None  # the empty subset is within ε
    try:
        return thresholds.width(D=dimension, eps=eps, z=z).crossing
    except SlthError:
        return None


@functools.cache
def _certified(dimension: int, eps: float, limit: int) -> int | None:
    """The width proved for targets of the box; None if it is out of reach, or if D is above the limit."""
    if dimension > limit:
        return None
    # A proof takes seconds: its width is kept on disk for this version of the theory's code.
    folder = writable_cache_folder("certified", "slth.theory")
    made = made_once(folder, f"{dimension} {eps!r} {FAILURE} {BOX}.json", lambda: _certify(dimension, eps))
    found: int | None = json.loads(made)
    return found


def _certify(dimension: int, eps: float) -> bytes:
    from slth.theory import certified  # its interval arithmetic takes a moment to load

    try:
        return json.dumps(int(certified.width(dimension, eps, FAILURE, BOX).n)).encode()
    except SlthError:
        return b"null"


def sections(rows: Sequence[Row]) -> list[Section]:
    """Tables and figures; see :func:`slth.experiments.studies.width_sections.sections`."""
    from slth.experiments.studies import width_sections

    return width_sections.sections(rows)


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
    imports=(*SUBJECT_IMPORTS, "slth.theory.thresholds"),
)
