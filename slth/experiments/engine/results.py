"""What a folder of rows gives: tables as CSV or Parquet, figures, a report, and a row that is run again."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slth.errors import DataError, InputError
from slth.experiments.engine.pool import complete, open_pool
from slth.experiments.engine.registry import load_study
from slth.experiments.engine.runner import Holding, read_study
from slth.experiments.engine.spec import make_spec
from slth.experiments.engine.store import Store
from slth.experiments.engine.study import Row, Study
from slth.experiments.engine.worker import Task
from slth.files import write_whole
from slth.report import Section, png, write_report

# What a row holds beside its point, result and provenance.
COLUMNS = ("key", "study", "seed", "status", "seconds", "peak_memory", "error")
# More failures than these are not listed in a report.
MOST_FAILURES = 50


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A row beside the same point run again.

    Attributes:
        row: as stored. differences: place in the result → (stored, now), clocks left out; or ``error``, if one of the
            two failed; empty if the row reproduces.
        changes: what differs of the versions, commit and machine → (stored, now).
        seconds: of the second run.
    """

    row: Row
    differences: dict[str, tuple[Any, Any]]
    changes: dict[str, tuple[Any, Any]]
    seconds: float


def export_csv(folder: str | Path, path: str | Path) -> int:
    """All rows of a folder as CSV, a column for each parameter and result, lists as JSON; returns how many."""
    table = _flat_rows(folder)
    header = _header(table)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    for row in table:
        writer.writerow([json.dumps(one) if isinstance(one := row.get(name, ""), list) else one for name in header])
    write_whole(path, text.getvalue())
    return len(table)


def export_parquet(folder: str | Path, path: str | Path) -> int:
    """All rows of a folder as Parquet, a column for each parameter and result; returns how many."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as cause:
        raise InputError(
            'Parquet needs pyarrow. Install it with: pip install "slth[parquet]", or use --csv.'
        ) from cause
    table = _flat_rows(folder)
    columns = {}
    for name in _header(table):
        values = [row.get(name) for row in table]
        try:
            columns[name] = pyarrow.array(values)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):  # numbers in one row and text in another
            columns[name] = pyarrow.array([None if one is None else json.dumps(one) for one in values])
    data = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), data)
    write_whole(path, data.getvalue())
    return len(table)


def plot_study(folder: str | Path) -> tuple[list[Section], list[Path]]:
    """The sections of a folder's study, and the PNG and SVG files written into it, two for each figure."""
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
    """What the study makes of the rows that are done.

    Raises:
        DataError: none is.
    """
    rows = [row for row in holding.rows if row.status == "done"]
    if not rows:
        raise DataError("no point of this study is done. Run it first, or see why its points failed: slth study status")
    return holding.study.sections(rows)


def report_study(folder: str | Path) -> Path:
    """Write ``report.html``: every table and figure, where they come from, and the commands that made them."""
    holding = read_study(folder)
    study, totals = holding.study, holding.totals
    sections = [Section("What this shows", study.about), *study_sections(holding)]
    failures = [row for row in holding.rows if row.status == "failed"]
    if failures:
        lines = [(row.key, describe(row), last_line(row.error)) for row in failures[:MOST_FAILURES]]
        said = f"The first {len(lines)} of {len(failures):,}." if len(lines) < len(failures) else ""
        sections.append(Section("Points that failed", said, ("key", "point", "error"), lines))
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


def rerun(folder: str | Path, key: str) -> Comparison:
    """Run a stored point again, in a worker as the first time, and compare.

    Args:
        key: of the row, or its beginning if no other row's begins so.

    Raises:
        DataError: no such row, or several.
    """
    with Store(folder) as store:
        found = store.rows(key=key)
        runs = store.runs()
    if len(found) != 1 or not key:
        raise DataError(
            f"{len(found)} rows of {folder} have a key that begins with {key!r}; it must be one. "
            f"Keys are listed by: slth study export {folder} --csv FILE"
        )
    row, spec = found[0], make_spec(runs[-1]["spec"], f"the spec stored in {folder}")
    task = Task(row.key, spec.study, spec.paths, dict(row.point), row.seed, spec.budget.seconds)
    pool = open_pool("local", workers=1)
    try:
        (outcome,) = complete([task], pool, retries=spec.budget.retries)  # to fail as the first time
    finally:
        pool.close()
    before, again = {"error": last_line(row.error)}, {"error": last_line(outcome.error)}
    if before == again:
        before, again = dict(row.result), json.loads(outcome.result)
    study = load_study(spec.study, spec.paths)
    ours = {name: row.provenance.get(name) for name in ("commit", "environment")}
    return Comparison(
        row=row,
        differences=dict(_different(_flat(before), _flat(again), study)),
        changes=dict(_different(_flat(ours), _flat(json.loads(outcome.origin)), None)),
        seconds=outcome.seconds,
    )


def describe(row: Row) -> str:
    """The point and seed of a row, in a line; parameters that are left empty are left out."""
    said = [f"{name} = {value}" for name, value in row.point.items() if value not in ("", None)]
    return ", ".join([*said, f"seed {row.seed}"])


def last_line(error: str) -> str:
    """What a traceback ends with."""
    return error.strip().splitlines()[-1] if error.strip() else ""


def is_clock(place: str, study: Study) -> bool:
    """Whether a result, named by the dotted place where it stands, was measured with a clock."""
    return any("seconds" in step or step in study.clocks for step in place.split("."))


def _different(
    before: Mapping[str, Any], now: Mapping[str, Any], study: Study | None
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for place in {**before, **now}:
        pair = before.get(place), now.get(place)
        if (study is None or not is_clock(place, study)) and not _same(*pair):
            yield place, pair


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    both_nan = isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    return both_nan or bool(one == other)


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted names; a list of mappings counts as a mapping by number."""
    flat: dict[str, Any] = {}
    for name, one in value.items():
        if isinstance(one, list) and any(isinstance(part, Mapping) for part in one):
            one = {str(i): part for i, part in enumerate(one)}
        flat |= _flat(one, f"{prefix}{name}.") if isinstance(one, Mapping) else {f"{prefix}{name}": one}
    return flat


def _flat_rows(folder: str | Path) -> list[dict[str, Any]]:
    with Store(folder) as store:
        rows = store.rows()
    return [
        {name: getattr(row, name) for name in COLUMNS}
        | _flat({"point": row.point, "result": row.result, "provenance": row.provenance})
        for row in rows
    ]


def _header(table: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in table for name in row)) or list(COLUMNS)


def _provenance(holding: Holding) -> Iterator[tuple[str, str]]:
    rows = holding.rows
    yield "rows", f"{len(rows):,}"
    yield "finished", f"{min(row.provenance['time'] for row in rows)} … {max(row.provenance['time'] for row in rows)}"
    yield "seconds in points", f"{sum(row.seconds for row in rows):,.1f}"
    yield "most memory of a worker", f"{max(row.peak_memory for row in rows) / 1e6:,.0f} MB"
    seen: dict[str, dict[str, None]] = {}
    for row in rows:
        for name, value in _flat({key: one for key, one in row.provenance.items() if key != "time"}).items():
            seen.setdefault(name, {})[str(value)] = None
    for name, values in seen.items():
        yield name, ", ".join(values)
