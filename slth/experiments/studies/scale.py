r"""Scale and law: two free choices of the parent, the factor on a layer's random weights and their distribution.

ReLU networks are positively homogeneous, so a factor on a layer's random weights is free. It decides how large the
target is beside a candidate. A small factor makes the target large. The absolute error hardly depends on the target,
so that the relative error falls, until the candidates do not reach the target any more. ``scale="auto"`` is a fixed
formula in the target's norm, D and n; this study moves away from it in both directions.
"""

from __future__ import annotations

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


class ScalePoint(SubjectPoint):
    """One layer, found with one factor on its default scale.

    Attributes:
        layer: name of the target's layer.
        width: hidden channels per input channel.
        law: of the parent's random weights.
        factor: on the scale that ``auto`` gives this law; 1 is the default.
        method: of the search, as in :func:`slth.tickets.find_ticket`.
    """

    layer: str = "conv2"
    width: int = Field(default=2000, ge=2)
    law: Literal["normal", "uniform"] = "normal"
    factor: float = Field(default=1.0, gt=0, le=1e6)
    method: str = "auto"


def run(point: ScalePoint, seed: int) -> dict[str, Any]:
    """Find the ticket of one layer, leave the others as they were trained, and measure the error of its kernels.

    Args:
        point: the layer and the factor.
        seed: of the parent.

    Returns:
        ``D``, ``relative_rms`` of the kernels, ``target_rms`` in σ, and the numbers of ``kept`` and ``usable``
        channels.
    """
    from slth.experiments.analysis.ticket_errors import target_size
    from slth.networks import make_parent
    from slth.tickets import find_ticket

    target = load_subject(point).only(point.layer)
    default = make_parent(target, width=point.width, seed=seed, law=point.law).layers[0].scale
    ticket = find_ticket(
        target, width=point.width, seed=seed, law=point.law, method=point.method, scale=point.factor * default,
        threads=1,
    )  # fmt: skip
    report = ticket.layers[0]
    return {
        "D": report.dimension,
        "relative_rms": report.relative_rms,
        "target_rms": target_size(ticket, 0),
        "kept": report.kept,
        "usable": report.usable,
    }


def sections(rows: Sequence[Row]) -> list[Section]:
    """Errors against the factor for both laws, a section for each target, layer, width and other setting."""
    known = finished_rows(rows)
    if not known:
        return no_rows("Scale and law")
    groups = settings(known, varied=("law", "factor"), named=("target", "layer", "width"))
    return [
        _section(some, f"{target}, {layer}, width {width:,}{rest}") for (target, layer, width), rest, some in groups
    ]


def _section(rows: Sequence[Row], suffix: str) -> Section:
    cells = grouped(rows, "law", "factor")
    laws = sorted({law for law, _ in cells})
    errors = {key: Spread.of(row.result["relative_rms"] for row in some) for key, some in cells.items()}
    curves = {f"{law} parent": [(factor, errors[key]) for key in cells for factor in [key[1]] if key[0] == law]
              for law in laws}  # fmt: skip
    return Section(
        f"Scale and law ({suffix})",
        paragraphs(*(_describe_law(law, {f: e for (one, f), e in errors.items() if one == law}) for law in laws),
                   _compare_laws(errors), missing_combinations(rows, "law", "factor")),
        ("law", "scale / default", "target RMS / σ", "relative error (RMS)", "kept"),
        [
            (
                law, f"{factor:g}", f"{np.median([row.result['target_rms'] for row in some]):.3g}",
                str(errors[law, factor]),
                percent(float(np.median([row.result["kept"] / max(row.result["usable"], 1) for row in some]))),
            )
            for (law, factor), some in cells.items()
        ],
        figure=figures.error_against_scale(curves=curves, auto=1.0),
        caption="Relative error against the factor on the layer's random weights; shaded: the range over seeds. Above "
        "100 % (grey line) the ticket is worse than a kernel of zeros.",
    )  # fmt: skip


def _describe_law(law: str, errors: Mapping[float, Spread]) -> str:
    """The factor with the least error, and the error of the default beside it."""
    best = min(errors, key=lambda factor: errors[factor].median)
    least = errors[best].median
    said = f"{law.capitalize()} parent: of {len(errors)} factors, {best:g} has the least error, {percent(least)}"
    if 1.0 in errors and best != 1.0:
        said += f"; the default has {percent(errors[1.0].median)}, {errors[1.0].median / least:.2g} times that"
    elif best == 1.0:
        said += " and is the default"
    low, high = min(errors), max(errors)
    return f"{said}. At {low:g} it is {percent(errors[low].median)}, at {high:g} {percent(errors[high].median)}."


def _compare_laws(errors: Mapping[tuple[Any, ...], Spread]) -> str:
    """Normal beside uniform at the default scale; empty if one of the two has no row there."""
    if ("normal", 1.0) not in errors or ("uniform", 1.0) not in errors:
        return ""
    ratio = errors["uniform", 1.0].median / errors["normal", 1.0].median
    return f"At the default scale the uniform parent's error is {ratio:.2g} times the normal parent's."


STUDY = Study(
    name="scale",
    title="The layer's free scale, and the parent's law",
    about="A factor on a layer's random weights costs nothing, for ReLU networks are positively homogeneous, and it "
    "decides how large the target is beside a candidate. The study varies it over several decades around the default, "
    "for normal and for uniform random weights, and measures one layer's relative error.",
    point=ScalePoint,
    run=run,
    sections=sections,
    imports=SUBJECT_IMPORTS,
)
