r"""Success probabilities, thresholds, growth exponents and figures from the rows of the existence study.

The threshold n_½ of a method at (D, ε) is where a monotone (isotonic) fit of its success frequencies crosses ½,
interpolated in log n. Its 95 % interval is a percentile bootstrap of the binomial counts around that fit. The growth
exponents are those of n_½ = A·D^α·log2(1/ε)^β, fitted by least squares in logarithms. They are effective exponents over
the (D, ε) of the study, not asymptotic ones.

Source: first_moment
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from scipy.optimize import isotonic_regression
from scipy.stats import binomtest

from slth.arrays import FloatArray
from slth.experiments.engine.study import Row
from slth.experiments.studies.existence_instances import FINDERS, TARGET
from slth.figures import success_against_size, three_worlds
from slth.figures.style import panels
from slth.report import Section
from slth.theory import bounds, thresholds

DRAWS = 400
CONFIDENCE = 0.95
# A growth law of two exponents has three unknowns: it needs more cells than that.
FEWEST_CELLS = 4
# What is kept of a certificate.
PROOF_KEYS = ("n", "k", "success", "note")
CURVE_NAMES = {
    "exact": "Measured existence", "first_moment": "First moment", "paper": "The paper's form, C = 1 assumed",
}  # fmt: skip


def sections(rows: Sequence[Row]) -> list[Section]:
    """The table of thresholds, the exponents, the three worlds and the success curves."""
    summary = summarise(rows)
    if not summary["thresholds"]:
        return [Section("No threshold yet", "The rows hold no pair of D and ε: run the study to its end.")]
    header = ("D", "ε", "exists: n_½", "E[Y] = 1", "core finds", "relax finds", "certified", "paper's form")
    fits = [
        f"{CURVE_NAMES[name]}: n ∝ D^{_exponent(fit, 'D')} · log2(1/ε)^{_exponent(fit, 'log')} over this range."
        for name, fit in summary["exponents"].items()
        if fit is not None
    ]
    if undecided := [one for one in summary["curves"] if one["undecided"]]:
        count = sum(one["undecided"] for one in undecided)
        fits.append(f"Left out: {count:,} outcomes that the search did not decide, of {len(undecided)} pairs (D, ε).")
    return [
        Section(
            "Thresholds",
            "\n\n".join(fits),
            header=header,
            rows=[_line(one) for one in summary["thresholds"]],
            figure=figure(summary)[0],
            caption="Candidates for a subset within ε to exist, to be found, and to be proved to exist.",
        ),
        Section(
            "Success against the number of candidates",
            "Bands are exact 95 % intervals; the dotted bound holds for any number of candidates.",
            figure=curves_figure(summary)[0],
            caption="P(a subset within ε exists), each outcome proved, and the first-moment bound.",
        ),
    ]


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Curves, thresholds and exponents, JSON-ready. The pairs (D, ε) are those of the ``certified`` rows.

    Returns:
        ``curves``: per (D, ε) and method, the sizes, successes and trials with Clopper–Pearson bands;
        ``thresholds``: per (D, ε), n_½ and its interval for each method, core seconds an instance there, the
        first-moment threshold, the certified width and the paper's form with C = 1 assumed;
        ``exponents``: of measured existence, the first moment and the paper's form, in D and in log2(1/ε).
    """
    curves: list[dict[str, Any]] = []
    table: list[dict[str, Any]] = []
    draws: dict[tuple[int, float], FloatArray] = {}
    certified = {(r.point["D"], r.point["eps"]): r.result for r in rows if r.point["method"] == "certified"}
    for D, eps in sorted(certified, key=lambda cell: (cell[0], -cell[1])):
        expected = thresholds.width(D=D, eps=eps, z=TARGET)
        line: dict[str, Any] = {"D": D, "eps": eps, "first_moment": expected.crossing}
        for method in ("exact", *FINDERS):
            curve = success_curve(rows, method, D, eps)
            curves.append(curve)
            line[method], again = _threshold(curve)
            if method == "exact":
                draws[D, eps] = again
        line["certified"] = {key: value for key, value in certified[D, eps].items() if key in PROOF_KEYS}
        line["paper"] = _paper(D, eps)
        table.append(line)
    exponents = {
        "exact": _exponents_with_interval(table, draws),
        "first_moment": _exponents([(one["D"], one["eps"], one["first_moment"]) for one in table]),
        "paper": _exponents([(one["D"], one["eps"], one["paper"]["value"]) for one in table]),
    }
    return {"curves": curves, "thresholds": table, "exponents": exponents}


def success_curve(rows: Sequence[Row], method: str, D: int, eps: float) -> dict[str, Any]:
    """How often a method came within ε, size by size, with exact binomial (Clopper–Pearson) bands.

    A success is an error ≤ ε. For ``exact``, a failure is a proved lower bound above ε; a trial that is neither is
    undecided and not counted in ``trials``. For the other methods, every trial that is no success is a failure to find.

    Args:
        rows: of the study.
        method: ``exact`` or one of ``FINDERS``.
        D: dimension.
        eps: tolerance ε.

    Returns:
        ``method``, ``D``, ``eps``, the number of ``undecided`` trials, and the lists ``n``, ``successes``, ``trials``,
        ``low``, ``high`` and ``seconds_each``, one entry for each size.
    """
    curve: dict[str, Any] = {"method": method, "D": D, "eps": eps}
    columns = ("n", "successes", "trials", "low", "high", "seconds_each")
    curve |= {"undecided": 0} | {name: [] for name in columns}
    sizes: dict[int, list[Row]] = {}
    for row in rows:
        if row.point["method"] == method and row.point["D"] == D:
            sizes.setdefault(row.point["n"], []).append(row)
    for n, mine in sorted(sizes.items()):  # seeds of one size count together
        errors = np.concatenate([row.result["errors"] for row in mine])
        lower = np.concatenate([row.result["lower_bounds"] for row in mine])
        success = errors <= eps
        decided = success | (lower > eps) if method == "exact" else np.ones(len(errors), dtype=bool)
        curve["undecided"] += int((~decided).sum())
        low, high = 0.0, 1.0
        if decided.any():
            low, high = binomtest(int(success.sum()), int(decided.sum())).proportion_ci(CONFIDENCE, method="exact")
        seconds = float(np.mean([row.result["seconds_each"] for row in mine]))
        values = (n, int(success.sum()), int(decided.sum()), float(low), float(high), seconds)
        for name, value in zip(columns, values, strict=True):
            curve[name].append(value)
    return curve


def half_point(sizes: FloatArray, frequencies: FloatArray, trials: FloatArray) -> float | None:
    """The size n_½ at which the isotonic fit crosses ½, interpolated in log n.

    Args:
        sizes: increasing, shape (m,).
        frequencies: of success at each size, shape (m,).
        trials: number of trials at each size, shape (m,).

    Returns:
        n_½, or None if the sizes do not enclose it.
    """
    fit = isotonic_regression(frequencies, weights=trials).x
    above = int(np.searchsorted(fit, 0.5))  # the first size with a fitted frequency of at least ½
    if above == len(fit) or (above == 0 and fit[0] > 0.5):
        return None
    if above == 0:
        return float(sizes[0])
    share = (0.5 - fit[above - 1]) / (fit[above] - fit[above - 1])
    return float(np.exp(np.log(sizes[above - 1]) + share * np.log(sizes[above] / sizes[above - 1])))


def figure(summary: dict[str, Any]) -> list[Axes]:
    """The three worlds in a panel for each D: what exists, what is found and how fast, what is proved."""
    dimensions = sorted({one["D"] for one in summary["thresholds"]})
    axes, labels = panels(len(dimensions)), {name: _found_label(name, summary) for name in FINDERS}
    for ax, D in zip(axes, dimensions, strict=True):
        lines = [one for one in summary["thresholds"] if one["D"] == D]
        three_worlds(
            eps=[one["eps"] for one in lines],
            measured=[one["exact"] for one in lines],
            found={labels[name]: [one[name] for one in lines] for name in FINDERS},
            first_moment=[one["first_moment"] for one in lines],
            certified=[one["certified"].get("n") for one in lines],
            paper=[one["paper"]["value"] for one in lines],
            dimension=D,
            ax=ax,
        )
    axes[0].legend(fontsize=7, frameon=False, loc="upper left")
    return axes


def curves_figure(summary: dict[str, Any]) -> list[Axes]:
    """Success probability against n, a panel per D, with the first-moment bound min(1, E[Y])."""
    dimensions = sorted({one["D"] for one in summary["thresholds"]})
    axes = panels(len(dimensions))
    for ax, D in zip(axes, dimensions, strict=True):
        curves = [one for one in summary["curves"] if one["D"] == D and one["method"] == "exact"]
        expected = [
            [min(1.0, 2 ** thresholds.log2_expected_count(n=n, D=D, eps=one["eps"], z=TARGET)) for n in one["n"]]
            for one in curves
        ]
        success_against_size(curves=curves, expected=expected, dimension=D, ax=ax)
    return axes


def _found_label(method: str, summary: dict[str, Any]) -> str:
    """A method and the seconds it took at its slowest threshold of the study."""
    times = [one[method]["seconds_each"] for one in summary["thresholds"] if one[method] is not None]
    return f"found by {method} within {max(times):.1g} s" if times else f"{method}: not in range"


def _line(one: dict[str, Any]) -> tuple[str, ...]:
    found = [_with_interval(one[name]) for name in ("exact", "core", "relax")]
    return (str(one["D"]), f"{one['eps']:g}", found[0], f"{one['first_moment']:.1f}", *found[1:],
            str(one["certified"].get("n", "–")), one["paper"]["text"])  # fmt: skip


def _with_interval(value: dict[str, float] | None) -> str:
    if value is None:
        return "not in range"
    known = np.isfinite([value["low"], value["high"]]).all()
    return f"{value['n']:.1f} " + (f"[{value['low']:.1f}, {value['high']:.1f}]" if known else "(no interval)")


def _exponent(fit: dict[str, Any], name: str) -> str:
    interval = fit.get(f"{name}_interval")
    return f"{fit[name]:.2f}" + ("" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]")


def _paper(D: int, eps: float) -> dict[str, Any]:
    """The width theorem's form for one subset sum, D⁶·log³(D/ε)."""
    bound = bounds.compute("dacunha2023", d=1, c_in=1, c_out=D, depth=1, eps=eps, constant=1.0)
    return {"value": bound.value, "text": str(bound)}


def _threshold(curve: dict[str, Any], seed: int = 0, draws: int = DRAWS) -> tuple[dict[str, Any] | None, FloatArray]:
    """A curve's n_½ with its interval and the core seconds an instance took there; and the bootstrap's draws of it."""
    sizes, trials = np.array(curve["n"], dtype=float), np.array(curve["trials"])
    if not len(sizes) or not trials.all():
        return None, np.full(draws, np.nan)
    frequencies = np.array(curve["successes"]) / trials
    half = half_point(sizes, frequencies, trials)
    if half is None:
        return None, np.full(draws, np.nan)
    rng = np.random.default_rng([seed, curve["D"], round(1e9 * curve["eps"])])
    fit = isotonic_regression(frequencies, weights=trials).x
    again = [half_point(sizes, rng.binomial(trials, fit) / trials, trials) for _ in range(draws)]
    drawn = np.array([np.nan if one is None else one for one in again])
    tail = 100 * (1 - CONFIDENCE) / 2
    # Draws that cross ½ outside the sizes that were run have no value. If they are more than a tail, the quantiles of
    # the other draws do not give a 95 % interval.
    low, high = (np.nan, np.nan)
    if np.isnan(drawn).mean() <= tail / 100:
        low, high = np.nanpercentile(drawn, [tail, 100 - tail])
    seconds = float(np.interp(half, sizes, curve["seconds_each"]))
    return {"n": half, "low": float(low), "high": float(high), "seconds_each": seconds}, drawn


def _exponents(cells: list[tuple[int, float, float]]) -> dict[str, float] | None:
    """α and β of n = A·D^α·log2(1/ε)^β; None if the cells do not determine them."""
    if len(cells) < FEWEST_CELLS or len({D for D, _, _ in cells}) < 2 or len({eps for _, eps, _ in cells}) < 2:
        return None
    D, eps, n = np.array(cells, dtype=float).T
    design = np.column_stack([np.ones(len(cells)), np.log(D), np.log(np.log2(1 / eps))])
    solution = np.linalg.lstsq(design, np.log(n), rcond=None)[0]
    return {"D": float(solution[1]), "log": float(solution[2])}


def _exponents_with_interval(
    table: list[dict[str, Any]], draws: dict[tuple[int, float], FloatArray]
) -> dict[str, Any] | None:
    """The exponents of measured existence, with intervals from the bootstrap's draws of every n_½."""
    known = [one for one in table if one["exact"] is not None]
    centre = _exponents([(one["D"], one["eps"], one["exact"]["n"]) for one in known])
    if centre is None:
        return None
    again = np.column_stack([draws[one["D"], one["eps"]] for one in known])
    fits = [
        _exponents([(one["D"], one["eps"], float(n)) for one, n in zip(known, values, strict=True)])
        for values in again[np.isfinite(again).all(axis=1)]
    ]
    tail = 100 * (1 - CONFIDENCE) / 2
    result: dict[str, Any] = dict(centre)
    for name in ("D", "log"):
        spread = [fit[name] for fit in fits if fit is not None]
        result[f"{name}_interval"] = [float(one) for one in np.percentile(spread, [tail, 100 - tail])]
    return result
