"""The curves of the bounds figure: candidates of one subset sum against its tolerance, one curve for each bound."""

from __future__ import annotations

import math
from typing import Any

import joblib

from slth.cache import writable_cache_folder
from slth.progress import Progress, follow
from slth.theory import bounds
from slth.theory.evaluation import check_constant
from slth.theory.parameters import check_parameters

# Tolerances of the figure, eight for each of three decades.
PLOT_EPS = [0.25 * 10 ** (-i / 8) for i in range(25)]
# Up to this dimension, certifying one point of the curve takes seconds.
LARGEST_CERTIFIED_DIMENSION = 25


def bound_curves(
    dimension: int, z: float, constant: float, *, progress: bool | Progress = False
) -> dict[str, list[float]]:
    """The numbers of candidates at the tolerances :data:`PLOT_EPS`, one curve for each bound.

    Certified widths take most of the time. They are kept on disk for this version of the theory's code.

    Args:
        dimension: dimension D of one subset sum.
        z: size of the target's entries.
        constant: value assumed for every constant that a theorem leaves open.
        progress: who is told every finished point of a curve.

    Returns:
        The curves, each under a label that says what the constant is; nan where a bound has no number.

    Raises:
        InputError: an argument is out of range.
    """
    check_parameters(D=dimension, z=z)
    check_constant(constant)
    one_channel = {"d": 1, "c_in": 1, "c_out": dimension, "depth": 1}  # the theorem's form D⁶·log³(D/ε)
    asked: list[tuple[str, dict[str, Any], float | None]] = [
        ("first_moment", {"D": dimension, "z": z}, None),
        ("relax_scaling", {"D": dimension}, None),
        *([("certified", {"D": dimension, "z": z}, None)] if dimension <= LARGEST_CERTIFIED_DIMENSION else []),
        ("becchetti2022", {"D": dimension}, constant),
        ("nsn_mrss", {"D": dimension}, constant),
        ("dacunha2023", one_channel, constant),
    ]
    memory = joblib.Memory(writable_cache_folder("bounds", "slth.theory"), verbose=0)
    number = memory.cache(_number)
    drawn: dict[str, list[float]] = {}
    with follow(progress, {key: len(PLOT_EPS) for key, _, _ in asked}, unit="tolerances") as listener:
        for key, given, assumed in asked:
            found = []
            for eps in PLOT_EPS:
                found.append(number(key, assumed, {**given, "eps": eps}))
                listener.advance(key)
            direction, known = found[0][1:]
            drawn[f"{key} ({direction}, {known})"] = [value for value, _, _ in found]
    return drawn


def _number(key: str, constant: float | None, given: dict[str, Any]) -> tuple[float, str, str]:
    """(value or nan, direction, what is known of the constant) of a bound."""
    bound = bounds.compute(key, constant=constant, **given)
    return math.nan if bound.value is None else bound.value, bound.direction, bound.constant
