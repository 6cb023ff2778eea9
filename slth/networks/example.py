"""The check of an example input: the model and its traced graph must give the same outputs on it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from slth.errors import InputError
from slth.networks.target import Target

Range = tuple[float, float]
# Largest difference allowed between an output of the graph and one of the model, relative to the largest entry. Both
# compute in float32, and may add in another order.
RELATIVE_TOLERANCE = 1e-3


def check_example(
    model: nn.Module,
    target: Target,
    example: torch.Tensor | tuple[torch.Tensor, ...],
    input_range: Range | Mapping[str, Range] | None,
) -> None:
    """Check that an example input fits, and that the target computes on it what the model computes.

    Args:
        model: the model that the target was extracted from; it is copied, and stays as it is.
        target: the extracted target.
        example: one input with its batch axis, or a tuple of them for a model of several inputs.
        input_range: (lo, hi) of the model's inputs, or a pair for each input by name; None for any values.

    Raises:
        InputError: the example is no real tensor, lies outside ``input_range`` or does not fit the target; the model
            cannot be copied or overwrites its input; or target and model give different outputs.
    """
    examples = example if isinstance(example, tuple) else (example,)
    names = [step.name for step in target.steps if step.kind == "input"]
    for name, value in zip(names, examples, strict=False):
        if not isinstance(value, torch.Tensor):
            raise InputError(f"example_input must be a torch tensor with a batch axis; got {type(value).__name__}.")
        if value.numel() == 0 or value.is_meta or value.is_complex():
            raise InputError(
                f"example_input must hold at least one real example; got {value.dtype} of shape {tuple(value.shape)} "
                f"on {value.device}. Pass one input with its batch axis, on the CPU."
            )
        span = input_range.get(name) if isinstance(input_range, Mapping) else input_range
        if span is not None:
            low, high = float(value.min()), float(value.max())
            if not (span[0] <= low and high <= span[1]):
                raise InputError(
                    f"example_input must lie in input_range = {tuple(span)}; its values span "
                    f"[{low:.4g}, {high:.4g}]. "
                    "Widen input_range: a wrong one gives a wrong ticket."
                )
    inputs = [value.detach().cpu() for value in examples]
    inputs = [value.float() if value.is_floating_point() else value for value in inputs]
    try:
        model = copy.deepcopy(model).cpu().float().eval()
    except RuntimeError as cause:
        raise InputError(
            f"the model cannot be copied to be run beside its graph: {str(cause).splitlines()[0]} Remove hooks that "
            "compute weights (torch.nn.utils.remove_weight_norm), or leave example_input out."
        ) from cause
    try:
        with torch.no_grad():
            got = _flatten(target.to_module()(*(value.clone() for value in inputs)))
            before = [value.clone() for value in inputs]
            expected = _flatten(model(*inputs))
    except (RuntimeError, ValueError, IndexError, TypeError, InputError) as cause:
        first = target.maps[0]
        raise InputError(
            f"example_input of shape {', '.join(str(tuple(value.shape)) for value in examples)} does not fit the "
            f"target: {str(cause).splitlines()[0]} Pass one input with its batch axis "
            f"(the first layer's weight is {first.weight.shape})."
        ) from cause
    if any(not torch.equal(old, new) for old, new in zip(before, inputs, strict=True)):
        raise InputError("the model overwrites its input, which a ticket never does. Copy it first (x = x.clone()).")
    same = len(got) == len(expected) and all(
        a.shape == b.shape and _agree(a, b) for a, b in zip(got, expected, strict=False)
    )
    if not same:
        raise InputError(
            "the traced graph does not compute what the model computes on example_input: something in the model "
            "depends on values, on randomness or on overwritten tensors. Extract only the part that does not."
        )


def _agree(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors of one shape are equal, up to the tolerance where both hold real numbers."""
    if a.is_floating_point() and b.is_floating_point() and a.numel():
        return bool((a - b).abs().max() <= RELATIVE_TOLERANCE * b.abs().max())
    return torch.equal(a, b)


def _flatten(value: Any) -> list[torch.Tensor]:
    """All tensors in what a network returned, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [one for part in value for one in _flatten(part)] if isinstance(value, tuple | list) else []
