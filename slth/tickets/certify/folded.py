r"""A ticket as a real function, of its target's size: each layer's kept candidates summed, rounding enclosed.

Hidden channel t computes relu(u_t x); those with u_t > 0 see x⁺ = max(x, 0) alone, the others x⁻ = max(−x, 0), so

.. math:: \hat z = \hat K^+ x^+ − \hat K^- x^- + \hat b, \qquad
          \hat K^± = ± \sum_{t:\, ± u_t > 0} |u_t| V_t, \qquad \hat b = \sum_{t:\, u_t > 0} |u_t| V^b_t

Source: propagation
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from slth.errors import InputError
from slth.networks.graph import GraphNetwork
from slth.networks.parent import Parent
from slth.networks.target import KeptModule, LinearMap, assemble, conv_like
from slth.tickets.certify.forms import TINY, UNIT, Form, Tensor, above, gamma
from slth.tickets.certify.norms import entry_norm, euclidean, map_norm
from slth.tickets.record.approximation import as_weight, kept_candidates
from slth.tickets.ticket import Block, Ticket


@dataclass(frozen=True, eq=False)
class Enclosed:
    """Numbers known to lie within ``radius`` of ``center``, float64 tensors of one shape."""

    center: Tensor
    radius: Tensor

    def __add__(self, other: Enclosed) -> Enclosed:
        center = self.center + other.center
        return Enclosed(center, above(self.radius + other.radius + UNIT * center.abs()) * (1 + 4 * UNIT))

    def __neg__(self) -> Enclosed:
        return Enclosed(-self.center, self.radius)

    def __sub__(self, other: Enclosed) -> Enclosed:
        return self + (-other)

    def half(self) -> Enclosed:
        """Divided by two, which is exact."""
        return Enclosed(self.center / 2, self.radius / 2)

    @functools.cached_property
    def rows(self) -> Tensor:
        """‖·‖₂ of what belongs to each output, rounded up."""
        return euclidean(above(self.center.abs() + self.radius))

    @functools.cached_property
    def largest(self) -> float:
        """max |entry|, rounded up."""
        return float(above(self.center.abs() + self.radius).max()) if self.center.numel() else 0.0

    @staticmethod
    def exact(values: np.ndarray) -> Enclosed:
        """Numbers that float64 holds exactly."""
        center = torch.from_numpy(values.astype(np.float64))
        return Enclosed(center, torch.zeros_like(center))


@dataclass(frozen=True, eq=False)
class Side:
    """What the ticket has for inputs of some signs: ẑ = A â + E|â|, and A − K; E is None where it is not needed."""

    kernel: Enclosed
    skew: Enclosed | None
    error: Enclosed


@dataclass(frozen=True, eq=False)
class FoldedMap:
    """A linear map of the target and what the ticket has in its place.

    Attributes:
        linear: the map. weight, bias: the target's K and b. positive, negative: K̂⁺ and K̂⁻. ticket_bias: b̂.
    """

    linear: LinearMap
    weight: Enclosed
    bias: Enclosed | None
    positive: Enclosed
    negative: Enclosed
    ticket_bias: Enclosed | None
    known_norms: dict[tuple[int, tuple[int, ...]], float] = field(default_factory=dict)

    @functools.cached_property
    def sides(self) -> dict[str, Side]:
        """By signs of the ticket's input: ``+``, ``-`` and ``+-``."""
        middle, skew = (self.positive + self.negative).half(), (self.positive - self.negative).half()
        return {
            "+": Side(self.positive, None, self.positive - self.weight),
            "-": Side(self.negative, None, self.negative - self.weight),
            "+-": Side(middle, skew if skew.largest else None, middle - self.weight),
        }

    @functools.cached_property
    def bias_error(self) -> Enclosed | None:
        """b̂ − b."""
        return None if self.ticket_bias is None or self.bias is None else self.ticket_bias - self.bias

    def norm(self, weight: Enclosed, shape: Sequence[int]) -> float:
        """An upper bound on ‖operation‖₂ for inputs of this shape (without batch axis); ∞ where there is none."""
        key = id(weight), tuple(shape)
        if key not in self.known_norms:
            self.known_norms[key] = map_norm(self.linear, weight.center, shape) + entry_norm(weight.radius)
        return self.known_norms[key]

    @property
    def terms(self) -> int:
        """Products in one output."""
        return int(np.prod(self.linear.weight.shape[1:]))

    @functools.cached_property
    def conv(self) -> nn.Module:
        """The map's convolution, without a weight."""
        return conv_like(self.linear, self.linear.channels[0])

    def operate(self, x: Tensor, weight: Tensor) -> Tensor:
        """The linear operation with another weight: stride, padding, dilation and groups of the map, no bias."""
        linear = self.linear
        if linear.kind == "linear" and linear.groups == 1:
            return functional.linear(x, weight)
        flat = linear.kind == "linear" and x.ndim == 2
        tied = weight.unsqueeze(-1) if linear.kind == "linear" else weight
        out: Tensor = functional_call(self.conv, {"weight": tied}, (x.unsqueeze(-1) if flat else x,))
        return out.squeeze(-1) if flat else out

    def beside(self, bias: Tensor) -> Tensor:
        """A bias in the shape that adds to an output."""
        last = self.linear.kind == "linear" and self.linear.groups == 1
        return bias if last else bias.reshape(-1, *[1] * len(self.linear.kernel))

    def apply(self, form: Form, weight: Enclosed) -> Form:
        """The operation on a form: every unknown through the weight, the rest and all rounding through its moduli."""
        spread = form.spread
        if len(spread):
            moved = self.operate(spread.flatten(0, 1), weight.center)
            moved = moved.reshape(len(spread), len(form.center), *moved.shape[1:])
        center = self.operate(form.center, weight.center)
        magnitude = form.magnitude()
        cost = gamma(self.terms)
        rest = self.operate(above(form.rest + cost * magnitude), weight.center.abs())
        if bool(weight.radius.any()):
            rest = rest + self.operate(magnitude, weight.radius)
        rest = rest * (1 + 2 * cost) + (TINY if bool(magnitude.any()) else 0.0)
        return Form(center, moved if len(spread) else center.new_zeros((0, *center.shape)), rest)

    def add_bias(self, form: Form, bias: Enclosed | None) -> Form:
        """The form with a bias added."""
        if bias is None:
            return form
        center = form.center + self.beside(bias.center)
        cost = self.beside(bias.radius) + 2 * UNIT * center.abs()
        return Form(center, form.spread, above(form.rest + cost))

    def gain(self, weights: Sequence[Enclosed]) -> float:
        """The largest Σ|entries| over outputs, each entry the larger of those of ``weights``; rounded up."""
        largest = torch.stack([weight.center.abs() + weight.radius for weight in weights]).amax(dim=0)
        return float(largest.flatten(1).sum(dim=1).max()) * (1 + gamma(self.terms))


class FoldedLayer(nn.Module):
    """A ticket's layer as arithmetic on K̂⁺, K̂⁻ and b̂: what the compact module computes, without its channels."""

    def __init__(self, folded: FoldedMap) -> None:
        super().__init__()
        self.operate, self.beside = folded.operate, folded.beside
        self.positive = nn.Parameter(folded.positive.center)
        self.negative = nn.Parameter(folded.negative.center) if folded.negative.center.any() else None
        self.bias = None if folded.ticket_bias is None else nn.Parameter(folded.ticket_bias.center)

    def forward(self, x: Tensor) -> Tensor:
        out = self.operate(x.relu(), self.positive)
        if self.negative is not None:
            out = out - self.operate((-x).relu(), self.negative)
        return out if self.bias is None else out + self.beside(self.bias)


def fold_ticket(ticket: Ticket) -> dict[str, FoldedMap]:
    """Every linear map of a ticket's target by name, kept channels regenerated from the parent's seed.

    Raises:
        InputError: the target's weights are not at hand.
    """
    if not ticket.target.known:
        raise InputError("the target's weights are not at hand: pass the target, or keep its file beside the ticket's.")
    return {linear.name: _fold(ticket, i) for i, linear in enumerate(ticket.target.maps)}


def fold_kept(module: KeptModule) -> FoldedMap:
    """A conv or linear layer that was left out of the search: the same in target and ticket."""
    conv = module.type != "Linear"
    options = {name: module.options[name] for name in ("stride", "padding", "dilation", "padding_mode") if conv}
    linear = LinearMap(
        name=module.name,
        kind="conv" if conv else "linear",
        weight=module.tensors["weight"],
        bias=module.tensors.get("bias"),
        options=options,
        groups=int(module.options.get("groups", 1)),
    )
    weight = Enclosed.exact(linear.weight)
    bias = None if linear.bias is None else Enclosed.exact(linear.bias)
    return FoldedMap(linear, weight, bias, weight, weight, bias)


def networks(ticket: Ticket, folded: dict[str, FoldedMap], dtype: torch.dtype) -> tuple[GraphNetwork, GraphNetwork]:
    """Target and folded ticket as modules, for searches and plain evaluation."""
    pair = ticket.target.to_module(), assemble(ticket.target, lambda linear: FoldedLayer(folded[linear.name]))
    first, second = (copy.deepcopy(module).to(dtype) for module in pair)
    return first, second


def _fold(ticket: Ticket, layer: int) -> FoldedMap:
    linear, blocks = ticket.target.maps[layer], ticket.kept[layer]
    c_in = linear.channels[0]
    sums = [_sums(ticket.parent, layer, c, blocks[c]) for c in linear.instances]

    def weight(values: Callable[[tuple[np.ndarray, ...]], np.ndarray]) -> Tensor:
        return torch.from_numpy(as_weight(linear, np.stack([values(one) for one in sums[:c_in]])))

    return FoldedMap(
        linear,
        Enclosed.exact(linear.weight),
        None if linear.bias is None else Enclosed.exact(linear.bias),
        Enclosed(weight(lambda one: one[0]), weight(lambda one: one[1])),
        Enclosed(-weight(lambda one: one[2]), weight(lambda one: one[3])),
        None if linear.bias is None else Enclosed(*(torch.from_numpy(values) for values in sums[c_in][:2])),
    )


def _sums(parent: Parent, layer: int, channel: int, block: Block) -> tuple[np.ndarray, ...]:
    """Σ|u_t|V_t over kept u_t > 0, how far that may be off, and the same two for u_t < 0: float64 (D,) each.

    The candidates are exact products, so only their summation rounds.
    """
    found = []
    for kept in kept_candidates(parent, layer, channel, block).values():
        found += [kept.sum(axis=0), gamma(len(kept)) * np.abs(kept).sum(axis=0)]
    return tuple(found)
