"""The search for a ticket: one task for each input channel, run on several threads."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slth.arrays import BoolArray
from slth.errors import check_memory
from slth.networks.parent import Parent
from slth.networks.target import Target
from slth.progress import Progress, follow
from slth.rss.control import DEFAULT_EFFORT
from slth.rss.threads import map_threads
from slth.tickets.record.instance import (
    Candidates,
    ChannelIndices,
    Channels,
    InputChannel,
    Instance,
    input_channels,
)
from slth.tickets.record.measure import Measure, account_layer, measure_channel
from slth.tickets.record.record import Block, LayerReport, Record
from slth.tickets.search.parts import load_solvers, refine_parts, solve_parts
from slth.tickets.search.search_time import ChannelTime, SearchTime


@dataclass(frozen=True, eq=False)
class Selection:
    """What the search found for one instance: one layer, input channel and sign.

    Attributes:
        rows: hidden channels from which was chosen, int64 (n,).
        chosen: which of them each part keeps, bool (P, n).
        sums: the sums of the kept candidates, float64 (P·D,), in ordinary floating point.
        usable: units (channels, kernels or weights) whose hidden channel has the sign.
        seconds: time spent on the instance.
        at_limit: how many of its parts ended at the time limit.
    """

    rows: ChannelIndices
    chosen: BoolArray
    sums: Candidates
    usable: int
    seconds: float
    at_limit: int = 0


@dataclass(frozen=True)
class ChannelResult:
    """What the search found for one input channel.

    Attributes:
        block: the hidden channels that are kept.
        usable: units (channels, kernels or weights) whose hidden channel has a sign that the input can have.
        measure: the errors of the block.
        seconds: time spent on the input channel.
        at_limit: how many of its instances ended at the time limit.
    """

    block: Block
    usable: int
    measure: Measure
    seconds: float
    at_limit: int = 0


def search(
    parent: Parent,
    target: Target,
    *,
    structure: str,
    method: str,
    workers: int,
    effort: float = DEFAULT_EFFORT,
    time_limit: float | None = None,
    max_memory: float | None = None,
    progress: bool | Progress = False,
    info: dict[str, Any] | None = None,
) -> Record:
    """Choose hidden channels for every input channel of every layer.

    Args:
        parent: the random network to choose from.
        target: the network to approximate.
        structure: ``channel``, ``kernel`` or ``weight``.
        method: solver of :func:`slth.rss.solve`, or ``auto``.
        workers: number of threads; without a time limit the result does not depend on it.
        effort: seconds of one core for each instance, see :func:`slth.rss.solve`; of no use with a time limit.
        time_limit: seconds of wall time for the whole search; None sets no limit. What was found then depends on the
            machine. ``info["time_limit"]`` records the limit and how many instances of each layer ended at it.
        max_memory: bytes that the search may use; None for 80 % of free memory.
        progress: the listener that is told of every finished input channel, with one task for each layer.
        info: how the ticket was found, to be recorded.

    Returns:
        The :class:`~slth.tickets.record.record.Record` of what was found.

    Raises:
        InputError: the time limit is too short for a look at every instance.
        MemoryEstimateError: the search would not fit memory. It was not started.
    """
    channels = input_channels(parent, target, structure)
    refuse_if_too_large(channels, workers, max_memory)
    # The most expensive tasks come first, so that no thread is left with a long one at the end.
    tasks = sorted((one for layer in channels for one in layer), key=lambda one: -one.parts * one.part_size)
    names = [f"{layer[0].linear.name} (D = {layer[0].part_size})" for layer in channels]
    search_time = None
    if time_limit is not None:
        load_solvers(method)
        search_time = SearchTime(time_limit, sum(map(_work, tasks)), workers)
    with follow(progress, dict(zip(names, map(len, channels), strict=True)), unit="channels") as listener:
        found = map_threads(
            lambda channel: search_channel(channel, method, effort, search_time),
            tasks,
            workers,
            lambda i, _: listener.advance(names[tasks[i].layer]),
        )
    results = {(task.layer, task.index): result for task, result in zip(tasks, found, strict=True)}
    by_layer = [[results[one.layer, one.index] for one in layer] for layer in channels]
    return make_record(channels, by_layer, time_limit, info or {}, target)


def make_record(
    channels: Channels,
    results: Sequence[Sequence[ChannelResult]],
    time_limit: float | None,
    info: Mapping[str, Any],
    target: Target,
) -> Record:
    """The record of what a search found.

    Args:
        channels: the input channels of every layer.
        results: what was found for each.
        time_limit: seconds that the whole search was given; None if it had no limit.
        info: how the ticket was found.
        target: the network to approximate.
    """
    first, stated = channels[0][0], dict(info)
    if time_limit is not None:
        stated["time_limit"] = {
            "limit": time_limit,
            "instances": sum(one.measure.instances for layer in results for one in layer),
            "at_limit": {
                layer[0].linear.name: sum(one.at_limit for one in row)
                for layer, row in zip(channels, results, strict=True)
            },
        }
    return Record(
        parent=first.parent,
        target=target,
        structure=first.structure,
        kept=tuple(tuple(result.block for result in layer) for layer in results),
        layers=tuple(_report(layer, found) for layer, found in zip(channels, results, strict=True)),
        info=stated,
    )


def refuse_if_too_large(channels: Channels, workers: int, max_memory: float | None) -> None:
    """Refuse a search that would not fit memory when every worker searches the most expensive input channel.

    Args:
        channels: the input channels of every layer.
        workers: number of threads.
        max_memory: bytes that the search may use; None for 80 % of free memory.

    Raises:
        MemoryEstimateError: the search does not fit.
    """
    worst = max((layer[0] for layer in channels), key=lambda channel: channel.search_bytes)
    check_memory(
        f"the search ({worst.linear.name}: width {worst.width}, D = {worst.part_size}, on {workers} threads)",
        worst.search_bytes * workers,
        max_memory,
        "Use a smaller width for this layer, or fewer threads.",
    )


def search_channel(
    channel: InputChannel, method: str, effort: float = DEFAULT_EFFORT, search_time: SearchTime | None = None
) -> ChannelResult:
    """Choose hidden channels for one input channel, and measure the errors of the choice.

    Args:
        channel: the input channel.
        method: solver of :func:`slth.rss.solve`, or ``auto``.
        effort: seconds of one core for each instance, see :func:`slth.rss.solve`.
        search_time: the time of the whole search; None sets no limit.

    Returns:
        Its :class:`ChannelResult`.

    Raises:
        InputError: the time is far from enough.
    """
    found = [search_instance(one, one.goals, method, effort, search_time) for one in channel.instances]
    result = join_instances(channel, found)
    if search_time is not None:
        search_time.settle(0, result.seconds - sum(one.seconds for one in found))
    return result


def search_instance(
    instance: Instance,
    goals: Candidates,
    method: str,
    effort: float,
    search_time: SearchTime | None = None,
    metric: Candidates | None = None,
) -> Selection:
    """Choose hidden channels for one instance.

    Args:
        instance: the instance.
        goals: the sums that the kept candidates are to reach, float64 (P, D): the instance's own, or corrected ones.
        method: solver of :func:`slth.rss.solve`, or ``auto``.
        effort: seconds of one core for each part, see :func:`slth.rss.solve`.
        search_time: the time of the whole search; None sets no limit.
        metric: M, float64 (taps, taps): the selection is improved where the error of every kernel is measured after
            it is multiplied by M. None leaves the errors of the weights as they are. Parts of single weights know none.

    Returns:
        Its :class:`Selection`.

    Raises:
        InputError: the time is far from enough.
    """
    began, channel = time.perf_counter(), instance.channel
    channel_time = None if search_time is None else ChannelTime(search_time, goals.size)
    rows = instance.group()
    usable = len(rows) * len(goals)
    if len(rows) and goals.any():
        rows = instance.screened(rows)
        candidates = instance.candidates(rows)
        chosen = solve_parts(candidates, goals, method=method, seed=channel.parent.seed, effort=effort,
                             channel_time=channel_time)  # fmt: skip
        if metric is not None and goals.shape[1] > 1:
            chosen = refine_parts(candidates, goals, chosen, metric)
        sums = np.einsum("pn,npd->pd", chosen.astype(np.float64), candidates.reshape(len(rows), *goals.shape))
    else:  # There is nothing to choose from, or the empty selection is exact.
        rows, chosen, sums = rows[:0], np.zeros((len(goals), 0), dtype=np.bool_), np.zeros(goals.shape)
    seconds = time.perf_counter() - began
    if channel_time is not None:
        channel_time.close(seconds)
    at_limit = 0 if channel_time is None else channel_time.at_limit
    return Selection(rows=rows, chosen=chosen, sums=sums.reshape(-1), usable=usable, seconds=seconds, at_limit=at_limit)


def join_instances(channel: InputChannel, found: Sequence[Selection]) -> ChannelResult:
    """What was found for an input channel, from its instances; the errors against the target's weights are measured.

    Args:
        channel: the input channel.
        found: the selections of its instances, in their order.
    """
    began = time.perf_counter()
    chosen, numbers = [one.chosen for one in found], [one.rows for one in found]
    block = _block(np.concatenate(chosen, axis=1), np.concatenate(numbers))
    measure = measure_channel(channel, block)
    return ChannelResult(
        block=block,
        usable=sum(one.usable for one in found),
        measure=measure,
        seconds=sum(one.seconds for one in found) + time.perf_counter() - began,
        at_limit=sum(one.at_limit for one in found),
    )


def _block(chosen: BoolArray, numbers: ChannelIndices) -> Block:
    """The block of the selections ``chosen``, bool (P, n), of hidden channels with these numbers, in any order (n,)."""
    order = np.argsort(numbers)
    places = np.nonzero(chosen[:, order])[1]
    return Block(numbers[order[places]], chosen.sum(axis=1, dtype=np.int64))


def _work(channel: InputChannel) -> int:
    """The sum of the dimensions of an input channel's instances."""
    return len(channel.instances) * channel.parts * channel.part_size


def _report(channels: Sequence[InputChannel], found: Sequence[ChannelResult]) -> LayerReport:
    """The report of one layer, from the results of its input channels."""
    return LayerReport(
        usable=sum(one.usable for one in found),
        seconds=sum(one.seconds for one in found),
        **account_layer(channels, [one.block for one in found], [one.measure for one in found]),
    )
