"""Pairs through activation functions: ReLU, its relatives with corners, and smooth monotone functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch

from slth.tickets.certify.differences import Pair, make_pair
from slth.tickets.certify.forms import UNIT, Box, Form, Tensor, Unknowns, round_down, round_up
from slth.tickets.certify.norms import EuclideanBounds, euclidean_norm
from slth.tickets.certify.operators import add, scaled, shifted

# The form of an activation is given up where it is this many times as wide as its interval. (Measured: 1.5 gives the
# narrowest outputs of LeNet-5 around MNIST images; 1.2 and 2 give outputs that are 15 to 70 % wider.)
FORM_WIDTH = 1.5


def relu(pair: Pair, unknowns: Unknowns) -> Pair:
    r"""The pair after a ReLU.

    Where the sign of z ∈ [l, u] is open, max(z, 0) lies in the parallelogram λz + [0, max(−λl, (1−λ)u)], λ = u/(u−l).
    The difference lies between 0 and δ. Of its enclosures sδ + [lo, hi], s ∈ {0, ½, 1}, the narrowest is taken.

    Args:
        pair: the pair before the ReLU.
        unknowns: the unknowns that forms may share.
    """
    z, z_ticket = pair.target_box, pair.ticket_box
    active, dead = z.lo >= 0, z.hi <= 0
    slope = torch.where(active, 1.0, torch.where(dead, 0.0, z.hi / (z.hi - z.lo)))
    top = torch.maximum(-slope * z.lo, (1 - slope) * z.hi)
    top = torch.where(active | dead, 0.0, round_up(round_up(top)))
    target = pair.target.times(slope).plus(Box(torch.zeros_like(top), top))
    delta = _relu_difference(pair)

    target_floor, ticket_floor = (box.map(lambda end: end.clamp(min=0)) for box in (z, z_ticket))
    # A form that is much wider than its interval costs more than its unknowns can cancel later.
    plain = target_floor.form()
    target = target.keep_where(target.radius() <= FORM_WIDTH * plain.rest, plain)
    target, delta = unknowns.share(target), unknowns.share(delta)
    # ReLU is 1-Lipschitz in every entry, so Euclidean distances do not grow.
    euclidean = None if pair.euclidean is None else replace(pair.euclidean, center=pair.euclidean.center.relu())
    return make_pair(
        target, delta, euclidean, pair.norm_bound, (target_floor, ticket_floor, _between_zero_and(pair.delta_box))
    )


def _relu_difference(pair: Pair) -> Form:
    """The form of relu(ẑ) − relu(z)."""
    z, z_ticket, d = pair.target_box, pair.ticket_box, pair.delta_box
    rise, fall = d.hi.clamp(min=0), (-d.lo).clamp(min=0)  # how far δ can lie above and below zero
    half = torch.maximum(rise, fall) / 2
    choices = [
        (0.5, -half, half),
        (0.0, -torch.minimum(fall, z.hi.clamp(min=0)), torch.minimum(rise, z_ticket.hi.clamp(min=0))),
        (1.0, -torch.minimum(rise, (-z.lo).clamp(min=0)), torch.minimum(fall, (-z_ticket.lo).clamp(min=0))),
    ]
    share, low, high = (torch.full_like(half, choices[0][0]), *choices[0][1:])
    for other, other_low, other_high in choices[1:]:
        better = other_high - other_low < high - low
        share = torch.where(better, other, share)
        low, high = torch.where(better, other_low, low), torch.where(better, other_high, high)
    # Where both signs are known, the difference is δ, 0, −z or ẑ.
    active, dead = z.lo >= 0, z.hi <= 0
    ticket_active, ticket_dead = z_ticket.lo >= 0, z_ticket.hi <= 0
    known = (active | dead) & (ticket_active | ticket_dead)
    share = torch.where(known, ticket_active.double(), share)
    target_share = torch.where(known, ticket_active.double() - active.double(), 0.0)
    low, high = torch.where(known, 0.0, low), torch.where(known, 0.0, high)
    delta = pair.delta.times(share)
    if bool(target_share.any()):
        delta = pair.target.times(target_share) + delta
    return delta.plus(Box(low, high))


def leaky_relu(pair: Pair, slope: float, unknowns: Unknowns) -> Pair:
    """The pair after LeakyReLU, computed as slope·x + (1 − slope)·relu(x).

    Args:
        pair: the pair before it.
        slope: the slope for x < 0.
        unknowns: the unknowns that forms may share.
    """
    return add(scaled(pair, slope), scaled(relu(pair, unknowns), 1 - slope, error=2 * UNIT))


def clamp(pair: Pair, low: float, high: float, unknowns: Unknowns) -> Pair:
    """The pair after max(low, min(high, x)), computed as low + relu(x − low) − relu(x − high).

    Without a lower end it is x − relu(x − high). Where low > high the result is high, as in torch.

    Args:
        pair: the pair before it.
        low: least value of the result; −∞ for none.
        high: greatest value of the result; ∞ for none.
        unknowns: the unknowns that forms may share.
    """
    low = min(low, high)
    total = pair if low == -math.inf else shifted(relu(shifted(pair, -low), unknowns), low)
    if high < math.inf:
        total = add(total, relu(shifted(pair, -high), unknowns), -1)
    target_box, ticket_box = (box.map(lambda end: end.clamp(low, high)) for box in (pair.target_box, pair.ticket_box))
    euclidean = pair.euclidean
    if euclidean is not None:
        euclidean = replace(euclidean, center=euclidean.center.clamp(low, high))
    known = target_box, ticket_box, _between_zero_and(pair.delta_box)
    return make_pair(total.target, total.delta, euclidean, pair.norm_bound, known)


def smooth(
    pair: Pair, function: Callable[[Tensor], Tensor], slopes: tuple[float, float], unknowns: Unknowns, error: float
) -> Pair:
    r"""The pair after a monotone activation φ with slopes in [m, M], by the mean value theorem.

    .. math:: φ(z) ∈ φ(c) + s(z − c) ± w|z − c|, \qquad
              φ(\hat z) − φ(z) ∈ s δ ± w|δ| \ \text{ or }\
              φ(\hat c) − φ(c) + s(δ − \hat c + c) ± w(|\hat z − \hat c| + |z − c|)

    with s = (m+M)/2 and w = (M−m)/2.

    Args:
        pair: the pair before it.
        function: φ, on float64 tensors.
        slopes: (m, M).
        unknowns: the unknowns that forms may share.
        error: a bound on |computed φ(x) − φ(x)| / (1 + |φ(x)|) in float64.
    """
    middle, half_width = (slopes[0] + slopes[1]) / 2, (slopes[1] - slopes[0]) / 2

    def values(x: Tensor) -> Box:
        """φ(x) with its error enclosed."""
        computed = function(x)
        slack = round_up(error * (1 + computed.abs()))
        return Box(round_down(computed - slack), round_up(computed + slack))

    def image(form: Form) -> Form:
        """φ(c) + s(x − c) ± w·radius."""
        at_center = values(form.center)
        spare = round_up(half_width * form.radius())
        zero = torch.zeros_like(form.center)
        return Form(zero, form.spread, form.rest).times(middle).plus(at_center).plus(Box(-spare, spare))

    def ends(box: Box) -> Box:
        return Box(values(box.lo).lo, values(box.hi).hi)

    target = image(pair.target)
    of_images = image(pair.ticket) - target
    spare = round_up(half_width * pair.delta_box.largest)
    of_difference = pair.delta.times(middle).plus(Box(-spare, spare))
    # Each is the narrower one somewhere: `of_images` adds up the rests of two forms.
    delta = of_difference.keep_where(of_difference.radius() < of_images.radius(), of_images)
    target, delta = unknowns.share(target), unknowns.share(delta)
    euclidean, lipschitz = pair.euclidean, slopes[1]
    if euclidean is not None:
        # Each entry of the computed φ(center) has an error.
        center = function(euclidean.center)
        center_error = euclidean_norm(error * (1 + center.abs()))
        euclidean = EuclideanBounds(
            center, round_up(lipschitz * euclidean.radius + center_error), round_up(lipschitz * euclidean.delta)
        )
    known = ends(pair.target_box), ends(pair.ticket_box), None
    return make_pair(target, delta, euclidean, pair.norm_bound * lipschitz, known)


def _between_zero_and(delta: Box) -> Box:
    """The smallest box that holds 0 and every δ."""
    return Box(delta.lo.clamp(max=0), delta.hi.clamp(min=0))
