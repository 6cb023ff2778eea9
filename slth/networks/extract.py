"""Extraction: a torch model becomes a target, whose linear maps a ticket replaces and whose other parts stay.

The operations that the model really runs are recorded on an example input (:mod:`slth.networks.tracing`).
Convolutions, linear layers and embeddings become linear maps (:class:`~slth.networks.linear_map.LinearMap`). A
BatchNorm is folded into the map before it, or becomes a depthwise map by itself. Everything else stays as it is. The
target is then run beside the model: a target that computes anything else is refused.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

import torch
from torch import nn

from slth.errors import InputError
from slth.networks.folding import as_constant
from slth.networks.graph import Step
from slth.networks.kept_module import KeptModule, kept_layer, kept_leaf
from slth.networks.linear_map import LinearMap
from slth.networks.signs import Range, check_ranges, input_signs, map_signs
from slth.networks.target import Target, as_recorded
from slth.networks.tracing.agreement import check_agreement
from slth.networks.tracing.example import ModelExample, make_example
from slth.networks.tracing.guards import free_sizes, only_refuses_one
from slth.networks.tracing.linear_layers import LinearLayers, find_linear_layers
from slth.networks.tracing.lowering import lower
from slth.networks.tracing.program import record
from slth.networks.tracing.wrappers import unwrap


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
        model: any module that ``torch.export`` can record, with hooks and parametrisations as they are. It may hold
            convolutions and transposed convolutions (any stride, dilation, padding mode and groups), linear layers,
            products with stored matrices, embeddings, BatchNorm, attention, and what
            :mod:`slth.networks.operations` lists. The target computes what the model computes in evaluation mode,
            with float64 weights rounded to float32. DataParallel and ``torch.compile`` are unwrapped.
        example_input: one input with its batch axis, or a tuple of them for a model of several inputs. The model is
            recorded and checked on it; values must lie within ``input_range``. None derives an input from the first
            layer, for a model of one input; ``Target.example_shapes`` then states its shape.
        input_range: (lo, hi) of the model's inputs, or a pair for each input by name; None if values of any sign may
            come. Non-negative inputs need only the positive sign group.
        only: names or patterns (``layer1.*``) of the linear layers to replace; None for all.
        skip: names or patterns of linear layers to leave as they were trained.

    Returns:
        A :class:`Target`. A layer that is used several times is one map, and so are layers that share their weights.
        ``coverage`` is the fraction of the trained numbers that the maps hold. ``sizes`` says which sizes of the
        inputs are fixed, and ``conditions`` what the others must satisfy.

    Raises:
        InputError: the model has parts that can be neither replaced nor kept (the message names all of them) or no
            linear layer; weights are empty, not finite or beyond float32; the example does not fit; the model
            overwrites its input; or the target does not compute what the model computes (the message names the first
            layer whose output differs).

    Source: dacunha2023
    """
    model = unwrap(model)
    only = None if only is None else _patterns(only)
    check_ranges(input_range)
    example = make_example(model, example_input, input_range)
    program = record(example.model, example.inputs)
    lowered = lower(program)
    input_signs(lowered.steps, input_range)  # refuses a range of an input that is not there
    layers = find_linear_layers(lowered)
    if not layers.maps:
        raise InputError("the target has no conv or linear layer: there is nothing to approximate. Check the model.")
    steps, kept = _leave_out(layers, _names_left_out(layers.maps, only, skip))
    steps = _without_unused_constants(steps)
    kept |= {path: kept_leaf(path, example.model) for path in program.leaves}
    read = {step.call for step in steps if step.kind == "constant"}
    constants = {name: as_constant(name, value) for name, value in lowered.constants.items() if name in read}
    signs = map_signs(steps, input_range, kept, constants)
    sizes, conditions = free_sizes(program.sizes, program.guards, example.given)
    target = Target(
        steps=steps,
        maps=tuple(
            replace(one, signs=signs[name]) for name, one in layers.maps.items() if name in signs and name not in kept
        ),
        modules=tuple(kept.values()),
        constants=constants,
        input_range=as_recorded(input_range),
        sizes=sizes,
        conditions=conditions,
        example_shapes=example.shapes,
        example_types=tuple(str(one.dtype).removeprefix("torch.") for one in example.given),
        binding="all",
    )
    try:
        target.hash()
    except TypeError as cause:
        raise InputError(f"the target cannot be written to a file: {cause}. Use plain numbers and tuples.") from cause
    return _checked(example, target, layers.places)


def _checked(example: ModelExample, target: Target, places: Mapping[str, str]) -> Target:
    """The target, if it computes what the model computes; it takes a single example too, if it does so there.

    ``torch.export`` often assumes that there is more than one example, where that changes nothing.
    """
    assumed = tuple(text for text in target.conditions if only_refuses_one(text))
    if assumed:
        wider = replace(target, conditions=tuple(text for text in target.conditions if text not in assumed))
        with contextlib.suppress(InputError):
            check_agreement(example, wider, places)
            return wider
    check_agreement(example, target, places)
    return target


def _patterns(names: Iterable[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _names_left_out(maps: Mapping[str, LinearMap], only: list[str] | None, skip: Iterable[str]) -> set[str]:
    """Names of the linear maps that stay as they were trained."""

    def matching(option: str, patterns: list[str]) -> set[str]:
        found = {pattern: {name for name in maps if fnmatchcase(name, pattern)} for pattern in patterns}
        unknown = [pattern for pattern, names in found.items() if not names]
        if unknown:
            raise InputError(f"{option} names no layer {unknown[0]!r}; expected some of {', '.join(maps)}.")
        return set().union(*found.values())

    left_out = matching("skip", _patterns(skip)) | (set() if only is None else set(maps) - matching("only", only))
    if left_out == set(maps):
        raise InputError("only and skip leave no layer to replace. Name fewer in skip, or more in only.")
    return left_out


def _leave_out(layers: LinearLayers, names: set[str]) -> tuple[tuple[Step, ...], dict[str, KeptModule]]:
    """The steps with the layers that are left out as they were, and these layers as kept modules by path."""
    steps = tuple(
        replace(layers.norms[step.call], name=step.name, args=step.args)
        if step.kind == "module" and step.call in names and step.call in layers.norms
        else step
        for step in layers.steps
    )
    kept = {name: kept_layer(one) for name, one in layers.maps.items() if name in names and name not in layers.norms}
    return steps, kept


def _without_unused_constants(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps without those that read a tensor which no other step needs, such as the weight of a linear map."""
    read = {name for step in steps for name in step.references()}
    return tuple(step for step in steps if step.kind != "constant" or step.name in read)
