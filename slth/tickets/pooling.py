"""Max-pooling of pairs: windows as index tables, and the difference between two maxima."""

from __future__ import annotations

import itertools
import math

import torch

from slth.tickets.differences import Pair, make_pair
from slth.tickets.forms import Box, Form, Tensor, Unknowns, above
from slth.tickets.norms import Near


def window_table(
    sides: tuple[int, ...], outputs: tuple[int, ...], spans: tuple[tuple[tuple[int, ...], ...], ...]
) -> Tensor:
    """The entries that each output of a pooling looks at.

    Args:
        sides: of the input. outputs: of the output. spans: for every axis and output place, the input places.

    Returns:
        int64 (Πoutputs, window), indices into the flattened input; short windows repeat an entry.
    """
    strides = [math.prod(sides[i + 1 :]) for i in range(len(sides))]
    windows = []
    for place in itertools.product(*(range(count) for count in outputs)):
        axes = [[at * stride for at in span[p]] for span, p, stride in zip(spans, place, strides, strict=True)]
        windows.append([sum(offset) for offset in itertools.product(*axes)])
    longest = max(len(window) for window in windows)
    return torch.tensor([window + window[:1] * (longest - len(window)) for window in windows])


def strided_spans(
    sides: tuple[int, ...],
    outputs: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Spans of ordinary max-pooling; padding (−∞) never wins and is left out."""
    return tuple(
        tuple(tuple(at for i in range(width) if 0 <= (at := out * step - pad + i * gap) < side) for out in range(count))
        for side, count, width, step, pad, gap in zip(sides, outputs, kernel, stride, padding, dilation, strict=True)
    )


def adaptive_spans(sides: tuple[int, ...], outputs: tuple[int, ...]) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Spans of adaptive max-pooling: [⌊i·n/o⌋, ⌈(i+1)·n/o⌉)."""
    return tuple(
        tuple(tuple(range(i * side // count, -((-(i + 1) * side) // count))) for i in range(count))
        for side, count in zip(sides, outputs, strict=True)
    )


def max_pool(pair: Pair, table: Tensor, outputs: tuple[int, ...], unknowns: Unknowns) -> Pair:
    r"""The maximum over windows, on both sides.

    With w the target's likely winner and ŵ the ticket's, a_w ≤ max a ≤ a_w + t, t = max(a_i − a_w)⁺, and alike for â:

    .. math:: δ_{max} ∈ \hat a_{\hat w} − a_w + [−t, \hat t] \ \text{ or }\
              δ_w + [\min_i (δ_i − δ_w), \max_i (δ_i − δ_w)] \ \text{ or }\ [\min_i δ_i, \max_i δ_i]

    where i runs over the entries that can win at all; each place takes the narrowest.
    """
    target, delta, ticket = (_Windows(form, table, len(outputs)) for form in (pair.target, pair.delta, pair.ticket))
    ours, theirs, difference = (
        _spread_box(box, table, len(outputs)) for box in (pair.target_box, pair.ticket_box, pair.delta_box)
    )
    best, rival = _middle(ours).argmax(dim=-1), _middle(theirs).argmax(dim=-1)
    floor, their_floor = ours.lo.amax(dim=-1, keepdim=True), theirs.lo.amax(dim=-1, keepdim=True)
    can_win, can_win_there = ours.hi >= floor, theirs.hi >= their_floor

    lead, their_lead = target.excess(best, ours, can_win), ticket.excess(rival, theirs, can_win_there)
    zero = torch.zeros_like(lead.hi)
    top, their_top = lead.hi.clamp(min=0), their_lead.hi.clamp(min=0)
    pooled = target.pick(best).plus(Box(zero, top))
    interval = Box(floor.squeeze(-1), ours.hi.amax(dim=-1))
    their_interval = Box(their_floor.squeeze(-1), theirs.hi.amax(dim=-1))
    pooled = interval.form().keep_where(_width(interval) < 0.7 * top, pooled)

    # δ_max ≥ δ_i of the target's winner i, and ≤ δ_i of the ticket's.
    least = torch.where(can_win, difference.lo, torch.inf).amin(dim=-1)
    most = torch.where(can_win_there, difference.hi, -torch.inf).amax(dim=-1)
    plain = Box(least, most)
    down, up = delta.excess(best, difference, can_win).lo, delta.excess(best, difference, can_win_there).hi
    same = best == rival
    near = Box(torch.where(same, torch.maximum(down, -top), down), torch.where(same, torch.minimum(up, their_top), up))
    choice = plain.form()
    for form in (delta.pick(best).plus(near), (ticket.pick(rival) - target.pick(best)).plus(Box(-top, their_top))):
        choice = form.keep_where(form.rest < choice.rest, choice)

    shape = (*pair.target.center.shape[: -len(outputs)], *outputs)
    forms = [unknowns.share(_reshaped(form, shape)) for form in (pooled, choice)]
    known = [box.map(lambda end: end.reshape(shape)) for box in (interval, their_interval, plain)]
    near = pair.near
    if near is not None:
        # |max a − max c|² ≤ Σ|a_i − c_i|² over a window; an entry counts as often as windows hold it.
        often = math.sqrt(max(_windows_of_an_entry(table), 1))
        center = near.center.flatten(-len(outputs))[..., table].amax(dim=-1).reshape(shape)
        near = Near(center, above(near.radius * often), above(near.delta * often))
    return make_pair(forms[0], forms[1], near, pair.norm_bound, (known[0], known[1], known[2]))


def _windows_of_an_entry(table: Tensor) -> int:
    """In how many windows an entry is, at most."""
    seen = torch.cat([window.unique() for window in table])
    return int(seen.bincount().max())


class _Windows:
    """A form gathered into windows (…, outputs, window)."""

    def __init__(self, form: Form, table: Tensor, axes: int) -> None:
        self.center, self.spread, self.rest = (
            one.flatten(-axes)[..., table] for one in (form.center, form.spread, form.rest)
        )

    def pick(self, index: Tensor) -> Form:
        """The form of one entry of each window."""
        at = index.unsqueeze(-1)
        spread = self.spread.gather(-1, at.expand(*self.spread.shape[:-1], 1)).squeeze(-1)
        return Form(self.center.gather(-1, at).squeeze(-1), spread, self.rest.gather(-1, at).squeeze(-1))

    def excess(self, index: Tensor, boxes: Box, chosen: Tensor) -> Box:
        """[min, max] of x_i − x_index over the ``chosen`` entries i of each window."""
        base, at = self.pick(index), index.unsqueeze(-1)
        low, high = boxes.lo.gather(-1, at).squeeze(-1), boxes.hi.gather(-1, at).squeeze(-1)
        least, most = torch.zeros_like(low), torch.zeros_like(low)
        for i in range(self.center.shape[-1]):
            form = Form(self.center[..., i], self.spread[..., i], self.rest[..., i]) - base
            box = form.box().meet(Box(boxes.lo[..., i], boxes.hi[..., i]) - Box(low, high))
            counted = chosen[..., i] & (index != i)
            least = torch.where(counted, torch.minimum(least, box.lo), least)
            most = torch.where(counted, torch.maximum(most, box.hi), most)
        return Box(least, most)


def _spread_box(box: Box, table: Tensor, axes: int) -> Box:
    return box.map(lambda end: end.flatten(-axes)[..., table])


def _middle(box: Box) -> Tensor:
    return box.lo + box.hi


def _width(box: Box) -> Tensor:
    return above(box.hi - box.lo)


def _reshaped(form: Form, shape: tuple[int, ...]) -> Form:
    spread = form.spread.reshape(len(form.spread), *shape)
    return Form(form.center.reshape(shape), spread, form.rest.reshape(shape))
