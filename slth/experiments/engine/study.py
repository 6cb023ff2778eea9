"""What a study is: its points, how one of them is run, and what the rows show.

A study is data and pure functions. The runner (:mod:`slth.experiments.engine.runner`) turns a spec file into points,
runs those that a store does not hold yet, on any engine, and keeps one row for each. Figures and tables are functions
of the rows alone. A study therefore needs to know nothing of files, processes or progress.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:  # a worker draws nothing: it starts without matplotlib
    from slth.report import Section


class Point(BaseModel):
    """Parameters of one point. A subclass declares them with defaults and limits, and pydantic checks them.

    Points are frozen, accept no unknown key, and turn into JSON. The seed is not part of a point.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=True)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a store holds of one (point, seed).

    Attributes:
        key: unique; a function of study, point and seed.
        study: name of the study.
        point: parameters of the point, those left at their defaults included.
        seed: seed of everything random in the point.
        status: ``done`` or ``failed``.
        result: what ``Study.run`` returned, JSON-ready; empty on failure.
        error: a traceback; empty on success.
        seconds: wall time of the point.
        peak_memory: bytes the worker held at most.
        provenance: spec digest, commit, versions, machine, budget, engine, time.
    """

    key: str
    study: str
    point: Mapping[str, Any]
    seed: int
    status: str
    result: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    seconds: float = 0.0
    peak_memory: float = 0.0
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study, as the runner needs to know it.

    Attributes:
        name: as in ``study = "…"`` of a spec file.
        title: a line, for lists and reports.
        about: paragraphs on what the study shows, and how.
        point: the type of its points.
        run: (point, seed) → results, JSON-ready. It is deterministic, but for what it measures with a clock. It raises
            on failure. A worker with one thread calls it, so it must be importable by name.
        sections: rows with status ``done`` → tables and figures of the report. Rows may be missing; the sections say
            so then.
        points: one grid of a spec (key → values) → points; None for the product of the values. For grids that are
            computed, such as widths around a threshold.
        imports: names of modules that ``run`` imports when it is called. A worker imports them when it starts, so that
            their time is no point's. The module of the study itself imports nothing heavy: the process that hands out
            the points imports it too.
        keys: keys of a grid that ``points`` reads, beside the parameters of a point.
        clocks: names of results that a second run need not repeat, wherever they stand in the result. A name with
            "seconds" in it counts as a clock without being listed.
    """

    name: str
    title: str
    about: str
    point: type[Point]
    run: Callable[[Any, int], dict[str, Any]]
    sections: Callable[[Sequence[Row]], list[Section]]
    points: Callable[[Mapping[str, Sequence[Any]]], Iterable[Point]] | None = None
    imports: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    clocks: tuple[str, ...] = ()


def describe(row: Row) -> str:
    """The point and seed of a row, in a line; parameters that are empty are left out."""
    parts = [f"{name} = {value}" for name, value in row.point.items() if value not in ("", None)]
    return ", ".join([*parts, f"seed {row.seed}"])


def last_line(error: str) -> str:
    """The last line of a traceback: the exception and its message."""
    return error.strip().splitlines()[-1] if error.strip() else ""
