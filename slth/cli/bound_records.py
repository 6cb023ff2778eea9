"""What the commands of the bounds share: their options, and bounds as records for ``--json``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from slth.theory.bounds import Entry, Layer
    from slth.theory.evaluation import Bound

Constant = Annotated[
    float | None, typer.Option(help="Assume this for the unspecified constant; without it, it stays a letter.")
]
Eps = Annotated[float, typer.Option(help="Tolerance of the network's output, L∞.")]
Delta = Annotated[float, typer.Option(help="Failure probability.")]
Z = Annotated[float, typer.Option("--z", help="Size of target entries, in a candidate's standard deviations.")]


def evaluation_record(bound: Bound) -> dict[str, Any]:
    """A bound evaluated on arguments, JSON-ready."""
    return {"text": str(bound), **asdict(bound), "violations": bound.violations}


def layer_record(layer: Layer, entries: list[Entry]) -> dict[str, Any]:
    """A layer and its bounds, JSON-ready.

    Args:
        layer: the layer.
        entries: its bounds.

    Returns:
        The layer's fields, ``D``, ``tolerance`` and ``bounds``.
    """
    found = {
        entry.key: {"note": entry.note} if entry.bound is None else evaluation_record(entry.bound) for entry in entries
    }
    return {**asdict(layer), "D": layer.dimension, "tolerance": layer.tolerance, "bounds": found}
