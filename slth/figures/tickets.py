"""Figures of tickets: how close each layer is, how accuracy grows with width, and the filters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from slth.figures.style import ACCENT, INK, MUTED, clean, new_axes

if TYPE_CHECKING:
    from slth.tickets import Ticket


def error_per_layer(ticket: Ticket, ax: Axes | None = None) -> Axes:
    """Draw the relative error of each layer's kernels: root mean square of the error over that of the kernel.

    Args:
        ticket: the ticket.
        ax: axes to draw on; None for new ones.
    """
    ax = ax or new_axes(5.2, 3.2)
    names = [f"{layer.name}\nD = {layer.dimension}" for layer in ticket.layers]
    values = [max(100 * layer.relative_rms, 1e-4) for layer in ticket.layers]
    bars = ax.bar(names, values, color=ACCENT, edgecolor=INK, linewidth=0.8, width=0.6)
    ax.bar_label(bars, [f"{value:.2g} %" for value in values], fontsize=8, padding=2)
    ax.set_yscale("log")
    ax.set_ylim(min(values) / 3, max(values) * 4)
    ax.set_ylabel("relative kernel error (RMS, %)")
    ax.set_title("How closely each layer is matched", fontsize=10)
    return clean(ax)


def accuracy_against_width(
    *,
    widths: Sequence[int],
    accuracy: Sequence[float],
    target: float,
    random: Sequence[float] | None = None,
    chance: float | None = None,
    band: tuple[Sequence[float], Sequence[float]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the test accuracy of tickets against the width of their parent, beside the target and random tickets.

    Args:
        widths: hidden channels per input channel.
        accuracy: of the ticket at each width, in [0, 1].
        target: accuracy of the target.
        random: accuracy of random tickets of the same sizes; None for no line.
        chance: accuracy of guessing; None for no line.
        band: least and greatest accuracy at each width, over parents; None for no band.
        ax: axes to draw on; None for new ones.
    """
    ax = ax or new_axes(5.2, 3.2)
    ax.axhline(100 * target, color=INK, linestyle="--", linewidth=1, label=f"target ({100 * target:.1f} %)")
    ax.plot(widths, 100 * np.asarray(accuracy), color=ACCENT, marker="o", label="ticket, untrained")
    if band is not None:
        low, high = (100 * np.asarray(end) for end in band)
        ax.fill_between(widths, low, high, color=ACCENT, alpha=0.2, linewidth=0)
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
    return clean(ax)


def filters_side_by_side(ticket: Ticket, layer: int = 0, limit: int = 8, ax: Axes | None = None) -> Axes:
    """Draw kernels of a layer's first input channel: the target's above, the ticket's sums of random kernels below.

    The third row is their difference, magnified by a power of ten so that it shows. The grey scale is shared.

    Args:
        ticket: the ticket.
        layer: number of the layer.
        limit: most filters to draw.
        ax: axes to draw on; None for new ones.
    """
    # Imported here because it imports torch, which the other figures do not need.
    from slth.tickets.record.approximation import approximated_weight

    ax = ax or new_axes(6.4, 2.9)
    linear = ticket.target.maps[layer]
    count = min(limit, linear.channels[1])
    original = linear.weight[:count, 0].astype(np.float64).reshape(count, -1)
    found = approximated_weight(ticket, layer, linear.signs[0])[:count, 0].reshape(count, -1)
    side = round(original.shape[1] ** 0.5) if linear.kind != "linear" else 1
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
