"""Spec files: a study's grid of points and seeds as TOML, validated before anything runs.

study = "dimension"        # a name of `slth study list`, or "module:ATTRIBUTE" for a study of your own
title = "…"                # optional
seeds = 5                  # 0 … 4; or a list
[point]                    # values that all points share, unless a grid names them
method = "relax"
[[grid]]                   # the product of these lists; several grids are joined, duplicates dropped
D = [4, 9]
ratio = [10, 30]
[budget]
retries = 2                # of a point whose worker died
seconds = 600              # of one point; leave it out for no limit
[smoke]                    # replaces what it names, for a quick look
seeds = 1
[[smoke.grid]]
D = [4]
ratio = [10]
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import math
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from slth.errors import DataError, InputError, check_keys
from slth.experiments.engine.study import Point, Study

# More rows than a store is meant for: such a grid is a mistake.
LARGEST = 1_000_000
# SQLite's integers end here.
LARGEST_SEED = 2**63 - 1
SHIPPED = resources.files("slth.experiments.studies") / "specs"

Grid = dict[str, tuple[Any, ...]]


def _listed(grid: Any) -> Any:
    """A single value in a grid is a list of one."""
    if not isinstance(grid, Mapping):
        return grid
    return {key: values if isinstance(values, list | tuple) else (values,) for key, values in grid.items()}


def _seeds(value: Any) -> Any:
    numbers = value if isinstance(value, list | tuple) else (value,)
    least = 0 if numbers is value else 1
    if not all(isinstance(one, int) and not isinstance(one, bool) and one >= least for one in numbers):
        raise ValueError("expected a number of seeds ≥ 1, or a list of seeds ≥ 0")
    if any(one > LARGEST_SEED for one in numbers):
        raise ValueError(f"expected seeds of at most {LARGEST_SEED:,}")
    return value


Seeds = Annotated[int | tuple[int, ...], BeforeValidator(_seeds)]
Grids = tuple[Annotated[Grid, BeforeValidator(_listed)], ...]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Budget(_Table):
    """What a point may take.

    Attributes:
        retries: after its worker died of it. seconds: wall, of one attempt, None for no limit; compiled code is stopped
            when it comes back to Python.
    """

    retries: Annotated[int, Field(ge=0, le=100)] = 2
    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class Smoke(_Table):
    """What the quick form replaces: ``seeds`` and ``grid`` as a whole, ``point`` and ``budget`` key by key."""

    seeds: Seeds | None = None
    point: dict[str, Any] = {}
    grid: Grids | None = None
    budget: dict[str, Any] = {}


class Spec(_Table):
    """What is to be run, as the file says it; ``label``, ``home`` and ``text`` are its name, folder and content."""

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
        """Where a study of one's own is looked for: beside its spec file, then in the working directory."""
        return tuple(dict.fromkeys(path for path in (self.home, os.getcwd()) if path)) if ":" in self.study else ()

    @property
    def digest(self) -> str:
        """Changes with anything that is run, and with nothing else."""
        content = self.model_dump(mode="json", include={"study", "seeds", "point", "grid", "budget"})
        return hashlib.sha256(canonical(content).encode()).hexdigest()[:12]

    def quick(self) -> Spec:
        """The smoke form.

        Raises:
            InputError: the file has none.
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
        """Every (point, seed) that is to be run, in the order of the grids, seeds innermost.

        Raises:
            InputError: a key that no point has, an empty grid, more than ``LARGEST`` points, a value out of its limits.
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
        grids = [{**_listed_alone(self.point), **grid} for grid in self.grid or ({},)]
        count = len(seeds) * sum(math.prod(map(len, grid.values())) for grid in grids)
        if count > LARGEST:
            raise InputError(
                f"{self.label} asks for {count:,} points; at most {LARGEST:,} can be run. Shorten its lists."
            )
        make = study.points or (lambda grid: product(study.point, grid))
        points: dict[str, Point] = {}
        try:
            for point in (point for grid in grids for point in make(grid)):
                points.setdefault(canonical(point.model_dump(mode="json")), point)
                if len(seeds) * len(points) > LARGEST:
                    raise InputError(f"more than {LARGEST:,} points come of it. Shorten its lists.")
        except ValidationError as cause:
            raise InputError(f"{self.label}: {_sentence(cause)}") from cause
        except ValueError as cause:
            raise InputError(f"{self.label}: {cause}") from cause
        return [(point, seed) for point in points.values() for seed in seeds]


def product(kind: type[Point], grid: Mapping[str, Sequence[Any]]) -> Iterable[Point]:
    """The points of a grid, the last key fastest."""
    return (kind(**dict(zip(grid, values, strict=True))) for values in itertools.product(*grid.values()))


def shipped() -> list[str]:
    """Names of the studies that come with slth."""
    return sorted(entry.name.removesuffix(".toml") for entry in SHIPPED.iterdir() if entry.name.endswith(".toml"))


def load_spec(name: str) -> Spec:
    """Read a shipped spec by its name, or a file by its path.

    Raises:
        InputError: not TOML, an unknown key (named with the nearest right one), a value that makes no sense.
        DataError: neither a shipped name nor a file.
    """
    if name in shipped():
        return parse_spec((SHIPPED / f"{name}.toml").read_text(encoding="utf-8"), label=f"{name}.toml")
    path = Path(name)
    if not path.is_file():
        near = difflib.get_close_matches(name, shipped(), 1, cutoff=0.5)
        hint = f"Did you mean {near[0]!r}?" if near else f"Shipped: {', '.join(shipped())}."
        raise DataError(f"no study is called {name!r}, and no file. {hint}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise InputError(f"cannot read {name}: {cause}. A spec is a text file in TOML.") from cause
    return parse_spec(text, label=path.name, home=str(path.resolve().parent))


def parse_spec(text: str, *, label: str, home: str = "") -> Spec:
    """A spec from TOML text; see :func:`load_spec`."""
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
    """A spec from its fields; :class:`InputError` in one line if they make no sense."""
    try:
        return Spec(**values)
    except ValidationError as cause:
        raise InputError(f"{label}: {_sentence(cause)}") from cause


def canonical(value: Any) -> str:
    """JSON with one spelling for each value: keys sorted, no spaces, finite numbers only."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError as cause:
        raise InputError(
            "parameters must be finite: nan equals nothing, and inf has no JSON. Leave the key out."
        ) from cause


def _sentence(error: ValidationError) -> str:
    """The first complaint, in one line."""
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    got = "" if first["type"] == "missing" else f"; got {first['input']!r}"
    return f"{place}: {message}{got}." if place else f"{message}{got}."


def _listed_alone(point: Mapping[str, Any]) -> Grid:
    return {key: (value,) for key, value in point.items()}
