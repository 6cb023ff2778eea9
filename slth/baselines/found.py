"""What every search for a mask gives back, and the steps that searches share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slth.baselines.masks import Masks, collapsed, density_of, maskable, weights_hash
from slth.baselines.recipe import Recipe
from slth.baselines.scored import Scored
from slth.baselines.training import History, Objective, train
from slth.data import Split
from slth.errors import InputError, check_int
from slth.progress import Progress, listening

# Inputs that BatchNorm is recalibrated on: more no longer move means and variances that a test would notice.
INPUTS = 5000


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """A subnetwork that a method found, on the CPU.

    Attributes:
        method: its name. network: the whole network, before anything is removed; what the masks were made for.
        masks: what is kept. history: of the search, all its epochs. asked: the density asked for.
        seconds: wall time of the search. notes: whatever else the method reports, JSON-ready.
        weights: hashes of the network's parameters before and after the search; equal where no weight was touched.
        compact: a network from which whole filters were taken out and which was then trained, where there is one.
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
        """Weights kept over all weights, counted."""
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
    """A copy of ``network`` in evaluation mode whose weights outside ``masks`` are zero."""
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
    """Train what is kept, from the values it has; what is not kept stays zero.

    Frozen weights become trainable here; what the frozen form has taken away (biases, the parameters of BatchNorm)
    does not come back.

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
    """A copy of ``model`` whose BatchNorm statistics are those of ``images``, in one pass, all parts counted alike.

    A mask that was cut out of a soft or a changing network sees other activations than its parent did: its means and
    variances are taken anew, from inputs of the training data (labels play no part in it).

    Args:
        images: (N, …), training inputs. batch: about so many a pass; the parts differ in size by one at most.
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


def settled(network: nn.Module, masks: Mapping[str, torch.Tensor], images: torch.Tensor) -> nn.Module:
    """A copy of ``network``, its weights whole, whose BatchNorm is recalibrated for what ``masks`` keep of it."""
    copied = copy.deepcopy(network).eval()
    statistics = dict(recalibrated(masked(copied, masks), images[:INPUTS].cpu()).named_buffers())
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
    """Train scores, and gather what they keep, with BatchNorm recalibrated for it on ``data``.

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
    network = settled(scored.network, masks, data.images)
    found = Found(
        method=method, network=network, masks=masks, history=history, asked=asked, seconds=history.seconds,
        weights=(before, after), notes=notes(masks),
    )  # fmt: skip
    warn(found, listener)
    return found


def warn(found: Found, progress: bool | Progress) -> None:
    """Say what a reader of the result must not overlook."""
    say = listening(progress).say
    count = sum(int(mask.sum()) for mask in found.masks.values())
    wanted = max(1, round(found.asked * sum(mask.numel() for mask in found.masks.values())))
    if count > wanted + len(found.masks):  # layers may round up
        say(f"{found.method} keeps {count:,} weights, {found.density:.4g}; density {found.asked:.4g} was asked for")
    if found.collapsed:
        say(f"layer collapse: {found.method} keeps no weight of {', '.join(found.collapsed)}")
