"""The command line's entry point. An error is one clear line, and its exit code is 1."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from slth import __version__
from slth.cli.bounds import bounds_app
from slth.cli.proofs import proofs
from slth.cli.rss import reproduce_app, rss_app
from slth.cli.show import Json, echo, echo_json, echo_news, table
from slth.cli.study import report, study_app
from slth.cli.termination import TERMINATED, TERMINATED_LINE, Terminated, catch_sigterm
from slth.cli.ticket import ticket_app
from slth.cli.train import TrainCommand, compare, train
from slth.errors import SlthError
from slth.text import printable

# Heavy imports (torch, numba) are made inside the commands, so that `slth --help` answers at once.
app = typer.Typer(
    name="slth",
    help="Structured strong lottery tickets: subnetworks of random CNNs, found by subset sum, without training.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
data_app = typer.Typer(help="Data sets.", no_args_is_help=True)
app.add_typer(ticket_app, name="ticket")
app.add_typer(rss_app, name="rss")
app.add_typer(reproduce_app, name="reproduce")
app.add_typer(bounds_app, name="bounds")
app.add_typer(data_app, name="data")
app.add_typer(study_app, name="study")
app.command("report", epilog="Example: slth report existence")(report)
app.command(
    "train",
    cls=TrainCommand,
    epilog="The options of one method: slth train gem-miner --help. "
    "Example: slth train gem-miner --data digits --arch digits --density 0.05 --finetune 5 --out run",
)(train)
app.command("compare", epilog="Example: slth compare compare --smoke --out contest")(compare)
app.command("proofs", epilog="Example: slth proofs --quick")(proofs)
INTERRUPTED = 130


def main() -> None:
    """Entry point: run the app; print slth's own errors, and the system's, as one line and exit with 1."""
    try:
        with catch_sigterm():
            code = app(standalone_mode=False) or 0
    except SlthError as error:
        echo(f"error: {error}", err=True)
        for note in getattr(error, "__notes__", ()):  # lines to copy
            echo("\n".join(f"    {line}" for line in note.splitlines()), newlines=True, err=True)
        code = 1
    except BrokenPipeError:
        code = 0  # the reader, `head` for instance, has had enough
    except OSError as error:
        # What the system refuses, wherever it does: a name that is too long, a disk that is full.
        place = "" if error.filename is None else f"{error.filename}: "
        echo(f"error: {place}{error.strerror or error}. Choose another path, or free what is missing.", err=True)
        code = 1
    except UnicodeEncodeError as error:
        echo(f"error: text must be UTF-8; got {error.object[:200]!r}. Write it in UTF-8.", err=True)
        code = 1
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Terminated:
        code = TERMINATED
        echo(TERMINATED_LINE, err=True)
    except Exception as error:
        # A usage error of the parser has a method `show`. Anything else is a bug and keeps its traceback.
        if not (hasattr(error, "show") and hasattr(error, "exit_code")):
            raise
        if hasattr(error, "message"):
            error.message = printable(str(error.message), newlines=True)
        error.show()
        code = error.exit_code
    if code == INTERRUPTED:
        echo("interrupted: no file was left half-written", err=True)
    sys.exit(code)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        echo(f"slth {__version__}")
        raise typer.Exit


@app.command(epilog="Example: slth demo --out my-demo")
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("slth-demo"),
    seed: Annotated[int, typer.Option(help="Seed of the random parent.")] = 0,
) -> None:
    """Train a small CNN on digits, find its ticket in a random CNN, verify it, and write a report."""
    from slth.apps.demo import run_demo
    from slth.progress import Bars

    run_demo(out, seed=seed, progress=Bars(write=echo_news, transient=True))


@app.command(epilog="Example: slth doctor --json")
def doctor(as_json: Json = False) -> None:
    """Check that this installation computes what it should, and say what it has to work with."""
    from slth.apps.doctor import examine

    checks = examine()
    if as_json:
        echo_json([asdict(check) for check in checks])
    else:
        table(("check", "", "found"), [(c.name, "ok" if c.ok else "FAILED", c.found) for c in checks], numbers=False)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


@data_app.command("list", epilog="Example: SLTH_DATA=~/data slth data list")
def data_list(as_json: Json = False) -> None:
    """Data sets that --data can name here."""
    from slth.data.catalogue import available, data_folder

    found = available()
    if as_json:
        echo_json(found)
        return
    table(("name", "what"), list(found.items()), numbers=False)
    if data_folder() is None:
        echo("Set SLTH_DATA to a folder with one folder of IDX files per data set to see more.")
