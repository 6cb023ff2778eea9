r"""Existence: from how many random candidates on is there a subset within ε of a target, and can it be found?

For each (D, n), ``trials`` instances of n NSN candidates in R^D are drawn. The target is a corner of the box
[−1/2, 1/2]^D: any corner, for the law does not change with the sign of a coordinate, and the place in the box that the
fewest subsets reach on average. Each instance is solved to *proved* optimality by ``exact``: its least error decides
every ε at once. The same instances go to the methods of ``FINDERS``, which prove nothing. The sizes n surround the
first-moment thresholds.

The study is data and pure functions: :func:`points` says what is to be run, :func:`run_point` runs one of them;
:mod:`slth.experiments.existence_fit` makes sense of the rows. :func:`run_study` runs what a folder does not yet hold.

Source: first_moment
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from slth.environment import environment
from slth.errors import DataError, InputError, SlthError, check_int
from slth.files import write_whole
from slth.rss import Status, solve_batch
from slth.rss.threads import thread_count
from slth.theory import certified, thresholds

Spec = dict[str, Any]
Row = dict[str, Any]

# The target's entries, and the box that certified widths are asked for.
BOX = 0.5
# Methods that find without proving, with the work they do by default: the outcome does not depend on the machine.
FINDERS = ("core", "relax")
# Sizes run below and above each first-moment threshold: the success probability goes from near 0 to near 1 there.
BELOW, ABOVE = 4, 4
ROWS = "rows.jsonl"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is run.

    Attributes:
        tolerances: D → ε, falling. trials: instances a point. seed: of all of them.
    """

    tolerances: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    trials: int = 240
    seed: int = 0

    def __post_init__(self) -> None:
        check_int("trials", self.trials, 1, hint="It is the number of instances a point.")
        check_int("seed", self.seed, 0)
        for D, tolerances in self.tolerances.items():
            check_int("D", D, 1, 12, "Above D = 12 exact search reaches no threshold.")
            if not tolerances or not all(0 < eps <= 0.25 for eps in tolerances):
                raise InputError(f"tolerances of D = {D} must lie in (0, 1/4]; got {tolerances}.")


STANDARD = Setting(
    tolerances={1: (0.1, 0.03, 0.01, 0.003, 0.001), 2: (0.1, 0.03, 0.01, 0.003), 3: (0.1, 0.03, 0.01),
                4: (0.1, 0.03, 0.01)}
)  # fmt: skip
QUICK = Setting(tolerances={1: (0.1, 0.03, 0.01), 2: (0.1, 0.03, 0.01)}, trials=200)


def points(setting: Setting) -> list[Spec]:
    """Everything the study runs, as JSON-ready specs; a spec determines its row but for the seconds."""
    specs: list[Spec] = []
    for D, tolerances in setting.tolerances.items():
        centres = [thresholds.width(D=D, eps=eps, z=BOX).n for eps in tolerances]
        near = sorted({n for c in centres for n in range(max(1, c - BELOW), c + ABOVE + 1)})
        # What polynomial time needs grows like 1/ε: sizes by factors of √2, up to D^{3/2}/ε.
        steps = range(2 * math.ceil(math.log2(D**1.5 / min(tolerances))))
        wide = sorted({round(2 ** (i / 2)) for i in steps})
        for method, sizes in (("exact", near), ("core", near), ("relax", wide)):
            specs += [{"method": method, "D": D, "n": n, "trials": setting.trials, "seed": setting.seed} for n in sizes]
        specs += [{"method": "certified", "D": D, "eps": eps} for eps in tolerances]
    return specs


def run_point(spec: Spec, *, threads: int | None = None) -> Row:
    """Run one point.

    Args:
        spec: one of :func:`points`. threads: None for every core; the outcome does not depend on it.

    Returns:
        spec, seconds, and for a method of slth.rss: ``errors`` (rounded up) and ``lower_bounds`` (proved), one each a
        trial, and ``seconds_each``, wall seconds times threads an instance; for ``certified``: n, k and success, or
        a note.
    """
    began = time.perf_counter()
    found = _certify(spec) if spec["method"] == "certified" else _solve(spec, thread_count(threads))
    return {"spec": spec, "seconds": round(time.perf_counter() - began, 3), **found}


def instances(spec: Spec) -> tuple[np.ndarray, np.ndarray]:
    """(vectors (trials, n, D), targets (trials, D)) of a spec: a function of seed, D, n and the trial's number."""
    D, n = spec["D"], spec["n"]
    vectors = np.empty((spec["trials"], n, D))
    for trial in range(spec["trials"]):
        rng = np.random.default_rng([spec["seed"], D, n, trial])
        vectors[trial] = rng.standard_normal((n, 1)) * rng.standard_normal((n, D))
    return vectors, np.full((spec["trials"], D), BOX)


def run_study(
    folder: Path, setting: Setting, *, threads: int | None = None, say: Callable[[str], None] = print
) -> list[Row]:
    """Run the points of ``setting`` that ``folder`` does not hold, each stored as soon as it is done.

    Returns:
        The rows of the setting, in the order of :func:`points`.

    Raises:
        InputError: the folder cannot be made or written. DataError: its rows are not this study's.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise InputError(f"cannot make the folder {folder}: {cause.strerror}. Choose another with --out.") from cause
    path, known = folder / ROWS, load_rows(folder)
    specs = points(setting)
    missing = [spec for spec in specs if _name(spec) not in known]
    say(f"{len(specs)} points, {len(specs) - len(missing)} of them already in {path}")
    for i, spec in enumerate(missing, start=1):
        row = run_point(spec, threads=threads)
        known[_name(spec)] = {**row, "environment": environment()}
        write_whole(path, "".join(json.dumps(one) + "\n" for one in known.values()))
        size = f"n = {spec['n']:>4}" if "n" in spec else f"ε = {spec['eps']:g}"
        say(f"[{i}/{len(missing)}] {spec['method']:<9} D = {spec['D']}, {size}: {row['seconds']:.1f} s")
    return [known[_name(spec)] for spec in specs]


def load_rows(folder: Path) -> dict[str, Row]:
    """The rows that a folder holds, by the name of their spec.

    Raises:
        DataError: a line that is no row.
    """
    path = folder / ROWS
    rows = {}
    for number, line in enumerate(path.read_text().splitlines() if path.is_file() else [], start=1):
        try:
            row = json.loads(line)
            rows[_name(row["spec"])] = row
        except (ValueError, KeyError, TypeError) as cause:
            raise DataError(f"{path}, line {number}, is not a row of this study. Move the file away.") from cause
    return rows


def _name(spec: Spec) -> str:
    return json.dumps(spec, sort_keys=True)


def _solve(spec: Spec, threads: int) -> Row:
    vectors, targets = instances(spec)
    found = solve_batch(vectors=vectors, targets=targets, method=spec["method"], threads=threads)
    return {
        "errors": found.error.tolist(),
        "lower_bounds": found.lower_bound.tolist(),
        "unproved": sum(status != Status.optimal for status in found.status),
        "seconds_each": found.seconds * min(threads, spec["trials"]) / spec["trials"],
    }


def _certify(spec: Spec) -> Row:
    try:
        found = certified.width(D=spec["D"], eps=spec["eps"], delta=0.5, z_bound=BOX)
    except SlthError as refusal:
        return {"note": str(refusal)}
    return {"n": int(found.n), "k": int(found.k), "success": float(found.success)}
