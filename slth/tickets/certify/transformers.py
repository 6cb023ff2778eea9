"""The transformers: for each kind of relaxation, a function that carries pairs through a step of the graph.

To support a new kind of relaxation, derive a class from :class:`~slth.networks.operations.operation.Relaxation` and add
its transformer to ``TRANSFORMERS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from slth.errors import InputError
from slth.networks.graph import Step
from slth.networks.operations.operation import (
    Addition,
    Average,
    Clamp,
    Identity,
    LeakyRelu,
    MaxPool,
    Monotone,
    Negation,
    Rearrangement,
    Relaxation,
    Relu,
    Scaling,
)
from slth.tickets.certify.activations import clamp, leaky_relu, relu, smooth
from slth.tickets.certify.differences import Pair
from slth.tickets.certify.forms import UNIT, Unknowns
from slth.tickets.certify.operators import add, lift, negative, pairs_in, scaled
from slth.tickets.certify.pooling import adaptive_spans, max_pool, strided_spans, window_table


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """A step of the graph with the values of its arguments.

    Attributes:
        step: the step.
        function: the function on tensors that the step computes.
        module: the module of a step of kind ``module``; None for other steps.
        args: positional arguments, with pairs in place of activations.
        options: keyword arguments, with pairs in place of activations.
    """

    step: Step
    function: Callable[..., Any]
    module: nn.Module | None
    args: tuple[Any, ...]
    options: dict[str, Any]

    @cached_property
    def pairs(self) -> list[Pair]:
        """The pairs among the arguments, in order."""
        return pairs_in((self.args, self.options))

    def settings(self, **defaults: Any) -> dict[str, Any]:
        """The settings of the operation, from the module or from the call.

        Args:
            **defaults: names of the settings with their defaults, in the order in which the function takes them.
        """
        if self.step.kind == "module":
            return {name: getattr(self.module, name, value) for name, value in defaults.items()}
        given = dict(zip(defaults, self.args[1:], strict=False))
        return defaults | given | {name: value for name, value in self.options.items() if name in defaults}

    def operands(self) -> tuple[Any, Any]:
        """The two operands of a binary operation: (left, right)."""
        return self.args[0], self.args[1] if len(self.args) > 1 else self.options["other"]


def _identity(_: Identity, call: Call, unknowns: Unknowns) -> Any:
    return call.pairs[0]


def _rearrange(kind: Rearrangement, call: Call, unknowns: Unknowns) -> Any:
    if call.step.call == "operator.getitem" and isinstance(call.args[0], tuple | list):
        return call.args[0][call.args[1]]
    pads = kind.pads or _holds_numbers((call.args, call.options))  # such as a constant that is put beside a pair
    return lift(call.function, call.args, call.options, exact=True, pads=pads)


def _holds_numbers(value: Any) -> bool:
    """Whether there are real tensors among some arguments."""
    if isinstance(value, tuple | list | dict):
        return any(map(_holds_numbers, value.values() if isinstance(value, dict) else value))
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _average(_: Average, call: Call, unknowns: Unknowns) -> Any:
    return lift(call.function, call.args, call.options, exact=False)


def _add(kind: Addition, call: Call, unknowns: Unknowns) -> Pair:
    return add(*call.operands(), kind.sign)


def _negate(_: Negation, call: Call, unknowns: Unknowns) -> Pair:
    return negative(call.pairs[0])


def _scale(kind: Scaling, call: Call, unknowns: Unknowns) -> Pair:
    left, right = call.operands()
    if isinstance(left, Pair) == isinstance(right, Pair) or (kind.divides and isinstance(right, Pair)):
        raise InputError(
            f"no sound transformer for {call.step.name} ({call.step.call}): a certificate can scale activations by "
            "numbers, not by each other. Scale by a number or a constant tensor."
        )
    pair, factor = (left, right) if isinstance(left, Pair) else (right, left)
    return scaled(pair, 1 / torch.as_tensor(factor).double(), 2 * UNIT) if kind.divides else scaled(pair, factor)


def _relu(_: Relu, call: Call, unknowns: Unknowns) -> Pair:
    return relu(call.pairs[0], unknowns)


def _leaky_relu(kind: LeakyRelu, call: Call, unknowns: Unknowns) -> Pair:
    slope = call.settings(negative_slope=kind.slope)["negative_slope"]
    return leaky_relu(call.pairs[0], float(slope), unknowns)


def _clamp(kind: Clamp, call: Call, unknowns: Unknowns) -> Pair:
    given = call.settings(**dict.fromkeys(kind.options))
    ends = {name[:3]: float(value) for name, value in given.items() if value is not None}
    return clamp(call.pairs[0], ends.get("min", kind.low), ends.get("max", kind.high), unknowns)


def _monotone(kind: Monotone, call: Call, unknowns: Unknowns) -> Pair:
    def function(x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = call.function(x.clone(), *call.args[1:], **call.options)
        return out

    return smooth(call.pairs[0], function, kind.slopes, unknowns, kind.error)


def _max_pool(kind: MaxPool, call: Call, unknowns: Unknowns) -> Pair:
    pair = call.pairs[0]
    center = pair.target.center
    sides = tuple(center.shape[-kind.axes :])
    args = (center if one is pair else one for one in call.args)
    options = {key: center if one is pair else one for key, one in call.options.items()}
    outputs = tuple(call.function(*args, **options).shape[-kind.axes :])
    if kind.adaptive:
        spans = adaptive_spans(sides, outputs)
    else:
        given = call.settings(kernel_size=1, stride=None, padding=0, dilation=1)
        given["stride"] = given["stride"] or given["kernel_size"]
        each = {key: (value,) * kind.axes if isinstance(value, int) else tuple(value) for key, value in given.items()}
        spans = strided_spans(sides, outputs, each["kernel_size"], each["stride"], each["padding"], each["dilation"])
    return max_pool(pair, window_table(sides, outputs, spans), outputs, unknowns)


# From a relaxation, a call and the shared unknowns to the result of the call.
Transformer = Callable[[Any, Call, Unknowns], Any]
TRANSFORMERS: Mapping[type[Relaxation], Transformer] = {
    Identity: _identity,
    Rearrangement: _rearrange,
    Average: _average,
    Addition: _add,
    Negation: _negate,
    Scaling: _scale,
    Relu: _relu,
    LeakyRelu: _leaky_relu,
    Clamp: _clamp,
    Monotone: _monotone,
    MaxPool: _max_pool,
}
# Relaxations of functions that are not affine. Their errors become new unknowns.
ADDS_UNKNOWNS = (Relu, LeakyRelu, Clamp, Monotone, MaxPool)
