"""From a torch model to a target: which parts become random blocks, and what stays between them.

The model is traced (:mod:`slth.networks.trace`). Convolutions and linear layers become linear maps
(:class:`~slth.networks.linear_map.LinearMap`). BatchNorm is folded into the map before it, or becomes a depthwise map
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
from slth.networks.folding import as_constant, as_float32, as_map, fold
from slth.networks.graph import Ref, Step, resolve
from slth.networks.kept_module import KeptModule
from slth.networks.linear_map import LinearMap
from slth.networks.operations import REGISTRY
from slth.networks.signs import map_signs
from slth.networks.target import Target
from slth.networks.trace import LINEAR, NORMS, plain_kind, trace


def extract(
    model: nn.Module,
    *,
    example_input: torch.Tensor | tuple[torch.Tensor, ...] | None = None,
    input_range: Range | Mapping[str, Range] | None = None,
    only: Iterable[str] | None = None,
    skip: Iterable[str] = (),
) -> Target:
    """Take a model apart into linear maps, to be replaced by random blocks, and the graph around them.

    Args:
        model: any module that ``torch.fx`` can trace, of Conv1d/2d/3d (stride, dilation, padding modes, groups),
            Linear, BatchNorm, element-wise activations, pooling, additions, concatenations and reshapes. Evaluation
            mode is assumed throughout; float64 weights are rounded to float32, and the target is that network.
        example_input: one input with its batch axis (a tuple for a model of several). The graph is run on it beside
            the model: shapes, values within ``input_range``, and outputs that agree.
        input_range: (lo, hi) of the model's inputs, or one for each name; None when values of any sign may come.
            Non-negative inputs need only the positive sign group.
        only, skip: names or patterns (``layer1.*``) of linear layers to replace, or to leave as they were trained.

    Returns:
        A :class:`Target`. A layer used several times, or whose weights several layers share, is one map. Its
        ``coverage`` is the fraction of trained numbers that maps hold.

    Raises:
        InputError: what cannot be replaced or kept (all of it named at once), no linear layer, weights that are not
            finite, empty or beyond float32, an example that does not fit, a model that overwrites its input.

    Source: dacunha2023
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model must be a torch.nn.Module; got {type(model).__name__}. Pass the network itself.")
    traced = trace(model)
    modules = traced.modules
    constants = {name: as_constant(name, value) for name, value in traced.constants.items()}
    steps, maps = _linear_maps(_share(traced.steps, modules), modules)
    if not maps:
        raise InputError("the target has no conv or linear layer: there is nothing to approximate. Check the model.")
    left_out = _left_out(maps, only, skip)
    kept = {step.call: _kept(step.call, modules) for step in steps if step.kind == "module" and step.call not in maps}
    kept |= {name: _as_kept(name, maps[name], modules) for name in left_out}
    signs = map_signs(steps, input_range, kept, constants)
    target = Target(
        steps=steps,
        maps=tuple(replace(linear, signs=signs[name]) for name, linear in maps.items() if name not in kept),
        modules=tuple(kept.values()),
        constants=constants,
    )
    try:
        target.hash()
    except TypeError as cause:
        raise InputError(f"the target cannot be written to a file: {cause}. Use plain numbers and tuples.") from cause
    if example_input is not None:
        check_example(model, target, example_input, input_range)
    return target


def _share(steps: tuple[Step, ...], modules: dict[str, nn.Module]) -> tuple[Step, ...]:
    """Steps in which linear layers that hold the same parameters go by one name: they share one ticket block."""
    first: dict[Any, str] = {}
    held = []  # a parametrised layer computes its weight at every access: while it is held, no other gets its id
    shared = []
    for step in steps:
        module = modules.get(step.call) if step.kind == "module" else None
        if isinstance(module, LINEAR):
            tensors = module.weight, module.bias
            held.append(tensors)
            key = (*map(id, tensors), str(_conv_options(module)), getattr(module, "groups", 1))
            step = replace(step, call=first.setdefault(key, step.call))
        shared.append(step)
    return tuple(shared)


def _linear_maps(
    steps: tuple[Step, ...], modules: dict[str, nn.Module]
) -> tuple[tuple[Step, ...], dict[str, LinearMap]]:
    """The linear maps by path, in the order of their first use, and the steps without the BatchNorms folded in."""
    maps: dict[str, LinearMap] = {}
    by_name = {step.name: step for step in steps}
    renamed: dict[str, str] = {}
    for step in steps:
        module = modules.get(step.call) if step.kind == "module" else None
        if isinstance(module, LINEAR) and step.call not in maps:
            maps[step.call] = _linear_map(step.call, module)
        elif isinstance(module, NORMS):
            before = by_name[step.args[0].name] if step.args and isinstance(step.args[0], Ref) else step
            if before.call in maps and _only_pair(before.call, step.call, steps):
                if step.name not in renamed:
                    maps[before.call] = fold(maps[before.call], step.call, module)
                    renamed[step.name] = before.name
            elif step.call not in maps:
                maps[step.call] = as_map(step.call, module)
    kept = (step for step in steps if step.name not in renamed)
    return tuple(
        replace(step, args=resolve(step.args, renamed), options=resolve(dict(step.options), renamed)) for step in kept
    ), maps


def _only_pair(linear: str, norm: str, steps: tuple[Step, ...]) -> bool:
    """Whether a linear layer and a BatchNorm are used once each, one right after the other and by nothing else."""
    first = [step for step in steps if step.call == linear]
    second = [step for step in steps if step.call == norm]
    readers = [step for step in steps if first and first[0].name in step.references()]
    return len(first) == len(second) == len(readers) == 1 and readers[0] is second[0]


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
    return {} if isinstance(module, nn.Linear) else _options(module, ("stride", "padding", "dilation", "padding_mode"))


def _left_out(maps: Mapping[str, LinearMap], only: Iterable[str] | None, skip: Iterable[str]) -> set[str]:
    """Names of the linear maps that stay as they were trained."""

    def chosen(option: str, patterns: Iterable[str]) -> set[str]:
        patterns = [patterns] if isinstance(patterns, str) else list(patterns)
        found = {pattern: {name for name in maps if fnmatchcase(name, pattern)} for pattern in patterns}
        unknown = [pattern for pattern, names in found.items() if not names]
        if unknown:
            raise InputError(f"{option} names no layer {unknown[0]!r}; expected some of {', '.join(maps)}.")
        return set().union(*found.values())

    left = chosen("skip", skip) | (set() if only is None else set(maps) - chosen("only", only))
    if left == set(maps):
        raise InputError("only and skip leave no layer to replace. Name fewer in skip, or more in only.")
    return left


def _kept(name: str, modules: dict[str, nn.Module]) -> KeptModule:
    module = modules[name]
    form = REGISTRY.modules[plain_kind(module, *REGISTRY.modules) or type(module)]
    present = {key: getattr(module, key) for key in form.tensors}
    return KeptModule(
        name=name,
        type=form.module.__name__,
        options=_options(module, form.options),
        tensors={key: as_float32(f"{name}.{key}", value) for key, value in present.items() if value is not None},
    )


def _as_kept(name: str, linear: LinearMap, modules: dict[str, nn.Module]) -> KeptModule:
    """A linear map that is left out: as it was trained, the BatchNorm after it folded in."""
    module = modules[name]
    kept = _kept(name, modules)
    if isinstance(module, NORMS):
        return kept
    return replace(kept, tensors={"weight": linear.weight} | ({} if linear.bias is None else {"bias": linear.bias}))


def _options(module: nn.Module, names: tuple[str, ...]) -> dict[str, Any]:
    values = {name: getattr(module, name) for name in names}
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    """An option as JSON has it: no tuples, no numpy numbers."""
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value
