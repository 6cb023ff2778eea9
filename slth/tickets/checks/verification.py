"""Verification of a ticket: regenerate its kept channels from the seed, recompute every error, and trust no report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from slth.errors import InputError
from slth.networks.signs import map_signs
from slth.progress import Progress, follow
from slth.tickets.calibration.inputs import Inputs
from slth.tickets.calibration.recheck import recheck_calibration
from slth.tickets.certify.recheck import recheck_agreement, recheck_network
from slth.tickets.networks.compact import kept_numbers
from slth.tickets.record.inputs import make_inputs
from slth.tickets.record.instance import InputChannel
from slth.tickets.record.measure import account_layer, measure_channel
from slth.tickets.record.record import Block, LayerReport, Record

# What is not checked when the target's file states no hash, or one without the range of inputs.
UNCHECKED_BINDING = {
    "nothing": "the target's file states no hash: compare the target's hash with one that you trust",
    "graph": "the target's file is of an older format: its hash does not cover the range of inputs",
}
# The name under which the recomputation of errors is reported.
VERIFY_TASK = "verify"


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The result of a verification. It is true if no check failed.

    Attributes:
        failures: one sentence for each check that failed.
        channels: number of kept hidden channels that were regenerated.
        instances: number of subset-sum instances that were recomputed.
        certified: one sentence for each kind of recorded certificate: that it was proved again, or why it was not.
        unchecked: one sentence for each thing that the ticket claims and that was not checked.
        target_hash: SHA-256 over everything that decides the target's function: its graph, options, signs, weights,
            tensors that stay and input range. Compare it with the hash that you trust.
    """

    failures: tuple[str, ...]
    channels: int
    instances: int
    certified: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    target_hash: str = ""

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not self.failures

    def __bool__(self) -> bool:
        return self.ok


def verify_record(
    record: Record,
    images: torch.Tensor | None = None,
    *,
    calibrate: Inputs | None = None,
    progress: bool | Progress = False,
) -> Verification:
    """Check indices, regenerate the kept channels, recompute the errors, and compare them with the reports.

    Args:
        record: the ticket.
        images: the data that a recorded certified agreement is about, float32 (N, …); with None it is not checked.
        calibrate: the inputs that the ticket was calibrated on; with None its goals are not computed again.
        progress: True for bars with the time left, or a listener. It hears of a task ``verify`` with a step for each
            random number that is regenerated, and then of the tasks of the certificates that are proved again.

    Returns:
        A :class:`Verification`.
    """
    failures: list[str] = []
    parent, target, target_hash = record.parent, record.target, record.target.hash()
    if not target.known:
        failures.append("the target's weights are missing: pass the target, or keep its file beside the ticket's")
    elif record.info.get("target_hash", target_hash) != target_hash:
        failures.append("the target's weights do not have the recorded hash")
    if not len(parent.layers) == len(target.maps) == len(record.kept) == len(record.layers):
        failures.append("parent, target and record differ in their number of layers")
    if not failures and not _signs_hold(record):
        failures.append("the signs of the layers do not follow from the stated range of inputs")
    unchecked = [UNCHECKED_BINDING[target.binding]] if target.binding in UNCHECKED_BINDING else []
    if not failures:
        broken, untried = _dry_run(record)
        failures += broken
        unchecked += untried
    if failures:
        return Verification(failures=tuple(failures), channels=0, instances=0)
    hidden = instances = 0
    total = sum(sum(map(kept_numbers, *layer)) for layer in zip(record.channels, record.kept, strict=True))
    with follow(progress, {VERIFY_TASK: total}, unit="numbers") as listener:
        for channels, blocks, report in zip(record.channels, record.kept, record.layers, strict=True):
            wrong = _malformed(channels, blocks)
            if wrong:
                failures.append(f"{report.name}: {wrong}")
                listener.advance(VERIFY_TASK, sum(map(kept_numbers, channels, blocks)))
                continue
            measures = []
            for channel, block in zip(channels, blocks, strict=True):
                measures.append(measure_channel(channel, block))
                listener.advance(VERIFY_TASK, kept_numbers(channel, block))
            found = account_layer(channels, blocks, measures)
            found["usable"] = sum(_usable(channel, report.usable) for channel in channels)
            failures += _differing(report, found)
            hidden += found["channels"]
            instances += sum(one.instances for one in measures)
    certified: list[str] = []
    if not failures:
        for unproved, proved, unseen in (_recheck(record, images, progress), recheck_calibration(record, calibrate)):
            failures += unproved
            certified += proved
            unchecked += unseen
    return Verification(
        failures=tuple(failures),
        channels=hidden,
        instances=instances,
        certified=tuple(certified),
        unchecked=tuple(unchecked),
        target_hash=target_hash,
    )


def _recheck(
    record: Record, images: torch.Tensor | None, progress: bool | Progress
) -> tuple[list[str], list[str], list[str]]:
    """Prove the recorded certificates again: sentences for what does not hold, what was done, what was not checked."""
    claims = record.info.get("certificate")
    if claims is None:
        return [], [], []
    if not isinstance(claims, Mapping) or not isinstance(claims.get("agreement"), list):
        return ["the certificate's record is incomplete"], [], []
    wrong: list[str] = []
    certified: list[str] = []
    unchecked: list[str] = []
    if claims.get("network") is not None:
        wrong += recheck_network(record, claims["network"], progress)
        certified.append("the network's certificate is proved again")
        if isinstance(claims["network"], Mapping) and claims["network"].get("observed") is not None:
            unchecked.append("the largest difference observed on data is a record, which is not checked")
    for claim in claims["agreement"]:
        if images is None:
            unchecked.append("certified agreement was not checked: it needs the data")
            break
        wrong += recheck_agreement(record, claim, images, progress)
        certified.append("certified agreement is proved again")
        if isinstance(claim, Mapping) and "images_sha256" not in claim:
            unchecked.append("the record of certified agreement does not say which images it is about")
    return wrong, list(dict.fromkeys(certified)), list(dict.fromkeys(unchecked))


def _signs_hold(record: Record) -> bool:
    """Whether every layer has the signs that follow from the input range; without a range inputs have any sign."""
    target, modules = record.target, {module.name: module for module in record.target.modules}
    try:
        signs = map_signs(target.steps, record.target.input_range, modules, target.constants)
    except (InputError, KeyError):
        return False
    return all(linear.signs == signs.get(linear.name) for linear in target.maps)


def _dry_run(record: Record) -> tuple[list[str], list[str]]:
    """Run the target's graph without numbers: sentences for what fails, and for what could not be tried."""
    shapes = record.info.get("input_shapes")
    if not shapes:
        return [], ["the network was not run: the ticket does not know the shape of its inputs"]
    try:
        network = record.target.to_module().to("meta")
        inputs = make_inputs(record, [[int(side) for side in shape] for shape in shapes], 1, device="meta")
        with torch.no_grad():
            network(*inputs)
    except NotImplementedError:
        return [], ["the network was not run: one of its operations cannot run without numbers"]
    except Exception as cause:  # whatever torch raises: the graph comes from a file
        return [f"the network cannot run on inputs of the recorded shape: {(str(cause).splitlines() or [''])[0]}"], []
    return [], []


def _differing(report: LayerReport, found: Mapping[str, Any]) -> list[str]:
    """One sentence for each number of a layer's report that is not the recomputed one."""
    wrong = []
    for key, value in found.items():
        # relative_rms comes from a sum in ordinary floating point; everything else must agree exactly.
        recorded = getattr(report, key)
        same = math.isclose(recorded, value, rel_tol=1e-9) if key == "relative_rms" else recorded == value
        if not same:
            wrong.append(f"{report.name}: {key} is recorded as {recorded}, recomputed as {value}")
    return wrong


def _usable(channel: InputChannel, claimed: int) -> int:
    """Number of usable units of an input channel; above ``claimed`` it need not be exact."""
    sizes = channel.group_sizes(limit=claimed)
    return sum(channel.parts * sizes[instance.sign] for instance in channel.instances)


def _malformed(channels: Sequence[InputChannel], blocks: Sequence[Block]) -> str | None:
    """What is wrong with the shapes and indices of a layer; None if they are right."""
    spec, linear = channels[0].parent.layers[channels[0].layer], channels[0].linear
    if not spec.fits(linear):
        return "the parent's layer does not have the target's shape"
    if len(blocks) != len(channels):
        return f"expected kept channels for {len(channels)} blocks, got {len(blocks)}"
    for channel, block in zip(channels, blocks, strict=True):
        where = f"block {channel.index}"
        wrong_total = int(block.counts.sum()) != len(block.rows) or (block.counts < 0).any()
        if len(block.counts) != channel.parts or wrong_total:
            return f"{where} must hold {channel.parts} selections; it holds {len(block.counts)}"
        rows, starts_part = block.rows, np.diff(block.part_numbers()) > 0
        outside = len(rows) and (rows.min() < 0 or rows.max() >= spec.width)
        if outside or (~starts_part & (np.diff(rows) <= 0)).any():
            return f"kept channels of {where} must increase from 0 to width − 1 = {spec.width - 1}"
        mixing = channel.mixing(block.used)
        usable = np.zeros(len(mixing), dtype=bool)
        for instance in channel.instances:
            usable |= instance.holds(mixing)
        if not usable[mixing != 0].all():
            return f"{where} keeps channels of a sign that its input cannot have"
    return None
