"""Properties of operations that depend on the options of a step or module."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from slth.networks.operations.operation import Rearrangement, Relaxation

_SIGNED = ("float16", "bfloat16", "float32", "float64", "int32", "int64")


def average_lipschitz(options: Mapping[str, Any]) -> float | None:
    """1 for an average over windows; None where the sum is divided by another number than the window's size."""
    return None if options.get("divisor_override") else 1.0


def leaky_relu_lipschitz(options: Mapping[str, Any]) -> float | None:
    """The larger slope."""
    return max(1.0, abs(float(options.get("negative_slope", 0.01))))


def clamp_ends(options: Mapping[str, Any]) -> tuple[Any, Any]:
    """The ends of a clamp: numbers, references, or None where there is none."""
    low, high = (next((options[name] for name in names if options.get(name) is not None), None)
                 for names in (("min_val", "min"), ("max_val", "max")))  # fmt: skip
    return low, high


def clamp_keeps_zero(options: Mapping[str, Any]) -> bool:
    """Whether zero lies between the ends, as far as they are numbers."""
    low, high = clamp_ends(options)
    return all(isinstance(one, int | float | None) for one in (low, high)) and (low or 0) <= 0 <= (high or 0)


def clamp_signs(options: Mapping[str, Any]) -> str:
    """Never negative if the lower end is not; the signs of the input if zero lies between the ends."""
    low, high = clamp_ends(options)
    if isinstance(low, int | float) and low >= 0:
        return "plus"
    return "keep" if clamp_keeps_zero(options) and not (low is None and high is None) else "any"


def conversion_signs(options: Mapping[str, Any]) -> str:
    """The signs of the input; truth values, and the large numbers that unsigned types make of −1, are positive."""
    return "keep" if str(options.get("dtype")).removeprefix("torch.") in _SIGNED else "any"


def pad_signs(options: Mapping[str, Any]) -> str:
    """The signs of the input, unless a number other than zero is put around it."""
    return "keep" if options.get("mode", "constant") != "constant" or not options.get("value") else "any"


def pads_zero(options: Mapping[str, Any]) -> bool:
    """Whether no number other than zero is put around the input."""
    return pad_signs(options) == "keep"


def pad_relaxation(options: Mapping[str, Any]) -> Relaxation | None:
    """A rearrangement with constants around it, if these are finite numbers."""
    value = options.get("value") or 0
    return Rearrangement(pads=True) if isinstance(value, int | float) and math.isfinite(value) else None


def interpolation_lipschitz(options: Mapping[str, Any]) -> float | None:
    """1 for averages; None for cubic interpolation, which overshoots."""
    return None if options.get("mode") == "bicubic" else 1.0


def interpolation_relaxation(options: Mapping[str, Any]) -> Relaxation | None:
    """Nearest entries are selected; the weights of other modes are rounded, with an error that is not bounded here."""
    return Rearrangement() if options.get("mode", "nearest") in ("nearest", "nearest-exact") else None


def interpolation_signs(options: Mapping[str, Any]) -> str:
    """The signs of the input, unless cubic interpolation overshoots."""
    return "any" if options.get("mode") == "bicubic" else "keep"
