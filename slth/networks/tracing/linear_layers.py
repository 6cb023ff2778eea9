"""The linear maps among the steps of a lowered program, under the names of the model's layers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import torch

from slth.errors import InputError
from slth.networks.folding import NormNumbers, as_float32, fold_norm, norm_as_map
from slth.networks.graph import Ref, Step, rename_references
from slth.networks.linear_map import LinearMap, swap_channels
from slth.networks.tracing.lowering import Lowered

# Name of the layer of a model that is a single layer.
SINGLE_LAYER = "layer"
_LAYERS = ("functional.linear", *(f"torch.conv{kind}{axes}d" for kind in ("", "_transpose") for axes in (1, 2, 3)))


@dataclass(frozen=True, kw_only=True)
class LinearLayers:
    """The linear maps of a network.

    Attributes:
        steps: what is computed, with one step of kind ``module`` for each use of a map.
        maps: name → linear map, in the order of first use.
        norms: name of a BatchNorm that is a map by itself → the step that computes it without the map.
        places: path of a module in the model → name of the step that has its output.
    """

    steps: tuple[Step, ...]
    maps: dict[str, LinearMap]
    norms: dict[str, Step]
    places: dict[str, str]


def find_linear_layers(lowered: Lowered) -> LinearLayers:
    """Turn every layer with stored weights into a linear map; a BatchNorm is folded into the layer before it.

    Args:
        lowered: the steps of the model.

    Returns:
        The maps and the remaining steps. Layers that share their weights and settings are one map. A BatchNorm that
        cannot be folded is a depthwise map by itself.

    Raises:
        InputError: weights are not finite or beyond float32, or a BatchNorm has no running statistics.
    """
    finder = _Finder(lowered)
    for step in lowered.steps:
        finder.visit(step)
    folded = finder.folded
    steps = tuple(
        replace(step, args=rename_references(step.args, folded), options=rename_references(dict(step.options), folded))
        for step in finder.steps
    )
    return LinearLayers(steps=steps, maps=finder.maps, norms=finder.norms, places=_places(lowered, folded))


def _places(lowered: Lowered, folded: dict[str, str]) -> dict[str, str]:
    """Path of a module → the step that has its output; a layer into which a BatchNorm was folded has none."""
    last: dict[str, str] = {}
    for step in lowered.steps:
        parts = lowered.paths.get(step.name, "").split(".")
        for length in range(len(parts) + 1):
            last[".".join(parts[:length])] = step.name
    return {path: folded.get(name, name) for path, name in last.items() if name not in folded.values()}


class _Finder:
    """The maps found so far."""

    def __init__(self, lowered: Lowered) -> None:
        self.lowered = lowered
        self.constant_of = {step.name: step.call for step in lowered.steps if step.kind == "constant"}
        self.readers = Counter(name for step in lowered.steps for name in step.references())
        self.uses = Counter(self._key(step) for step in lowered.steps if self._is_layer(step))
        self.steps: list[Step] = []
        self.maps: dict[str, LinearMap] = {}
        self.norms: dict[str, Step] = {}
        self.folded: dict[str, str] = {}  # step of a folded BatchNorm → step of the layer before it
        self.names: dict[str, str] = {}  # what a layer computes → its name
        self.layer_steps: dict[str, Step] = {}  # name of a step → the layer's step, before it became a map

    def visit(self, step: Step) -> None:
        """Add a step, or the use of a map in its place."""
        if self._is_layer(step):
            key = self._key(step)
            if key not in self.names:
                self.names[key] = self._layer_name(step)
                self.maps[self.names[key]] = self._layer(self.names[key], step)
            self.layer_steps[step.name] = step
            step = Step(name=step.name, kind="module", call=self.names[key], args=step.args)
        elif step.call == "torch.batch_norm" and (norm := self._norm(step)):
            before = self._foldable(step)
            if before is not None:
                self.maps[before.call] = fold_norm(self.maps[before.call], norm)
                self.folded[step.name] = before.name
                return
            key = self._key(step)
            if key not in self.names:
                norm = replace(norm, name=self._free(norm.name))
                self.names[key] = norm.name
                self.maps[norm.name] = norm_as_map(norm, self.lowered.ranks[step.name])
                self.norms[norm.name] = step
            step = Step(name=step.name, kind="module", call=self.names[key], args=step.args)
        self.steps.append(step)

    def _is_layer(self, step: Step) -> bool:
        """Whether a step applies stored weights, and a stored bias or none, to an activation."""
        if step.call not in _LAYERS or not isinstance(step.args[0], Ref) or step.args[0].name in self.constant_of:
            return False
        bias = self._stored(step, "bias")
        return self._stored(step, "weight") is not None and (bias is not None or step.options.get("bias") is None)

    def _stored(self, step: Step, option: str) -> torch.Tensor | None:
        """The stored tensor that an option refers to, if it does."""
        value = step.options.get(option)
        name = self.constant_of.get(value.name) if isinstance(value, Ref) else None
        return None if name is None else self.lowered.constants[name]

    def _key(self, step: Step) -> str:
        """What a layer computes: its function with the names of its weights and its settings."""
        return f"{step.call}{sorted(step.options.items())}"

    def _layer_name(self, step: Step) -> str:
        """The path of a layer: that of its weight, or of the module that computes the weight."""
        weight = step.options["weight"]
        path = self.constant_of[weight.name].removesuffix(".T")
        where = self.lowered.paths[step.name]
        if path in self.lowered.stored_paths:
            owner, _, last = path.rpartition(".")
            owner = owner if last == "weight" else path.removesuffix("_weight")
            # Two layers may share a weight and differ in the rest.
            where = where if owner in self.maps else owner
        return self._free(where or SINGLE_LAYER)

    def _free(self, name: str) -> str:
        taken = set(self.maps)
        return name if name not in taken else next(one for i in range(2, 10**6) if (one := f"{name}#{i}") not in taken)

    def _layer(self, name: str, step: Step) -> LinearMap:
        weight, bias = self._stored(step, "weight"), self._stored(step, "bias")
        assert weight is not None
        options = _settings(step)
        groups = options.pop("groups", 1)
        kind = "linear" if step.call == "functional.linear" else "conv"
        if "transpose" in step.call:
            kind, weight = "conv_transpose", swap_channels(weight, groups)
        return LinearMap(
            name=name,
            kind=kind,
            weight=as_float32(f"{name}.weight", weight),
            bias=None if bias is None else as_float32(f"{name}.bias", bias),
            options=options,
            groups=groups,
        )

    def _norm(self, step: Step) -> NormNumbers | None:
        """The numbers of a BatchNorm; None if they depend on the inputs."""
        stored = {key: self._stored(step, key) for key in ("weight", "bias", "running_mean", "running_var")}
        variance = step.options["running_var"]
        name = self.lowered.paths[step.name]
        if isinstance(variance, Ref) and variance.name in self.constant_of:
            path = self.constant_of[variance.name]
            name = path.rpartition(".")[0] if path.endswith(".running_var") else name
        name = name or SINGLE_LAYER
        if step.options["training"] or variance is None:
            raise InputError(
                f"layer {name} (BatchNorm) must have running statistics to be folded; it uses those of the batch. "
                "Train it with track_running_stats=True."
            )
        mean, var = stored["running_mean"], stored["running_var"]
        given = [step.options[key] is not None and stored[key] is None for key in ("weight", "bias")]
        if mean is None or var is None or any(given):
            return None
        return NormNumbers(name=name, weight=stored["weight"], bias=stored["bias"], mean=mean, var=var,
                           eps=float(step.options["eps"]))  # fmt: skip

    def _foldable(self, step: Step) -> Step | None:
        """The step of the layer before a BatchNorm, if both are used once and only together."""
        source = step.args[0]
        before = self.layer_steps.get(source.name) if isinstance(source, Ref) else None
        if before is None or self.readers[before.name] != 1 or self.uses[self._key(before)] != 1:
            return None
        # A linear layer has its outputs on the last axis, and BatchNorm on the second.
        if before.call == "functional.linear" and self.lowered.ranks[before.name] != 2:
            return None
        return next(one for one in self.steps if one.name == before.name)


def _settings(step: Step) -> dict[str, Any]:
    """Stride, padding, dilation and groups of a convolution, written out; nothing for a linear layer."""
    if step.call == "functional.linear":
        return {}
    axes = int(step.call[-2])
    names = ["stride", "padding", "dilation"] + (["output_padding"] if "transpose" in step.call else [])
    defaults = {"stride": 1, "padding": 0, "dilation": 1, "output_padding": 0}
    settings: dict[str, Any] = {}
    for name in names:
        value = step.options.get(name, defaults[name])
        value = [value] * axes if isinstance(value, int) else value
        value = list(value) * axes if isinstance(value, tuple | list) and len(value) == 1 else value
        settings[name] = value if isinstance(value, str) else list(value)
    return settings | {"padding_mode": "zeros", "groups": int(step.options.get("groups", 1))}
