"""From a torch model to its linear maps: what is replaced by random blocks, and what stays.

A sequential model becomes a :class:`Target`: a list of stages in order, each either a :class:`LinearMap`
(a conv or linear layer, BatchNorm folded in) or a plain module that is kept as it is.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from slth.errors import InputError

Array = npt.NDArray[np.float32]

# Modules that are kept as they are, and the constructor arguments that say all there is about each.
# The third entry tells what happens to the sign of the values: "relu" makes them non-negative, "keep" keeps
# non-negative values non-negative.
KEPT_MODULES: dict[type[nn.Module], tuple[tuple[str, ...], str]] = {
    nn.ReLU: ((), "relu"),
    nn.Identity: ((), "keep"),
    nn.Flatten: (("start_dim", "end_dim"), "keep"),
    nn.Dropout: (("p",), "keep"),
    nn.Dropout2d: (("p",), "keep"),
    nn.MaxPool2d: (("kernel_size", "stride", "padding", "dilation", "ceil_mode"), "keep"),
    nn.AvgPool2d: (("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"), "keep"),
    nn.AdaptiveAvgPool2d: (("output_size",), "keep"),
    nn.AdaptiveMaxPool2d: (("output_size",), "keep"),
}
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearMap:
    """One conv or linear layer of the target.

    Attributes:
        name: its path in the model. kind: ``conv`` or ``linear``.
        weight: float32 (c_out, c_in, d, d) for a conv, (c_out, c_in) for a linear layer.
        bias: float32 (c_out,) or None.
        options: stride, padding, dilation, padding_mode of a conv; empty for a linear layer.
        signs: which signs its inputs can have: ``"+"`` or ``"+-"`` (or ``"-"``).
    """

    name: str
    kind: str
    weight: Array
    bias: Array | None
    options: dict[str, Any] = field(default_factory=dict)
    signs: str = "+-"

    @property
    def channels(self) -> tuple[int, int]:
        """(c_in, c_out)."""
        return int(self.weight.shape[1]), int(self.weight.shape[0])

    @property
    def dimension(self) -> int:
        """D = d²·c_out: the length of one subset-sum instance."""
        return int(np.prod(self.weight.shape[2:], dtype=int)) * int(self.weight.shape[0])

    def column(self, channel: int) -> npt.NDArray[np.float64]:
        """(D,) what input channel ``channel`` contributes: its slice of the weight, or the bias at c_in."""
        if channel == self.channels[0]:
            if self.bias is None:
                raise InputError(f"layer {self.name} has no bias channel.")
            return self.bias.astype(np.float64)
        return self.weight[:, channel].reshape(-1).astype(np.float64)

    @property
    def instances(self) -> range:
        """Input channels, the bias channel (number c_in) included if there is one."""
        return range(self.channels[0] + (self.bias is not None))


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptModule:
    """A module without weights that stays in the network: its type's name and constructor arguments."""

    name: str
    type: str
    options: dict[str, Any]

    def build(self) -> nn.Module:
        """A fresh instance."""
        return _KEPT_BY_NAME[self.type](**self.options)


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """A network as stages in order."""

    stages: tuple[LinearMap | KeptModule, ...]

    @property
    def maps(self) -> tuple[LinearMap, ...]:
        """The linear maps, in order."""
        return tuple(stage for stage in self.stages if isinstance(stage, LinearMap))

    @property
    def weight_count(self) -> int:
        """Weights and biases in all linear maps."""
        return sum(m.weight.size + (0 if m.bias is None else m.bias.size) for m in self.maps)

    def to_module(self) -> nn.Sequential:
        """The target itself, BatchNorm folded, as a module in evaluation mode."""
        return assemble(self, _plain_module)

    def hash(self) -> str:
        """SHA-256 over the stages: names, options, signs, shapes and weight bits."""
        digest = hashlib.sha256()
        for stage in self.stages:
            digest.update(json.dumps(describe(stage), sort_keys=True).encode())
            if isinstance(stage, LinearMap):
                for array in (stage.weight, stage.bias):
                    if array is not None:
                        digest.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
        return digest.hexdigest()


_KEPT_BY_NAME = {module.__name__: module for module in KEPT_MODULES}


def describe(stage: LinearMap | KeptModule) -> dict[str, Any]:
    """A stage as JSON, weights left out."""
    if isinstance(stage, KeptModule):
        return {"name": stage.name, "type": stage.type, "options": stage.options}
    return {
        "name": stage.name,
        "type": stage.kind,
        "options": stage.options,
        "signs": stage.signs,
        "shape": list(stage.weight.shape),
        "bias": stage.bias is not None,
    }


def assemble(target: Target, build: Any) -> nn.Sequential:
    """A module with ``build(linear_map)`` in the place of each linear map; names with dots keep their path."""
    root = nn.Sequential()
    for stage in target.stages:
        module = stage.build() if isinstance(stage, KeptModule) else build(stage)
        root.add_module(stage.name.replace(".", "_"), module)
    return root.eval()


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
        if isinstance(module, nn.Conv2d | nn.Linear):
            stages.append(_linear_map(name, module, signs))
            signs = "+-"
        elif isinstance(module, _NORMS):
            before = stages[-1] if stages else None
            if not isinstance(before, LinearMap):
                raise InputError(
                    f"layer {name} (BatchNorm) must come right after a conv or linear layer to be folded into it; "
                    f"it comes after {'nothing' if before is None else before.name}. Move it, or remove it."
                )
            stages[-1] = _fold(before, name, module)
        elif type(module) in KEPT_MODULES:
            options, effect = KEPT_MODULES[type(module)]
            stages.append(KeptModule(name=name, type=type(module).__name__, options=_options(module, options)))
            signs = "+" if effect == "relu" else signs
        else:
            raise InputError(
                f"layer {name or 'the model'} ({type(module).__name__}) is not supported; expected Conv2d, Linear, "
                f"BatchNorm or {', '.join(sorted(_KEPT_BY_NAME))} in nn.Sequential. "
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
        low, high = (float(value) for value in input_range)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not low <= high:
        raise InputError(
            f"input_range must be a pair (lo, hi) with lo ≤ hi; got {input_range!r}. "
            "Pass (0, 1) for pixels in [0, 1], or leave it out for inputs of any sign."
        )
    return ("+" if high > 0 else "") + ("-" if low < 0 else "") or "+"


def _leaves(model: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules of nested Sequentials in order, with their dotted names."""
    if not isinstance(model, nn.Sequential):
        yield prefix, model
        return
    for name, child in model.named_children():
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


def _plain_module(linear: LinearMap) -> nn.Module:
    c_in, c_out = linear.channels
    module: nn.Conv2d | nn.Linear
    if linear.kind == "linear":
        module = nn.Linear(c_in, c_out, bias=linear.bias is not None)
    else:
        module = nn.Conv2d(
            c_in, c_out, linear.weight.shape[2:], bias=linear.bias is not None, **conv_options(linear.options)
        )
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(linear.weight))
        if linear.bias is not None and module.bias is not None:
            module.bias.copy_(torch.from_numpy(linear.bias))
    return module


def conv_options(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a conv as its constructor wants them (lists from JSON become tuples)."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}


def _check_example(
    model: nn.Module, target: Target, example: torch.Tensor, input_range: tuple[float, float] | None
) -> None:
    if not isinstance(example, torch.Tensor):
        raise InputError(f"example_input must be a torch tensor with a batch axis; got {type(example).__name__}.")
    first = next(model.parameters())
    value = example.detach().to(device="cpu", dtype=torch.float32)
    if input_range is not None and value.numel():
        low, high = float(value.min()), float(value.max())
        if low < input_range[0] or high > input_range[1]:
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
