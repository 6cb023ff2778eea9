"""A target as slth sees it: stages in order, each a linear map or a module that is kept as it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
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
    nn.AvgPool2d: (("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"), "keep"),
    nn.AdaptiveAvgPool2d: (("output_size",), "keep"),
    nn.AdaptiveMaxPool2d: (("output_size",), "keep"),
}
KEPT_BY_NAME = {module.__name__: module for module in KEPT_MODULES}


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
        return KEPT_BY_NAME[self.type](**self.options)


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


def assemble(target: Target, build: Callable[[LinearMap], nn.Module]) -> nn.Sequential:
    """A module with ``build(linear_map)`` in the place of each linear map; a dotted name is a path of Sequentials."""
    root = nn.Sequential()
    for stage in target.stages:
        *path, name = stage.name.split(".")
        parent = root
        for part in path:
            if part not in parent._modules:
                parent.add_module(part, nn.Sequential())
            child = parent._modules[part]
            assert isinstance(child, nn.Sequential)
            parent = child
        parent.add_module(name, stage.build() if isinstance(stage, KeptModule) else build(stage))
    return root.eval()


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
