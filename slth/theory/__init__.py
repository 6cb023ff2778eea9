"""Theory: references, bounds, thresholds. No torch here."""

from slth.theory.citation import Reference
from slth.theory.propagation import layer_output_bound
from slth.theory.references import REFERENCES

__all__ = ["REFERENCES", "Reference", "layer_output_bound"]
