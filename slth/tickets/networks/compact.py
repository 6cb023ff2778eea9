"""The compact network of a ticket: it holds the kept hidden channels only, and needs no masks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from slth.networks.graph import GraphNetwork
from slth.networks.linear_map import LinearMap, conv_like, in_torch_order
from slth.networks.parent import Parent
from slth.networks.target import Target, assemble
from slth.progress import Progress, follow
from slth.tickets.record.instance import ChannelIndices, InputChannel
from slth.tickets.record.record import Block, Record

Numbers = npt.NDArray[np.float32]

# A batch is computed in parts whose hidden activations take at most this many bytes. A part stays near the cache and
# its memory is used again, which is twice as fast as one large batch. A batch of any size then fits memory.
PART_BYTES = 24e6
# A part for matrix products has at least this many examples, because each part reads the whole weight matrix.
LEAST_EXAMPLES = 64
# The name under which the regeneration of weights is reported.
REGENERATE_TASK = "regenerate"


class PrunedConv(nn.Module):
    """A grouped 1×1 convolution with one filter for each kept channel, a ReLU, and a d×d convolution.

    Every filter of the grouped convolution has one input, so it is computed as an elementwise product. The bias block
    is a constant, kept as its two factors: Σ relu(u_t)·V_t is added after the d×d convolution.

    Args:
        linear: the linear map that the module replaces.
        source: number of the input channel that feeds each kept hidden channel, int64 (K,).
        mixing: weights of the grouped convolution, float32 (K,).
        kernels: weight of the d×d convolution, float32 (c_out, K/groups, d, …).
    """

    source: torch.Tensor

    def __init__(self, linear: LinearMap, source: ChannelIndices, mixing: torch.Tensor, kernels: torch.Tensor) -> None:
        super().__init__()
        ones = [1] * max(len(linear.kernel), 1)
        self.register_buffer("source", torch.from_numpy(source))
        self.mixing = _untrainable(mixing.reshape(-1, *ones))
        self.conv = conv_like(linear, len(source))
        self.conv.weight = _untrainable(in_torch_order(linear, kernels).reshape(self.conv.weight.shape).contiguous())
        self.bias: PrunedBias | None = None
        self.flat = linear.kind == "linear"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The outputs (N, c_out, …) of inputs (N, c_in, …)."""
        # The (N, c) of a linear layer lacks the pixel axis of a convolution; a single image lacks the batch axis.
        lacking_axis = (-1 if self.flat else 0) if x.ndim == self.mixing.ndim else None
        x = x if lacking_axis is None else x.unsqueeze(lacking_axis)
        out = torch.cat([self._convolve(part) for part in _parts(x, len(self.source) * math.prod(x.shape[2:]))])
        if self.bias is not None:
            out = out + self.bias().reshape(-1, *self.mixing.shape[1:])
        return out if lacking_axis is None else out.squeeze(lacking_axis)

    def _convolve(self, x: torch.Tensor) -> torch.Tensor:
        """The outputs without the bias, of a part of the batch."""
        hidden = x.index_select(1, self.source)
        out: torch.Tensor = self.conv(hidden.mul_(self.mixing).relu_())
        return out


class PrunedLinear(nn.Module):
    """The same for a linear layer: hidden_t = relu(u_t · x[source_t]), then a dense matrix.

    Args:
        source: number of the input channel that feeds each kept hidden channel, int64 (K,).
        mixing: weights u, float32 (K,).
        kernels: the dense matrix, float32 (c_out, K).
    """

    source: torch.Tensor

    def __init__(self, source: ChannelIndices, mixing: torch.Tensor, kernels: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("source", torch.from_numpy(source))
        self.mixing = _untrainable(mixing)
        self.weight = _untrainable(kernels)
        self.bias: PrunedBias | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The outputs (N, …, c_out) of inputs (N, …, c_in)."""
        size = len(self.source) * math.prod(x.shape[1:-1])
        out = torch.cat([self._multiply(part) for part in _parts(x, size, least=LEAST_EXAMPLES)])
        return out if self.bias is None else out + self.bias()

    def _multiply(self, x: torch.Tensor) -> torch.Tensor:
        """The outputs without the bias, of a part of the batch."""
        hidden = x.index_select(-1, self.source).mul_(self.mixing).relu_()
        return functional.linear(hidden, self.weight)


def _parts(x: torch.Tensor, hidden: int, least: int = 1) -> tuple[torch.Tensor, ...]:
    """The batch in parts of ``least`` or more examples, each with ``hidden`` float32 activations, within PART_BYTES."""
    if torch.compiler.is_exporting():  # An exported graph takes a batch of any size as a whole.
        return (x,)
    parts: tuple[torch.Tensor, ...] = x.split(max(least, int(PART_BYTES / (4 * max(hidden, 1)))))
    return parts


class PrunedBias(nn.Module):
    """The kept channels of the bias channel, whose input is one: Σ_t relu(u_t·1)·V_t ∈ R^c_out.

    Args:
        mixing: weights u, float32 (K,).
        kernels: slices V as columns, float32 (c_out, K).
    """

    def __init__(self, mixing: torch.Tensor, kernels: torch.Tensor) -> None:
        super().__init__()
        self.mixing = _untrainable(mixing)
        self.weight = _untrainable(kernels)

    def forward(self) -> torch.Tensor:
        """The bias (c_out,)."""
        return functional.linear(functional.relu(self.mixing), self.weight)


def compact_module(record: Record, *, progress: bool | Progress = False) -> GraphNetwork:
    """The network of the kept hidden channels, with weights regenerated from the parent's seed.

    See :meth:`slth.tickets.Ticket.to_module`.

    Args:
        record: the ticket.
        progress: True for a bar with the time left, or a listener. It hears of a task ``regenerate`` with a step for
            each random number.

    Returns:
        The network, float32, in evaluation mode.
    """
    layers = {
        linear.name: tuple(zip(channels, blocks, strict=True))
        for linear, channels, blocks in zip(record.target.maps, record.channels, record.kept, strict=True)
    }
    total = sum(kept_numbers(*pair) for pairs in layers.values() for pair in pairs)
    with follow(progress, {REGENERATE_TASK: total}, unit="numbers") as listener:
        return _assemble(record, layers, listener)


def _assemble(
    record: Record, layers: Mapping[str, Sequence[tuple[InputChannel, Block]]], listener: Progress
) -> GraphNetwork:
    """The compact network, from the input channels and blocks of each layer by its name."""

    def build(linear: LinearMap) -> nn.Module:
        regenerated = []
        for channel, kept in layers[linear.name]:
            regenerated.append(_regenerate(channel, kept))
            listener.advance(REGENERATE_TASK, kept_numbers(channel, kept))
        source, mixing, slices = _with_equal_groups(linear, regenerated[: linear.channels[0]])
        # From (groups, K, c_out/groups, d, …) to the (c_out, K, d, …) of a convolution.
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


def kept_numbers(channel: InputChannel, block: Block) -> int:
    """How many random numbers of the d×d layer a block keeps; the work on a block grows with it.

    Args:
        channel: the input channel of the block.
        block: the hidden channels that are kept of it.
    """
    return len(block.rows) * channel.part_size


def keep_all(parent: Parent, target: Target) -> Record:
    """A record that keeps every hidden channel; :func:`compact_module` turns it into the unpruned parent.

    Args:
        parent: the random network.
        target: the network whose graph the parent takes.

    Returns:
        A record without reports, of structure ``channel``.
    """
    kept = tuple(
        tuple(Block.of([np.arange(layer.width)]) for _ in linear.instances)
        for linear, layer in zip(target.maps, parent.layers, strict=True)
    )
    return Record(parent=parent, target=target, structure="channel", kept=kept, layers=(), info={})


def _regenerate(channel: InputChannel, block: Block) -> tuple[Numbers, Numbers]:
    """(u, V) of a block's used hidden channels, V zero in the parts that do not keep them: float32 (m,), (m, D)."""
    used = block.used
    slices = channel.slices(used)
    if len(block.counts) > 1:
        pieces = slices.reshape(len(used), len(block.counts), channel.part_size)
        slices = (pieces * block.mask()[:, :, None]).reshape(slices.shape)
    return channel.mixing(used), slices


def _with_equal_groups(
    linear: LinearMap, blocks: list[tuple[Numbers, Numbers]]
) -> tuple[ChannelIndices, Numbers, Numbers]:
    """(source, mixing, slices) of all blocks, one input channel after the other.

    Every group is filled up with zeros to the same number of hidden channels, at least one: torch's convolutions need
    groups of equal size, and at least one channel in each.
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


def _untrainable(values: torch.Tensor) -> nn.Parameter:
    """A parameter without a gradient."""
    return nn.Parameter(values, requires_grad=False)
