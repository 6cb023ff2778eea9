"""The sizes of a parent: the width and the scale of each layer, chosen for a target."""

from __future__ import annotations

import functools
import math

import numpy as np

from slth.errors import InputError, check_choice, check_int, check_positive
from slth.networks.generator import DEVIATION, WEIGHT_LAWS
from slth.networks.linear_map import LinearMap
from slth.networks.parent import MAX_WIDTH, Parent, ParentLayer
from slth.networks.structure import STRUCTURES
from slth.networks.target import Target

# The automatic scale makes the target this large: its root mean square, in standard deviations of a candidate entry.
# The absolute error of a subset sum depends on (n, D) and hardly on the target, so the relative error of a large target
# is small. From 3 to 10 it falls to a third, for a tenth more kept channels; above 10 the number of kept channels grows
# faster (measured).
TARGET_RMS = 10.0
# n candidates of dimension D reach targets up to about 0.3·n/√D in root mean square (half the sum of |⟨x, w⟩|). A third
# of that leaves room for input channels above the average, and for solvers that are not exhaustive.
REACH = 0.1
# The same where each kernel or weight is a target by itself. Every one of them must be within reach, and n is small
# where D is 1: the positive candidates of n = 24 sum to 7.6 on average, but in two of 10,000 instances to less than
# the largest weight's 0.72.
PART_REACH = 0.03


def make_parent(
    target: Target,
    *,
    width: int | dict[str, int],
    seed: int,
    law: str = "normal",
    scale: str | float = "auto",
    structure: str = "channel",
) -> Parent:
    """Make the parent of a target. The scales depend on the norms of the target, and on no random number.

    Args:
        target: the target.
        width: hidden channels per input channel: one number, or a number for each name or kind of layer
            (``{"conv": 60000, "linear": 20000, "fc3": 5000}``; a name wins over a kind). ``conv`` counts for transposed
            convolutions too, unless ``conv_transpose`` is there.
        seed: of all random weights, 0 ≤ seed < 2⁶⁴.
        law: of the weights: ``normal`` or ``uniform``.
        scale: ``auto``, or one positive number for every layer. ``auto`` makes the root mean square of the layer's
            weights equal to min(10, n/(10·√D)) standard deviations of a candidate entry, n = width/2.
        structure: what a mask will remove: ``channel``, ``kernel`` or ``weight``. It sets D, and changes only the
            scales of the parent. For ``kernel`` and ``weight``, the root mean square is that of the largest kernel or
            weight, and 0.03·n/√D takes the place of n/(10·√D).

    Returns:
        The parent: a specification, without any random number.

    Raises:
        InputError: a width is missing, below 1 or belongs to no layer; or the law, seed, scale or structure is not
            one of those above.
    """
    check_choice("law", law, WEIGHT_LAWS)
    check_choice("structure", structure, tuple(STRUCTURES))
    if not (isinstance(scale, str) and scale == "auto"):
        check_positive("scale", scale, "Pass 'auto' or a positive number.")
    widths = _widths_by_layer(target, width)

    def layer_scale(linear: LinearMap, channels: range) -> float:
        if not isinstance(scale, str):
            return float(np.float32(scale))
        return _automatic_scale(linear, channels, width=widths[linear.name], law=law, structure=structure)

    layers = tuple(
        ParentLayer(
            name=linear.name,
            c_in=linear.channels[0],
            c_out=linear.channels[1],
            kernel=linear.kernel,
            width=widths[linear.name],
            bias=linear.bias is not None,
            scale=layer_scale(linear, range(linear.channels[0])),
            bias_scale=layer_scale(linear, linear.instances[-1:]) if linear.bias is not None else 1.0,
            groups=linear.groups,
        )
        for linear in target.maps
    )
    return Parent(seed=seed, law=law, layers=layers)


def _automatic_scale(linear: LinearMap, channels: range, *, width: int, law: str, structure: str) -> float:
    """The factor on V that brings the target's slices of some input channels within reach of the candidates."""
    size = linear.part_size(structure, channels[0])
    squares = np.array([np.square(linear.column(c)).reshape(-1, size).mean(axis=1) for c in channels])
    rms = math.sqrt(squares.mean() if STRUCTURES[structure].whole else squares.max())
    reach = REACH if STRUCTURES[structure].whole else PART_REACH
    target_rms = min(TARGET_RMS, reach * (width / 2) / math.sqrt(size))
    return float(np.float32(rms / (target_rms * DEVIATION[law] ** 2))) if rms > 1e-30 else 1.0


def _widths_by_layer(target: Target, width: int | dict[str, int]) -> dict[str, int]:
    hint = "It counts hidden channels per input channel, both signs together."
    check = functools.partial(check_int, low=1, high=MAX_WIDTH, hint=hint)
    names = [linear.name for linear in target.maps]
    if not isinstance(width, dict):
        return dict.fromkeys(names, check("width", width))
    for key, value in width.items():
        check(f"width of {key}", value)
    unknown = [key for key in width if key not in (*names, "conv", "conv_transpose", "linear")]
    if unknown:
        raise InputError(f"width names no layer {unknown[0]!r}; expected conv, linear, or one of {', '.join(names)}.")
    keys = {one.name: (one.name, one.kind, one.kind.removesuffix("_transpose")) for one in target.maps}
    chosen = {name: next((width[key] for key in given if key in width), None) for name, given in keys.items()}
    missing = [name for name, number in chosen.items() if number is None]
    if missing:
        raise InputError(f"width is missing for {', '.join(missing)}; give one for each layer, or for conv and linear.")
    return {name: number for name, number in chosen.items() if number is not None}
