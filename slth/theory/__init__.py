"""Theory: references and bounds. No torch here."""

from slth.theory.propagation import layer_output_bound
from slth.theory.references import REFERENCES, Reference

__all__ = ["REFERENCES", "Reference", "layer_output_bound"]
