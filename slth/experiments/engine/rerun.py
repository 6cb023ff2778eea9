"""Run a stored point again, and compare what comes of it with the row."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slth.errors import DataError
from slth.experiments.engine.pool import complete, open_pool
from slth.experiments.engine.registry import load_study
from slth.experiments.engine.spec import make_spec
from slth.experiments.engine.store import Store
from slth.experiments.engine.study import Row, Study, last_line
from slth.experiments.engine.tables import flatten
from slth.experiments.engine.worker import Task


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A row beside the same point run again.

    Attributes:
        row: as stored.
        differences: dotted place in the result → (stored, now), clocks left out; the place is ``error`` if one of the
            two runs failed. Empty if the row reproduces.
        changes: dotted place in the versions, commit and machine → (stored, now), where they differ.
        seconds: wall time of the second run.
    """

    row: Row
    differences: dict[str, tuple[Any, Any]]
    changes: dict[str, tuple[Any, Any]]
    seconds: float


def rerun(folder: str | Path, key: str) -> Comparison:
    """Run a stored point again, in a worker as the first time, and compare.

    Args:
        folder: where the study was run.
        key: the key of the row, or a beginning that no other key has.

    Returns:
        The row and what differs from it.

    Raises:
        DataError: no row has such a key, or several have.
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
    pool = open_pool("local", [task], workers=1)
    try:
        # As many retries as the first time: a point that kills its worker then fails with the same words.
        (again,) = complete([task], pool, retries=spec.budget.retries)
    finally:
        pool.close()
    stored, now = {"error": last_line(row.error)}, {"error": last_line(again.error)}
    if stored == now:
        stored, now = dict(row.result), json.loads(again.result)
    study = load_study(spec.study, spec.paths)
    origin = {name: row.provenance.get(name) for name in ("commit", "environment", "processor")}
    return Comparison(
        row=row,
        differences={place: pair for place, pair in _differences(stored, now) if not is_clock(place, study)},
        changes=dict(_differences(origin, json.loads(again.origin))),
        seconds=again.seconds,
    )


def is_clock(place: str, study: Study) -> bool:
    """Whether a part of a result was measured with a clock, so that a second run need not repeat it.

    Args:
        place: dotted names that lead to the part.
        study: whose result it is.

    Returns:
        True if a name on the way holds "seconds", or is one of the study's ``clocks``.
    """
    return any("seconds" in step or step in study.clocks for step in place.split("."))


def _differences(stored: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    before, after = flatten(stored), flatten(now)
    for place in {**before, **after}:
        pair = before.get(place), after.get(place)
        if not _equal(*pair):
            yield place, pair


def _equal(one: Any, other: Any) -> bool:
    """Equality under which NaN equals NaN, also inside lists."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    both_nan = isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    return both_nan or bool(one == other)
