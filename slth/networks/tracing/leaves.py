"""Leaves: modules of a user's own registered operations, which stay whole when a model is recorded."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from slth.errors import InputError
from slth.networks.operations import REGISTRY

# The modules of the model that is being recorded, and their own forward functions.
_current: list[tuple[nn.Module, Any]] = []


@contextmanager
def leaves_of(model: nn.Module) -> Iterator[tuple[str, ...]]:
    """Make every registered module of a user one operation ``slth::leaf``; the caller restores the model's attributes.

    Args:
        model: the model that is to be recorded.

    Yields:
        Paths of the leaves, in the order of their numbers.
    """
    found = [(name, one) for name, one in model.named_modules() if own_class(one) is not None]
    _current[:] = [(module, module.forward) for _, module in found]
    if found:
        _operator()
    for number, (name, module) in enumerate(found):
        module.forward = functools.partial(_call, number, name)
    try:
        yield tuple(name for name, _ in found)
    finally:
        for module, forward in _current:
            vars(module).pop("forward", None)
            if module.forward != forward:
                module.forward = forward
        _current.clear()


def own_class(module: nn.Module) -> type[nn.Module] | None:
    """The class that a user registered and whose forward a module uses unchanged; None if there is none.

    Args:
        module: the module.
    """
    own = REGISTRY.own_modules
    return next((one for one in own if isinstance(module, one) and type(module).forward is one.forward), None)


def _call(number: int, name: str, *inputs: Any, **options: Any) -> Any:
    """What a leaf does in place of its forward."""
    if options or not all(isinstance(one, torch.Tensor) for one in inputs):
        raise InputError(f"layer {name} is a registered operation and must take tensors by position only. Wrap it.")
    parameters = [*_current[number][0].parameters(), *_current[number][0].buffers()]
    return torch.ops.slth.leaf(list(inputs), parameters, number)


class _Bare(nn.Module):
    """A leaf's own forward, without the hooks of the leaf: these run around the operator already."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.leaf, self.own_forward = _current[number]

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.own_forward(*inputs)


def _run(inputs: list[torch.Tensor], parameters: list[torch.Tensor], number: int) -> torch.Tensor:
    bare = _Bare(number)
    names = [name for name, _ in (*bare.named_parameters(), *bare.named_buffers())]
    out: torch.Tensor = functional_call(bare, dict(zip(names, parameters, strict=True)), tuple(inputs))
    # An operator may not return its input itself.
    return out.clone() if any(out is one for one in inputs) else out


@functools.cache
def _operator() -> torch.library.Library:
    """Define ``slth::leaf`` once."""
    library = torch.library.Library("slth", "DEF")
    library.define("leaf(Tensor[] inputs, Tensor[] parameters, int number) -> Tensor")
    torch.library.impl("slth::leaf", "CompositeExplicitAutograd", _run, lib=library)
    torch.library.register_fake("slth::leaf", _run, lib=library)
    return library
