"""A sequential target as the theory needs it: a list of layers, each described by its norms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slth.errors import InputError
from slth.networks.activations import activation_steps, operation_of
from slth.networks.graph import Step
from slth.networks.kept_module import KeptModule
from slth.networks.linear_map import LinearMap
from slth.theory.composition import LayerSpec


def layer_specs(
    steps: Sequence[Step], maps: Sequence[LinearMap], modules: Sequence[KeptModule]
) -> tuple[LayerSpec, ...]:
    """The layers of a sequential target, for :func:`slth.theory.certified.network_width`.

    Args:
        steps: what the target computes, in order.
        maps: the target's linear maps.
        modules: the modules that stay.

    Returns:
        One entry for each use of a linear map, in order.

    Raises:
        InputError: the target is not a chain of ungrouped linear maps, or a step between them is not 1-Lipschitz in
            the maximum norm, or does not keep zero at zero. The propagation of errors is proved only for such chains.
    """
    linear_maps = {linear.name: linear for linear in maps}
    kept = {module.name: module for module in modules}
    activations = activation_steps(steps, kept)
    previous = None
    for step in steps:
        if step.name not in activations:  # a size, a constant, or arithmetic on these
            continue
        read = [name for name in step.references() if name in activations]
        if read != ([previous] if previous else []):
            raise InputError(
                f"step {step.name} is not part of a chain; expected layers one after the other, as in nn.Sequential. "
                "Certified network widths are proved for chains only."
            )
        linear = linear_maps.get(step.call) if step.kind == "module" else None
        covered = step.kind in ("input", "output") or linear is not None or _contracts(step, kept)
        if not covered or (linear is not None and linear.groups > 1):
            raise InputError(
                f"step {step.name} ({_description(step, linear, kept)}) is not covered by the proof; "
                "expected ungrouped convolutions and linear layers, and between them operations that never increase a "
                "difference in the maximum norm and keep zero at zero, such as ReLU, Tanh, pooling and Flatten."
            )
        previous = step.name
    return tuple(
        LayerSpec.from_weights(linear.name, linear.weight, linear.bias, signs=len(linear.signs))
        for step in steps
        for linear in maps
        if step.kind == "module" and step.call == linear.name
    )


def _options(step: Step, kept: Mapping[str, KeptModule]) -> Mapping[str, Any]:
    """The options of what a step calls."""
    return kept[step.call].options if step.kind == "module" else step.options


def _contracts(step: Step, kept: Mapping[str, KeptModule]) -> bool:
    """Whether a step is 1-Lipschitz in the maximum norm and keeps zero at zero."""
    operation = operation_of(step, kept)
    if operation is None:
        return False
    options = _options(step, kept)
    constant = operation.lipschitz_constant(options)
    return constant is not None and constant <= 1 and operation.is_zero_kept(options)


def _description(step: Step, linear: LinearMap | None, kept: Mapping[str, KeptModule]) -> str:
    """What a step is that the proof does not cover, for messages."""
    if linear is not None:
        return f"{linear.name} with groups"
    operation = operation_of(step, kept)
    if operation is None:
        return step.kind
    if _options(step, kept).get("divisor_override"):
        return "an average that divides by another number"
    return operation.modules[0].module.__name__ if operation.modules else operation.name
