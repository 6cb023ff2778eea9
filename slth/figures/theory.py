"""Figures of theory: bounds against tolerance, and measured existence beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from slth.figures.style import ACCENT, INK, MUTED, clean, new_axes


def width_against_eps(
    *, eps: Sequence[float], curves: Mapping[str, Sequence[float]], dimension: int, ax: Axes | None = None
) -> Axes:
    """Draw bounds on the number of candidates of one subset sum against its tolerance.

    Args:
        eps: tolerances, L∞.
        curves: label → n at each tolerance; a label says what the constant of its bound is.
        dimension: D.
        ax: axes to draw on; None for new ones.
    """
    ax = ax or new_axes(6.0, 5.0)
    for i, (label, values) in enumerate(curves.items()):
        color, dashes = (INK, MUTED, ACCENT)[i % 3], ("-", "--", ":", "-.")[i % 4]
        ax.plot([1 / one for one in eps], values, color=color, linestyle=dashes, linewidth=1.6, label=label)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("1/ε, the inverse tolerance of one subset sum (L∞)")
    ax.set_ylabel("candidates n")
    ax.set_title(f"How many candidates one subset sum needs, D = {dimension}", fontsize=10)
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(-0.02, -0.16), frameon=False)
    return clean(ax)


def success_against_size(
    *, curves: Sequence[Mapping[str, Any]], expected: Sequence[Sequence[float]], dimension: int, ax: Axes | None = None
) -> Axes:
    """Draw the measured probability that a subset within ε exists, against the number of candidates.

    Args:
        curves: for each ε a mapping of ``eps``, ``n``, ``successes``, ``trials``, and ``low`` and ``high``, the bands.
        expected: min(1, E[number of solutions]) at the same sizes, which bounds the probability from above.
        dimension: D.
        ax: axes to draw on; None for new ones.
    """
    ax = ax or new_axes(5.2, 3.6)
    for i, (curve, bound) in enumerate(zip(curves, expected, strict=True)):
        shade = str(0.65 * i / max(1, len(curves) - 1))
        trials = np.array(curve["trials"], dtype=float)
        frequency = np.array(curve["successes"]) / np.where(trials > 0, trials, np.nan)
        ax.fill_between(curve["n"], curve["low"], curve["high"], color=shade, alpha=0.2, linewidth=0)
        ax.plot(curve["n"], frequency, color=shade, marker="os^Dv"[i % 5], markersize=3, label=f"ε = {curve['eps']:g}")
        ax.plot(curve["n"], bound, color=ACCENT, linestyle=":", label="min(1, E[Y])" if i == 0 else None)
    ax.axhline(0.5, color=MUTED, linewidth=0.6)
    ax.set_ylim(-0.02, 1.04)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("candidates n")
    ax.set_ylabel("P(a subset within ε exists)")
    ax.set_title(f"D = {dimension}", fontsize=10)
    ax.legend(fontsize=7, frameon=False, loc="lower right")
    return clean(ax)


def three_worlds(
    *,
    eps: Sequence[float],
    measured: Sequence[Mapping[str, float] | None],
    found: Mapping[str, Sequence[Mapping[str, float] | None]],
    first_moment: Sequence[float],
    certified: Sequence[float | None],
    paper: Sequence[float],
    dimension: int,
    ax: Axes | None = None,
) -> Axes:
    """Draw how many candidates it takes for a subset within ε to exist, to be found, and to be proved to exist.

    Args:
        eps: tolerances.
        measured: n_½ of existence at each tolerance, as ``n``, ``low``, ``high``; None where unknown.
        found: label of a method → its n_½ at each tolerance, in the same form.
        first_moment: n at which E[number of solutions] = 1.
        certified: proved widths; None where no width was proved.
        paper: the paper's form with C = 1 assumed.
        dimension: D.
        ax: axes to draw on; None for new ones.
    """
    ax = ax or new_axes(5.2, 4.2)
    inverse = 1 / np.asarray(eps)
    ax.plot(inverse, first_moment, color=INK, linewidth=1, label="first moment: E[Y] = 1")
    _points(ax, inverse, measured, color=INK, marker="o", label="exists: measured n_½")
    for marker, (label, values) in zip("sD^v", found.items(), strict=False):
        _points(ax, inverse, values, color=ACCENT, marker=marker, label=label, hollow=True)
    proved = np.array([np.nan if one is None else one for one in certified])
    if np.isfinite(proved).any():
        ax.plot(inverse, proved, color=INK, marker="x", linestyle="--", linewidth=1, label="proven: certified width")
    ax.plot(inverse, paper, color=MUTED, linestyle=":", label="the paper's form, C = 1 assumed")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("1/ε")
    ax.set_ylabel("candidates n")
    ax.set_title(f"D = {dimension}", fontsize=10)
    return clean(ax)


def _points(
    ax: Axes, x: Any, values: Sequence[Mapping[str, float] | None], *, color: str, marker: str, label: str,
    hollow: bool = False,
) -> None:  # fmt: skip
    known = [(at, one) for at, one in zip(x, values, strict=True) if one is not None]
    middle = [one["n"] for _, one in known]
    reach = [[one["n"] - one["low"] for _, one in known], [one["high"] - one["n"] for _, one in known]]
    ax.errorbar(
        [at for at, _ in known], middle, yerr=reach, color=color, marker=marker, linestyle="none", capsize=2,
        markersize=7 if hollow else 4, markerfacecolor="none" if hollow else color, label=label,
    )  # fmt: skip
