"""Figures that set methods, structures and constructions side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.patches import Rectangle

from slth.figures.bands import Band
from slth.figures.style import ACCENT, DASHES, INK, MARKERS, MUTED, clean, new_axes

# (x, value) at increasing x.
Curve = Sequence[tuple[float, Band]]

# Beyond eight methods a marker is used again, with another dash.
_SHADES = (INK, ACCENT, "#6b6b6b")


def error_against_dimension(
    *,
    curves: Mapping[str, Curve],
    trivial: Sequence[tuple[float, float]],
    exists: Sequence[tuple[float, float]] = (),
    ax: Axes | None = None,
) -> Axes:
    """Draw the L∞ error of methods against the dimension of the problem, at equal candidates per dimension.

    Args:
        curves: method → (D, error) at increasing D, where the method gave a result.
        trivial: (D, error) of keeping at most one candidate.
        exists: (D, error) for which one solution is expected.
        ax: axes to draw on; None for new ones.
    """
    ax = ax or new_axes(6.8, 4.4)
    ax.plot(
        *zip(*trivial, strict=True), color="#bbbbbb", linewidth=5, solid_capstyle="round", label="trivial selection"
    )
    for i, (name, values) in enumerate(curves.items()):
        if not values:
            continue
        color, x = _SHADES[i % 3], [D for D, _ in values]
        ax.fill_between(x, [one.low for _, one in values], [one.high for _, one in values], color=color, alpha=0.1,
                        linewidth=0)  # fmt: skip
        ax.plot(x, [one.median for _, one in values], color=color, marker=MARKERS[i % len(MARKERS)], markersize=5,
                markerfacecolor="white" if i % 2 else color, linestyle=DASHES[(i + i // len(MARKERS)) % 4], linewidth=1,
                label=name)  # fmt: skip
    lowest = [max(one.low, 1e-300) for values in curves.values() for _, one in values]
    if exists:
        ax.plot(*zip(*exists, strict=True), color=MUTED, linestyle=(0, (1, 3)), linewidth=1.4,
                label="one solution expected\n(first moment)")  # fmt: skip
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    if lowest:
        # The error that exists soon falls far below what any method reaches; it may leave the plot.
        ax.set_ylim(bottom=min(lowest) / 5)
    ax.set_xticks([D for D, _ in trivial], [f"{D:g}" for D, _ in trivial])
    ax.set_xlabel("D, the dimension of the subset sum")
    ax.set_ylabel("L∞ error (standard deviations of an entry)")
    ax.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return clean(ax)


def outcome_table(
    *,
    values: Sequence[Sequence[float | None]],
    limits: Sequence[float],
    rows: Sequence[str],
    columns: Sequence[str],
    label: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw a grey table of errors, methods by dimensions; cells whose error makes the method useless are hatched.

    Args:
        values: error of each row and column; infinity where the method refused, None where there is no result.
        limits: for each column, the error from which on a method is useless.
        rows: label of each row.
        columns: label of each column.
        label: label of the shade, which is error over limit.
        ax: axes to draw on; None for new ones.
    """
    ax = ax or new_axes(1.8 + 0.7 * len(columns), 1.2 + 0.36 * len(rows))
    ratios = np.array(
        [
            [np.nan if one is None else one / limit for one, limit in zip(line, limits, strict=True)]
            for line in values
        ]
    )  # fmt: skip
    useful = np.isfinite(ratios) & (ratios < 1)
    shown = np.where(useful, ratios, np.nan)
    lowest = min(0.1, max(float(shown[useful].min()), 1e-12)) if useful.any() else 0.1
    # The scale ends above 1, from which on cells are hatched: numbers could not be read on the darkest greys.
    image = ax.imshow(shown, cmap="Greys", norm=LogNorm(lowest / 2, 5), aspect="auto")
    for i, line in enumerate(values):
        for j, value in enumerate(line):
            if not useful[i, j]:
                ax.add_patch(
                    Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor="white", edgecolor=MUTED, hatch="////", linewidth=0)
                )
            text = "" if value is None else "refused" if math.isinf(value) else f"{value:.2g}"
            plate = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
            ax.text(j, i, text, ha="center", va="center", fontsize=7, color=INK, bbox=plate)
    ax.set_xticks(range(len(columns)), list(columns))
    ax.set_yticks(range(len(rows)), list(rows))
    ax.tick_params(length=0, labelsize=8)
    ax.set_xlabel("D, the dimension of the subset sum")
    figure = ax.get_figure()
    if figure is not None:
        bar = figure.colorbar(image, ax=ax, shrink=0.9)
        bar.set_label(label, fontsize=8)
        bar.ax.tick_params(labelsize=7)
    return ax


def price_of_structure(
    *, curves: Mapping[str, Curve], label: str, reference: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draw a quantity of tickets against the random parameters of their parents, one curve for each structure.

    Args:
        curves: structure → (random parameters, quantity).
        label: the quantity, with its unit; label of the axis.
        reference: the quantity of the target; None for no line.
        ax: axes to draw on; None for new ones.
    """
    ax = ax or new_axes(4.6, 3.8)
    for i, (name, values) in enumerate(curves.items()):
        x, color = [at for at, _ in values], (INK, ACCENT, MUTED)[i % 3]
        ax.fill_between(x, [one.low for _, one in values], [one.high for _, one in values], color=color, alpha=0.15,
                        linewidth=0)  # fmt: skip
        ax.plot(x, [one.median for _, one in values], color=color, marker=MARKERS[i % len(MARKERS)], markersize=5,
                linestyle=DASHES[i % 4], linewidth=1.2, label=name)  # fmt: skip
    if reference is not None:
        ax.axhline(reference, color=INK, linestyle=(0, (6, 3)), linewidth=0.8)
        ax.annotate("target", (1, reference), xycoords=("axes fraction", "data"), xytext=(-2, 3),
                    textcoords="offset points", fontsize=8, ha="right")  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("random parameters of the parent")
    ax.set_ylabel(label)
    return clean(ax)


def neuron_gap(*, neuron: Curve, proved: Curve, theorem: Curve, blocked: Curve, ax: Axes | None = None) -> Axes:
    """Draw the error of one ReLU neuron built from n random ones: by removal alone, and by the blocked construction.

    Args:
        neuron: (n, error) found by removing neurons alone.
        proved: (n, lower bound) of any mask for the same neurons.
        theorem: (n, sin(θ)/4), the bound of the theorem.
        blocked: (n, error) of the blocked construction.
        ax: axes to draw on; None for new ones.
    """
    ax = ax or new_axes(5.8, 4.2)
    drawn = (
        (neuron, "neurons alone: best mask found", INK, "o", "-"),
        (proved, "neurons alone: no mask is better (proved)", INK, "v", "--"),
        (theorem, "sin(θ)/4, the theorem's lower bound", MUTED, "", ":"),
        (blocked, "blocked construction", ACCENT, "s", "-."),
    )
    for values, label, color, marker, dashes in drawn:
        if not values:
            continue
        x = [n for n, _ in values]
        ax.fill_between(x, [one.low for _, one in values], [one.high for _, one in values], color=color, alpha=0.12,
                        linewidth=0)  # fmt: skip
        ax.plot(x, [one.median for _, one in values], color=color, marker=marker, linestyle=dashes, linewidth=1.2,
                markersize=4, label=label)  # fmt: skip
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    sizes = sorted({n for values, *_ in drawn for n, _ in values})
    powers = [n for n in sizes if math.log2(n).is_integer()] or sizes
    ax.set_xticks(powers, [f"{n:g}" for n in powers])
    ax.minorticks_off()
    ax.set_xlabel("hidden neurons n")
    ax.set_ylabel("sup error on the unit circle")
    ax.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    return clean(ax)
