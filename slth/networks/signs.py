"""Signs: which signs the values in a graph can have. A layer whose inputs are never negative needs one sign group only.

A set of signs is written ``+`` (never negative), ``-`` (never positive) or ``+-`` (any sign); zero belongs to each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from slth.errors import InputError
from slth.networks.graph import Step
from slth.networks.kept_module import KeptModule
from slth.networks.operations import REGISTRY

Range = tuple[float, float]


def map_signs(
    steps: tuple[Step, ...],
    ranges: Range | Mapping[str, Range] | None,
    modules: Mapping[str, KeptModule],
    constants: Mapping[str, Any],
) -> dict[str, str]:
    """The signs that the inputs of each linear map and kept module can have.

    Args:
        steps: what is computed, in order.
        ranges: (lo, hi) of all inputs of the network, or a pair for each input by name; None for any values.
        modules: path → module that stays.
        constants: name → tensor.

    Returns:
        Path of a map or module → signs of its inputs, over all its uses.

    Raises:
        InputError: a range is not a pair with lo ≤ hi, or belongs to no input.
    """
    signs = propagate_signs(steps, input_signs(steps, ranges), modules, constants)
    found: dict[str, str] = {}
    for step in steps:
        if step.kind == "module":
            found[step.call] = _union([found.get(step.call, ""), *(signs[source] for source in step.references())])
    return found


def propagate_signs(
    steps: tuple[Step, ...], inputs: Mapping[str, str], modules: Mapping[str, KeptModule], constants: Mapping[str, Any]
) -> dict[str, str]:
    """The signs that the value of each step can have; the output of a linear map can have any.

    Args:
        steps: what is computed, in order.
        inputs: name of an input → its signs.
        modules: path → module that stays.
        constants: name → tensor.

    Returns:
        Name of a step → its signs.
    """
    signs: dict[str, str] = {}
    for step in steps:
        given = [signs[name] for name in step.references()]
        if step.kind == "input":
            signs[step.name] = inputs[step.name]
        elif step.kind == "constant":
            signs[step.name] = _value_signs(constants[step.call])
        elif step.kind == "module":
            kept = modules.get(step.call)
            rule = "any"
            if kept and not _has_negative_parameter(kept.options):
                rule = REGISTRY.get("module", kept.type).sign_rule(kept.options)
            signs[step.name] = _apply_rule(rule, given, ())
        elif step.kind != "output":
            operation = REGISTRY.get(step.kind, step.call)
            numbers = (*step.args, *step.options.values()) if operation.operands else ()
            # A negative number among the arguments may be a parameter, such as the α of ELU given by position.
            negative = not numbers and any(isinstance(value, float) and value < 0 for value in step.args)
            rule = "any" if negative or _has_negative_parameter(step.options) else operation.sign_rule(step.options)
            signs[step.name] = _apply_rule(rule, given, numbers if rule in ("keep", "product") else ())
    return signs


def check_ranges(ranges: Range | Mapping[str, Range] | None) -> None:
    """Refuse ranges that are no pairs (lo, hi) with lo ≤ hi.

    Args:
        ranges: (lo, hi) of all inputs, or a pair for each input by name; None for any values.

    Raises:
        InputError: a range is no such pair.
    """
    for one in ranges.values() if isinstance(ranges, Mapping) else (ranges,):
        _range_signs(one)


def input_signs(steps: tuple[Step, ...], ranges: Range | Mapping[str, Range] | None) -> dict[str, str]:
    """The signs that each input can have.

    Args:
        steps: what is computed, in order.
        ranges: (lo, hi) of all inputs, or a pair for each input by name; None for any values.

    Returns:
        Name of an input → its signs.

    Raises:
        InputError: a range is not a pair with lo ≤ hi, or belongs to no input.
    """
    names = [step.name for step in steps if step.kind == "input"]
    if isinstance(ranges, Mapping):
        unknown = [name for name in ranges if name not in names]
        if unknown:
            raise InputError(f"input_range names no input {unknown[0]!r}; the model has {', '.join(names)}.")
        return {name: _range_signs(ranges.get(name)) for name in names}
    return dict.fromkeys(names, _range_signs(ranges))


def _range_signs(input_range: Range | None) -> str:
    if input_range is None:
        return "+-"
    try:
        low, high = (float(value) for value in input_range if not isinstance(value, str))
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not low <= high:
        raise InputError(
            f"input_range must be a pair (lo, hi) with lo ≤ hi; got {input_range!r}. "
            "Pass (0, 1) for pixels in [0, 1], or leave it out for inputs of any sign."
        )
    return _interval_signs(low, high)


def _apply_rule(rule: str, given: list[str], literals: tuple[Any, ...]) -> str:
    """The signs of an operation's output, by a rule of ``SIGN_RULES`` from those of its inputs and literals."""
    if rule == "plus":
        return "+"
    numbers = [value for value in literals if isinstance(value, int | float) and not isinstance(value, bool)]
    given = given + [_value_signs(value) for value in numbers]
    if rule == "any" or not given:
        return "+-"
    if rule == "keep":
        return _union(given)
    if rule == "flip":
        return given[0].translate(str.maketrans("+-", "-+"))
    product = given[0]
    for other in given[1:]:
        product = _union("+" if a == b else "-" for a in product for b in other)
    return product


def _has_negative_parameter(options: Mapping[str, Any]) -> bool:
    """Whether a parameter below zero breaks the sign rule: with α < 0, a + α·b subtracts, and ELU(−1) is positive."""
    given = (options.get(name, 0) for name in ("alpha", "beta", "k", "divisor_override"))
    return any(isinstance(value, int | float) and value < 0 for value in given)


def _value_signs(value: Any) -> str:
    """The signs of a number, or of the entries of an array."""
    low, high = (value, value) if isinstance(value, int | float) else (value.min(initial=0), value.max(initial=0))
    return _interval_signs(low, high)


def _interval_signs(low: float, high: float) -> str:
    """The signs of the numbers from ``low`` to ``high``."""
    return ("+" if high > 0 else "") + ("-" if low < 0 else "") or "+"


def _union(parts: Iterable[str]) -> str:
    """All signs in some sets of signs; "+" if all sets are empty, because the value is then zero."""
    signs = "".join(parts)
    return "".join(sign for sign in "+-" if sign in signs) or "+"
