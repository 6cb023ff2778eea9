r"""From one subset sum to a whole network: the layers' tolerances, and hidden channels for both signs.

Let X_i be the target's activations after layer i, and e_i the error of the ticket's. Then

.. math:: e_i \le L_i e_{i-1} + (d_i^2 c_{i-1} (\|X_{i-1}\|_∞ + e_{i-1}) + [b])\, ε'_i

where ε'_i is the kernel error of layer i, L_i = max_o ‖K_o‖₁, and [b] is 1 with a bias and 0 without. The arithmetic
is exact and rational; the result is rounded once.

Source: propagation
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import numpy as np
import numpy.typing as npt
from flint import arb

from slth.errors import InputError, check_array, check_int, check_positive
from slth.theory import enclosures

# The largest target and the largest tolerance of a layer, in units of the scale of its candidates.
LARGEST_UNIT_TARGET = 0.5
LARGEST_UNIT_EPS = 0.125


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """What a certified width must know of one convolutional or linear layer of the target.

    Attributes:
        name: name of the layer.
        taps: d², the entries of one kernel; 1 for a linear layer.
        c_in: input channels.
        c_out: output channels.
        row_norm: L, the maximum of ‖K_o‖₁ over the output channels o, rounded up.
        largest: the maximum of |weights| and |biases|.
        bias: the maximum of |bias|; None without a bias.
        signs: 1 where the layer's inputs are never negative, 2 otherwise.
    """

    name: str
    taps: int
    c_in: int
    c_out: int
    row_norm: float
    largest: float
    bias: float | None = None
    signs: int = 2

    def __post_init__(self) -> None:
        for key in ("taps", "c_in", "c_out"):
            check_int(f"{key} of layer {self.name}", getattr(self, key), 1)
        check_int(f"signs of layer {self.name}", self.signs, 1, 2, "1 for inputs that are never negative, 2 for any.")
        check_positive(f"row_norm of layer {self.name}", self.row_norm, "A layer of zeros needs no candidates.")
        check_positive(f"largest of layer {self.name}", self.largest)
        if self.bias is not None:
            check_positive(f"bias of layer {self.name}", self.bias, zero_ok=True)

    @classmethod
    def from_weights(
        cls, name: str, weight: npt.ArrayLike, bias: npt.ArrayLike | None = None, *, signs: int = 2
    ) -> Self:
        """The spec of a layer with these weights.

        Args:
            name: name of the layer.
            weight: a kernel (c_out, c_in, d, d) or a matrix (c_out, c_in).
            bias: (c_out,), or None without a bias.
            signs: 1 where the layer's inputs are never negative, 2 otherwise.

        Raises:
            InputError: the shape is another one, a number is not finite, or all weights are 0.
        """
        array = np.asarray(weight, dtype=np.float64)
        hint = "Pass the layer's weight as (c_out, c_in) or (c_out, c_in, d, d)."
        array = check_array("weight", array, "(c_out, c_in, …)", max(array.ndim, 2), hint)
        rows = np.abs(array.reshape(array.shape[0], -1))
        offset = None if bias is None else float(np.abs(check_array("bias", bias, "(c_out,)", 1, "")).max())
        return cls(
            name=name,
            taps=math.prod(array.shape[2:]),
            c_in=array.shape[1],
            c_out=array.shape[0],
            row_norm=math.nextafter(max(math.fsum(row) for row in rows), math.inf),
            largest=max(float(rows.max()), offset or 0.0),
            bias=offset,
            signs=signs,
        )

    @property
    def dimension(self) -> int:
        """The dimension D = d²·c_out of one subset sum."""
        return self.taps * self.c_out

    @property
    def instances(self) -> int:
        """The number of subset sums of the layer: one for each input channel and sign, and one for a bias.

        The bias is an instance of dimension c_out ≤ D. A hit in dimension D hits in its first c_out coordinates too.
        """
        return self.c_in * self.signs + (self.bias is not None)

    def scale(self, tolerance: float) -> float:
        """The scale of the layer's random weights: in its units the target is ≤ 1/2 and the tolerance ≤ 1/8."""
        return max(self.largest / LARGEST_UNIT_TARGET, tolerance / LARGEST_UNIT_EPS)


def tolerances(target: Sequence[LayerSpec], eps: float, input_max: float) -> list[float]:
    r"""Kernel errors ε'_i that keep the output within ε: of the error e_i, layer i may add the share 1/i.

    .. math:: e_ℓ = ε, \quad L_i e_{i-1} = \tfrac{i-1}{i} e_i, \quad
              ε'_i = \frac{e_i}{i\,(d_i^2 c_{i-1} (\|X_{i-1}\|_∞ + e_{i-1}) + [b])}

    Args:
        target: the ℓ layers in order.
        eps: sup error ε of the output.
        input_max: ‖X_0‖∞, the largest input.

    Returns:
        ε'_i of every layer, rounded down.

    Raises:
        InputError: there is no layer.

    Source: propagation
    """
    if not target:
        raise InputError("target must have at least one layer; got none. Pass a LayerSpec for each linear map.")
    ranges = [Fraction(input_max)]
    for layer in target:
        ranges.append(Fraction(layer.row_norm) * ranges[-1] + Fraction(layer.bias or 0.0))
    error, found = Fraction(eps), []
    for i, layer in reversed(list(enumerate(target, start=1))):
        before = error * (i - 1) / (i * Fraction(layer.row_norm))
        # The bound of propagation.layer_output_bound for one unit of ε', in exact arithmetic.
        gain = layer.taps * layer.c_in * (ranges[i - 1] + before) + (layer.bias is not None)
        found.append(_rounded_down(error / (i * gain)))
        error = before
    return found[::-1]


def group_width(candidates: int, failure: float) -> int:
    r"""The smallest width w of which at least N channels have a positive weight, except with probability δ.

    .. math:: P(\mathrm{Bin}(w, 1/2) < N) \le δ

    Args:
        candidates: N, the channels that must have a positive weight.
        failure: δ, the probability that there are fewer.

    Source: certified
    """
    low, high = candidates - 1, 2 * candidates
    while not enclosures.binomial_cdf(candidates - 1, high) <= arb(failure):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        enough = enclosures.binomial_cdf(candidates - 1, middle) <= arb(failure)
        low, high = (low, middle) if enough else (middle, high)
    return high


def _rounded_down(x: Fraction) -> float:
    value = float(x)
    return value if Fraction(value) <= x else math.nextafter(value, 0.0)
