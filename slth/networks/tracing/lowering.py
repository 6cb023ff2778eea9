"""Lowering: a recorded program becomes steps of registered operations and the tensors that they read.

What does not depend on the inputs is computed here, once: weight normalisation, masks, tables of positions.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.utils import _pytree as pytree

from slth.errors import InputError
from slth.networks.graph import Ref, Step
from slth.networks.operations import REGISTRY
from slth.networks.tracing.forms import (
    FIRST_RESULT,
    IDLE,
    UNCHANGED,
    StepForm,
    form_of,
    named_arguments,
    operation_name,
)
from slth.networks.tracing.layers import linear_form
from slth.networks.tracing.nodes import is_random, keeps_type, path_of, plain_output, rank_of
from slth.networks.tracing.program import Program
from slth.networks.tracing.values import Stored, as_stored, is_stored, replaced

# Operations that compute nothing.
_CHECKS = ("_assert_async", "_assert_scalar", "_assert_tensor_metadata", "sym_constrain_range",
           "sym_constrain_range_for_size", "_functional_assert_async")  # fmt: skip
# Operations that make a tensor of a given size.
_FACTORIES = ("arange", "full", "zeros", "ones", "new_zeros", "new_ones", "new_full", "empty", "new_empty")


@dataclass(frozen=True, kw_only=True)
class Lowered:
    """A program as steps.

    Attributes:
        steps: what is computed, in order.
        constants: name → tensor that a step reads.
        paths: name of a step → path of the module that computes it; "" for the model itself.
        ranks: name of a step → number of axes of the tensor that it computes.
        stored_paths: paths of the model's parameters and buffers.
    """

    steps: tuple[Step, ...]
    constants: dict[str, torch.Tensor]
    paths: dict[str, str]
    ranks: dict[str, int]
    stored_paths: frozenset[str]


def lower(program: Program) -> Lowered:
    """Write a program as steps.

    Args:
        program: the recorded program.

    Returns:
        The steps, with every convolution, linear layer and BatchNorm as a function of its weights.

    Raises:
        InputError: some operations are not registered; the message names all of them, each with its layer.
    """
    lowering = _Lowering(program)
    with torch.no_grad():
        lowering.run(program.graph, {})
    if lowering.unsupported:
        _refuse(list(dict.fromkeys(lowering.unsupported)))
    return Lowered(
        steps=_without_dead_steps(lowering.steps),
        constants=lowering.constants,
        paths=lowering.paths,
        ranks=lowering.ranks,
        stored_paths=frozenset(path for path, _ in program.tensors.values()),
    )


def _without_dead_steps(steps: list[Step]) -> tuple[Step, ...]:
    """The steps without those whose value nobody reads."""
    alive: set[str] = set()
    kept = []
    for step in reversed(steps):
        if step.kind in ("input", "output") or step.name in alive:
            alive.update(step.references())
            kept.append(step)
    return tuple(reversed(kept))


def _refuse(unsupported: list[str]) -> None:
    one = len(unsupported) == 1
    raise InputError(
        f"{'a part' if one else f'{len(unsupported)} parts'} of the model {'is' if one else 'are'} not supported: "
        f"{'; '.join(unsupported)}. slth replaces convolutions, linear layers, embeddings and BatchNorm, and keeps "
        "activations, normalisations, pooling, attention, arithmetic and rearrangements; replace these parts, extract "
        "the model without them, or register operations of your own (slth.networks.register)."
    )


class _Lowering:
    """The steps so far, and what is known of each node of the program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.steps: list[Step] = []
        self.constants: dict[str, torch.Tensor] = {}
        self.paths: dict[str, str] = {}
        self.ranks: dict[str, int] = {}
        self.unsupported: list[str] = []
        self.known: dict[str, Stored] = {}  # what is computed from what → the result, computed once
        self.constant_steps: dict[str, str] = {}

    def run(self, graph: fx.Graph, given: dict[str, Any]) -> Any:
        """Lower one graph; ``given`` has the values of its placeholders, if it stands inside another."""
        values: dict[fx.Node, Any] = {}
        result: Any = None
        for node in graph.nodes:
            if node.op == "placeholder":
                values[node] = given[node.name] if given else self._placeholder(node)
            elif node.op == "get_attr":
                values[node] = getattr(graph.owning_module, str(node.target))
            elif node.op == "output":
                result = _lowered(node.args[0], values)
            elif node.users:
                values[node] = self._call(node, values)
        if not given and not self.unsupported:
            outputs = [self._argument(one) for one in result]
            form = pytree.tree_unflatten(outputs, self.program.form)
            self.steps.append(Step(name="output", kind="output", args=(plain_output(form),)))
        return result

    def _placeholder(self, node: fx.Node) -> Any:
        if node.name in self.program.tensors:
            path, value = self.program.tensors[node.name]
            return Stored(path, value.detach().cpu())
        name = self.program.inputs[node.name]
        self.steps.append(Step(name=name, kind="input"))
        return Ref(name)

    def _call(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
        """The value of a node: a reference to a new step, a stored tensor, or an earlier value."""
        args, options = _lowered(node.args, values), _lowered(dict(node.kwargs), values)
        if isinstance(node.target, torch._ops.HigherOrderOperator):
            return self._inner(node, args)
        name = operation_name(node.target)
        if name in _CHECKS:
            return None
        if name in UNCHANGED or keeps_type(name, node, args):
            return args[0]
        if name in IDLE and not (args[IDLE[name]] if len(args) > IDLE[name] else options.get("train", True)):
            return args[0] if name != "native_dropout" else (args[0], None)
        if node.target is operator.getitem and isinstance(args[0], _First | tuple | list):
            return self._item(node, *args)
        if is_random(name, node.target):
            return self._unknown(node, f"{name} (random also in evaluation mode)")
        if is_stored((args, options)):
            return self._compute(node, args, options)
        return self._step(node, name, args, options)

    def _inner(self, node: fx.Node, args: Any) -> Any:
        """The result of a graph inside the graph, as ``torch.no_grad()`` in a model makes it."""
        kind = getattr(node.target, "_name", str(node.target))
        start = {"wrap_with_set_grad_enabled": 1, "wrap_with_autocast": 4}.get(kind)
        if start is None or (kind == "wrap_with_autocast" and args[2]):
            what = f"autocast to {args[1]}" if kind == "wrap_with_autocast" else kind
            return self._unknown(node, what)
        inner = args[start].graph
        names = [one.name for one in inner.nodes if one.op == "placeholder"]
        return self.run(inner, dict(zip(names, args[start + 1 :], strict=True)) or {"": None})

    def _item(self, node: fx.Node, value: Any, index: int) -> Any:
        if not isinstance(value, _First):
            return value[index]
        return value.value if index == 0 else self._unknown(node, f"{value.name} whose further results are used")

    def _compute(self, node: fx.Node, args: Any, options: dict[str, Any]) -> Any:
        """The result of a node that needs no input; the same computation gives the same tensor."""
        key = f"{node.target}({replaced((args, options), _identity)!r})"
        if key not in self.known:
            real = replaced((args, options), lambda one: one.value if isinstance(one, Stored) else one)
            if "device" in real[1]:
                real[1]["device"] = torch.device("cpu")
            target: Any = node.target
            try:
                result = target(*real[0], **real[1])
            except (RuntimeError, ValueError, TypeError, NotImplementedError) as cause:
                raise InputError(
                    f"the model cannot be traced: {node.name} in {path_of(node) or 'it'} cannot be computed ahead "
                    f"({str(cause).splitlines()[0]}). Its tensors must have values, on the CPU."
                ) from cause
            self.known[key] = as_stored(node.name, result)
        return self.known[key]

    def _step(self, node: fx.Node, name: str, args: Any, options: dict[str, Any]) -> Any:
        """Add the step of a node."""
        if str(node.target) == "slth.leaf.default":
            return self._add(node, StepForm(kind="module", call=self.program.leaves[args[2]], args=tuple(args[0]),
                                        options={}))  # fmt: skip
        if not name:
            packet = getattr(node.target, "overloadpacket", node.target)
            call = REGISTRY.function_names.get(node.target) or REGISTRY.function_names.get(packet, "")
            if not call:
                return self._unknown(node, f"function {getattr(node.target, '__name__', node.target)}")
            return self._add(node, StepForm(call=call, args=tuple(args), options=options))
        assert isinstance(node.target, torch._ops.OpOverload)
        given = named_arguments(node.target, args, options)
        if name == "embedding" and isinstance(given["weight"], Stored):
            return self._embedding(node, given["weight"], given["indices"])
        form = linear_form(name, given, self._store_by_name)
        if form is None and name in _FACTORIES:
            form = self._factory(name, given)
        if form is None and name in FIRST_RESULT:
            call, count = FIRST_RESULT[name]
            leading, *rest = list(given.items())[:count]
            return _First(name, self._add(node, StepForm(call=call, args=(leading[1],), options=dict(rest))))
        form = form or form_of(name, given, rank_of(node))
        if form is None:
            return self._unknown(node, f"function {name}")
        if form.call == "torch.batch_norm" and name.startswith(("native", "_native")):
            return _First(name, self._add(node, form))
        return self._add(node, form)

    def _factory(self, name: str, given: dict[str, Any]) -> StepForm | None:
        """A tensor whose size depends on the inputs; at run time it is made beside the first input."""
        like = Ref(next(iter(self.program.inputs.values())))
        dtype = given.get("dtype")
        options = {} if dtype is None or dtype.is_floating_point else {"dtype": dtype}
        if name == "arange":
            start, end = given.get("start", 0), given["end"]
            return StepForm(call="slth.arange", args=(like, start, end, given.get("step", 1)), options=options)
        fill = given.get("fill_value", 1 if name.endswith("ones") else 0)
        return StepForm(call="slth.full", args=(like, given["size"], fill), options=options)

    def _store_by_name(self, name: str, value: torch.Tensor) -> Stored:
        """A stored tensor that has been computed from another one."""
        return self.known.setdefault(name, Stored(name, value))

    def _embedding(self, node: fx.Node, table: Stored, numbers: Any) -> Ref:
        """A look-up in a table as a linear map of one-hot vectors."""
        count = table.value.shape[0]
        hot = StepForm(call="slth.one_hot", args=(numbers,), options={"count": count})
        weight = self._store_by_name(f"{table.name}.T", table.value.T.contiguous())
        args, options = (self._add(node, hot, f"{node.name}_one_hot"),), {"weight": weight, "bias": None}
        return self._add(node, StepForm(call="functional.linear", args=args, options=options))

    def _add(self, node: fx.Node, form: StepForm, name: str = "") -> Ref:
        """Add a step, after those of the constants that it reads."""
        name = name or node.name
        args, options = replaced(form.args, self._argument), replaced(dict(form.options), self._argument)
        self.steps.append(Step(name=name, kind=form.kind, call=form.call, args=args, options=options))
        self.paths[name] = path_of(node)
        value = node.meta.get("val")
        value = value[0] if isinstance(value, tuple | list) and value else value
        self.ranks[name] = value.ndim if isinstance(value, torch.Tensor) else 0
        return Ref(name)

    def _argument(self, one: Any) -> Any:
        """What a step holds of a value: a reference in place of a stored tensor."""
        if not isinstance(one, Stored):
            return one
        if one.name not in self.constant_steps:
            name = _free_name(one.name.replace(".", "_"), {step.name for step in self.steps})
            self.constant_steps[one.name] = name
            self.constants[one.name] = one.value
            self.steps.append(Step(name=name, kind="constant", call=one.name))
        return Ref(self.constant_steps[one.name])

    def _unknown(self, node: fx.Node, what: str) -> Any:
        path = path_of(node)
        self.unsupported.append(f"{what} in {path}" if path else what)
        return Ref(node.name)  # The rest is lowered too, so that one message names everything.


@dataclass(frozen=True)
class _First:
    """The first of several results, which alone a step computes."""

    name: str
    value: Ref


def _lowered(value: Any, values: dict[fx.Node, Any]) -> Any:
    return replaced(value, lambda one: values[one] if isinstance(one, fx.Node) else one)


def _identity(one: Any) -> Any:
    return ("stored", one.name) if isinstance(one, Stored) else one


def _free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name
