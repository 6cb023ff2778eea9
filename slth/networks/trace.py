"""Tracing: a torch model becomes a list of steps, by torch.fx; parts that slth does not support are refused."""

from __future__ import annotations

import operator
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from slth.errors import InputError
from slth.networks.graph import Ref, Step
from slth.networks.operations import ATTRIBUTES, REGISTRY, Operation
from slth.networks.operations.operation import Identity

LINEAR_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
# The path of a model that is a single layer.
SINGLE_LAYER_PATH = "layer"
# Options that change where a value lies in memory, and not the value.
_MEMORY_OPTIONS = ("inplace", "memory_format")
# In-place operator → the operator that makes a new tensor.
_IN_PLACE_OPERATORS = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}


@dataclass(frozen=True)
class Traced:
    """A traced model.

    Attributes:
        steps: what is computed, in order.
        modules: path → module; a module with several paths is there under each.
        constants: path → parameter or buffer that a step reads directly.
    """

    steps: tuple[Step, ...]
    modules: dict[str, nn.Module]
    constants: dict[str, Any]


def trace(model: nn.Module) -> Traced:
    """Record what a model computes in evaluation mode. The model itself does not change.

    Args:
        model: the model; a single layer gets the path ``layer``.

    Returns:
        The model's steps, modules and constants; modules keep their paths.

    Raises:
        InputError: control flow depends on values, or the model has parts that are neither linear nor in
            :mod:`slth.networks.operations`; the message names all of them.
    """
    if matching_class(model, *LINEAR_LAYERS, *BATCH_NORMS, *REGISTRY.modules):
        model = nn.Sequential(OrderedDict({SINGLE_LAYER_PATH: model}))
    training = {module: module.training for module in model.modules()}
    attributes = set(vars(model))
    try:
        steps = _trace_steps(model.eval())
        constants = {step.call: _get_attribute(model, step.call) for step in steps if step.kind == "constant"}
    finally:
        for module, mode in training.items():
            module.training = mode
        for name in set(vars(model)) - attributes:  # torch.fx stores tensors that forward creates here
            delattr(model, name)
    return Traced(steps, dict(model.named_modules(remove_duplicate=False)), constants)


def _trace_steps(model: nn.Module) -> tuple[Step, ...]:
    try:
        graph = _Tracer().trace(model)
    except Exception as cause:  # The model's own code runs here and may raise anything.
        raise InputError(
            f"the model cannot be traced: {str(cause).splitlines()[0] if str(cause) else type(cause).__name__} "
            "slth needs a graph that does not depend on the values of its inputs; replace `if`, loops and len() "
            "over tensors, or extract only the part that can be traced."
        ) from cause
    modules = dict(model.named_modules(remove_duplicate=False))
    unsupported: list[str] = []
    steps = [_make_step(node, modules, unsupported) for node in graph.nodes if node.target is not torch._assert]
    _report_overwrites(graph, modules, unsupported)
    if unsupported:
        unsupported = list(dict.fromkeys(unsupported))
        one = len(unsupported) == 1
        raise InputError(
            f"{'a part' if one else f'{len(unsupported)} parts'} of the model {'is' if one else 'are'} not supported: "
            f"{'; '.join(unsupported)}. slth replaces convolutions, linear layers and BatchNorm, and keeps "
            "element-wise activations, pooling, additions, concatenations and reshapes; replace these parts, extract "
            "the model without them, or register operations of your own (slth.networks.register)."
        )
    return tuple(steps)


class _Proxy(fx.Proxy):
    """A proxy that records ``x += y`` as it is written; torch.fx alone would record ``x = x + y``."""

    def __iadd__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.iadd, (self, other), {})

    def __isub__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.isub, (self, other), {})

    def __imul__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.imul, (self, other), {})

    def __itruediv__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.itruediv, (self, other), {})


class _Tracer(fx.Tracer):
    def proxy(self, node: fx.Node) -> fx.Proxy:
        """A proxy that records in-place operators as such."""
        return _Proxy(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module becomes one step: a layer of torch or a registered one, or a subclass with its forward.

        Args:
            m: the module.
            module_qualified_name: its path.
        """
        leaves = (*LINEAR_LAYERS, *BATCH_NORMS, *REGISTRY.modules)
        return matching_class(m, *leaves) is not None or super().is_leaf_module(m, module_qualified_name)


def matching_class(module: nn.Module, *classes: type[nn.Module]) -> type[nn.Module] | None:
    """The first class that a module is an instance of and whose forward it uses unchanged.

    Args:
        module: the module.
        *classes: the classes to choose from; a special class stands before a general one.

    Returns:
        The class, or None if the module computes something else.
    """
    return next((one for one in classes if isinstance(module, one) and type(module).forward is one.forward), None)


def _get_attribute(model: nn.Module, path: str) -> Any:
    value: Any = model
    for part in path.split("."):
        value = getattr(value, part)
    return value


def _make_step(node: fx.Node, modules: dict[str, nn.Module], unsupported: list[str]) -> Step:
    """The step of a node; what slth does not support is added to ``unsupported``."""
    args, options = _with_references(node.args), _with_references(dict(node.kwargs))
    if node.op == "placeholder":
        if str(node.target).startswith("*"):
            unsupported.append(f"input {node.target} (a variable number of inputs)")
        return Step(name=_step_name(node), kind="input", args=args)
    if node.op == "output":
        return Step(name=node.name, kind="output", args=args)
    if node.op == "get_attr":
        return Step(name=node.name, kind="constant", call=str(node.target))
    if node.op == "call_module":
        path = str(node.target)
        module = modules[path]
        kind = matching_class(module, *LINEAR_LAYERS, *BATCH_NORMS, *REGISTRY.modules)
        if kind is None:
            unsupported.append(f"layer {path} ({type(module).__name__})")
        elif getattr(module, "return_indices", False):
            unsupported.append(f"layer {path} ({kind.__name__} with return_indices=True, where one output is expected)")
        return Step(name=node.name, kind="module", call=path, args=args, options=options)
    if node.op == "call_method":
        method = str(node.target)
        method = method[:-1] if method.endswith("_") else method
        if REGISTRY.find("method", method) is None:
            unsupported.append(f"method Tensor.{method}{_location(node)}")
        options = {name: value for name, value in options.items() if name not in _MEMORY_OPTIONS}
        return Step(name=node.name, kind="method", call=method, args=args, options=options)
    call: Any = node.target
    options = {name: value for name, value in options.items() if name not in _MEMORY_OPTIONS}
    name = REGISTRY.function_names.get(_IN_PLACE_OPERATORS.get(call, call), "")
    if not name or (name == "builtins.getattr" and args[1] not in ATTRIBUTES) or options.get("return_indices"):
        unsupported.append(f"function {getattr(call, '__name__', call)}{_location(node)}{_module_hint(call)}")
    return Step(name=node.name, kind="function", call=name, args=args, options=options)


def _with_references(value: Any) -> Any:
    """An argument with a reference for each node, and ordinary containers for torch's immutable ones."""
    if isinstance(value, fx.Node):
        return Ref(_step_name(value))
    if isinstance(value, tuple):
        return tuple(_with_references(one) for one in value)
    if isinstance(value, list):
        return [_with_references(one) for one in value]
    if isinstance(value, dict):
        return {name: _with_references(one) for name, one in value.items()}
    if isinstance(value, slice):
        return slice(*(_with_references(one) for one in (value.start, value.stop, value.step)))
    return value


def _step_name(node: fx.Node) -> str:
    """The name of a node's step. An input keeps the model's name: torch renames one that is named like a built-in."""
    return str(node.target) if node.op == "placeholder" else node.name


def _location(node: fx.Node) -> str:
    """Where a node is, for messages: " in" and the path of its module; empty for the model itself."""
    stack = node.meta.get("nn_module_stack")
    path = list(stack.values())[-1][0] if stack else ""
    return f" in {path}" if path else ""


def _module_hint(call: Any) -> str:
    """Advice for a function that takes weights, which slth supports as a module; empty for other functions."""
    name = getattr(call, "__name__", "")
    if name in ("linear", "conv1d", "conv2d", "conv3d", "matmul", "bmm", "mm", "addmm", "einsum", "batch_norm"):
        return " (weights given to a function; use the nn.Module of the same name)"
    return ""


def _report_overwrites(graph: fx.Graph, modules: dict[str, nn.Module], unsupported: list[str]) -> None:
    """Report every in-place operation that overwrites an input, or a value that is read later.

    A step never overwrites a value, so such a model would compute something else than its steps.
    """
    order = {node: i for i, node in enumerate(graph.nodes)}
    base: dict[fx.Node, fx.Node] = {}  # node → the node whose memory holds its value
    for node in graph.nodes:
        old = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else node
        writes = old is not node and _writes_in_place(node, modules) and not _is_size(old)
        views = {old} | {one for one, root in base.items() if writes and root is base[old]}
        operation = _find_operation(node, modules)
        shares = operation is not None and operation.shares_memory
        base[node] = base[old] if writes or (old is not node and shares) else node
        if not writes:
            continue
        if base[old].op in ("placeholder", "get_attr"):
            unsupported.append(f"{node.name} (overwrites {_step_name(base[old])}, an input of the network)")
        elif any(order[user] > order[node] and not _is_size(user) for view in views for user in view.users):
            unsupported.append(f"{node.name} (overwrites {old.name}, which is read again later)")


def _find_operation(node: fx.Node, modules: dict[str, nn.Module]) -> Operation | None:
    """The registered operation that a node calls; None for linear maps and inputs."""
    if node.op == "call_module":
        kind = matching_class(modules[str(node.target)], *REGISTRY.modules)
        return None if kind is None else REGISTRY.find("module", kind.__name__)
    if node.op == "call_method":
        return REGISTRY.find("method", str(node.target))
    if node.op == "call_function":
        return REGISTRY.find("function", REGISTRY.function_names.get(node.target, ""))
    return None


def _is_size(node: fx.Node) -> bool:
    """Whether a value is computed from shapes and sizes alone, so that reading it reads no tensor."""
    if node.op == "call_method" and node.target in ("size", "dim", "numel"):
        return True
    if node.op != "call_function":
        return False
    return node.target is getattr or (bool(node.all_input_nodes) and all(map(_is_size, node.all_input_nodes)))


def _writes_in_place(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    operation = _find_operation(node, modules)
    if operation is not None and isinstance(operation.relaxation, Identity):
        return False  # Dropout in place changes nothing in evaluation mode.
    if node.op == "call_module":
        return bool(getattr(modules[str(node.target)], "inplace", False))
    if node.op == "call_method":
        return str(node.target).endswith("_")
    return node.op == "call_function" and (node.target in _IN_PLACE_OPERATORS or bool(node.kwargs.get("inplace")))
