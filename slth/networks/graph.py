"""A network as a list of steps: written as JSON, read again, and run as a torch module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from slth.errors import InputError
from slth.networks.operations import ATTRIBUTES, REGISTRY
from slth.networks.sizes import InputSizes, check_sizes

STEP_KINDS = ("input", "constant", "module", "function", "method", "output")


@dataclass(frozen=True)
class Ref:
    """A reference to the value of an earlier step.

    Attributes:
        name: name of that step.
    """

    name: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a network.

    Attributes:
        name: unique in the network.
        kind: ``input``, ``constant`` (a stored tensor), ``module`` (a linear map or a kept module), ``function``,
            ``method`` or ``output``.
        call: path of the module, name of the constant, or name of the function or method in
            :mod:`slth.networks.operations`; "" for inputs and outputs.
        args: positional arguments: literals, :class:`Ref`, and tuples, lists, dicts and slices of them. An ``output``
            has what the network returns; an ``input`` has its default value, or nothing.
        options: keyword arguments, of the same kinds.
    """

    name: str
    kind: str
    call: str = ""
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def references(self) -> Iterator[str]:
        """Names of the steps that this one reads."""
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
        """The step that a description from :meth:`describe` stands for.

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
        if step.kind not in STEP_KINDS:
            raise ValueError(f"step {step.name!r} must be one of {', '.join(STEP_KINDS)}; got {step.kind!r}")
        if step.kind in ("function", "method"):
            REGISTRY.get(step.kind, step.call)
        if step.call == "builtins.getattr" and step.args[1:] not in [(name,) for name in ATTRIBUTES]:
            raise ValueError(f"step {step.name!r} may read no attribute other than {', '.join(ATTRIBUTES)}")
        return step


class GraphNetwork(nn.Module):
    """Steps as a torch module, frozen and in evaluation mode, with the inputs and outputs of their network.

    Args:
        steps: what is computed, in order.
        modules: path → module.
        constants: name → tensor.
        sizes: name of an input → its sizes, with None for a free one; an input that is not there is not checked.
        conditions: conditions on the sizes.
    """

    def __init__(
        self,
        steps: tuple[Step, ...],
        modules: Mapping[str, nn.Module],
        constants: Mapping[str, torch.Tensor],
        sizes: InputSizes | None = None,
        conditions: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.network_sizes = dict(sizes or {})
        self.network_conditions = conditions
        # The prefix keeps these names apart from those of a model's layers, which may be called "steps" or "inputs".
        self.network_steps = steps
        self.network_inputs = tuple(step for step in steps if step.kind == "input")
        self.network_constants = nn.Module()
        self.network_constant_names = {path: f"constant{i}" for i, path in enumerate(constants)}
        # A module comes before those whose path begins with its own.
        for path, module in sorted(modules.items(), key=lambda one: one[0].count(".")):
            container, name = _make_container(self, path)
            container.add_module(name, module)
        for path, value in constants.items():
            self.network_constants.register_buffer(self.network_constant_names[path], value)
        self.requires_grad_(False)
        self.eval()

    def forward(self, *args: Any, **options: Any) -> Any:
        """Run the steps.

        Args:
            *args: inputs by position.
            **options: inputs by name.

        Returns:
            What the network returns: a tensor, or a container of tensors.

        Raises:
            InputError: an input is missing, there is one that the network does not take, or a size is another one
                than the network takes.
        """
        return self.run(args, {}, options)

    def run(self, args: tuple[Any, ...], values: dict[str, Any], options: Mapping[str, Any] | None = None) -> Any:
        """Run the steps, and keep the value of each.

        Args:
            args: inputs by position.
            values: gets name of a step → its value.
            options: inputs by name.

        Returns:
            What the network returns.

        Raises:
            InputError: as when the network is called.
        """
        values |= self.bind(args, options)
        for step in self.network_steps:
            if step.kind == "output":
                return substitute(step.args, values)[0]
            if step.kind != "input":
                values[step.name] = self.compute(step, values)
        raise AssertionError("a network ends with an output")

    def compute(self, step: Step, values: Mapping[str, Any], module: nn.Module | None = None) -> Any:
        """The value of one step.

        Args:
            step: a step that is neither an input nor the output.
            values: name of a step → its value.
            module: what stands in for the module of a step of this kind; None for the network's own.
        """
        args, options = substitute(step.args, values), substitute(dict(step.options), values)
        if step.kind == "module":
            return (module or self.get_submodule(step.call))(*args, **options)
        if step.kind == "function":
            return REGISTRY.functions[step.call](*args, **options)
        if step.kind == "method":
            return getattr(args[0], step.call)(*args[1:], **options)
        return getattr(self.network_constants, self.network_constant_names[step.call])

    def bind(self, args: tuple[Any, ...], options: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The values of the input steps.

        Args:
            args: inputs by position.
            options: inputs by name.

        Returns:
            Name → value.

        Raises:
            InputError: as when the network is called.
        """
        given, names = dict(options or {}), [step.name for step in self.network_inputs]
        values = {step.name: step.args[0] for step in self.network_inputs if step.args}
        values |= dict(zip(names, args, strict=False)) | given
        missing = [name for name in names if name not in values]
        if missing or len(args) > len(names) or set(given) - set(names):
            raise InputError(
                f"the network takes {', '.join(names)}; got {len(args)} positional inputs"
                f"{' and ' + ', '.join(given) if given else ''}. Pass what its target takes."
            )
        # An exporter's own sizes are symbols; it is run on inputs that were checked before.
        if self.network_sizes and not torch.compiler.is_exporting():
            shapes = {name: values[name].shape for name in self.network_sizes if hasattr(values[name], "shape")}
            check_sizes(self.network_sizes, self.network_conditions, shapes)
        return values


def rename_references(value: Any, new_names: Mapping[str, str]) -> Any:
    """A value with its references renamed.

    Args:
        value: literals, :class:`Ref`, and containers of them.
        new_names: old name → new name; other names stay.
    """
    return substitute(value, {old: Ref(new) for old, new in new_names.items()}, keep_others=True)


def _make_container(root: nn.Module, path: str) -> tuple[nn.Module, str]:
    """The module that is to hold ``path``, and the last name of the path; missing modules on the way are added."""
    *parts, name = path.split(".")
    for part in parts:
        if part not in root._modules:
            root.add_module(part, nn.Module())
        child = root._modules[part]
        assert child is not None
        root = child
    return root, name


def substitute(value: Any, values: Mapping[str, Any], keep_others: bool = False) -> Any:
    """A value with every reference replaced by the value that it refers to.

    Args:
        value: literals, :class:`Ref`, and containers of them.
        values: name of a step → its value.
        keep_others: whether references to steps that are not in ``values`` stay.

    Raises:
        KeyError: a reference is not in ``values``, and ``keep_others`` is false.
    """
    if isinstance(value, Ref):
        return values.get(value.name, value) if keep_others else values[value.name]
    if isinstance(value, tuple | list):
        return type(value)(substitute(one, values, keep_others) for one in value)
    if isinstance(value, dict):
        return {name: substitute(one, values, keep_others) for name, one in value.items()}
    if isinstance(value, slice):
        return slice(*(substitute(one, values, keep_others) for one in (value.start, value.stop, value.step)))
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
    raise ValueError(f"{value!r} does not encode a value of a step")
