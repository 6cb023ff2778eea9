r"""Structure: what it costs to remove whole kernels or channels rather than single weights, at equal randomness.

The parent is the same for all structures: width·(1 + d²·c_out) random numbers for each input channel, so that equal
widths are equal random parameters. Structures differ in what a mask may remove, and so in the dimension of a subset-sum
instance: 1, d² or d²·c_out. In return, a coarser structure gives a compact module with fewer numbers and operations.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from slth import figures
from slth.experiments.analysis.summary import (
    Spread,
    finished_rows,
    grouped,
    missing_combinations,
    no_rows,
    paragraphs,
    percent,
    settings,
)
from slth.experiments.engine.study import Row, Study
from slth.experiments.studies.subjects import SUBJECT_IMPORTS, SubjectPoint, load_subject
from slth.report import Section

# Quantities that are drawn: name in the result, label, and the target's own number beside it.
PANELS: tuple[tuple[str, str, str | None], ...] = (
    ("relative_error", "relative kernel error (RMS)", None),
    ("held", "numbers in the compact module", "target_weights"),
    ("flops", "FLOPs for one image", "target_flops"),
    ("milliseconds", "latency of one image (ms)", "target_milliseconds"),
)


class StructurePoint(SubjectPoint):
    """One structure at one width.

    Attributes:
        structure: ``weight``, ``kernel`` or ``channel``.
        width: hidden channels per input channel; it fixes the number of random parameters.
    """

    structure: Literal["weight", "kernel", "channel"]
    width: int = Field(ge=2)


def run(point: StructurePoint, seed: int) -> dict[str, Any]:
    """Find the ticket, and measure its error, what it keeps, and what its compact module costs on one image.

    Args:
        point: the structure and the width.
        seed: of the parent.

    Returns:
        ``random`` parameters, ``kept`` ones and hidden ``channels``; ``relative_error`` of the kernels; accuracies and
        ``agreement``; numbers ``held``, ``flops`` and ``milliseconds`` of the compact module, and the target's.
    """
    from slth.experiments.analysis.ticket_errors import relative_error
    from slth.tickets import evaluate, find_ticket
    from slth.tickets.checks.cost import measure_cost

    subject = load_subject(point)
    ticket = find_ticket(subject.target, width=point.width, structure=point.structure, seed=seed, threads=1)
    scores = {one.name: one for one in evaluate(ticket, subject.test, controls=False, folded=True)}
    target, compact = measure_cost(ticket, [subject.example])
    return {
        "random": sum(layer.random for layer in ticket.layers),
        "kept": sum(layer.weights for layer in ticket.layers),
        "channels": ticket.kept_channels,
        "relative_error": relative_error(ticket),
        "accuracy": scores["ticket"].accuracy,
        "target_accuracy": scores["target"].accuracy,
        "agreement": scores["ticket"].agreement,
        "held": compact.weights,
        "flops": compact.flops,
        "milliseconds": compact.milliseconds,
        "target_weights": target.weights,
        "target_flops": target.flops,
        "target_milliseconds": target.milliseconds,
    }


def sections(rows: Sequence[Row]) -> list[Section]:
    """Errors and costs against random parameters, a section for each target and other setting."""
    known = finished_rows(rows)
    if not known:
        return no_rows("The price of structure")
    groups = settings(known, varied=("structure", "width"), named=("target",))
    return [_section(some, f"{target}{rest}") for (target,), rest, some in groups]


def parameters_for(curve: Sequence[tuple[float, float]], error: float) -> float | None:
    """Random parameters at which a falling curve meets an error; a power law joins neighbouring points.

    Args:
        curve: (random parameters, error) pairs, the parameters increasing.
        error: the error to meet.

    Returns:
        The number of parameters, or None if the error lies outside the curve.
    """
    for (left, above), (right, below) in itertools.pairwise(curve):
        if below <= error <= above and below < above:
            share = np.log(above / error) / np.log(above / below)
            return float(np.exp(np.log(left) + share * np.log(right / left)))
    return None


def _section(rows: Sequence[Row], target: str) -> Section:
    from slth.figures.style import panels
    from slth.networks.structure import STRUCTURES

    cells = grouped(rows, "structure", "width")
    structures = [name for name in STRUCTURES if any(name == structure for structure, _ in cells)]
    widths = sorted({width for _, width in cells})
    axes = panels(len(PANELS), height=3.2)
    for ax, (quantity, label, reference) in zip(axes, PANELS, strict=True):
        figures.price_of_structure(
            curves={
                name: [
                    (cells[name, width][0].result["random"], Spread.of(r.result[quantity] for r in cells[name, width]))
                    for width in widths
                    if (name, width) in cells
                ]
                for name in structures
            },
            label=label,
            reference=None if reference is None else Spread.of(row.result[reference] for row in rows).median,
            ax=ax,
        )
    axes[0].legend(fontsize=8, frameon=False)
    return Section(
        f"The price of structure ({target})",
        paragraphs(_price(cells, structures, widths), missing_combinations(rows, "structure", "width")),
        ("structure", "width", "random parameters", "relative error", "ticket accuracy", "random numbers kept",
         "numbers in the module", "FLOPs", "ms an image", "FLOPs / target's"),
        [
            (
                name, f"{width:,}", f"{some[0].result['random']:,}", str(_spread(some, "relative_error")),
                percent(_spread(some, "accuracy").median), f"{_spread(some, 'kept').median:,.0f}",
                f"{_spread(some, 'held').median:,.0f}", f"{_spread(some, 'flops').median:,.0f}",
                f"{_spread(some, 'milliseconds').median:.3g}",
                f"{_spread(some, 'flops').median / some[0].result['target_flops']:.1f}",
            )
            for (name, width), some in cells.items()
        ],
        figure=axes[0],
        caption="At equal random parameters: the error of the kernels, the numbers, operations and latency of the "
        "compact module (dashed line: the target's); shaded: the range over seeds.",
    )  # fmt: skip


def _price(cells: Mapping[tuple[Any, ...], list[Row]], structures: Sequence[str], widths: Sequence[int]) -> str:
    """How much larger the errors of coarser structures are, and how many more random parameters make up for it."""
    said = []
    common = [width for width in widths if all((name, width) in cells for name in structures)]
    if len(structures) > 1 and common:
        width, first = common[-1], structures[0]
        base = _spread(cells[first, width], "relative_error").median
        ratios = [
            f"{name} {_spread(cells[name, width], 'relative_error').median / base:.2g} times" for name in structures[1:]
        ]
        random = cells[first, width][0].result["random"]
        flops = [f"{name} {_spread(cells[name, width], 'flops').median:.2g}" for name in structures]
        said.append(f"With {random:,} random parameters (width {width:,}), the error is, beside structure {first}'s "
                    f"{base:.2g}: {', '.join(ratios)}. "
                    f"Their compact modules take FLOPs an image: {', '.join(flops)}.")  # fmt: skip
    curves = {
        name: [
            (float(cells[name, w][0].result["random"]), _spread(cells[name, w], "relative_error").median)
            for w in widths
            if (name, w) in cells
        ]
        for name in structures
    }
    for fine, coarse in itertools.pairwise(structures):
        # The coarse structure's smallest error. The fine one meets it too, unless its whole curve lies below.
        error = min(error for _, error in curves[coarse])
        at, other = parameters_for(curves[fine], error), parameters_for(curves[coarse], error)
        if at is not None and other is not None:
            said.append(f"For a relative error of {error:.2g}, {coarse} needs {other / at:.2g} times the random "
                        f"parameters of {fine}.")  # fmt: skip
        else:
            place = min(curves[fine])
            if place[1] < error:
                said.append(f"In this range {coarse} never reaches the relative error {place[1]:.2g} that {fine} has "
                            f"with the fewest random parameters, {place[0]:,.0f}.")  # fmt: skip
    return " ".join(said) or "Too few structures at equal widths to compare."


def _spread(rows: Sequence[Row], name: str) -> Spread:
    return Spread.of(row.result[name] for row in rows)


STUDY = Study(
    name="structure",
    title="The price of structure",
    about="The same random parents, three kinds of mask: single weights, d×d kernels, or whole hidden channels may be "
    "removed. The finer the mask, the smaller the dimension of a subset-sum instance and the error; the coarser, the "
    "more there is to gain from removal, for a compact module holds dense blocks and no zeros. Equal width is equal "
    "random parameters; latency is that of torch on one image and on whatever machine ran the study.",
    point=StructurePoint,
    run=run,
    sections=sections,
    imports=(*SUBJECT_IMPORTS, "slth.tickets.checks.cost"),
)
