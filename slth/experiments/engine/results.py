"""What the rows of a folder show: figures as files, and a report."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from slth.errors import DataError
from slth.experiments.engine.runner import Holding, read_study
from slth.experiments.engine.study import describe, last_line
from slth.experiments.engine.tables import flatten
from slth.files import write_whole
from slth.report import Section, png, write_report

# A report lists no more failures than these.
MOST_FAILURES = 50


def plot_study(folder: str | Path) -> tuple[list[Section], list[Path]]:
    """Write each figure of a folder's study into the folder, as PNG and as SVG.

    Args:
        folder: where the study was run.

    Returns:
        The sections of the study, and the files written.
    """
    holding = read_study(folder)
    sections = study_sections(holding)
    written = []
    for number, section in enumerate((one for one in sections if one.figure is not None), start=1):
        assert section.figure is not None
        name = re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-")
        stem = f"{holding.study.name}-{number}-{name}".rstrip("-")
        written.append(write_whole(Path(folder) / f"{stem}.png", png(section.figure)))
        drawn, figure = io.StringIO(), section.figure.get_figure(root=True)
        assert figure is not None
        figure.savefig(drawn, format="svg")
        written.append(write_whole(Path(folder) / f"{stem}.svg", drawn.getvalue()))
    return sections, written


def study_sections(holding: Holding) -> list[Section]:
    """Let the study draw its rows that are done.

    Args:
        holding: what a folder holds.

    Returns:
        The tables and figures of the study.

    Raises:
        DataError: no row is done.
    """
    rows = [row for row in holding.rows if row.status == "done"]
    if not rows:
        raise DataError("no point of this study is done. Run it first, or see why its points failed: slth study status")
    return holding.study.sections(rows)


def report_study(folder: str | Path) -> Path:
    """Write ``report.html``: every table and figure, where the numbers come from, and the commands that made them.

    Args:
        folder: where the study was run.

    Returns:
        The file, in the folder.
    """
    holding = read_study(folder)
    study, totals = holding.study, holding.totals
    sections = [Section("What this shows", study.about), *study_sections(holding)]
    failures = [row for row in holding.rows if row.status == "failed"]
    if failures:
        lines = [(row.key, describe(row), last_line(row.error)) for row in failures[:MOST_FAILURES]]
        text = f"The first {len(lines)} of {len(failures):,}." if len(lines) < len(failures) else ""
        sections.append(Section("Points that failed", text, ("key", "point", "error"), lines))
    sections.append(Section("Where the numbers come from", header=("", "value"), rows=list(_provenance(holding))))
    commands = dict.fromkeys(run["command"] for run in holding.runs if run["command"])
    sections.append(Section("Commands", code="\n".join([*commands, shlex.join(["slth", "report", str(folder)])])))
    sections.append(Section("Spec", code=holding.spec.text.strip()))
    state = f"{totals.done} of {totals.total} points done, {totals.failed} failed, {totals.missing} not run"
    return write_report(
        Path(folder) / "report.html",
        title=holding.spec.title or study.title,
        lead=f"Study “{study.name}”: {state}.",
        sections=sections,
        footer=f"slth study {study.name} · spec {holding.spec.digest} · {state}",
    )


def _provenance(holding: Holding) -> Iterator[tuple[str, str]]:
    rows = holding.rows
    yield "rows", f"{len(rows):,}"
    yield "finished", f"{min(row.provenance['time'] for row in rows)} … {max(row.provenance['time'] for row in rows)}"
    yield "seconds in points", f"{sum(row.seconds for row in rows):,.1f}"
    yield "most memory of a worker", f"{max(row.peak_memory for row in rows) / 1e6:,.0f} MB"
    seen: dict[str, dict[str, None]] = {}
    for row in rows:
        for name, value in flatten({key: one for key, one in row.provenance.items() if key != "time"}).items():
            seen.setdefault(name, {})[str(value)] = None
    for name, values in seen.items():
        yield name, ", ".join(values)
