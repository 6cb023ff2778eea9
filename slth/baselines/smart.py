"""Random tickets with smart ratios: the number of weights that each layer keeps is all that is chosen.

Layer l of L, except the last, keeps the fraction min(1, γ((L−l+1)² + (L−l+1))) of its weights. The last layer keeps 0.3
of its weights. γ is such that the network keeps exactly round(density·N).

Source: su2020
"""

from __future__ import annotations

import time

from scipy.optimize import brentq
from torch import nn

from slth.baselines.at_init import drawn
from slth.baselines.found import Found, warn
from slth.baselines.frozen import frozen_form
from slth.baselines.masks import check_density, maskable, random_masks, weights_hash
from slth.baselines.randomness import mixed
from slth.baselines.training import History
from slth.errors import InputError
from slth.progress import Progress

# The published density of the last layer; lower where that would be more than this share of all that may be kept.
LAST_LAYER_DENSITY = 0.3
LAST_LAYER_SHARE = 0.5


def smart_counts(model: nn.Module, density: float) -> dict[str, int]:
    """Number of weights to keep of each layer, at least one each and exactly round(density·N) together.

    Args:
        model: the network.
        density: fraction of all N weights to keep, in (0, 1].

    Raises:
        InputError: density outside (0, 1], or fewer weights than layers.

    Source: su2020
    """
    check_density(density)
    sizes = {name: weight.numel() for name, weight in maskable(model).items()}
    *names, last = sizes
    budget = round(density * sum(sizes.values()))
    if budget < len(sizes):
        raise InputError(f"density {density} keeps {budget} weights; every one of {len(sizes)} layers needs one.")
    room = budget - sum(sizes[name] for name in names)  # what the last layer must take if all others are full
    of_last = max(
        room, 1, min(round(LAST_LAYER_DENSITY * sizes[last]), round(LAST_LAYER_SHARE * budget), budget - len(names))
    )
    if not names:
        return {last: budget}
    depth = len(sizes)
    shares = {name: (depth - at + 1) ** 2 + (depth - at + 1) for at, name in enumerate(names, start=1)}
    left = budget - of_last

    def wanted(gamma: float) -> dict[str, float]:
        return {name: max(1.0, min(1.0, gamma * shares[name]) * sizes[name]) for name in names}

    gamma = brentq(lambda gamma: sum(wanted(gamma).values()) - left, 0.0, 1.0 + 1e-9)
    exact = wanted(gamma)
    found = {name: int(exact[name]) for name in names}
    # Whole numbers by largest remainder.
    most = sorted(names, key=lambda name: found[name] - exact[name])
    for name in [name for name in most if found[name] < sizes[name]][: left - sum(found.values())]:
        found[name] += 1
    return found | {last: of_last}


def find(
    model: nn.Module,
    *,
    density: float,
    seed: int = 0,
    frozen: bool = False,
    progress: bool | Progress = False,
) -> Found:
    """Draw a random ticket with smart ratios; it is trained by :func:`slth.baselines.found.fine_tuned`.

    Args:
        model: an ordinary architecture, left unchanged; its weights are drawn anew.
        density: fraction of all weights to keep, in (0, 1].
        seed: seed of weights and masks.
        frozen: whether the ticket is one of the frozen random form, as Gem-Miner is compared with.
        progress: who listens; True for bars.

    Raises:
        InputError: density outside (0, 1], or fewer weights than layers.

    Source: su2020
    """
    began = time.perf_counter()
    network = frozen_form(model, seed=seed) if frozen else drawn(model, seed)
    kept = smart_counts(network, density)
    masks = random_masks(
        network, {name: kept[name] / w.numel() for name, w in maskable(network).items()}, mixed(seed, 4)
    )
    before = weights_hash(network)
    found = Found(
        method="random, smart ratios", network=network.eval(), masks=masks, history=History(), asked=density,
        seconds=time.perf_counter() - began, weights=(before, before),
    )  # fmt: skip
    warn(found, progress)
    return found
