"""The command line of the bounds: ``slth bounds list|show|compute|layer|network|plot``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from slth.cli.bound_records import Constant, Delta, Eps, Z, evaluation_record, layer_record
from slth.cli.bounds_network import network
from slth.cli.show import Json, echo, echo_json, table
from slth.errors import InputError, check_int
from slth.files import check_writable, write_whole

bounds_app = typer.Typer(
    help="Width and sample bounds from the literature, and their hypotheses.", no_args_is_help=True
)

bounds_app.command("network", epilog="Example: slth bounds network --arch lenet5 --error 0.01")(network)


@bounds_app.command("list", epilog="Example: slth bounds list --json")
def list_bounds(as_json: Json = False) -> None:
    """List all bounds: what each says, whether its constant is known, and where its statement was checked."""
    from slth.theory.bounds import BOUNDS

    if as_json:
        echo_json([_bound_record(key) for key in BOUNDS], own_text=True)
        return
    rows = [(key, rule.title, rule.reference.constant, rule.reference.checked) for key, rule in BOUNDS.items()]
    table(("key", "statement", "constant", "statement checked"), rows, numbers=False)


@bounds_app.command("show", epilog="Example: slth bounds show becchetti2022")
def show(key: Annotated[str, typer.Argument(help="As in slth bounds list.")], as_json: Json = False) -> None:
    """Show one bound: its source, its hypotheses, its arguments."""
    about = _bound_record(key)
    if as_json:
        echo_json(about, own_text=True)
        return
    arguments = about.pop("arguments")
    words = {"scope": "ε is of a", "checked": "statement checked"}
    rows = [(words.get(name, name), str(value)) for name, value in about.items() if value != ""]
    table(("", ""), rows, numbers=False)
    echo()
    table(
        ("argument", "meaning", "range", ""),
        [(f"--{a['name'].replace('_', '-')}", a["meaning"], a["range"], "" if a["needed"] else "optional")
         for a in arguments],
        numbers=False,
    )  # fmt: skip


@bounds_app.command(
    "compute", epilog="Example: slth bounds compute dacunha2023 --d 3 --c-in 1 --c-out 16 --depth 2 --eps 0.1"
)
def compute(
    key: Annotated[str, typer.Argument(help="As in slth bounds list; slth bounds show KEY tells its arguments.")],
    d: Annotated[int | None, typer.Option("--d", help="Side of a kernel.")] = None,
    c_in: Annotated[int | None, typer.Option(help="Input channels.")] = None,
    c_out: Annotated[int | None, typer.Option(help="Output channels.")] = None,
    depth: Annotated[int | None, typer.Option(help="Layers of the target.")] = None,
    dimension: Annotated[int | None, typer.Option("--D", help="Dimension of one subset sum, d²·c_out.")] = None,
    k: Annotated[int | None, typer.Option("--k", help="Size of the subset.")] = None,
    weights: Annotated[int | None, typer.Option(help="Number of parameters of the target.")] = None,
    units: Annotated[int | None, typer.Option(help="Width of the target.")] = None,
    eps: Annotated[float | None, typer.Option(help="Tolerance.")] = None,
    delta: Annotated[float | None, typer.Option(help="Failure probability.")] = None,
    precision: Annotated[float | None, typer.Option(help="Step of a quantised target.")] = None,
    z: Annotated[float | None, typer.Option("--z", help="|z_i| of the target.")] = None,
    norm: Annotated[float | None, typer.Option(help="Largest ‖K‖₁.")] = None,
    law: Annotated[str | None, typer.Option(help="nsn, gaussian or uniform.")] = None,
    constant: Constant = None,
    as_json: Json = False,
) -> None:
    """Evaluate one bound; arguments that violate a hypothesis are refused, and the hypothesis is named."""
    from slth.theory import bounds

    given = {
        "d": d, "c_in": c_in, "c_out": c_out, "depth": depth, "D": dimension, "k": k, "weights": weights,
        "units": units, "eps": eps, "delta": delta, "precision": precision, "z": z, "norm": norm, "law": law,
    }  # fmt: skip
    bound = bounds.compute(key, constant=constant, **{name: one for name, one in given.items() if one is not None})
    if bound.violations:
        raise InputError(f"{key} {bound}.")
    if as_json:
        echo_json(evaluation_record(bound), own_text=True)
        return
    reference = bounds.BOUNDS[key].reference
    rows = [(bound.quantity, str(bound)), ("formula", bound.form), ("direction", bound.direction)]
    rows += [("hypothesis", f"{one.text}: {'holds' if one.holds else 'not checked'}") for one in bound.hypotheses]
    rows.append(("source", f"{reference.authors} ({reference.year}); statement checked: {reference.checked}"))
    table(("", ""), rows, numbers=False)


@bounds_app.command("layer", epilog="Example: slth bounds layer --d 5 --c-in 6 --c-out 16 --depth 5 --eps 0.1")
def layer(
    c_in: Annotated[int, typer.Option(help="Input channels.")],
    c_out: Annotated[int, typer.Option(help="Output channels.")],
    d: Annotated[int, typer.Option("--d", help="Side of a kernel; 1 for a linear layer.")] = 1,
    depth: Annotated[int, typer.Option(help="Layers of the network.")] = 1,
    eps: Eps = 0.1,
    delta: Delta = 0.01,
    z: Z = 0.5,
    k: Annotated[int | None, typer.Option("--k", help="Subset size, for the fixed-size bounds.")] = None,
    constant: Constant = None,
    as_json: Json = False,
) -> None:
    """Compare all bounds that apply to one layer, for one error of the network's output."""
    from slth.theory import bounds

    one = bounds.Layer(d=d, c_in=c_in, c_out=c_out, depth=depth, eps=eps, delta=delta, z=z, k=k)
    entries = bounds.for_layer(one, constant=constant)
    if as_json:
        echo_json(layer_record(one, entries), own_text=True)
        return
    known = [(entry.key, entry.bound, bounds.BOUNDS[entry.key]) for entry in entries if entry.bound is not None]
    table(
        ("key", "ε is of a", "bound", "direction", "what is counted", "statement checked"),
        [
            (key, rule.scope, str(bound), bound.direction, bound.quantity, rule.reference.checked)
            for key, bound, rule in known
        ],
        numbers=False,
    )
    for entry in entries:
        if entry.bound is None:
            echo(entry.note if entry.note.startswith(entry.key) else f"{entry.key}: {entry.note}")
    echo(f"D = {one.dimension:,}; each subset sum within {one.tolerance:.3g} for an output error of {eps:g}.")


@bounds_app.command("plot", epilog="Example: slth bounds plot --D 9 --out bounds.png")
def plot(
    out: Annotated[Path, typer.Option(help="The .png to write.")],
    dimension: Annotated[int, typer.Option("--D", help="Dimension of one subset sum.")] = 9,
    z: Z = 0.5,
    constant: Annotated[float, typer.Option(help="Assumed for every unspecified constant.")] = 1.0,
) -> None:
    """Draw the number of candidates of one subset sum against its tolerance."""
    if check_writable(out, "--out").suffix != ".png":
        raise InputError(f"--out must be a .png file; got {out}. For example: --out {out.with_suffix('.png').name}")
    check_int("D", dimension, 1, hint="It is the dimension of one subset sum.")
    from slth.apps.bound_curves import PLOT_EPS, bound_curves
    from slth.figures import width_against_eps
    from slth.report import png

    curves = bound_curves(dimension, z, constant, progress=True)
    ax = width_against_eps(eps=PLOT_EPS, curves=curves, dimension=dimension)
    write_whole(out, png(ax))
    echo(f"written: {out}")


def _bound_record(key: str) -> dict[str, Any]:
    from slth.errors import check_choice
    from slth.theory.bounds import BOUNDS
    from slth.theory.parameters import PARAMETERS

    check_choice("key", key, tuple(BOUNDS))
    rule = BOUNDS[key]
    arguments = [
        {"name": name, "symbol": PARAMETERS[name].symbol, "meaning": PARAMETERS[name].meaning,
         "range": PARAMETERS[name].range, "needed": needed}
        for name, needed in rule.parameters.items()
    ]  # fmt: skip
    return {"key": key, "bound": rule.title, "scope": rule.scope, **asdict(rule.reference), "arguments": arguments}
