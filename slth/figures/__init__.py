"""Figures. Each takes an ``ax`` (or makes one) and returns it; all of them read in greyscale."""

from slth.figures.theory import success_against_size, three_worlds, width_against_eps
from slth.figures.tickets import accuracy_against_width, error_per_layer, filters_side_by_side

__all__ = [
    "accuracy_against_width",
    "error_per_layer",
    "filters_side_by_side",
    "success_against_size",
    "three_worlds",
    "width_against_eps",
]
