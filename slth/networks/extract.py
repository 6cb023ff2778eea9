"""Extraction: a torch model becomes a target, whose linear maps a ticket replaces and whose other parts stay.

The model is traced (:mod:`slth.networks.trace`). Convolutions and linear layers become linear maps
(:class:`~slth.networks.linear_map.LinearMap`). A BatchNorm is folded into the map before it, or becomes a depthwise map
by itself. Everything else stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import nn

from slth.errors import InputError
from slth.networks.example import Range, check_example
from slth.networks.folding import as_constant, as_float32, fold_norm, norm_as_map
from slth.networks.graph import Ref, Step, rename_references
from slth.networks.kept_module import KeptModule
from slth.networks.linear_map import LinearMap
from slth.networks.operations import REGISTRY
from slth.networks.signs import map_signs
from slth.networks.target import Target, as_recorded
from slth.networks.trace import BATCH_NORMS, LINEAR_LAYERS, matching_class, trace


def extract(
    model: nn.Module,
    *,
    example_input: torch.Tensor | tuple[torch.Tensor, ...] | None = None,
    input_range: Range | Mapping[str, Range] | None = None,
    only: Iterable[str] | None = None,
    skip: Iterable[str] = (),
) -> Target:
    """Extract the target from a model: its linear maps, and the graph that connects them.

    Args:
        model: any module that ``torch.fx`` can trace. It may hold Conv1d/2d/3d (any stride, dilation, padding mode and
            groups), Linear, BatchNorm, element-wise activations, pooling, additions, concatenations and reshapes. The
            target computes what the model computes in evaluation mode, with float64 weights rounded to float32.
        example_input: one input with its batch axis, or a tuple of them for a model of several inputs. The model and
            its graph are run on it: values must lie within ``input_range``, and the outputs must agree.
        input_range: (lo, hi) of the model's inputs, or a pair for each input by name; None if values of any sign may
            come. Non-negative inputs need only the positive sign group.
        only: names or patterns (``layer1.*``) of the linear layers to replace; None for all.
        skip: names or patterns of linear layers to leave as they were trained.

    Returns:
        A :class:`Target`. A layer that is used several times is one map, and so are layers that share their weights.
        ``coverage`` is the fraction of the trained numbers that the maps hold.

    Raises:
        InputError: the model has parts that can be neither replaced nor kept (the message names all of them) or no
            linear layer; weights are empty, not finite or beyond float32; the example does not fit; the model
            overwrites its input.

    Source: dacunha2023
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model must be a torch.nn.Module; got {type(model).__name__}. Pass the network itself.")
    traced = trace(model)
    modules = traced.modules
    constants = {name: as_constant(name, value) for name, value in traced.constants.items()}
    steps, maps = _find_linear_maps(_merge_shared_layers(traced.steps, modules), modules)
    if not maps:
        raise InputError("the target has no conv or linear layer: there is nothing to approximate. Check the model.")
    left_out = _names_left_out(maps, only, skip)
    kept = {
        step.call: _kept_module(step.call, modules) for step in steps if step.kind == "module" and step.call not in maps
    }
    kept |= {name: _kept_linear_map(name, maps[name], modules) for name in left_out}
    signs = map_signs(steps, input_range, kept, constants)
    target = Target(
        steps=steps,
        maps=tuple(replace(linear, signs=signs[name]) for name, linear in maps.items() if name not in kept),
        modules=tuple(kept.values()),
        constants=constants,
        input_range=as_recorded(input_range),
        binding="all",
    )
    try:
        target.hash()
    except TypeError as cause:
        raise InputError(f"the target cannot be written to a file: {cause}. Use plain numbers and tuples.") from cause
    if example_input is not None:
        check_example(model, target, example_input, input_range)
    return target


def _merge_shared_layers(steps: tuple[Step, ...], modules: dict[str, nn.Module]) -> tuple[Step, ...]:
    """The steps, with one name for all linear layers that hold the same parameters: they become one linear map."""
    first_names: dict[Any, str] = {}
    # A parametrised layer makes a new weight at every access. We keep each one alive, so that no later weight can get
    # its id.
    alive = []
    merged = []
    for step in steps:
        module = modules.get(step.call) if step.kind == "module" else None
        if isinstance(module, LINEAR_LAYERS):
            tensors = module.weight, module.bias
            alive.append(tensors)
            key = (*map(id, tensors), str(_conv_options(module)), getattr(module, "groups", 1))
            step = replace(step, call=first_names.setdefault(key, step.call))
        merged.append(step)
    return tuple(merged)


def _find_linear_maps(
    steps: tuple[Step, ...], modules: dict[str, nn.Module]
) -> tuple[tuple[Step, ...], dict[str, LinearMap]]:
    """The steps that remain when BatchNorms are folded, and the linear maps by path, in the order of first use."""
    maps: dict[str, LinearMap] = {}
    by_name = {step.name: step for step in steps}
    folded: dict[str, str] = {}  # step of a folded BatchNorm → step of the layer that it is folded into
    for step in steps:
        module = modules.get(step.call) if step.kind == "module" else None
        if isinstance(module, LINEAR_LAYERS) and step.call not in maps:
            maps[step.call] = _linear_map(step.call, module)
        elif isinstance(module, BATCH_NORMS):
            before = by_name[step.args[0].name] if step.args and isinstance(step.args[0], Ref) else step
            if before.call in maps and _used_only_together(before.call, step.call, steps):
                if step.name not in folded:
                    maps[before.call] = fold_norm(maps[before.call], step.call, module)
                    folded[step.name] = before.name
            elif step.call not in maps:
                maps[step.call] = norm_as_map(step.call, module)
    remaining = tuple(
        replace(
            step,
            args=rename_references(step.args, folded),
            options=rename_references(dict(step.options), folded),
        )
        for step in steps
        if step.name not in folded
    )
    return remaining, maps


def _used_only_together(linear: str, norm: str, steps: tuple[Step, ...]) -> bool:
    """Whether both layers are used once, and only the BatchNorm reads the linear layer's output."""
    linear_steps = [step for step in steps if step.call == linear]
    norm_steps = [step for step in steps if step.call == norm]
    readers = [step for step in steps if linear_steps and linear_steps[0].name in step.references()]
    return len(linear_steps) == len(norm_steps) == len(readers) == 1 and readers[0] is norm_steps[0]


def _linear_map(name: str, module: nn.Module) -> LinearMap:
    weight, bias = module.weight, module.bias
    assert isinstance(weight, torch.Tensor)
    return LinearMap(
        name=name,
        kind="linear" if isinstance(module, nn.Linear) else "conv",
        weight=as_float32(f"{name}.weight", weight),
        bias=as_float32(f"{name}.bias", bias) if isinstance(bias, torch.Tensor) else None,
        options=_conv_options(module),
        groups=int(getattr(module, "groups", 1)),
    )


def _conv_options(module: nn.Module) -> dict[str, Any]:
    return (
        {}
        if isinstance(module, nn.Linear)
        else _read_options(module, ("stride", "padding", "dilation", "padding_mode"))
    )


def _names_left_out(maps: Mapping[str, LinearMap], only: Iterable[str] | None, skip: Iterable[str]) -> set[str]:
    """Names of the linear maps that stay as they were trained."""

    def matching(option: str, patterns: Iterable[str]) -> set[str]:
        patterns = [patterns] if isinstance(patterns, str) else list(patterns)
        found = {pattern: {name for name in maps if fnmatchcase(name, pattern)} for pattern in patterns}
        unknown = [pattern for pattern, names in found.items() if not names]
        if unknown:
            raise InputError(f"{option} names no layer {unknown[0]!r}; expected some of {', '.join(maps)}.")
        return set().union(*found.values())

    left_out = matching("skip", skip) | (set() if only is None else set(maps) - matching("only", only))
    if left_out == set(maps):
        raise InputError("only and skip leave no layer to replace. Name fewer in skip, or more in only.")
    return left_out


def _kept_module(name: str, modules: dict[str, nn.Module]) -> KeptModule:
    module = modules[name]
    form = REGISTRY.modules[matching_class(module, *REGISTRY.modules) or type(module)]
    present = {key: getattr(module, key) for key in form.tensors}
    return KeptModule(
        name=name,
        type=form.module.__name__,
        options=_read_options(module, form.options),
        tensors={key: as_float32(f"{name}.{key}", value) for key, value in present.items() if value is not None},
    )


def _kept_linear_map(name: str, linear: LinearMap, modules: dict[str, nn.Module]) -> KeptModule:
    """A linear map that is left out, as it was trained; a BatchNorm folded into it stays folded."""
    module = modules[name]
    kept = _kept_module(name, modules)
    if isinstance(module, BATCH_NORMS):
        return kept
    return replace(kept, tensors={"weight": linear.weight} | ({} if linear.bias is None else {"bias": linear.bias}))


def _read_options(module: nn.Module, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _as_json(getattr(module, name)) for name in names}


def _as_json(value: Any) -> Any:
    """An option without what JSON lacks: a list for a tuple, a Python number for a numpy number."""
    if isinstance(value, tuple):
        return [_as_json(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value
