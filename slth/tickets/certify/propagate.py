"""Propagation of a pair through the graph of a network, step by step."""

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
from slth.progress import Progress, follow
from slth.tickets.certify.differences import Pair, linear, same_input
from slth.tickets.certify.enclosed import EnclosedMap, enclose_kept
from slth.tickets.certify.forms import Box, Unknowns
from slth.tickets.certify.transformers import ADDS_UNKNOWNS, TRANSFORMERS, Call

# The name under which a proof is reported.
PROOF_TASK = "proof"
SUPPORTED = (
    "conv and linear layers (kept ones too), ReLU, LeakyReLU, ReLU6, Hardtanh, Sigmoid, Tanh, LogSigmoid, "
    "Softsign, SELU, max-, average and adaptive pooling, mean, sum, add, sub, neg, cat, scaling by a number, padding, "
    "flatten, reshape and other rearrangements, dropout and identity"
)


class Propagation:
    """A target with its folded ticket, through which pairs can be propagated.

    Args:
        target: the target.
        folded: name of a linear map → the map and its counterpart in the ticket, enclosed.

    Raises:
        InputError: a step has no sound transformer (the message names all such steps), or the network has several
            inputs or outputs.
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
        self.steps = _pool_before_relu(target.steps, self.operation)
        self._check()

    def operation(self, step: Step) -> Operation | None:
        """The registered operation of a step; None for a linear map, an input, a constant or the output."""
        if step.kind == "module":
            return None if step.call in self.folded else REGISTRY.get("module", self.modules[step.call].type)
        return REGISTRY.get(step.kind, step.call) if step.kind in ("function", "method") else None

    def is_linear(self, step: Step) -> bool:
        """Whether a step applies a linear map, be it replaced by the ticket or left out of the search."""
        return step.kind == "module" and step.call in self.folded

    def adds_unknowns(self, step: Step) -> bool:
        """Whether the relaxation of a step adds unknowns."""
        operation = self.operation(step)
        return operation is not None and isinstance(operation.relaxation, ADDS_UNKNOWNS)

    def run(
        self,
        box: Box,
        unknowns: Unknowns,
        visit: Callable[[Step, Pair], None] | None = None,
        progress: bool | Progress = False,
    ) -> Pair:
        """Propagate all inputs of a box to the output.

        Args:
            box: the inputs (B, …).
            unknowns: the unknowns that forms may share.
            visit: called after every step with the step and its pair.
            progress: the listener that is told of every step of the graph, in one task ``proof``.

        Returns:
            The pair at the output.

        Raises:
            InputError: the box does not fit the network, or a step has no sound transformer.
        """
        try:
            with torch.no_grad(), follow(progress, {PROOF_TASK: len(self.steps)}) as listener:
                return self._run(same_input(box, unknowns), unknowns, visit, listener)
        except InputError:
            raise
        except (RuntimeError, ValueError, IndexError, TypeError) as cause:
            raise InputError(
                f"inputs of shape {tuple(box.lo.shape[1:])} do not fit the network: {str(cause).splitlines()[0]} "
                "Pass the shape of one input, without its batch axis."
            ) from cause

    def _run(
        self, pair: Pair, unknowns: Unknowns, visit: Callable[[Step, Pair], None] | None, listener: Progress
    ) -> Pair:
        """Propagate the pair of the input; values are dropped after their last use."""
        last = {name: i for i, step in enumerate(self.steps) for name in step.references()}
        values: dict[str, Any] = {}
        for i, step in enumerate(self.steps):
            if step.kind == "input":
                values[step.name] = pair
                listener.advance(PROOF_TASK)
                continue
            args, options = substitute(step.args, values), substitute(dict(step.options), values)
            if step.kind == "output":
                listener.advance(PROOF_TASK)
                return cast(Pair, args[0])
            values[step.name] = self._step(step, args, options, unknowns)
            listener.advance(PROOF_TASK)
            if visit is not None and isinstance(values[step.name], Pair):
                visit(step, values[step.name])
            for name in step.references():
                if last[name] == i:
                    values.pop(name, None)
        raise AssertionError("the last step of a network is its output")

    def _check(self) -> None:
        """Refuse a network with several inputs or outputs, or with steps that have no sound transformer."""
        inputs = [step for step in self.steps if step.kind == "input"]
        if len(inputs) != 1 or not isinstance(self.steps[-1].args[0], Ref):
            raise InputError("a certificate needs a network of one input and one output tensor. Wrap the network.")
        wrong = [step for step in self.steps if not self._is_supported(step)]
        if wrong:
            raise InputError(
                f"no sound transformer for {', '.join(map(self._describe, wrong))}. Supported: {SUPPORTED}, and "
                "registered operations with a relaxation."
            )

    def _describe(self, step: Step) -> str:
        """A step in words, for messages."""
        kind = f" {self.modules[step.call].type.lower()}" if step.kind == "module" else ""
        return f"{step.name} ({step.call}{kind})"

    def _is_supported(self, step: Step) -> bool:
        """Whether a step has a transformer that covers its settings."""
        operation = self.operation(step)
        if operation is None:
            return True
        if operation.relaxation is None or type(operation.relaxation) not in TRANSFORMERS:
            return False
        if isinstance(operation.relaxation, Addition | Scaling):
            return len(step.args) + len(step.options) == 2 and set(step.options) <= {"input", "other"}
        if step.kind == "module":
            return True
        if isinstance(operation.relaxation, MaxPool):  # With a seventh argument it returns indices too.
            return len(step.args) <= 6 and not step.options.get("return_indices")
        return "dtype" not in step.options

    def _step(self, step: Step, args: tuple[Any, ...], options: dict[str, Any], unknowns: Unknowns) -> Any:
        """The value of a step: a pair, or what does not depend on the input."""
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
        assert relaxation is not None  # _check refuses other steps.
        return TRANSFORMERS[type(relaxation)](relaxation, call, unknowns)

    def _function(self, step: Step) -> Callable[..., Any]:
        """The function on tensors that a step computes."""
        if step.kind == "module":
            return self.built[step.call]
        if step.kind == "function":
            return REGISTRY.functions[step.call]
        return lambda x, *args, **options: getattr(x, step.call)(*args, **options)


def _pool_before_relu(steps: tuple[Step, ...], operation: Callable[[Step], Operation | None]) -> tuple[Step, ...]:
    """The steps with each ReLU moved behind the max-pooling that alone reads it.

    The network computes the same function, but fewer signs are open.
    """
    readers: dict[str, int] = {}
    for step in steps:
        for name in step.references():
            readers[name] = readers.get(name, 0) + 1

    def has_relaxation(step: Step, kind: type) -> bool:
        found = operation(step)
        return found is not None and isinstance(found.relaxation, kind)

    changed = list(steps)
    for i, step in enumerate(steps[:-1]):
        follows = steps[i + 1]
        pools = has_relaxation(follows, MaxPool) and follows.args[:1] == (Ref(step.name),)
        if pools and has_relaxation(step, Relu) and len(step.args) >= 1 and readers[step.name] == 1:
            # The names stay at their places, so that later references still find the second of the two steps.
            changed[i] = replace(follows, name=step.name, args=(step.args[0], *follows.args[1:]))
            changed[i + 1] = replace(step, name=follows.name, args=(Ref(step.name), *step.args[1:]))
    return tuple(changed)
