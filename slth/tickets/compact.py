"""The ticket as a network: only kept channels, nothing masked."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from slth.networks.parent import Parent
from slth.networks.target import LinearMap, Target, assemble, conv_options
from slth.tickets.ticket import Kept, Rows

# Hidden activations of a batch are computed in parts of at most this many bytes. A part then stays near the cache
# and its memory is re-used, which is twice as fast as one large batch, and a batch of any size fits memory.
PART_BYTES = 24e6


class PrunedConv(nn.Module):
    """relu of a grouped 1×1 convolution (one filter a kept channel), then a dense d×d convolution.

    ``source`` (K,) says which input channel feeds each kept hidden channel; ``mixing`` (K, 1, 1, 1) is the grouped
    convolution's weight. With one input a filter it is an elementwise product, and is computed as one.
    The bias block is a constant, kept as its two factors: Σ relu(u_t)·V_t is added after the convolution.
    """

    source: torch.Tensor

    def __init__(self, linear: LinearMap, source: Rows, mixing: torch.Tensor, kernels: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("source", torch.from_numpy(source))
        self.mixing = _frozen(mixing.reshape(-1, 1, 1, 1))
        options = conv_options(linear.options)
        shape = linear.channels[1], linear.weight.shape[2:]
        # made without memory: its weight comes next
        self.conv = nn.Conv2d(max(len(source), 1), *shape, bias=False, device="meta", **options)
        self.conv.weight = _frozen(kernels)
        if not len(source):
            self.empty = nn.Conv2d(1, *shape, bias=False, **options)
            self.empty.weight = _frozen(torch.zeros_like(self.empty.weight))
        self.bias: PrunedBias | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pixels = x.shape[-1] * x.shape[-2]
        out = torch.cat([self._part(part) for part in _parts(x, len(self.source) * pixels)])
        return out if self.bias is None else out + self.bias()[:, None, None]

    def _part(self, x: torch.Tensor) -> torch.Tensor:
        if not len(self.source):  # torch gives no output channels for no input channels; it must be zeros
            return self.empty(x[:, :1])
        hidden = x.index_select(1, self.source)
        return self.conv(hidden.mul_(self.mixing[..., 0]).relu_())


class PrunedLinear(nn.Module):
    """The same for a linear layer: hidden_t = relu(u_t · x[source_t]), then a dense matrix."""

    source: torch.Tensor

    def __init__(self, source: Rows, mixing: torch.Tensor, kernels: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("source", torch.from_numpy(source))
        self.mixing = _frozen(mixing)
        self.weight = _frozen(kernels)
        self.bias: PrunedBias | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = len(self.source) * math.prod(x.shape[1:-1])
        # At least 64 examples a part: the whole weight matrix is read for each of them.
        out = torch.cat([self._part(part) for part in _parts(x, inner, least=64)])
        return out if self.bias is None else out + self.bias()

    def _part(self, x: torch.Tensor) -> torch.Tensor:
        hidden = x.index_select(-1, self.source).mul_(self.mixing).relu_()
        return functional.linear(hidden, self.weight)


def _parts(x: torch.Tensor, hidden: int, least: int = 1) -> tuple[torch.Tensor, ...]:
    """The batch in parts whose hidden activations (``hidden`` float32 numbers an example) fit PART_BYTES."""
    return x.split(max(least, int(PART_BYTES / (4 * max(hidden, 1)))))


class PrunedBias(nn.Module):
    """The kept channels of the constant input: Σ_t relu(u_t·1)·V_t ∈ R^c_out."""

    def __init__(self, mixing: torch.Tensor, kernels: torch.Tensor) -> None:
        super().__init__()
        self.mixing = _frozen(mixing)
        self.weight = _frozen(kernels)

    def forward(self) -> torch.Tensor:
        return functional.linear(functional.relu(self.mixing), self.weight)


def compact_module(parent: Parent, target: Target, kept: Kept) -> nn.Sequential:
    """The network of the kept hidden channels, weights regenerated from the parent's seed."""
    index = {linear.name: i for i, linear in enumerate(target.maps)}

    def build(linear: LinearMap) -> nn.Module:
        layer = index[linear.name]
        c_in = linear.channels[0]
        rows = kept[layer]
        source = np.repeat(np.arange(c_in), [len(block) for block in rows[:c_in]])
        mixing = np.concatenate([parent.mixing(layer, c, rows[c]) for c in range(c_in)])
        slices = np.concatenate([parent.slices(layer, c, rows[c]) for c in range(c_in)])
        # (K, c_out, d, d) → the (c_out, K, d, d) that a convolution wants
        kernels = slices.reshape(len(source), *linear.weight.shape[:1], *linear.weight.shape[2:]).swapaxes(0, 1)
        parts = (source, torch.from_numpy(mixing), torch.from_numpy(np.ascontiguousarray(kernels)))
        block = PrunedLinear(*parts) if linear.kind == "linear" else PrunedConv(linear, *parts)
        if linear.bias is not None:
            block.bias = PrunedBias(
                torch.from_numpy(parent.mixing(layer, c_in, rows[c_in])),
                torch.from_numpy(np.ascontiguousarray(parent.slices(layer, c_in, rows[c_in]).T)),
            )
        return block

    return assemble(target, build)


def everything(parent: Parent, target: Target) -> Kept:
    """All hidden channels of every block: ``compact_module`` of it is the unpruned parent."""
    return tuple(
        tuple(np.arange(layer.width) for _ in linear.instances)
        for linear, layer in zip(target.maps, parent.layers, strict=True)
    )


def _frozen(values: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(values, requires_grad=False)
