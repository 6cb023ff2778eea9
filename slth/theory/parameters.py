"""The arguments that the bounds share: the symbol, the meaning and the range of each."""

from __future__ import annotations

import math
from dataclasses import dataclass

from slth.errors import InputError, check_choice, check_int, check_positive
from slth.theory.hits import CANDIDATE_LAWS


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """An argument that several bounds take.

    Attributes:
        symbol: how formulas write it.
        meaning: what it is, in a few words.
        kind: int, float or str; a str is one of :data:`~slth.theory.hits.CANDIDATE_LAWS`.
        low: the smallest value.
        high: the largest value.
        above: whether ``low`` itself is excluded.
    """

    symbol: str
    meaning: str
    kind: type
    low: float = 1
    high: float = math.inf
    above: bool = False

    @property
    def range(self) -> str:
        """The values it may take, in words."""
        if self.kind is str:
            return ", ".join(CANDIDATE_LAWS)
        prefix = "integer, " if self.kind is int else ""
        return f"{prefix}{'>' if self.above else '≥'} {self.low:g}" + (
            "" if math.isinf(self.high) else f", {'<' if self.above else '≤'} {self.high:g}"
        )


# The largest sizes keep every power in the formulas inside float64.
PARAMETERS: dict[str, Parameter] = {
    "d": Parameter(symbol="d", meaning="side of a kernel; 1 for a linear layer", kind=int, high=10**6),
    "c_in": Parameter(symbol="c_in", meaning="input channels of the layer", kind=int, high=10**9),
    "c_out": Parameter(symbol="c_out", meaning="output channels of the layer", kind=int, high=10**9),
    "depth": Parameter(symbol="ℓ", meaning="layers of the target", kind=int, high=10**6),
    "D": Parameter(symbol="D", meaning="dimension of one subset sum, d²·c_out", kind=int, high=10**9),
    "k": Parameter(symbol="k", meaning="size of the subset", kind=int, high=10**9),
    "weights": Parameter(symbol="k", meaning="parameters of the target", kind=int, high=10**15),
    "units": Parameter(symbol="d", meaning="width of the target (attention: input dimension)", kind=int, high=10**9),
    "eps": Parameter(symbol="ε", meaning="tolerance", kind=float, low=0, high=1e9, above=True),
    "delta": Parameter(symbol="δ", meaning="failure probability", kind=float, low=1e-300, high=1, above=True),
    "precision": Parameter(symbol="δ", meaning="step of the quantised target", kind=float, low=0, above=True),
    "z": Parameter(symbol="z", meaning="|z_i| of the target, candidates of unit variance", kind=float, low=0, high=1e9),
    "norm": Parameter(symbol="‖K‖₁", meaning="largest entrywise 1-norm of a kernel tensor", kind=float, low=0),
    "law": Parameter(symbol="law", meaning="law of the candidates", kind=str),
}


def check_parameters(**arguments: int | float | str | None) -> None:
    """Check arguments against :data:`PARAMETERS`; None stands for an argument that was left out.

    Raises:
        InputError: an argument is out of range; the message names it and its meaning.
    """
    for name, value in arguments.items():
        parameter = PARAMETERS[name]
        if value is None:
            continue
        hint = f"It is the {parameter.meaning}."
        if parameter.kind is str:
            check_choice(name, value, CANDIDATE_LAWS)
        elif parameter.kind is int:
            check_int(name, value, int(parameter.low), int(parameter.high), hint)
        else:
            given = check_positive(name, value, hint, zero_ok=not parameter.above)
            if given >= parameter.high or given < parameter.low:
                raise InputError(
                    f"{name} must lie between {parameter.low:g} and {parameter.high:g}; got {value}. {hint}"
                )
