"""The parent with every hidden channel written out, and the ticket as masks over it; for small widths and for tests."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.utils import prune

from slth.errors import check_memory
from slth.networks.graph import GraphNetwork
from slth.networks.linear_map import LinearMap, conv_like, in_torch_order
from slth.networks.parent import Parent, ParentLayer
from slth.networks.target import Target, assemble
from slth.tickets.record.instance import InputChannel
from slth.tickets.record.record import Block, Record

ParentMasks = dict[str, dict[str, torch.Tensor]]


class ExplicitPair(nn.Module):
    """A layer pair of the parent with every hidden channel: a 1×1 convolution, a ReLU and a d×d convolution.

    The 1×1 weight is a full (width·c_in, c_in) matrix whose entries outside the channel blocks are zero. A bias is a
    separate (width,) column of mixing weights, whose input is one.

    Args:
        linear: the linear map that the pair replaces.
        parent: the random network.
        layer: index of the linear map.
    """

    def __init__(self, linear: LinearMap, parent: Parent, layer: int) -> None:
        super().__init__()
        spec = parent.layers[layer]
        rows = np.arange(spec.width)
        mixing = np.zeros((spec.width * spec.c_in, spec.c_in), dtype=np.float32)
        for c in range(spec.c_in):
            mixing[c * spec.width : (c + 1) * spec.width, c] = parent.mixing(layer, c)
        slices = np.concatenate([parent.slices(layer, c, rows) for c in range(spec.c_in)])
        shape = spec.groups, len(slices) // spec.groups, spec.c_out // spec.groups, *spec.kernel
        kernel = np.ascontiguousarray(slices.reshape(shape).swapaxes(1, 2)).reshape(spec.c_out, shape[1], *spec.kernel)
        self.mixing = nn.Parameter(torch.from_numpy(mixing), requires_grad=False)
        self.kernel = nn.Parameter(torch.from_numpy(kernel), requires_grad=False)
        # The convolution gets its weight at every call: pruning replaces self.kernel by a product with the mask.
        self.convolve: Callable[..., torch.Tensor] = partial(functional_call, conv_like(linear, len(slices)))
        if spec.bias:
            bias_kernel = parent.slices(layer, spec.c_in, rows).T.copy()
            self.bias = nn.Parameter(torch.from_numpy(parent.mixing(layer, spec.c_in)), requires_grad=False)
            self.bias_kernel = nn.Parameter(torch.from_numpy(bias_kernel), requires_grad=False)
        self.has_bias = spec.bias
        self.linear = linear
        # A linear layer has its channels on the last axis, a convolution has them on the second.
        self.channels_last = linear.kind == "linear" and linear.groups == 1
        self.flat = linear.kind == "linear" and not self.channels_last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The outputs of inputs (N, c_in, …), or (…, c_in) for a linear layer."""
        bias = self.bias_kernel @ functional.relu(self.bias) if self.has_bias else torch.zeros(())
        if self.channels_last:
            return functional.linear(functional.relu(functional.linear(x, self.mixing)), self.kernel) + bias
        flat = self.flat and x.ndim == 2
        x = x.unsqueeze(-1) if flat else x
        kernel = self.kernel.unsqueeze(-1) if self.flat else self.kernel
        hidden = functional.relu(torch.einsum("tc,nc...->nt...", self.mixing, x))
        out = self.convolve({"weight": in_torch_order(self.linear, kernel)}, (hidden,)) + bias.reshape(
            -1, *[1] * (x.ndim - 2)
        )
        return out.squeeze(-1) if flat else out


def explicit_parent(parent: Parent, target: Target, mask: ParentMasks | None = None) -> GraphNetwork:
    """The parent with every hidden channel, as a network.

    Args:
        parent: the random network.
        target: the network whose graph the parent takes.
        mask: the masks of :func:`make_masks`, which ``torch.nn.utils.prune`` applies; None for the unpruned parent.

    Returns:
        The network, in evaluation mode.

    Raises:
        MemoryEstimateError: it would not fit memory.
    """
    # Pruning holds the weights, the mask and their product, all float32.
    copies = 1 if mask is None else 3
    needed = copies * sum(4.0 * (_mixing_size(layer) + layer.weight_count) for layer in parent.layers)
    check_memory(
        "the explicit parent",
        needed,
        None,
        "Use a small width, or to_module(), which holds the kept channels only.",
    )
    index = {linear.name: i for i, linear in enumerate(target.maps)}

    def build(linear: LinearMap) -> nn.Module:
        pair = ExplicitPair(linear, parent, index[linear.name])
        if mask is not None:
            for name, values in mask[linear.name].items():
                prune.custom_from_mask(pair, name, values)
        return pair

    return assemble(target, build)


def make_masks(record: Record) -> ParentMasks:
    """The 0/1 masks of a ticket over the explicit parent; see :meth:`slth.tickets.Ticket.masks`."""
    needed = sum(1.0 * (_mixing_size(layer) + layer.weight_count) for layer in record.parent.layers)
    check_memory(
        "the masks",
        needed,
        None,
        "Masks are for small widths; use ticket.kept, which lists the kept channels.",
    )
    result: ParentMasks = {}
    for layer, channels, blocks in zip(record.parent.layers, record.channels, record.kept, strict=True):
        hidden = np.zeros((layer.c_in, layer.width), dtype=bool)
        for c in range(layer.c_in):
            hidden[c, blocks[c].used] = True
        mixing = np.zeros((layer.c_in, layer.width, layer.c_in), dtype=bool)
        index = np.arange(layer.c_in)
        mixing[index, :, index] = hidden
        inside, outputs = layer.c_in // layer.groups, layer.c_out // layer.groups
        entries = [_entries(channel, block) for channel, block in zip(channels, blocks, strict=True)]
        shape = layer.groups, inside * layer.width, outputs, *layer.kernel
        kernel = np.concatenate(entries[: layer.c_in]).reshape(shape).swapaxes(1, 2)
        kernel = kernel.reshape(layer.c_out, inside * layer.width, *layer.kernel)
        found = {"mixing": mixing.reshape(layer.c_in * layer.width, layer.c_in), "kernel": kernel}
        if layer.bias:
            found["bias"] = np.isin(np.arange(layer.width), blocks[layer.c_in].used)
            found["bias_kernel"] = entries[layer.c_in].T.copy()
        result[layer.name] = {name: torch.from_numpy(values) for name, values in found.items()}
    return result


def _entries(channel: InputChannel, block: Block) -> npt.NDArray[np.bool_]:
    """Which entries of the d×d layer the block of an input channel keeps: bool (width, D)."""
    kept = np.zeros((channel.width, len(block.counts)), dtype=bool)
    kept[block.used] = block.mask()
    return np.repeat(kept, channel.part_size, axis=1)


def _mixing_size(layer: ParentLayer) -> float:
    """Size of the full matrix of the 1×1 layer, estimated from above."""
    return float(layer.width) * layer.c_in**2 + math.prod(layer.kernel)
