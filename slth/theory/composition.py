r"""From one subset sum to a whole network: tolerances of the layers, and hidden channels of both signs.

With X the target's activations and X̂ the ticket's, layer i changes an error e_{i−1} of its input into at most

.. math:: e_i \le L_i e_{i-1} + (d_i^2 c_{i-1} (\|X_{i-1}\|_∞ + e_{i-1}) + [b])\, ε'_i

where L_i = max_o ‖K_o‖₁ and [b] = 1 with a bias. All of it is exact rational arithmetic, rounded once.

Source: propagation
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
from flint import arb

from slth.errors import InputError, check_array, check_int, check_positive
from slth.theory import enclosures

if TYPE_CHECKING:
    from slth.theory.certified import CertifiedWidth

# In units of the candidates a layer's target is at most 1/2, and its tolerance at most 1/8.
UNIT_TARGET = 0.5
UNIT_EPS = 0.125


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """What a certified width must know of one convolutional or linear layer of the target.

    Attributes:
        name: of the layer. taps: d² (1 for a linear layer). c_in, c_out: channels.
        row_norm: L = max over output channels o of ‖K_o‖₁, rounded up. largest: max of |weights| and |biases|.
        bias: max |bias|, or None without one. signs: 1 where the layer's inputs are never negative, 2 otherwise.
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
        """The spec of a kernel (c_out, c_in, d, d) or a matrix (c_out, c_in), and a bias (c_out,)."""
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
        """D = d² c_out."""
        return self.taps * self.c_out

    @property
    def instances(self) -> int:
        """Subset sums of the layer: one for each input channel and sign, one for the bias.

        The bias is an instance of dimension c_out ≤ D: a hit in dimension D is one in its first c_out coordinates.
        """
        return self.c_in * self.signs + (self.bias is not None)

    def scale(self, tolerance: float) -> float:
        """The scale of the layer's random weights that makes its target at most 1/2 in units of a candidate."""
        return max(self.largest / UNIT_TARGET, tolerance / UNIT_EPS)


@dataclass(frozen=True, kw_only=True)
class LayerWidth:
    """What one layer needs.

    Attributes:
        name: of the layer. width: random hidden channels per input channel, both signs together.
        tolerance: ε', the kernel error that is certified. scale: of the candidates, a free choice by homogeneity.
        group: the certificate for the candidates of one sign, in units of ``scale``.
    """

    name: str
    width: int
    tolerance: float
    scale: float
    group: CertifiedWidth


@dataclass(frozen=True, kw_only=True)
class NetworkWidth:
    """What a network needs, and for which claim. instances: subset sums in the union bound."""

    layers: tuple[LayerWidth, ...]
    eps: float
    delta: float
    input_max: float
    instances: int


def tolerances(target: Sequence[LayerSpec], eps: float, input_max: float) -> list[float]:
    r"""Kernel errors ε'_i that keep the output within ε: every layer may add one part in ℓ of what is left to it.

    .. math:: e_ℓ = ε, \quad L_i e_{i-1} = \tfrac{i-1}{i} e_i, \quad
              ε'_i = \frac{e_i}{i\,(d_i^2 c_{i-1} (\|X_{i-1}\|_∞ + e_{i-1}) + [b])}

    Args:
        target: the layers in order. eps: sup error of the output. input_max: ‖X_0‖∞.

    Returns:
        ε'_i, rounded down.

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
        # layer_output_bound of propagation.py per unit of ε', in exact arithmetic.
        gain = layer.taps * layer.c_in * (ranges[i - 1] + before) + (layer.bias is not None)
        found.append(_below(error / (i * gain)))
        error = before
    return found[::-1]


def group_width(candidates: int, failure: float) -> int:
    """The smallest width of which at least ``candidates`` channels have a positive weight, but for ``failure``.

    .. math:: P(\\mathrm{Bin}(w, 1/2) < N) \\le δ

    Source: certified
    """
    low, high = candidates - 1, 2 * candidates
    while not enclosures.binomial_cdf(candidates - 1, high) <= arb(failure):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        fine = enclosures.binomial_cdf(candidates - 1, middle) <= arb(failure)
        low, high = (low, middle) if fine else (middle, high)
    return high


def _below(x: Fraction) -> float:
    value = float(x)
    return value if Fraction(value) <= x else math.nextafter(value, 0.0)
