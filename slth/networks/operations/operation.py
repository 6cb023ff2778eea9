"""What slth knows of an operation between linear maps: its forms, its signs, its memory, how errors pass through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from slth.errors import InputError, check_choice

# What is known of the sign of an operation's output:
# keep     that of its inputs; of several, of all of them together
# plus     never negative
# any      nothing is known
# flip     that of its input, turned round
# product  the sign rule of a product
SIGN_RULES = ("keep", "plus", "any", "flip", "product")


@dataclass(frozen=True)
class Relaxation:
    """How a certificate follows an operation: what becomes of a target's activation and of the ticket's difference."""


@dataclass(frozen=True)
class Identity(Relaxation):
    """In evaluation mode and in real numbers nothing happens."""


@dataclass(frozen=True)
class Rearrangement(Relaxation):
    """Entries are selected and rearranged, which is exact.

    Attributes:
        pads: whether constants are added around them.
    """

    pads: bool = False


@dataclass(frozen=True)
class Average(Relaxation):
    """Sums of entries of one example with weights ≥ 0 that do not depend on them."""


@dataclass(frozen=True)
class SizeOnly(Relaxation):
    """Only the shape is read."""


@dataclass(frozen=True)
class Addition(Relaxation):
    """left + sign·right.

    Attributes:
        sign: 1 or −1.
    """

    sign: int = 1


@dataclass(frozen=True)
class Scaling(Relaxation):
    """Multiplied, or divided, by a number or a constant tensor.

    Attributes:
        divides: whether it is a division.
    """

    divides: bool = False


@dataclass(frozen=True)
class Negation(Relaxation):
    """The sign is turned round."""


@dataclass(frozen=True)
class Relu(Relaxation):
    """max(x, 0)."""


@dataclass(frozen=True)
class LeakyRelu(Relaxation):
    """max(x, 0) + slope·min(x, 0), the slope from the option ``negative_slope``.

    Attributes:
        slope: where the option is not given.
    """

    slope: float = 0.01


@dataclass(frozen=True)
class Clamp(Relaxation):
    """max(low, min(high, x)), the ends from the options ``min_val`` and ``max_val``.

    Attributes:
        low: where ``min_val`` is not given.
        high: where ``max_val`` is not given.
        fixed: whether the ends never come from options.
    """

    low: float
    high: float
    fixed: bool = False


@dataclass(frozen=True)
class Monotone(Relaxation):
    """A function of each entry by itself that never falls: m ≤ φ' ≤ M, with 0 ≤ m.

    Attributes:
        slopes: (m, M).
        error: computed in float64, φ(x) is within ``error``·(1 + |φ(x)|) of the truth. Vectorised elementary functions
            are within one unit in the last place, 2⁻⁵²; the default leaves room for a few roundings.
    """

    slopes: tuple[float, float]
    error: float = 2.0**-48


@dataclass(frozen=True)
class MaxPool(Relaxation):
    """The largest entry of each window.

    Attributes:
        axes: number of spatial axes.
        adaptive: whether the windows follow from the output's size.
    """

    axes: int
    adaptive: bool = False


@dataclass(frozen=True)
class ModuleForm:
    """A module class that computes an operation, and what a file says of an instance.

    Attributes:
        module: the class. Files name it by its ``__name__``.
        options: constructor arguments that say all there is about an instance; each is an attribute of it too.
        tensors: parameters and buffers that stay as they were trained; they are not part of the ticket.
    """

    module: type[nn.Module]
    options: tuple[str, ...] = ()
    tensors: tuple[str, ...] = ()


Lipschitz = Callable[[Mapping[str, Any]], float | None]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation that may stand between linear maps, in all its forms.

    Attributes:
        name: what messages call it; unique.
        signs: its sign rule, one of ``SIGN_RULES``.
        modules: module classes that compute it.
        functions: name in a file → function that computes it.
        methods: tensor methods that compute it.
        operands: whether numbers among its arguments are operands, and not axes or sizes.
        shares_memory: whether its result may lie in the memory of its input, in evaluation mode.
        relaxation: how a certificate follows it; None if no certificate does.
        lipschitz: constant L in ‖φ(x) − φ(y)‖∞ ≤ L‖x − y‖∞, or a function of a module's options; None if unknown.
        keeps_zero: whether φ(0) = 0.

    Raises:
        InputError: an unknown sign rule, or no form at all.
    """

    name: str
    signs: str
    modules: tuple[ModuleForm, ...] = ()
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    methods: tuple[str, ...] = ()
    operands: bool = False
    shares_memory: bool = False
    relaxation: Relaxation | None = None
    lipschitz: float | Lipschitz | None = None
    keeps_zero: bool = False

    def __post_init__(self) -> None:
        check_choice(f"signs of {self.name}", self.signs, SIGN_RULES)
        if not (self.modules or self.functions or self.methods):
            raise InputError(f"operation {self.name} must have a module, a function or a method; got none. Add one.")

    def lipschitz_constant(self, options: Mapping[str, Any]) -> float | None:
        """The Lipschitz constant of a module with some options, in the maximum norm; None if unknown."""
        return self.lipschitz(options) if callable(self.lipschitz) else self.lipschitz
