r"""What a network's operations do to a pair: a target's activation a and the ticket's difference δ = â − a from it.

Following δ itself, and not two networks apart, is what keeps the enclosure near the truth: a linear layer gives

.. math:: \hat z − z = (A − K) a + A δ + E |\hat a| + \hat b − b, \qquad
          A = \tfrac12(\hat K^+ + \hat K^-),\ E = \tfrac12(\hat K^+ − \hat K^-)

(with one sign of input, A is that sign's kernel and E is not needed), where a and δ are affine forms in the same
unknowns; and ReLU's difference lies between 0 and δ.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from slth.theory.propagation import layer_output_bound
from slth.tickets.certify.enclosed import Enclosed, EnclosedMap, Side
from slth.tickets.certify.forms import Box, Form, Tensor, Unknowns, above, below, gamma
from slth.tickets.certify.norms import Near, around, euclidean

# An activation's affine form is given up where it is this many times as wide as its interval (measured: 1.5 gives the
# narrowest outputs of LeNet-5 around MNIST images; 1.2 and 2 are 15 to 70 % wider).
FORM_WIDTH = 1.5


@dataclass(frozen=True, eq=False)
class Pair:
    """An activation of the target, and how far the ticket's is from it.

    Attributes:
        target, delta: forms of a and δ in the same unknowns. target_box, ticket_box, delta_box: intervals of a, â and
            δ from every bound at hand, at least as tight as the forms.
        near: Euclidean bounds on a and δ, if they are kept.
        norm_bound: ‖δ‖∞ from norms alone (theory.md section 2, layer by layer): what the forms improve on.
    """

    target: Form
    delta: Form
    target_box: Box
    ticket_box: Box
    delta_box: Box
    near: Near | None = None
    norm_bound: float = 0.0

    @property
    def ticket(self) -> Form:
        """The form of â."""
        return self.target + self.delta


Known = tuple[Box | None, Box | None, Box | None]


def make_pair(target: Form, delta: Form, near: Near | None, norm_bound: float, *known: Known) -> Pair:
    """A pair with the tightest boxes: those of its forms, those ``known`` beside, and each from the other two."""
    boxes = [target.box(), (target + delta).box(), delta.box()]
    if near is not None:
        ours, difference = near.boxes()
        known = (*known, (ours, None, difference))
    for bounds in known:
        boxes = [box if bound is None else box.meet(bound) for box, bound in zip(boxes, bounds, strict=True)]
    ours, theirs, difference = boxes
    theirs = theirs.meet(ours + difference)
    difference = difference.meet(theirs - ours)
    near = None if near is None else near.within(ours, difference)
    return Pair(target, delta, ours.checked(), theirs.checked(), difference.checked(), near, norm_bound)


def same_input(box: Box, unknowns: Unknowns) -> Pair:
    """The input, which target and ticket share: anything in a box, δ = 0."""
    zero = torch.zeros_like(box.lo)
    delta = Form(zero, zero.new_zeros((0, *zero.shape)), zero)
    near = None
    if unknowns.limit:
        middle = (box.lo + box.hi) / 2
        far = torch.full((len(middle),), torch.inf, dtype=middle.dtype)
        near = Near(middle, far, torch.zeros_like(far)).within(box, Box(zero, zero))
    return Pair(unknowns.share(box.form()), delta, box, box, Box(zero, zero), near)


def linear(folded: EnclosedMap, pair: Pair) -> Pair:
    """A linear map on the target's side, its kept channels on the ticket's."""
    box = pair.ticket_box
    signs = "+" if bool((box.lo >= 0).all()) else "-" if bool((box.hi <= 0).all()) else "+-"
    side = folded.sides[signs]

    def both(ours: Form, difference: Form) -> tuple[Form, Form]:
        z = folded.add_bias(folded.apply(ours, folded.weight), folded.bias)
        d = folded.apply(difference, side.kernel)
        if side.error.largest:
            d = folded.apply(ours, side.error) + d
        if side.skew is not None:
            d = d + folded.apply(_modulus(ours + difference, box), side.skew)
        return z, folded.add_bias(d, folded.bias_error)

    target, delta = both(pair.target, pair.delta)
    known: list[tuple[Box | None, Box | None, Box | None]] = []
    if len(target.spread):
        # The same on intervals: tighter where relaxations have piled up.
        plain = both(pair.target_box.form(), pair.delta_box.form())
        theirs = folded.add_bias(folded.apply(box.form(), side.kernel), folded.ticket_bias)
        known.append((plain[0].box(), theirs.box() if side.skew is None else None, plain[1].box()))
    near, bounds = (None, ()) if pair.near is None else _linear_near(folded, side, pair.near)
    return make_pair(target, delta, near, _norm_bound(folded, pair, signs), *known, *bounds)


def _linear_near(folded: EnclosedMap, side: Side, near: Near) -> tuple[Near | None, tuple[Known, ...]]:
    """Euclidean bounds after a linear map, and what they say of every output through the norms of its row."""
    shape = near.center.shape[1:]
    gains = [folded.norm(weight, shape) for weight in (folded.weight, side.error, side.kernel)]
    gains.append(0.0 if side.skew is None else folded.norm(side.skew, shape))
    if math.inf in gains:
        return None, ()
    middle = Form(near.center, near.center.new_zeros((0, *near.center.shape)), torch.zeros_like(near.center))
    z = folded.add_bias(folded.apply(middle, folded.weight), folded.bias)
    d = folded.add_bias(folded.apply(middle, side.error), folded.bias_error)
    whole = euclidean(near.center) + near.radius + near.delta  # ‖â‖₂
    parts = [(side.error, gains[1], near.radius), (side.kernel, gains[2], near.delta)]
    parts += [] if side.skew is None else [(side.skew, gains[3], whole)]
    radius = gains[0] * near.radius + euclidean(z.rest)
    delta = euclidean(d.magnitude()) + sum(gain * size for _, gain, size in parts)

    def reach(weight: Enclosed, size: Tensor) -> Tensor:
        """‖row‖₂·size, in the shape of the output."""
        rows = folded.beside(weight.rows)
        return rows * size.reshape(-1, *[1] * (z.center.ndim - 1))

    ours = around(z.center, z.rest + reach(folded.weight, near.radius))
    difference = around(d.center, d.rest + torch.stack([reach(weight, size) for weight, _, size in parts]).sum(dim=0))
    room = 1 + gamma(8)
    return Near(z.center, radius * room, delta * room), ((ours, None, difference),)


def _norm_bound(folded: EnclosedMap, pair: Pair, signs: str) -> float:
    """theory.md section 2 for this layer, plus ‖K̂‖∞ times what came in."""
    used = [{"+": folded.positive, "-": folded.negative}[sign] for sign in signs]
    own = layer_output_bound(
        taps=1,
        c_in=folded.terms,
        error=max(folded.sides[sign].error.largest for sign in signs),
        input_max=float(pair.target_box.largest.max()),
        bias_error=folded.bias_error.largest if folded.bias_error is not None else 0.0,
    )
    return (own + folded.gain(used) * pair.norm_bound) * (1 + gamma(8))


def _modulus(form: Form, box: Box) -> Form:
    """|x|: exact where the sign is known, within a parallelogram elsewhere."""
    slope = torch.where(box.lo >= 0, 1.0, torch.where(box.hi <= 0, -1.0, (box.hi + box.lo) / (box.hi - box.lo)))
    # |x| − s x is convex: 0 at x = 0, largest at an end.
    top = torch.maximum((1 - slope) * box.hi, (-1 - slope) * box.lo)
    top = torch.where((box.lo >= 0) | (box.hi <= 0), 0.0, above(above(top)))
    return form.times(slope).plus(Box(torch.zeros_like(top), top))


def relu(pair: Pair, unknowns: Unknowns) -> Pair:
    r"""ReLU on both sides.

    Where a sign is open, the target's value lies in the parallelogram λz + [0, max(−λl, (1−λ)u)], λ = u/(u−l); the
    difference lies between 0 and δ, of which the narrowest of sδ + [lo, hi], s ∈ {0, ½, 1} is taken.
    """
    z, k, d = pair.target_box, pair.ticket_box, pair.delta_box
    active, dead = z.lo >= 0, z.hi <= 0
    slope = torch.where(active, 1.0, torch.where(dead, 0.0, z.hi / (z.hi - z.lo)))
    top = torch.maximum(-slope * z.lo, (1 - slope) * z.hi)
    top = torch.where(active | dead, 0.0, above(above(top)))
    target = pair.target.times(slope).plus(Box(torch.zeros_like(top), top))

    rise, fall = d.hi.clamp(min=0), (-d.lo).clamp(min=0)  # how far δ can be above and below zero
    half = torch.maximum(rise, fall) / 2
    choices = [
        (0.5, -half, half),
        (0.0, -torch.minimum(fall, z.hi.clamp(min=0)), torch.minimum(rise, k.hi.clamp(min=0))),
        (1.0, -torch.minimum(rise, (-z.lo).clamp(min=0)), torch.minimum(fall, (-k.lo).clamp(min=0))),
    ]
    share, low, high = (torch.full_like(half, choices[0][0]), *choices[0][1:])
    for other, below_it, above_it in choices[1:]:
        better = above_it - below_it < high - low
        share = torch.where(better, other, share)
        low, high = torch.where(better, below_it, low), torch.where(better, above_it, high)
    # Both signs known: the difference is δ, 0, −z or ẑ itself.
    ticket_active, ticket_dead = k.lo >= 0, k.hi <= 0
    known = (active | dead) & (ticket_active | ticket_dead)
    share = torch.where(known, ticket_active.double(), share)
    own = torch.where(known, ticket_active.double() - active.double(), 0.0)
    low, high = torch.where(known, 0.0, low), torch.where(known, 0.0, high)
    delta = pair.delta.times(share)
    if bool(own.any()):
        delta = pair.target.times(own) + delta
    delta = delta.plus(Box(low, high))

    floor = [box.map(lambda end: end.clamp(min=0)) for box in (z, k)]
    between = Box(d.lo.clamp(max=0), d.hi.clamp(min=0))
    # A form much wider than the interval costs more than its unknowns can cancel.
    plain = floor[0].form()
    target = target.keep_where(target.radius() <= FORM_WIDTH * plain.rest, plain)
    target, delta = unknowns.share(target), unknowns.share(delta)
    # ReLU is 1-Lipschitz, entry by entry: Euclidean distances do not grow.
    near = None if pair.near is None else replace(pair.near, center=pair.near.center.relu())
    return make_pair(target, delta, near, pair.norm_bound, (floor[0], floor[1], between))


def smooth(
    pair: Pair, function: Callable[[Tensor], Tensor], slopes: tuple[float, float], unknowns: Unknowns, error: float
) -> Pair:
    r"""A monotone activation φ with slopes in [m, M], by the mean value theorem, s = (m+M)/2, w = (M−m)/2:

    .. math:: φ(z) ∈ φ(c) + s(z − c) ± w|z − c|, \qquad
              φ(\hat z) − φ(z) ∈ s δ ± w|δ| \ \text{ or }\
              φ(\hat c) − φ(c) + s(δ − \hat c + c) ± w(|\hat z − \hat c| + |z − c|)

    Args:
        error: relative error of ``function`` in float64, and absolute error in units of 1.
    """
    middle, width = (slopes[0] + slopes[1]) / 2, (slopes[1] - slopes[0]) / 2

    def values(at: Tensor) -> Box:
        exact = function(at)
        slack = above(error * (1 + exact.abs()))
        return Box(below(exact - slack), above(exact + slack))

    def around(form: Form) -> Form:
        """φ(c) + s(x − c) ± w·radius."""
        at = values(form.center)
        spare = above(width * form.radius())
        zero = torch.zeros_like(form.center)
        return Form(zero, form.spread, form.rest).times(middle).plus(at).plus(Box(-spare, spare))

    ticket = pair.ticket
    target, theirs = around(pair.target), around(ticket)
    first = theirs - target
    spare = above(width * pair.delta_box.largest)
    second = pair.delta.times(middle).plus(Box(-spare, spare))
    # `first` forgets that s(ẑ − ĉ) − s(z − c) is s(δ − …) only in its rests, which it adds up.
    delta = second.keep_where(second.radius() < first.radius(), first)

    def ends(box: Box) -> Box:
        return Box(values(box.lo).lo, values(box.hi).hi)

    target, delta = unknowns.share(target), unknowns.share(delta)
    known = ends(pair.target_box), ends(pair.ticket_box), None
    near, lipschitz = pair.near, slopes[1]
    if near is not None:
        # Around the computed φ(center), which is off by `error` an entry.
        center = function(near.center)
        off = euclidean(error * (1 + center.abs()))
        near = Near(center, above(lipschitz * near.radius + off), above(lipschitz * near.delta))
    return make_pair(target, delta, near, pair.norm_bound * lipschitz, known)
