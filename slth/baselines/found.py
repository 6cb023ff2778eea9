"""The result of a search for a mask, and the steps that all searches share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slth.baselines.masks import Masks, collapsed, density_of, maskable, weights_hash
from slth.baselines.objective import Objective
from slth.baselines.recipe import Recipe
from slth.baselines.scored import Scored
from slth.baselines.training import History, train
from slth.data import Split
from slth.errors import InputError, check_int
from slth.progress import Progress, listening

# BatchNorm is recalibrated on so many inputs; more would not change means and variances noticeably.
CALIBRATION_INPUTS = 5000


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """A subnetwork that a method found, on the CPU.

    Attributes:
        method: name of the method.
        network: the whole network that the masks were made for, with nothing removed.
        masks: which weights are kept.
        history: of the search, all its epochs.
        asked: the density asked for.
        seconds: wall time of the search.
        weights: hashes of the network's parameters before and after the search; equal if no weight was changed.
        notes: whatever else the method reports, JSON-ready.
        compact: where the method removes whole filters, the small network after its training; else None.
    """

    method: str
    network: nn.Module
    masks: Masks
    history: History
    asked: float
    seconds: float
    weights: tuple[str, str]
    notes: Mapping[str, Any] = field(default_factory=dict)
    compact: nn.Module | None = None

    @property
    def density(self) -> float:
        """Fraction of weights kept, by counting."""
        return density_of(self.masks)

    @property
    def untouched(self) -> bool:
        """Whether the search left every weight as it was drawn."""
        return self.weights[0] == self.weights[1]

    @property
    def collapsed(self) -> list[str]:
        """Layers of which nothing is kept."""
        return collapsed(self.masks)

    def module(self) -> nn.Module:
        """The subnetwork as an ordinary module in evaluation mode: weights that are not kept are zero."""
        return masked(self.network, self.masks) if self.compact is None else copy.deepcopy(self.compact).eval()


def masked(network: nn.Module, masks: Mapping[str, torch.Tensor]) -> nn.Module:
    """Copy a network, in evaluation mode, with all weights outside ``masks`` at zero.

    Args:
        network: left unchanged.
        masks: which weights are kept.
    """
    module = copy.deepcopy(network).eval()
    with torch.no_grad():
        for name, weight in maskable(module).items():
            weight.mul_(masks[name].to(weight.device))
    return module


def fine_tuned(
    found: Found,
    data: Split,
    *,
    recipe: Recipe,
    validation: Split | None = None,
    checkpoint: Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool | Progress = False,
) -> tuple[nn.Module, History]:
    """Train the weights that are kept, from the values they have; all others stay zero.

    Frozen weights become trainable here. Biases and the parameters of BatchNorm, which the frozen form removed, do not
    come back.

    Args:
        found: the ticket; it is left unchanged.
        data: the training data.
        recipe: how the weights are trained; recipe.seed controls the data order.
        validation: monitored only; never used for selection.
        checkpoint: file to continue from; see :func:`slth.baselines.training.train`.
        device: ``cpu`` or a GPU; see :func:`slth.baselines.training.train`.
        progress: who listens; True for bars.

    Returns:
        The trained network, on the CPU, and the history of its training.

    Raises:
        TrainingError: a layer has collapsed, or the loss is not finite.
    """
    module = found.module()
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    masks = found.masks if found.compact is None else None
    history = train(
        module,
        data,
        recipe=recipe,
        masks=masks,
        validation=validation,
        checkpoint=checkpoint,
        device=device,
        progress=progress,
    )
    return module.cpu(), history


def recalibrated(model: nn.Module, images: torch.Tensor, *, batch: int = 500) -> nn.Module:
    """Copy a network with the BatchNorm statistics of given inputs, computed in one pass.

    A mask that was cut out of a soft or changing network sees other activations than that network did. So its means and
    variances are computed again, from training inputs without their labels.

    Args:
        model: left unchanged.
        images: training inputs, (N, …) with N ≥ 2.
        batch: approximate number of inputs in a part; the sizes of parts differ by one at most, and each part counts
            the same.
    """
    check_int("images", len(images), 2, hint="A variance needs two examples.")
    device = next(iter([*model.parameters(), *model.buffers()])).device
    model = copy.deepcopy(model).eval()
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for a cumulative average
        norm.train()
    if norms:
        with torch.no_grad():
            for part in images.tensor_split(max(1, round(len(images) / batch))):
                model(part.to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model.eval()


def recalibrated_for(network: nn.Module, masks: Mapping[str, torch.Tensor], images: torch.Tensor) -> nn.Module:
    """Copy a network with all its weights, and BatchNorm recalibrated for those that ``masks`` keep.

    Args:
        network: left unchanged.
        masks: which weights are kept.
        images: training inputs, (N, …); the first ``CALIBRATION_INPUTS`` are used.
    """
    copied = copy.deepcopy(network).eval()
    statistics = dict(recalibrated(masked(copied, masks), images[:CALIBRATION_INPUTS].cpu()).named_buffers())
    for name, value in copied.named_buffers():
        value.copy_(statistics[name])
    return copied


def search(
    method: str,
    scored: Scored,
    data: Split,
    *,
    asked: float,
    recipe: Recipe,
    objective: Objective | None = None,
    validation: Split | None = None,
    checkpoint: Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool | Progress = False,
    notes: Callable[[Masks], Mapping[str, Any]] = lambda masks: {},
) -> Found:
    """Train scores, and collect the weights that they keep, with BatchNorm recalibrated for them.

    Args:
        method: name of the method.
        scored: the frozen network and its scores; it is trained in place.
        data: the training data.
        asked: the density asked for.
        recipe: how the scores are trained; recipe.seed controls the data order.
        objective: what is minimised; None for plain cross-entropy.
        validation: monitored only; never used for selection.
        checkpoint: file to continue from; see :func:`slth.baselines.training.train`.
        device: ``cpu`` or a GPU; see :func:`slth.baselines.training.train`.
        progress: who listens; True for bars.
        notes: masks found → what else the method reports.

    Raises:
        InputError: the checkpoint holds other random weights, or what training refuses.
    """
    listener = listening(progress)
    before = weights_hash(scored.network)
    history = train(
        scored, data, recipe=recipe, objective=objective, validation=validation, checkpoint=checkpoint, device=device,
        progress=listener,
    )  # fmt: skip
    scored.cpu()
    masks = scored.masks()
    after = weights_hash(scored.network)
    if checkpoint is not None and before != after:
        raise InputError(f"{checkpoint} is a checkpoint of other random weights. Choose another folder.")
    network = recalibrated_for(scored.network, masks, data.images)
    found = Found(
        method=method, network=network, masks=masks, history=history, asked=asked, seconds=history.seconds,
        weights=(before, after), notes=notes(masks),
    )  # fmt: skip
    warn(found, listener)
    return found


def warn(found: Found, progress: bool | Progress) -> None:
    """Say what a reader of the result must not overlook: more weights than asked for, or empty layers.

    Args:
        found: the result.
        progress: who is told; see :func:`slth.progress.listening`.
    """
    say = listening(progress).say
    count = sum(int(mask.sum()) for mask in found.masks.values())
    wanted = max(1, round(found.asked * sum(mask.numel() for mask in found.masks.values())))
    if count > wanted + len(found.masks):  # layers may round up
        say(f"{found.method} keeps {count:,} weights, {found.density:.4g}; density {found.asked:.4g} was asked for")
    if found.collapsed:
        say(f"layer collapse: {found.method} keeps no weight of {', '.join(found.collapsed)}")
