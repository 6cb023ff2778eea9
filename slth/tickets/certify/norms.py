r"""Euclidean bounds on ‖a − c‖₂ and ‖δ‖₂ of every example, and the operator norms that they need.

Intervals add up the worst cases of single neurons. Euclidean norms do not: a layer multiplies ‖·‖₂ by at most its
largest singular value, which is far below its largest row sum, and ReLU and max-pooling over disjoint windows do not
increase ‖·‖₂. After every step, each kind of bound tightens the other.

Singular values are bounded from above by Gram iteration: with G_0 = M and G_{i+1} = G_i* G_i,

.. math:: σ(M) \;≤\; \| G_i \|_F^{2^{-i}}, \qquad i = 0, 1, …

which overestimates by at most a factor (rank M)^{2^{-i-1}}. A convolution with zero padding is part of a convolution on
a larger torus, whose singular values are those of the kernel's Fourier transform at each frequency.

Source: delattre2023
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from slth.networks.linear_map import LinearMap
from slth.tickets.certify.forms import TINY, Box, Tensor, gamma, round_up

# An exponent of 2⁻¹⁰ overestimates by 0.4 % or less up to a rank of a thousand.
_GRAM_ITERATIONS = 10
# A larger dense matrix is bounded by its row and column sums and its Frobenius norm; this is its shorter side.
_LONGEST_DENSE_SIDE = 2048
# A kernel whose Fourier transform takes more bytes is bounded by its row and column sums.
_TRANSFORM_BYTES = 1e9


@dataclass(frozen=True, eq=False)
class EuclideanBounds:
    """Bounds ‖a − center‖₂ ≤ radius and ‖δ‖₂ ≤ delta for every example.

    Attributes:
        center: float64 (B, …).
        radius: float64 (B,).
        delta: float64 (B,).
    """

    center: Tensor
    radius: Tensor
    delta: Tensor

    def boxes(self) -> tuple[Box, Box]:
        """The intervals of a and δ of every neuron that follow from the bounds."""
        shape = (-1, *[1] * (self.center.ndim - 1))
        delta = self.delta.reshape(shape).expand(self.center.shape)
        return interval_around(self.center, self.radius.reshape(shape)), Box(-delta, delta)

    def within(self, target: Box, delta: Box) -> EuclideanBounds:
        """The bounds, tightened by intervals.

        Args:
            target: the intervals of a.
            delta: the intervals of δ.
        """
        reach = round_up(torch.maximum(target.hi - self.center, self.center - target.lo)).clamp(min=0)
        return EuclideanBounds(
            self.center,
            torch.minimum(self.radius, euclidean_norm(reach)),
            torch.minimum(self.delta, euclidean_norm(delta.largest)),
        )


def interval_around(center: Tensor, radius: Tensor) -> Box:
    """The interval center ± radius, rounded outwards.

    Args:
        center: middle of the interval.
        radius: half of its width.
    """
    low, high = center - radius, center + radius
    slack = gamma(2) * (center.abs() + radius)
    return Box(low - slack, high + slack)


def euclidean_norm(values: Tensor) -> Tensor:
    """The Euclidean norm of each example, rounded up: (B, …) → (B,)."""
    flat = values.flatten(1)
    largest = flat.abs().amax(dim=1, keepdim=True).clamp(min=TINY)
    return (flat / largest).square().sum(dim=1).sqrt() * largest.squeeze(1) * (1 + gamma(flat.shape[1]))


def entry_norm(weight: Tensor) -> float:
    """The bound √(‖M‖₁‖M‖∞) on the norm of the matrix M of a dense or zero-padded convolutional map, rounded up."""
    # Groups are ignored: they only make some entries of the matrix zero.
    sums = weight.abs().reshape(*weight.shape[:2], -1).sum(dim=2)
    return float((sums.sum(dim=0).max() * sums.sum(dim=1).max()).sqrt()) * (1 + gamma(weight.numel()))


def map_norm(linear: LinearMap, weight: Tensor, shape: Sequence[int]) -> float:
    """An upper bound on the largest singular value of the operation of a linear map with any weight.

    Args:
        linear: the linear map.
        weight: the weight, float64 (c_out, c_in/groups, d, …).
        shape: shape of one input, without the batch axis.

    Returns:
        The bound; ∞ for a padding that repeats entries.
    """
    grouped = weight.reshape(linear.groups, -1, *weight.shape[1:])
    if linear.kind == "linear":
        return _gram_bound(grouped)
    options, kernel = linear.options, linear.kernel
    if options.get("padding_mode", "zeros") != "zeros":
        return math.inf
    dilation = [int(gap) for gap in options.get("dilation", [1] * len(kernel))]
    sides = _torus(linear, dilation, shape[-len(kernel) :])
    if 16.0 * math.prod(sides) * weight.shape[0] * weight.shape[1] > _TRANSFORM_BYTES:
        return entry_norm(weight)
    # The transform rounds each factor and each sum of taps. Its error is at most this times the sum of moduli.
    slack = 16 * gamma(math.prod(kernel) + 16)
    bounds = []
    for block in grouped:
        moduli = float(block.abs().flatten(2).sum(dim=2).norm())
        bounds.append(_gram_bound(_fourier_transform(block, dilation, sides)) + slack * moduli)
    return max(bounds)


def _torus(linear: LinearMap, dilation: Sequence[int], sides: Sequence[int]) -> list[int]:
    """Sides of a torus on which a convolution with zero padding is part of a convolution without padding.

    A transposed convolution puts zeros between the entries of its input, convolves, and cuts off a border.
    """
    kernel, options = linear.kernel, linear.options
    extra = [gap * (d - 1) for gap, d in zip(dilation, kernel, strict=True)]
    if linear.kind == "conv_transpose":
        steps = options.get("stride", [1] * len(kernel))
        return [(side - 1) * int(step) + 1 + more for side, step, more in zip(sides, steps, extra, strict=True)]
    padding = options.get("padding", "valid")
    if padding == "valid":
        padding = [0] * len(kernel)
    pads = extra if padding == "same" else [2 * int(pad) for pad in padding]
    return [side + pad for side, pad in zip(sides, pads, strict=True)]


def _fourier_transform(kernel: Tensor, dilation: Sequence[int], sides: Sequence[int]) -> Tensor:
    """The kernel's Fourier transform at every frequency of a torus: complex (frequencies, c_out, c_in)."""
    result = kernel.to(torch.complex128)
    for axis, (gap, side) in enumerate(zip(dilation, sides, strict=True)):
        taps = torch.arange(kernel.shape[2 + axis], dtype=torch.float64) * gap
        # Whole numbers modulo the side: the angles are exact until the cosine and sine are computed.
        turns = (torch.arange(side, dtype=torch.float64)[:, None] * taps[None, :]) % side
        wave = torch.polar(torch.ones_like(turns), -2 * math.pi * turns / side)
        result = torch.tensordot(result, wave, dims=([2], [1]))  # the transformed axis moves to the end
    return result.flatten(2).permute(2, 0, 1)


def _gram_bound(matrices: Tensor) -> float:
    """An upper bound on the largest singular value of any of (count, m, n) real or complex matrices."""
    m, n = matrices.shape[1:]
    moduli = matrices.abs()
    margin = 1 + gamma(m * n)
    rough = (moduli.sum(dim=1).amax(dim=-1) * moduli.sum(dim=2).amax(dim=-1)).sqrt() * margin
    if min(m, n) > _LONGEST_DENSE_SIDE or not moduli.any():
        return float(torch.minimum(rough, euclidean_norm(moduli)).max())
    current = matrices if n <= m else matrices.mH
    norms, errors = [], []
    for _ in range(_GRAM_ITERATIONS):
        norm = euclidean_norm(current.abs())
        current = current / norm[:, None, None]
        # The rounding error of the division and the product, in Frobenius norm; the factors have norm 1.
        errors.append(8 * gamma(2 * current.shape[1]))
        norms.append(norm)
        current = current.mH @ current
    # σ(G)² ≤ σ(computed G*G) + error, from the last iteration back to the first.
    bound = euclidean_norm(current.abs())
    for norm, error in zip(reversed(norms), reversed(errors), strict=True):
        bound = (bound + error).sqrt() * norm * (1 + gamma(4))
    return float(torch.minimum(bound, rough).max())
