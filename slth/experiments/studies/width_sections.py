"""Tables and figures of the width study: the growth law, theory beside it, and accuracy."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from slth.experiments.analysis.growth import GrowthLaw, fit_growth_law
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
from slth.experiments.engine.study import Row
from slth.figures import accuracy_against_width, candidates_against_error
from slth.figures.style import panels
from slth.report import Section
from slth.theory import bounds

# Above this relative error the candidates do not reach the target, and the growth law does not hold.
REACHED = 0.5


def sections(rows: Sequence[Row]) -> list[Section]:
    """Errors and accuracy against width, for each target, structure, law and other setting."""
    known = finished_rows(rows)
    if not known:
        return no_rows("Error against width")
    found = []
    shown = ("width", "certify", "certify_dimension")
    for (target, structure, law), rest, some in settings(known, varied=shown, named=("target", "structure", "law")):
        suffix = f"{target}, structure {structure}, {law} parent{rest}"
        found += [_error_section(some, suffix), _accuracy_section(some, suffix)]
    return found


def fit_layers(rows: Sequence[Row]) -> GrowthLaw | None:
    """Fit ε = c·D^a·n^b to all layers, widths and seeds in which the target is reached."""
    layers = [layer for row in rows for layer in row.result["layers"] if is_reached(layer)]
    names = ("D", "n")
    return fit_growth_law([one["error"] for one in layers], {name: [one[name] for one in layers] for name in names})


def is_reached(layer: dict[str, Any]) -> bool:
    """Whether the candidates reach a layer's target, so that the growth law applies."""
    return bool(layer["error"] > 0 and layer["relative_rms"] <= REACHED)


def _error_section(rows: Sequence[Row], suffix: str) -> Section:
    law, curves = fit_layers(rows), [_curve(rows, name) for name in _names(rows)]
    columns = min(2, len(curves))
    axes = panels(len(curves), columns=columns)
    for ax, curve in zip(axes, curves, strict=True):
        candidates_against_error(
            **{key: curve[key] for key in ("n", "error", "within", "first_moment", "certified", "paper", "dimension")},
            law=None if law is None else [float(law.at(D=curve["dimension"], n=n)) for n in curve["n"]],
            law_label="" if law is None else _short(law),
            title=f"{curve['name']}, D = {curve['dimension']}",
            ax=ax,
        )
    _legend_below(axes, columns)
    table = [
        (
            curve["name"], curve["dimension"], f"{n:,.0f}", str(error), percent(relative.median), f"{size:.3g}",
            "–" if first is None else f"{first:,.0f}", "yes" if inside else "no",
        )
        for curve in curves
        for n, error, relative, size, first, inside in zip(
            curve["n"], curve["error"], curve["relative"], curve["size"], curve["first_moment"], curve["within"],
            strict=True,
        )
    ]  # fmt: skip
    return Section(
        f"Error against width ({suffix})",
        paragraphs(_describe_law(law, curves), missing_combinations(rows, "width")),
        ("layer", "D", "n", "error ε / σ (median [least, greatest] of seeds)", "relative error (RMS)",
         "target RMS / σ", "first moment n for this ε", "fitted"),
        table,
        figure=axes[0],
        caption="Candidates n against the inverse of the error they gave, with the range over seeds; hollow: n too "
        "small to reach the target, not fitted.",
    )  # fmt: skip


def _describe_law(law: GrowthLaw | None, curves: Sequence[dict[str, Any]]) -> str:
    """The growth law and theory beside it, in sentences."""
    if law is None:
        said = f"Too few layers and widths with a relative error below {REACHED:.0%} for a fit."
    else:
        said = (
            f"Fitted to {law.cells} (layer, width) cells with a relative error below {REACHED:.0%}: ε/σ ≈ {law}, 95 % "
            f"bootstrap intervals over cells; typical deviation a factor {np.exp(law.spread):.2f}."
        )
    ratios = [
        n / first
        for curve in curves
        for n, first, inside in zip(curve["n"], curve["first_moment"], curve["within"], strict=True)
        if first and inside
    ]
    if ratios:
        said += (
            f" The search used between {min(ratios):.2g} and {max(ratios):.2g} times the candidates with which one "
            "solution of the same error is to be expected."
        )
    paper = [value for curve in curves for value in curve["paper"] if value is not None]
    if paper:
        said += (
            f" For these errors the paper's form D⁶·log³(D/ε), with its C = 1 assumed, lies between {min(paper):.1e} "
            f"and {max(paper):.1e}."
        )
    return said


def _curve(rows: Sequence[Row], name: str) -> dict[str, Any]:
    """The numbers of one layer at each n, over the seeds."""
    cells = []
    for _, some in grouped(rows, "width").items():
        layers = [layer for row in some for layer in row.result["layers"] if layer["name"] == name]
        if layers:
            cells.append(layers)
    errors = [Spread.of(one["error"] for one in layers) for layers in cells]
    first = [[one["first_moment"] for one in layers if one["first_moment"] is not None] for layers in cells]
    dimension = cells[0][0]["D"]
    proved: dict[float, int] = {}
    for layer in itertools.chain.from_iterable(cells):
        proved |= {float(eps): n for eps, n in layer["certified"].items() if n is not None}
    return {
        "name": name,
        "dimension": dimension,
        "n": [layers[0]["n"] for layers in cells],
        "error": errors,
        "relative": [Spread.of(one["relative_rms"] for one in layers) for layers in cells],
        "size": [float(np.median([one["target_rms"] for one in layers])) for layers in cells],
        "within": [all(is_reached(one) for one in layers) for layers in cells],
        "first_moment": [float(np.median(one)) if one else None for one in first],
        "certified": proved,
        "paper": [_paper(dimension, error.median) for error in errors],
    }


def _paper(dimension: int, eps: float) -> float | None:
    """The paper's form D⁶·log³(D/ε), C = 1 assumed; None if it does not apply."""
    if not 0 < eps < 1:
        return None
    bound = bounds.compute("dacunha2023", d=1, c_in=1, c_out=dimension, depth=1, eps=eps, constant=1.0)
    return bound.value


def _accuracy_section(rows: Sequence[Row], suffix: str) -> Section:
    groups = grouped(rows, "width")
    widths = [width for (width,) in groups]
    shares = {
        name: [Spread.of(row.result["accuracy"][name] for row in some) for some in groups.values()]
        for name in ("target", "ticket", "random ticket")
    }
    agreement = [Spread.of(row.result["agreement"] for row in some) for some in groups.values()]
    output = [Spread.of(row.result["output_error"] for row in some) for some in groups.values()]
    target = shares["target"][0].median
    ax = accuracy_against_width(
        widths=widths,
        accuracy=[one.median for one in shares["ticket"]],
        band=([one.low for one in shares["ticket"]], [one.high for one in shares["ticket"]]),
        target=target,
        random=[one.median for one in shares["random ticket"]],
    )
    short = [width for width, one in zip(widths, shares["ticket"], strict=True) if one.low < target - 0.01]
    enough = [width for width in widths if width > max(short, default=0)]
    said = (
        f"From width {min(enough):,} on, of the widths tried, no seed's ticket is more than one point below the "
        f"target's {target:.1%}."
        if enough
        else f"At the largest width, {max(widths):,}, some seed's ticket is still more than one point below the "
        f"target's {target:.1%}."
    )
    return Section(
        f"Accuracy against width ({suffix})",
        said,
        ("width", "ticket", "agrees with target", "random ticket", "largest output error / largest output"),
        [
            (f"{width:,}", percent(t.median), percent(a.median), percent(r.median), str(o))
            for width, t, a, r, o in zip(
                widths, shares["ticket"], agreement, shares["random ticket"], output, strict=True
            )
        ],
        figure=ax,
        caption="Test accuracy of tickets; shaded: from the worst to the best seed.",
    )


def _short(law: GrowthLaw) -> str:
    powers = "".join(f"·{name}^{exponent.value:.2f}" for name, exponent in law.exponents.items())
    return f"fitted: ε/σ = {law.constant.value:.2g}{powers}"


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(layer["name"] for row in rows for layer in row.result["layers"]))


def _legend_below(axes: Sequence[Axes], columns: int) -> None:
    """Put one legend for all panels under them; inside a panel it would cover the points."""
    figure = axes[0].get_figure(root=True)
    assert figure is not None
    entries: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    figure.legend(
        list(entries.values()), list(entries), loc="outside lower center", ncols=columns, fontsize=8, frameon=False
    )
