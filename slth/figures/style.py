"""Style that all figures share: colours that read in greyscale, axes, a clean frame."""

from __future__ import annotations

import math
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

INK, MUTED, ACCENT = "#1b1b1b", "#8a8a8a", "#2b6cb0"
MARKERS = "os^Dv<>p"
DASHES = ("-", "--", ":", "-.")


def new_axes(width: float, height: float) -> Axes:
    """Make one plot on a new figure, without pyplot's global state.

    Args:
        width: of the figure, in inches.
        height: of the figure, in inches.
    """
    return Figure(figsize=(width, height), layout="constrained").subplots()


def clean(ax: Axes) -> Axes:
    """Remove the frame above and on the right, and put a light grid behind."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    return ax


def panels(count: int, *, columns: int = 2, width: float = 4.6, height: float = 3.6) -> list[Axes]:
    """Make several plots of one size, row by row, on one figure.

    Args:
        count: number of plots.
        columns: most plots in a row.
        width: of each plot, in inches.
        height: of each plot, in inches.
    """
    columns = max(1, min(count, columns))
    rows = -(-count // columns)
    made = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return [made.add_subplot(rows, columns, i + 1) for i in range(count)]


def log_axis(ax: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic; where it spans little, its tick labels do not overlap.

    Args:
        ax: the plot.
        which: ``x`` or ``y``.
    """
    (ax.set_xscale if which == "x" else ax.set_yscale)("log")
    axis = ax.xaxis if which == "x" else ax.yaxis
    low, high = sorted(ax.get_xlim() if which == "x" else ax.get_ylim())
    axis.set_minor_formatter(NullFormatter())
    if low > 0 and math.log10(high / low) < 2.5:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
