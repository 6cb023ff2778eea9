"""A pair's way through a network: which step of the graph is which transformer, and which steps have none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from torch import nn

from slth.errors import InputError
from slth.networks.graph import Ref, Step, substitute
from slth.networks.operations import REGISTRY, Operation
from slth.networks.operations.operation import Addition, MaxPool, Relu, Scaling
from slth.networks.target import Target
from slth.tickets.certify.differences import Pair, linear, same_input
from slth.tickets.certify.enclosed import EnclosedMap, enclose_kept
from slth.tickets.certify.forms import Box, Unknowns
from slth.tickets.certify.transformers import ADDS_UNKNOWNS, TRANSFORMERS, Call

SUPPORTED = (
    "conv and linear layers (kept ones too), ReLU, LeakyReLU, ReLU6, Hardtanh, Sigmoid, Tanh, LogSigmoid, "
    "Softsign, SELU, max-, average and adaptive pooling, mean, sum, add, sub, neg, cat, scaling by a number, padding, "
    "flatten, reshape and other rearrangements, dropout and identity"
)


class Propagation:
    """A target and its folded ticket, ready to take pairs from the input to the output.

    Args:
        target: the target.
        folded: name of a linear map → what the ticket has in its place, enclosed.

    Raises:
        InputError: steps that have no sound transformer (all of them named), several inputs or outputs.
    """

    def __init__(self, target: Target, folded: Mapping[str, EnclosedMap]) -> None:
        self.target = target
        self.modules = {module.name: module for module in target.modules}
        self.folded = dict(folded)
        self.built: dict[str, nn.Module] = {}
        for module in target.modules:
            if module.type in ("Linear", "Conv1d", "Conv2d", "Conv3d"):
                self.folded[module.name] = enclose_kept(module)
            else:
                self.built[module.name] = module.build().double().eval()
        self.steps = _pool_first(target.steps, self.operation)
        self._check()

    def operation(self, step: Step) -> Operation | None:
        """The operation of a step; None for a linear map, an input, a constant or the output."""
        if step.kind == "module":
            return None if step.call in self.folded else REGISTRY.get("module", self.modules[step.call].type)
        return REGISTRY.get(step.kind, step.call) if step.kind in ("function", "method") else None

    def is_linear(self, step: Step) -> bool:
        """Whether a step applies a linear map: one of the ticket's, or one that was left out of the search."""
        return step.kind == "module" and step.call in self.folded

    def gives_unknowns(self, step: Step) -> bool:
        """Whether a step's relaxation adds unknowns of its own."""
        operation = self.operation(step)
        return operation is not None and isinstance(operation.relaxation, ADDS_UNKNOWNS)

    def run(self, box: Box, unknowns: Unknowns, visit: Callable[[Step, Pair], None] | None = None) -> Pair:
        """The pair at the output for all inputs in a box.

        Args:
            box: inputs (B, …).
            unknowns: the unknowns that forms may share.
            visit: called with the step and its pair after every step.

        Raises:
            InputError: the box does not fit the network, or a step has no sound transformer.
        """
        try:
            with torch.no_grad():
                return self._run(same_input(box, unknowns), unknowns, visit)
        except InputError:
            raise
        except (RuntimeError, ValueError, IndexError, TypeError) as cause:
            raise InputError(
                f"inputs of shape {tuple(box.lo.shape[1:])} do not fit the network: {str(cause).splitlines()[0]} "
                "Pass the shape of one input, without its batch axis."
            ) from cause

    def _run(self, pair: Pair, unknowns: Unknowns, visit: Callable[[Step, Pair], None] | None) -> Pair:
        last = {name: i for i, step in enumerate(self.steps) for name in step.references()}
        values: dict[str, Any] = {}
        for i, step in enumerate(self.steps):
            if step.kind == "input":
                values[step.name] = pair
                continue
            args, options = substitute(step.args, values), substitute(dict(step.options), values)
            if step.kind == "output":
                return cast(Pair, args[0])
            values[step.name] = self._step(step, args, options, unknowns)
            if visit is not None and isinstance(values[step.name], Pair):
                visit(step, values[step.name])
            for name in step.references():
                if last[name] == i:
                    values.pop(name, None)
        raise AssertionError("a network ends with an output")

    def _check(self) -> None:
        inputs = [step for step in self.steps if step.kind == "input"]
        if len(inputs) != 1 or not isinstance(self.steps[-1].args[0], Ref):
            raise InputError("a certificate needs a network of one input and one output tensor. Wrap the network.")
        wrong = [step for step in self.steps if not self._known(step)]
        if wrong:
            raise InputError(
                f"no sound transformer for {', '.join(map(self._described, wrong))}. Supported: {SUPPORTED}, and "
                "registered operations with a relaxation."
            )

    def _described(self, step: Step) -> str:
        kind = f" {self.modules[step.call].type.lower()}" if step.kind == "module" else ""
        return f"{step.name} ({step.call}{kind})"

    def _known(self, step: Step) -> bool:
        """Whether a step has a transformer; settings that change what it computes are not overlooked."""
        operation = self.operation(step)
        if operation is None:
            return True
        if operation.relaxation is None or type(operation.relaxation) not in TRANSFORMERS:
            return False
        if isinstance(operation.relaxation, Addition | Scaling):
            return len(step.args) + len(step.options) == 2 and set(step.options) <= {"input", "other"}
        if step.kind == "module":
            return True
        if isinstance(operation.relaxation, MaxPool):  # with more settings it returns indices too
            return len(step.args) <= 6 and not step.options.get("return_indices")
        return "dtype" not in step.options

    def _step(self, step: Step, args: tuple[Any, ...], options: dict[str, Any], unknowns: Unknowns) -> Any:
        if step.kind == "constant":
            return torch.from_numpy(self.target.constants[step.call]).double()
        if self.is_linear(step):
            return linear(self.folded[step.call], args[0])
        operation = self.operation(step)
        assert operation is not None
        call = Call(step=step, function=self._function(step), args=args, options=options,
                    module=self.built.get(step.call) if step.kind == "module" else None)  # fmt: skip
        if not call.pairs:
            return call.function(*args, **options)
        relaxation = operation.relaxation
        assert relaxation is not None  # which _check saw to
        return TRANSFORMERS[type(relaxation)](relaxation, call, unknowns)

    def _function(self, step: Step) -> Callable[..., Any]:
        if step.kind == "module":
            return self.built[step.call]
        if step.kind == "function":
            return REGISTRY.functions[step.call]
        return lambda x, *args, **options: getattr(x, step.call)(*args, **options)


def _pool_first(steps: tuple[Step, ...], operation: Callable[[Step], Operation | None]) -> tuple[Step, ...]:
    """The steps with max-pooling before a ReLU that it alone reads: the same function, with fewer open signs."""
    readers: dict[str, int] = {}
    for step in steps:
        for name in step.references():
            readers[name] = readers.get(name, 0) + 1

    def relaxes_by(step: Step, kind: type) -> bool:
        found = operation(step)
        return found is not None and isinstance(found.relaxation, kind)

    changed = list(steps)
    for i, step in enumerate(steps[:-1]):
        follows = steps[i + 1]
        pools = relaxes_by(follows, MaxPool) and follows.args[:1] == (Ref(step.name),)
        if pools and relaxes_by(step, Relu) and len(step.args) >= 1 and readers[step.name] == 1:
            # The names stay with the places, so that later references still find the last of the two.
            changed[i] = replace(follows, name=step.name, args=(step.args[0], *follows.args[1:]))
            changed[i + 1] = replace(step, name=follows.name, args=(Ref(step.name), *step.args[1:]))
    return tuple(changed)
