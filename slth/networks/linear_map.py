"""Linear maps: the convolutions and linear layers of a target, each of which a ticket replaces by a random block."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from slth.errors import InputError
from slth.networks.structure import STRUCTURES

Array = npt.NDArray[np.float32]
Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearMap:
    """One convolution, transposed convolution or linear layer of the target.

    Attributes:
        name: path of the layer in the model.
        kind: ``conv``, ``conv_transpose`` or ``linear``.
        weight: float32 (c_out, c_in/groups, d, …) with one to three d's for a convolution, (c_out, c_in/groups) for a
            linear layer. All entries are NaN in a ticket that was loaded without its target.
        bias: float32 (c_out,), or None.
        options: stride, padding, dilation and padding_mode of a convolution, and output_padding of a transposed one;
            empty for a linear layer.
        signs: which signs the layer's inputs can have: ``+``, ``-`` or ``+-``.
        groups: number of groups of channels; an output channel sees only the input channels of its group. With c_in
            groups the layer is depthwise.
    """

    name: str
    kind: str
    weight: Array
    bias: Array | None
    options: dict[str, Any] = field(default_factory=dict)
    signs: str = "+-"
    groups: int = 1

    @property
    def channels(self) -> tuple[int, int]:
        """(c_in, c_out)."""
        return int(self.weight.shape[1]) * self.groups, int(self.weight.shape[0])

    @property
    def kernel(self) -> tuple[int, ...]:
        """(d, …) of a convolution, () of a linear layer."""
        return tuple(int(side) for side in self.weight.shape[2:])

    @property
    def dimension(self) -> int:
        """D = d²·c_out/groups: the length of one input channel's slice of the weight."""
        return math.prod(self.kernel) * self.channels[1] // self.groups

    def part_size(self, structure: str, channel: int) -> int:
        """Dimension of one subset-sum instance: 1, d² or d²·c_out/groups, and for the bias channel 1, 1 or c_out.

        Args:
            structure: a name in :data:`slth.networks.structure.STRUCTURES`.
            channel: number of the input channel; c_in is the bias channel.
        """
        chosen = STRUCTURES[structure]
        if channel == self.channels[0]:
            return chosen.bias_part_size(self.channels[1])
        return chosen.part_size(self.channels[1] // self.groups, self.kernel)

    def column(self, channel: int) -> npt.NDArray[np.float64]:
        """The slice of the weight that belongs to an input channel: float64 (D,).

        Args:
            channel: number of the input channel; c_in is the bias channel, whose slice is the bias.

        Raises:
            InputError: the layer has no bias.
        """
        if channel == self.channels[0]:
            if self.bias is None:
                raise InputError(f"layer {self.name} has no bias channel.")
            return self.bias.astype(np.float64)
        group, inside = divmod(channel, int(self.weight.shape[1]))
        outputs = self.channels[1] // self.groups
        return self.weight[group * outputs : (group + 1) * outputs, inside].reshape(-1).astype(np.float64)

    @property
    def instances(self) -> range:
        """Numbers of the input channels, with c_in for the bias channel if there is one."""
        return range(self.channels[0] + (self.bias is not None))

    @property
    def weight_count(self) -> int:
        """Number of weights and biases."""
        return self.weight.size + (0 if self.bias is None else self.bias.size)

    def describe(self) -> dict[str, Any]:
        """The map as JSON, without its weights."""
        return {
            "name": self.name,
            "kind": self.kind,
            "options": self.options,
            "signs": self.signs,
            "groups": self.groups,
            "shape": list(self.weight.shape),
            "bias": self.bias is not None,
        }

    def to_module(self) -> nn.Module:
        """The map as a layer of torch."""
        c_in, c_out = self.channels
        module: nn.Module
        if self.kind == "linear" and self.groups == 1:
            module = nn.Linear(c_in, c_out, bias=False)
        else:
            module = conv_like(self, c_in)
        module.weight = nn.Parameter(torch.from_numpy(self.torch_weight.copy()).reshape(module.weight.shape))
        module.bias = None if self.bias is None else nn.Parameter(torch.from_numpy(self.bias.copy()))
        return module if self.kind != "linear" or self.groups == 1 else Pointwise(module)

    @property
    def torch_weight(self) -> Array:
        """The weight as torch's layer holds it: a transposed convolution has its inputs on the first axis."""
        return np.ascontiguousarray(in_torch_order(self, self.weight))


def in_torch_order(linear: LinearMap, weight: Any) -> Any:
    """A weight (c_out, c/groups, …) in the order of the axes that torch's layer has.

    Args:
        linear: the linear map whose kind and groups count.
        weight: an array or a tensor, with any number c of inputs, as of a block with hidden channels.

    Returns:
        (c, c_out/groups, …) for a transposed convolution, the weight itself otherwise.
    """
    return swap_channels(weight, linear.groups) if linear.kind == "conv_transpose" else weight


def swap_channels(weight: Any, groups: int) -> Any:
    """A weight (a, b/groups, …) as (b, a/groups, …), where a and b are numbers of channels. Twice changes nothing.

    Args:
        weight: an array or a tensor.
        groups: number of groups of channels.
    """
    parts = weight.reshape(groups, -1, *weight.shape[1:]).swapaxes(1, 2)
    return parts.reshape(-1, parts.shape[2], *weight.shape[2:])


class Pointwise(nn.Module):
    """A grouped linear layer on (N, c) or (N, c, length), computed by a 1-D convolution with kernel 1.

    Args:
        conv: the convolution.
    """

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer to inputs of either shape."""
        out: torch.Tensor = self.conv(x) if x.ndim == 3 else self.conv(x.unsqueeze(-1)).squeeze(-1)
        return out


def conv_like(linear: LinearMap, channels: int) -> Convolution:
    """A convolution with the outputs, kernel, options and groups of a linear map, and without a bias.

    Args:
        linear: the linear map.
        channels: number of input channels of the convolution.

    Returns:
        The module, on the meta device, where it takes no memory.
    """
    kinds: Any = (nn.Conv1d, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    if linear.kind == "conv_transpose":
        kinds = (nn.ConvTranspose1d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    conv: Convolution = kinds[len(linear.kernel)](
        channels,
        linear.channels[1],
        linear.kernel or (1,),
        groups=linear.groups,
        bias=False,
        device="meta",
        **as_arguments(linear.options),
    )
    return conv


def as_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Options as arguments of a constructor: tuples for the lists that JSON holds."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
