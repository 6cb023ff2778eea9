"""A study: what one point is, how it is run, and what its rows show.

A study is data and pure functions. The runner (:mod:`slth.experiments.engine.runner`) turns a spec file into points,
runs those that a store does not yet hold, on any engine, and keeps one row for each; figures and tables are functions
of rows alone. A study therefore knows nothing of files, processes or progress.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:  # a worker draws nothing: it starts without matplotlib
    from slth.report import Section


class Point(BaseModel):
    """Parameters of one point. Subclasses declare them, with defaults and limits: that is the validation.

    Points are frozen, take no unknown key, and are JSON-ready; seeds are not part of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=True)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a store holds of one (point, seed).

    Attributes:
        key: unique. study: its name. point: its parameters, defaults included. seed: of everything random in it.
        status: ``done`` or ``failed``. result: what ``Study.run`` returned, JSON-ready; empty on failure.
        error: a traceback, or nothing. seconds: wall. peak_memory: bytes.
        provenance: spec hash, commit, versions, machine, budget, time.
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
    """What the runner needs to know.

    Attributes:
        name: as in ``study = "…"`` of a spec file. title: a line. about: paragraphs on what it shows, and how.
        point: the type of its points.
        run: (point, seed) → results, JSON-ready. Deterministic but for what it measures with a clock; raises on
            failure; called in a worker with one thread, so it must be importable by name.
        sections: rows with status ``done`` → tables and figures of the report. Rows may be missing; it says so then.
        points: one grid of a spec (key → values) → points; None for the product of the values. For grids that are
            computed, such as widths around a threshold.
        keys: of a grid, beside the parameters of a point, that ``points`` reads.
        clocks: names of results that a second run need not repeat, wherever they stand in the result; those with
            "seconds" in their name are taken for clocks without being named.
    """

    name: str
    title: str
    about: str
    point: type[Point]
    run: Callable[[Any, int], dict[str, Any]]
    sections: Callable[[Sequence[Row]], list[Section]]
    points: Callable[[Mapping[str, Sequence[Any]]], Iterable[Point]] | None = None
    keys: tuple[str, ...] = ()
    clocks: tuple[str, ...] = ()
