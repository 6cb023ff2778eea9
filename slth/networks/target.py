"""A target as slth sees it: a graph of steps in which some modules are linear maps, to be replaced by random blocks."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from slth.errors import InputError
from slth.networks.graph import GraphNetwork, Step
from slth.networks.operations import KEPT_BY_NAME

if TYPE_CHECKING:
    from slth.theory.composition import LayerSpec

Array = npt.NDArray[np.float32]

# What a mask may remove of the d×d layer: single weights, whole d×d kernels, or whole hidden channels.
STRUCTURES = ("weight", "kernel", "channel")


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearMap:
    """One conv or linear layer of the target.

    Attributes:
        name: its path in the model. kind: ``conv`` or ``linear``.
        weight: float32 (c_out, c_in/groups, d, …) with one to three d's for a conv, (c_out, c_in/groups) for a linear
            layer; NaN throughout in a ticket that was loaded without its target.
        bias: float32 (c_out,) or None.
        options: stride, padding, dilation, padding_mode of a conv; empty for a linear layer.
        signs: which signs its inputs can have: ``"+"`` or ``"+-"`` (or ``"-"``).
        groups: groups of channels that do not see each other (c_in of them: depthwise).
    """

    name: str
    kind: str
    weight: Array
    bias: Array | None
    options: dict[str, Any] = field(default_factory=dict)
    signs: str = "+-"
    groups: int = 1

    @property
    def channels(self) -> tuple[int, int]:
        """(c_in, c_out)."""
        return int(self.weight.shape[1]) * self.groups, int(self.weight.shape[0])

    @property
    def kernel(self) -> tuple[int, ...]:
        """(d, …) of a conv, () of a linear layer."""
        return tuple(int(side) for side in self.weight.shape[2:])

    @property
    def dimension(self) -> int:
        """D = d²·c_out/groups: the length of one input channel's slice of the weight."""
        return math.prod(self.kernel) * self.channels[1] // self.groups

    def part_size(self, structure: str, channel: int) -> int:
        """Dimension of one subset-sum instance: 1, d² or d²·c_out/groups (of the bias channel 1, 1 or c_out)."""
        bias = channel == self.channels[0]
        if structure == "channel":
            return self.channels[1] if bias else self.dimension
        return 1 if bias or structure == "weight" else math.prod(self.kernel)

    def column(self, channel: int) -> npt.NDArray[np.float64]:
        """(D,) what input channel ``channel`` contributes: its slice of the weight, or the bias at c_in."""
        if channel == self.channels[0]:
            if self.bias is None:
                raise InputError(f"layer {self.name} has no bias channel.")
            return self.bias.astype(np.float64)
        group, inside = divmod(channel, int(self.weight.shape[1]))
        outputs = self.channels[1] // self.groups
        return self.weight[group * outputs : (group + 1) * outputs, inside].reshape(-1).astype(np.float64)

    @property
    def instances(self) -> range:
        """Input channels, the bias channel (number c_in) included if there is one."""
        return range(self.channels[0] + (self.bias is not None))

    @property
    def weight_count(self) -> int:
        """Weights and biases."""
        return self.weight.size + (0 if self.bias is None else self.bias.size)

    def describe(self) -> dict[str, Any]:
        """The map as JSON, weights left out."""
        return {
            "name": self.name,
            "kind": self.kind,
            "options": self.options,
            "signs": self.signs,
            "groups": self.groups,
            "shape": list(self.weight.shape),
            "bias": self.bias is not None,
        }

    def to_module(self) -> nn.Module:
        """The layer itself, in torch."""
        c_in, c_out = self.channels
        module: nn.Module
        if self.kind == "linear" and self.groups == 1:
            module = nn.Linear(c_in, c_out, bias=False)
        else:
            module = conv_like(self, c_in)
        module.weight = nn.Parameter(torch.from_numpy(self.weight.copy()).reshape(module.weight.shape))
        module.bias = None if self.bias is None else nn.Parameter(torch.from_numpy(self.bias.copy()))
        return module if self.kind == "conv" or self.groups == 1 else Pointwise(module)


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptModule:
    """A module that stays in the network: its type's name, constructor arguments, and tensors as trained."""

    name: str
    type: str
    options: dict[str, Any]
    tensors: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    def build(self) -> nn.Module:
        """A fresh instance."""
        kind = KEPT_BY_NAME[self.type]
        with torch.device("meta"):  # what the options claim takes no memory; tensors are those that are given
            module = kind.module(**as_arguments(self.options))
        if "num_batches_tracked" in module._buffers:  # which nothing reads
            module._buffers["num_batches_tracked"] = torch.zeros((), dtype=torch.int64)
        for name in kind.tensors:
            given = self.tensors.get(name)
            value = None if given is None else torch.from_numpy(given.copy())
            wanted = getattr(module, name, None)
            if value is not None and (wanted is None or wanted.shape != value.shape):
                raise ValueError(f"{self.name}.{name} is not what a {self.type} of {self.options} has")
            if name in module._buffers:
                module._buffers[name] = value
            else:
                module.register_parameter(name, None if value is None else nn.Parameter(value, requires_grad=False))
        return module

    def describe(self) -> dict[str, Any]:
        """The module as JSON, tensors left out."""
        return {"name": self.name, "type": self.type, "options": self.options, "tensors": sorted(self.tensors)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """A network as a graph.

    Attributes:
        steps: what is computed, in order. maps: the linear maps that a ticket replaces, in the order of their first
            use; a map used several times (shared weights) is there once. modules: what stays. constants: parameters
            and buffers that steps read directly; they stay too.
    """

    steps: tuple[Step, ...]
    maps: tuple[LinearMap, ...]
    modules: tuple[KeptModule, ...] = ()
    constants: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    @property
    def weight_count(self) -> int:
        """Weights and biases in all linear maps."""
        return sum(linear.weight_count for linear in self.maps)

    @property
    def kept_count(self) -> int:
        """Trained numbers that stay as they are: layers left out, parameters of kept modules, constants."""
        kept = sum(tensor.size for module in self.modules for tensor in module.tensors.values())
        return kept + sum(value.size for value in self.constants.values())

    @property
    def coverage(self) -> float:
        """Fraction of the network's trained numbers that the linear maps hold: 1 when nothing is left out."""
        return self.weight_count / (self.weight_count + self.kept_count)

    @property
    def known(self) -> bool:
        """False for the target of a ticket loaded without it: its weights are NaN."""
        return not any(np.isnan(linear.weight.flat[0]) for linear in self.maps)

    def to_module(self) -> GraphNetwork:
        """The target itself, BatchNorm folded, as a module in evaluation mode."""
        return assemble(self, LinearMap.to_module)

    def layer_specs(self) -> tuple[LayerSpec, ...]:
        """Its layers by their norms, for certified widths; see :func:`slth.networks.layer_specs.layer_specs`."""
        from slth.networks.layer_specs import layer_specs

        return layer_specs(self)

    def hash(self) -> str:
        """SHA-256 over steps, names, options, signs, shapes and weight bits."""
        digest = hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode())
        for linear in self.maps:
            for array in (linear.weight, linear.bias):
                if array is not None:
                    digest.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
        for name, values in sorted(self.kept_tensors().items()):
            digest.update(
                f"{name}:{values.dtype.str}:{values.shape}:".encode() + np.ascontiguousarray(values).tobytes()
            )
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """The target as JSON, weights left out."""
        return {
            "steps": [step.describe() for step in self.steps],
            "maps": [linear.describe() for linear in self.maps],
            "modules": [module.describe() for module in self.modules],
            "constants": sorted(self.constants),
        }

    def kept_tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Every tensor that stays as it is, by path."""
        tensors = {f"{one.name}.{name}": values for one in self.modules for name, values in one.tensors.items()}
        return tensors | dict(self.constants)

    @staticmethod
    def from_description(
        data: dict[str, Any],
        weights: Callable[[dict[str, Any]], tuple[Array, Array | None]],
        kept: Mapping[str, npt.NDArray[Any]],
    ) -> Target:
        """The target that :meth:`describe` described; ``weights(map)`` gives a map's weight and bias.

        Raises:
            ValueError, KeyError, TypeError: the description is none of ours.
        """
        maps = []
        for one in data["maps"]:
            weight, bias = weights(one)
            fields = {key: one[key] for key in ("name", "kind", "options", "signs", "groups")}
            maps.append(LinearMap(weight=weight, bias=bias, **fields))
        modules = tuple(
            KeptModule(
                name=one["name"],
                type=one["type"],
                options=one["options"],
                tensors={name: kept[f"{one['name']}.{name}"] for name in one["tensors"]},
            )
            for one in data["modules"]
        )
        steps = tuple(Step.from_description(step) for step in data["steps"])
        known = {linear.name for linear in maps} | {module.name for module in modules}
        lost = [step.name for step in steps if step.kind == "module" and step.call not in known]
        given: set[str] = set()
        for step in steps:
            lost += [step.name] if step.name in given or not given.issuperset(step.references()) else []
            given.add(step.name)
        if lost or not steps or steps[-1].kind != "output":
            raise ValueError(f"step {lost[0] if lost else 'output'!r} is missing what it needs")
        constants = {name: kept[name] for name in data["constants"]}
        return Target(steps=steps, maps=tuple(maps), modules=modules, constants=constants)


class Pointwise(nn.Module):
    """A grouped linear layer on (N, c) or (N, c, length): a 1-D convolution of one pixel."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.conv(x) if x.ndim == 3 else self.conv(x.unsqueeze(-1)).squeeze(-1)
        return out


def assemble(target: Target, build: Callable[[LinearMap], nn.Module]) -> GraphNetwork:
    """The target's graph with ``build(linear_map)`` in the place of each linear map."""
    modules = {linear.name: build(linear) for linear in target.maps}
    modules |= {module.name: module.build() for module in target.modules}
    constants = {name: torch.from_numpy(values.copy()) for name, values in target.constants.items()}
    return GraphNetwork(target.steps, modules, constants)


def conv_like(linear: LinearMap, channels: int) -> nn.Conv1d | nn.Conv2d | nn.Conv3d:
    """A convolution over ``channels`` inputs with the map's outputs, kernel, options and groups; no memory, no bias."""
    kind: Any = (nn.Conv1d, nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(linear.kernel)]
    conv: nn.Conv1d | nn.Conv2d | nn.Conv3d = kind(
        channels,
        linear.channels[1],
        linear.kernel or (1,),
        groups=linear.groups,
        bias=False,
        device="meta",
        **as_arguments(linear.options),
    )
    return conv


def as_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Options as a constructor wants them (lists from JSON become tuples)."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
