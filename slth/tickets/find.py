"""Find a ticket: one subset-sum instance per (layer, input channel, sign), spread over the cores."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from slth.environment import environment
from slth.errors import InputError, check_choice, check_int, check_memory
from slth.networks.extract import extract
from slth.networks.parent import Parent, make_parent
from slth.networks.target import Target
from slth.rss import METHODS, Problem, solve
from slth.rss.relax import SPARSE, thin
from slth.rss.threads import map_threads, thread_count
from slth.tickets.progress import Progress, track
from slth.tickets.ticket import LayerReport, Rows, Ticket, instance_signs
from slth.tickets.verification import Measure, measure_channel, summarise_layer

# Of a large sign group this many times D of the smallest |u| are generated: the relax method takes 4D as its core
# and 16D densely, by norm; a norm differs from |u|·√D by a small factor.
SCREEN_RATIO = 24
# Bytes a worker holds at its peak, per candidate entry: float32 slices, float64 candidates, one working copy.
BYTES_PER_ENTRY = 8 + 4 + 8


@dataclass(frozen=True)
class Found:
    """One finished input channel."""

    rows: Rows
    usable: int
    measure: Measure
    seconds: float


def find_ticket(
    model: nn.Module | Target,
    *,
    width: int | dict[str, int],
    example_input: torch.Tensor | None = None,
    seed: int = 0,
    input_range: tuple[float, float] | None = None,
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

    Args:
        model: a sequential torch model (see :func:`slth.networks.extract`), or a target already extracted.
        width: hidden channels per input channel, both signs together (the paper's 2n): one number, or numbers for
            ``conv``, ``linear`` and layer names. More width, less error, in proportion.
        example_input: one input with its batch axis, to check shapes before any work starts.
        seed: fixes the parent. It is never redrawn.
        input_range: (lo, hi) of what the first layer sees; None when inputs of any sign may come. A range with
            lo ≥ 0 (pixels) halves the work: only the positive sign group is needed.
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
    if isinstance(model, Target) and (example_input is not None or input_range is not None):
        raise InputError(
            "example_input and input_range belong to extract() when a Target is passed; got them here. "
            "Call extract(model, example_input=…, input_range=…) with them."
        )
    check_choice("method", method, ("auto", *METHODS))
    check_int("seed", seed, 0, 2**64 - 1)
    workers = thread_count(threads)
    target = (
        model if isinstance(model, Target) else extract(model, example_input=example_input, input_range=input_range)
    )
    parent = make_parent(target, width=width, seed=seed, law=law, scale=scale)
    refuse_if_too_large(parent, target, workers, max_memory)

    tasks = [(i, channel) for i, linear in enumerate(target.maps) for channel in linear.instances]
    # The most expensive first, so that no core waits for one of them at the end.
    tasks.sort(key=lambda task: -parent.layers[task[0]].dimension(task[1]))
    names = [f"{linear.name} (D = {linear.dimension})" for linear in target.maps]
    with track(progress, names, [len(linear.instances) for linear in target.maps]) as bars:

        def run(task: tuple[int, int]) -> Found:
            return _find_channel(parent, target, task[0], task[1], method)

        found = map_threads(run, tasks, workers, lambda i, _: bars.advance(tasks[i][0]))
    results = dict(zip(tasks, found, strict=True))
    layers = tuple(
        _report(parent, target, i, [results[i, channel] for channel in linear.instances])
        for i, linear in enumerate(target.maps)
    )
    kept = tuple(
        tuple(results[i, channel].rows for channel in linear.instances) for i, linear in enumerate(target.maps)
    )
    info: dict[str, Any] = {"method": method, "input_range": input_range, "environment": environment()}
    return Ticket(parent=parent, target=target, kept=kept, layers=layers, info=info)


def refuse_if_too_large(parent: Parent, target: Target, workers: int, max_memory: float | None) -> None:
    """Raise MemoryEstimateError when the largest instance, once per worker, exceeds what may be used."""
    needed, worst = 0.0, ""
    for linear, layer in zip(target.maps, parent.layers, strict=True):
        # A sign group has width/2 ± a few deviations, of which the screen lets this many through; the mixing
        # weights of both signs are needed whole, with the bookkeeping of sorting them.
        rows = min(0.55 * layer.width + 200, SCREEN_RATIO * linear.dimension + SPARSE)
        size = rows * linear.dimension * BYTES_PER_ENTRY + 48.0 * layer.width
        # Gram matrices of the core (4D candidates) and their update.
        size += 3 * 8 * (4.0 * linear.dimension) ** 2
        if size > needed:
            needed, worst = size, f"{linear.name}: width {layer.width}, D = {linear.dimension}"
    check_memory(
        f"the search ({worst}, on {workers} threads)",
        needed * workers,
        max_memory,
        "Use a smaller width for this layer, or fewer threads.",
    )


def _find_channel(parent: Parent, target: Target, layer: int, channel: int, method: str) -> Found:
    began = time.perf_counter()
    linear = target.maps[layer]
    goal = linear.column(channel)
    chosen, usable = [], 0
    for sign in instance_signs(linear.signs, channel, linear.channels[0]):
        rows = parent.sign_group(layer, channel, sign)
        usable += len(rows)
        if not len(rows) or not goal.any():
            continue  # nothing to choose from, or zero: the empty selection is exact
        rows = _screen(parent, layer, channel, rows)
        problem = Problem(vectors=parent.candidates(layer, channel, rows), target=goal if sign == "+" else -goal)
        chosen.append(rows[solve(problem, method, seed=parent.seed, threads=1).selected])
    rows = np.sort(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.int64)
    measure = measure_channel(parent, target, layer, channel, rows)
    return Found(rows=rows, usable=usable, measure=measure, seconds=time.perf_counter() - began)


def _screen(parent: Parent, layer: int, channel: int, rows: Rows) -> Rows:
    """The hidden channels worth generating, told by |u| alone (a candidate's norm is about |u|·√D).

    The error of a selection is set by the smallest candidates; the large ones only bring the target within their
    reach, for which some of every size do as well as all (:func:`slth.rss.relax.thin`). The rest is not generated.
    """
    places = thin(len(rows), SCREEN_RATIO * parent.layers[layer].dimension(channel))
    if len(places) == len(rows):
        return rows
    order = np.argsort(np.abs(parent.mixing(layer, channel, rows)), kind="stable")
    return np.sort(rows[order[places]])


def _report(parent: Parent, target: Target, layer: int, found: list[Found]) -> LayerReport:
    linear = target.maps[layer]
    return LayerReport(
        name=linear.name,
        kind=linear.kind,
        dimension=linear.dimension,
        width=parent.layers[layer].width,
        usable=sum(one.usable for one in found),
        kept=sum(len(one.rows) for one in found),
        seconds=sum(one.seconds for one in found),
        **summarise_layer(linear, [one.measure for one in found]),
    )
