"""A target's numbers as float32, and BatchNorm as arithmetic on them.

A BatchNorm in evaluation mode is a linear map of each channel. It is folded into the layer before it, or becomes a
depthwise 1×1 map.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from slth.errors import InputError
from slth.networks.linear_map import Array, LinearMap

Norm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


def fold_norm(before: LinearMap, name: str, norm: Norm) -> LinearMap:
    r"""A linear map and the BatchNorm after it as one map, computed in float64.

    .. math:: y = γ \frac{W x + b − μ}{\sqrt{σ² + e}} + β

    Args:
        before: the linear map, with weight W and bias b.
        name: path of the BatchNorm, for messages.
        norm: the BatchNorm, with weight γ, bias β, running mean μ, running variance σ² and eps e.

    Returns:
        The linear map x → y, under the name of ``before``.

    Raises:
        InputError: the BatchNorm has another number of channels, or no usable statistics.
    """
    if norm.num_features != before.channels[1]:
        raise InputError(
            f"layer {name} (BatchNorm) must have as many features as {before.name} has outputs, "
            f"{before.channels[1]}; it has {norm.num_features}. Correct one of them."
        )
    factor, mean, beta = _norm_coefficients(name, norm)
    weight = before.weight.astype(np.float64) * factor.reshape(-1, *[1] * (before.weight.ndim - 1))
    bias = (0.0 if before.bias is None else before.bias.astype(np.float64)) - mean
    return replace(
        before,
        weight=as_float32(f"{before.name}.weight after folding {name}", weight),
        bias=as_float32(f"{before.name}.bias after folding {name}", bias * factor + beta),
    )


def norm_as_map(name: str, norm: Norm) -> LinearMap:
    """A BatchNorm as a linear map by itself: a depthwise 1×1 convolution, or a depthwise linear layer in 1-D.

    Args:
        name: path of the BatchNorm.
        norm: the BatchNorm.

    Returns:
        The linear map, with one group for each channel.

    Raises:
        InputError: the BatchNorm has no usable statistics.
    """
    factor, mean, beta = _norm_coefficients(name, norm)
    spatial_axes = 2 if isinstance(norm, nn.BatchNorm2d) else 3 if isinstance(norm, nn.BatchNorm3d) else 0
    return LinearMap(
        name=name,
        kind="conv" if spatial_axes else "linear",
        weight=as_float32(f"{name}.weight", factor.reshape(-1, 1, *[1] * spatial_axes)),
        bias=as_float32(f"{name}.bias", beta - mean * factor),
        groups=norm.num_features,
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
        rounded = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(rounded).all():
        raise InputError(f"{name} must fit float32; its largest entry is {np.abs(array).max():.3g}. Rescale the layer.")
    return rounded


def as_constant(name: str, value: object) -> npt.NDArray[Any]:
    """A parameter or buffer that the graph reads directly, as an array.

    Args:
        name: path of the parameter or buffer, for messages.
        value: the tensor.

    Returns:
        float32 for real numbers; integers and booleans keep their type.

    Raises:
        InputError: the value is not a tensor, or float32 cannot hold its numbers.
    """
    if not isinstance(value, torch.Tensor):
        raise InputError(f"{name} must be a tensor to be read by the graph; got {type(value).__name__}. Register it.")
    if value.is_floating_point() or value.is_complex():
        return as_float32(name, value)
    return np.asarray(value.detach().cpu().numpy())


def _norm_coefficients(name: str, norm: Norm) -> tuple[npt.NDArray[np.float64], ...]:
    """Factor γ/√(σ² + e), mean μ and shift β, in float64 (c,)."""
    if norm.running_mean is None or norm.running_var is None:
        raise InputError(
            f"layer {name} (BatchNorm) must have running statistics to be folded; it has none. "
            "Train it with track_running_stats=True."
        )
    if norm.running_var.is_meta:
        raise InputError(f"layer {name} (BatchNorm) has no values: it is on the meta device. Load the target first.")
    if bool((norm.running_var < 0).any()):
        raise InputError(
            f"layer {name} (BatchNorm) must have a running variance ≥ 0; got {float(norm.running_var.min()):.4g}. "
            "Train or load the target again."
        )
    one, zero = torch.ones_like(norm.running_var), torch.zeros_like(norm.running_var)
    gamma, beta, mean, var = (
        tensor.detach().double().cpu().numpy()
        for tensor in (
            one if norm.weight is None else norm.weight,
            zero if norm.bias is None else norm.bias,
            norm.running_mean,
            norm.running_var,
        )
    )
    return gamma / np.sqrt(var + norm.eps), mean, beta
