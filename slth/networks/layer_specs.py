"""A target as the theory sees it: one layer after the other, each by its norms."""

from __future__ import annotations

from slth.errors import InputError
from slth.networks.target import Target
from slth.theory.composition import LayerSpec

# What may stand between linear maps for an error not to grow in the maximum norm, and zero to stay zero.
_MODULES = (
    "ReLU", "ReLU6", "Identity", "Flatten", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "MaxPool1d", "MaxPool2d",
    "MaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AdaptiveMaxPool3d", "Tanh", "ZeroPad2d",
)  # fmt: skip


def layer_specs(target: Target) -> tuple[LayerSpec, ...]:
    """The layers of a sequential target, for :func:`slth.theory.certified.network_width`.

    Raises:
        InputError: a target that is no chain of ungrouped linear maps and maps that are 1-Lipschitz in the maximum
            norm and keep zero at zero: the propagation of errors is proved for those.
    """
    kinds = {
        module.name: "an average that divides by another number"
        if module.options.get("divisor_override")
        else module.type
        for module in target.modules
    }
    before = None
    for step in target.steps:
        if list(step.references()) != ([before] if before else []):
            raise InputError(
                f"step {step.name} is not one of a chain; expected layers one after the other, as in nn.Sequential. "
                "Certified network widths are proved for chains only."
            )
        linear = next((one for one in target.maps if one.name == step.call), None)
        known = step.kind in ("input", "output") or (step.kind == "module" and kinds.get(step.call, "ReLU") in _MODULES)
        if not known or (linear is not None and linear.groups > 1):
            what = f"{step.call} with groups" if linear is not None else kinds.get(step.call, step.call)
            raise InputError(
                f"step {step.name} ({what}) is not covered by the proof; expected ungrouped convolutions, linear "
                f"layers, and between them {', '.join(_MODULES)}."
            )
        before = step.name
    return tuple(
        LayerSpec.from_weights(linear.name, linear.weight, linear.bias, signs=len(linear.signs))
        for step in target.steps
        for linear in target.maps
        if step.kind == "module" and step.call == linear.name
    )
