"""Find a ticket: one subset-sum instance per (layer, input channel, sign), spread over the cores."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from slth.environment import environment
from slth.errors import InputError, check_choice, check_int, check_memory
from slth.networks.example import Range, as_recorded
from slth.networks.extract import extract
from slth.networks.parent import Parent, make_parent
from slth.networks.target import STRUCTURES, Target
from slth.rss import SOLVERS
from slth.rss.relax import thin, thinned_size
from slth.rss.threads import map_threads, thread_count
from slth.tickets.checks.verification import Measure, account_layer, measure_channel
from slth.tickets.search.parts import solve_parts
from slth.tickets.search.progress import Progress, track
from slth.tickets.ticket import Block, ChannelIndices, LayerReport, Ticket, instance_signs

# Of a large sign group this many times D of the smallest |u| are generated: the relax method takes 4D as its core
# and 16D densely, by norm; a norm differs from |u|·√D by a small factor.
SCREEN_RATIO = 24
# Bytes a worker holds at its peak, per candidate entry: float32 slices, float64 candidates, one working copy.
BYTES_PER_ENTRY = 8 + 4 + 8


@dataclass(frozen=True)
class ChannelResult:
    """One finished input channel."""

    block: Block
    usable: int
    measure: Measure
    seconds: float


def find_ticket(
    model: nn.Module | Target,
    *,
    width: int | dict[str, int],
    example_input: torch.Tensor | tuple[torch.Tensor, ...] | None = None,
    structure: str = "channel",
    seed: int = 0,
    input_range: Range | Mapping[str, Range] | None = None,
    only: Iterable[str] | None = None,
    skip: Iterable[str] = (),
    method: str = "auto",
    scale: str | float = "auto",
    law: str = "normal",
    threads: int | None = None,
    max_memory: float | None = None,
    progress: bool | Progress = False,
) -> Ticket:
    r"""Find hidden channels of a random parent whose sum is the target, layer by layer, without training.

    For input channel c with kernel slice K_c and usable hidden channels t of sign ±:

    .. math:: \min_{S} \Big\| \sum_{t \in S} |u_t| V_t \mp K_c \Big\|_\infty

    for the whole slice (structure ``channel``), or for each of its kernels or weights with an S of its own.

    Args:
        model: a torch model (see :func:`slth.networks.extract`), or a target already extracted.
        width: hidden channels per input channel, both signs together (the paper's 2n): one number, or numbers for
            ``conv``, ``linear`` and layer names. More width, less error, in proportion.
        example_input: one input with its batch axis (a tuple for a model of several), to check shapes before any
            work starts.
        structure: what is kept or removed as a whole: ``channel`` (hidden channels, D = d²·c_out), ``kernel``
            (D = d²) or ``weight`` (D = 1).
        seed: fixes the parent. It is never redrawn.
        input_range: (lo, hi) of the inputs, or one for each input's name; None when inputs of any sign may come. A
            range with lo ≥ 0 (pixels) halves the work: only the positive sign group is needed.
        only, skip: names or patterns of layers to replace, or to leave as they were trained.
        method: of :func:`slth.rss.solve`; of a wide layer it sees the small and some of the large candidates only,
            which is what ``relax`` uses. scale, law: of the parent; see :func:`slth.networks.make_parent`.
        threads: None for every core; the ticket does not depend on it.
        max_memory: bytes to stay within (default: 80 % of free memory); a larger job is refused before it starts.
        progress: True for a progress bar, or an object with ``start``, ``advance`` and ``stop``.

    Returns:
        A :class:`Ticket`.

    Raises:
        InputError: a model, width, scale, method or input that cannot be worked with.
        MemoryEstimateError: the search would not fit memory.

    Source: dacunha2023
    """
    if isinstance(model, Target) and (example_input is not None or input_range is not None or only is not None or skip):
        raise InputError(
            "example_input, input_range, only and skip belong to extract() when a Target is passed; got them here. "
            "Call extract(model, example_input=…, input_range=…) with them."
        )
    check_choice("method", method, ("auto", *SOLVERS))
    check_choice("structure", structure, STRUCTURES)
    check_int("seed", seed, 0, 2**64 - 1)
    workers = thread_count(threads)
    if isinstance(model, Target):
        target = model
    else:
        target = extract(model, example_input=example_input, input_range=input_range, only=only, skip=skip)
    parent = make_parent(target, width=width, seed=seed, law=law, scale=scale, structure=structure)
    refuse_if_too_large(parent, target, structure, workers, max_memory)

    tasks = [(i, channel) for i, linear in enumerate(target.maps) for channel in linear.instances]
    # The most expensive first, so that no core waits for one of them at the end.
    tasks.sort(key=lambda task: -parent.layers[task[0]].dimension(task[1]))
    names = [f"{linear.name} (D = {linear.part_size(structure, 0)})" for linear in target.maps]
    with track(progress, names, [len(linear.instances) for linear in target.maps]) as bars:

        def run(task: tuple[int, int]) -> ChannelResult:
            return _find_channel(parent, target, structure, task[0], task[1], method)

        found = map_threads(run, tasks, workers, lambda i, _: bars.advance(tasks[i][0]))
    results = dict(zip(tasks, found, strict=True))
    layers = tuple(
        _report(parent, target, structure, i, [results[i, channel] for channel in linear.instances])
        for i, linear in enumerate(target.maps)
    )
    kept = tuple(
        tuple(results[i, channel].block for channel in linear.instances) for i, linear in enumerate(target.maps)
    )
    info: dict[str, Any] = {"method": method, "environment": environment()}
    if not isinstance(model, Target):  # which was extracted for a range that only its extractor knows
        info["input_range"] = as_recorded(input_range)
    if example_input is not None:
        examples = example_input if isinstance(example_input, tuple) else (example_input,)
        info["input_shapes"] = [list(one.shape[1:]) for one in examples]
    return Ticket(parent=parent, target=target, structure=structure, kept=kept, layers=layers, info=info)


def refuse_if_too_large(parent: Parent, target: Target, structure: str, workers: int, max_memory: float | None) -> None:
    """Raise MemoryEstimateError when the largest instance, once per worker, exceeds what may be used."""
    needed, worst = 0.0, ""
    for linear, layer in zip(target.maps, parent.layers, strict=True):
        # A sign group has width/2 ± a few deviations, of which the screen lets this many through; the mixing
        # weights of both signs are needed whole, with the bookkeeping of sorting them.
        dimension = linear.part_size(structure, 0)
        rows = thinned_size(0.55 * layer.width + 200, SCREEN_RATIO * dimension)
        size = rows * linear.dimension * BYTES_PER_ENTRY + 48.0 * layer.width
        # Gram matrices of the core (4D candidates) and their update.
        size += 3 * 8 * (4.0 * dimension) ** 2
        if size > needed:
            needed, worst = size, f"{linear.name}: width {layer.width}, D = {dimension}"
    check_memory(
        f"the search ({worst}, on {workers} threads)",
        needed * workers,
        max_memory,
        "Use a smaller width for this layer, or fewer threads.",
    )


def _find_channel(
    parent: Parent, target: Target, structure: str, layer: int, channel: int, method: str
) -> ChannelResult:
    began = time.perf_counter()
    linear = target.maps[layer]
    size = linear.part_size(structure, channel)
    goals = linear.column(channel).reshape(-1, size)
    chosen: list[list[ChannelIndices]] = [[np.empty(0, dtype=np.int64)] for _ in goals]
    usable = 0
    for sign in instance_signs(linear.signs, channel, linear.channels[0]):
        rows = parent.sign_group(layer, channel, sign)
        usable += len(rows) * len(goals)
        if not len(rows) or not goals.any():
            continue  # nothing to choose from, or zero: the empty selection is exact
        rows = _screen(parent, layer, channel, rows, size)
        candidates = parent.candidates(layer, channel, rows)
        wanted = goals if sign == "+" else -goals
        for part, selected in enumerate(solve_parts(candidates, wanted, method=method, seed=parent.seed)):
            chosen[part].append(rows[selected])
    block = Block.of([np.sort(np.concatenate(part)) for part in chosen])
    measure = measure_channel(parent, target, layer, channel, block)
    return ChannelResult(block=block, usable=usable, measure=measure, seconds=time.perf_counter() - began)


def _screen(parent: Parent, layer: int, channel: int, rows: ChannelIndices, size: int) -> ChannelIndices:
    """The hidden channels worth generating, told by |u| alone (a candidate's norm is about |u|·√D).

    The error of a selection is set by the smallest candidates; the large ones only bring the target within their
    reach, for which some of every size do as well as all (:func:`slth.rss.relax.thin`). The rest is not generated.
    """
    places = thin(len(rows), SCREEN_RATIO * size)
    if len(places) == len(rows):
        return rows
    order = np.argsort(np.abs(parent.mixing(layer, channel, rows)), kind="stable")
    return np.sort(rows[order[places]])


def _report(parent: Parent, target: Target, structure: str, layer: int, found: list[ChannelResult]) -> LayerReport:
    blocks = tuple(one.block for one in found)
    return LayerReport(
        usable=sum(one.usable for one in found),
        seconds=sum(one.seconds for one in found),
        **account_layer(parent, target, structure, layer, blocks, [one.measure for one in found]),
    )
