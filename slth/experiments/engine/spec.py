"""Spec files: the grid of points and seeds of a study, as TOML. A spec is checked before anything runs.

study = "dimension"        # a name of `slth study list`, or "module:ATTRIBUTE" for a study of your own
title = "…"                # optional
seeds = 5                  # 0 … 4; or a list
[point]                    # values that all points share, unless a grid names them
method = "relax"
[[grid]]                   # the product of these lists; several grids are joined, duplicates dropped
D = [4, 9]
ratio = [10, 30]
[budget]
retries = 2                # how often a point is run again after its worker died
seconds = 600              # what one point may take; leave it out for no limit
[smoke]                    # the quick form: replaces what it names
seeds = 1
[[smoke.grid]]
D = [4]
ratio = [10]
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import os
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slth.errors import DataError, InputError, check_keys
from slth.experiments.engine.grid import Grids, Seeds, product
from slth.experiments.engine.study import Point, Study

# A store is not meant for more rows: a larger grid is a mistake.
MOST_POINTS = 1_000_000
SHIPPED_SPECS = resources.files("slth.experiments.studies") / "specs"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Budget(_Table):
    """What a point may take.

    Attributes:
        retries: how often a point is run again after its worker died of it.
        seconds: wall time of one attempt; None for no limit. On this machine a point that does not come back from
            compiled code is ended with its worker, two seconds later. On Dask it is stopped when it comes back.
    """

    retries: Annotated[int, Field(ge=0, le=100)] = 2
    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class Smoke(_Table):
    """What the quick form replaces.

    Attributes:
        seeds: replaces the seeds as a whole.
        point: replaces the shared values key by key.
        grid: replaces all grids.
        budget: replaces the budget key by key.
    """

    seeds: Seeds | None = None
    point: dict[str, Any] = {}
    grid: Grids | None = None
    budget: dict[str, Any] = {}


class Spec(_Table):
    """What is to be run, as the file says it.

    Attributes:
        study: a name in the registry, or ``module:ATTRIBUTE``.
        title: of the report; empty for the title of the study.
        seeds: how many, counted from zero, or a list of seeds.
        point: values that all points share, unless a grid names them.
        grid: grids of values; each stands for every combination of its values.
        budget: what a point may take.
        smoke: the quick form, if there is one.
        label: name of the file, for messages.
        home: folder of the file, where a study of the user is looked for.
        text: content of the file.
    """

    study: str
    title: str = ""
    seeds: Seeds = 1
    point: dict[str, Any] = {}
    grid: Grids = ()
    budget: Budget = Budget()
    smoke: Smoke | None = None
    label: str = ""
    home: str = ""
    text: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """Where a study of the user is looked for: beside its spec file, then in the working directory."""
        return tuple(dict.fromkeys(path for path in (self.home, os.getcwd()) if path)) if ":" in self.study else ()

    @property
    def digest(self) -> str:
        """A short hash that changes with anything that is run, and with nothing else."""
        content = self.model_dump(mode="json", include={"study", "seeds", "point", "grid", "budget"})
        return hashlib.sha256(canonical(content).encode()).hexdigest()[:12]

    def quick(self) -> Spec:
        """The quick form: this spec with what its ``[smoke]`` table replaces.

        Raises:
            InputError: the file has no ``[smoke]`` table.
        """
        if self.smoke is None:
            raise InputError(f"{self.label} has no [smoke] table. Add one, or run it without --smoke.")
        changed = {
            "seeds": self.seeds if self.smoke.seeds is None else self.smoke.seeds,
            "point": {**self.point, **self.smoke.point},
            "grid": self.grid if self.smoke.grid is None else self.smoke.grid,
            "budget": {**self.budget.model_dump(), **self.smoke.budget},
            "smoke": None,
        }
        return make_spec({**self.model_dump(), **changed}, self.label)

    def expand(self, study: Study) -> list[tuple[Point, int]]:
        """List every (point, seed) that is to be run, in the order of the grids, seeds innermost.

        Args:
            study: the study that the spec names.

        Raises:
            InputError: a key that points do not have, an empty grid, more than ``MOST_POINTS`` points, a value out of
                its limits.
        """
        known = [*study.point.model_fields, *study.keys]
        check_keys(f"{self.label}: [point]", self.point, known)
        for number, grid in enumerate(self.grid, start=1):
            where = f"{self.label}: [[grid]] {number}"
            check_keys(where, grid, known)
            for key, values in grid.items():
                if not values:
                    raise InputError(f"{where}: {key} has no values. Give it at least one.")
        if (self.grid and not all(self.grid)) or not (self.grid or self.point):
            raise InputError(f"{self.label} has an empty grid. List values for at least one of: {', '.join(known)}.")
        seeds = range(self.seeds) if isinstance(self.seeds, int) else tuple(dict.fromkeys(self.seeds))
        if not seeds:
            raise InputError(f"{self.label}: seeds is an empty list. Give it at least one.")
        shared = {key: (value,) for key, value in self.point.items()}
        grids = [{**shared, **grid} for grid in self.grid or ({},)]
        count = len(seeds) * sum(math.prod(map(len, grid.values())) for grid in grids)
        if count > MOST_POINTS:
            raise InputError(
                f"{self.label} asks for {count:,} points; at most {MOST_POINTS:,} can be run. Shorten its lists."
            )
        make = study.points or (lambda grid: product(study.point, grid))
        points: dict[str, Point] = {}
        try:
            for point in (point for grid in grids for point in make(grid)):
                points.setdefault(canonical(point.model_dump(mode="json")), point)
                if len(seeds) * len(points) > MOST_POINTS:
                    raise InputError(f"more than {MOST_POINTS:,} points come of it. Shorten its lists.")
        except ValidationError as cause:
            raise InputError(f"{self.label}: {_first_complaint(cause)}") from cause
        except ValueError as cause:
            raise InputError(f"{self.label}: {cause}") from cause
        return [(point, seed) for point in points.values() for seed in seeds]


def shipped() -> list[str]:
    """Names of the studies that come with slth and have a spec file."""
    return sorted(entry.name.removesuffix(".toml") for entry in SHIPPED_SPECS.iterdir() if entry.name.endswith(".toml"))


def load_spec(name: str) -> Spec:
    """Read a shipped spec by its name, or a file by its path.

    Args:
        name: a shipped name or a path.

    Returns:
        The spec.

    Raises:
        InputError: not TOML, an unknown key (the message names the nearest right one), a value that makes no sense.
        DataError: neither a shipped name nor a file.
    """
    if name in shipped():
        return parse_spec((SHIPPED_SPECS / f"{name}.toml").read_text(encoding="utf-8"), label=f"{name}.toml")
    path = Path(name)
    if not path.is_file():
        near = difflib.get_close_matches(name, shipped(), 1, cutoff=0.6)
        hint = f"Did you mean {near[0]!r}?" if near else f"Shipped: {', '.join(shipped())}."
        raise DataError(f"no study is called {name!r}, and no file. {hint}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise InputError(f"cannot read {name}: {cause}. A spec is a text file in TOML.") from cause
    return parse_spec(text, label=path.name, home=str(path.resolve().parent))


def parse_spec(text: str, *, label: str, home: str = "") -> Spec:
    """Read a spec from TOML text.

    Args:
        text: content of a spec file.
        label: name of the file, for messages.
        home: folder of the file, where a study of the user is looked for.

    Returns:
        The spec.

    Raises:
        InputError: see :func:`load_spec`.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as cause:
        raise InputError(f"{label} is not TOML: {cause}.") from cause
    tables = {"": set(Spec.model_fields) - {"label", "home", "text"}, "budget": set(Budget.model_fields)}
    tables |= {"smoke": set(Smoke.model_fields), "smoke.budget": tables["budget"]}
    for place, known in tables.items():
        table: Any = raw
        for step in place.split(".") if place else ():
            table = table.get(step, {}) if isinstance(table, dict) else {}
        if isinstance(table, dict):
            check_keys(f"{label}: [{place}]" if place else label, table, sorted(known))
    return make_spec({**raw, "label": label, "home": home, "text": text}, label)


def make_spec(values: Mapping[str, Any], label: str) -> Spec:
    """Make a spec from its fields.

    Args:
        values: fields of :class:`Spec`.
        label: name of the file they come from, for messages.

    Returns:
        The spec.

    Raises:
        InputError: the fields make no sense.
    """
    try:
        return Spec(**values)
    except ValidationError as cause:
        raise InputError(f"{label}: {_first_complaint(cause)}") from cause


def canonical(value: Any) -> str:
    """Write a value as JSON with one spelling only: keys sorted, no spaces, finite numbers."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError as cause:
        raise InputError(
            "parameters must be finite: nan equals nothing, and inf has no JSON. Leave the key out."
        ) from cause


def _first_complaint(error: ValidationError) -> str:
    """What pydantic complains of first, in one line."""
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    got = "" if first["type"] == "missing" else f"; got {first['input']!r}"
    return f"{place}: {message}{got}." if place else f"{message}{got}."
