r"""Which width to choose for a network: the measured law of the search, beside what a theorem asks of any search.

The law is for the relative error of a layer, the root mean square of what is left over that of the layer's weights:

.. math:: r ≈ 0.035 \cdot D^{3/2}/n, \qquad n = \text{width}/2

It is the law 0.35·D^{3/2}/n of one subset sum (``relax_scaling``), for the parents that ``scale="auto"`` makes: their
candidates are so small that a layer's weights have a root mean square of 10 standard deviations of a candidate entry.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from slth.errors import InputError, check_positive
from slth.networks.linear_map import LinearMap
from slth.networks.parent import MAX_WIDTH
from slth.networks.parent_sizes import REACH, TARGET_RMS
from slth.progress import Progress, follow
from slth.theory import bounds
from slth.theory.sample_bounds import FITTED_CONSTANT

LAW_CONSTANT = FITTED_CONSTANT / TARGET_RMS
# What the law was measured on: the layers of `python -m benchmarks.tickets`, structure channel. A test reads all of
# these numbers from benchmarks/results/tickets.json.
MEASURED_LAYERS, MEASURED_SEARCHES = 52, 7
MEASURED_CONSTANTS = (0.030, 0.039)
MEASURED_DIMENSIONS = (9, 576)
MEASURED_RATIOS = (10, 1112)  # n/D
# Of those networks: the relative error of the worst layer, and the agreement with the target on MNIST's test images.
MEASURED_WORST_LAYERS = (0.0054, 0.083)
MEASURED_AGREEMENTS = (0.9985, 0.9999)


@dataclass(frozen=True, kw_only=True)
class WidthChoice:
    """The width of one layer.

    Attributes:
        name: of the layer.
        kind: ``conv`` or ``linear``.
        dimension: D of one subset sum, structure ``channel``.
        width: at which the law gives the error, or the least width at which the law was measured if that is more.
        needed: no search succeeds below this width with probability 1 − δ, where every weight must be within the error
            (first moment); None where it is not known.
        is_measured: whether D and the width lie where the law was measured.
    """

    name: str
    kind: str
    dimension: int
    width: int
    needed: int | None
    is_measured: bool


def choose_widths(
    maps: Sequence[LinearMap], error: float, *, delta: float = 0.01, progress: bool | Progress = False
) -> list[WidthChoice]:
    """Choose a width for every layer of a network.

    Args:
        maps: the layers.
        error: relative error of a layer's weights, in (0, 1).
        delta: failure probability of the theorem.
        progress: who is told of every layer.

    Returns:
        A choice for each layer.

    Raises:
        InputError: the error or δ is out of range, or a width is above the largest that a parent can have.

    Source: relax_scaling
    """
    if check_positive("error", error, "It is a relative error, such as 0.01 for 1 %.") >= 1:
        raise InputError(f"error must lie in (0, 1); got {error}. It is a relative error, such as 0.01 for 1 %.")
    task = "widths"
    with follow(progress, {task: len(maps)}, unit="layers") as listener:
        chosen = []
        for one in maps:
            chosen.append(_choose(one, error, delta))
            listener.advance(task)
    return chosen


def width_option(chosen: Sequence[WidthChoice]) -> str:
    """The value of ``--width`` that gives every kind of layer the largest width among its layers."""
    widest: dict[str, int] = {}
    for one in chosen:
        widest[one.kind] = max(one.width, widest.get(one.kind, 0))
    return ",".join(f"{kind}={width}" for kind, width in widest.items())


def _choose(linear: LinearMap, error: float, delta: float) -> WidthChoice:
    dimension = linear.part_size("channel", 0)
    # Below the second number the parent's scale is another, below the third nothing was measured.
    least = (LAW_CONSTANT * dimension**1.5 / error, TARGET_RMS / REACH * math.sqrt(dimension), 10 * dimension)
    if 2 * max(least) > MAX_WIDTH:
        raise InputError(
            f"layer {linear.name} needs a width of about {2 * max(least):.3g} for a relative error of {error:g}; the "
            f"largest is {MAX_WIDTH:,}. Ask for a larger error."
        )
    candidates = math.ceil(max(least))
    try:
        size = TARGET_RMS
        needed = bounds.compute("first_moment", D=dimension, eps=error * size, z=size, delta=delta).value
    except InputError:  # beyond the range of the formula
        needed = None
    low, high = MEASURED_DIMENSIONS
    is_measured = low <= dimension <= high and candidates <= MEASURED_RATIOS[1] * dimension
    return WidthChoice(
        name=linear.name, kind=linear.kind, dimension=dimension, width=2 * candidates,
        needed=None if needed is None else 2 * int(needed), is_measured=is_measured,
    )  # fmt: skip
