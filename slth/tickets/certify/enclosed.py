"""Linear maps of a target and of its folded ticket, with weights whose rounding errors are enclosed."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from slth.networks.linear_map import LinearMap
from slth.tickets.certify.forms import TINY, UNIT, Form, Tensor, gamma, gamma_each, round_up
from slth.tickets.certify.norms import entry_norm, euclidean_norm, map_norm
from slth.tickets.networks.folded import FoldedLayer, FoldedSum, MapOperation


@dataclass(frozen=True, eq=False)
class Enclosed:
    """Numbers that are known up to an error.

    Attributes:
        center: approximations of the numbers, float64.
        radius: bounds on their errors, float64, of the same shape.
    """

    center: Tensor
    radius: Tensor

    def __add__(self, other: Enclosed) -> Enclosed:
        center = self.center + other.center
        return Enclosed(center, round_up(self.radius + other.radius + UNIT * center.abs()) * (1 + 4 * UNIT))

    def __neg__(self) -> Enclosed:
        return Enclosed(-self.center, self.radius)

    def __sub__(self, other: Enclosed) -> Enclosed:
        return self + (-other)

    def half(self) -> Enclosed:
        """The numbers divided by two, which is exact."""
        return Enclosed(self.center / 2, self.radius / 2)

    @functools.cached_property
    def row_norms(self) -> Tensor:
        """The Euclidean norm of the entries that belong to each output, rounded up."""
        return euclidean_norm(round_up(self.center.abs() + self.radius))

    @functools.cached_property
    def largest(self) -> float:
        """The largest modulus of an entry, rounded up."""
        return float(round_up(self.center.abs() + self.radius).max()) if self.center.numel() else 0.0

    @staticmethod
    def exact(values: np.ndarray) -> Enclosed:
        """Numbers that float64 holds exactly."""
        center = torch.from_numpy(values.astype(np.float64))
        return Enclosed(center, torch.zeros_like(center))


@dataclass(frozen=True, eq=False)
class SignedKernel:
    """The kernels of the ticket for inputs of some signs: ẑ = A â + E|â|.

    Attributes:
        kernel: A.
        skew: E; None where it is zero.
        error: A − K.
    """

    kernel: Enclosed
    skew: Enclosed | None
    error: Enclosed


@dataclass(frozen=True, eq=False)
class EnclosedMap(MapOperation):
    """A linear map of the target and its counterpart in the ticket, both enclosed.

    Attributes:
        linear: the linear map.
        weight: the target's K.
        bias: the target's b; None without a bias.
        positive: the ticket's K̂⁺.
        negative: the ticket's K̂⁻.
        ticket_bias: the ticket's b̂; None without a bias.
        known_norms: operator norms that were already computed, by weight and shape of the input.
    """

    weight: Enclosed
    bias: Enclosed | None
    positive: Enclosed
    negative: Enclosed
    ticket_bias: Enclosed | None
    known_norms: dict[tuple[int, tuple[int, ...]], float] = field(default_factory=dict)

    @functools.cached_property
    def kernels_by_sign(self) -> dict[str, SignedKernel]:
        """Signs that the ticket's input can have (``+``, ``-`` or ``+-``) → the ticket's kernels."""
        middle, skew = (self.positive + self.negative).half(), (self.positive - self.negative).half()
        return {
            "+": SignedKernel(self.positive, None, self.positive - self.weight),
            "-": SignedKernel(self.negative, None, self.negative - self.weight),
            "+-": SignedKernel(middle, skew if skew.largest else None, middle - self.weight),
        }

    @functools.cached_property
    def bias_error(self) -> Enclosed | None:
        """The error b̂ − b of the bias; None without a bias."""
        return None if self.ticket_bias is None or self.bias is None else self.ticket_bias - self.bias

    def norm(self, weight: Enclosed, shape: Sequence[int]) -> float:
        """An upper bound on the Euclidean operator norm of the map with a weight.

        Args:
            weight: the weight.
            shape: shape of one input, without the batch axis.

        Returns:
            The bound; ∞ where none is known.
        """
        key = id(weight), tuple(shape)
        if key not in self.known_norms:
            self.known_norms[key] = map_norm(self.linear, weight.center, shape) + entry_norm(weight.radius)
        return self.known_norms[key]

    @property
    def terms(self) -> int:
        """Number of products in one output."""
        return int(np.prod(self.linear.weight.shape[1:]))

    def apply(self, form: Form, weight: Enclosed) -> Form:
        """The image of a form under the map with a weight, without the bias.

        The unknowns pass through the weight. The rest and all rounding errors pass through its moduli.

        Args:
            form: the form.
            weight: the weight.
        """
        spread = form.spread
        if len(spread):
            moved = self.operate(spread.flatten(0, 1), weight.center)
            moved = moved.reshape(len(spread), len(form.center), *moved.shape[1:])
        center = self.operate(form.center, weight.center)
        magnitude = form.magnitude()
        cost = gamma(self.terms)
        rest = self.operate(round_up(form.rest + cost * magnitude), weight.center.abs())
        if bool(weight.radius.any()):
            rest = rest + self.operate(magnitude, weight.radius)
        rest = rest * (1 + 2 * cost) + (TINY if bool(magnitude.any()) else 0.0)
        return Form(center, moved if len(spread) else center.new_zeros((0, *center.shape)), rest)

    def add_bias(self, form: Form, bias: Enclosed | None) -> Form:
        """A form with a bias added.

        Args:
            form: the form.
            bias: the bias; None adds nothing.
        """
        if bias is None:
            return form
        axes = form.center.ndim
        center = form.center + self.beside(bias.center, axes)
        cost = self.beside(bias.radius, axes) + 2 * UNIT * center.abs()
        return Form(center, form.spread, round_up(form.rest + cost))

    def gain(self, weights: Sequence[Enclosed]) -> float:
        """The largest row sum of moduli, where each entry is the largest among ``weights``; rounded up."""
        largest = torch.stack([weight.center.abs() + weight.radius for weight in weights]).amax(dim=0)
        return float(largest.flatten(1).sum(dim=1).max()) * (1 + gamma(self.terms))


def enclose(folded: Mapping[str, FoldedLayer]) -> dict[str, EnclosedMap]:
    """Enclose the maps of a folded ticket; its candidates are exact products, so only their sums are rounded.

    Returns:
        Name of a layer in the target → the enclosed map.
    """
    return {
        name: EnclosedMap(
            layer.linear,
            Enclosed.exact(layer.linear.weight),
            None if layer.linear.bias is None else Enclosed.exact(layer.linear.bias),
            _rounded(layer.positive),
            -_rounded(layer.negative),
            None if layer.bias is None else _rounded(layer.bias),
        )
        for name, layer in folded.items()
    }


def enclose_kept(linear: LinearMap) -> EnclosedMap:
    """Enclose a linear map that was left out of the search, which is the same in target and ticket."""
    weight = Enclosed.exact(linear.weight)
    bias = None if linear.bias is None else Enclosed.exact(linear.bias)
    return EnclosedMap(linear, weight, bias, weight, weight, bias)


def _rounded(total: FoldedSum) -> Enclosed:
    """A computed sum with a bound on its rounding error."""
    radius = gamma_each(total.terms) * total.moduli
    return Enclosed(torch.from_numpy(total.values), torch.from_numpy(radius))
