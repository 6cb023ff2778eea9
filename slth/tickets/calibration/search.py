"""The calibrated search: layer by layer, the instances of a block of input channels on several threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from slth.networks.parent import Parent
from slth.networks.target import Target
from slth.progress import Progress, follow
from slth.rss.control import DEFAULT_EFFORT
from slth.rss.threads import map_threads
from slth.tickets.calibration.goals import calibrate, settings
from slth.tickets.calibration.inputs import CalibrationInputs
from slth.tickets.record.instance import Candidates, Instance, input_channels
from slth.tickets.record.record import Record
from slth.tickets.search.parts import load_solvers
from slth.tickets.search.search import Selection, join_instances, make_record, refuse_if_too_large, search_instance
from slth.tickets.search.search_time import SearchTime


def calibrated_search(
    parent: Parent,
    target: Target,
    inputs: CalibrationInputs,
    *,
    structure: str,
    method: str,
    workers: int,
    effort: float = DEFAULT_EFFORT,
    time_limit: float | None = None,
    max_memory: float | None = None,
    progress: bool | Progress = False,
    info: Mapping[str, Any] | None = None,
) -> Record:
    """Choose hidden channels for every input channel of every layer, for calibrated goals.

    Args:
        parent: the random network to choose from.
        target: the network to approximate.
        inputs: the calibration inputs.
        structure: ``channel``, ``kernel`` or ``weight``.
        method: solver of :func:`slth.rss.solve`, or ``auto``.
        workers: number of threads that solve; without a time limit the result does not depend on it.
        effort: seconds of one core for each instance, see :func:`slth.rss.solve`; of no use with a time limit.
        time_limit: seconds of wall time for the whole search; None sets no limit.
        max_memory: bytes that the search may use; None for 80 % of free memory.
        progress: the listener that is told of every finished instance, with one task for each layer.
        info: how the ticket was found, to be recorded.

    Returns:
        The record of what was found. Its errors are those against the target's weights; ``info["calibration"]`` says
        what the goals were.

    Raises:
        InputError: the inputs do not fit the network, or the time limit is too short for a look at every instance.
        MemoryEstimateError: the search would not fit memory. It was not started.
    """
    channels = input_channels(parent, target, structure)
    refuse_if_too_large(channels, workers, max_memory)
    instances = [one for layer in channels for channel in layer for one in channel.instances]
    search_time = None
    if time_limit is not None:
        load_solvers(method)
        work = sum(one.channel.parts * one.channel.part_size for one in instances)
        search_time = SearchTime(time_limit, work, workers)
    names = [f"{layer[0].linear.name} (D = {layer[0].part_size})" for layer in channels]
    totals = [sum(len(channel.instances) for channel in layer) for layer in channels]
    selections: dict[Instance, Selection] = {}
    with follow(progress, dict(zip(names, totals, strict=True)), unit="channels") as listener:

        def solve(
            block: Sequence[Instance], goals: Sequence[Candidates], metrics: Sequence[Candidates | None]
        ) -> list[Candidates]:
            found = map_threads(
                lambda i: search_instance(block[i], goals[i], method, effort, search_time, metrics[i]),
                range(len(block)),
                workers,
                lambda i, _: listener.advance(names[block[i].channel.layer]),
            )
            selections.update(zip(block, found, strict=True))
            return [one.sums for one in found]

        layers = calibrate(target, channels, inputs, solve, max_memory=max_memory)
    flat = [channel for layer in channels for channel in layer]
    joined = iter(map_threads(lambda one: join_instances(one, [selections[i] for i in one.instances]), flat, workers))
    results = [[next(joined) for _ in layer] for layer in channels]
    calibration = {
        **inputs.describe(),
        "settings": settings(),
        "layers": [asdict(one) for one in layers],
    }
    return make_record(channels, results, time_limit, {**(info or {}), "calibration": calibration}, target)
