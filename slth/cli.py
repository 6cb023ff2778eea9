"""The command line. Each command reads its options, calls the library, prints; errors are one clear line."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slth import __version__
from slth.cli_proofs import proofs
from slth.cli_rss import reproduce_app, rss_app
from slth.errors import InputError, SlthError
from slth.show import Json, console, table

if TYPE_CHECKING:
    from slth.tickets import Ticket

# The heavy imports (torch, numba) are made inside the commands: `slth --help` answers at once.
app = typer.Typer(
    name="slth",
    help="Structured strong lottery tickets: subnetworks of random CNNs, found by subset sum, without training.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
ticket_app = typer.Typer(help="Find, verify, evaluate and show tickets.", no_args_is_help=True)
data_app = typer.Typer(help="Data sets.", no_args_is_help=True)
app.add_typer(ticket_app, name="ticket")
app.add_typer(rss_app, name="rss")
app.add_typer(reproduce_app, name="reproduce")
app.add_typer(data_app, name="data")
app.command("proofs", epilog="Example: slth proofs --quick")(proofs)
INTERRUPTED = 130

File = Annotated[Path, typer.Argument(help="A .slth file.")]


def main() -> None:
    """Entry point: run the app; print slth's own errors as one line and exit with 1."""
    try:
        code = app(standalone_mode=False) or 0
    except SlthError as error:
        typer.echo(f"error: {error}", err=True)
        code = 1
    except BrokenPipeError:
        code = 0  # the reader, `head` for instance, has had enough
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        # The parser's usage errors know how to show themselves; anything else is a bug and keeps its traceback.
        if not (hasattr(error, "show") and hasattr(error, "exit_code")):
            raise
        error.show()
        code = error.exit_code
    if code == INTERRUPTED:
        typer.echo("interrupted: no file was left half-written", err=True)
    sys.exit(code)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        typer.echo(f"slth {__version__}")
        raise typer.Exit


@app.command(epilog="Example: slth demo --out my-demo")
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("slth-demo"),
    seed: Annotated[int, typer.Option(help="Seed of the random parent.")] = 0,
) -> None:
    """Train a small CNN on digits, find its ticket in a random CNN, verify it, and write a report."""
    from slth.experiments.demo import run_demo

    run_demo(out, seed=seed, say=lambda line: console.print(line, highlight=False, soft_wrap=True))


@app.command(epilog="Example: slth doctor --json")
def doctor(as_json: Json = False) -> None:
    """Check that this installation computes what it should, and say what it has to work with."""
    from slth.experiments.doctor import examine

    checks = examine()
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        table(("check", "", "found"), [(c.name, "ok" if c.ok else "FAILED", c.found) for c in checks], numbers=False)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


@ticket_app.command(
    "find",
    epilog="Example: slth ticket find --arch lenet5 --weights lenet5.safetensors --width conv=60000,linear=20000 "
    "--input-range 0,1 --out lenet5.slth",
)
def find(
    width: Annotated[str, typer.Option(help="One number, or e.g. conv=60000,linear=20000,fc3=5000.")],
    out: Annotated[Path, typer.Option(help="The .slth file to write.")],
    arch: Annotated[str | None, typer.Option(help="A built-in architecture; needs --weights.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Its weights, a safetensors file.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="path.py:function that returns a model, or (model, example_input)."),
    ] = None,
    input_range: Annotated[
        str | None, typer.Option(help="lo,hi of the network's inputs, e.g. 0,1 for pixels. Default: any sign.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random parent.")] = 0,
    law: Annotated[str, typer.Option(help="Law of its weights: normal or uniform.")] = "normal",
    method: Annotated[str, typer.Option(help="auto, exact, pursuit or relax.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="Default: every core.")] = None,
    as_json: Json = False,
) -> None:
    """Find the ticket of a trained network in a random parent, and save it."""
    from slth.experiments.targets import load_target, parse_range, parse_width
    from slth.tickets import find_ticket

    if out.suffix != ".slth":
        raise InputError(f"--out must end in .slth; got {out}. For example: --out {out.with_suffix('.slth').name}")
    if not out.parent.is_dir():
        raise InputError(f"--out must be in a folder that exists; {out.parent} does not. Make it first.")
    widths, span = parse_width(width), parse_range(input_range)
    network, example = load_target(arch=arch, weights=weights, model=model)
    ticket = find_ticket(
        network,
        width=widths,
        example_input=example,
        input_range=span,
        seed=seed,
        law=law,
        method=method,
        threads=threads,
        progress=not as_json,
    )
    ticket.save(out)
    _show(ticket, out, as_json)


@ticket_app.command("verify", epilog="Example: slth ticket verify lenet5.slth")
def verify(file: File, as_json: Json = False) -> None:
    """Regenerate the kept channels from the seed and recompute every error in a saved ticket."""
    from slth.tickets import load_ticket

    result = load_ticket(file).verify()
    if as_json:
        typer.echo(json.dumps({"ok": result.ok, **asdict(result)}, indent=2))
    elif result:
        typer.echo(
            f"verified: {result.channels:,} kept channels regenerated from the seed, "
            f"{result.instances:,} subset sums recomputed, every error as recorded"
        )
    if not result:
        if not as_json:
            for failure in result.failures:
                typer.echo(f"error: {failure}", err=True)
        raise typer.Exit(1)


@ticket_app.command("evaluate", epilog="Example: slth ticket evaluate lenet5.slth --data mnist")
def evaluate(
    file: File,
    data: Annotated[str, typer.Option(help="digits, a name in $SLTH_DATA, or a folder with IDX files.")],
    split: Annotated[str, typer.Option(help="train or test.")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N examples.")] = None,
    controls: Annotated[bool, typer.Option(help="Also a random ticket and, if small, the unpruned parent.")] = True,
    as_json: Json = False,
) -> None:
    """Accuracy of a ticket on data, beside its target and a random ticket of the same size."""
    from slth import data as datasets
    from slth import tickets

    ticket = tickets.load_ticket(file)
    chosen = datasets.load(data, split)
    if limit is not None:
        chosen = datasets.Split(chosen.images[:limit], chosen.labels[:limit])
    scores = tickets.evaluate(ticket, chosen, controls=controls)
    if as_json:
        typer.echo(json.dumps({"examples": len(chosen), "scores": [asdict(score) for score in scores]}, indent=2))
        return
    table(
        ("network", "accuracy", "agrees with target", "hidden channels", "seconds"),
        [
            (s.name, f"{s.accuracy:.2%}", f"{s.agreement:.2%}", f"{s.hidden_channels:,}", f"{s.seconds:.1f}")
            for s in scores
        ],
    )


@ticket_app.command("show", epilog="Example: slth ticket show lenet5.slth --json")
def show(file: File, as_json: Json = False) -> None:
    """What a saved ticket holds: parent, layers, kept channels, errors."""
    from slth.tickets import load_ticket

    _show(load_ticket(file), file, as_json)


@data_app.command("list", epilog="Example: SLTH_DATA=~/data slth data list")
def data_list(as_json: Json = False) -> None:
    """Data sets that --data can name here."""
    from slth import data as datasets

    found = datasets.available()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    table(("name", "what"), list(found.items()), numbers=False)
    if datasets.data_folder() is None:
        typer.echo("Set SLTH_DATA to a folder with one folder of IDX files per data set to see more.")


def _show(ticket: Ticket, file: Path, as_json: bool) -> None:
    parent = ticket.parent
    size = file.stat().st_size
    if as_json:
        record: dict[str, Any] = {
            "file": str(file),
            "bytes": size,
            "parent": parent.describe(),
            "target_hash": ticket.target.hash(),
            "kept_channels": ticket.kept_channels,
            "layers": [asdict(layer) for layer in ticket.layers],
            "info": {key: value for key, value in ticket.info.items() if key != "target_hash"},
        }
        typer.echo(json.dumps(record, indent=2))
        return
    table(
        ("layer", "D", "width", "kept", "density", "largest error", "relative RMS", "core seconds"),
        [
            (
                layer.name,
                str(layer.dimension),
                f"{layer.width:,}",
                f"{layer.kept:,}",
                f"{layer.density:.2%}",
                f"{layer.error:.2g}",
                f"{layer.relative_rms:.2%}",
                f"{layer.seconds:.1f}",
            )
            for layer in ticket.layers
        ],
    )
    random = sum(layer.weight_count for layer in parent.layers)
    typer.echo(
        f"{file.name}: {size / 1000:,.0f} kB; parent seed {parent.seed}, law {parent.law}, {random:,} random weights; "
        f"{ticket.kept_channels:,} hidden channels kept for {ticket.target.weight_count:,} target weights"
    )
