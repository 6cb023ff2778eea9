"""Figures of scaling: candidates against the error they give, beside theory, and error against a layer's free scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from slth.figures.bands import Band
from slth.figures.style import ACCENT, DASHES, INK, MARKERS, MUTED, clean, log_axis, new_axes


def candidates_against_error(
    *,
    n: Sequence[float],
    error: Sequence[Band],
    within: Sequence[bool],
    first_moment: Sequence[float | None],
    certified: Mapping[float, int],
    paper: Sequence[float | None],
    dimension: int,
    law: Sequence[float] | None = None,
    law_label: str = "",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw how many candidates a search used for an error, how many are needed, and how many are proved to suffice.

    Args:
        n: numbers of candidates, increasing.
        error: what they gave, ε/σ.
        within: whether the fitted law covers each point; points outside it are hollow.
        first_moment: number of candidates with which one solution of that error is expected; None where unknown.
        certified: ε → proved number of candidates, |z| ≤ ½.
        paper: the paper's form at each error, with C = 1 assumed; far off the scale, so it is written, not drawn.
        dimension: D.
        law: the fitted ε at each n; None for no line.
        law_label: label of the fitted law.
        title: title of the plot; empty for the dimension.
        ax: axes to draw on; None for new ones.
    """
    ax = ax or new_axes(5.2, 4.2)
    middle = np.array([one.median for one in error])
    sizes, inside = np.asarray(n, dtype=float), np.asarray(within, dtype=bool)
    low, high = np.array([one.low for one in error]), np.array([one.high for one in error])
    ax.fill_betweenx(sizes, 1 / high, 1 / low, color=ACCENT, alpha=0.2, linewidth=0)
    ax.plot(1 / middle[inside], sizes[inside], color=ACCENT, marker="o", linestyle="none", label="measured (ticket)")
    if not inside.all():
        ax.plot(
            1 / middle[~inside], sizes[~inside], color=ACCENT, marker="o", linestyle="none", markerfacecolor="none",
            label="measured, target not reached",
        )  # fmt: skip
    if law is not None:
        ax.plot(1 / np.asarray(law)[inside], sizes[inside], color=ACCENT, linewidth=1, label=law_label)
    known = [(1 / eps, value) for eps, value in zip(middle, first_moment, strict=True) if value is not None]
    if known:
        ax.plot(*zip(*sorted(known), strict=True), color=INK, marker="x", linestyle="--", linewidth=1,
                label="existence: first moment, E[Y] = 1")  # fmt: skip
    if certified:
        proved = sorted((1 / eps, value) for eps, value in certified.items())
        ax.plot(*zip(*proved, strict=True), color=INK, marker="D", markerfacecolor="white", linestyle=":",
                label="certified width, |z| ≤ ½, success ≥ ½")  # fmt: skip
    beyond = [value for value in paper if value is not None]
    if beyond:
        span = f"{min(beyond):.0e} … {max(beyond):.0e}" if len(beyond) > 1 else f"{beyond[0]:.0e}"
        ax.text(
            0.02, 0.97, f"↑ far above: D⁶·log³(D/ε), C = 1 assumed,\n   n = {span}", transform=ax.transAxes,
            fontsize=7, va="top", color=INK,
        )  # fmt: skip
    log_axis(ax, "y")
    ax.set_ylim(top=ax.get_ylim()[1] * 6)
    log_axis(ax, "x")
    ax.set_xlabel("1/ε (error in standard deviations σ of a candidate entry, L∞)", fontsize=8)
    ax.set_ylabel("candidates n of one sign")
    ax.set_title(title or f"D = {dimension}", fontsize=10)
    return clean(ax)


def error_against_scale(
    *, curves: Mapping[str, Sequence[tuple[float, Band]]], auto: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the relative error of a layer against the free factor on its random weights, in units of the default.

    Args:
        curves: label → (factor, relative error as a share of the kernel) at increasing factors.
        auto: the default factor, which is marked; None for no mark.
        ax: axes to draw on; None for new ones.
    """
    ax = ax or new_axes(5.4, 3.8)
    for i, (label, values) in enumerate(curves.items()):
        factor = [at for at, _ in values]
        color = (INK, ACCENT, MUTED)[i % 3]
        ax.fill_between(
            factor, [100 * one.low for _, one in values], [100 * one.high for _, one in values], color=color,
            alpha=0.15, linewidth=0,
        )  # fmt: skip
        ax.plot(factor, [100 * one.median for _, one in values], color=color, marker=MARKERS[i % len(MARKERS)],
                markersize=4, linestyle=DASHES[i % 4], linewidth=1.2, label=label)  # fmt: skip
    if auto is not None:
        ax.axvline(auto, color=INK, linewidth=0.8)
        ax.annotate("scale='auto'", (auto, 0.02), xycoords=("data", "axes fraction"), xytext=(4, 0),
                    textcoords="offset points", fontsize=8)  # fmt: skip
    ax.axhline(100, color=MUTED, linewidth=0.6)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("scale of the layer's random weights, in units of the default")
    ax.set_ylabel("relative kernel error (RMS, %)")
    ax.legend(fontsize=8, frameon=False)
    return clean(ax)


def error_against_time(
    curves: Mapping[str, Sequence[tuple[float, Band]]],
    *,
    front: Sequence[tuple[float, float]] = (),
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw what each method reaches in a time, and the front: the least error of any method in at most that time.

    Args:
        curves: method → (seconds of one core, error), at most eight methods.
        front: (seconds, error), drawn as a step below which nothing was found; empty for none.
        title: title of the plot.
        ax: axes to draw on; None for new ones.

    Returns:
        The axes.
    """
    ax = ax or new_axes(5.2, 4.2)
    if front:
        seconds, errors = zip(*sorted(front), strict=True)
        ax.step(seconds, errors, where="post", color=MUTED, linewidth=5, alpha=0.35, label="front", zorder=0)
    for i, (name, points) in enumerate(curves.items()):
        seconds, bands = zip(*sorted(points, key=lambda point: point[0]), strict=True)
        color = ACCENT if i == 0 else INK
        ax.plot(
            seconds, [one.median for one in bands], color=color, marker=MARKERS[i], linestyle=DASHES[i % len(DASHES)],
            linewidth=1.6 if i == 0 else 0.9, markersize=4, markerfacecolor=color if i == 0 else "white", label=name,
        )  # fmt: skip
        if len(points) > 1:
            ax.fill_between(
                seconds, [one.low for one in bands], [one.high for one in bands], color=color, alpha=0.12, linewidth=0
            )
    log_axis(ax, "x")
    log_axis(ax, "y")
    ax.set_xlabel("seconds of one core")
    ax.set_ylabel("error, L∞")
    ax.set_title(title, fontsize=10)
    return clean(ax)
