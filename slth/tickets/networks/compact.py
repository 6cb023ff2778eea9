"""The ticket as a network: only kept channels, nothing masked."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from slth.networks.graph import GraphNetwork
from slth.networks.linear_map import LinearMap, conv_like
from slth.networks.parent import Parent
from slth.networks.target import Target, assemble
from slth.tickets.record.instance import ChannelIndices, InputChannel
from slth.tickets.record.record import Block, Record

Numbers = npt.NDArray[np.float32]

# Hidden activations of a batch are computed in parts of at most this many bytes. A part then stays near the cache
# and its memory is re-used, which is twice as fast as one large batch, and a batch of any size fits memory.
PART_BYTES = 24e6


class PrunedConv(nn.Module):
    """relu of a grouped 1×1 convolution (one filter a kept channel), then a d×d convolution.

    ``source`` (K,) says which input channel feeds each kept hidden channel; ``mixing`` (K, 1, …) is the grouped
    convolution's weight. With one input a filter it is an elementwise product, and is computed as one.
    The bias block is a constant, kept as its two factors: Σ relu(u_t)·V_t is added after the convolution.
    """

    source: torch.Tensor

    def __init__(self, linear: LinearMap, source: ChannelIndices, mixing: torch.Tensor, kernels: torch.Tensor) -> None:
        super().__init__()
        ones = [1] * max(len(linear.kernel), 1)
        self.register_buffer("source", torch.from_numpy(source))
        self.mixing = _frozen(mixing.reshape(-1, *ones))
        self.conv = conv_like(linear, len(source))
        self.conv.weight = _frozen(kernels.reshape(self.conv.weight.shape))
        self.bias: PrunedBias | None = None
        self.flat = linear.kind == "linear"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # A linear layer's (N, c) lacks the convolution's pixel, a single image the batch axis.
        lacks = (-1 if self.flat else 0) if x.ndim == self.mixing.ndim else None
        x = x if lacks is None else x.unsqueeze(lacks)
        out = torch.cat([self._part(part) for part in _parts(x, len(self.source) * math.prod(x.shape[2:]))])
        if self.bias is not None:
            out = out + self.bias().reshape(-1, *self.mixing.shape[1:])
        return out if lacks is None else out.squeeze(lacks)

    def _part(self, x: torch.Tensor) -> torch.Tensor:
        hidden = x.index_select(1, self.source)
        return self.conv(hidden.mul_(self.mixing).relu_())


class PrunedLinear(nn.Module):
    """The same for a linear layer: hidden_t = relu(u_t · x[source_t]), then a dense matrix."""

    source: torch.Tensor

    def __init__(self, source: ChannelIndices, mixing: torch.Tensor, kernels: torch.Tensor) -> None:
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
    if torch.compiler.is_exporting():  # an exported graph takes any batch, whole
        return (x,)
    return x.split(max(least, int(PART_BYTES / (4 * max(hidden, 1)))))


class PrunedBias(nn.Module):
    """The kept channels of the constant input: Σ_t relu(u_t·1)·V_t ∈ R^c_out."""

    def __init__(self, mixing: torch.Tensor, kernels: torch.Tensor) -> None:
        super().__init__()
        self.mixing = _frozen(mixing)
        self.weight = _frozen(kernels)

    def forward(self) -> torch.Tensor:
        return functional.linear(functional.relu(self.mixing), self.weight)


def compact_module(record: Record) -> GraphNetwork:
    """The network of the kept hidden channels, weights regenerated from the parent's seed.

    See :meth:`slth.tickets.Ticket.to_module`.
    """
    layers = {
        linear.name: (channels, blocks)
        for linear, channels, blocks in zip(record.target.maps, record.channels, record.kept, strict=True)
    }

    def build(linear: LinearMap) -> nn.Module:
        regenerated = [_regenerate(channel, block) for channel, block in zip(*layers[linear.name], strict=True)]
        source, mixing, slices = _level(linear, regenerated[: linear.channels[0]])
        # (groups, K, c_out/groups, d, …) → the (c_out, K, d, …) that a convolution wants
        shape = linear.groups, len(source) // linear.groups, linear.channels[1] // linear.groups, *linear.kernel
        kernels = slices.reshape(shape).swapaxes(1, 2).reshape(linear.channels[1], shape[1], *linear.kernel)
        parts = (source, torch.from_numpy(mixing), torch.from_numpy(np.ascontiguousarray(kernels)))
        plain = linear.kind == "linear" and linear.groups == 1
        block = PrunedLinear(*parts) if plain else PrunedConv(linear, *parts)
        if linear.bias is not None:
            factor, weight = regenerated[-1]
            block.bias = PrunedBias(torch.from_numpy(factor), torch.from_numpy(np.ascontiguousarray(weight.T)))
        return block

    return assemble(record.target, build)


def keep_all(parent: Parent, target: Target) -> Record:
    """A record that keeps every hidden channel: ``compact_module`` of it is the unpruned parent.

    Args:
        parent: the random network.
        target: the network whose graph it takes.

    Returns:
        A record without reports, of structure ``channel``.
    """
    kept = tuple(
        tuple(Block.of([np.arange(layer.width)]) for _ in linear.instances)
        for linear, layer in zip(target.maps, parent.layers, strict=True)
    )
    return Record(parent=parent, target=target, structure="channel", kept=kept, layers=(), info={})


def _regenerate(channel: InputChannel, block: Block) -> tuple[Numbers, Numbers]:
    """(u, V) of a block's hidden channels, V zero where a part does not keep it: float32 (m,), (m, D)."""
    used = block.used
    slices = channel.slices(used)
    if len(block.counts) > 1:
        pieces = slices.reshape(len(used), len(block.counts), channel.part_size)
        slices = (pieces * block.mask()[:, :, None]).reshape(slices.shape)
    return channel.mixing(used), slices


def _level(linear: LinearMap, blocks: list[tuple[Numbers, Numbers]]) -> tuple[ChannelIndices, Numbers, Numbers]:
    """(source, mixing, slices) of all blocks, channel after channel.

    Groups are filled up with zeros to the same number of hidden channels, at least one: torch's convolutions want
    groups of equal size, and know no convolution of nothing.
    """
    c_in = linear.channels[0]
    inside = c_in // linear.groups
    counts = np.array([len(mixing) for mixing, _ in blocks])
    missing = np.zeros(c_in, dtype=np.int64)
    totals = counts.reshape(linear.groups, inside).sum(axis=1)
    missing[inside - 1 :: inside] = max(int(totals.max()), 1) - totals
    mixing = [np.pad(one, (0, more)) for (one, _), more in zip(blocks, missing.tolist(), strict=True)]
    slices = [np.pad(one, ((0, more), (0, 0))) for (_, one), more in zip(blocks, missing.tolist(), strict=True)]
    return np.repeat(np.arange(c_in), counts + missing), np.concatenate(mixing), np.concatenate(slices)


def _frozen(values: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(values, requires_grad=False)
