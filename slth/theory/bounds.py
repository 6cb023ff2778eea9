"""All width and sample bounds, by key: list them, compute one, or put all that speak of one layer side by side.

>>> print(compute("becchetti2022", D=4, eps=0.01))
C · 1,766
>>> print(compute("becchetti2022", D=4, eps=0.01, constant=1))
1,766 with C = 1 assumed

A bound whose constant its theorem leaves open is a number only together with the constant that was assumed. Arguments
that make no sense (ε ≤ 0, D = 0, δ outside (0, 1)) are errors; arguments that break a hypothesis give a bound without
a value, whose ``violations`` name it.

Not here, for they bound no width or size: what of random vectors hits a target for wider laws (borst2023).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slth.errors import InputError, check_choice, check_positive
from slth.theory import samples, widths
from slth.theory.propagation import layer_output_bound
from slth.theory.references import REFERENCES, Reference
from slth.theory.statement import PARAMETERS, Bound, check


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One bound: the function that evaluates it, and what one such thing is needed for.

    ``scope`` says which tolerance its ε is: of one ``weight`` or one ``channel`` (a subset sum), of a ``layer``'s
    output or the ``network``'s; ``other`` bounds speak of something that a layer table has no place for.
    """

    function: Callable[..., Bound]
    scope: str

    @property
    def title(self) -> str:
        """The statement, in one line."""
        return inspect.cleandoc(self.function.__doc__ or "").splitlines()[0]

    @property
    def source(self) -> str:
        """Key of REFERENCES, from the docstring's Source line."""
        return re.findall(r"Source: (\w+)", self.function.__doc__ or "")[0]

    @property
    def reference(self) -> Reference:
        """Where it comes from and how sure its wording is."""
        return REFERENCES[self.source]

    @property
    def parameters(self) -> dict[str, bool]:
        """Names of its arguments, and whether each must be given; the constant is none of them."""
        names = inspect.signature(self.function).parameters
        return {name: one.default is one.empty for name, one in names.items() if name != "constant"}

    @property
    def has_constant(self) -> bool:
        """Whether a constant can be assumed for it."""
        return "constant" in inspect.signature(self.function).parameters


BOUNDS: dict[str, Rule] = {
    "dacunha2023": Rule(function=widths.dacunha2023, scope="network"),
    "nsn_mrss": Rule(function=samples.nsn_mrss, scope="channel"),
    "becchetti2022": Rule(function=samples.becchetti2022, scope="channel"),
    "first_moment": Rule(function=samples.first_moment, scope="channel"),
    # Not in layer tables: from D of some hundred on it takes minutes.
    "certified": Rule(function=samples.certified, scope="other"),
    "relax_scaling": Rule(function=samples.relax_scaling, scope="channel"),
    "lueker1998": Rule(function=samples.lueker1998, scope="weight"),
    "dacunha2023rss": Rule(function=samples.dacunha2023rss, scope="weight"),
    "natale2024": Rule(function=samples.natale2024, scope="weight"),
    "natale2024_uniform": Rule(function=samples.natale2024_uniform, scope="weight"),
    "plantnseek2022": Rule(function=widths.plantnseek2022, scope="weight"),
    "pensia2020": Rule(function=widths.pensia2020, scope="layer"),
    "ferre2026_neurons": Rule(function=widths.ferre2026_neurons, scope="layer"),
    "ferre2026_weights": Rule(function=widths.ferre2026_weights, scope="layer"),
    "malach2020": Rule(function=widths.malach2020, scope="network"),
    "orseau2020": Rule(function=widths.orseau2020, scope="network"),
    "dacunha2022cnn": Rule(function=widths.dacunha2022cnn, scope="network"),
    "burkholz2022": Rule(function=widths.burkholz2022, scope="network"),
    "kumar2025": Rule(function=widths.kumar2025, scope="other"),
    "kumar2025_lower": Rule(function=widths.kumar2025_lower, scope="other"),
    "otsuka2025": Rule(function=widths.otsuka2025, scope="other"),
    "npp": Rule(function=samples.npp, scope="other"),
}


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of a target, and what is asked of the whole network.

    Attributes:
        name: of the layer. d: side of its kernels (1: linear). c_in, c_out: channels. depth: ℓ, layers of the network.
        eps: tolerance of the network's output, L∞. delta: failure probability. z: size of target entries, in units
            of a candidate's standard deviation. weights: parameters of the network (None: of this layer).
        norm: ‖K‖₁ if known. k: subset size, for fixed-size bounds.
    """

    name: str = "layer"
    d: int
    c_in: int
    c_out: int
    depth: int
    eps: float
    delta: float
    z: float = 0.5
    weights: int | None = None
    norm: float | None = None
    k: int | None = None

    def __post_init__(self) -> None:
        check(d=self.d, c_in=self.c_in, c_out=self.c_out, depth=self.depth, eps=self.eps, delta=self.delta, z=self.z)
        check(weights=self.weights, norm=self.norm, k=self.k)

    @property
    def dimension(self) -> int:
        """D = d²·c_out."""
        return self.d**2 * self.c_out

    @property
    def tolerance(self) -> float:
        """ε of one subset sum: the layer's share ε/2ℓ of the error, over d²·c_in entries that may add up.

        Source: propagation
        """
        return self.eps / (2 * self.depth) / layer_output_bound(taps=self.d**2, c_in=self.c_in, error=1.0)

    def arguments(self, scope: str) -> dict[str, Any]:
        """What a rule of this scope can be given."""
        eps = {"network": self.eps, "layer": self.eps / (2 * self.depth)}.get(scope, self.tolerance)
        given = {
            "d": self.d, "c_in": self.c_in, "c_out": self.c_out, "depth": self.depth, "eps": eps, "delta": self.delta,
            "z": self.z, "norm": self.norm, "k": self.k, "weights": self.weights or self.dimension * self.c_in,
            "D": 1 if scope == "weight" else self.dimension,
        }  # fmt: skip
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of a layer's table: the bound, or a note that says why there is none."""

    key: str
    bound: Bound | None
    note: str = ""


def compute(key: str, *, constant: float | None = None, **arguments: Any) -> Bound:
    """Evaluate one bound.

    Args:
        key: in :data:`BOUNDS`. constant: assumed for the unspecified one; None leaves it a letter.
        arguments: the bound's own, see ``BOUNDS[key].parameters`` and :data:`~slth.theory.statement.PARAMETERS`.

    Raises:
        InputError: an unknown key; an argument missing, unknown or out of range; a constant where there is none;
            overflow.
    """
    check_choice("key", key, tuple(BOUNDS))
    rule = BOUNDS[key]
    takes = ", ".join(name if needed else f"[{name}]" for name, needed in rule.parameters.items())
    unknown = [name for name in arguments if name not in rule.parameters]
    if unknown:
        raise InputError(f"{key} has no argument {', '.join(unknown)}; it takes {takes}. Leave the others out.")
    missing = [name for name, needed in rule.parameters.items() if needed and name not in arguments]
    if missing:
        meanings = "; ".join(f"{name}: {PARAMETERS[name].meaning}" for name in missing)
        raise InputError(f"{key} takes {takes}; {', '.join(missing)} must be given ({meanings}).")
    if constant is None:
        return rule.function(**arguments)
    check_positive("constant", constant, "It stands for the theorem's unspecified constant.")
    if not rule.has_constant:
        reason = "is explicit" if rule.reference.constant == "explicit" else "is not recorded as a formula"
        raise InputError(f"{key} {reason}: there is no constant to assume. Leave --constant out.")
    return rule.function(constant=constant, **arguments)


def for_layer(layer: Layer, *, constant: float | None = None, keys: tuple[str, ...] = ()) -> list[Entry]:
    """Every bound that speaks of a layer, its weights or channels, or its network, with the tolerances that these need.

    Args:
        constant: assumed for every unspecified constant. keys: only these; all of them if empty.

    Raises:
        InputError: an unknown key, a constant that is not positive.
    """
    entries = []
    for key in keys or [key for key, rule in BOUNDS.items() if rule.scope != "other"]:
        check_choice("key", key, tuple(BOUNDS))
        rule = BOUNDS[key]
        given = {name: value for name, value in layer.arguments(rule.scope).items() if name in rule.parameters}
        # Fitted constants stay what was fitted: an assumption is for constants that nobody knows.
        free = rule.has_constant and rule.reference.constant == "unspecified"
        try:
            entries.append(Entry(key=key, bound=compute(key, constant=constant if free else None, **given)))
        except InputError as refusal:
            entries.append(Entry(key=key, bound=None, note=str(refusal)))
    return entries
