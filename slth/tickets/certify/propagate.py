"""Propagation of a pair through the graph of a network, step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import nn

from slth.errors import InputError
from slth.networks.graph import Step, substitute
from slth.networks.operations import REGISTRY
from slth.networks.target import Target
from slth.progress import Progress, follow
from slth.tickets.certify.differences import Pair, linear, same_input
from slth.tickets.certify.enclosed import EnclosedMap, enclose_kept
from slth.tickets.certify.forms import Box, Unknowns
from slth.tickets.certify.outline import Outline
from slth.tickets.certify.transformers import TRANSFORMERS, Call

# The name under which a proof is reported.
PROOF_TASK = "proof"


class Propagation:
    """A target with its folded ticket, through which pairs can be propagated.

    What does not depend on the activations is computed as the network computes it, and counts as exact.

    Args:
        target: the target.
        folded: name of a linear map → the map and its counterpart in the ticket, enclosed.

    Raises:
        InputError: a step has no sound transformer (the message names all such steps), or the network has several
            inputs or outputs.
    """

    def __init__(self, target: Target, folded: Mapping[str, EnclosedMap]) -> None:
        self.target = target
        self.outline = Outline(target)
        self.folded = {**folded, **{name: enclose_kept(one) for name, one in self.outline.kept_maps.items()}}
        self.built = {
            module.name: module.build().double().eval() for module in target.modules if module.name not in self.folded
        }

    def is_linear(self, step: Step) -> bool:
        """Whether a step applies a linear map, be it replaced by the ticket or left out of the search."""
        return self.outline.is_linear(step)

    def adds_unknowns(self, step: Step) -> bool:
        """Whether the relaxation of a step adds unknowns."""
        return self.outline.adds_unknowns(step)

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
        self.outline.check_input(box.lo.shape)
        try:
            with torch.no_grad(), follow(progress, {PROOF_TASK: len(self.outline.steps)}) as listener:
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
        steps = self.outline.steps
        last = {name: i for i, step in enumerate(steps) for name in step.references()}
        values: dict[str, Any] = {}
        for i, step in enumerate(steps):
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

    def _step(self, step: Step, args: tuple[Any, ...], options: dict[str, Any], unknowns: Unknowns) -> Any:
        """The value of a step: a pair, or what does not depend on the activations."""
        if step.kind == "constant":
            return torch.from_numpy(self.target.constants[step.call])
        if step.name not in self.outline.activations:
            change = _as_double if step.kind == "module" else _without_pair
            args, options = (_replaced(one, change) for one in (args, options))
            return self._function(step)(*args, **options)
        args, options = (_replaced(one, _as_double) for one in (args, options))
        if self.is_linear(step):
            return linear(self.folded[step.call], args[0])
        call = Call(step=step, function=self._function(step), args=args, options=options,
                    module=self.built.get(step.call) if step.kind == "module" else None)  # fmt: skip
        relaxation = self.outline.relaxation(step)
        assert relaxation is not None  # The outline refuses other steps.
        return TRANSFORMERS[type(relaxation)](relaxation, call, unknowns)

    def _function(self, step: Step) -> Callable[..., Any]:
        """The function on tensors that a step computes."""
        if step.kind == "module":
            module: nn.Module = self.built[step.call]
            return module
        if step.kind == "function":
            return REGISTRY.functions[step.call]
        return lambda x, *args, **options: getattr(x, step.call)(*args, **options)


def _without_pair(one: Any) -> Any:
    """An argument of a step that reads sizes only: a float32 tensor of the same size in place of a pair."""
    return one.target.center.float() if isinstance(one, Pair) else one


def _as_double(one: Any) -> Any:
    """An argument in float64, which holds float32 exactly, if it is a real tensor."""
    return one.double() if isinstance(one, torch.Tensor) and one.is_floating_point() else one


def _replaced(value: Any, change: Callable[[Any], Any]) -> Any:
    """Arguments with each thing in their containers replaced."""
    if isinstance(value, tuple | list):
        return type(value)(_replaced(one, change) for one in value)
    if isinstance(value, dict):
        return {name: _replaced(one, change) for name, one in value.items()}
    return change(value)
