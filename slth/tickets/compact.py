"""The ticket as a network: only kept channels, nothing masked."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from slth.networks.extract import LinearMap, Target, assemble, conv_options
from slth.networks.parent import Parent
from slth.tickets.ticket import Kept, Rows


class PrunedConv(nn.Module):
    """relu of a grouped 1×1 convolution (one filter a kept channel), then a dense d×d convolution.

    ``source`` (K,) says which input channel feeds each kept hidden channel. The bias block is a constant and is
    kept as its two factors: Σ relu(u_t)·V_t is added after the convolution.
    """

    source: torch.Tensor

    def __init__(self, linear: LinearMap, source: Rows, mixing: torch.Tensor, kernels: torch.Tensor) -> None:
        super().__init__()
        kept = len(source)
        self.register_buffer("source", torch.from_numpy(source))
        self.mix = nn.Conv2d(kept, kept, 1, groups=max(kept, 1), bias=False)
        self.mix.weight = _frozen(mixing.reshape(-1, 1, 1, 1))
        self.conv = nn.Conv2d(
            kept, linear.channels[1], linear.weight.shape[2:], bias=False, **conv_options(linear.options)
        )
        self.conv.weight = _frozen(kernels)
        self.bias = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.conv(functional.relu(self.mix(x.index_select(-3, self.source))))
        return out + self.bias().reshape(-1, 1, 1) if isinstance(self.bias, PrunedBias) else out


class PrunedLinear(nn.Module):
    """The same for a linear layer: hidden_t = relu(u_t · x[source_t]), then a dense matrix."""

    source: torch.Tensor

    def __init__(self, source: Rows, mixing: torch.Tensor, kernels: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("source", torch.from_numpy(source))
        self.mixing = _frozen(mixing)
        self.weight = _frozen(kernels)
        self.bias = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = functional.relu(x.index_select(-1, self.source) * self.mixing)
        bias = self.bias() if isinstance(self.bias, PrunedBias) else None
        return functional.linear(hidden, self.weight, bias)


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
        c_in, c_out = linear.channels
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
