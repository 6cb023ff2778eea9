r"""Intervals and affine forms with outward rounding: sets that enclose the activations of a network.

An affine form has, for each neuron, all the values

.. math:: c + \sum_{g} s_g ξ_g + r η, \qquad ξ ∈ [−1, 1]^G,\ η ∈ [−1, 1]

All neurons share the unknowns ξ, and each neuron has its own η. Everything is float64 and rounds to nearest. Every
operation adds to r the error that its own rounding can have caused:

* A sum of n products, in any order, with or without fused multiply-add, has an error of at most γ_n Σ|a||b|, with
  γ_n = n u/(1 − n u) and u = 2⁻⁵³. On the CPU, torch computes float64 convolutions and matrix products as such sums,
  directly or by matrix multiplication; its Winograd and Fourier kernels are for float32 only.
* :func:`gamma` is twice γ_n, which covers the rounding of the bound itself.
* A product that underflows has an error of at most 2⁻¹⁰⁷⁵, which TINY covers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Tensor = torch.Tensor

# Relative error of a float64 operation that rounds to nearest.
UNIT = 2.0**-53
# More than all products of a layer can lose by underflow.
TINY = 2.0**-1000


def gamma(terms: int) -> float:
    """A bound on the relative rounding error of a sum of ``terms`` products and a few operations more: about 2γ."""
    return 2.0 * (terms + 8) * UNIT


def gamma_each(terms: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """:func:`gamma` of each entry of an array."""
    return np.asarray(2.0 * (terms + 8) * UNIT, dtype=np.float64)


def round_down(x: Tensor) -> Tensor:
    """A number that is at most the exact result of the operation whose float64 result is ``x``."""
    return x - 4 * UNIT * x.abs()


def round_up(x: Tensor) -> Tensor:
    """A number that is at least the exact result of the operation whose float64 result is ``x``."""
    return x + 4 * UNIT * x.abs()


@dataclass(frozen=True, eq=False)
class Box:
    """An interval for each neuron of each example.

    Attributes:
        lo: lower ends, float64 (B, …).
        hi: upper ends, float64 (B, …), hi ≥ lo.
    """

    lo: Tensor
    hi: Tensor

    def intersect(self, other: Box) -> Box:
        """The intersection with another box."""
        return Box(torch.maximum(self.lo, other.lo), torch.minimum(self.hi, other.hi))

    def checked(self) -> Box:
        """The box itself, asserted not to be empty: sound enclosures of the same value always intersect."""
        assert bool((self.lo <= self.hi).all()), "an empty interval: a transformer is unsound, or a value not finite"
        return self

    def __add__(self, other: Box) -> Box:
        return Box(round_down(self.lo + other.lo), round_up(self.hi + other.hi))

    def __sub__(self, other: Box) -> Box:
        return Box(round_down(self.lo - other.hi), round_up(self.hi - other.lo))

    @property
    def largest(self) -> Tensor:
        """The largest |x| of each interval."""
        return torch.maximum(self.lo.abs(), self.hi.abs())

    def form(self) -> Form:
        """The box as a form without shared unknowns."""
        center = (self.lo + self.hi) / 2
        rest = round_up(torch.maximum(self.hi - center, center - self.lo))
        return Form(center, center.new_zeros((0, *center.shape)), rest)

    def times(self, factor: Tensor | float) -> Box:
        """The box multiplied by a number, or by one number for each neuron."""
        ends = self.lo * factor, self.hi * factor
        return Box(round_down(torch.minimum(*ends)) - TINY, round_up(torch.maximum(*ends)) + TINY)

    def map(self, move: Callable[[Tensor], Tensor]) -> Box:
        """The box after an exact operation that is monotone in every entry."""
        return Box(move(self.lo), move(self.hi))


@dataclass(frozen=True, eq=False)
class Form:
    """An affine form for each neuron of each example.

    Attributes:
        center: c, float64 (B, …).
        spread: s, the coefficients of the shared unknowns, float64 (G, B, …).
        rest: r ≥ 0, float64 (B, …).
    """

    center: Tensor
    spread: Tensor
    rest: Tensor

    def radius(self) -> Tensor:
        """Half the width of each neuron's interval: Σ|s_g| + r, rounded up."""
        if not len(self.spread):
            return self.rest
        return (self.spread.abs().sum(dim=0) + self.rest) * (1 + gamma(len(self.spread)))

    def box(self) -> Box:
        """The interval of the values of each neuron."""
        radius = self.radius()
        return Box(round_down(self.center - radius), round_up(self.center + radius))

    def magnitude(self) -> Tensor:
        """An upper bound on |c| + Σ|s_g| + r, which rounding errors are proportional to."""
        return round_up(self.center.abs() + self.radius())

    def with_error(self, factor: float) -> Form:
        """The form with ``factor``·magnitude added to r, the error of a rounded operation."""
        return Form(self.center, self.spread, round_up(self.rest + factor * self.magnitude()))

    def __add__(self, other: Form) -> Form:
        left, right = aligned(self.spread, other.spread)
        total = Form(self.center + other.center, left + right, self.rest + other.rest)
        return total.with_error(gamma(2))

    def __sub__(self, other: Form) -> Form:
        return self + (-other)

    def __neg__(self) -> Form:
        return Form(-self.center, -self.spread, self.rest)

    def times(self, factor: Tensor | float) -> Form:
        """The form multiplied by a number, or by one number for each neuron; exact where that is 0, 1 or −1."""
        factor = torch.as_tensor(factor, dtype=self.center.dtype)
        rounds = (factor != 0) & (factor.abs() != 1)
        scaled = Form(self.center * factor, self.spread * factor, self.rest * factor.abs())
        if not bool(rounds.any()):
            return scaled
        cost = torch.where(rounds, gamma(2) * scaled.magnitude() + TINY, 0.0)
        return Form(scaled.center, scaled.spread, round_up(scaled.rest + cost))

    def plus(self, interval: Box) -> Form:
        """The form with an unknown number from an interval added to each neuron."""
        middle = interval.form()
        center = self.center + middle.center
        cost = torch.where(middle.center == 0, 0.0, 2 * UNIT * center.abs())
        return Form(center, self.spread, round_up(self.rest + middle.rest + cost))

    def keep_where(self, chosen: Tensor, other: Form) -> Form:
        """This form for some neurons, another form for the others.

        Args:
            chosen: for which neurons this form is kept, bool (B, …).
            other: the form of the other neurons.
        """
        left, right = aligned(self.spread, other.spread)
        return Form(
            torch.where(chosen, self.center, other.center),
            torch.where(chosen, left, right),
            torch.where(chosen, self.rest, other.rest),
        )


def aligned(*spreads: Tensor) -> list[Tensor]:
    """The spreads filled up with zeros to the number of unknowns of the longest."""
    most = max(len(spread) for spread in spreads)
    return [
        spread
        if len(spread) == most
        else torch.cat([spread, spread.new_zeros((most - len(spread), *spread.shape[1:]))])
        for spread in spreads
    ]


class Unknowns:
    """The shared unknowns ξ of a batch, up to a limit that bounds the memory of the forms.

    Args:
        limit: largest number of shared unknowns.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def share(self, form: Form) -> Form:
        """The form with its largest entries of r turned into shared unknowns, which later layers can cancel."""
        count = len(form.rest)
        flat = form.rest.reshape(count, -1)
        # Entries as small as rounding errors are not worth an unknown.
        worth = flat > 1e-9 * form.magnitude().amax()
        fresh = min(self.limit - self.used, int(worth.sum(dim=1).max()) if flat.numel() else 0)
        if fresh <= 0:
            return form
        values, places = torch.where(worth, flat, 0.0).topk(fresh, dim=1)
        spread = flat.new_zeros((fresh, *flat.shape))
        spread.scatter_(2, places.T.unsqueeze(-1), values.T.unsqueeze(-1))
        rest = flat.scatter(1, places, torch.where(values > 0, 0.0, flat.gather(1, places)))
        before = form.spread.new_zeros((self.used - len(form.spread), *form.center.shape))
        self.used += fresh
        return Form(
            form.center,
            torch.cat([form.spread, before, spread.reshape(fresh, *form.center.shape)]),
            rest.reshape(form.rest.shape),
        )
