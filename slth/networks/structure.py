"""Structures: what a mask keeps or removes as a whole.

The d×d layer of a linear map has one slice for each input channel, of shape (outputs, d, …). A structure cuts the slice
into parts of equal size, in the order of its entries. Every part is a subset sum with a selection of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Structure:
    """How a structure cuts the slice of an input channel into parts.

    Attributes:
        part_size: (outputs, kernel) → entries of a part; it divides the entries of the slice.
        bias_part_size: outputs → entries of a part of the bias.
        whole: whether a part is the whole slice. The parent's scale then follows the mean over slices, and otherwise
            the largest part, because each part has to be within reach by itself.
    """

    part_size: Callable[[int, tuple[int, ...]], int]
    bias_part_size: Callable[[int], int]
    whole: bool = False


# Name → structure: single weights, whole d×d kernels, or whole hidden channels.
STRUCTURES: dict[str, Structure] = {
    "weight": Structure(part_size=lambda outputs, kernel: 1, bias_part_size=lambda outputs: 1),
    "kernel": Structure(part_size=lambda outputs, kernel: math.prod(kernel), bias_part_size=lambda outputs: 1),
    "channel": Structure(
        part_size=lambda outputs, kernel: outputs * math.prod(kernel),
        bias_part_size=lambda outputs: outputs,
        whole=True,
    ),
}
