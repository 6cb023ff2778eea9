"""All width and sample bounds by key: list them, compute one, or compare all that apply to one layer.

>>> print(compute("becchetti2022", D=4, eps=0.01))
C · 1,766
>>> print(compute("becchetti2022", D=4, eps=0.01, constant=1))
1,766 with C = 1 assumed

Where a theorem leaves its constant open, the bound is a number only together with the constant that was assumed.
Arguments that make no sense (ε ≤ 0, D = 0, δ outside (0, 1)) are errors. Arguments that violate a hypothesis give a
bound without a value; its ``violations`` name the hypothesis.

One reference of the subject is left out because it bounds neither a width nor a sample size: subset sums of random
vectors of more general laws (borst2023).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slth.errors import InputError, check_choice, check_positive
from slth.theory import sample_bounds, width_bounds
from slth.theory.evaluation import Bound, check_constant
from slth.theory.parameters import PARAMETERS, check_parameters
from slth.theory.propagation import layer_output_bound
from slth.theory.references import REFERENCES, Reference


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One bound: the function that evaluates it, and what its ε refers to.

    Attributes:
        function: evaluates the bound. The first line of its docstring states the bound; the line ``Source:`` names the
            reference.
        scope: what ε is the tolerance of. ``weight`` and ``channel``: one subset sum, for one weight or one input
            channel. ``layer`` and ``network``: the output of a layer or of the network. ``other``: the bound is left
            out of layer tables.
    """

    function: Callable[..., Bound]
    scope: str

    @property
    def title(self) -> str:
        """The statement in one line."""
        return inspect.cleandoc(self.function.__doc__ or "").splitlines()[0]

    @property
    def source(self) -> str:
        """Key of :data:`REFERENCES`, from the line ``Source:`` of the function's docstring."""
        return str(re.findall(r"Source: (\w+)", self.function.__doc__ or "")[0])

    @property
    def reference(self) -> Reference:
        """The source of the bound, and where its statement was checked."""
        return REFERENCES[self.source]

    @property
    def parameters(self) -> dict[str, bool]:
        """For each argument but the constant, whether it must be given."""
        found = inspect.signature(self.function).parameters
        return {name: one.default is one.empty for name, one in found.items() if name != "constant"}

    @property
    def has_constant(self) -> bool:
        """Whether a value can be assumed for its constant."""
        return "constant" in inspect.signature(self.function).parameters


BOUNDS: dict[str, Rule] = {
    "dacunha2023": Rule(function=width_bounds.dacunha2023, scope="network"),
    "nsn_mrss": Rule(function=sample_bounds.nsn_mrss, scope="channel"),
    "becchetti2022": Rule(function=sample_bounds.becchetti2022, scope="channel"),
    "first_moment": Rule(function=sample_bounds.first_moment, scope="channel"),
    # Left out of layer tables: it takes minutes where D is above a few hundred.
    "certified": Rule(function=sample_bounds.certified, scope="other"),
    "relax_scaling": Rule(function=sample_bounds.relax_scaling, scope="channel"),
    "lueker1998": Rule(function=sample_bounds.lueker1998, scope="weight"),
    "dacunha2023rss": Rule(function=sample_bounds.dacunha2023rss, scope="weight"),
    "natale2024": Rule(function=sample_bounds.natale2024, scope="weight"),
    "natale2024_uniform": Rule(function=sample_bounds.natale2024_uniform, scope="weight"),
    "plantnseek2022": Rule(function=width_bounds.plantnseek2022, scope="weight"),
    "pensia2020": Rule(function=width_bounds.pensia2020, scope="layer"),
    "ferre2026_neurons": Rule(function=width_bounds.ferre2026_neurons, scope="layer"),
    "ferre2026_weights": Rule(function=width_bounds.ferre2026_weights, scope="layer"),
    "malach2020": Rule(function=width_bounds.malach2020, scope="network"),
    "orseau2020": Rule(function=width_bounds.orseau2020, scope="network"),
    "dacunha2022cnn": Rule(function=width_bounds.dacunha2022cnn, scope="network"),
    "burkholz2022": Rule(function=width_bounds.burkholz2022, scope="network"),
    "kumar2025": Rule(function=width_bounds.kumar2025, scope="other"),
    "kumar2025_lower": Rule(function=width_bounds.kumar2025_lower, scope="other"),
    "otsuka2025": Rule(function=width_bounds.otsuka2025, scope="other"),
    "npp": Rule(function=sample_bounds.npp, scope="other"),
}


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of a target, and the tolerance and failure probability of the whole network.

    Attributes:
        name: name of the layer.
        d: side of its kernels; 1 for a linear layer.
        c_in: input channels.
        c_out: output channels.
        depth: number ℓ of layers of the network.
        eps: tolerance of the network's output (L∞).
        delta: failure probability.
        z: size of the target's entries, in standard deviations of a candidate's entry.
        weights: parameters of the network; None counts those of this layer.
        norm: ‖K‖₁, if known.
        k: subset size, for the bounds with a fixed size.
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
        check_parameters(
            d=self.d, c_in=self.c_in, c_out=self.c_out, depth=self.depth, eps=self.eps, delta=self.delta, z=self.z,
            weights=self.weights, norm=self.norm, k=self.k,
        )  # fmt: skip

    @property
    def dimension(self) -> int:
        """The dimension D = d²·c_out of one subset sum."""
        return self.d**2 * self.c_out

    @property
    def tolerance(self) -> float:
        """The tolerance of one subset sum: the layer's share ε/2ℓ of the error over the d²·c_in entries that add up.

        Source: propagation
        """
        return self.eps / (2 * self.depth) / layer_output_bound(taps=self.d**2, c_in=self.c_in, error=1.0)

    def arguments(self, scope: str) -> dict[str, Any]:
        """The arguments that this layer has for a rule of one scope, by name."""
        eps = {"network": self.eps, "layer": self.eps / (2 * self.depth)}.get(scope, self.tolerance)
        given = {
            "d": self.d, "c_in": self.c_in, "c_out": self.c_out, "depth": self.depth, "eps": eps, "delta": self.delta,
            "z": self.z, "norm": self.norm, "k": self.k, "weights": self.weights or self.dimension * self.c_in,
            "D": 1 if scope == "weight" else self.dimension,
        }  # fmt: skip
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of a layer's table: the bound, or a note that says why the bound has no number.

    Attributes:
        key: key of :data:`BOUNDS`.
        bound: the bound evaluated on the layer; None where it cannot be evaluated.
        note: why it cannot be evaluated.
    """

    key: str
    bound: Bound | None
    note: str = ""


def compute(key: str, *, constant: float | None = None, **arguments: Any) -> Bound:
    """Evaluate one bound.

    Args:
        key: key of :data:`BOUNDS`.
        constant: value assumed for the constant that the theorem leaves open; None leaves it a letter.
        **arguments: the arguments that ``BOUNDS[key].parameters`` lists; see
            :data:`~slth.theory.parameters.PARAMETERS`.

    Returns:
        The bound evaluated on these arguments.

    Raises:
        InputError: the key is unknown; an argument is missing, unknown or out of range; a constant is given where the
            bound has none to assume; the number overflows.
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
    """Evaluate every bound on a layer, its weights, its channels or its network, each with the tolerance it needs.

    Args:
        layer: the layer.
        constant: value assumed for every constant that a theorem leaves open.
        keys: the keys of the bounds; all bounds but those of scope ``other`` if empty.

    Returns:
        One entry for each bound.

    Raises:
        InputError: a key is unknown, or the constant is not positive.
    """
    check_constant(constant)
    entries = []
    for key in keys or [key for key, rule in BOUNDS.items() if rule.scope != "other"]:
        check_choice("key", key, tuple(BOUNDS))
        rule = BOUNDS[key]
        given = {name: value for name, value in layer.arguments(rule.scope).items() if name in rule.parameters}
        # A fitted constant keeps its value: only a constant that the theorem leaves open is assumed.
        is_open = rule.has_constant and rule.reference.constant == "unspecified"
        try:
            entries.append(Entry(key=key, bound=compute(key, constant=constant if is_open else None, **given)))
        except InputError as refusal:
            entries.append(Entry(key=key, bound=None, note=str(refusal)))
    return entries
