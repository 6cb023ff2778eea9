"""The commands ``slth study …`` and ``slth report``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import progress as rich_progress

from slth.cli.show import Json, console, echo, echo_json, echo_news, table
from slth.errors import InputError
from slth.files import check_folder, check_writable
from slth.progress import Progress, Silent

study_app = typer.Typer(help="Sweeps over width, dimension, structure, …, that resume and scale.", no_args_is_help=True)
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder that a study was run in.")]


@study_app.command("list", epilog="Example: slth study list --json")
def list_studies(as_json: Json = False) -> None:
    """List the studies that come with slth."""
    from slth.experiments.engine.listing import read_listing

    found = read_listing()
    if as_json:
        echo_json(found, own_text=True)
        return
    rows = [(one["name"], f"{one['points']:,}", f"{one['smoke_points']:,}", one["title"]) for one in found]
    table(("name", "points", "with --smoke", "title"), rows, numbers=False)


@study_app.command("run", epilog="Example: slth study run existence --smoke --out existence")
def run(
    name: Annotated[str, typer.Argument(metavar="NAME|SPEC.toml", help="A shipped study, or your own spec file.")],
    out: Annotated[Path, typer.Option(help="Folder for the rows; a second run resumes.")],
    smoke: Annotated[bool, typer.Option("--smoke", help="The quick form.")] = False,
    engine: Annotated[str, typer.Option(help="local: processes of this machine; dask: a cluster.")] = "local",
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler, tcp://host:8786.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes (default: one for each core); with dask, points in flight.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print events, one JSON object per line.")] = False,
) -> None:
    """Run what the folder does not hold yet; points that failed are tried again."""
    from slth.experiments.engine.runner import run_study
    from slth.experiments.engine.spec import load_spec

    spec = load_spec(name)
    check_folder(out, "--out")
    totals = run_study(
        spec.quick() if smoke else spec, out, engine=engine, workers=workers, scheduler=scheduler,
        progress=_listener(as_json), command=shlex.join(["slth", *sys.argv[1:]]),
    )  # fmt: skip
    if totals.failed:
        raise InputError(f"{totals.failed} of {totals.total} points failed. See why with: slth study status {out}")


@study_app.command("status", epilog="Example: slth study status existence")
def status(folder: Folder, as_json: Json = False) -> None:
    """Say how far a study is and what failed, also while it runs."""
    from slth.experiments.engine.runner import read_study
    from slth.experiments.engine.study import describe, last_line

    held = read_study(folder)
    failed = [row for row in held.rows if row.status == "failed"]
    if as_json:
        failures = [{"key": row.key, "point": row.point, "seed": row.seed, "error": row.error} for row in failed]
        counts = {**asdict(held.totals), "missing": held.totals.missing}
        echo_json({"study": held.study.name, "spec": held.spec.digest, **counts, "failures": failures}, indent=None)
        return
    totals = held.totals
    table(
        ("study", "points", "done", "failed", "missing"),
        [(held.study.name, *(f"{one:,}" for one in (totals.total, totals.done, totals.failed, totals.missing)))],
    )
    if failed:
        table(("failed", "point", "error"), [(row.key, describe(row), last_line(row.error)) for row in failed[:20]],
              numbers=False)  # fmt: skip
    if len(failed) > 20:
        echo(f"… and {len(failed) - 20} more: slth study export {folder} --csv FILE")


@study_app.command("export", epilog="Example: slth study export existence --csv rows.csv")
def export(
    folder: Folder,
    csv: Annotated[Path | None, typer.Option(help="Write CSV here.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write Parquet here.")] = None,
) -> None:
    """Write all rows as a table, with a column for each parameter and result."""
    from slth.experiments.engine.tables import export_csv, export_parquet

    if csv is None and parquet is None:
        raise InputError("nothing to write. Name a file with --csv FILE or --parquet FILE.")
    for option, path in (("--csv", csv), ("--parquet", parquet)):
        if path is not None:
            check_writable(path, option)
    for path, write in ((csv, export_csv), (parquet, export_parquet)):
        if path is not None:
            echo(f"{write(folder, path):,} rows written: {path}")


@study_app.command("plot", epilog="Example: slth study plot existence")
def plot(folder: Folder) -> None:
    """Draw the study's figures into its folder, PNG and SVG, and print its tables."""
    from slth.experiments.engine.results import plot_study

    sections, written = plot_study(folder)
    for section in sections:
        if section.rows:
            echo(f"\n{section.title}", newlines=True)
            table(tuple(section.header), [tuple(map(str, row)) for row in section.rows])
    for path in written:
        echo(f"written: {path}")


@study_app.command("rerun", epilog="Example: slth study rerun existence 3f2a9c")
def rerun(
    folder: Folder,
    key: Annotated[str, typer.Argument(help="Key of a row, or its beginning.")],
    as_json: Json = False,
) -> None:
    """Run a point again, and say whether the result is the same or what differs."""
    from slth.experiments.engine.rerun import rerun as run_again
    from slth.experiments.engine.study import describe

    found = run_again(folder, key)
    same = not found.differences
    if as_json:
        record = {"key": found.row.key, "reproduces": same, "differences": found.differences}
        echo_json({**record, "changes": found.changes}, indent=None)
    else:
        echo(f"{found.row.key}: {describe(found.row)}")
        echo(f"{'reproduces' if same else 'differs'}; {found.row.seconds:.3g} s then, {found.seconds:.3g} s now")
        for header, pairs in (("result", found.differences), ("installation", found.changes)):
            if pairs:
                table((header, "stored", "now"), [(place, *map(str, pair)) for place, pair in pairs.items()])
    if not same:
        raise typer.Exit(1)


def report(folder: Folder) -> None:
    """Write DIR/report.html: every figure, the numbers behind it, provenance, commands; one file, no network."""
    from slth.experiments.engine.results import report_study

    echo(f"written: {report_study(folder)}")


def _listener(as_json: bool) -> Progress:
    if as_json:
        return _JsonLines()
    return _Bar() if console.is_terminal else _FirstAndLastLine()


class _JsonLines(Silent):
    """Prints each report as a line of JSON, and news on standard error."""

    def report(self, task: str, facts: Mapping[str, Any]) -> None:
        echo_json(facts, indent=None)

    def say(self, line: str) -> None:
        echo(line, err=True)


class _FirstAndLastLine(Silent):
    """Prints news, a line when the run begins and one when it ends: all there is to see where no terminal is."""

    def say(self, line: str) -> None:
        echo_news(line, console)

    def report(self, task: str, facts: Mapping[str, Any]) -> None:
        if facts["event"] == "start":
            line = f"{facts['study']}: {facts['total']:,} points, {facts['done']:,} of them done before"
        elif facts["event"] == "end":
            line = f"{facts['done']:,} done, {facts['failed']:,} failed in {facts['elapsed']:.1f} s"
        else:
            return
        echo_news(line, console)


class _Bar(_FirstAndLastLine):
    """Between the first line and the last one, a bar: points done, points failed, rate and time left."""

    def __init__(self) -> None:
        self._bars = rich_progress.Progress(
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TextColumn("{task.fields[failed]} failed"),
            rich_progress.TextColumn("{task.fields[rate]:.3g}/s"),
            rich_progress.TextColumn("{task.fields[left]} left"),
            console=console,
            transient=True,
        )

    def begin(self, task: str, total: int, done: int = 0) -> None:
        self._bar = self._bars.add_task(task, total=total, completed=done, failed=0, rate=0.0, left="–")
        self._bars.start()

    def report(self, task: str, facts: Mapping[str, Any]) -> None:
        super().report(task, facts)
        if facts["event"] == "point":
            ended = facts["done"] + facts["failed"]
            # Rich's own estimate forgets what is older than half a minute: of slow points it would have none.
            left = str(timedelta(seconds=round(facts["eta"])))
            self._bars.update(self._bar, completed=ended, failed=facts["failed"], rate=facts["rate"], left=left)

    def end(self, task: str) -> None:
        self._bars.stop()
