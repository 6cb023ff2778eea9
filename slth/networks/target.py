"""Targets: a network as a graph of steps, some of which are linear maps that a ticket replaces by random blocks."""

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
from slth.networks.sizes import MAX_CONDITIONS, InputSizes, check_condition
from slth.theory.composition import LayerSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """A network as a graph.

    Attributes:
        steps: what is computed, in order.
        maps: the linear maps that a ticket replaces, in the order of their first use. A map that several steps use,
            as with shared weights, is listed once.
        modules: the modules that stay.
        constants: name → parameter or buffer that a step reads directly; these stay too.
        input_range: (lo, hi) of the inputs, or name of an input → its (lo, hi), as the signs of the maps were computed
            for; None when inputs can have any sign.
        sizes: name of an input → its sizes, with None for a free one. It is empty in files of format versions 2 and 3.
        conditions: conditions on the sizes under which the steps are the network's, such as ``x[2] % 2 == 0``.
        example_shapes: shape of each input of the example, without its batch axis; () where it is not known. It is not
            part of the description, and neither are the types.
        example_types: type of each input of the example, such as ``float32``; () where it is not known.
        binding: what is known to belong to the weights, because it was extracted with them or because their file states
            a hash of both: ``all``, ``graph`` (all but the input range) or ``nothing``. It is not part of the
            description.
    """

    steps: tuple[Step, ...]
    maps: tuple[LinearMap, ...]
    modules: tuple[KeptModule, ...] = ()
    constants: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    input_range: Any = None
    sizes: InputSizes = field(default_factory=dict)
    conditions: tuple[str, ...] = ()
    example_shapes: tuple[tuple[int, ...], ...] = ()
    example_types: tuple[str, ...] = ()
    binding: str = "nothing"

    @property
    def weight_count(self) -> int:
        """Number of weights and biases in all linear maps."""
        return sum(linear.weight_count for linear in self.maps)

    @property
    def kept_count(self) -> int:
        """Number of trained numbers that stay: those of layers left out, of other kept modules, and of constants."""
        kept = sum(tensor.size for module in self.modules for tensor in module.tensors.values())
        return kept + sum(value.size for value in self.constants.values())

    @property
    def coverage(self) -> float:
        """Fraction of the network's trained numbers that the linear maps hold: 1 when nothing is left out."""
        return self.weight_count / (self.weight_count + self.kept_count)

    @property
    def known(self) -> bool:
        """Whether the weights are known. They are NaN in a ticket that was loaded without its target."""
        return not any(np.isnan(linear.weight.flat[0]) for linear in self.maps)

    def to_module(self) -> GraphNetwork:
        """The target as a module in evaluation mode, with BatchNorms folded."""
        return assemble(self, LinearMap.to_module)

    def layer_specs(self) -> tuple[LayerSpec, ...]:
        """The layers with their norms, for certified widths; see :func:`slth.networks.layer_specs.layer_specs`."""
        return layer_specs(self.steps, self.maps, self.modules)

    def hash(self, *, with_range: bool = True) -> str:
        """SHA-256 over everything that decides the target's function.

        Args:
            with_range: whether the input range is included. Files of format version 2 state the hash without it.

        Returns:
            The hash over steps, names, options, signs, shapes, weight bits, tensors that stay and the input range, 64
            hexadecimal digits.
        """
        described = self.describe()
        if not with_range:
            del described["input_range"]
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
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
        """The target as JSON, without its weights."""
        described: dict[str, Any] = {
            "steps": [step.describe() for step in self.steps],
            "maps": [linear.describe() for linear in self.maps],
            "modules": [module.describe() for module in self.modules],
            "constants": sorted(self.constants),
            "input_range": self.input_range,
        }
        if self.sizes:
            described["sizes"] = {name: list(sizes) for name, sizes in self.sizes.items()}
            described["conditions"] = list(self.conditions)
        return described

    def kept_tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Path → tensor, for every tensor that stays."""
        tensors = {f"{one.name}.{name}": values for one in self.modules for name, values in one.tensors.items()}
        return tensors | dict(self.constants)

    @staticmethod
    def from_description(
        data: dict[str, Any],
        weights: Callable[[dict[str, Any]], tuple[Array, Array | None]],
        kept: Mapping[str, npt.NDArray[Any]],
    ) -> Target:
        """The target that a description from :meth:`describe` stands for.

        Args:
            data: the description.
            weights: returns the weight and bias of a map, given the map's description.
            kept: path → tensor that stays.

        Raises:
            ValueError: the description is malformed; KeyError and TypeError mean the same.
            UnregisteredError: the description names an operation that is not registered.
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
        _check_steps(steps, {linear.name for linear in maps} | {module.name for module in modules})
        constants = {name: kept[name] for name in data["constants"]}
        sizes = _as_sizes(data.get("sizes", {}), steps)
        return Target(
            steps=steps,
            maps=tuple(maps),
            modules=modules,
            constants=constants,
            input_range=as_recorded(data["input_range"]),
            sizes=sizes,
            conditions=_as_conditions(data.get("conditions", []), sizes),
        )


def as_recorded(input_range: Any) -> Any:
    """An input range, or a mapping of them by name, as a target records it: tuples of plain numbers."""
    if isinstance(input_range, Mapping):
        return {name: as_recorded(one) for name, one in input_range.items()}
    return None if input_range is None else tuple(float(value) for value in input_range)


def _as_sizes(sizes: Any, steps: tuple[Step, ...]) -> InputSizes:
    """The sizes of every input from a file: whole numbers, and None for free ones; nothing in older files."""
    inputs = [step.name for step in steps if step.kind == "input"]
    if sizes and sorted(sizes) != sorted(inputs):
        raise ValueError(f"sizes are given for {sorted(sizes)}; the inputs are {sorted(inputs)}")
    for name, one in sizes.items():
        if not isinstance(one, list) or any(size is not None and (type(size) is not int or size < 0) for size in one):
            raise ValueError(f"{one!r} are no sizes of the input {name}")
    return {name: tuple(sizes[name]) for name in inputs if name in sizes}


def _as_conditions(conditions: Any, sizes: InputSizes) -> tuple[str, ...]:
    """Conditions on sizes from a file, each of which is of the grammar and about these sizes."""
    if not isinstance(conditions, list) or len(conditions) > MAX_CONDITIONS:
        raise ValueError(f"conditions must be a list of at most {MAX_CONDITIONS}")
    for text in conditions:
        check_condition(text, sizes)
    return tuple(conditions)


def _check_steps(steps: tuple[Step, ...], modules: set[str]) -> None:
    """Refuse steps that use a module that is not there, read a value before it is computed, or do not end."""
    if not steps or steps[-1].kind != "output":
        raise ValueError("the last step must be the output")
    wrong = [step.name for step in steps if step.kind == "module" and step.call not in modules]
    computed: set[str] = set()
    for step in steps:
        if step.name in computed or not computed.issuperset(step.references()):
            wrong.append(step.name)
        computed.add(step.name)
    if wrong:
        raise ValueError(f"step {wrong[0]!r} repeats a name, or needs a module or a value that is not there")


def assemble(target: Target, build: Callable[[LinearMap], nn.Module]) -> GraphNetwork:
    """The target's graph with other modules in place of its linear maps.

    Args:
        target: the target.
        build: returns the module that replaces a linear map.

    Returns:
        The network, frozen and in evaluation mode.
    """
    modules = {linear.name: build(linear) for linear in target.maps}
    modules |= {module.name: module.build() for module in target.modules}
    constants = {name: torch.from_numpy(values.copy()) for name, values in target.constants.items()}
    return GraphNetwork(target.steps, modules, constants, target.sizes, target.conditions)
