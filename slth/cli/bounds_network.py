"""The command ``slth bounds network``: which width to choose, by measurement, and what theorems say beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slth.cli.bound_records import Constant, Delta, Eps, Z, layer_record
from slth.cli.show import Json, echo, echo_json, table

if TYPE_CHECKING:
    from slth.apps.width_choice import WidthChoice
    from slth.networks.linear_map import LinearMap
    from slth.theory.bounds import Entry, Layer

# The bounds that the table shows of each layer: a necessary one, a measured one, and two that suffice.
TABLE_BOUNDS = ("first_moment", "relax_scaling", "becchetti2022", "dacunha2023")


def network(
    arch: Annotated[str | None, typer.Option(help="A built-in architecture; this or --model is required.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Its weights, to check the hypotheses on them.")] = None,
    model: Annotated[
        str | None, typer.Option(help="path.py:function that returns a model; this or --arch is required.")
    ] = None,
    error: Annotated[
        float, typer.Option(help="Relative error of each layer's weights, root mean square: what the width is for.")
    ] = 0.01,
    eps: Eps = 0.1,
    delta: Delta = 0.01,
    z: Z = 0.5,
    constant: Constant = None,
    as_json: Json = False,
) -> None:
    """Say which width to choose for a network, and what the theorems say of its layers."""
    from slth.apps.width_choice import choose_widths, width_option
    from slth.progress import follow
    from slth.theory import bounds
    from slth.theory.evaluation import check_constant

    check_constant(constant)
    maps = _linear_maps(arch, weights, model)
    has_weights = weights is not None or model is not None
    layers, unfit = _layers(maps, has_weights, eps=eps, delta=delta, z=z)
    chosen = choose_widths(maps, error, delta=delta, progress=not as_json)
    found = []
    with follow(not as_json, {"theorems": len(layers)}, unit="layers") as listener:
        for one in layers:
            found.append((one, bounds.for_layer(one, constant=constant, keys=() if as_json else TABLE_BOUNDS)))
            listener.advance("theorems")
    if as_json:
        echo_json(
            {
                "error": error,
                "width": width_option(chosen),
                "widths": [asdict(one) for one in chosen],
                "layers": [layer_record(one, entries) for one, entries in found],
            },
            own_text=True,
        )
        return
    _print_choice(chosen, error, delta)
    echo()
    _print_theorems(found, eps)
    for note in unfit:
        echo(note)


def _linear_maps(arch: str | None, weights: Path | None, model: str | None) -> Sequence[LinearMap]:
    """The layers of the network; an architecture without weights is taken as it is built."""
    from slth.cli.arguments import load_target
    from slth.errors import check_choice
    from slth.networks import extract, models

    if arch is not None:
        check_choice("--arch", arch, tuple(models.ARCHITECTURES))
    if arch is not None and weights is None and model is None:
        return extract(models.ARCHITECTURES[arch].build().eval()).maps
    network, example = load_target(arch=arch, weights=weights, model=model)
    return extract(network, example_input=example).maps


def _layers(
    maps: Sequence[LinearMap], has_weights: bool, *, eps: float, delta: float, z: float
) -> tuple[list[Layer], list[str]]:
    """The layers that the theorems are about, and a note on each other one."""
    import numpy as np

    from slth.theory.bounds import Layer

    layers, notes = [], []
    for linear in maps:
        if len(linear.kernel) not in (0, 2) or len(set(linear.kernel)) > 1:
            size = "×".join(map(str, linear.kernel))
            notes.append(f"{linear.name}: the theorems are about square kernels d×d; this layer has {size}")
            continue
        layers.append(
            Layer(
                name=linear.name, d=int((linear.kernel or (1,))[0]), c_in=linear.channels[0],
                c_out=linear.channels[1] // linear.groups, depth=len(maps), eps=eps, delta=delta, z=z,
                weights=sum(one.weight.size for one in maps),
                norm=float(np.abs(linear.weight.astype(np.float64)).sum()) if has_weights else None,
            )
        )  # fmt: skip
    return layers, notes


def _print_choice(chosen: Sequence[WidthChoice], error: float, delta: float) -> None:
    from slth.apps import width_choice as law

    share = f"{100 * error:g} %"
    echo(f"Which width? For a relative error of {share} in every layer's weights: --width {law.width_option(chosen)}")
    table(
        ("layer", "D", f"width for {share}", "any search needs at least"),
        [
            (
                one.name,
                f"{one.dimension:,}",
                f"{one.width:,}" + ("" if one.is_measured else " *"),
                "–" if one.needed is None else f"{one.needed:,}",
            )
            for one in chosen
        ],
    )
    if not all(one.is_measured for one in chosen):
        echo("* beyond what was measured: the law is only assumed to hold there.")
    (least, most), (low, high) = law.MEASURED_CONSTANTS, law.MEASURED_DIMENSIONS
    echo(
        f"Measured, not proved: the relative error is about {law.LAW_CONSTANT:.3g}·D^1.5/n with n = width/2, so that "
        f"twice the width halves it. In {law.MEASURED_LAYERS} layers of {law.MEASURED_SEARCHES} searches the factor "
        f"was between {least:.3f} and {most:.3f}, for D from {low} to {high} and n from {law.MEASURED_RATIOS[0]}·D to "
        f"{law.MEASURED_RATIOS[1]:,}·D (benchmarks/results/tickets.json; structure channel, law normal, method auto, "
        "scale auto). No width is below 200·√D or 20·D: narrower parents were not measured."
    )
    echo(
        f"A theorem (first moment): below the last column no search comes within {share} in every weight with "
        f"probability {1 - delta:g}, for weights of equal size."
    )
    (first, last), (few, many) = law.MEASURED_WORST_LAYERS, law.MEASURED_AGREEMENTS
    echo(
        f"The outputs: in those searches the worst layer's error was {first:.2%} to {last:.1%}, and {few:.2%} to "
        f"{many:.2%} of MNIST's test images got the target's class. It may be otherwise for your network: find a "
        "ticket, then see slth ticket evaluate."
    )


def _print_theorems(found: Sequence[tuple[Layer, list[Entry]]], eps: float) -> None:
    echo(f"What theorems say of an output error of {eps:g} for every input, in candidates n of one sign (width 2n):")
    rows: list[tuple[str, ...]] = []
    notes: list[str] = []
    for one, entries in found:
        cells = []
        for entry in entries:
            refusal = entry.note if entry.bound is None else "; ".join(entry.bound.violations)
            cells.append("–" if refusal else str(entry.bound))
            if refusal:
                notes.append(f"{one.name}, {entry.key}: {refusal}")
        rows.append((one.name, f"{one.dimension:,}", f"{one.tolerance:.2g}", *cells))
    table(("layer", "D", "ε of a sum", *TABLE_BOUNDS), rows)
    for note in notes:
        echo(note)
    echo(
        "Each subset sum within its ε, in a candidate's standard deviations, is enough for that output error if "
        "‖K‖₁ ≤ 1 keeps activations in [−1, 1]. It is a worst case over all inputs. For this ε, first_moment is "
        "necessary (theorem), relax_scaling is what the search needs (measured), and becchetti2022 and dacunha2023 are "
        "enough (theorems that leave their constant C open)."
    )
