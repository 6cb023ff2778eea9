"""Kept modules: the parts of a target that no ticket replaces, such as activations, pooling and layers left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from slth.networks.folding import as_float32
from slth.networks.linear_map import LinearMap, as_arguments, swap_channels
from slth.networks.operations import REGISTRY

# Options of a convolution other than its channels, kernel and groups.
_SETTINGS = ("stride", "padding", "dilation", "padding_mode", "output_padding")


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptModule:
    """A module that stays in the network, as it was trained.

    Attributes:
        name: path of the module in the model.
        type: name of the module's class, as in :mod:`slth.networks.operations`.
        options: constructor arguments.
        tensors: name → parameter or buffer.
    """

    name: str
    type: str
    options: dict[str, Any]
    tensors: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    def build(self) -> nn.Module:
        """A new instance of the module.

        Raises:
            UnregisteredError: the class is not registered.
            ValueError: a tensor does not have the shape that follows from the options.
        """
        form = REGISTRY.form(self.type)
        # A file may claim any size in its options: on the meta device that takes no memory.
        with torch.device("meta"):
            module = form.module(**as_arguments(self.options))
        if "num_batches_tracked" in module._buffers:  # Nothing reads it, so no file holds it.
            module._buffers["num_batches_tracked"] = torch.zeros((), dtype=torch.int64)
        for name in form.tensors:
            given = self.tensors.get(name)
            value = None if given is None else torch.from_numpy(given.copy())
            expected = getattr(module, name, None)
            if value is not None and (expected is None or expected.shape != value.shape):
                raise ValueError(f"{self.name}.{name} does not fit a {self.type} of {self.options}")
            if name in module._buffers:
                module._buffers[name] = value
            else:
                module.register_parameter(name, None if value is None else nn.Parameter(value, requires_grad=False))
        return module

    def describe(self) -> dict[str, Any]:
        """The module as JSON, without its tensors."""
        return {"name": self.name, "type": self.type, "options": self.options, "tensors": sorted(self.tensors)}


def kept_layer(linear: LinearMap) -> KeptModule:
    """A linear map that is left out of the search, as it was trained; a BatchNorm folded into it stays folded.

    Args:
        linear: the linear map.
    """
    tensors = {"weight": linear.torch_weight} | ({} if linear.bias is None else {"bias": linear.bias})
    c_in, c_out = linear.channels
    if linear.kind == "linear":
        return KeptModule(
            name=linear.name, type="Linear", options={"in_features": c_in, "out_features": c_out}, tensors=tensors
        )
    kind = "Conv" if linear.kind == "conv" else "ConvTranspose"
    options = {"in_channels": c_in, "out_channels": c_out, "kernel_size": list(linear.kernel), "groups": linear.groups}
    return KeptModule(
        name=linear.name, type=f"{kind}{len(linear.kernel)}d", options=options | linear.options, tensors=tensors
    )


def as_linear_map(module: KeptModule) -> LinearMap | None:
    """A conv or linear layer that was left out of the search as a linear map; None for other modules.

    Args:
        module: the kept module.
    """
    kind = module.type.rstrip("123d")
    kinds = {"Linear": "linear", "Conv": "conv", "ConvTranspose": "conv_transpose"}
    if kind not in kinds:
        return None
    groups, weight = int(module.options.get("groups", 1)), module.tensors["weight"]
    return LinearMap(
        name=module.name,
        kind=kinds[kind],
        weight=swap_channels(weight, groups) if kind == "ConvTranspose" else weight,
        bias=module.tensors.get("bias"),
        options={name: module.options[name] for name in _SETTINGS if name in module.options},
        groups=groups,
    )


def kept_leaf(path: str, model: nn.Module) -> KeptModule:
    """A module of a registered operation, as it was trained.

    Args:
        path: path of the module.
        model: the model that holds it.
    """
    module = model.get_submodule(path)
    form = next(one for cls, one in REGISTRY.modules.items() if isinstance(module, cls)
                and type(module).forward is cls.forward)  # fmt: skip
    present = {name: getattr(module, name) for name in form.tensors}
    return KeptModule(
        name=path,
        type=form.module.__name__,
        options={name: _as_json(getattr(module, name)) for name in form.options},
        tensors={name: as_float32(f"{path}.{name}", value) for name, value in present.items() if value is not None},
    )


def _as_json(value: Any) -> Any:
    """An option without what JSON lacks: a list for a tuple, a Python number for a numpy number."""
    if isinstance(value, tuple):
        return [_as_json(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value
