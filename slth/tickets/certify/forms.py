r"""Affine forms with outward rounding: sets of activations, one per neuron, that share the input's unknowns.

A form stands for all values

.. math:: c + \sum_{g} s_g ξ_g + r η, \qquad ξ ∈ [−1, 1]^G \text{ shared by all neurons},\ η ∈ [−1, 1] \text{ its own}

Everything is float64 and rounds to nearest, and every operation adds to r what its own rounding may have cost:

* a sum of n products, in whatever order, with or without fused multiply-add, is off by at most γ_n Σ|a||b|,
  γ_n = n u/(1 − n u), u = 2⁻⁵³. torch computes float64 convolutions and matrix products on the CPU as such sums
  (direct or by matrix multiplication: its Winograd and Fourier kernels are float32 only);
* :func:`gamma` is twice that, which pays for computing the bound itself in floating point;
* products that underflow are off by at most 2⁻¹⁰⁷⁵ each, for which TINY is added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Tensor = torch.Tensor

UNIT = 2.0**-53
TINY = 2.0**-1000


def gamma(terms: int) -> float:
    """2γ of a sum of ``terms`` products (and of a few more): its relative rounding error, with room."""
    return 2.0 * (terms + 8) * UNIT


def gamma_each(terms: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """:func:`gamma` of each entry."""
    return np.asarray(2.0 * (terms + 8) * UNIT, dtype=np.float64)


def below(x: Tensor) -> Tensor:
    """At most the number that ``x`` is the float64 nearest to."""
    return x - 4 * UNIT * x.abs()


def above(x: Tensor) -> Tensor:
    """At least the number that ``x`` is the float64 nearest to."""
    return x + 4 * UNIT * x.abs()


@dataclass(frozen=True, eq=False)
class Box:
    """An interval for each neuron: lo ≤ hi, float64 (B, …)."""

    lo: Tensor
    hi: Tensor

    def meet(self, other: Box) -> Box:
        """What both say."""
        return Box(torch.maximum(self.lo, other.lo), torch.minimum(self.hi, other.hi))

    def checked(self) -> Box:
        """The same; two enclosures of one value always meet: were they disjoint, one of them would be wrong."""
        assert bool((self.lo <= self.hi).all()), "an empty interval: a transformer is unsound, or a value not finite"
        return self

    def __add__(self, other: Box) -> Box:
        return Box(below(self.lo + other.lo), above(self.hi + other.hi))

    def __sub__(self, other: Box) -> Box:
        return Box(below(self.lo - other.hi), above(self.hi - other.lo))

    @property
    def largest(self) -> Tensor:
        """Max |x| over the interval."""
        return torch.maximum(self.lo.abs(), self.hi.abs())

    def form(self) -> Form:
        """The interval as a form without shared unknowns."""
        center = (self.lo + self.hi) / 2
        rest = above(torch.maximum(self.hi - center, center - self.lo))
        return Form(center, center.new_zeros((0, *center.shape)), rest)

    def times(self, factor: Tensor | float) -> Box:
        """Multiplied by a number for each neuron."""
        ends = self.lo * factor, self.hi * factor
        return Box(below(torch.minimum(*ends)) - TINY, above(torch.maximum(*ends)) + TINY)

    def map(self, move: Callable[[Tensor], Tensor]) -> Box:
        """An exact, monotone operation on both ends."""
        return Box(move(self.lo), move(self.hi))


@dataclass(frozen=True, eq=False)
class Form:
    """An affine form for each neuron.

    Attributes:
        center: c, float64 (B, …). spread: s, (G, B, …). rest: r ≥ 0, (B, …).
    """

    center: Tensor
    spread: Tensor
    rest: Tensor

    def radius(self) -> Tensor:
        """Σ|s_g| + r, rounded up."""
        if not len(self.spread):
            return self.rest
        return (self.spread.abs().sum(dim=0) + self.rest) * (1 + gamma(len(self.spread)))

    def box(self) -> Box:
        """The interval of each neuron's values."""
        radius = self.radius()
        return Box(below(self.center - radius), above(self.center + radius))

    def magnitude(self) -> Tensor:
        """A bound on |c| + Σ|s_g| + r, which rounding errors are proportional to."""
        return above(self.center.abs() + self.radius())

    def charge(self, factor: float) -> Form:
        """The same with ``factor``·magnitude added to r: the cost of a rounded operation just made."""
        return Form(self.center, self.spread, above(self.rest + factor * self.magnitude()))

    def __add__(self, other: Form) -> Form:
        left, right = aligned(self.spread, other.spread)
        total = Form(self.center + other.center, left + right, self.rest + other.rest)
        return total.charge(gamma(2))

    def __sub__(self, other: Form) -> Form:
        return self + (-other)

    def __neg__(self) -> Form:
        return Form(-self.center, -self.spread, self.rest)

    def times(self, factor: Tensor | float) -> Form:
        """Multiplied by a number for each neuron; exact where that is 0, 1 or −1."""
        factor = torch.as_tensor(factor, dtype=self.center.dtype)
        rounds = (factor != 0) & (factor.abs() != 1)
        scaled = Form(self.center * factor, self.spread * factor, self.rest * factor.abs())
        if not bool(rounds.any()):
            return scaled
        cost = torch.where(rounds, gamma(2) * scaled.magnitude() + TINY, 0.0)
        return Form(scaled.center, scaled.spread, above(scaled.rest + cost))

    def plus(self, interval: Box) -> Form:
        """With an unknown of its own from an interval added to each neuron."""
        middle = interval.form()
        center = self.center + middle.center
        cost = torch.where(middle.center == 0, 0.0, 2 * UNIT * center.abs())
        return Form(center, self.spread, above(self.rest + middle.rest + cost))

    def keep_where(self, chosen: Tensor, other: Form) -> Form:
        """This form where ``chosen`` is true, the other elsewhere."""
        left, right = aligned(self.spread, other.spread)
        return Form(
            torch.where(chosen, self.center, other.center),
            torch.where(chosen, left, right),
            torch.where(chosen, self.rest, other.rest),
        )


def aligned(*spreads: Tensor) -> list[Tensor]:
    """Spreads with as many unknowns as the longest: those that come later do not occur in the others."""
    most = max(len(spread) for spread in spreads)
    return [
        spread
        if len(spread) == most
        else torch.cat([spread, spread.new_zeros((most - len(spread), *spread.shape[1:]))])
        for spread in spreads
    ]


class Unknowns:
    """Counts the shared unknowns ξ of a batch and gives out new ones, up to a limit that keeps memory bounded."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def share(self, form: Form) -> Form:
        """The form with the largest r's turned into shared unknowns, so that later layers can cancel them."""
        count = len(form.rest)
        flat = form.rest.reshape(count, -1)
        # Rounding errors need no unknown of their own.
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
