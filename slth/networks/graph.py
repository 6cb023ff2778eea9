"""A network as a list of steps, as JSON, and as a torch module that takes them one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from slth.errors import InputError
from slth.networks.operations import ATTRIBUTES, REGISTRY

STEPS = ("input", "constant", "module", "function", "method", "output")


@dataclass(frozen=True)
class Ref:
    """The value of an earlier step, by name."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a network.

    Attributes:
        name: unique in the network.
        kind: ``input``, ``constant`` (a stored tensor), ``module`` (a linear map or a kept module), ``function``,
            ``method`` or ``output``.
        call: the module's path, the function's or method's name in :mod:`slth.networks.operations`, or the
            constant's name; "" otherwise.
        args: positional arguments: literals, :class:`Ref`, and tuples, lists, dicts, slices of them. Those of
            ``output`` are what the network returns; those of ``input`` its default, if it has one.
        options: keyword arguments, of the same kinds.
    """

    name: str
    kind: str
    call: str = ""
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def references(self) -> Iterator[str]:
        """Names of the steps this one reads."""
        yield from _references((self.args, dict(self.options)))

    def describe(self) -> dict[str, Any]:
        """The step as JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "call": self.call,
            "args": [_encode(value) for value in self.args],
            "options": {name: _encode(value) for name, value in self.options.items()},
        }

    @staticmethod
    def from_description(data: dict[str, Any]) -> Step:
        """The step that :meth:`describe` described.

        Raises:
            ValueError: the description is malformed.
            UnregisteredError: it calls a function or method that is not registered.
        """
        step = Step(
            name=str(data["name"]),
            kind=data["kind"],
            call=str(data["call"]),
            args=tuple(_decode(value) for value in data["args"]),
            options={str(name): _decode(value) for name, value in data["options"].items()},
        )
        if step.kind not in STEPS:
            raise ValueError(f"step {step.name!r} must be one of {', '.join(STEPS)}; got {step.kind!r}")
        if step.kind in ("function", "method"):
            REGISTRY.get(step.kind, step.call)
        if step.call == "builtins.getattr" and step.args[1:] not in [(name,) for name in ATTRIBUTES]:
            raise ValueError(f"step {step.name!r} reads an attribute other than {', '.join(ATTRIBUTES)}")
        return step


class GraphNetwork(nn.Module):
    """The steps as a module: same inputs and outputs as the network they were taken from.

    Args:
        steps: what is computed, in order.
        modules: path → module.
        constants: name → tensor.

    Everything is frozen and in evaluation mode.
    """

    def __init__(
        self, steps: tuple[Step, ...], modules: Mapping[str, nn.Module], constants: Mapping[str, torch.Tensor]
    ) -> None:
        super().__init__()
        # Names that no layer of a model has: a model's own "steps" or "inputs" keeps its path.
        self.network_steps = steps
        self.network_inputs = tuple(step for step in steps if step.kind == "input")
        self.network_constants = nn.Module()
        self.network_places = {path: f"constant{i}" for i, path in enumerate(constants)}
        for path, module in modules.items():
            owner, name = _owner(self, path)
            owner.add_module(name, module)
        for path, value in constants.items():
            self.network_constants.register_buffer(self.network_places[path], value)
        self.requires_grad_(False)
        self.eval()

    def forward(self, *args: Any, **options: Any) -> Any:
        values = self._bind(args, options)
        for step in self.network_steps:
            if step.kind == "input":
                continue
            given = fill(step.args, values)
            if step.kind == "output":
                return given[0]
            named = fill(dict(step.options), values)
            if step.kind == "module":
                values[step.name] = self.get_submodule(step.call)(*given, **named)
            elif step.kind == "function":
                values[step.name] = REGISTRY.functions[step.call](*given, **named)
            elif step.kind == "method":
                values[step.name] = getattr(given[0], step.call)(*given[1:], **named)
            else:
                values[step.name] = getattr(self.network_constants, self.network_places[step.call])
        raise AssertionError("a network ends with an output")

    def _bind(self, args: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
        names = [step.name for step in self.network_inputs]
        values: dict[str, Any] = {step.name: step.args[0] for step in self.network_inputs if step.args}
        values |= dict(zip(names, args, strict=False)) | options
        missing = [name for name in names if name not in values]
        if missing or len(args) > len(names) or set(options) - set(names):
            raise InputError(
                f"the network takes {', '.join(names)}; got {len(args)} positional inputs"
                f"{' and ' + ', '.join(options) if options else ''}. Pass what its target takes."
            )
        return values


def resolve(value: Any, change: Mapping[str, str]) -> Any:
    """A value with its references renamed.

    Args:
        value: literals, :class:`Ref`, and containers of them.
        change: old name → new name; names that are not in it stay.
    """
    return fill(value, {name: Ref(new) for name, new in change.items()}, keep=True)


def _owner(root: nn.Module, path: str) -> tuple[nn.Module, str]:
    """The module that holds ``path``, made of empty modules where it is not there yet, and the last name."""
    *parts, name = path.split(".")
    for part in parts:
        if part not in root._modules:
            root.add_module(part, nn.Module())
        child = root._modules[part]
        assert child is not None
        root = child
    return root, name


def fill(value: Any, values: Mapping[str, Any], keep: bool = False) -> Any:
    """A value with every reference replaced by what it refers to.

    Args:
        value: literals, :class:`Ref`, and containers of them.
        values: name → what it refers to.
        keep: whether a reference that is not in ``values`` stays; otherwise it is an error.
    """
    if isinstance(value, Ref):
        return values.get(value.name, value) if keep else values[value.name]
    if isinstance(value, tuple | list):
        return type(value)(fill(one, values, keep) for one in value)
    if isinstance(value, dict):
        return {name: fill(one, values, keep) for name, one in value.items()}
    if isinstance(value, slice):
        return slice(*(fill(one, values, keep) for one in (value.start, value.stop, value.step)))
    return value


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Ref):
        yield value.name
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _references(one)
    elif isinstance(value, dict):
        yield from _references(list(value.values()))
    elif isinstance(value, slice):
        yield from _references([value.start, value.stop, value.step])


def _encode(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Ref):
        return {"ref": value.name}
    if isinstance(value, tuple | list):
        return {"tuple" if isinstance(value, tuple) else "list": [_encode(one) for one in value]}
    if isinstance(value, dict):
        return {"dict": [[_encode(name), _encode(one)] for name, one in value.items()]}
    if isinstance(value, slice):
        return {"slice": [_encode(one) for one in (value.start, value.stop, value.step)]}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    raise TypeError(f"{value!r} cannot be written to a file")


def _decode(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "ref":
        return Ref(str(content))
    if kind in ("tuple", "list"):
        return (tuple if kind == "tuple" else list)(_decode(one) for one in content)
    if kind == "dict":
        return {_decode(name): _decode(one) for name, one in content}
    if kind == "slice":
        return slice(*(_decode(one) for one in content))
    if kind == "ellipsis":
        return Ellipsis
    if kind == "dtype" and isinstance(dtype := vars(torch).get(str(content)), torch.dtype):
        return dtype
    raise ValueError(f"{value!r} is not a value of a network")
