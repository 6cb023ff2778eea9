"""Tables and figures of the neuron study: how each construction's error falls, and the width that an error takes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from slth import figures
from slth.experiments.analysis.growth import Estimate, fit_growth_law
from slth.experiments.analysis.summary import (
    Spread,
    finished_rows,
    grouped,
    missing_combinations,
    no_rows,
    paragraphs,
    settings,
)
from slth.experiments.engine.study import Row
from slth.report import Section

# Errors at which widths are compared.
TOLERANCES = (0.1, 0.03, 0.01, 0.003, 0.001)
# The base 2^n of a fit is written as 2^(n / EXPONENT_UNIT), which does not overflow for the largest n.
EXPONENT_UNIT = 64


def sections(rows: Sequence[Row]) -> list[Section]:
    """The two constructions' errors against hidden neurons, and the widths that tolerances take."""
    known = finished_rows(rows)
    if not known:
        return no_rows("Neurons removed alone, or after blocking")
    blocked = [row for row in known if row.point["construction"] == "blocked"]
    alone = [row for row in known if row.point["construction"] != "blocked"]
    # Only removal alone has a budget of nodes: each budget has its own sections, beside the same blocked rows.
    groups = settings(alone, varied=("construction", "n"), named=()) if alone else [((), "", [])]
    once = list({(row.point["n"], row.seed): row for row in blocked}.values())
    return [section for _, rest, some in groups for section in _sections_of_budget([*some, *once], rest)]


def _sections_of_budget(known: Sequence[Row], rest: str) -> list[Section]:
    cells = grouped(known, "construction", "n")
    curves = {
        name: [(n, some) for (construction, n), some in cells.items() if construction == name]
        for name in ("neuron", "blocked")
    }
    alone, blocked = curves["neuron"], curves["blocked"]
    theorem = [(n, Spread.of(row.result["theorem"] for row in some)) for n, some in alone]
    ax = figures.neuron_gap(
        neuron=[(n, _spread(some, "error")) for n, some in alone],
        proved=[(n, Spread.of(_lower(row) for row in some)) for n, some in alone],
        theorem=theorem,
        blocked=[(n, _spread(some, "error")) for n, some in blocked],
    )
    table = [
        (
            name, n, str(_spread(some, "error")),
            "–" if name == "blocked" else str(Spread.of(_lower(row) for row in some)),
            f"{sum(row.result['proved'] for row in some)} of {len(some)}",
        )
        for name, curve in curves.items()
        for n, some in curve
    ]  # fmt: skip
    lower = [(n, spread.median) for n, spread in theorem]
    found = [(n, _spread(some, "error").median) for n, some in alone]
    fast = [(n, _spread(some, "error").median) for n, some in blocked]
    return [
        Section(
            f"Neurons removed alone, or after blocking{rest}",
            paragraphs(_describe_growth(alone, blocked), missing_combinations(known, "construction", "n")),
            ("construction", "hidden neurons", "sup error found", "proved lower bound",
             "proved optimal (neurons alone: on its grid)"),
            table,
            figure=ax,
            caption="Error over the unit circle against hidden neurons; shaded: the range over seeds. No mask lies "
            "below the proved bounds.",
        ),
        Section(
            f"Hidden neurons for an error{rest}",
            "The first width of the study whose median error is at most ε: for removal alone the width at which the "
            "theorem stops forbidding it, and that of the best mask found.",
            ("ε", "blocked, found", "neurons alone, necessary", "neurons alone, found"),
            [
                (f"{eps:g}", _first(fast, eps), _first(lower, eps), _first(found, eps))
                for eps in TOLERANCES
            ],
        ),
    ]  # fmt: skip


def _describe_growth(alone: Sequence[tuple[int, list[Row]]], blocked: Sequence[tuple[int, list[Row]]]) -> str:
    """Fitted growth laws of the theorem's bound and of both errors, and where blocking wins, in sentences."""
    said = []
    for label, name in (("The theorem's lower bound", "theorem"), ("The best error found by removal alone", "error")):
        pairs = [(n, row.result[name]) for n, some in alone for row in some if row.result[name]]
        law = fit_growth_law([value for _, value in pairs], {"n": [n for n, _ in pairs]})
        if law is not None:
            said.append(f"{label} falls like {law} over these widths.")
    pairs = [(n, row.result["error"]) for n, some in blocked for row in some if row.result["error"] > 0]
    law = fit_growth_law([value for _, value in pairs], {"2^n": [2 ** (n / EXPONENT_UNIT) for n, _ in pairs]})
    if law is not None:
        power = law.exponents["2^n"]
        rate = Estimate(*(-end / EXPONENT_UNIT for end in (power.value, power.high, power.low)))
        said.append(
            f"The blocked construction's falls like 2^(−n·{rate}): a fixed number of neurons for each further bit."
        )
    shared = sorted({n for n, _ in alone} & {n for n, _ in blocked})
    better = [n for n in shared if _below(dict(blocked)[n], dict(alone)[n])]
    if better:
        said.append(
            f"From {min(better)} hidden neurons on, the blocked construction's median error is below what is proved to "
            "be out of reach of removal alone."
            if all(n in better for n in shared if n >= min(better))
            else f"At {', '.join(map(str, better))} hidden neurons the blocked construction's median error is below "
            "what is proved to be out of reach of removal alone."
        )
    return " ".join(said) or "Too few widths for growth laws."


def _below(blocked: Sequence[Row], alone: Sequence[Row]) -> bool:
    return _spread(blocked, "error").median < Spread.of(_lower(row) for row in alone).median


def _lower(row: Row) -> float:
    """The larger of the programme's proved bound and the theorem's."""
    return max(row.result["lower"] or 0.0, row.result["theorem"] or 0.0)


def _first(curve: Sequence[tuple[int, float]], eps: float) -> str:
    if not curve:
        return "–"
    reached = [n for n, value in curve if value <= eps]
    return f"{min(reached):,}" if reached else f"> {max(n for n, _ in curve):,}"


def _spread(rows: Sequence[Row], name: str) -> Spread:
    return Spread.of(max(row.result[name], np.finfo(float).tiny) for row in rows if math.isfinite(row.result[name]))
