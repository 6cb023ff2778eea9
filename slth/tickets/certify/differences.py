r"""Pairs of activations, and what a linear map does to them: a target's a and the ticket's difference δ = â − a.

Following δ itself, and not the two networks separately, keeps the enclosure near the truth. A linear layer gives

.. math:: \hat z − z = (A − K) a + A δ + E |\hat a| + \hat b − b, \qquad
          A = \tfrac12(\hat K^+ + \hat K^-),\ E = \tfrac12(\hat K^+ − \hat K^-)

where a and δ are affine forms in the same unknowns. If the input has one sign only, A is the kernel of that sign and
E = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from slth.theory.propagation import layer_output_bound
from slth.tickets.certify.enclosed import Enclosed, EnclosedMap, SignedKernel
from slth.tickets.certify.forms import Box, Form, Tensor, Unknowns, gamma, round_up
from slth.tickets.certify.norms import EuclideanBounds, euclidean_norm, interval_around


@dataclass(frozen=True, eq=False)
class Pair:
    """An activation a of the target, and the difference δ of the ticket's activation â from it.

    Attributes:
        target: the form of a.
        delta: the form of δ, in the same unknowns.
        target_box: intervals of a from all known bounds, at least as tight as those of the form.
        ticket_box: intervals of â from all known bounds.
        delta_box: intervals of δ from all known bounds, at least as tight as those of the form.
        euclidean: Euclidean bounds on a and δ; None if none are known.
        norm_bound: the bound on ‖δ‖∞ that the layer bounds of :mod:`slth.theory.propagation` compose to.
    """

    target: Form
    delta: Form
    target_box: Box
    ticket_box: Box
    delta_box: Box
    euclidean: EuclideanBounds | None = None
    norm_bound: float = 0.0

    @property
    def ticket(self) -> Form:
        """The form of â."""
        return self.target + self.delta


# Intervals of a, â and δ that are known from elsewhere than their forms.
KnownBoxes = tuple[Box | None, Box | None, Box | None]


def make_pair(
    target: Form, delta: Form, euclidean: EuclideanBounds | None, norm_bound: float, *known: KnownBoxes
) -> Pair:
    """A pair with the tightest intervals: those of its forms, the known ones, and those that follow from each other.

    Args:
        target: the form of a.
        delta: the form of δ, in the same unknowns.
        euclidean: Euclidean bounds on a and δ; None if none are known.
        norm_bound: the bound on ‖δ‖∞ from the layer bounds alone.
        *known: further intervals of a, â and δ.
    """
    boxes = [target.box(), (target + delta).box(), delta.box()]
    if euclidean is not None:
        target_ball, delta_ball = euclidean.boxes()
        known = (*known, (target_ball, None, delta_ball))
    for bounds in known:
        boxes = [box if bound is None else box.intersect(bound) for box, bound in zip(boxes, bounds, strict=True)]
    target_box, ticket_box, delta_box = boxes
    ticket_box = ticket_box.intersect(target_box + delta_box)
    delta_box = delta_box.intersect(ticket_box - target_box)
    euclidean = None if euclidean is None else euclidean.within(target_box, delta_box)
    return Pair(target, delta, target_box.checked(), ticket_box.checked(), delta_box.checked(), euclidean, norm_bound)


def same_input(box: Box, unknowns: Unknowns) -> Pair:
    """The pair of an input, which target and ticket share, so that δ = 0.

    Args:
        box: the inputs.
        unknowns: the unknowns that forms may share.
    """
    zero = torch.zeros_like(box.lo)
    delta = Form(zero, zero.new_zeros((0, *zero.shape)), zero)
    euclidean = None
    if unknowns.limit:
        middle = (box.lo + box.hi) / 2
        far = torch.full((len(middle),), torch.inf, dtype=middle.dtype)
        euclidean = EuclideanBounds(middle, far, torch.zeros_like(far)).within(box, Box(zero, zero))
    return Pair(unknowns.share(box.form()), delta, box, box, Box(zero, zero), euclidean)


def linear(folded: EnclosedMap, pair: Pair) -> Pair:
    """The pair after a linear map of the target and its counterpart in the ticket.

    Args:
        folded: the map and its counterpart.
        pair: the pair before it.
    """
    box = pair.ticket_box
    signs = "+" if bool((box.lo >= 0).all()) else "-" if bool((box.hi <= 0).all()) else "+-"
    signed = folded.kernels_by_sign[signs]

    def both(target_form: Form, delta_form: Form) -> tuple[Form, Form]:
        """The forms of z and ẑ − z."""
        z = folded.add_bias(folded.apply(target_form, folded.weight), folded.bias)
        d = folded.apply(delta_form, signed.kernel)
        if signed.error.largest:
            d = folded.apply(target_form, signed.error) + d
        if signed.skew is not None:
            d = d + folded.apply(_modulus(target_form + delta_form, box), signed.skew)
        return z, folded.add_bias(d, folded.bias_error)

    target, delta = both(pair.target, pair.delta)
    known: list[KnownBoxes] = []
    if len(target.spread):
        # Plain intervals are tighter than forms where many relaxations have come together.
        plain_target, plain_delta = both(pair.target_box.form(), pair.delta_box.form())
        plain_ticket = folded.add_bias(folded.apply(box.form(), signed.kernel), folded.ticket_bias)
        known.append((plain_target.box(), plain_ticket.box() if signed.skew is None else None, plain_delta.box()))
    euclidean: EuclideanBounds | None = None
    if pair.euclidean is not None:
        euclidean, by_rows = _linear_euclidean(folded, signed, pair.euclidean)
        known += by_rows
    return make_pair(target, delta, euclidean, _norm_bound(folded, pair, signs), *known)


def _linear_euclidean(
    folded: EnclosedMap, signed: SignedKernel, given: EuclideanBounds
) -> tuple[EuclideanBounds | None, list[KnownBoxes]]:
    """Euclidean bounds after a linear map, and intervals of its outputs that follow from the norms of its rows."""
    shape = given.center.shape[1:]
    gains = [folded.norm(weight, shape) for weight in (folded.weight, signed.error, signed.kernel)]
    gains.append(0.0 if signed.skew is None else folded.norm(signed.skew, shape))
    if math.inf in gains:
        return None, []
    middle = Form(given.center, given.center.new_zeros((0, *given.center.shape)), torch.zeros_like(given.center))
    z = folded.add_bias(folded.apply(middle, folded.weight), folded.bias)
    d = folded.add_bias(folded.apply(middle, signed.error), folded.bias_error)
    ticket_norm = euclidean_norm(given.center) + given.radius + given.delta  # ‖â‖₂
    parts = [(signed.error, gains[1], given.radius), (signed.kernel, gains[2], given.delta)]
    parts += [] if signed.skew is None else [(signed.skew, gains[3], ticket_norm)]
    radius = gains[0] * given.radius + euclidean_norm(z.rest)
    delta = euclidean_norm(d.magnitude()) + sum(gain * size for _, gain, size in parts)

    def reach(weight: Enclosed, size: Tensor) -> Tensor:
        """‖row‖₂·size, in the shape of the output."""
        rows = folded.beside(weight.row_norms, z.center.ndim)
        return rows * size.reshape(-1, *[1] * (z.center.ndim - 1))

    target_box = interval_around(z.center, z.rest + reach(folded.weight, given.radius))
    delta_reach = torch.stack([reach(weight, size) for weight, _, size in parts]).sum(dim=0)
    delta_box = interval_around(d.center, d.rest + delta_reach)
    margin = 1 + gamma(8)
    return EuclideanBounds(z.center, radius * margin, delta * margin), [(target_box, None, delta_box)]


def _norm_bound(folded: EnclosedMap, pair: Pair, signs: str) -> float:
    """The bound of :mod:`slth.theory.propagation` for this layer, plus ‖K̂‖∞ times the bound before it."""
    used = [{"+": folded.positive, "-": folded.negative}[sign] for sign in signs]
    own = layer_output_bound(
        taps=1,
        c_in=folded.terms,
        error=max(folded.kernels_by_sign[sign].error.largest for sign in signs),
        input_max=float(pair.target_box.largest.max()),
        bias_error=folded.bias_error.largest if folded.bias_error is not None else 0.0,
    )
    return (own + folded.gain(used) * pair.norm_bound) * (1 + gamma(8))


def _modulus(form: Form, box: Box) -> Form:
    """The form of |x|: exact where the sign of x is known, a parallelogram elsewhere."""
    slope = torch.where(box.lo >= 0, 1.0, torch.where(box.hi <= 0, -1.0, (box.hi + box.lo) / (box.hi - box.lo)))
    # |x| − s x is convex: it is 0 at x = 0, and largest at an end.
    top = torch.maximum((1 - slope) * box.hi, (-1 - slope) * box.lo)
    top = torch.where((box.lo >= 0) | (box.hi <= 0), 0.0, round_up(round_up(top)))
    return form.times(slope).plus(Box(torch.zeros_like(top), top))
