"""The check that a target computes what its model computes as it runs: hooks, parametrisations, modes and all."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from slth.errors import InputError
from slth.networks.sizes import evaluate
from slth.networks.target import Target
from slth.networks.tracing.example import ModelExample, draw, run

# Largest difference allowed between an output of the target and one of the model: so much of the output's standard
# deviation, and so much of its largest entry. Both compute in float32, and may add in another order.
TOLERANCE = 1e-3
ROUNDING = 1e-5
_SEED = 20_232


def check_agreement(example: ModelExample, target: Target, places: Mapping[str, str]) -> None:
    """Run target and model on two inputs, of different values and batch sizes, and compare their outputs.

    Args:
        example: the model and its example inputs.
        target: the extracted target.
        places: path of a module in the model → name of the step that has its output.

    Raises:
        InputError: the outputs differ, or the target cannot run; the message names the first layer whose output
            differs.
    """
    network = target.to_module()
    for inputs in (example.given, _other_inputs(example, target)):
        try:
            expected = run(example.model, inputs)
        except Exception:
            if inputs is example.given:
                raise
            continue  # The model itself does not run at this batch size.
        try:
            with torch.no_grad():
                got = network(*(one.clone() for one in inputs))
        except Exception as cause:
            first = next((line for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
            raise InputError(
                f"the target does not run on inputs of shape {', '.join(str(tuple(one.shape)) for one in inputs)}, "
                f"on which the model runs: {first} Extract the part of the model that does not depend on sizes."
            ) from cause
        if not _same(expected, got) and not _same_in_float64(example.model, network, inputs):
            where = _first_difference(example.model, target, inputs, places)
            raise InputError(
                "the target does not compute what the model computes on an input of shape "
                f"{', '.join(str(tuple(one.shape)) for one in inputs)}{where}. Something in the model depends on "
                "values, on randomness, on a state outside of it or on a lower precision. Extract the part that "
                "does not."
            )


def _other_inputs(example: ModelExample, target: Target) -> tuple[torch.Tensor, ...]:
    """Other inputs: the example backwards, mixed with random numbers in its range, and another number of them."""
    generator = torch.Generator().manual_seed(_SEED)
    names = list(target.sizes)
    count = 1 if example.given[0].shape[0] > 1 else 3
    free = all(size[0] is None for size in target.sizes.values())
    same = len({len(one) for one in example.given}) == 1
    made = []
    for name, one in zip(names, example.given, strict=True):
        shape = (count, *one.shape[1:]) if free and same else tuple(one.shape)
        if one.is_floating_point():
            span = example.input_range
            span = span.get(name) if isinstance(span, Mapping) else span
            noise = draw(shape, span, generator)
            if span is None and float(one.std(correction=0)) > 0:
                noise = noise * one.std(correction=0) + one.mean()
            # Mostly the example, backwards: on pure noise, a network trained on images may amplify any rounding.
            value = 0.75 * one[torch.arange(shape[0]) % len(one)].flip(-1) + 0.25 * noise
        else:
            flat = one.flatten()
            value = flat[torch.randint(len(flat), shape, generator=generator)]
        made.append(value)
    shapes = {name: tuple(one.shape) for name, one in zip(names, made, strict=True)}
    return tuple(made) if all(evaluate(text, shapes) for text in target.conditions) else example.given


def _same(expected: Any, got: Any) -> bool:
    a, b = list(_tensors(expected)), list(_tensors(got))
    return len(a) == len(b) and all(_agree(one, other) for one, other in zip(a, b, strict=True))


def _same_in_float64(model: nn.Module, network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> bool:
    """Whether the outputs are the same in float64: a deep network may amplify the rounding of float32."""
    doubled = tuple(one.double() if one.is_floating_point() else one for one in inputs)
    try:
        with torch.no_grad():
            return _same(run(copy.deepcopy(model).double(), doubled), copy.deepcopy(network).double()(*doubled))
    except Exception:  # The model's own code runs here. One that computes in one precision only is compared in that.
        return False


def _agree(expected: torch.Tensor, got: torch.Tensor) -> bool:
    """Whether two tensors are equal, up to the tolerance where they hold real numbers."""
    if expected.shape != got.shape:
        return False
    if not (expected.is_floating_point() and got.is_floating_point() and expected.numel()):
        return torch.equal(expected, got)
    usual = expected.isfinite()
    if not torch.equal(torch.where(usual, 0, expected).nan_to_num(), torch.where(usual, 0, got).nan_to_num()):
        return False
    expected, got = expected[usual].double(), got[usual].double()
    if not expected.numel():
        return True
    allowed = TOLERANCE * expected.std(correction=0) + ROUNDING * expected.abs().max() + 1e-30
    return bool((expected - got).abs().max() <= allowed)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """All tensors in what a network returned, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _tensors(one)


def _copy(value: Any) -> list[torch.Tensor]:
    """Copies of all tensors, because a later layer may overwrite them."""
    return [one.clone() for one in _tensors(value)]


def _first_difference(
    model: nn.Module, target: Target, inputs: tuple[torch.Tensor, ...], places: Mapping[str, str]
) -> str:
    """The first layer whose output differs, for messages: "; the first layer that differs is …"."""
    seen: dict[str, list[Any]] = {}

    def keep(path: str) -> Callable[..., None]:
        return lambda _module, _inputs, out: seen.setdefault(path, []).append(_copy(out))

    handles = [module.register_forward_hook(keep(path)) for path, module in model.named_modules() if path in places]
    try:
        run(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    values: dict[str, Any] = {}
    with torch.no_grad():
        target.to_module().run(inputs, values)
    for path, outputs in seen.items():
        if len(outputs) == 1 and places[path] in values and not _same(outputs[0], values[places[path]]):
            return f"; the first layer whose output differs is {path or 'the whole model'}"
    return ""
