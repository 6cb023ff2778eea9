"""A target's numbers as float32, and BatchNorm as arithmetic on them.

A BatchNorm in evaluation mode is a linear map of each channel. It is folded into the layer before it, or becomes a
depthwise 1×1 map.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from slth.errors import InputError
from slth.networks.linear_map import Array, LinearMap


@dataclass(frozen=True, kw_only=True, eq=False)
class NormNumbers:
    """The numbers of a BatchNorm in evaluation mode.

    Attributes:
        name: path of the BatchNorm.
        weight: γ, real (c,); None for ones.
        bias: β, real (c,); None for zeros.
        mean: running mean μ, real (c,).
        var: running variance σ², real (c,).
        eps: the e that is added to the variance.
    """

    name: str
    weight: torch.Tensor | None
    bias: torch.Tensor | None
    mean: torch.Tensor
    var: torch.Tensor
    eps: float

    def coefficients(self) -> tuple[npt.NDArray[np.float64], ...]:
        """Factor γ/√(σ² + e), mean μ and shift β, in float64 (c,).

        Raises:
            InputError: a running variance is negative, or the numbers have no values.
        """
        if self.var.is_meta:
            raise InputError(
                f"layer {self.name} (BatchNorm) has no values: it is on the meta device. Load the target first."
            )
        if bool((self.var < 0).any()):
            raise InputError(
                f"layer {self.name} (BatchNorm) must have a running variance ≥ 0; got {float(self.var.min()):.4g}. "
                "Train or load the target again."
            )
        one, zero = torch.ones_like(self.var), torch.zeros_like(self.var)
        gamma, beta, mean, var = (
            tensor.detach().double().cpu().numpy()
            for tensor in (
                one if self.weight is None else self.weight,
                zero if self.bias is None else self.bias,
                self.mean,
                self.var,
            )
        )
        return gamma / np.sqrt(var + self.eps), mean, beta


def fold_norm(before: LinearMap, norm: NormNumbers) -> LinearMap:
    r"""A linear map and the BatchNorm after it as one map, computed in float64.

    .. math:: y = γ \frac{W x + b − μ}{\sqrt{σ² + e}} + β

    Args:
        before: the linear map, with weight W and bias b.
        norm: the BatchNorm, with one entry for each output of ``before``.

    Returns:
        The linear map x → y, under the name of ``before``.

    Raises:
        InputError: the BatchNorm has no usable statistics.
    """
    factor, mean, beta = norm.coefficients()
    weight = before.weight.astype(np.float64) * factor.reshape(-1, *[1] * (before.weight.ndim - 1))
    bias = (0.0 if before.bias is None else before.bias.astype(np.float64)) - mean
    return replace(
        before,
        weight=as_float32(f"{before.name}.weight after folding {norm.name}", weight),
        bias=as_float32(f"{before.name}.bias after folding {norm.name}", bias * factor + beta),
    )


def norm_as_map(norm: NormNumbers, rank: int) -> LinearMap:
    """A BatchNorm as a linear map by itself: a depthwise 1×1 convolution, or a depthwise linear layer in 1-D.

    Args:
        norm: the BatchNorm.
        rank: number of axes of its input: 2 or 3 in 1-D, 4 in 2-D, 5 in 3-D.

    Returns:
        The linear map, with one group for each channel.

    Raises:
        InputError: the BatchNorm has no usable statistics.
    """
    factor, mean, beta = norm.coefficients()
    spatial_axes = max(rank - 2, 0) if rank > 3 else 0
    return LinearMap(
        name=norm.name,
        kind="conv" if spatial_axes else "linear",
        weight=as_float32(f"{norm.name}.weight", factor.reshape(-1, 1, *[1] * spatial_axes)),
        bias=as_float32(f"{norm.name}.bias", beta - mean * factor),
        groups=len(factor),
    )


def as_float32(name: str, values: torch.Tensor | npt.NDArray[np.float64]) -> Array:
    """A layer's numbers as float32: exact from float16 and bfloat16, rounded from float64.

    Args:
        name: path of the tensor, for messages.
        values: the numbers, of any shape.

    Returns:
        float32, of the same shape.

    Raises:
        InputError: the numbers are complex, not finite, beyond float32 or missing.
    """
    if isinstance(values, torch.Tensor) and torch.nn.parameter.is_lazy(values):
        raise InputError(f"{name} has no values: it belongs to a lazy layer. Call the model once on an input first.")
    if isinstance(values, torch.Tensor) and values.is_complex():
        raise InputError(f"{name} must be real; got {values.dtype}. slth does not support complex networks.")
    if isinstance(values, torch.Tensor) and values.is_meta:
        raise InputError(f"{name} has no values: it is on the meta device. Load the target's weights first.")
    array = values.detach().cpu().to(torch.float64).numpy() if isinstance(values, torch.Tensor) else values
    if array.size == 0:
        raise InputError(f"{name} has no entries: shape {array.shape}. Remove the layer.")
    bad = ~np.isfinite(array)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InputError(
            f"{name} must be finite; got {array[where]} at index {where} ({int(bad.sum())} such entries). "
            "Train or load the target again."
        )
    with np.errstate(over="ignore"):
        rounded = np.ascontiguousarray(array, dtype=np.float32).reshape(array.shape)  # numpy gives a number an axis
    if not np.isfinite(rounded).all():
        raise InputError(f"{name} must fit float32; its largest entry is {np.abs(array).max():.3g}. Rescale the layer.")
    return rounded


def as_constant(name: str, value: torch.Tensor) -> npt.NDArray[Any]:
    """A parameter or buffer that the graph reads directly, as an array.

    Args:
        name: path of the parameter or buffer, for messages.
        value: the tensor.

    Returns:
        float32 for real numbers, which may be infinite, as in masks; integers and booleans keep their type.

    Raises:
        InputError: float32 cannot hold the numbers.
    """
    if value.is_floating_point() and not value.is_meta and bool(value.isinf().any()):
        as_float32(name, torch.where(value.isinf(), 0, value))
        return np.array(value.detach().cpu().to(torch.float32).numpy())
    if value.is_floating_point() or value.is_complex():
        return as_float32(name, value)
    return np.array(value.detach().cpu().numpy())
