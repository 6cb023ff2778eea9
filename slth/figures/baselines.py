"""Figures that set trained and untrained tickets side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from slth.figures.bands import Interval
from slth.figures.style import ACCENT, DASHES, INK, MARKERS, MUTED, clean, new_axes


def accuracy_against_density(
    curves: Mapping[str, Mapping[float, Interval]], *, dense: Interval | None = None, chance: float | None = None,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw the test accuracy of each method's tickets against the fraction of weights they keep.

    Args:
        curves: method → density in (0, 1] → (mean, low, high) accuracy in [0, 1].
        dense: (mean, low, high) accuracy of the trained dense network; None for no line.
        chance: accuracy of guessing; None for no line.
        ax: axes to draw on; None for new ones.
    """
    ax = ax or new_axes(6.4, 4.4)
    if dense is not None:
        ax.axhline(100 * dense[0], color=INK, linewidth=1, label=f"dense, trained ({100 * dense[0]:.1f} %)")
    if chance is not None:
        ax.axhline(100 * chance, color=MUTED, linewidth=0.8, label="chance")
    for i, (name, curve) in enumerate(curves.items()):
        at = sorted(curve)
        mean, low, high = (100 * np.array([curve[one][j] for one in at]) for j in range(3))
        shade, dashes = (INK, ACCENT, MUTED)[i % 3], DASHES[(i // 3) % len(DASHES)]
        ax.fill_between(at, low, high, color=shade, alpha=0.15, linewidth=0)
        ax.plot(at, mean, color=shade, linestyle=dashes, marker=MARKERS[i % len(MARKERS)], markersize=4, label=name,
                markerfacecolor="none" if i >= 3 else shade)  # fmt: skip
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("density: fraction of weights kept")
    ax.set_ylabel("test accuracy (%)")
    ax.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return clean(ax)


def reliability(tables: Mapping[str, Mapping[str, Sequence[float]]], *, ax: Axes | None = None) -> Axes:
    """Draw a reliability diagram: the accuracy of predictions against their confidence.

    Args:
        tables: name → ``confidence``, ``accuracy`` and ``count`` of each bin that is not empty.
        ax: axes to draw on; None for new ones.
    """
    ax = ax or new_axes(6.0, 4.2)
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, label="calibrated")
    for i, (name, table) in enumerate(tables.items()):
        share = np.asarray(table["count"], float) / max(1.0, float(np.sum(table["count"])))
        shade = (INK, ACCENT, MUTED)[i % 3]
        ax.plot(table["confidence"], table["accuracy"], color=shade, linestyle=DASHES[i % 4], linewidth=1, label=name)
        ax.scatter(table["confidence"], table["accuracy"], s=8 + 120 * share, marker=MARKERS[i % len(MARKERS)],
                   facecolors="none", edgecolors=shade)  # fmt: skip
    ax.set_xlim(0, 1.02)
    ax.set_ylim(0, 1.02)
    ax.set_aspect("equal")
    ax.set_xlabel("confidence: largest softmax output")
    ax.set_ylabel("accuracy")
    ax.set_title("Reliability (size of a mark: share of the examples)", fontsize=9)
    ax.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return clean(ax)


def intervals(
    values: Mapping[str, Interval], *, quantity: str, reference: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draw means with their intervals, one row for each.

    Args:
        values: name → (mean, low, high).
        quantity: what the values are, with the unit; label of the axis.
        reference: a value to compare with; None for no line.
        ax: axes to draw on; None for new ones.
    """
    ax = ax or new_axes(5.6, 0.32 * len(values) + 1.1)
    names = list(values)
    mean, low, high = (np.array([values[name][j] for name in names]) for j in range(3))
    ax.errorbar(mean, range(len(names)), xerr=[mean - low, high - mean], fmt="o", color=INK, ecolor=ACCENT, capsize=3,
                markersize=4)  # fmt: skip
    if reference is not None:
        ax.axvline(reference, color=MUTED, linestyle="--", linewidth=0.8)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlabel(quantity)
    clean(ax)
    ax.grid(visible=False, axis="y")
    ax.grid(visible=True, axis="x", color="#dddddd", linewidth=0.6)
    return ax


def search_cost(points: Mapping[str, Sequence[tuple[float, float]]], *, unit: str, ax: Axes | None = None) -> Axes:
    """Draw test accuracy against the cost of the search, one mark for each density and method.

    Args:
        points: method → (cost, accuracy in [0, 1]) pairs.
        unit: unit of the cost; in the label of the axis.
        ax: axes to draw on; None for new ones.
    """
    ax = ax or new_axes(5.6, 4.0)
    for i, (name, pairs) in enumerate(points.items()):
        shade = (INK, ACCENT, MUTED)[i % 3]
        ax.scatter([cost for cost, _ in pairs], [100 * score for _, score in pairs], marker=MARKERS[i % len(MARKERS)],
                   edgecolors=shade, facecolors="none" if i >= 3 else shade, s=24, label=name)  # fmt: skip
    ax.set_xscale("log")
    ax.set_xlabel(f"cost of the search ({unit})")
    ax.set_ylabel("test accuracy (%)")
    ax.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return clean(ax)
