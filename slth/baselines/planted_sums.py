"""Planted subset sums: instances and whole networks that a known selection of random candidates solves.

The parent of a strong ticket is fixed by its seed and cannot be changed (:mod:`slth.networks.parent`). So here the
*target* is planted: each slice of its weights is the sum of a known random subset of the parent's candidates. The error
of the planted selection is rounding alone, and the question is whether a search reaches it.

There are two regimes. In expectation 2^n·P(a random sum is within ε) selections come within ε of the target. Where that
number is far below 1 (few candidates for each dimension), the planted selection is alone, and only exact search can
find it. Where it is far above 1, other selections are nearly as good, recall means nothing, and a search is scored by
its error.

Source: plantnseek2022
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from slth.errors import InputError, check_int, check_positive
from slth.networks import extract
from slth.networks.parent import Parent
from slth.networks.parent_sizes import make_parent
from slth.networks.target import Target
from slth.rss import Problem, Solution, error_upper_bound
from slth.tickets import Ticket
from slth.tickets.record.instance import InputChannel, input_channels
from slth.tickets.record.measure import measure_channel
from slth.tickets.record.record import Block

Truth = dict[tuple[int, int], Block]


@dataclass(frozen=True, kw_only=True, eq=False)
class PlantedSum:
    """One instance with a known solution.

    Attributes:
        problem: the instance to solve.
        truth: bool (n,), the planted selection.
        error: its error by :func:`slth.rss.error_upper_bound`: what rounding the sum to float64 leaves.
    """

    problem: Problem
    truth: npt.NDArray[np.bool_]
    error: float


def planted_sum(*, n: int, dimension: int, kept: int, seed: int = 0) -> PlantedSum:
    r"""The target :math:`z = \sum_{i \in S} |u_i| v_i` of a random S of ``kept`` among n candidates.

    u and v are standard normal: the law of a parent's candidates at scale 1.

    Args:
        n: number of candidates.
        dimension: D.
        kept: |S|, between 1 and n.
        seed: seed of candidates and S.

    Raises:
        InputError: numbers outside their ranges.

    Source: plantnseek2022
    """
    check_int("n", n, 1)
    check_int("dimension", dimension, 1)
    check_int("kept", kept, 1, n, hint="It is the size of the planted subset.")
    random = np.random.default_rng(check_int("seed", seed, 0))
    vectors = np.abs(random.standard_normal((n, 1))) * random.standard_normal((n, dimension))
    truth = np.zeros(n, dtype=bool)
    truth[random.choice(n, kept, replace=False)] = True
    target = np.array([math.fsum(column) for column in vectors[truth].T])  # correctly rounded
    problem = Problem(vectors=vectors, target=target)
    return PlantedSum(problem=problem, truth=truth, error=error_upper_bound(problem, truth))


def score_sum(planted: PlantedSum, solution: Solution) -> dict[str, float]:
    """Compare a solution with what was planted.

    Args:
        planted: the instance.
        solution: what a search found.

    Returns:
        ``error`` of the solution; ``planted_error``; ``reached``: 1 if the former is not above the latter, else 0;
        ``recall`` and ``precision`` of the planted candidates (precision 0 if nothing was selected).
    """
    common = int((planted.truth & solution.selected).sum())
    return {
        "error": solution.error,
        "planted_error": planted.error,
        "reached": float(solution.error <= planted.error),
        "recall": common / int(planted.truth.sum()),
        "precision": common / max(1, int(solution.selected.sum())),
    }


@dataclass(frozen=True, kw_only=True, eq=False)
class PlantedNetwork:
    """A network all of whose slices are sums of known candidates of a parent.

    Attributes:
        model: the network to be given to :func:`slth.tickets.find_ticket` with ``options``.
        target: the same network, extracted.
        parent: the random parent that the candidates belong to.
        truth: (layer, input channel) → the planted hidden channels.
        options: ``width``, ``seed``, ``scale``, ``input_range``.
    """

    model: nn.Module
    target: Target
    parent: Parent
    truth: Truth
    options: Mapping[str, Any]


def planted_network(
    model: nn.Module,
    *,
    width: int,
    kept: int,
    seed: int = 0,
    scale: float = 1.0,
    input_range: tuple[float, float] = (0.0, 1.0),
) -> PlantedNetwork:
    r"""Copy a network with weights that are sums of ``kept`` candidates of the parent with that seed.

    For each layer and input channel c, :math:`K_c := \sum_{t \in S_c} u_{c,t} V_{c,t}` with S_c a random set of
    hidden channels with u > 0, rounded to float32: the planted error is that rounding. The parent is the one that
    ``find_ticket`` makes, because a ``scale`` given as a number makes it independent of the target.

    Args:
        model: conv and linear layers with inputs that cannot be negative (after ReLU); left unchanged. No BatchNorm:
            folding would change the planted weights.
        width: hidden channels per input channel; about half of them have u > 0.
        kept: number of planted hidden channels for each input channel.
        seed: seed of the parent and of the planted sets.
        scale: of the parent.
        input_range: of the model's inputs; must not be negative.

    Raises:
        InputError: inputs of any sign (one set cannot serve both signs), BatchNorm, or fewer candidates than ``kept``.

    Source: plantnseek2022
    """
    check_int("kept", kept, 1, hint="It is the number of candidates in a planted sum.")
    check_positive("scale", scale)
    # The parent needs no trained weights, only names, shapes and signs of the layers.
    blank = extract(model, input_range=input_range)
    signed = [linear.name for linear in blank.maps if linear.signs != "+"]
    if signed:
        raise InputError(
            f"inputs of {', '.join(signed)} may be negative, and one planted set cannot serve both signs. Put a ReLU "
            "before each, and pass an input_range that is not negative."
        )
    parent = make_parent(blank, width=width, seed=seed, scale=scale)
    planted = copy.deepcopy(model).eval()
    parameters = dict(planted.named_parameters())
    truth: Truth = {}
    for i, linear in enumerate(blank.maps):
        for channel in linear.instances:
            group = parent.sign_group(i, channel, "+")
            if len(group) < kept:
                raise InputError(
                    f"input channel {channel} of {linear.name} has {len(group)} candidates; {kept} are to be planted. "
                    "Use a larger width."
                )
            random = np.random.default_rng([seed, i, channel])
            rows = np.sort(random.choice(group, kept, replace=False))
            truth[i, channel] = Block.of([rows])
            total = np.array([math.fsum(column) for column in parent.candidates(i, channel, rows).T])
            with torch.no_grad():
                _write_slice(parameters, linear.name, channel, linear.channels[0], linear.groups, total)
    target = extract(planted, input_range=input_range)
    channels = input_channels(parent, target, "channel")
    if make_parent(target, width=width, seed=seed, scale=scale) != parent or not all(
        _is_rounding(channels[i][index], block) for (i, index), block in truth.items()
    ):
        raise InputError(
            "the planted weights are not those of the extracted network: it has layers that are folded, such as "
            "BatchNorm. Use a model without them."
        )
    options = {"width": width, "seed": seed, "scale": scale, "input_range": input_range}
    return PlantedNetwork(model=planted, target=target, parent=parent, truth=truth, options=options)


def score_ticket(planted: PlantedNetwork, ticket: Ticket) -> dict[str, float]:
    """Compare a ticket of structure ``channel`` with what was planted.

    Args:
        planted: the planted network.
        ticket: what a search found for it.

    Returns:
        ``reached``: fraction of instances with an error not above the planted one; ``recall`` and ``precision`` of the
        planted hidden channels, over all instances; ``error`` and ``planted_error``: the largest of all instances, L∞.

    Raises:
        InputError: a ticket of another parent or structure.
    """
    if ticket.parent != planted.parent or ticket.structure != "channel":
        raise InputError("the ticket must have the planted parent and structure channel. Pass PlantedNetwork.options.")
    reached, common, kept, real, errors, known = 0, 0, 0, 0, [], []
    channels = input_channels(planted.parent, planted.target, "channel")
    for (i, index), block in planted.truth.items():
        found = ticket.kept[i][index]
        errors.append(measure_channel(channels[i][index], found).error)
        known.append(measure_channel(channels[i][index], block).error)
        reached += errors[-1] <= known[-1]
        common += len(np.intersect1d(found.used, block.used))
        kept += len(found.used)
        real += len(block.used)
    return {
        "reached": reached / len(errors),
        "recall": common / real,
        "precision": common / max(1, kept),
        "error": max(errors),
        "planted_error": max(known),
    }


def _is_rounding(channel: InputChannel, block: Block) -> bool:
    """Whether a planted sum equals the target's slice up to the rounding of float32, 2⁻²⁴ of an entry."""
    return measure_channel(channel, block).error <= 2.0**-23 * float(np.abs(channel.goals).max())


def _write_slice(
    parameters: Mapping[str, torch.Tensor], name: str, channel: int, c_in: int, groups: int,
    total: npt.NDArray[np.float64],
) -> None:  # fmt: skip
    """Write the slice of an input channel into the layer's parameters; number ``c_in`` is the bias."""
    values = torch.from_numpy(total.astype(np.float32))
    if channel == c_in:
        parameters[f"{name}.bias"].copy_(values)
        return
    weight = parameters[f"{name}.weight"]
    group, inside = divmod(channel, weight.shape[1])
    outputs = weight.shape[0] // groups
    place = weight[group * outputs : (group + 1) * outputs, inside]
    place.copy_(values.reshape(place.shape))
