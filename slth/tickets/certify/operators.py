"""Pairs through what needs no weights: rearrangements, averages, sums, multiples, activations with corners."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from slth.errors import InputError
from slth.tickets.certify.differences import Pair, make_pair, relu
from slth.tickets.certify.forms import TINY, UNIT, Box, Form, Tensor, Unknowns, above, aligned, below, gamma
from slth.tickets.certify.norms import Near, euclidean


def pairs_in(value: Any) -> list[Pair]:
    """The pairs in an operation's arguments, in order."""
    if isinstance(value, Pair):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [one for part in value for one in pairs_in(part)] if isinstance(value, tuple | list) else []


def lift(
    call: Callable[..., Any], args: tuple[Any, ...], options: Mapping[str, Any], *, exact: bool, pads: bool = False
) -> Any:
    """An affine operation with weights ≥ 0, applied to every part of the pairs among its arguments.

    Args:
        call: takes tensors where ``args`` and ``options`` hold pairs; several results make several pairs.
        exact: whether it only selects and rearranges; sums and averages round. pads: whether it adds constants.

    Raises:
        InputError: it moves the batch axis or sums over it.
    """
    pairs = pairs_in((args, options))
    many = False

    def whole(*tensors: Tensor) -> tuple[Tensor, ...]:
        nonlocal many
        given, named = _replaced((args, dict(options)), list(tensors))
        out = call(*given, **named)
        many = isinstance(out, tuple | list)
        return tuple(out) if many else (out,)

    def part(*tensors: Tensor) -> tuple[Tensor, ...]:
        """The linear part."""
        moved = whole(*tensors)
        if not pads:
            return moved
        return tuple(one - zero for one, zero in zip(moved, whole(*map(torch.zeros_like, tensors)), strict=True))

    _check_batch(part, [pair.target.center for pair in pairs], exact)
    # The relative rounding error of sums over any entries of one example.
    cost = 0.0 if exact else gamma(sum(math.prod(pair.target.center.shape[1:]) for pair in pairs))

    def forms(given: list[Form], move: Callable[..., tuple[Tensor, ...]]) -> list[Form]:
        centers = move(*(form.center for form in given))
        rests = part(*(above(form.rest + cost * form.magnitude()) if cost else form.rest for form in given))
        spreads = aligned(*(form.spread for form in given))
        if len(spreads[0]):
            moved = torch.vmap(part)(*spreads)
        else:
            moved = tuple(center.new_zeros((0, *center.shape)) for center in centers)
        rests = tuple(rest * (1 + cost) + TINY for rest in rests) if cost else rests
        return [Form(*parts) for parts in zip(centers, moved, rests, strict=True)]

    def boxes(given: list[Box], move: Callable[..., tuple[Tensor, ...]]) -> list[Box]:
        lows, highs = move(*(box.lo for box in given)), move(*(box.hi for box in given))
        if not cost:
            return [Box(*ends) for ends in zip(lows, highs, strict=True)]
        slack = [2 * cost * one + TINY for one in part(*(box.largest for box in given))]
        return [Box(low - one, high + one) for low, high, one in zip(lows, highs, slack, strict=True)]

    targets = forms([pair.target for pair in pairs], whole)
    deltas = forms([pair.delta for pair in pairs], part)
    ours = boxes([pair.target_box for pair in pairs], whole)
    theirs = boxes([pair.ticket_box for pair in pairs], whole)
    between = boxes([pair.delta_box for pair in pairs], part)
    rows, columns = _sums(part, [pair.target.center for pair in pairs])
    norm = max(pair.norm_bound for pair in pairs) * rows * (1 + cost + 4 * UNIT)
    nears = [pair.near for pair in pairs if pair.near is not None]
    near: list[Near | None] = [None] * len(targets)
    if len(nears) == len(pairs):
        # ‖L‖₂ ≤ √(‖L‖₁‖L‖∞), for all inputs side by side and for all outputs.
        gain = math.sqrt(rows * columns) * (1 + cost + 4 * UNIT)
        radius, delta = (
            gain * euclidean(torch.stack(sizes, dim=1))
            for sizes in ([one.radius for one in nears], [one.delta for one in nears])
        )
        centers = whole(*(one.center for one in nears))
        off = [euclidean(cost * one) for one in part(*(one.center.abs() for one in nears))]
        near = [Near(center, above(radius + error), delta) for center, error in zip(centers, off, strict=True)]
    made = [
        make_pair(target, delta, one, norm, (a, b, c))
        for target, delta, one, a, b, c in zip(targets, deltas, near, ours, theirs, between, strict=True)
    ]
    return made if many else made[0]


def add(left: Any, right: Any, sign: int = 1) -> Pair:
    """Left ± right, of which at least one is a pair and the other a pair, a number or a tensor."""
    if not isinstance(left, Pair):
        return add(negative(right), left) if sign < 0 else add(right, left)
    if not isinstance(right, Pair):
        return _shifted(left, right * sign)
    other = negative(right) if sign < 0 else right
    shape = torch.broadcast_shapes(left.target.center.shape, other.target.center.shape)
    first, second = (_expanded(pair, shape) for pair in (left, other))
    near = None
    if first.near is not None and second.near is not None:
        center = first.near.center + second.near.center
        off = euclidean(2 * UNIT * center)
        near = Near(
            center,
            above(above(first.near.radius + second.near.radius) + off),
            above(first.near.delta + second.near.delta),
        )
    return make_pair(
        first.target + second.target,
        first.delta + second.delta,
        near,
        (first.norm_bound + second.norm_bound) * (1 + 4 * UNIT),
        (
            first.target_box + second.target_box,
            first.ticket_box + second.ticket_box,
            first.delta_box + second.delta_box,
        ),
    )


def negative(pair: Pair) -> Pair:
    """−a and −δ."""
    ours, theirs, between = (Box(-box.hi, -box.lo) for box in (pair.target_box, pair.ticket_box, pair.delta_box))
    near = None if pair.near is None else replace(pair.near, center=-pair.near.center)
    return Pair(-pair.target, -pair.delta, ours, theirs, between, near, pair.norm_bound)


def scaled(pair: Pair, factor: float | Tensor, error: float = 0.0) -> Pair:
    """factor·a and factor·δ; ``error`` is what the factor may be off by, relatively."""
    shape = torch.broadcast_shapes(pair.target.center.shape, torch.as_tensor(factor).shape)
    pair = _expanded(pair, shape)
    factor = torch.as_tensor(factor, dtype=torch.float64)
    target, delta = pair.target.times(factor), pair.delta.times(factor)
    if error:
        target, delta = target.charge(error), delta.charge(error)
    boxes = [box.times(factor) for box in (pair.target_box, pair.ticket_box, pair.delta_box)]
    if error:
        slack = [error * box.largest + TINY for box in boxes]
        boxes = [Box(below(box.lo - one), above(box.hi + one)) for box, one in zip(boxes, slack, strict=True)]
    gain = float(factor.abs().max()) * (1 + error + 4 * UNIT)
    near = None
    if pair.near is not None:
        center = pair.near.center * factor
        off = euclidean((error + 2 * UNIT) * center)
        near = Near(center, above(pair.near.radius * gain + off), above(pair.near.delta * gain))
    return make_pair(target, delta, near, pair.norm_bound * gain, (boxes[0], boxes[1], boxes[2]))


def leaky(pair: Pair, slope: float, unknowns: Unknowns) -> Pair:
    """LeakyReLU as slope·x + (1 − slope)·relu(x)."""
    return add(scaled(pair, slope), scaled(relu(pair, unknowns), 1 - slope, error=2 * UNIT))


def hard(pair: Pair, low: float, high: float, unknowns: Unknowns) -> Pair:
    """max(low, min(high, x)) as low + relu(x − low) − relu(x − high)."""
    steps = [relu(_shifted(pair, -corner), unknowns) for corner in (low, high)]
    sum_of = _shifted(add(steps[0], steps[1], -1), low)
    ours, theirs = (box.map(lambda end: end.clamp(low, high)) for box in (pair.target_box, pair.ticket_box))
    d = pair.delta_box
    between = Box(d.lo.clamp(max=0), d.hi.clamp(min=0))  # like ReLU's, its difference lies between 0 and δ
    near = None if pair.near is None else replace(pair.near, center=pair.near.center.clamp(low, high))
    return make_pair(sum_of.target, sum_of.delta, near, pair.norm_bound, (ours, theirs, between))


def _shifted(pair: Pair, by: float | Tensor) -> Pair:
    by = torch.as_tensor(by, dtype=torch.float64)
    pair = _expanded(pair, torch.broadcast_shapes(pair.target.center.shape, by.shape))
    point = Box(by, by)
    center = pair.target.center + by
    rest = torch.where(by == 0, pair.target.rest, above(pair.target.rest + 2 * UNIT * center.abs()))
    target = Form(center, pair.target.spread, rest)
    near = pair.near
    if near is not None:
        moved = near.center + by
        near = replace(near, center=moved, radius=above(near.radius + euclidean(2 * UNIT * moved)))
    return make_pair(
        target, pair.delta, near, pair.norm_bound, (pair.target_box + point, pair.ticket_box + point, pair.delta_box)
    )


def _expanded(pair: Pair, shape: torch.Size) -> Pair:
    if pair.target.center.shape == shape:
        return pair
    if len(shape) != pair.target.center.ndim or shape[0] != len(pair.target.center):
        raise InputError(f"a certificate cannot broadcast {tuple(pair.target.center.shape)} to {tuple(shape)}.")
    whole: Pair = lift(lambda x: x.expand(shape), (pair,), {}, exact=True)
    return whole


def _replaced(value: Any, tensors: list[Tensor]) -> Any:
    """The arguments with every pair replaced by the next of ``tensors``."""
    if isinstance(value, Pair):
        return tensors.pop(0)
    if isinstance(value, tuple | list):
        parts = [_replaced(one, tensors) for one in value]
        return type(value)(parts)
    if isinstance(value, Mapping):
        return {name: _replaced(one, tensors) for name, one in value.items()}
    return value


def _sums(part: Callable[..., tuple[Tensor, ...]], like: list[Tensor]) -> tuple[float, float]:
    """The largest row sum and column sum of a linear operation with weights ≥ 0, rounded up."""
    ones = [torch.ones_like(one).requires_grad_() for one in like]
    with torch.enable_grad():
        outs = part(*ones)
        columns = torch.autograd.grad([out.sum() for out in outs], ones, allow_unused=True)
    if any(bool((out < 0).any()) for out in outs):
        raise InputError("a certificate needs averages with weights ≥ 0; a pooling of this network has negative ones.")
    room = 1 + gamma(sum(one.numel() for one in (*like, *outs)))
    rows = max(float(out.detach().max()) for out in outs)
    return rows * room, max(float(one.max()) for one in columns if one is not None) * room


def _check_batch(part: Callable[..., tuple[Tensor, ...]], like: list[Tensor], exact: bool) -> None:
    """Number the examples 0, 1, …: a rearrangement must leave every number at home, a sum the zeros."""
    count = len(like[0])
    rows = [torch.arange(count, dtype=one.dtype).reshape(-1, *[1] * (one.ndim - 1)).expand(one.shape) for one in like]
    for out in part(*rows):
        own = out if out.ndim and len(out) == count else None
        home = torch.arange(count, dtype=out.dtype).reshape(-1, *[1] * (out.ndim - 1)) if own is not None else None
        if home is None or not bool(((out == home) | (out == 0)).all() if exact else (out[:1] == 0).all()):
            raise InputError(
                "a certificate needs a network that treats every example by itself; a step of this one moves or sums "
                "the batch axis. Keep axis 0 as it is."
            )
