"""Operations between linear maps: their forms in torch, their signs, and how a certificate follows them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from slth.errors import InputError, check_choice

# What is known of the signs of an operation's output:
# keep     those of all its inputs together
# plus     never negative
# any      nothing
# flip     the opposite of those of its input
# product  those of the product of its inputs
SIGN_RULES = ("keep", "plus", "any", "flip", "product")


@dataclass(frozen=True)
class Relaxation:
    """How a certificate follows an operation: what it does to an activation, and to the ticket's difference from it."""


@dataclass(frozen=True)
class Identity(Relaxation):
    """The operation changes nothing in evaluation mode."""


@dataclass(frozen=True)
class Rearrangement(Relaxation):
    """Entries are selected and rearranged, without rounding.

    Attributes:
        pads: whether constants are added around them.
    """

    pads: bool = False


@dataclass(frozen=True)
class Average(Relaxation):
    """Each output is a sum of entries of one example, with weights ≥ 0 that do not depend on the entries."""


@dataclass(frozen=True)
class SizeOnly(Relaxation):
    """Only the shape of the input is read."""


@dataclass(frozen=True)
class Addition(Relaxation):
    """left + sign·right.

    Attributes:
        sign: 1 or −1.
    """

    sign: int = 1


@dataclass(frozen=True)
class Scaling(Relaxation):
    """The input is multiplied or divided by a number or a constant tensor.

    Attributes:
        divides: whether it is divided.
    """

    divides: bool = False


@dataclass(frozen=True)
class Negation(Relaxation):
    """−x."""


@dataclass(frozen=True)
class Relu(Relaxation):
    """max(x, 0)."""


@dataclass(frozen=True)
class LeakyRelu(Relaxation):
    """max(x, 0) + slope·min(x, 0), with the slope from the option ``negative_slope``.

    Attributes:
        slope: the slope where the option is not given.
    """

    slope: float = 0.01


@dataclass(frozen=True)
class Clamp(Relaxation):
    """max(low, min(high, x)).

    Attributes:
        low: the lower end where none is given.
        high: the upper end where none is given.
        options: names of the options that give the ends, such as ``min`` and ``max``, in the order of the arguments.
    """

    low: float = -math.inf
    high: float = math.inf
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Monotone(Relaxation):
    """A function φ of each entry by itself that never falls: 0 ≤ m ≤ φ' ≤ M.

    Attributes:
        slopes: (m, M).
        error: bound on rounding: φ(x) computed in float64 is off by at most ``error``·(1 + |φ(x)|). Vectorised
            elementary functions are off by at most one unit in the last place, 2⁻⁵²; the default leaves room for a few
            roundings.
    """

    slopes: tuple[float, float]
    error: float = 2.0**-48


@dataclass(frozen=True)
class MaxPool(Relaxation):
    """The largest entry of each window.

    Attributes:
        axes: number of spatial axes.
        adaptive: whether the windows follow from the size of the output.
    """

    axes: int
    adaptive: bool = False


@dataclass(frozen=True)
class ModuleForm:
    """A module class that computes an operation, and what a file holds of an instance.

    Attributes:
        module: the class. Files name it by its ``__name__``.
        options: constructor arguments that describe an instance completely. Each is also an attribute of the instance.
        tensors: parameters and buffers, which stay as they were trained; they are not part of the ticket.
    """

    module: type[nn.Module]
    options: tuple[str, ...] = ()
    tensors: tuple[str, ...] = ()


# From the options of a step or module to a sign rule, and likewise for the others.
SignFunction = Callable[[Mapping[str, Any]], str]
RelaxationFunction = Callable[[Mapping[str, Any]], Relaxation | None]
LipschitzFunction = Callable[[Mapping[str, Any]], float | None]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation that may stand between linear maps, in all its forms.

    Attributes:
        name: unique name, for messages.
        signs: the sign rule, one of ``SIGN_RULES``, or a function from the options of a step or module to one.
        modules: module classes that compute the operation φ.
        functions: name in a file → function of torch that computes φ, or operator of ``torch.library``. A plain Python
            function needs no row: extraction follows what it calls.
        methods: names of tensor methods that compute φ.
        operands: whether numbers among the arguments are operands, and not axes or sizes.
        shares_memory: whether the result may lie in the memory of the input, in evaluation mode.
        relaxation: how a certificate follows φ, or a function from the options of a step or module to that; None if
            no certificate can.
        lipschitz: constant L in ‖φ(x) − φ(y)‖∞ ≤ L‖x − y‖∞, or a function of the options of a step or module; None if
            unknown.
        keeps_zero: whether φ(0) = 0, or a function of the options of a step or module.

    Raises:
        InputError: the sign rule is unknown, or the operation has no form.
    """

    name: str
    signs: str | SignFunction
    modules: tuple[ModuleForm, ...] = ()
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    methods: tuple[str, ...] = ()
    operands: bool = False
    shares_memory: bool = False
    relaxation: Relaxation | RelaxationFunction | None = None
    lipschitz: float | LipschitzFunction | None = None
    keeps_zero: bool | Callable[[Mapping[str, Any]], bool] = False

    def __post_init__(self) -> None:
        if not callable(self.signs):
            check_choice(f"signs of {self.name}", self.signs, SIGN_RULES)
        if not (self.modules or self.functions or self.methods):
            raise InputError(f"operation {self.name} must have a module, a function or a method; got none. Add one.")

    def sign_rule(self, options: Mapping[str, Any]) -> str:
        """The sign rule of a step or module with given options, one of ``SIGN_RULES``."""
        return self.signs(options) if callable(self.signs) else self.signs

    def lipschitz_constant(self, options: Mapping[str, Any]) -> float | None:
        """The Lipschitz constant in the maximum norm of a step or module with given options; None if unknown."""
        return self.lipschitz(options) if callable(self.lipschitz) else self.lipschitz

    def is_zero_kept(self, options: Mapping[str, Any]) -> bool:
        """Whether a step or module with given options maps zero to zero."""
        return self.keeps_zero(options) if callable(self.keeps_zero) else self.keeps_zero

    def relaxation_of(self, options: Mapping[str, Any]) -> Relaxation | None:
        """How a certificate follows a step or module with given options; None if no certificate can."""
        return self.relaxation(options) if callable(self.relaxation) else self.relaxation
