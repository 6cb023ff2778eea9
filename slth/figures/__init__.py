"""Figures: each function takes an ``ax`` (or makes one), draws on it and returns it; all of them read in greyscale.

The functions below are imported on first use, so that what only may have to draw starts without matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slth.figures.baselines import accuracy_against_density, intervals, reliability, search_cost
    from slth.figures.comparison import error_against_dimension, neuron_gap, outcome_table, price_of_structure
    from slth.figures.scaling import candidates_against_error, error_against_scale, error_against_time
    from slth.figures.theory import success_against_size, three_worlds, width_against_eps
    from slth.figures.tickets import accuracy_against_width, error_per_layer, filters_side_by_side

__all__ = [
    "accuracy_against_density",
    "accuracy_against_width",
    "candidates_against_error",
    "error_against_dimension",
    "error_against_scale",
    "error_against_time",
    "error_per_layer",
    "filters_side_by_side",
    "intervals",
    "neuron_gap",
    "outcome_table",
    "price_of_structure",
    "reliability",
    "search_cost",
    "success_against_size",
    "three_worlds",
    "width_against_eps",
]

_HOMES = {
    **dict.fromkeys(("accuracy_against_density", "intervals", "reliability", "search_cost"), "slth.figures.baselines"),
    **dict.fromkeys(
        ("error_against_dimension", "neuron_gap", "outcome_table", "price_of_structure"), "slth.figures.comparison"
    ),
    **dict.fromkeys(("candidates_against_error", "error_against_scale", "error_against_time"), "slth.figures.scaling"),
    **dict.fromkeys(("success_against_size", "three_worlds", "width_against_eps"), "slth.figures.theory"),
    **dict.fromkeys(("accuracy_against_width", "error_per_layer", "filters_side_by_side"), "slth.figures.tickets"),
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'slth.figures' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
