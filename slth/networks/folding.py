"""BatchNorm as arithmetic: folded into the layer before it, or a depthwise 1×1 map of its own."""

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


def fold(before: LinearMap, name: str, norm: Norm) -> LinearMap:
    r"""A linear map and the BatchNorm after it as one map, computed in float64.

    .. math:: y = γ \frac{W x + b − μ}{\sqrt{σ² + e}} + β
    """
    if norm.num_features != before.channels[1]:
        raise InputError(
            f"layer {name} (BatchNorm) must have as many features as {before.name} has outputs, "
            f"{before.channels[1]}; it has {norm.num_features}. Correct one of them."
        )
    factor, mean, beta = _affine(name, norm)
    weight = before.weight.astype(np.float64) * factor.reshape(-1, *[1] * (before.weight.ndim - 1))
    bias = (0.0 if before.bias is None else before.bias.astype(np.float64)) - mean
    return replace(
        before,
        weight=as_float32(f"{before.name}.weight after folding {name}", weight),
        bias=as_float32(f"{before.name}.bias after folding {name}", bias * factor + beta),
    )


def as_map(name: str, norm: Norm) -> LinearMap:
    """A BatchNorm that follows no linear map: a depthwise 1×1 convolution (of no extent for BatchNorm1d)."""
    factor, mean, beta = _affine(name, norm)
    sides = {nn.BatchNorm2d: 2, nn.BatchNorm3d: 3}
    extent = next((count for kind, count in sides.items() if isinstance(norm, kind)), 0)
    return LinearMap(
        name=name,
        kind="conv" if extent else "linear",
        weight=as_float32(f"{name}.weight", factor.reshape(-1, 1, *[1] * extent)),
        bias=as_float32(f"{name}.bias", beta - mean * factor),
        groups=norm.num_features,
    )


def as_float32(name: str, values: torch.Tensor | npt.NDArray[np.float64]) -> Array:
    """A layer's numbers as float32: exact from float16 and bfloat16, rounded from float64.

    Raises:
        InputError: complex, empty, not finite, or beyond float32.
    """
    if isinstance(values, torch.Tensor) and torch.nn.parameter.is_lazy(values):
        raise InputError(f"{name} has no values: it is a lazy layer's. Call the model once on an input first.")
    if isinstance(values, torch.Tensor) and values.is_complex():
        raise InputError(f"{name} must be real; got {values.dtype}. slth has no complex networks.")
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
        small = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(small).all():
        raise InputError(f"{name} must fit float32; its largest entry is {np.abs(array).max():.3g}. Rescale the layer.")
    return small


def as_constant(name: str, value: object) -> npt.NDArray[Any]:
    """A parameter or buffer that the graph reads directly, as an array.

    Args:
        name: its path, for messages.
        value: the tensor.

    Returns:
        float32 if it holds real numbers, its own type otherwise.

    Raises:
        InputError: not a tensor, or numbers that float32 cannot hold.
    """
    if not isinstance(value, torch.Tensor):
        raise InputError(f"{name} must be a tensor to be read by the graph; got {type(value).__name__}. Register it.")
    if value.is_floating_point() or value.is_complex():
        return as_float32(name, value)
    return np.asarray(value.detach().cpu().numpy())


def _affine(name: str, norm: Norm) -> tuple[npt.NDArray[np.float64], ...]:
    """(γ/√(σ² + e), μ, β) in float64."""
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
