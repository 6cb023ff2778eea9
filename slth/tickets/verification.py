"""Trust nothing: regenerate the kept channels from the seed and recompute every error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from slth.networks.parent import Parent
from slth.networks.target import LinearMap, Target
from slth.rss import Problem
from slth.rss import verify as subset_error
from slth.tickets.ticket import Rows, Ticket, instance_signs


@dataclass(frozen=True)
class Measure:
    """The error of one input channel: L∞ (rounded up), squared sum over its instances, and their number."""

    error: float
    squares: float
    instances: int


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What a verification established.

    Attributes:
        ok: every check was made and held. Also the truth value of the object.
        failures: one sentence per check that did not hold.
        channels: kept hidden channels that were regenerated. instances: input channels recomputed.
    """

    failures: tuple[str, ...]
    channels: int
    instances: int

    @property
    def ok(self) -> bool:
        """No check failed."""
        return not self.failures

    def __bool__(self) -> bool:
        return self.ok


def measure_channel(parent: Parent, target: Target, layer: int, channel: int, rows: Rows) -> Measure:
    """Regenerate the kept hidden channels ``rows`` of one block and measure them against the target.

    The candidates are exact products of float32 weights, and their sums are compared with the target in exact
    arithmetic (:func:`slth.rss.verify`); the squared sum is ordinary float64.
    """
    linear = target.maps[layer]
    goal = linear.column(channel)
    mixing = parent.mixing(layer, channel, rows)
    candidates = parent.candidates(layer, channel, rows)
    error, squares = 0.0, 0.0
    signs = instance_signs(linear.signs, channel, linear.channels[0])
    for sign in signs:
        group = candidates[mixing > 0] if sign == "+" else candidates[mixing < 0]
        wanted = goal if sign == "+" else -goal
        if len(group):
            problem = Problem(vectors=group, target=wanted)
            error = max(error, subset_error(problem, np.ones(len(group), dtype=bool)))
        else:
            error = max(error, float(np.abs(wanted).max()))
        squares += float(np.square(group.sum(axis=0) - wanted).sum())
    return Measure(error=error, squares=squares, instances=len(signs))


def summarise_layer(linear: LinearMap, measures: list[Measure]) -> dict[str, Any]:
    """error, bias_error and relative_rms of a layer from the measures of its input channels."""
    c_in = linear.channels[0]
    weights = measures[:c_in]
    power = float(np.square(linear.weight.astype(np.float64)).sum()) * weights[0].instances
    return {
        "error": max(one.error for one in weights),
        "bias_error": measures[c_in].error if linear.bias is not None else None,
        "relative_rms": math.sqrt(sum(one.squares for one in weights) / power) if power else 0.0,
    }


def verify_ticket(ticket: Ticket) -> Verification:
    """Check indices, regenerate the kept channels, recompute the errors and compare them with the record."""
    failures: list[str] = []
    parent, target = ticket.parent, ticket.target
    channels = instances = 0
    recorded_hash = ticket.info.get("target_hash")
    if recorded_hash is not None and recorded_hash != target.hash():
        failures.append("the target's weights do not have the recorded hash")
    if not len(parent.layers) == len(target.maps) == len(ticket.kept) == len(ticket.layers):
        return Verification(
            failures=(*failures, "parent, target and record differ in their number of layers"),
            channels=0,
            instances=0,
        )
    for i, (linear, spec, report) in enumerate(zip(target.maps, parent.layers, ticket.layers, strict=True)):
        wrong = _structure(ticket, i)
        if wrong:
            failures.append(f"{report.name}: {wrong}")
            continue
        measures = [measure_channel(parent, target, i, c, ticket.kept[i][c]) for c in linear.instances]
        found = {
            **summarise_layer(linear, measures),
            "kept": sum(len(rows) for rows in ticket.kept[i]),
            "width": spec.width,
            "dimension": linear.dimension,
            "name": linear.name,
            "kind": linear.kind,
            "usable": _usable(ticket, i),
        }
        for key, value in found.items():
            # The squared sum behind relative_rms is plain floating point; everything else must agree exactly.
            recorded = getattr(report, key)
            same = math.isclose(recorded, value, rel_tol=1e-9) if key == "relative_rms" else recorded == value
            if not same:
                failures.append(f"{report.name}: {key} is recorded as {recorded}, recomputed as {value}")
        channels += found["kept"]
        instances += len(measures)
    return Verification(failures=tuple(failures), channels=channels, instances=instances)


def _usable(ticket: Ticket, layer: int) -> int:
    """Hidden channels of a layer whose sign can contribute."""
    linear = ticket.target.maps[layer]
    total = 0
    for channel in linear.instances:
        positive, negative = ticket.parent.count_signs(layer, channel, limit=ticket.layers[layer].usable)
        signs = instance_signs(linear.signs, channel, linear.channels[0])
        total += ("+" in signs) * positive + ("-" in signs) * negative
    return total


def _structure(ticket: Ticket, layer: int) -> str | None:
    """What is wrong with a layer's indices, if anything."""
    linear, spec = ticket.target.maps[layer], ticket.parent.layers[layer]
    same = (spec.c_in, spec.c_out) == linear.channels and spec.kernel == tuple(linear.weight.shape[2:])
    if not same or spec.bias != (linear.bias is not None):
        return "the parent's layer does not have the target's shape"
    if len(ticket.kept[layer]) != len(linear.instances):
        return f"expected kept channels for {len(linear.instances)} blocks, got {len(ticket.kept[layer])}"
    for channel in linear.instances:
        rows = ticket.kept[layer][channel]
        if len(rows) and (rows[0] < 0 or rows[-1] >= spec.width or (np.diff(rows) <= 0).any()):
            return f"kept channels of block {channel} must increase from 0 to width − 1 = {spec.width - 1}"
        mixing = ticket.parent.mixing(layer, channel, rows)
        signs = instance_signs(linear.signs, channel, linear.channels[0])
        if ("-" not in signs and (mixing < 0).any()) or ("+" not in signs and (mixing > 0).any()):
            return f"block {channel} keeps channels of a sign that its input cannot have"
    return None
