"""Max-pooling of pairs: windows as tables of indices, and the difference between two maxima."""

from __future__ import annotations

import functools
import itertools
import math

import torch

from slth.tickets.certify.differences import Pair, make_pair
from slth.tickets.certify.forms import Box, Form, Tensor, Unknowns, round_up
from slth.tickets.certify.norms import EuclideanBounds

# The target's maximum is kept as an interval, and not as an affine form, where the interval is narrower than this share
# of the form's slack.
INTERVAL_SHARE = 0.7

# For every axis and place of the output, the places of the input that the window covers.
Spans = tuple[tuple[tuple[int, ...], ...], ...]


@functools.lru_cache(maxsize=64)
def window_table(sides: tuple[int, ...], outputs: tuple[int, ...], spans: Spans) -> Tensor:
    """The entries of the input in the window of each output.

    Args:
        sides: sides of the input.
        outputs: sides of the output.
        spans: the places that the windows cover.

    Returns:
        Indices into the flattened input, int64 (Πoutputs, window); short windows repeat an entry.
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
) -> Spans:
    """The spans of ordinary max-pooling; the padding is −∞, so it is left out.

    Args:
        sides: sides of the input.
        outputs: sides of the output.
        kernel: sides of a window.
        stride: distance between windows on each axis.
        padding: padding before each axis.
        dilation: distance between the entries of a window on each axis.
    """
    return tuple(
        tuple(tuple(at for i in range(width) if 0 <= (at := out * step - pad + i * gap) < side) for out in range(count))
        for side, count, width, step, pad, gap in zip(sides, outputs, kernel, stride, padding, dilation, strict=True)
    )


def adaptive_spans(sides: tuple[int, ...], outputs: tuple[int, ...]) -> Spans:
    """The spans of adaptive max-pooling: window i of o covers [⌊i·n/o⌋, ⌈(i+1)·n/o⌉).

    Args:
        sides: sides of the input.
        outputs: sides of the output.
    """
    return tuple(
        tuple(tuple(range(i * side // count, -((-(i + 1) * side) // count))) for i in range(count))
        for side, count in zip(sides, outputs, strict=True)
    )


def max_pool(pair: Pair, table: Tensor, outputs: tuple[int, ...], unknowns: Unknowns) -> Pair:
    r"""The pair after the maximum over windows.

    With w the likely winner of the target and ŵ that of the ticket, a_w ≤ max a ≤ a_w + t with t = max(a_i − a_w)⁺, and
    likewise with t̂ for â. Then

    .. math:: δ_{max} ∈ \hat a_{\hat w} − a_w + [−t, \hat t] \ \text{ or }\
              δ_w + [\min_i (δ_i − δ_w), \max_i (δ_i − δ_w)] \ \text{ or }\ [\min_i δ_i, \max_i δ_i]

    where i runs over the entries that can win at all. Each output takes the narrowest enclosure.

    Args:
        pair: the pair before the pooling.
        table: the windows, as :func:`window_table` returns them.
        outputs: sides of the output.
        unknowns: the unknowns that forms may share.
    """
    axes = len(outputs)
    shape = (*pair.target.center.shape[:-axes], *outputs)
    in_target, in_ticket, in_delta = (
        _box_windows(box, table, axes) for box in (pair.target_box, pair.ticket_box, pair.delta_box)
    )
    target_floor, ticket_floor = in_target.lo.amax(dim=-1, keepdim=True), in_ticket.lo.amax(dim=-1, keepdim=True)
    can_win, can_win_in_ticket = in_target.hi >= target_floor, in_ticket.hi >= ticket_floor
    target_box = Box(target_floor.squeeze(-1), in_target.hi.amax(dim=-1))
    ticket_box = Box(ticket_floor.squeeze(-1), in_ticket.hi.amax(dim=-1))
    # δ_max ≥ δ_i for the winner i of the target, and δ_max ≤ δ_i for the winner i of the ticket.
    least = torch.where(can_win, in_delta.lo, torch.inf).amin(dim=-1)
    most = torch.where(can_win_in_ticket, in_delta.hi, -torch.inf).amax(dim=-1)
    delta_box = Box(least, most).intersect(ticket_box - target_box)
    target, delta = target_box.form(), delta_box.form()
    if len(pair.target.spread) or len(pair.delta.spread):
        targets, deltas, tickets = (_FormWindows(form, table, axes) for form in (pair.target, pair.delta, pair.ticket))
        winner, ticket_winner = (box.lo + box.hi for box in (in_target, in_ticket))
        winner, ticket_winner = winner.argmax(dim=-1), ticket_winner.argmax(dim=-1)
        a_winner, a_ticket_winner = targets.entry(winner), tickets.entry(ticket_winner)
        delta_winner = deltas.entry(winner)
        top = targets.excess(a_winner, can_win).hi.clamp(min=0)
        ticket_top = tickets.excess(a_ticket_winner, can_win_in_ticket).hi.clamp(min=0)
        target = target.keep_where(
            round_up(target_box.hi - target_box.lo) < INTERVAL_SHARE * top,
            a_winner.plus(Box(torch.zeros_like(top), top)),
        )
        slack = Box(deltas.excess(delta_winner, can_win).lo, deltas.excess(delta_winner, can_win_in_ticket).hi)
        same = winner == ticket_winner
        slack = slack.intersect(Box(torch.where(same, -top, -torch.inf), torch.where(same, ticket_top, torch.inf)))
        for form in (delta_winner.plus(slack), (a_ticket_winner - a_winner).plus(Box(-top, ticket_top))):
            delta = form.keep_where(form.rest < delta.rest, delta)

    target, delta = (
        unknowns.share(
            Form(form.center.reshape(shape), form.spread.reshape(len(form.spread), *shape), form.rest.reshape(shape))
        )
        for form in (target, delta)
    )
    known = [box.map(lambda end: end.reshape(shape)) for box in (target_box, ticket_box, delta_box)]
    euclidean = pair.euclidean
    if euclidean is not None:
        # |max a − max c|² ≤ Σ|a_i − c_i|² over a window; an entry counts once for each window that holds it.
        factor = math.sqrt(_most_windows_of_an_entry(table))
        center = euclidean.center.flatten(-axes)[..., table].amax(dim=-1).reshape(shape)
        euclidean = EuclideanBounds(center, round_up(euclidean.radius * factor), round_up(euclidean.delta * factor))
    return make_pair(target, delta, euclidean, pair.norm_bound, (known[0], known[1], known[2]))


def _most_windows_of_an_entry(table: Tensor) -> int:
    """The largest number of windows that hold the same entry."""
    seen = torch.cat([window.unique() for window in table])
    return int(seen.bincount().max())


class _FormWindows:
    """A form gathered into windows (…, outputs, window)."""

    def __init__(self, form: Form, table: Tensor, axes: int) -> None:
        self.center, self.spread, self.rest = (
            one.flatten(-axes)[..., table] for one in (form.center, form.spread, form.rest)
        )

    def entry(self, index: Tensor) -> Form:
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


def _box_windows(box: Box, table: Tensor, axes: int) -> Box:
    """A box gathered into windows (…, outputs, window)."""
    return box.map(lambda end: end.flatten(-axes)[..., table])
