"""From a torch model to its linear maps: what is replaced by random blocks, and what stays.

A sequential model becomes a :class:`Target`: a list of stages in order, each either a :class:`LinearMap`
(a conv or linear layer, BatchNorm folded in) or a plain module that is kept as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from slth.errors import InputError
from slth.networks.target import KEPT_BY_NAME, KEPT_MODULES, Array, KeptModule, LinearMap, Target

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
# The name of a target that is a single layer.
LONE = "layer"


def extract(
    model: nn.Module,
    *,
    example_input: torch.Tensor | None = None,
    input_range: tuple[float, float] | None = None,
) -> Target:
    """Take a sequential model apart into linear maps and kept modules.

    Args:
        model: ``nn.Sequential``, possibly nested, of Conv2d, Linear, BatchNorm (right after one of them), ReLU,
            pooling, Flatten, Dropout, Identity. Evaluation mode is assumed throughout.
        example_input: one input with its batch axis. Run through the model to check shapes; values are checked
            against ``input_range``.
        input_range: (lo, hi) of what the first layer sees; None when values of any sign may come. Non-negative
            inputs need only the positive sign group.

    Raises:
        InputError: an unsupported layer (named), no linear layer, weights that are not finite float32-compatible
            numbers, an example input that does not fit.

    Source: dacunha2023
    """
    signs = _signs(input_range)
    stages: list[LinearMap | KeptModule] = []
    for name, module in _leaves(model):
        if isinstance(module, nn.Conv2d | nn.Linear) and _is_plain(module, nn.Conv2d, nn.Linear):
            stages.append(_linear_map(name, module, signs))
            signs = "+-"
        elif isinstance(module, _NORMS) and _is_plain(module, *_NORMS):
            before = stages[-1] if stages else None
            if not isinstance(before, LinearMap):
                raise InputError(
                    f"layer {name} (BatchNorm) must come right after a conv or linear layer to be folded into it; "
                    f"it comes after {'nothing' if before is None else before.name}. Move it, or remove it."
                )
            stages[-1] = _fold(before, name, module)
        elif type(module) in KEPT_MODULES:
            options, effect = KEPT_MODULES[type(module)]
            if getattr(module, "return_indices", False):
                raise InputError(f"layer {name} (return_indices=True) is not supported; expected one output. Drop it.")
            stages.append(KeptModule(name=name, type=type(module).__name__, options=_options(module, options)))
            signs = "+" if effect == "relu" else signs
        else:
            who = "the model" if name == LONE else f"layer {name}"
            raise InputError(
                f"{who} ({type(module).__name__}) is not supported; expected Conv2d, Linear, BatchNorm or "
                f"{', '.join(sorted(KEPT_BY_NAME))} in nn.Sequential. "
                "Replace it, or wrap the model as a Sequential of these."
            )
    target = Target(stages=tuple(stages))
    if not target.maps:
        raise InputError("the target has no conv or linear layer: there is nothing to approximate. Check the model.")
    if example_input is not None:
        _check_example(model, target, example_input, input_range)
    return target


def _signs(input_range: tuple[float, float] | None) -> str:
    if input_range is None:
        return "+-"
    try:
        low, high = (float(value) for value in input_range if not isinstance(value, str))
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not low <= high:
        raise InputError(
            f"input_range must be a pair (lo, hi) with lo ≤ hi; got {input_range!r}. "
            "Pass (0, 1) for pixels in [0, 1], or leave it out for inputs of any sign."
        )
    return ("+" if high > 0 else "") + ("-" if low < 0 else "") or "+"


def _is_plain(module: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Whether a module computes what its torch class does: a subclass may have a forward of its own."""
    return any(isinstance(module, kind) and type(module).forward is kind.forward for kind in kinds)


def _leaves(model: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules of nested Sequentials in order, with their dotted names."""
    if not (isinstance(model, nn.Sequential) and _is_plain(model, nn.Sequential)):
        yield prefix or LONE, model
        return
    for name, child in model._modules.items():  # named_children() would show a module used twice only once
        assert child is not None
        yield from _leaves(child, f"{prefix}.{name}" if prefix else name)


def _linear_map(name: str, module: nn.Conv2d | nn.Linear, signs: str) -> LinearMap:
    options: dict[str, Any] = {}
    if isinstance(module, nn.Conv2d):
        if module.groups != 1:
            raise InputError(
                f"layer {name} (Conv2d with groups={module.groups}) is not supported; expected groups=1. "
                "Replace it by an ungrouped convolution."
            )
        options = _options(module, ("stride", "padding", "dilation", "padding_mode"))
    return LinearMap(
        name=name,
        kind="linear" if isinstance(module, nn.Linear) else "conv",
        weight=_float32(f"{name}.weight", module.weight),
        bias=None if module.bias is None else _float32(f"{name}.bias", module.bias),
        options=options,
        signs=signs,
    )


def _fold(before: LinearMap, name: str, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> LinearMap:
    """y = γ(Wx + b − μ)/√(σ² + e) + β as one linear map, folded in float64."""
    if norm.running_mean is None or norm.running_var is None:
        raise InputError(
            f"layer {name} (BatchNorm) must have running statistics to be folded; it has none. "
            "Train it with track_running_stats=True."
        )
    if norm.num_features != before.channels[1]:
        raise InputError(
            f"layer {name} (BatchNorm) must have as many features as {before.name} has outputs, "
            f"{before.channels[1]}; it has {norm.num_features}. Correct one of them."
        )
    if bool((norm.running_var < 0).any()):
        raise InputError(
            f"layer {name} (BatchNorm) must have a running variance ≥ 0; got {float(norm.running_var.min()):.4g}. "
            "Train or load the target again."
        )
    one, zero = torch.ones_like(norm.running_var), torch.zeros_like(norm.running_var)
    gamma, beta, mean, var = (
        (one if tensor is None else tensor).detach().double().cpu().numpy()
        for tensor in (
            norm.weight,
            zero if norm.bias is None else norm.bias,
            norm.running_mean,
            norm.running_var,
        )
    )
    factor = gamma / np.sqrt(var + norm.eps)
    weight = before.weight.astype(np.float64) * factor.reshape(-1, *[1] * (before.weight.ndim - 1))
    bias = (0.0 if before.bias is None else before.bias.astype(np.float64)) - mean
    return LinearMap(
        name=before.name,
        kind=before.kind,
        weight=_float32(f"{before.name}.weight after folding {name}", weight),
        bias=_float32(f"{before.name}.bias after folding {name}", bias * factor + beta),
        options=before.options,
        signs=before.signs,
    )


def _float32(name: str, values: torch.Tensor | npt.NDArray[np.float64]) -> Array:
    if isinstance(values, torch.Tensor) and values.is_complex():
        raise InputError(f"{name} must be real; got {values.dtype}. slth has no complex networks.")
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


def _options(module: nn.Module, names: tuple[str, ...]) -> dict[str, Any]:
    values = {name: getattr(module, name) for name in names}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _check_example(
    model: nn.Module, target: Target, example: torch.Tensor, input_range: tuple[float, float] | None
) -> None:
    if not isinstance(example, torch.Tensor):
        raise InputError(f"example_input must be a torch tensor with a batch axis; got {type(example).__name__}.")
    first = next(model.parameters())
    if target.maps[0].kind == "conv" and example.ndim != 4:
        raise InputError(
            f"example_input must have shape (N, {target.maps[0].channels[0]}, H, W); got {tuple(example.shape)}. "
            "Pass one input with its batch axis."
        )
    value = example.detach().to(device="cpu", dtype=torch.float32)
    if input_range is not None and value.numel():
        low, high = float(value.min()), float(value.max())
        if not (input_range[0] <= low and high <= input_range[1]):
            raise InputError(
                f"example_input must lie in input_range = {tuple(input_range)}; its values span "
                f"[{low:.4g}, {high:.4g}]. "
                "Widen input_range: a wrong one gives a wrong ticket."
            )
    try:
        with torch.no_grad():
            target.to_module()(value)
    except (RuntimeError, ValueError, IndexError) as cause:
        reason = str(cause).splitlines()[0]
        raise InputError(
            f"example_input of shape {tuple(example.shape)} does not fit the target: {reason} "
            f"Pass one input with its batch axis (the first layer's weight is {tuple(first.shape)})."
        ) from cause
