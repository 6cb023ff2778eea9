"""Activations: which steps of a graph compute with the numbers of the inputs, and which with their sizes alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slth.networks.graph import Step
from slth.networks.kept_module import KeptModule
from slth.networks.operations import REGISTRY, Operation
from slth.networks.operations.operation import SizeOnly


def operation_of(step: Step, modules: Mapping[str, KeptModule]) -> Operation | None:
    """The registered operation of a step; None for a linear map, an input, a constant or the output.

    Args:
        step: the step.
        modules: path → module that stays.

    Raises:
        UnregisteredError: the operation is not registered.
    """
    if step.kind == "module":
        return REGISTRY.get("module", modules[step.call].type) if step.call in modules else None
    return REGISTRY.get(step.kind, step.call) if step.kind in ("function", "method") else None


def activation_steps(steps: Sequence[Step], modules: Mapping[str, KeptModule]) -> frozenset[str]:
    """Names of the steps whose values depend on the numbers of an input.

    The other steps are constants, sizes, and arithmetic on these.

    Args:
        steps: what is computed, in order.
        modules: path → module that stays.
    """
    found: set[str] = set()
    for step in steps:
        operation = operation_of(step, modules)
        reads_sizes = operation is not None and isinstance(operation.relaxation, SizeOnly)
        if step.kind == "input" or (not reads_sizes and not found.isdisjoint(step.references())):
            found.add(step.name)
    return frozenset(found)
