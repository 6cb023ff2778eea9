"""Figures: each function takes an ``ax`` (or makes one), draws on it and returns it; all of them read in greyscale."""

from slth.figures.baselines import accuracy_against_density, intervals, reliability, search_cost
from slth.figures.comparison import error_against_dimension, neuron_gap, outcome_table, price_of_structure
from slth.figures.scaling import candidates_against_error, error_against_scale
from slth.figures.theory import success_against_size, three_worlds, width_against_eps
from slth.figures.tickets import accuracy_against_width, error_per_layer, filters_side_by_side

__all__ = [
    "accuracy_against_density",
    "accuracy_against_width",
    "candidates_against_error",
    "error_against_dimension",
    "error_against_scale",
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
