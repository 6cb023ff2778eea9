"""Trust nothing: regenerate the kept channels from the seed and recompute every error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from slth.errors import InputError
from slth.networks.parent import Parent
from slth.networks.signs import input_signs, propagate_signs, seen_by
from slth.networks.target import Target
from slth.rss import Problem
from slth.rss import verify as subset_error
from slth.tickets.certify.recheck import recheck_agreement, recheck_network
from slth.tickets.ticket import Block, Ticket, instance_signs


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
        channels: kept hidden channels that were regenerated. instances: subset sums recomputed.
        certified: one sentence per recorded certificate that was proved again, or was not and why.
    """

    failures: tuple[str, ...]
    channels: int
    instances: int
    certified: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """No check failed."""
        return not self.failures

    def __bool__(self) -> bool:
        return self.ok


def measure_channel(parent: Parent, target: Target, layer: int, channel: int, block: Block) -> Measure:
    """Regenerate the kept hidden channels of one input channel and measure them against the target.

    The candidates are exact products of float32 weights, and their sums are compared with the target in exact
    arithmetic (:func:`slth.rss.verify`); the squared sum is ordinary float64.
    """
    linear = target.maps[layer]
    used = block.used
    mixing = parent.mixing(layer, channel, used)
    candidates = parent.candidates(layer, channel, used)
    goals = linear.column(channel).reshape(len(block.counts), -1)
    size = goals.shape[1]
    error, squares, instances = 0.0, 0.0, 0
    signs = instance_signs(linear.signs, channel, linear.channels[0])
    for p, rows in enumerate(block.parts()):
        places = np.searchsorted(used, rows)
        for sign in signs:
            chosen = places[mixing[places] > 0] if sign == "+" else places[mixing[places] < 0]
            group = candidates[chosen, p * size : (p + 1) * size]
            wanted = goals[p] if sign == "+" else -goals[p]
            if len(group):
                problem = Problem(vectors=group, target=wanted)
                error = max(error, subset_error(problem, np.ones(len(group), dtype=bool)))
            else:
                error = max(error, float(np.abs(wanted).max()))
            squares += float(np.square(group.sum(axis=0) - wanted).sum())
            instances += 1
    return Measure(error=error, squares=squares, instances=instances)


def account_layer(
    parent: Parent, target: Target, structure: str, layer: int, blocks: tuple[Block, ...], measures: list[Measure]
) -> dict[str, Any]:
    """Everything a :class:`LayerReport` says that can be recomputed: all but the time it took."""
    linear, spec = target.maps[layer], parent.layers[layer]
    c_in = linear.channels[0]
    weights = measures[:c_in]
    power = float(np.square(linear.weight.astype(np.float64)).sum()) * len(linear.signs)
    channels = sum(len(block.used) for block in blocks)
    kept = sum(len(block.rows) * linear.part_size(structure, c) for c, block in enumerate(blocks))
    return {
        "name": linear.name,
        "kind": linear.kind,
        "dimension": linear.part_size(structure, 0),
        "width": spec.width,
        "kept": sum(len(block.rows) for block in blocks),
        "channels": channels,
        "weights": channels + kept,
        "random": spec.weight_count,
        "error": max(one.error for one in weights),
        "bias_error": measures[c_in].error if linear.bias is not None else None,
        "relative_rms": math.sqrt(sum(one.squares for one in weights) / power) if power else 0.0,
    }


def verify_ticket(ticket: Ticket, images: torch.Tensor | None = None) -> Verification:
    """Check indices, regenerate the kept channels, recompute the errors and compare them with the record."""
    failures: list[str] = []
    parent, target = ticket.parent, ticket.target
    channels = instances = 0
    if not target.known:
        failures.append("the target's weights are not at hand: pass the target, or keep its file beside the ticket's")
    elif ticket.info.get("target_hash", target.hash()) != target.hash():
        failures.append("the target's weights do not have the recorded hash")
    if not len(parent.layers) == len(target.maps) == len(ticket.kept) == len(ticket.layers):
        failures.append("parent, target and record differ in their number of layers")
    if not failures and not _signs_hold(ticket):
        failures.append("the stated range of inputs is not the one that the layers' signs follow from")
    if failures:
        return Verification(failures=tuple(failures), channels=0, instances=0)
    for i, (linear, report) in enumerate(zip(target.maps, ticket.layers, strict=True)):
        wrong = _shape(ticket, i)
        if wrong:
            failures.append(f"{report.name}: {wrong}")
            continue
        blocks = ticket.kept[i]
        measures = [measure_channel(parent, target, i, c, blocks[c]) for c in linear.instances]
        found = account_layer(parent, target, ticket.structure, i, blocks, measures)
        found["usable"] = _usable(ticket, i)
        for key, value in found.items():
            # The squared sum behind relative_rms is plain floating point; everything else must agree exactly.
            recorded = getattr(report, key)
            same = math.isclose(recorded, value, rel_tol=1e-9) if key == "relative_rms" else recorded == value
            if not same:
                failures.append(f"{report.name}: {key} is recorded as {recorded}, recomputed as {value}")
        channels += found["channels"]
        instances += sum(one.instances for one in measures)
    untrue, certified = _recheck(ticket, images) if not failures else ([], [])
    return Verification(
        failures=(*failures, *untrue), channels=channels, instances=instances, certified=tuple(certified)
    )


def _recheck(ticket: Ticket, images: torch.Tensor | None) -> tuple[list[str], list[str]]:
    """(what does not hold of a recorded certificate, what does)."""
    record = ticket.info.get("certificate")
    if record is None:
        return [], []
    if not isinstance(record, Mapping) or not isinstance(record.get("agreement"), list):
        return ["the certificate's record is not whole"], []
    wrong: list[str] = []
    certified: list[str] = []
    if record.get("network") is not None:
        wrong += recheck_network(ticket, record["network"])
        certified.append("the network's certificate is proved again")
    for one in record["agreement"]:
        if images is None:
            certified.append("certified agreement was not checked: it needs the data")
            break
        wrong += recheck_agreement(ticket, one, images)
        certified.append("certified agreement is proved again")
    return wrong, list(dict.fromkeys(certified))


def _signs_hold(ticket: Ticket) -> bool:
    """Whether every layer has the sign groups that inputs of the stated range need; True when none is stated."""
    if "input_range" not in ticket.info:
        return True
    target, modules = ticket.target, {module.name: module for module in ticket.target.modules}
    try:
        inputs = input_signs(target.steps, ticket.info["input_range"])
        signs = propagate_signs(target.steps, inputs, modules, target.constants)
    except (InputError, KeyError):
        return False
    return all(linear.signs == seen_by(linear.name, target.steps, signs) for linear in target.maps)


def _usable(ticket: Ticket, layer: int) -> int:
    """What a mask could keep in a layer: parts of hidden channels whose sign can contribute."""
    linear = ticket.target.maps[layer]
    total = 0
    for channel, block in enumerate(ticket.kept[layer]):
        positive, negative = ticket.parent.count_signs(layer, channel, limit=ticket.layers[layer].usable)
        signs = instance_signs(linear.signs, channel, linear.channels[0])
        total += len(block.counts) * (("+" in signs) * positive + ("-" in signs) * negative)
    return total


def _shape(ticket: Ticket, layer: int) -> str | None:
    """What is wrong with a layer's shapes and indices, if anything."""
    linear, spec = ticket.target.maps[layer], ticket.parent.layers[layer]
    if not spec.fits(linear):
        return "the parent's layer does not have the target's shape"
    if len(ticket.kept[layer]) != len(linear.instances):
        return f"expected kept channels for {len(linear.instances)} blocks, got {len(ticket.kept[layer])}"
    for channel, block in enumerate(ticket.kept[layer]):
        parts = len(linear.column(channel)) // linear.part_size(ticket.structure, channel)
        if len(block.counts) != parts or int(block.counts.sum()) != len(block.rows) or (block.counts < 0).any():
            return f"block {channel} must hold {parts} selections; it holds {len(block.counts)}"
        for rows in block.parts():
            if len(rows) and (rows[0] < 0 or rows[-1] >= spec.width or (np.diff(rows) <= 0).any()):
                return f"kept channels of block {channel} must increase from 0 to width − 1 = {spec.width - 1}"
        mixing = ticket.parent.mixing(layer, channel, block.used)
        signs = instance_signs(linear.signs, channel, linear.channels[0])
        if ("-" not in signs and (mixing < 0).any()) or ("+" not in signs and (mixing > 0).any()):
            return f"block {channel} keeps channels of a sign that its input cannot have"
    return None
