"""What a bound says: a number only where its constant is known, hypotheses with the arguments they were met with."""

from __future__ import annotations

import math
from dataclasses import dataclass

from slth.errors import InputError, check_choice, check_int, check_positive
from slth.theory.hits import CANDIDATE_LAWS

# Which way a bound points; the values are what tables and --json say.
SUFFICIENT, NECESSARY, SHARP, MEASURED = "sufficient", "necessary", "sharp", "measured"


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """One hypothesis of a theorem: its text, whether the arguments meet it (None: they do not tell), what came."""

    text: str
    holds: bool | None
    got: str = ""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A bound evaluated on arguments.

    Attributes:
        value: the number, None where a constant is unspecified and none was given, where a hypothesis is violated,
            or where float64 cannot hold it (``form`` then still tells).
        direction: ``sufficient``, ``necessary``, ``sharp`` (both, up to the constant) or ``measured``.
        constant: ``explicit``, ``C unspecified``, ``with C = 1 assumed`` or ``fitted c = …``.
        hypotheses: each evaluated on the arguments. reference: key of REFERENCES.
        quantity: what is counted. form: the formula on these arguments, its constant left as a letter.
    """

    value: float | None
    direction: str
    constant: str
    hypotheses: tuple[Hypothesis, ...]
    reference: str
    quantity: str
    form: str

    @property
    def violations(self) -> tuple[str, ...]:
        """Hypotheses that the arguments break, each with what came."""
        return tuple(f"{one.text} (got {one.got})" for one in self.hypotheses if one.holds is False)

    def __str__(self) -> str:
        if self.violations:
            return f"does not apply: needs {'; '.join(self.violations)}"
        if self.value is None or self.constant == "explicit":
            return self.form
        return f"{number(self.value)} {self.constant}"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """An argument that bounds share: a symbol, a meaning, a range (``low`` itself excluded where ``above``)."""

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
        whole = "integer, " if self.kind is int else ""
        return f"{whole}{'>' if self.above else '≥'} {self.low:g}" + (
            "" if math.isinf(self.high) else f", {'<' if self.above else '≤'} {self.high:g}"
        )


# The widest sizes keep every power in the formulas inside float64.
PARAMETERS: dict[str, Parameter] = {
    "d": Parameter(symbol="d", meaning="side of a kernel; 1 for a linear layer", kind=int, high=10**6),
    "c_in": Parameter(symbol="c_in", meaning="input channels of the layer", kind=int, high=10**9),
    "c_out": Parameter(symbol="c_out", meaning="output channels of the layer", kind=int, high=10**9),
    "depth": Parameter(symbol="ℓ", meaning="layers of the target", kind=int, high=10**6),
    "D": Parameter(symbol="D", meaning="dimension of one subset sum, d²·c_out", kind=int, high=10**9),
    "k": Parameter(symbol="k", meaning="size of the subset", kind=int, high=10**9),
    "weights": Parameter(symbol="k", meaning="parameters of the target", kind=int, high=10**15),
    "units": Parameter(symbol="d", meaning="width of the target (attention: input dimension)", kind=int, high=10**9),
    "eps": Parameter(symbol="ε", meaning="tolerance", kind=float, low=0, above=True),
    "delta": Parameter(symbol="δ", meaning="failure probability", kind=float, low=0, high=1, above=True),
    "precision": Parameter(symbol="δ", meaning="step of the quantised target", kind=float, low=0, above=True),
    "z": Parameter(symbol="z", meaning="|z_i| of the target, candidates of unit variance", kind=float, low=0),
    "norm": Parameter(symbol="‖K‖₁", meaning="largest entrywise 1-norm of a kernel tensor", kind=float, low=0),
    "law": Parameter(symbol="law", meaning="of the candidates", kind=str),
}


def check(**arguments: int | float | str | None) -> None:
    """Check arguments against :data:`PARAMETERS`; None is an argument that was left out.

    Raises:
        InputError: out of range; the message names the parameter and its meaning.
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
            if given >= parameter.high:
                raise InputError(
                    f"{name} must lie between {parameter.low:g} and {parameter.high:g}; got {value}. {hint}"
                )


def small(eps: float) -> Hypothesis:
    """ε < 1, without which no logarithm of 1/ε is positive."""
    return Hypothesis(text="ε < 1", holds=eps < 1, got=f"{eps:g}")


def assumed(text: str) -> Hypothesis:
    """A hypothesis that the arguments say nothing about."""
    return Hypothesis(text=text, holds=None)


def scaled(
    reference: str,
    size: float,
    constant: float | None,
    *,
    quantity: str,
    hypotheses: tuple[Hypothesis, ...],
    direction: str = SUFFICIENT,
    power: int = 1,
) -> Bound:
    """The bound :math:`C^{power}·size` with an unspecified C, or the one that was given.

    Raises:
        InputError: the constant is not positive, or the number overflows.
    """
    check_constant(constant)
    letter = "C" if power == 1 else f"C{'⁰¹²³⁴⁵⁶⁷⁸⁹'[power]}"
    value = None if constant is None else constant**power * size
    return Bound(
        value=_kept(value, hypotheses, reference),
        direction=direction,
        constant=said(constant),
        hypotheses=hypotheses,
        reference=reference,
        quantity=quantity,
        form=f"{letter} · {number(size)}",
    )


def solved(
    reference: str,
    value: float | None,
    constant: str,
    *,
    form: str,
    quantity: str,
    hypotheses: tuple[Hypothesis, ...],
    direction: str = SUFFICIENT,
) -> Bound:
    """A bound that is no multiple of its constant: the caller found the value and says the form."""
    return Bound(
        value=_kept(value, hypotheses, reference),
        direction=direction,
        constant=constant,
        hypotheses=hypotheses,
        reference=reference,
        quantity=quantity,
        form=form,
    )


def check_constant(constant: float | None) -> None:
    """Raise InputError unless the constant is positive, or left out."""
    if constant is not None:
        check_positive("constant", constant, "It stands for the theorem's unspecified constant.")


def said(constant: float | None) -> str:
    """How a constant that the theorem leaves open is reported."""
    return "C unspecified" if constant is None else f"with C = {constant:g} assumed"


def number(value: float) -> str:
    """Three digits: 97.7, 1,234, 8.8e5."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e5:
        return f"{int(value):,}"
    if 0.01 <= abs(value) < 1e5:
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def magnitude(log: float) -> str:
    """The number with this natural logarithm, also where float64 has no room for it."""
    digits = log / math.log(10)
    if abs(digits) < 300:
        return number(math.exp(log))
    exponent = math.floor(digits + 0.0002)  # 9.995 and above are shown as 10
    return f"{10 ** (digits - exponent):.2f}e{exponent}"


def _kept(value: float | None, hypotheses: tuple[Hypothesis, ...], reference: str) -> float | None:
    if value is None or any(one.holds is False for one in hypotheses):
        return None
    if not math.isfinite(value):
        raise InputError(f"{reference} overflows float64 on these arguments. Choose smaller ones, or a larger eps.")
    return value
