r"""The folded ticket: the same function at the size of the target, with the kept candidates of every block summed.

Hidden channel t computes relu(u_t x). If u_t > 0 this depends on x⁺ = max(x, 0) alone, otherwise on x⁻ = max(−x, 0), so

.. math:: \hat z = \hat K^+ x^+ − \hat K^- x^- + \hat b, \qquad
          \hat K^± = ± \sum_{t:\, ± u_t > 0} |u_t| V_t, \qquad \hat b = \sum_{t:\, u_t > 0} |u_t| V^b_t

Source: propagation
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from slth.errors import InputError
from slth.networks.graph import GraphNetwork
from slth.networks.linear_map import LinearMap, conv_like, in_torch_order
from slth.networks.target import assemble
from slth.tickets.record.approximation import as_weight, kept_candidates
from slth.tickets.record.instance import InputChannel
from slth.tickets.record.record import Block, Record

Sums = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FoldedSum:
    """A sum of kept candidates, in the shape of a weight or a bias.

    Attributes:
        values: Σ|u_t|V_t, float64, summed in an order that is not specified.
        moduli: Σ|u_t||V_t|, float64. It bounds the rounding error of ``values`` up to a small factor.
        terms: number of summands in each entry, int64, of a shape that broadcasts to that of ``values``.
    """

    values: Sums
    moduli: Sums
    terms: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FoldedLayer:
    """What a ticket has in place of one linear map, folded.

    Attributes:
        linear: the linear map.
        positive: the sum over hidden channels with u_t > 0, of the shape of the weight.
        negative: the sum over hidden channels with u_t < 0, so −K̂⁻, of the shape of the weight.
        bias: the sum of the bias channel, of the shape of the bias; None without a bias.
    """

    linear: LinearMap
    positive: FoldedSum
    negative: FoldedSum
    bias: FoldedSum | None


@dataclass(frozen=True, eq=False)
class MapOperation:
    """The operation of a linear map (its stride, padding, dilation and groups), applicable with any weight.

    Attributes:
        linear: the linear map.
    """

    linear: LinearMap

    @functools.cached_property
    def conv(self) -> nn.Module:
        """The map's convolution, without a weight."""
        return conv_like(self.linear, self.linear.channels[0])

    def operate(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Apply the operation, without a bias.

        Args:
            x: inputs (N, c_in, …).
            weight: a weight of the shape of the map's own.

        Returns:
            Outputs (N, c_out, …).
        """
        linear = self.linear
        if linear.kind == "linear" and linear.groups == 1:
            return functional.linear(x, weight)
        flat = linear.kind == "linear" and x.ndim == 2
        weight = weight.unsqueeze(-1) if linear.kind == "linear" else weight
        weight = in_torch_order(linear, weight)
        out: torch.Tensor = functional_call(self.conv, {"weight": weight}, (x.unsqueeze(-1) if flat else x,))
        return out.squeeze(-1) if flat else out

    def beside(self, bias: torch.Tensor, axes: int) -> torch.Tensor:
        """A bias in a shape that broadcasts to the output.

        Args:
            bias: real (c_out,).
            axes: number of axes of the output.
        """
        last = self.linear.kind == "linear" and self.linear.groups == 1
        return bias if last else bias.reshape(-1, *[1] * (axes - 2))


class FoldedModule(nn.Module):
    """A folded layer as a module: what the compact module computes, without its hidden channels.

    Args:
        linear: the linear map.
        positive: K̂⁺, float64, of the shape of the weight.
        negative: K̂⁻, likewise.
        bias: b̂, float64 (c_out,); None without a bias.
    """

    def __init__(self, linear: LinearMap, positive: Sums, negative: Sums, bias: Sums | None) -> None:
        super().__init__()
        self.operation = MapOperation(linear)
        self.positive = nn.Parameter(torch.from_numpy(positive))
        self.negative = nn.Parameter(torch.from_numpy(negative)) if negative.any() else None
        self.bias = None if bias is None else nn.Parameter(torch.from_numpy(bias))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """K̂⁺ x⁺ − K̂⁻ x⁻ + b̂ of inputs (N, c_in, …)."""
        out = self.operation.operate(x.relu(), self.positive)
        if self.negative is not None:
            out = out - self.operation.operate((-x).relu(), self.negative)
        return out if self.bias is None else out + self.operation.beside(self.bias, out.ndim)


def fold_record(record: Record) -> dict[str, FoldedLayer]:
    """Fold every layer of a ticket; its kept channels are regenerated from the parent's seed.

    Returns:
        Name of a layer in the target → the folded layer.

    Raises:
        InputError: the target's weights are not known.
    """
    if not record.target.known:
        raise InputError("the target's weights are missing: pass the target, or keep its file beside the ticket's.")
    return {
        linear.name: _fold(linear, channels, blocks)
        for linear, channels, blocks in zip(record.target.maps, record.channels, record.kept, strict=True)
    }


def folded_module(
    record: Record, folded: Mapping[str, FoldedLayer] | None = None, dtype: torch.dtype = torch.float32
) -> GraphNetwork:
    """The folded ticket as a network; see :meth:`slth.tickets.Ticket.folded`.

    Args:
        record: the ticket.
        folded: the layers that :func:`fold_record` returned for it; None to fold them here.
        dtype: type of the weights.

    Returns:
        The network, in evaluation mode.
    """
    layers = fold_record(record) if folded is None else folded
    network = assemble(record.target, lambda linear: _folded_layer_module(layers[linear.name]))
    return copy.deepcopy(network).to(dtype)


def _folded_layer_module(folded: FoldedLayer) -> FoldedModule:
    bias = None if folded.bias is None else folded.bias.values
    return FoldedModule(folded.linear, folded.positive.values, -folded.negative.values, bias)


def build_pair(
    record: Record, folded: Mapping[str, FoldedLayer], dtype: torch.dtype
) -> tuple[GraphNetwork, GraphNetwork]:
    """The target and the folded ticket as networks of the same precision, to be run side by side.

    Args:
        record: the ticket.
        folded: the layers that :func:`fold_record` returned for it.
        dtype: type of the weights of both networks.

    Returns:
        (target, folded ticket).
    """
    return copy.deepcopy(record.target.to_module()).to(dtype), folded_module(record, folded, dtype)


def _fold(linear: LinearMap, channels: Sequence[InputChannel], blocks: Sequence[Block]) -> FoldedLayer:
    """One layer of the ticket, folded."""
    sums = [_sums_by_sign(channel, block) for channel, block in zip(channels, blocks, strict=True)]
    c_in = linear.channels[0]
    terms = np.array([len(block.used) for block in blocks])

    def weight(sign: str) -> FoldedSum:
        values, moduli = (as_weight(linear, np.stack([one[sign][i] for one in sums[:c_in]])) for i in range(2))
        # Every entry of an input channel's slice has the same number of summands.
        counts = as_weight(linear, np.repeat(terms[:c_in, None].astype(np.float64), linear.dimension, axis=1))
        return FoldedSum(values, moduli, counts.astype(np.int64))

    bias = None if linear.bias is None else FoldedSum(*sums[c_in]["+"], np.asarray(terms[c_in]))
    return FoldedLayer(linear, weight("+"), weight("-"), bias)


def _sums_by_sign(channel: InputChannel, block: Block) -> dict[str, tuple[Sums, Sums]]:
    """Sign of u_t → Σ|u_t|V_t and Σ|u_t||V_t| over the kept hidden channels of that sign, float64 (D,) each."""
    return {
        sign: (kept.sum(axis=0), np.abs(kept).sum(axis=0)) for sign, kept in kept_candidates(channel, block).items()
    }
