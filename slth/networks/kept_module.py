"""A module of a target that stays: an activation, a pooling, a layer that was left out of the search."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
import torch
from torch import nn

from slth.networks.linear_map import as_arguments
from slth.networks.operations import REGISTRY


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptModule:
    """A module that stays in the network, as it was trained.

    Attributes:
        name: its path in the model.
        type: the name of its class, as in :mod:`slth.networks.operations`.
        options: constructor arguments.
        tensors: name → parameter or buffer.
    """

    name: str
    type: str
    options: dict[str, Any]
    tensors: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    def build(self) -> nn.Module:
        """A fresh instance.

        Raises:
            UnregisteredError: its class is not registered.
            ValueError: a tensor has another shape than the options say.
        """
        form = REGISTRY.form(self.type)
        with torch.device("meta"):  # what the options claim takes no memory; tensors are those that are given
            module = form.module(**as_arguments(self.options))
        if "num_batches_tracked" in module._buffers:  # which nothing reads
            module._buffers["num_batches_tracked"] = torch.zeros((), dtype=torch.int64)
        for name in form.tensors:
            given = self.tensors.get(name)
            value = None if given is None else torch.from_numpy(given.copy())
            wanted = getattr(module, name, None)
            if value is not None and (wanted is None or wanted.shape != value.shape):
                raise ValueError(f"{self.name}.{name} does not fit a {self.type} of {self.options}")
            if name in module._buffers:
                module._buffers[name] = value
            else:
                module.register_parameter(name, None if value is None else nn.Parameter(value, requires_grad=False))
        return module

    def describe(self) -> dict[str, Any]:
        """The module as JSON, tensors left out."""
        return {"name": self.name, "type": self.type, "options": self.options, "tensors": sorted(self.tensors)}
