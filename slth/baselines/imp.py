"""Iterative magnitude pruning with rewinding: train, prune the smallest weights, rewind, repeat.

Masks come from trained weights, so a ticket found here is a *weak* one: its weights are those of step t_r, and it has
to be trained. Rewinding to t_r = 0 is the original lottery ticket. A later t_r is needed in networks that are not tiny.

Source: frankle2020
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from slth.baselines.at_init import drawn
from slth.baselines.found import Found, warn
from slth.baselines.masks import Masks, check_density, keep_top, maskable, weights_hash
from slth.baselines.recipe import Recipe
from slth.baselines.training import History, train
from slth.data import Split
from slth.errors import InputError, check_int, check_positive
from slth.progress import Progress, Several, listening

# For LeNet-5 on 5,000 images of MNIST. Tried with one seed on 5,000 validation images: learning rates 0.02, 0.05 and
# 0.1; 0.1 gave the best dense network. Epochs, batch and weight decay were not tuned.
RECIPE = Recipe(epochs=6, batch=64, learning_rate=0.1, weight_decay=1e-4)


@dataclass(frozen=True, kw_only=True, eq=False)
class Level:
    """One round of pruning.

    Attributes:
        level: number of the round; 0 is dense.
        density: the density asked for; exactly max(1, round(density·N)) weights are kept.
        masks: which weights are kept: the ticket.
        network: trained from the rewind point with all other weights held at zero.
        history: of that training.
    """

    level: int
    density: float
    masks: Masks
    network: nn.Module
    history: History


def find(
    model: nn.Module,
    data: Split,
    *,
    density: float,
    recipe: Recipe,
    rewind: int = 0,
    fraction: float = 0.2,
    seed: int = 0,
    validation: Split | None = None,
    folder: Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool | Progress = False,
) -> Found:
    """Find the trained ticket of one density, and report what was spent on all levels before it.

    Args:
        model: an ordinary architecture, left unchanged; its weights are drawn anew.
        data: the training data.
        density: fraction of all weights to keep, in (0, 1].
        recipe: how every level is trained; recipe.seed controls the data order.
        rewind: t_r, the step to rewind to.
        fraction: fraction of the remaining weights that a level prunes; see :func:`schedule`.
        seed: seed of the weights.
        validation: monitored only; never used for selection.
        folder: folder for the checkpoints of the rewind point and of every level; None for none.
        device: ``cpu`` or a GPU; see :func:`slth.baselines.training.train`.
        progress: who listens: hears every training and one line for each level; True for bars.

    Returns:
        A Found whose network is *trained*, and whose history is that of all levels. ``notes`` hold ``rewind``, and
        ``levels``: the density of each and, with validation data, its accuracy.

    Raises:
        InputError: a step, density or fraction outside its range.
        TrainingError: a layer has lost all weights.

    Source: frankle2020
    """
    began, listener = time.perf_counter(), listening(progress)
    first = drawn(model, seed)
    start = rewind_point(first, data, recipe=recipe, step=rewind, folder=folder, device=device, progress=listener)
    history, levels = History(steps=rewind, seconds=time.perf_counter() - began), []
    for level in prune(
        start, data, recipe=recipe, rewind=rewind, densities=schedule(density, fraction), validation=validation,
        folder=folder, device=device, progress=listener,
    ):  # fmt: skip
        history.epochs += level.history.epochs
        history.steps += level.history.steps
        history.seconds += level.history.seconds  # of the training, also where a level was only read
        levels.append({"density": level.density})
        if validation is not None:
            levels[-1]["validation"] = level.history.epochs[-1]["validation"]
    found = Found(
        method="imp", network=level.network.cpu(), masks=level.masks,
        history=history, asked=density, seconds=history.seconds,
        weights=(weights_hash(first), weights_hash(level.network)), notes={"rewind": rewind, "levels": levels},
    )  # fmt: skip
    warn(found, listener)
    return found


def rewind_point(
    model: nn.Module, data: Split, *, recipe: Recipe, step: int, folder: Path | None = None,
    device: str | torch.device = "cpu", progress: bool | Progress = False,
) -> nn.Module:  # fmt: skip
    """Train a copy of a network for ``step`` steps of the recipe: every level starts from it.

    Args:
        model: the untrained network; it is left unchanged.
        data: the training data.
        recipe: how every level is trained; recipe.seed controls the data order.
        step: t_r, the step to rewind to; 0 for the network as it is.
        folder: folder for the checkpoint; None for none. On a GPU, training does not repeat itself to the bit, so
            levels on disk belong to the rewind point beside them and to no other.
        device: ``cpu`` or a GPU; see :func:`slth.baselines.training.train`.
        progress: who listens; True for bars.

    Raises:
        InputError: a step outside the run.
    """
    steps = recipe.steps(len(data))
    check_int("step", step, 0, steps - 1, hint=f"It is the step to rewind to; the run has {steps}.")
    point = copy.deepcopy(model)
    checkpoint = None if folder is None else folder / f"rewind-{step}-{_digest(model, data, {})}.pt"
    train(
        point,
        data,
        recipe=recipe,
        last_step=step,
        checkpoint=checkpoint,
        device=device,
        progress=_without_lines(progress),
    )
    return point


def schedule(density: float, fraction: float = 0.2) -> list[float]:
    """Densities of the levels: 1, 1−f, (1−f)², … as long as they are above ``density``, then ``density``.

    Args:
        density: of the last level, in (0, 1].
        fraction: f, fraction of the remaining weights that a level prunes, in (0, 1).

    Raises:
        InputError: numbers outside their ranges.
    """
    check_density(density)
    if check_positive("fraction", fraction, "It is the part of the remaining weights to prune.") >= 1:
        raise InputError(f"fraction must lie in (0, 1); got {fraction}. It is the part of the remaining weights.")
    # One part in 10⁹ below, so that 0.8³ and 0.512 do not make two levels.
    levels = math.ceil(math.log(density) / math.log1p(-fraction) - 1e-9)
    return [(1 - fraction) ** level for level in range(levels)] + [density]


def prune(
    start: nn.Module,
    data: Split,
    *,
    recipe: Recipe,
    rewind: int,
    densities: list[float],
    validation: Split | None = None,
    folder: Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool | Progress = False,
) -> Iterator[Level]:
    r"""Iterative magnitude pruning, one level at a time: a level is trained when it is asked for.

    Level l trains ``start`` under mask m_l from step t_r to the end, to weights w; then

    .. math:: m_{l+1} = \text{the } \max(1, \mathrm{round}(\rho_{l+1} N)) \text{ largest of } |w|
              \text{ among those that } m_l \text{ keeps, over all layers together.}

    Momentum starts at zero at the rewind point: weights are rewound, the optimiser is new.

    Args:
        start: the network at step t_r (:func:`rewind_point`, or :func:`slth.baselines.data_diet.pretrained`), BatchNorm
            statistics included; it is left unchanged.
        data: the training data.
        recipe: how every level is trained; recipe.seed controls the data order.
        rewind: t_r, the step that ``start`` is at.
        densities: of the levels, falling; usually :func:`schedule`.
        validation: monitored only; never used for selection.
        folder: folder for one checkpoint for each level; a level that is there already is read, not trained.
        device: ``cpu`` or a GPU; see :func:`slth.baselines.training.train`.
        progress: who listens: hears every training and one line for each level; True for bars.

    Returns:
        An iterator of levels; the last has the density ``densities[-1]``.

    Raises:
        InputError: t_r outside the run, or densities that do not fall.
        TrainingError: a layer has lost all weights.

    Source: frankle2020
    """
    steps = recipe.steps(len(data))
    check_int("rewind", rewind, 0, steps - 1, hint=f"It is the step to rewind to; the run has {steps}.")
    for density in densities:
        check_density(density)
    if not densities or any(b >= a for a, b in itertools.pairwise(densities)):
        raise InputError(f"densities must fall from level to level; got {densities}. schedule() makes such a list.")
    return _levels(start, data, recipe, rewind, densities, validation, folder, device, listening(progress))


def _levels(
    start: nn.Module, data: Split, recipe: Recipe, rewind: int, densities: list[float], validation: Split | None,
    folder: Path | None, device: str | torch.device, listener: Progress,
) -> Iterator[Level]:  # fmt: skip
    scores = _magnitudes(start)
    masks = {name: torch.ones_like(score, dtype=torch.bool) for name, score in scores.items()}
    for level, density in enumerate(densities):
        masks = keep_top(scores, density, among=masks)
        network = copy.deepcopy(start)
        checkpoint = None if folder is None else folder / f"level-{level:02d}-{_digest(start, data, masks)}.pt"
        history = train(
            network, data, recipe=recipe, masks=masks, first_step=rewind, validation=validation,
            checkpoint=checkpoint, device=device, progress=_without_lines(listener),
        )  # fmt: skip
        shown = f", validation {history.epochs[-1]['validation']:.2%}" if validation is not None else ""
        listener.say(f"level {level}: density {density:.4g}{shown}, {history.seconds:.1f} s")
        yield Level(level=level, density=density, masks=masks, network=network, history=history)
        scores = _magnitudes(network)


class _WithoutLines(Several):
    def say(self, line: str) -> None:
        """See :class:`Progress`."""


def _without_lines(progress: bool | Progress) -> Progress:
    """Listen to a training without its lines: a level tells one line instead of one for each epoch."""
    return _WithoutLines([listening(progress)])


def _magnitudes(network: nn.Module) -> dict[str, torch.Tensor]:
    """|w| on the CPU, where masks are, wherever the network is trained."""
    return {name: weight.detach().abs().cpu() for name, weight in maskable(network).items()}


def _digest(start: nn.Module, data: Split, masks: Masks) -> str:
    """Name a checkpoint after what a level comes from, so that a level of another start or subset is never read."""
    parts = [weights_hash(start).encode(), data.labels.cpu().numpy().tobytes()]
    parts += [mask.cpu().numpy().tobytes() for mask in masks.values()]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:12]
