"""From a torch model to steps, by symbolic tracing (torch.fx): what calls what, and what slth has no step for."""

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

LINEAR = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
# The path of a model that is a single layer.
LONE_LAYER = "layer"
# Options that change where a value lies, not what it is.
_WITHOUT_EFFECT = ("inplace", "memory_format")
# In-place operators, and what they are when they are not.
_IN_PLACE = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}


@dataclass(frozen=True)
class Traced:
    """What a model computes, and what it computes it with.

    Attributes:
        steps: what is computed, in order.
        modules: path → module, under every path that a module has.
        constants: path → parameter or buffer that a step reads directly.
    """

    steps: tuple[Step, ...]
    modules: dict[str, nn.Module]
    constants: dict[str, Any]


def trace(model: nn.Module) -> Traced:
    """Take down what a model computes in evaluation mode; modules keep their paths. The model is left as it was.

    Args:
        model: the model; a single layer gets the path ``layer``.

    Returns:
        Its steps, modules and constants.

    Raises:
        InputError: control flow that depends on values, and, all in one message, everything that is neither linear
            nor in :mod:`slth.networks.operations`.
    """
    if plain_kind(model, *LINEAR, *NORMS, *REGISTRY.modules):
        model = nn.Sequential(OrderedDict({LONE_LAYER: model}))
    training = {module: module.training for module in model.modules()}
    attributes = set(vars(model))
    try:
        steps = _trace_steps(model.eval())
        constants = {step.call: _attribute(model, step.call) for step in steps if step.kind == "constant"}
    finally:
        for module, mode in training.items():
            module.training = mode
        for name in set(vars(model)) - attributes:  # torch.fx leaves tensors that forward makes in the model
            delattr(model, name)
    return Traced(steps, dict(model.named_modules(remove_duplicate=False)), constants)


def _trace_steps(model: nn.Module) -> tuple[Step, ...]:
    try:
        graph = _Tracer().trace(model)
    except Exception as cause:  # user code runs here: whatever it raises is about the model
        raise InputError(
            f"the model cannot be traced: {str(cause).splitlines()[0] if str(cause) else type(cause).__name__} "
            "slth needs a graph that does not depend on the values of its inputs; replace `if`, loops and len() "
            "over tensors, or wrap the part that can be traced."
        ) from cause
    modules = dict(model.named_modules(remove_duplicate=False))
    wrong: list[str] = []
    steps = []
    for node in graph.nodes:
        step = _step(node, modules, wrong)
        if step is not None:
            steps.append(step)
    _find_overwritten(graph, modules, wrong)
    if wrong:
        wrong = list(dict.fromkeys(wrong))
        one = len(wrong) == 1
        raise InputError(
            f"{'a part' if one else f'{len(wrong)} parts'} of the model {'is' if one else 'are'} not supported: "
            f"{'; '.join(wrong)}. slth replaces convolutions, linear layers and BatchNorm, and keeps "
            "element-wise activations, pooling, additions, concatenations and reshapes; replace these parts, wrap the "
            "model without them, or register operations of your own (slth.networks.register)."
        )
    return tuple(steps)


class _Proxy(fx.Proxy):
    """torch.fx takes ``x += y`` for ``x = x + y``, which it is only where nothing else reads x."""

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
        """Proxies that tell in-place operators from others."""
        return _Proxy(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Torch's own layers are leaves, and so are subclasses that only add a constructor."""
        leaves = (*LINEAR, *NORMS, *REGISTRY.modules)
        return plain_kind(m, *leaves) is not None or super().is_leaf_module(m, module_qualified_name)


def plain_kind(module: nn.Module, *kinds: type[nn.Module]) -> type[nn.Module] | None:
    """The one of ``kinds`` that a module computes the same as: a subclass may have a forward of its own."""
    return next((k for k in kinds if isinstance(module, k) and type(module).forward is k.forward), None)


def _attribute(model: nn.Module, path: str) -> Any:
    value: Any = model
    for part in path.split("."):
        value = getattr(value, part)
    return value


def _step(node: fx.Node, modules: dict[str, nn.Module], wrong: list[str]) -> Step | None:
    args, options = _plain(node.args), _plain(dict(node.kwargs))
    if node.op == "placeholder":
        if str(node.target).startswith("*"):
            wrong.append(f"input {node.target} (a variable number of inputs)")
        return Step(name=_name(node), kind="input", args=args)
    if node.op == "output":
        return Step(name=node.name, kind="output", args=args)
    if node.op == "get_attr":
        return Step(name=node.name, kind="constant", call=str(node.target))
    if node.op == "call_module":
        path = str(node.target)
        module = modules[path]
        kind = plain_kind(module, *LINEAR, *NORMS, *REGISTRY.modules)
        if kind is None:
            wrong.append(f"layer {path} ({type(module).__name__})")
        elif getattr(module, "return_indices", False):
            wrong.append(f"layer {path} ({kind.__name__} with return_indices=True, where one output is expected)")
        return Step(name=node.name, kind="module", call=path, args=args, options=options)
    if node.op == "call_method":
        method = str(node.target)
        method = method[:-1] if method.endswith("_") else method
        if REGISTRY.find("method", method) is None:
            wrong.append(f"method Tensor.{method}{_where(node)}")
        options = {name: value for name, value in options.items() if name not in _WITHOUT_EFFECT}
        return Step(name=node.name, kind="method", call=method, args=args, options=options)
    call: Any = node.target
    if call is torch._assert:
        return None
    options = {name: value for name, value in options.items() if name not in _WITHOUT_EFFECT}
    name = REGISTRY.function_names.get(_IN_PLACE.get(call, call), "")
    if not name or (name == "builtins.getattr" and args[1] not in ATTRIBUTES) or options.get("return_indices"):
        wrong.append(f"function {getattr(call, '__name__', call)}{_where(node)}{_advice(call)}")
    return Step(name=node.name, kind="function", call=name, args=args, options=options)


def _plain(value: Any) -> Any:
    """Arguments with nodes as references and torch's immutable containers as ordinary ones."""
    if isinstance(value, fx.Node):
        return Ref(_name(value))
    if isinstance(value, tuple):
        return tuple(_plain(one) for one in value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, slice):
        return slice(*(_plain(one) for one in (value.start, value.stop, value.step)))
    return value


def _name(node: fx.Node) -> str:
    """Torch renames inputs that are called like a Python function; callers pass them by their own name."""
    return str(node.target) if node.op == "placeholder" else node.name


def _where(node: fx.Node) -> str:
    stack = node.meta.get("nn_module_stack")
    path = list(stack.values())[-1][0] if stack else ""
    return f" in {path}" if path else ""


def _advice(call: Any) -> str:
    name = getattr(call, "__name__", "")
    if name in ("linear", "conv1d", "conv2d", "conv3d", "matmul", "bmm", "mm", "addmm", "einsum", "batch_norm"):
        return " (weights given to a function; use the nn.Module of the same name)"
    return ""


def _find_overwritten(graph: fx.Graph, modules: dict[str, nn.Module], wrong: list[str]) -> None:
    """Complain of in-place operations whose old value is an input, or is read again: steps never overwrite."""
    order = {node: i for i, node in enumerate(graph.nodes)}
    base: dict[fx.Node, fx.Node] = {}  # the value whose memory each node's value lies in
    for node in graph.nodes:
        old = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else node
        writes = old is not node and _writes(node, modules) and not _is_size(old)
        views = {old} | {one for one, root in base.items() if writes and root is base[old]}
        operation = _operation(node, modules)
        shares = operation is not None and operation.shares_memory
        base[node] = base[old] if writes or (old is not node and shares) else node
        if not writes:
            continue
        if base[old].op in ("placeholder", "get_attr"):
            wrong.append(f"{node.name} (overwrites {_name(base[old])}, an input of the network)")
        elif any(order[user] > order[node] and not _is_size(user) for view in views for user in view.users):
            wrong.append(f"{node.name} (overwrites {old.name}, which is read again later)")


def _operation(node: fx.Node, modules: dict[str, nn.Module]) -> Operation | None:
    """The operation that a node calls; None for a linear map, an input, or what is not registered."""
    if node.op == "call_module":
        kind = plain_kind(modules[str(node.target)], *REGISTRY.modules)
        return None if kind is None else REGISTRY.find("module", kind.__name__)
    if node.op == "call_method":
        return REGISTRY.find("method", str(node.target))
    if node.op == "call_function":
        return REGISTRY.find("function", REGISTRY.function_names.get(node.target, ""))
    return None


def _is_size(node: fx.Node) -> bool:
    """Whether a value is a shape, a size, or arithmetic with them: reading one reads no memory."""
    if node.op == "call_method" and node.target in ("size", "dim", "numel"):
        return True
    if node.op != "call_function":
        return False
    return node.target is getattr or (bool(node.all_input_nodes) and all(map(_is_size, node.all_input_nodes)))


def _writes(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    operation = _operation(node, modules)
    if operation is not None and isinstance(operation.relaxation, Identity):
        return False  # dropout in place: nothing is dropped in evaluation mode
    if node.op == "call_module":
        return bool(getattr(modules[str(node.target)], "inplace", False))
    if node.op == "call_method":
        return str(node.target).endswith("_")
    return node.op == "call_function" and (node.target in _IN_PLACE or bool(node.kwargs.get("inplace")))
