r"""What the rows of the existence study say: success probabilities, thresholds, growth exponents, figures.

The threshold n_½ of a method at (D, ε) is where a monotone (isotonic) fit of its success frequencies crosses ½,
interpolated in log n; its 95 % interval is a percentile bootstrap of the binomial counts around that fit. The growth
exponents are those of n_½ = A·D^α·log2(1/ε)^β, least squares in logarithms, over the (D, ε) of the study: effective
exponents over that range, not asymptotic ones.

Source: first_moment
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression
from scipy.stats import binomtest

from slth.experiments.existence import BOX, FINDERS, Row, Setting
from slth.figures import success_against_size, three_worlds
from slth.theory import bounds, thresholds

Array = npt.NDArray[np.float64]

DRAWS = 400
CONFIDENCE = 0.95
# A growth law of two exponents needs more than its three numbers.
FEWEST = 4


def summarise(rows: Sequence[Row], setting: Setting) -> dict[str, Any]:
    """Everything the study reports, JSON-ready.

    Returns:
        ``curves``: per (D, ε) and method, the sizes, successes and trials with Clopper–Pearson bands;
        ``thresholds``: per (D, ε), n_½ and its interval for each method, core seconds an instance there, the
        first-moment threshold, the certified width and the paper's form with C = 1 assumed;
        ``exponents``: of measured existence, the first moment and the paper's form, in D and in log2(1/ε).
    """
    curves: list[dict[str, Any]] = []
    table: list[dict[str, Any]] = []
    draws: dict[tuple[int, float], Array] = {}
    certified = {(r["spec"]["D"], r["spec"]["eps"]): r for r in rows if r["spec"]["method"] == "certified"}
    for D, tolerances in setting.tolerances.items():
        for eps in tolerances:
            expected = thresholds.width(D=D, eps=eps, z=BOX)
            line: dict[str, Any] = {"D": D, "eps": eps, "first_moment": expected.crossing}
            for method in ("exact", *FINDERS):
                curve = success_curve(rows, method, D, eps)
                curves.append(curve)
                line[method], again = _threshold(curve, seed=setting.seed)
                if method == "exact":
                    draws[D, eps] = again
            proof = certified.get((D, eps))
            line["certified"] = None if proof is None else {k: v for k, v in proof.items() if k in _PROOF}
            line["paper"] = _paper(D, eps)
            table.append(line)
    exponents = {
        "exact": _exponents_with_interval(table, draws),
        "first_moment": _exponents([(one["D"], one["eps"], one["first_moment"]) for one in table]),
        "paper": _exponents([(one["D"], one["eps"], one["paper"]["value"]) for one in table]),
    }
    return {"setting": {"trials": setting.trials, "seed": setting.seed}, "curves": curves, "thresholds": table,
            "exponents": exponents}  # fmt: skip


def success_curve(rows: Sequence[Row], method: str, D: int, eps: float) -> dict[str, Any]:
    """How often a method came within ε, size by size, with exact binomial (Clopper–Pearson) bands.

    A success is an error ≤ ε. For ``exact`` a failure is a proved lower bound above ε; a trial that is neither is
    undecided and left out of ``trials``. For the other methods whatever is no success is a failure to find.
    """
    mine = sorted(
        (row for row in rows if row["spec"]["method"] == method and row["spec"]["D"] == D),
        key=lambda row: row["spec"]["n"],
    )
    curve: dict[str, Any] = {"method": method, "D": D, "eps": eps}
    sizes, hits, trials, undecided, low, high, seconds = [], [], [], 0, [], [], []
    for row in mine:
        errors, lower = np.array(row["errors"]), np.array(row["lower_bounds"])
        success = errors <= eps
        decided = success | (lower > eps) if method == "exact" else np.ones(len(errors), dtype=bool)
        undecided += int((~decided).sum())
        sizes.append(row["spec"]["n"])
        hits.append(int(success.sum()))
        trials.append(int(decided.sum()))
        interval = binomtest(hits[-1], trials[-1]).proportion_ci(CONFIDENCE, method="exact")
        low.append(float(interval.low))
        high.append(float(interval.high))
        seconds.append(row["seconds_each"])
    return {**curve, "n": sizes, "successes": hits, "trials": trials, "undecided": undecided, "low": low, "high": high,
            "seconds_each": seconds}  # fmt: skip


def half_point(sizes: Array, frequencies: Array, trials: Array) -> float | None:
    """Where the isotonic fit crosses ½, interpolated in log n; None if the sizes do not enclose it."""
    fit = isotonic_regression(frequencies, weights=trials).x
    above = int(np.searchsorted(fit, 0.5))  # the first size with a fitted frequency of at least ½
    if above == len(fit) or (above == 0 and fit[0] > 0.5):
        return None
    if above == 0:
        return float(sizes[0])
    share = (0.5 - fit[above - 1]) / (fit[above] - fit[above - 1])
    return float(np.exp(np.log(sizes[above - 1]) + share * np.log(sizes[above] / sizes[above - 1])))


def figure(summary: dict[str, Any]) -> list[Axes]:
    """The three worlds, a panel per D: what exists, what is found and in how long, what is proved."""
    dimensions = sorted({one["D"] for one in summary["thresholds"]})
    axes, labels = _panels(len(dimensions)), {name: _found_label(name, summary) for name in FINDERS}
    for ax, D in zip(axes, dimensions, strict=True):
        lines = [one for one in summary["thresholds"] if one["D"] == D]
        three_worlds(
            eps=[one["eps"] for one in lines],
            measured=[one["exact"] for one in lines],
            found={labels[name]: [one[name] for one in lines] for name in FINDERS},
            first_moment=[one["first_moment"] for one in lines],
            certified=[(one["certified"] or {}).get("n") for one in lines],
            paper=[one["paper"]["value"] for one in lines],
            dimension=D,
            ax=ax,
        )
    axes[0].legend(fontsize=7, frameon=False, loc="upper left")
    return axes


def curves_figure(summary: dict[str, Any]) -> list[Axes]:
    """Success probability against n, a panel per D, with the first-moment bound min(1, E[Y])."""
    dimensions = sorted({one["D"] for one in summary["thresholds"]})
    axes = _panels(len(dimensions))
    for ax, D in zip(axes, dimensions, strict=True):
        curves = [one for one in summary["curves"] if one["D"] == D and one["method"] == "exact"]
        expected = [
            [min(1.0, 2 ** thresholds.log2_expected_count(n=n, D=D, eps=one["eps"], z=BOX)) for n in one["n"]]
            for one in curves
        ]
        success_against_size(curves=curves, expected=expected, dimension=D, ax=ax)
    return axes


def _found_label(method: str, summary: dict[str, Any]) -> str:
    """In how long the method finds, at its slowest threshold of the study."""
    times = [one[method]["seconds_each"] for one in summary["thresholds"] if one[method] is not None]
    return f"found by {method} within {max(times):.1g} s" if times else f"{method}: not in range"


_PROOF = ("n", "k", "success", "note")


def _paper(D: int, eps: float) -> dict[str, Any]:
    """D⁶·log³(D/ε): the width theorem's form for one subset sum."""
    bound = bounds.compute("dacunha2023", d=1, c_in=1, c_out=D, depth=1, eps=eps, constant=1.0)
    return {"value": bound.value, "text": str(bound)}


def _threshold(curve: dict[str, Any], seed: int, draws: int = DRAWS) -> tuple[dict[str, Any] | None, Array]:
    """n_½ with its interval and the core seconds an instance took there; and the bootstrap's draws of n_½."""
    sizes, trials = np.array(curve["n"], dtype=float), np.array(curve["trials"])
    frequencies = np.array(curve["successes"]) / trials
    half = half_point(sizes, frequencies, trials)
    if half is None:
        return None, np.full(draws, np.nan)
    rng = np.random.default_rng([seed, curve["D"], round(1e9 * curve["eps"])])
    fit = isotonic_regression(frequencies, weights=trials).x
    again = [half_point(sizes, rng.binomial(trials, fit) / trials, trials) for _ in range(draws)]
    drawn = np.array([np.nan if one is None else one for one in again])
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(drawn, [tail, 100 - tail])
    seconds = float(np.interp(half, sizes, curve["seconds_each"]))
    return {"n": half, "low": float(low), "high": float(high), "seconds_each": seconds}, drawn


def _exponents(cells: list[tuple[int, float, float]]) -> dict[str, float] | None:
    """α and β of n = A·D^α·log2(1/ε)^β; None where the cells do not determine them."""
    if len(cells) < FEWEST or len({D for D, _, _ in cells}) < 2 or len({eps for _, eps, _ in cells}) < 2:
        return None
    D, eps, n = np.array(cells, dtype=float).T
    design = np.column_stack([np.ones(len(cells)), np.log(D), np.log(np.log2(1 / eps))])
    solution = np.linalg.lstsq(design, np.log(n), rcond=None)[0]
    return {"D": float(solution[1]), "log": float(solution[2])}


def _exponents_with_interval(
    table: list[dict[str, Any]], draws: dict[tuple[int, float], Array]
) -> dict[str, Any] | None:
    """The exponents of measured existence; their intervals from the bootstrap's draws of every n_½."""
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


def _panels(count: int) -> list[Axes]:
    columns = min(count, 2)
    made = Figure(figsize=(4.6 * columns, 3.6 * -(-count // columns)), layout="constrained")
    grid = np.atleast_1d(made.subplots(-(-count // columns), columns)).ravel()
    for spare in grid[count:]:
        spare.remove()
    return list(grid[:count])
