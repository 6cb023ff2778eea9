r"""Euclidean bounds beside the entrywise ones: ‖a − c‖₂ and ‖δ‖₂ of every example, and the operator norms they need.

Intervals add up the worst case of every neuron apart; ReLU and max-pooling over disjoint windows are 1-Lipschitz in
‖·‖₂ too, and a layer multiplies ‖·‖₂ by its largest singular value, which is far below its largest row sum. Each
bound is turned into the other after every step.

Singular values are bounded from above by Gram iteration: with G_0 = M, G_{i+1} = G_i* G_i,

.. math:: σ(M) \;≤\; \| G_i \|_F^{2^{-i}}, \qquad i = 0, 1, …

which overestimates by at most a factor (rank M)^{2^{-i-1}}. A convolution with zero padding is part of one on a torus
of any larger size, whose singular values are those of the kernel's Fourier transform at each frequency.

Source: delattre2023
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from slth.networks.linear_map import LinearMap
from slth.tickets.certify.forms import TINY, Box, Tensor, above, gamma

# Gram iterations: 2⁻¹⁰ in the exponent leaves 0.4 % for a rank of a thousand.
_ROUNDS = 10
# A dense matrix with a shorter side above this is bounded by its row and column sums and its Frobenius norm.
_DENSE = 2048
# Largest Fourier transform of a kernel.
_TRANSFORM_BYTES = 1e9


@dataclass(frozen=True, eq=False)
class Near:
    """‖a − center‖₂ ≤ radius and ‖δ‖₂ ≤ delta; center (B, …), radius and delta (B,), float64."""

    center: Tensor
    radius: Tensor
    delta: Tensor

    def boxes(self) -> tuple[Box, Box]:
        """What that says of every neuron's a and δ."""
        shape = (-1, *[1] * (self.center.ndim - 1))
        delta = self.delta.reshape(shape).expand(self.center.shape)
        return around(self.center, self.radius.reshape(shape)), Box(-delta, delta)

    def within(self, target: Box, delta: Box) -> Near:
        """The same, tightened by intervals."""
        reach = above(torch.maximum(target.hi - self.center, self.center - target.lo)).clamp(min=0)
        return Near(
            self.center,
            torch.minimum(self.radius, euclidean(reach)),
            torch.minimum(self.delta, euclidean(delta.largest)),
        )


def around(center: Tensor, radius: Tensor) -> Box:
    """Center ± radius."""
    low, high = center - radius, center + radius
    slack = gamma(2) * (center.abs() + radius)
    return Box(low - slack, high + slack)


def euclidean(values: Tensor) -> Tensor:
    """‖·‖₂ of each example, rounded up: (B, …) → (B,)."""
    flat = values.flatten(1)
    largest = flat.abs().amax(dim=1, keepdim=True).clamp(min=TINY)
    return (flat / largest).square().sum(dim=1).sqrt() * largest.squeeze(1) * (1 + gamma(flat.shape[1]))


def entry_norm(weight: Tensor) -> float:
    """√(‖M‖₁‖M‖∞) of the matrix of a dense or zero-padded convolutional operation, rounded up."""
    sums = weight.abs().reshape(*weight.shape[:2], -1).sum(dim=2)  # groups only empty some of the columns
    return float((sums.sum(dim=0).max() * sums.sum(dim=1).max()).sqrt()) * (1 + gamma(weight.numel()))


def map_norm(linear: LinearMap, weight: Tensor, shape: Sequence[int]) -> float:
    """An upper bound on the largest singular value of a map with another weight; ∞ for paddings that repeat entries.

    Args:
        weight: float64 (c_out, c_in/groups, d, …). shape: of one input.
    """
    grouped = weight.reshape(linear.groups, -1, *weight.shape[1:])
    if linear.kind == "linear":
        return _gram(grouped)
    if linear.options["padding_mode"] != "zeros":
        return math.inf
    padding, kernel = linear.options["padding"], linear.kernel
    dilation = [int(gap) for gap in linear.options["dilation"]]
    if padding == "valid":
        padding = [0] * len(kernel)
    extra = [gap * (d - 1) for gap, d in zip(dilation, kernel, strict=True)]
    pads = extra if padding == "same" else [2 * int(pad) for pad in padding]
    sides = [side + pad for side, pad in zip(shape[-len(kernel) :], pads, strict=True)]
    if 16.0 * math.prod(sides) * weight.shape[0] * weight.shape[1] > _TRANSFORM_BYTES:
        return entry_norm(weight)
    # The transform adds the taps up and rounds each factor: to within this of the sum of moduli.
    slack = 16 * gamma(math.prod(kernel) + 16)
    return max(
        _gram(_transform(block, dilation, sides)) + slack * float(block.abs().flatten(2).sum(dim=2).norm())
        for block in grouped
    )


def _transform(kernel: Tensor, dilation: Sequence[int], sides: Sequence[int]) -> Tensor:
    """The kernel's Fourier transform at every frequency of a torus: complex (frequencies, c_out, c_in)."""
    result = kernel.to(torch.complex128)
    for axis, (gap, side) in enumerate(zip(dilation, sides, strict=True)):
        taps = torch.arange(kernel.shape[2 + axis], dtype=torch.float64) * gap
        # Angles of whole numbers modulo the side: exact until the sine is taken.
        turns = (torch.arange(side, dtype=torch.float64)[:, None] * taps[None, :]) % side
        wave = torch.polar(torch.ones_like(turns), -2 * math.pi * turns / side)
        result = torch.tensordot(result, wave, dims=([2], [1]))  # the axis done goes to the end
    return result.flatten(2).permute(2, 0, 1)


def _gram(matrices: Tensor) -> float:
    """An upper bound on the largest singular value of any of (count, m, n) real or complex matrices."""
    m, n = matrices.shape[1:]
    moduli = matrices.abs()
    room = 1 + gamma(m * n)
    rough = (moduli.sum(dim=1).amax(dim=-1) * moduli.sum(dim=2).amax(dim=-1)).sqrt() * room
    if min(m, n) > _DENSE or not moduli.any():
        return float(torch.minimum(rough, euclidean(moduli)).max())
    current = matrices if n <= m else matrices.mH
    norms, errors = [], []
    for _ in range(_ROUNDS):
        norm = euclidean(current.abs())
        current = current / norm[:, None, None]
        # Dividing and multiplying round by this, in Frobenius norm, where the factors have norm 1.
        errors.append(8 * gamma(2 * current.shape[1]))
        norms.append(norm)
        current = current.mH @ current
    # σ(G)² ≤ σ(computed G*G) + error, from the last round back to the first.
    bound = euclidean(current.abs())
    for norm, error in zip(reversed(norms), reversed(errors), strict=True):
        bound = (bound + error).sqrt() * norm * (1 + gamma(4))
    return float(torch.minimum(bound, rough).max())
