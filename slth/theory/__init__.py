"""Theory: references, published bounds, first-moment thresholds and certified widths; nothing here needs torch."""

from slth.theory.propagation import layer_output_bound
from slth.theory.references import REFERENCES, Reference

__all__ = ["REFERENCES", "Reference", "layer_output_bound"]
