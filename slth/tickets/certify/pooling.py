"""Max-pooling of pairs: windows as index tables, and the difference between two maxima."""

from __future__ import annotations

import functools
import itertools
import math

import torch

from slth.tickets.certify.differences import Pair, make_pair
from slth.tickets.certify.forms import Box, Form, Tensor, Unknowns, above
from slth.tickets.certify.norms import Near

# The target's maximum is an interval, and no affine form, where that is narrower than this share of the form's slack.
INTERVAL_SHARE = 0.7


@functools.lru_cache(maxsize=64)
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
    axes = len(outputs)
    shape = (*pair.target.center.shape[:-axes], *outputs)
    ours, theirs, difference = (
        _spread_box(box, table, axes) for box in (pair.target_box, pair.ticket_box, pair.delta_box)
    )
    floor, their_floor = ours.lo.amax(dim=-1, keepdim=True), theirs.lo.amax(dim=-1, keepdim=True)
    can_win, can_win_there = ours.hi >= floor, theirs.hi >= their_floor
    interval = Box(floor.squeeze(-1), ours.hi.amax(dim=-1))
    their_interval = Box(their_floor.squeeze(-1), theirs.hi.amax(dim=-1))
    # δ_max ≥ δ_i of the target's winner i, and ≤ δ_i of the ticket's.
    least = torch.where(can_win, difference.lo, torch.inf).amin(dim=-1)
    most = torch.where(can_win_there, difference.hi, -torch.inf).amax(dim=-1)
    plain = Box(least, most).meet(their_interval - interval)
    pooled, choice = interval.form(), plain.form()
    if len(pair.target.spread) or len(pair.delta.spread):
        target, delta, ticket = (_Windows(form, table, axes) for form in (pair.target, pair.delta, pair.ticket))
        best, rival = (ours.lo + ours.hi).argmax(dim=-1), (theirs.lo + theirs.hi).argmax(dim=-1)
        winner, their_winner, its_delta = target.pick(best), ticket.pick(rival), delta.pick(best)
        top = target.excess(winner, can_win).hi.clamp(min=0)
        their_top = ticket.excess(their_winner, can_win_there).hi.clamp(min=0)
        pooled = pooled.keep_where(
            above(interval.hi - interval.lo) < INTERVAL_SHARE * top, winner.plus(Box(torch.zeros_like(top), top))
        )
        slack = Box(delta.excess(its_delta, can_win).lo, delta.excess(its_delta, can_win_there).hi)
        same = best == rival
        slack = slack.meet(Box(torch.where(same, -top, -torch.inf), torch.where(same, their_top, torch.inf)))
        for form in (its_delta.plus(slack), (their_winner - winner).plus(Box(-top, their_top))):
            choice = form.keep_where(form.rest < choice.rest, choice)

    forms = [
        unknowns.share(Form(form.center.reshape(shape), _outputs(form.spread, shape), form.rest.reshape(shape)))
        for form in (pooled, choice)
    ]
    known = [box.map(lambda end: end.reshape(shape)) for box in (interval, their_interval, plain)]
    near = pair.near
    if near is not None:
        # |max a − max c|² ≤ Σ|a_i − c_i|² over a window; an entry counts as often as windows hold it.
        often = math.sqrt(_windows_of_an_entry(table))
        center = near.center.flatten(-axes)[..., table].amax(dim=-1).reshape(shape)
        near = Near(center, above(near.radius * often), above(near.delta * often))
    return make_pair(forms[0], forms[1], near, pair.norm_bound, (known[0], known[1], known[2]))


def _outputs(spread: Tensor, shape: tuple[int, ...]) -> Tensor:
    return spread.reshape(len(spread), *shape)


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

    def excess(self, base: Form, chosen: Tensor) -> Box:
        """[min, max] of x_i − base over the ``chosen`` entries i of each window."""
        least = torch.full_like(base.center, torch.inf)
        most = -least
        for i in range(chosen.shape[-1]):
            box = (Form(self.center[..., i], self.spread[..., i], self.rest[..., i]) - base).box()
            least = torch.where(chosen[..., i], torch.minimum(least, box.lo), least)
            most = torch.where(chosen[..., i], torch.maximum(most, box.hi), most)
        return Box(least, most)


def _spread_box(box: Box, table: Tensor, axes: int) -> Box:
    return box.map(lambda end: end.flatten(-axes)[..., table])
