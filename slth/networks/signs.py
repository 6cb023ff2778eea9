"""What is known of the sign of every value in a graph: non-negative inputs need one sign group of a layer, not two."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from slth.errors import InputError
from slth.networks.example import Range
from slth.networks.graph import Step
from slth.networks.kept_module import KeptModule
from slth.networks.operations import REGISTRY


def map_signs(
    steps: tuple[Step, ...],
    ranges: Range | Mapping[str, Range] | None,
    modules: Mapping[str, KeptModule],
    constants: Mapping[str, Any],
) -> dict[str, str]:
    """The signs that the inputs of every map and module can have.

    Args:
        steps: what is computed, in order.
        ranges: (lo, hi) of all inputs of the network, or of each by name; None for values of any sign.
        modules: path → module that stays.
        constants: name → tensor.

    Returns:
        Path of a map or module → ``+``, ``-`` or ``+-``.

    Raises:
        InputError: a range that is not a pair with lo ≤ hi, or a name that no input has.
    """
    signs = propagate_signs(steps, input_signs(steps, ranges), modules, constants)
    seen: dict[str, str] = {}
    for step in steps:
        if step.kind == "module":
            seen[step.call] = _join(seen.get(step.call, "") + "".join(signs[source] for source in step.references()))
    return seen


def propagate_signs(
    steps: tuple[Step, ...], inputs: Mapping[str, str], modules: Mapping[str, KeptModule], constants: Mapping[str, Any]
) -> dict[str, str]:
    """The signs ("+", "-" or "+-") that each step's value can have; a linear map's value can have any.

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
            signs[step.name] = _of(constants[step.call])
        elif step.kind == "module":
            kept = modules.get(step.call)
            rule = REGISTRY.get("module", kept.type).signs if kept and not _reverses(kept.options) else "any"
            signs[step.name] = _apply(rule, given, ())
        elif step.kind != "output":
            operation = REGISTRY.get(step.kind, step.call)
            numbers = (*step.args, *step.options.values()) if operation.operands else ()
            below = not numbers and any(isinstance(value, float) and value < 0 for value in step.args)
            rule = "any" if below or _reverses(step.options) else operation.signs
            signs[step.name] = _apply(rule, given, numbers if rule in ("keep", "product") else ())
    return signs


def input_signs(steps: tuple[Step, ...], ranges: Range | Mapping[str, Range] | None) -> dict[str, str]:
    """The signs that each input can have.

    Args:
        steps: what is computed, in order.
        ranges: (lo, hi) of all inputs, or of each by name; None for values of any sign.

    Returns:
        Name of an input → its signs.

    Raises:
        InputError: a range that is not a pair with lo ≤ hi, or a name that no input has.
    """
    names = [step.name for step in steps if step.kind == "input"]
    if isinstance(ranges, Mapping):
        unknown = [name for name in ranges if name not in names]
        if unknown:
            raise InputError(f"input_range names no input {unknown[0]!r}; the model has {', '.join(names)}.")
        return {name: _of_range(ranges.get(name)) for name in names}
    return dict.fromkeys(names, _of_range(ranges))


def _of_range(input_range: Range | None) -> str:
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
    return ("+" if high > 0 else "") + ("-" if low < 0 else "") or "+"


def _apply(rule: str, given: list[str], literals: tuple[Any, ...]) -> str:
    if rule == "plus":
        return "+"
    given = given + [_of(value) for value in literals if isinstance(value, int | float) and not isinstance(value, bool)]
    if rule == "any" or not given:
        return "+-"
    if rule == "keep":
        return _join("".join(given))
    if rule == "flip":
        return given[0].translate(str.maketrans("+-", "-+"))
    result = given[0]
    for other in given[1:]:
        result = _join("".join("+" if a == b else "-" for a in result for b in other))
    return result


def _reverses(options: Mapping[str, Any]) -> bool:
    """Whether a parameter is below zero: then a − b is called a + α·b, and ELU takes negative numbers to positive."""
    given = (options.get(name, 0) for name in ("alpha", "beta", "k", "divisor_override"))
    return any(isinstance(value, int | float) and value < 0 for value in given)


def _of(value: Any) -> str:
    low, high = (value, value) if isinstance(value, int | float) else (value.min(initial=0), value.max(initial=0))
    return _join(("+" if high > 0 else "") + ("-" if low < 0 else ""))


def _join(signs: str) -> str:
    return "".join(sign for sign in "+-" if sign in signs) or "+"
