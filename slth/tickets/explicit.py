"""The parent written out, and the ticket as masks over it: for small widths, to look at and to check against."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from slth.errors import check_memory
from slth.networks.parent import Parent, ParentLayer
from slth.networks.target import LinearMap, Target, assemble, conv_options
from slth.tickets.ticket import Kept

Masks = dict[str, dict[str, npt.NDArray[np.bool_]]]


class ExplicitPair(nn.Module):
    """A layer pair of the parent with every hidden channel: 1×1 convolution, ReLU, d×d convolution.

    The 1×1 weight is a full (width·c_in, c_in) matrix whose entries outside the channel blocks are zero; a
    bias is a separate (width,) column of mixing weights that sees the constant one.
    """

    def __init__(self, linear: LinearMap, parent: Parent, layer: int) -> None:
        super().__init__()
        spec = parent.layers[layer]
        rows = np.arange(spec.width)
        mixing = np.zeros((spec.width * spec.c_in, spec.c_in), dtype=np.float32)
        for c in range(spec.c_in):
            mixing[c * spec.width : (c + 1) * spec.width, c] = parent.mixing(layer, c)
        slices = np.concatenate([parent.slices(layer, c, rows) for c in range(spec.c_in)])
        shape = (len(slices), spec.c_out, *(spec.kernel or (1, 1)))
        self.mixing = nn.Parameter(torch.from_numpy(mixing), requires_grad=False)
        self.kernel = nn.Parameter(torch.from_numpy(slices.reshape(shape).swapaxes(0, 1).copy()), requires_grad=False)
        if spec.bias:
            bias_kernel = parent.slices(layer, spec.c_in, rows).T.copy()
            self.bias = nn.Parameter(torch.from_numpy(parent.mixing(layer, spec.c_in)), requires_grad=False)
            self.bias_kernel = nn.Parameter(torch.from_numpy(bias_kernel), requires_grad=False)
        self.has_bias = spec.bias
        self.flat = linear.kind == "linear"
        if not self.flat:
            options = conv_options(linear.options)
            self.conv = nn.Conv2d(
                len(slices), spec.c_out, linear.weight.shape[2:], bias=False, device="meta", **options
            )
            self.conv.weight = self.kernel

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.flat:
            out = functional.linear(functional.relu(functional.linear(x, self.mixing)), self.kernel[..., 0, 0])
        else:
            out = self.conv(functional.relu(functional.conv2d(x, self.mixing[..., None, None])))
        if self.has_bias:
            bias = self.bias_kernel @ functional.relu(self.bias)
            out = out + (bias if self.flat else bias[:, None, None])
        return out


def explicit_parent(parent: Parent, target: Target, mask: Masks | None = None) -> nn.Sequential:
    """The parent with every hidden channel as a module; with ``mask``, its weights multiplied by the masks.

    Raises:
        MemoryEstimateError: it would not fit memory.
    """
    needed = sum(4.0 * (_mixing_size(layer) + layer.weight_count) for layer in parent.layers)
    check_memory(
        "the explicit parent",
        needed,
        None,
        "Use a small width, or to_module(), which holds kept channels only.",
    )
    index = {linear.name: i for i, linear in enumerate(target.maps)}

    def build(linear: LinearMap) -> nn.Module:
        pair = ExplicitPair(linear, parent, index[linear.name])
        if mask is not None:
            chosen = mask[linear.name]
            for name, values in chosen.items():
                weight = getattr(pair, name)
                weight.copy_(weight * torch.from_numpy(values).reshape(weight.shape))
        return pair

    with torch.no_grad():
        return assemble(target, build)


def masks(parent: Parent, kept: Kept) -> Masks:
    """See :meth:`slth.tickets.Ticket.masks`."""
    needed = sum(1.0 * (_mixing_size(layer) + layer.weight_count) for layer in parent.layers)
    check_memory(
        "the masks",
        needed,
        None,
        "They are for small widths; use ticket.kept, which lists the kept channels.",
    )
    result: Masks = {}
    for layer, blocks in zip(parent.layers, kept, strict=True):
        hidden = np.zeros((layer.c_in, layer.width), dtype=bool)
        for c in range(layer.c_in):
            hidden[c, blocks[c]] = True
        mixing = np.zeros((layer.c_in, layer.width, layer.c_in), dtype=bool)
        channel = np.arange(layer.c_in)
        mixing[channel, :, channel] = hidden
        shape = (layer.c_out, layer.c_in * layer.width, *layer.kernel)
        flat = hidden.reshape(1, -1, *[1] * len(layer.kernel))
        result[layer.name] = {
            "mixing": mixing.reshape(layer.c_in * layer.width, layer.c_in),
            "kernel": np.broadcast_to(flat, shape).copy(),
        }
        if layer.bias:
            bias = np.zeros(layer.width, dtype=bool)
            bias[blocks[layer.c_in]] = True
            result[layer.name]["bias"] = bias
    return result


def _mixing_size(layer: ParentLayer) -> float:
    return float(layer.width) * layer.c_in**2 + math.prod(layer.kernel)
