"""Pairs through affine operations without weights: rearrangements, averages, sums, multiples and shifts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from slth.errors import InputError
from slth.tickets.certify.differences import Pair, make_pair
from slth.tickets.certify.forms import TINY, UNIT, Box, Form, Tensor, aligned, gamma, round_down, round_up
from slth.tickets.certify.norms import EuclideanBounds, euclidean_norm


def pairs_in(value: Any) -> list[Pair]:
    """The pairs among the arguments of an operation, in order."""
    if isinstance(value, Pair):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [one for part in value for one in pairs_in(part)] if isinstance(value, tuple | list) else []


def lift(
    call: Callable[..., Any], args: tuple[Any, ...], options: Mapping[str, Any], *, exact: bool, pads: bool = False
) -> Any:
    """Apply an affine operation with weights ≥ 0 to the pairs among its arguments.

    Args:
        call: the operation, which takes tensors where ``args`` and ``options`` hold pairs.
        args: positional arguments.
        options: keyword arguments.
        exact: whether the operation only selects and rearranges entries; sums and averages are rounded.
        pads: whether the operation adds constants.

    Returns:
        A pair, or a list of pairs where the operation has several results.

    Raises:
        InputError: the operation moves the batch axis or sums over it.
    """
    pairs = pairs_in((args, options))
    several = False

    def affine(*tensors: Tensor) -> tuple[Tensor, ...]:
        nonlocal several
        given, named = _with_tensors((args, dict(options)), list(tensors))
        out = call(*given, **named)
        several = isinstance(out, tuple | list)
        return tuple(out) if several else (out,)

    def linear(*tensors: Tensor) -> tuple[Tensor, ...]:
        """The operation without its constants."""
        moved = affine(*tensors)
        if not pads:
            return moved
        return tuple(one - zero for one, zero in zip(moved, affine(*map(torch.zeros_like, tensors)), strict=True))

    _check_batch(linear, [pair.target.center for pair in pairs], exact)
    # The relative rounding error of a sum of any entries of one example.
    cost = 0.0 if exact else gamma(sum(math.prod(pair.target.center.shape[1:]) for pair in pairs))

    def forms(given: list[Form], move: Callable[..., tuple[Tensor, ...]]) -> list[Form]:
        centers = move(*(form.center for form in given))
        rests = linear(*(round_up(form.rest + cost * form.magnitude()) if cost else form.rest for form in given))
        spreads = aligned(*(form.spread for form in given))
        if len(spreads[0]):
            moved = torch.vmap(linear)(*spreads)
        else:
            moved = tuple(center.new_zeros((0, *center.shape)) for center in centers)
        rests = tuple(rest * (1 + cost) + TINY for rest in rests) if cost else rests
        return [Form(*parts) for parts in zip(centers, moved, rests, strict=True)]

    def boxes(given: list[Box], move: Callable[..., tuple[Tensor, ...]]) -> list[Box]:
        lows, highs = move(*(box.lo for box in given)), move(*(box.hi for box in given))
        if not cost:
            return [Box(*ends) for ends in zip(lows, highs, strict=True)]
        slack = [2 * cost * one + TINY for one in linear(*(box.largest for box in given))]
        return [Box(low - one, high + one) for low, high, one in zip(lows, highs, slack, strict=True)]

    targets = forms([pair.target for pair in pairs], affine)
    deltas = forms([pair.delta for pair in pairs], linear)
    known = zip(
        boxes([pair.target_box for pair in pairs], affine),
        boxes([pair.ticket_box for pair in pairs], affine),
        boxes([pair.delta_box for pair in pairs], linear),
        strict=True,
    )
    row_sum, column_sum = _largest_sums(linear, [pair.target.center for pair in pairs])
    norm_bound = max(pair.norm_bound for pair in pairs) * row_sum * (1 + cost + 4 * UNIT)
    bounds = [pair.euclidean for pair in pairs if pair.euclidean is not None]
    euclidean: list[EuclideanBounds | None] = [None] * len(targets)
    if len(bounds) == len(pairs):
        # ‖L‖₂ ≤ √(‖L‖₁‖L‖∞), with all inputs and all outputs taken together.
        gain = math.sqrt(row_sum * column_sum) * (1 + cost + 4 * UNIT)
        radius, delta = (
            gain * euclidean_norm(torch.stack(sizes, dim=1))
            for sizes in ([one.radius for one in bounds], [one.delta for one in bounds])
        )
        centers = affine(*(one.center for one in bounds))
        errors = [euclidean_norm(cost * one) for one in linear(*(one.center.abs() for one in bounds))]
        euclidean = [
            EuclideanBounds(center, round_up(radius + error), delta)
            for center, error in zip(centers, errors, strict=True)
        ]
    made = [
        make_pair(target, delta, bound, norm_bound, intervals)
        for target, delta, bound, intervals in zip(targets, deltas, euclidean, known, strict=True)
    ]
    return made if several else made[0]


def add(left: Any, right: Any, sign: int = 1) -> Pair:
    """The pair of left + sign·right, of which at least one operand is a pair.

    Args:
        left: a pair, a number or a tensor.
        right: a pair, a number or a tensor.
        sign: 1 or −1.
    """
    if not isinstance(left, Pair):
        return add(negative(right), left) if sign < 0 else add(right, left)
    if not isinstance(right, Pair):
        return shifted(left, right * sign)
    other = negative(right) if sign < 0 else right
    shape = torch.broadcast_shapes(left.target.center.shape, other.target.center.shape)
    first, second = (_expanded(pair, shape) for pair in (left, other))
    euclidean = None
    if first.euclidean is not None and second.euclidean is not None:
        center = first.euclidean.center + second.euclidean.center
        error = euclidean_norm(2 * UNIT * center)
        euclidean = EuclideanBounds(
            center,
            round_up(round_up(first.euclidean.radius + second.euclidean.radius) + error),
            round_up(first.euclidean.delta + second.euclidean.delta),
        )
    return make_pair(
        first.target + second.target,
        first.delta + second.delta,
        euclidean,
        (first.norm_bound + second.norm_bound) * (1 + 4 * UNIT),
        (
            first.target_box + second.target_box,
            first.ticket_box + second.ticket_box,
            first.delta_box + second.delta_box,
        ),
    )


def negative(pair: Pair) -> Pair:
    """The pair of −a and −δ."""
    boxes = [Box(-box.hi, -box.lo) for box in (pair.target_box, pair.ticket_box, pair.delta_box)]
    euclidean = None if pair.euclidean is None else replace(pair.euclidean, center=-pair.euclidean.center)
    return Pair(-pair.target, -pair.delta, boxes[0], boxes[1], boxes[2], euclidean, pair.norm_bound)


def scaled(pair: Pair, factor: float | Tensor, error: float = 0.0) -> Pair:
    """The pair of factor·a and factor·δ.

    Args:
        pair: the pair of a and δ.
        factor: a number, or a tensor that broadcasts.
        error: a bound on the relative error of the factor.
    """
    shape = torch.broadcast_shapes(pair.target.center.shape, torch.as_tensor(factor).shape)
    pair = _expanded(pair, shape)
    factor = torch.as_tensor(factor, dtype=torch.float64)
    target, delta = pair.target.times(factor), pair.delta.times(factor)
    if error:
        target, delta = target.with_error(error), delta.with_error(error)
    boxes = [box.times(factor) for box in (pair.target_box, pair.ticket_box, pair.delta_box)]
    if error:
        slack = [error * box.largest + TINY for box in boxes]
        boxes = [Box(round_down(box.lo - one), round_up(box.hi + one)) for box, one in zip(boxes, slack, strict=True)]
    gain = float(factor.abs().max()) * (1 + error + 4 * UNIT)
    euclidean = pair.euclidean
    if euclidean is not None:
        center = euclidean.center * factor
        center_error = euclidean_norm((error + 2 * UNIT) * center)
        euclidean = EuclideanBounds(
            center, round_up(euclidean.radius * gain + center_error), round_up(euclidean.delta * gain)
        )
    return make_pair(target, delta, euclidean, pair.norm_bound * gain, (boxes[0], boxes[1], boxes[2]))


def shifted(pair: Pair, by: float | Tensor) -> Pair:
    """The pair of a + by and δ.

    Args:
        pair: the pair of a and δ.
        by: a number, or a tensor that broadcasts.
    """
    by = torch.as_tensor(by, dtype=torch.float64)
    pair = _expanded(pair, torch.broadcast_shapes(pair.target.center.shape, by.shape))
    point = Box(by, by)
    center = pair.target.center + by
    rest = torch.where(by == 0, pair.target.rest, round_up(pair.target.rest + 2 * UNIT * center.abs()))
    target = Form(center, pair.target.spread, rest)
    euclidean = pair.euclidean
    if euclidean is not None:
        moved = euclidean.center + by
        radius = round_up(euclidean.radius + euclidean_norm(2 * UNIT * moved))
        euclidean = replace(euclidean, center=moved, radius=radius)
    known = pair.target_box + point, pair.ticket_box + point, pair.delta_box
    return make_pair(target, pair.delta, euclidean, pair.norm_bound, known)


def _expanded(pair: Pair, shape: torch.Size) -> Pair:
    """A pair broadcast to a shape with the same batch axis."""
    if pair.target.center.shape == shape:
        return pair
    if len(shape) != pair.target.center.ndim or shape[0] != len(pair.target.center):
        raise InputError(f"a certificate cannot broadcast {tuple(pair.target.center.shape)} to {tuple(shape)}.")
    expanded: Pair = lift(lambda x: x.expand(shape), (pair,), {}, exact=True)
    return expanded


def _with_tensors(value: Any, tensors: list[Tensor]) -> Any:
    """The arguments with every pair replaced by the next of ``tensors``."""
    if isinstance(value, Pair):
        return tensors.pop(0)
    if isinstance(value, tuple | list):
        parts = [_with_tensors(one, tensors) for one in value]
        return type(value)(parts)
    if isinstance(value, Mapping):
        return {name: _with_tensors(one, tensors) for name, one in value.items()}
    return value


def _largest_sums(linear: Callable[..., tuple[Tensor, ...]], like: list[Tensor]) -> tuple[float, float]:
    """The largest row sum and column sum of a linear operation with weights ≥ 0, rounded up."""
    ones = [torch.ones_like(one).requires_grad_() for one in like]
    with torch.enable_grad():
        outs = linear(*ones)
        columns = torch.autograd.grad([out.sum() for out in outs], ones, allow_unused=True)
    if any(bool((out < 0).any()) for out in outs):
        raise InputError("a certificate needs averages with weights ≥ 0; a pooling of this network has negative ones.")
    margin = 1 + gamma(sum(one.numel() for one in (*like, *outs)))
    rows = max(float(out.detach().max()) for out in outs)
    return rows * margin, max(float(one.max()) for one in columns if one is not None) * margin


def _check_batch(linear: Callable[..., tuple[Tensor, ...]], like: list[Tensor], exact: bool) -> None:
    """Refuse an operation that mixes examples.

    The entries of the examples are set to 0, 1, …. A rearrangement must leave every number in its example, and a sum
    must leave the first example zero.
    """
    count = len(like[0])
    rows = [torch.arange(count, dtype=one.dtype).reshape(-1, *[1] * (one.ndim - 1)).expand(one.shape) for one in like]
    for out in linear(*rows):
        has_batch = out.ndim and len(out) == count
        own = torch.arange(count, dtype=out.dtype).reshape(-1, *[1] * (out.ndim - 1)) if has_batch else None
        if own is None or not bool(((out == own) | (out == 0)).all() if exact else (out[:1] == 0).all()):
            raise InputError(
                "a certificate needs a network that treats every example by itself; a step of this one moves or sums "
                "the batch axis. Keep axis 0 as it is."
            )
