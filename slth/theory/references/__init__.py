"""Every source the project uses, once; a docstring names its key in a ``Source:`` line."""

from __future__ import annotations

from slth.theory.references.derived import DERIVED
from slth.theory.references.published_bounds import PUBLISHED_BOUNDS
from slth.theory.references.reference import Reference
from slth.theory.references.tools import TOOLS
from slth.theory.references.trained_tickets import TRAINED_TICKETS

__all__ = ["REFERENCES", "Reference"]

REFERENCES: dict[str, Reference] = {**PUBLISHED_BOUNDS, **TRAINED_TICKETS, **TOOLS, **DERIVED}
