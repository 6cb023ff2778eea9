r"""Dimension: every solver's error against D at a fixed number of candidates per dimension, in equal time.

An instance has n = ratio·D NSN candidates in R^D and a standard normal target. Every method gets the same seconds of
one thread, because branch and bound, a linear programme and a greedy walk share no other unit of work. Times are wall
times, so that the error of a method that uses all of its time varies a little with the machine. With ``seconds = 0``
every method does its default work instead; that is deterministic, but integer solvers may then run forever.

``core`` is made for D up to about 8. Above, one of its rounds takes longer than any reasonable limit, and it checks the
clock between rounds only. The standard spec stops it at 8.

A method is *useful* at D if its median error is below that of the trivial selection, which is the better of keeping
nothing and keeping one candidate. An instance that a method refuses, for lack of memory, counts as an infinite error.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field, field_validator
from scipy.optimize import brentq

from slth import figures
from slth.errors import SlthError, check_choice
from slth.experiments.analysis.summary import Spread, finished_rows, grouped, missing_combinations, no_rows, paragraphs
from slth.experiments.engine.study import Point, Row, Study
from slth.report import Section
from slth.rss import SOLVERS, Problem, Status, solve
from slth.theory import thresholds

# The target's entries are standard normal. Where theory takes one size for all entries, it gets their deviation.
INSTANCE_TARGET_RMS = 1.0


class DimensionPoint(Point):
    """One method in one dimension.

    Attributes:
        D: dimension.
        ratio: candidates per dimension, n = ratio·D.
        method: of :func:`slth.rss.solve`.
        seconds: wall time of one thread for each instance; 0 for the method's default work.
    """

    D: int = Field(ge=1, le=4096)
    ratio: int = Field(default=16, ge=1)
    method: str = "relax"
    seconds: float = Field(default=1.0, ge=0)

    @field_validator("method")
    @classmethod
    def _check_method(cls, value: str) -> str:
        return check_choice("method", value, tuple(SOLVERS))


def run(point: DimensionPoint, seed: int) -> dict[str, Any]:
    """Solve one instance. It depends on D, ratio and seed only, so that all methods get the same.

    Args:
        point: the method and the dimension.
        seed: of the instance.

    Returns:
        ``error`` (None if refused), ``status``, ``refused`` (the reason, or nothing), ``solver_seconds``; the
        ``trivial`` error, and the error for which one solution is expected to exist (``exists``).
    """
    rng = np.random.default_rng([seed, point.D, point.ratio])
    size = point.ratio * point.D
    vectors = rng.standard_normal((size, 1)) * rng.standard_normal((size, point.D))
    problem = Problem(vectors=vectors, target=INSTANCE_TARGET_RMS * rng.standard_normal(point.D))
    result: dict[str, Any] = {
        "trivial": trivial_error(problem), "exists": expected_best(point.D, size), "error": None, "status": "refused",
        "refused": "", "solver_seconds": 0.0,
    }  # fmt: skip
    try:
        _compile(point.method)
        found = solve(problem, point.method, time_limit=point.seconds or None, seed=seed, threads=1)
    except SlthError as refusal:
        return {**result, "refused": str(refusal)}
    return {**result, "error": found.error, "status": found.status.name, "solver_seconds": found.seconds}


@functools.cache
def _compile(method: str) -> None:
    """Solve something small first, so that an instance's seconds go to the search and not to the compiler."""
    vectors = np.random.default_rng(0).standard_normal((16, 2))
    solve(Problem(vectors=vectors, target=np.ones(2)), method, time_limit=0.1, threads=1)


def trivial_error(problem: Problem) -> float:
    """The L∞ error of the trivial selection: the better of keeping nothing and keeping one candidate."""
    alone = np.abs(problem.vectors - problem.target).max(axis=1)
    return float(min(alone.min(), np.abs(problem.target).max()))


@functools.cache
def expected_best(D: int, n: int) -> float | None:
    """The ε for which one solution is expected among n NSN candidates, for target entries of size 1.

    Args:
        D: dimension.
        n: number of candidates.

    Returns:
        ε, or None if it is out of range.

    Source: first_moment
    """

    def excess(log_eps: float) -> float:
        return thresholds.log2_expected_count(n=n, D=D, eps=math.exp(log_eps), z=INSTANCE_TARGET_RMS)

    low, high = math.log(1e-30), math.log(10.0)
    try:
        return None if excess(low) > 0 or excess(high) < 0 else math.exp(float(brentq(excess, low, high, xtol=1e-3)))
    except SlthError:
        return None


def sections(rows: Sequence[Row]) -> list[Section]:
    """Errors against D, and where each method is useful, for each ratio and time."""
    known = finished_rows(rows)
    if not known:
        return no_rows("Error against dimension")
    found = []
    for (ratio, seconds), some in grouped(known, "ratio", "seconds").items():
        budget = f"{seconds:g} s" if seconds else "default work"
        found += _sections_of_ratio(some, f"n = {ratio}·D, {budget} an instance")
    return found


def useful_until(cells: Mapping[int, tuple[float, float]]) -> int | None:
    """The largest D up to which a method is useful at every D of a study.

    Args:
        cells: D → (median error of the method, trivial error).

    Returns:
        That D, or None if the method is not useful at the smallest one.
    """
    last = None
    for D, (error, trivial) in sorted(cells.items()):
        if not error < trivial:
            break
        last = D
    return last


def _sections_of_ratio(rows: Sequence[Row], suffix: str) -> list[Section]:
    table = grouped(rows, "method", "D")
    methods = [name for name in SOLVERS if any(method == name for method, _ in table)]
    dimensions = sorted({D for _, D in table})
    errors = {key: [_error(row) for row in some] for key, some in table.items()}
    trivial = {D: Spread.of(r.result["trivial"] for r in rows if r.point["D"] == D) for D in dimensions}
    exists = {D: next((r.result["exists"] for r in rows if r.point["D"] == D), None) for D in dimensions}
    curves = {
        method: [
            (D, Spread.of(errors[method, D]))
            for D in dimensions
            if (method, D) in errors and math.isfinite(max(errors[method, D]))
        ]
        for method in methods
    }
    curve_ax = figures.error_against_dimension(
        curves=curves, trivial=[(D, trivial[D].median) for D in dimensions],
        exists=[(D, value) for D, value in exists.items() if value is not None],
    )  # fmt: skip
    medians = {key: float(np.median(values)) for key, values in errors.items()}
    table_ax = figures.outcome_table(
        values=[[medians.get((method, D)) for D in dimensions] for method in methods],
        limits=[trivial[D].median for D in dimensions],
        rows=methods,
        columns=[str(D) for D in dimensions],
        label="median L∞ error over the trivial selection's",
    )
    numbers = [
        (
            method, D, table[method, D][0].point["ratio"] * D,
            str(Spread.of(errors[method, D])) if math.isfinite(max(errors[method, D])) else "refused",
            f"{trivial[D].median:.3g}", _number(exists[D]), _proved(table[method, D]),
            f"{Spread.of(row.result['solver_seconds'] for row in table[method, D])}",
        )
        for method, D in table
    ]  # fmt: skip
    return [
        Section(
            f"Error against dimension ({suffix})",
            paragraphs(_describe_best(medians, methods, dimensions), missing_combinations(rows, "method", "D")),
            ("method", "D", "n", "L∞ error (median [least, greatest])", "trivial", "expected to exist",
             "proved optimal", "seconds"),
            numbers,
            figure=curve_ax,
            caption="L∞ error of each method, with the range over seeds; grey: the trivial selection; dotted: the "
            "error for which one solution is expected to exist.",
        ),
        Section(
            f"Where each method stops being useful ({suffix})",
            _describe_usefulness(medians, trivial, methods, dimensions),
            figure=table_ax,
            caption="Median error; the lighter the smaller beside the trivial selection's. Hatched: not run (empty), "
            "refused, or no better than keeping at most one candidate.",
        ),
    ]  # fmt: skip


def _describe_usefulness(
    medians: Mapping[tuple[str, int], float], trivial: Mapping[int, Spread], methods: Sequence[str],
    dimensions: Sequence[int],
) -> str:  # fmt: skip
    """The largest D up to which each method is useful, in a sentence."""
    ends: dict[tuple[int, bool], list[str]] = {}
    for method in methods:
        cells = {D: (medians[method, D], trivial[D].median) for D in dimensions if (method, D) in medians}
        if cells:
            end = useful_until(cells)
            ends.setdefault((end or 0, end == max(cells)), []).append(method)
    parts = []
    for (end, run_out), names in sorted(ends.items()):
        if not end:
            where = f"nowhere (not at D = {dimensions[0]})"
        elif end == dimensions[-1]:
            where = f"throughout, up to D = {end}"
        else:
            where = f"as far as there are rows, D = {end}" if run_out else f"up to D = {end} only"
        parts.append(f"{', '.join(names)}: {where}")
    return (
        "Useful means: a smaller median error than the best of keeping nothing and keeping one single candidate. "
        f"In this sense, of the dimensions tried: {'; '.join(parts)}."
    )


def _describe_best(medians: Mapping[tuple[str, int], float], methods: Sequence[str], dimensions: Sequence[int]) -> str:
    """The method with the least median error at each D, in a sentence."""
    runs: list[tuple[str, int, int]] = []
    for D in dimensions:
        name = min((m for m in methods if (m, D) in medians), key=lambda m: medians[m, D])
        if runs and runs[-1][0] == name:
            runs[-1] = (name, runs[-1][1], D)
        else:
            runs.append((name, D, D))
    spans = [f"{name} (D = {low}{f' … {high}' if high > low else ''})" for name, low, high in runs]
    return f"Least median error, from small to large D: {', '.join(spans)}."


def _error(row: Row) -> float:
    error = row.result["error"]
    return math.inf if error is None else float(error)


def _proved(rows: Sequence[Row]) -> str:
    return f"{sum(row.result['status'] == Status.optimal.name for row in rows)} of {len(rows)}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"


STUDY = Study(
    name="dimension",
    title="Error against dimension, solver by solver",
    about="One input channel of a layer is a subset-sum problem in D = d²·c_out dimensions. This study gives every "
    "solver of slth.rss, integer solvers included, the same instances with the same number of candidates per "
    "dimension and the same time on one thread, and looks where each of them stops being useful: where it does no "
    "better than keeping nothing or one single candidate.",
    point=DimensionPoint,
    run=run,
    sections=sections,
    # With a limit of time, the machine's speed decides how far a method gets.
    clocks=("error", "status", "refused"),
)
