"""A sequential target as the theory needs it: a list of layers, each described by its norms."""

from __future__ import annotations

from collections.abc import Sequence

from slth.errors import InputError
from slth.networks.graph import Step
from slth.networks.kept_module import KeptModule
from slth.networks.linear_map import LinearMap
from slth.networks.operations import REGISTRY
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
        InputError: the target is not a chain of ungrouped linear maps, or a module between them is not 1-Lipschitz in
            the maximum norm, or does not keep zero at zero. The propagation of errors is proved only for such chains.
    """
    linear_maps = {linear.name: linear for linear in maps}
    kept = {module.name: module for module in modules}
    previous = None
    for step in steps:
        if list(step.references()) != ([previous] if previous else []):
            raise InputError(
                f"step {step.name} is not part of a chain; expected layers one after the other, as in nn.Sequential. "
                "Certified network widths are proved for chains only."
            )
        linear = linear_maps.get(step.call) if step.kind == "module" else None
        covered = step.kind in ("input", "output") or linear is not None
        covered = covered or (step.kind == "module" and _contracts(kept[step.call]))
        if not covered or (linear is not None and linear.groups > 1):
            raise InputError(
                f"step {step.name} ({_description(step, linear, kept.get(step.call))}) is not covered by the proof; "
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


def _contracts(module: KeptModule) -> bool:
    """Whether a module is 1-Lipschitz in the maximum norm and keeps zero at zero."""
    operation = REGISTRY.get("module", module.type)
    constant = operation.lipschitz_constant(module.options)
    return constant is not None and constant <= 1 and operation.keeps_zero


def _description(step: Step, linear: LinearMap | None, module: KeptModule | None) -> str:
    """What a step is that the proof does not cover, for messages."""
    if linear is not None:
        return f"{linear.name} with groups"
    if module is None:
        return step.call
    return "an average that divides by another number" if module.options.get("divisor_override") else module.type
