"""A bound evaluated on arguments: its number where the constant is known, and whether its hypotheses hold."""

from __future__ import annotations

import math
from dataclasses import dataclass

from slth.errors import InputError, check_positive
from slth.theory.formatting import format_number

# Which way a bound points; tables and --json show these words.
SUFFICIENT, NECESSARY, SHARP, MEASURED = "sufficient", "necessary", "sharp", "measured"
SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """One hypothesis of a theorem, evaluated on the arguments.

    Attributes:
        text: the hypothesis in a few words.
        holds: whether the arguments satisfy it; None where they cannot decide it.
        got: the value of the argument that it speaks of, as text.
    """

    text: str
    holds: bool | None
    got: str = ""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A bound evaluated on arguments.

    Attributes:
        value: the number. It is None where the theorem leaves its constant open and none was given, where a
            hypothesis is violated, and where float64 cannot hold the number (``form`` still states it).
        direction: ``sufficient``, ``necessary``, ``sharp`` (both, up to the constant) or ``measured``.
        constant: ``explicit``, ``C unspecified``, ``with C = 1 assumed`` or ``with fitted c = …``.
        hypotheses: the theorem's hypotheses, each evaluated on the arguments.
        reference: key of :data:`~slth.theory.references.REFERENCES`.
        quantity: what the number counts.
        form: the formula on these arguments, with the constant as a letter.
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
        """The hypotheses that the arguments violate, each with the value it got."""
        return tuple(f"{one.text} (got {one.got})" for one in self.hypotheses if one.holds is False)

    def __str__(self) -> str:
        if self.violations:
            return f"does not apply: needs {'; '.join(self.violations)}"
        if self.value is None or self.constant == "explicit":
            return self.form
        return f"{format_number(self.value)} {self.constant}"


def eps_below_one(eps: float) -> Hypothesis:
    """The hypothesis ε < 1, which makes log(1/ε) positive."""
    return Hypothesis(text="ε < 1", holds=eps < 1, got=f"{eps:g}")


def undecided(text: str) -> Hypothesis:
    """A hypothesis that the arguments cannot decide."""
    return Hypothesis(text=text, holds=None)


def proportional_bound(
    reference: str,
    size: float,
    constant: float | None,
    *,
    quantity: str,
    hypotheses: tuple[Hypothesis, ...],
    direction: str = SUFFICIENT,
    power: int = 1,
) -> Bound:
    """The bound :math:`C^{power}·size`, whose constant C the theorem leaves open.

    Args:
        reference: key of :data:`~slth.theory.references.REFERENCES`.
        size: the number that the constant multiplies.
        constant: the value assumed for C; None leaves it a letter.
        quantity: what the bound counts.
        hypotheses: the theorem's hypotheses, each evaluated on the arguments.
        direction: which way the bound points.
        power: exponent of C, 0 to 9.

    Raises:
        InputError: the constant is not positive, or the number overflows.
    """
    check_constant(constant)
    value = None
    if constant is not None:
        try:
            value = constant**power * size
        except OverflowError:
            value = math.inf
    letter = "C" if power == 1 else f"C{SUPERSCRIPTS[power]}"
    return computed_bound(
        reference,
        value,
        describe_constant(constant),
        form=f"{letter} · {format_number(size)}",
        quantity=quantity,
        hypotheses=hypotheses,
        direction=direction,
    )


def computed_bound(
    reference: str,
    value: float | None,
    constant: str,
    *,
    form: str,
    quantity: str,
    hypotheses: tuple[Hypothesis, ...],
    direction: str = SUFFICIENT,
) -> Bound:
    """The bound with a value and a form that the caller computed.

    Args:
        reference: key of :data:`~slth.theory.references.REFERENCES`.
        value: the number; dropped where a hypothesis is violated.
        constant: what is known of the constant, in words.
        form: the formula on these arguments.
        quantity: what the bound counts.
        hypotheses: the theorem's hypotheses, each evaluated on the arguments.
        direction: which way the bound points.

    Raises:
        InputError: the number overflows.
    """
    if any(one.holds is False for one in hypotheses):
        value = None
    if value is not None and not math.isfinite(value):
        raise InputError(f"{reference} overflows float64 on these arguments. Choose smaller ones, or a larger eps.")
    return Bound(
        value=value,
        direction=direction,
        constant=constant,
        hypotheses=hypotheses,
        reference=reference,
        quantity=quantity,
        form=form,
    )


def check_constant(constant: float | None) -> None:
    """Raise InputError unless the constant is positive or left out."""
    if constant is not None:
        check_positive("constant", constant, "It stands for the theorem's unspecified constant.")


def describe_constant(constant: float | None) -> str:
    """What is known of a constant that the theorem leaves open."""
    return "C unspecified" if constant is None else f"with C = {constant:g} assumed"
