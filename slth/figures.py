"""Figures. Each takes an ``ax`` (or makes one) and returns it; all of them read in greyscale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from slth.tickets import Ticket

INK, MUTED, ACCENT = "#1b1b1b", "#8a8a8a", "#2b6cb0"


def error_per_layer(ticket: Ticket, ax: Axes | None = None) -> Axes:
    """Relative error of each layer's kernels (root mean square of the error over that of the kernel)."""
    ax = ax or _new_axes(5.2, 3.2)
    names = [f"{layer.name}\nD = {layer.dimension}" for layer in ticket.layers]
    values = [max(100 * layer.relative_rms, 1e-4) for layer in ticket.layers]
    bars = ax.bar(names, values, color=ACCENT, edgecolor=INK, linewidth=0.8, width=0.6)
    ax.bar_label(bars, [f"{value:.2g} %" for value in values], fontsize=8, padding=2)
    ax.set_yscale("log")
    ax.set_ylim(min(values) / 3, max(values) * 4)
    ax.set_ylabel("relative kernel error (RMS, %)")
    ax.set_title("How closely each layer is matched", fontsize=10)
    return _clean(ax)


def accuracy_against_width(
    *,
    widths: Sequence[int],
    accuracy: Sequence[float],
    target: float,
    random: Sequence[float] | None = None,
    chance: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Test accuracy of tickets against the width of their parent, with the target's and the random ticket's.

    Args:
        widths: hidden channels per input channel. accuracy: of the ticket at each width, in [0, 1].
        target: accuracy of the target. random: of random tickets of the same sizes. chance: of guessing.
    """
    ax = ax or _new_axes(5.2, 3.2)
    ax.axhline(100 * target, color=INK, linestyle="--", linewidth=1, label=f"target ({100 * target:.1f} %)")
    ax.plot(widths, 100 * np.asarray(accuracy), color=ACCENT, marker="o", label="ticket, untrained")
    if random is not None:
        ax.plot(widths, 100 * np.asarray(random), color=MUTED, marker="s", linestyle=":", label="random ticket")
    if chance is not None:
        ax.axhline(100 * chance, color=MUTED, linewidth=0.8, label="chance")
    ax.set_xscale("log")
    ax.set_xticks(list(widths), [f"{width:,}" for width in widths], minor=False)
    ax.minorticks_off()
    ax.set_ylim(0, 104)
    ax.set_xlabel("width (random hidden channels per input channel)")
    ax.set_ylabel("test accuracy (%)")
    ax.set_title("More randomness, a better ticket", fontsize=10)
    ax.legend(fontsize=8, loc="center right", frameon=False)
    return _clean(ax)


def filters_side_by_side(ticket: Ticket, layer: int = 0, limit: int = 8, ax: Axes | None = None) -> Axes:
    """Kernels of a conv layer's first input channel: target above, ticket's sums of random kernels below.

    The grey scale is shared; the third row is their difference, magnified by a power of ten so that it shows.
    """
    from slth.tickets.approximation import approximated_weight  # imports torch, which the other figures do without

    ax = ax or _new_axes(6.4, 2.9)
    linear = ticket.target.maps[layer]
    count = min(limit, linear.channels[1])
    original = linear.weight[:count, 0].astype(np.float64).reshape(count, -1)
    found = approximated_weight(ticket, layer, linear.signs[0])[:count, 0].reshape(count, -1)
    side = round(original.shape[1] ** 0.5) if linear.kind == "conv" else 1
    span = np.abs(original).max() or 1.0
    worst = float(np.abs(found - original).max()) or span
    factor = 10 ** max(0, math.floor(math.log10(span / worst)))
    rows = [original, found, factor * (found - original)]
    image = np.full((3 * (side + 1) - 1, count * (side + 1) - 1), np.nan)
    for i, row in enumerate(rows):
        for j in range(count):
            tile = row[j].reshape(side, -1)
            image[i * (side + 1) : i * (side + 1) + side, j * (side + 1) : j * (side + 1) + tile.shape[1]] = tile
    shown = ax.imshow(image, cmap="gray", vmin=-span, vmax=span, interpolation="nearest")
    ax.set_yticks([i * (side + 1) + (side - 1) / 2 for i in range(3)], ["target", "ticket", f"difference ×{factor:,}"])
    ax.set_xticks([j * (side + 1) + (side - 1) / 2 for j in range(count)], [f"filter {j}" for j in range(count)])
    ax.tick_params(length=0, labelsize=8)
    for spine in ax.spines.values():
        spine.set_visible(False)
    figure = ax.get_figure()
    if figure is not None:
        figure.colorbar(shown, ax=ax, shrink=0.8, label="weight")
    ax.set_title(f"{linear.name}: trained filters and sums of random ones", fontsize=10)
    return ax


def width_against_eps(
    *, eps: Sequence[float], curves: Mapping[str, Sequence[float]], dimension: int, ax: Axes | None = None
) -> Axes:
    """Bounds on the number of candidates of one subset sum against its tolerance.

    Args:
        eps: tolerances, L∞. curves: label → n at each of them, from the largest to the smallest; a label says what
            its constant is. dimension: D.
    """
    ax = ax or _new_axes(6.0, 5.0)
    for i, (label, values) in enumerate(curves.items()):
        color, dashes = (INK, MUTED, ACCENT)[i % 3], ("-", "--", ":", "-.")[i % 4]
        ax.plot([1 / one for one in eps], values, color=color, linestyle=dashes, linewidth=1.6, label=label)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("1/ε, the inverse tolerance of one subset sum (L∞)")
    ax.set_ylabel("candidates n")
    ax.set_title(f"How many candidates one subset sum needs, D = {dimension}", fontsize=10)
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(-0.02, -0.16), frameon=False)
    return _clean(ax)


def success_against_size(
    *, curves: Sequence[Mapping[str, Any]], expected: Sequence[Sequence[float]], dimension: int, ax: Axes | None = None
) -> Axes:
    """Measured probability that a subset within ε exists, against the number of candidates.

    Args:
        curves: for each ε a mapping of ``eps``, ``n``, ``successes``, ``trials``, and ``low`` and ``high``, the bands.
        expected: min(1, E[number of solutions]) at the same sizes, which bounds the probability from above.
    """
    ax = ax or _new_axes(5.2, 3.6)
    for i, (curve, bound) in enumerate(zip(curves, expected, strict=True)):
        shade = str(0.65 * i / max(1, len(curves) - 1))
        frequency = np.array(curve["successes"]) / np.array(curve["trials"])
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
    return _clean(ax)


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
    """Candidates for a subset within ε to exist, to be found, and to be proved to exist.

    Args:
        eps: tolerances. measured: n_½ of existence at each, as ``n``, ``low``, ``high``; None where unknown.
        found: label of a method → the same. first_moment: where E[number of solutions] = 1.
        certified: proved widths or None. paper: its form with C = 1 assumed. dimension: D.
    """
    ax = ax or _new_axes(5.2, 4.2)
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
    return _clean(ax)


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


def _new_axes(width: float, height: float) -> Axes:
    return Figure(figsize=(width, height), layout="constrained").subplots()


def _clean(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    return ax
