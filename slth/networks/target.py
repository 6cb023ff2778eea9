"""A target as slth sees it: a graph of steps in which some modules are linear maps, to be replaced by random blocks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from slth.networks.graph import GraphNetwork, Step
from slth.networks.kept_module import KeptModule
from slth.networks.layer_specs import layer_specs
from slth.networks.linear_map import Array, LinearMap
from slth.theory.composition import LayerSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """A network as a graph.

    Attributes:
        steps: what is computed, in order.
        maps: the linear maps that a ticket replaces, in the order of their first use; a map used several times (shared
            weights) is there once.
        modules: the modules that stay.
        constants: parameters and buffers that steps read directly; they stay too.
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
        return layer_specs(self.steps, self.maps, self.modules)

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
        """The target that :meth:`describe` described.

        Args:
            data: the description.
            weights: gives the weight and bias of a map from its description.
            kept: path → tensor that stays.

        Raises:
            ValueError: the description is malformed; KeyError and TypeError likewise.
            UnregisteredError: it names an operation that is not registered.
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


def assemble(target: Target, build: Callable[[LinearMap], nn.Module]) -> GraphNetwork:
    """The target's graph with other modules in the place of its linear maps.

    Args:
        target: the target.
        build: gives the module for a linear map.
    """
    modules = {linear.name: build(linear) for linear in target.maps}
    modules |= {module.name: module.build() for module in target.modules}
    constants = {name: torch.from_numpy(values.copy()) for name, values in target.constants.items()}
    return GraphNetwork(target.steps, modules, constants)
