"""The outline of a target, as a certificate sees it: which steps it must follow, how, and whether it can."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from slth.errors import InputError
from slth.networks.activations import activation_steps, operation_of
from slth.networks.graph import Ref, Step
from slth.networks.kept_module import as_linear_map
from slth.networks.linear_map import LinearMap
from slth.networks.operations import REGISTRY
from slth.networks.operations.operation import Addition, Clamp, MaxPool, Relaxation, Relu, Scaling
from slth.networks.sizes import check_sizes
from slth.networks.target import Target
from slth.tickets.certify.transformers import ADDS_UNKNOWNS, TRANSFORMERS

SUPPORTED = (
    "conv, transposed conv and linear layers (kept ones too), ReLU, LeakyReLU, ReLU6, Hardtanh, clamp, Sigmoid, Tanh, "
    "LogSigmoid, Softsign, SELU, max-, average and adaptive pooling, mean, sum, add, sub, neg, cat, scaling by a "
    "number, padding, nearest interpolation, flatten, reshape and other rearrangements, dropout and identity"
)


class Outline:
    """The steps of a target with their relaxations.

    Args:
        target: the target.

    Raises:
        InputError: a step has no sound transformer (the message names all such steps), or the network has several
            inputs or outputs.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.modules = {module.name: module for module in target.modules}
        found = {name: as_linear_map(module) for name, module in self.modules.items()}
        self.kept_maps: dict[str, LinearMap] = {name: one for name, one in found.items() if one is not None}
        self.linear = {linear.name for linear in target.maps} | set(self.kept_maps)
        self.activations = activation_steps(target.steps, self.modules)
        self.steps = self._pool_before_relu(target.steps)
        self._check()

    def check_input(self, shape: Sequence[int]) -> None:
        """Refuse inputs of a shape that the network does not take.

        Args:
            shape: their shape, with the batch axis.

        Raises:
            InputError: the network was extracted for inputs of other sizes.
        """
        name = next(step.name for step in self.steps if step.kind == "input")
        check_sizes(self.target.sizes, self.target.conditions, {name: tuple(shape)})

    def is_linear(self, step: Step) -> bool:
        """Whether a step applies a linear map, be it replaced by the ticket or left out of the search."""
        return step.kind == "module" and step.call in self.linear

    def relaxation(self, step: Step) -> Relaxation | None:
        """How a certificate follows a step; None for a linear map, and where it cannot."""
        operation = None if self.is_linear(step) else operation_of(step, self.modules)
        if operation is None or not callable(operation.relaxation):
            return None if operation is None else operation.relaxation_of({})
        options = self._options(step)
        return None if options is None else operation.relaxation_of(options)

    def adds_unknowns(self, step: Step) -> bool:
        """Whether the relaxation of a step adds unknowns."""
        return step.name in self.activations and isinstance(self.relaxation(step), ADDS_UNKNOWNS)

    def _options(self, step: Step) -> Mapping[str, Any] | None:
        """What a step is set to, by name; None where numbers by position have no known names."""
        if step.kind == "module":
            return self.modules[step.call].options
        if len(step.args) <= 1:
            return step.options
        try:
            signature = inspect.signature(REGISTRY.functions[step.call])
            return signature.bind_partial(*step.args, **step.options).arguments
        except (KeyError, TypeError, ValueError):
            return None

    def _check(self) -> None:
        """Refuse a network with several inputs or outputs, or with steps that have no sound transformer."""
        inputs = [step for step in self.steps if step.kind == "input"]
        if len(inputs) != 1 or not isinstance(self.steps[-1].args[0], Ref):
            raise InputError("a certificate needs a network of one input and one output tensor. Wrap the network.")
        wrong = [step for step in self.steps if step.name in self.activations and not self._is_supported(step)]
        if wrong:
            raise InputError(
                f"no sound transformer for {', '.join(map(self._describe, wrong))}. Supported: {SUPPORTED}, and "
                "registered operations with a relaxation."
            )

    def _describe(self, step: Step) -> str:
        """A step in words, for messages."""
        kind = f" {self.modules[step.call].type.lower()}" if step.kind == "module" else ""
        what = ", of activations by activations" if isinstance(self.relaxation(step), Scaling) else ""
        return f"{step.name} ({step.call}{kind}{what})"

    def _is_supported(self, step: Step) -> bool:
        """Whether a step has a transformer that covers its settings."""
        if step.kind in ("input", "output") or self.is_linear(step):
            return True
        relaxation = self.relaxation(step)
        if relaxation is None or type(relaxation) not in TRANSFORMERS:
            return False
        if isinstance(relaxation, Addition | Scaling):
            operands = [*step.args, *(step.options[name] for name in ("input", "other") if name in step.options)]
            read = [isinstance(one, Ref) and one.name in self.activations for one in operands]
            scales = isinstance(relaxation, Scaling) and (all(read) or (relaxation.divides and read[1:] == [True]))
            return len(operands) == 2 == len(step.args) + len(step.options) and not scales
        if isinstance(relaxation, Clamp):
            return not any(isinstance(one, Ref) for one in (*step.args[1:], *step.options.values()))
        if step.kind == "module":
            return True
        if isinstance(relaxation, MaxPool):  # With a seventh argument it returns indices too.
            return len(step.args) <= 6 and not step.options.get("return_indices")
        return "dtype" not in step.options

    def _pool_before_relu(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """The steps with each ReLU moved behind the max-pooling that alone reads it.

        The network computes the same function, but fewer signs are open.
        """
        readers: dict[str, int] = {}
        for step in steps:
            for name in step.references():
                readers[name] = readers.get(name, 0) + 1
        changed = list(steps)
        for i, step in enumerate(steps[:-1]):
            follows = steps[i + 1]
            pools = follows.args[:1] == (Ref(step.name),) and isinstance(self.relaxation(follows), MaxPool)
            if pools and isinstance(self.relaxation(step), Relu) and step.args and readers[step.name] == 1:
                # The names stay at their places, so that later references still find the second of the two steps.
                changed[i] = replace(follows, name=step.name, args=(step.args[0], *follows.args[1:]))
                changed[i + 1] = replace(step, name=follows.name, args=(Ref(step.name), *step.args[1:]))
        return tuple(changed)
