"""Masks: which weights of a network are kept, as named boolean tensors.

Density is the fraction of the weights of all convolutions and linear layers that a mask keeps. Biases and BatchNorm
parameters belong to no mask. Methods that need a network without them take it in its frozen random form
(:mod:`slth.baselines.frozen`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from slth.errors import InputError, TrainingError, check_choice, check_positive

# Name of a weight → boolean tensor of its shape, True where the weight is kept.
Masks = dict[str, torch.Tensor]
# Name of a weight → float tensor of its shape.
Scores = dict[str, torch.Tensor]

WEIGHTED_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def maskable(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights that masks are about: those of convolutions and linear layers, in order, by parameter name.

    Raises:
        InputError: the model has none.
    """
    found: dict[str, torch.Tensor] = {
        f"{name}.weight" if name else "weight": module.weight
        for name, module in model.named_modules()
        if isinstance(module, WEIGHTED_LAYERS)
    }
    if not found:
        raise InputError("a model to prune must have convolutions or linear layers; got none.")
    return found


def check_density(density: float) -> float:
    """Return ``density`` if it lies in (0, 1]; raise :class:`InputError` otherwise."""
    value = check_positive("density", density, "It is the fraction of weights kept, in (0, 1].")
    if value > 1:
        raise InputError(f"density must lie in (0, 1]; got {density}. It is the fraction of weights kept.")
    return value


def keep_top(
    scores: Mapping[str, torch.Tensor], density: float, *, scope: str = "global", among: Masks | None = None
) -> Masks:
    """Keep the weights of the largest scores, exactly max(1, round(density·N)) of them.

    Args:
        scores: name → scores of a weight's shape, any float dtype.
        density: fraction of all N weights to keep, in (0, 1]; already pruned ones count in N.
        scope: ``global`` ranks all weights together; ``layer`` keeps the same fraction of every layer.
        among: only weights kept here may be kept; None for all.

    Returns:
        Boolean tensors. Equal scores are kept in the order of the weights, so the count is exact with ties too.

    Raises:
        InputError: density outside (0, 1], scores that are NaN, or fewer weights left than asked for.
    """
    check_density(density)
    check_choice("scope", scope, ("global", "layer"))
    if scope == "layer":
        kept: Masks = {}
        for name, score in scores.items():
            kept |= keep_top({name: score}, density, among=None if among is None else {name: among[name]})
        return kept
    wide = torch.float64 if any(score.dtype == torch.float64 for score in scores.values()) else torch.float32
    flat = torch.cat([score.detach().reshape(-1).to(wide) for score in scores.values()])
    if bool(flat.isnan().any()):
        raise InputError("scores must be numbers; got NaN. Check the loss and the data that they come from.")
    count = max(1, round(density * len(flat)))
    if among is not None:
        alive = torch.cat([among[name].reshape(-1) for name in scores])
        if count > int(alive.sum()):
            raise InputError(f"density {density} keeps {count:,} weights; only {int(alive.sum()):,} are left.")
        # Below every score, −∞ ones included: ranks, not values, decide from here on.
        flat = torch.where(alive, flat.clamp(min=torch.finfo(wide).min), -math.inf)
    parts = largest(flat, count).split([score.numel() for score in scores.values()])
    return {name: part.reshape(score.shape) for (name, score), part in zip(scores.items(), parts, strict=True)}


def largest(values: torch.Tensor, count: int) -> torch.Tensor:
    """Mark the largest values; of equal values the first ones.

    It selects and does not sort, because score methods call it at every step.

    Args:
        values: (n,).
        count: number of values to mark, 1 ≤ count ≤ n.

    Returns:
        bool (n,).
    """
    if values.device.type == "cpu":
        least = float(np.partition(values.detach().numpy(), len(values) - count)[len(values) - count])
    else:
        least = float(values.kthvalue(len(values) - count + 1).values)
    chosen = values >= least
    surplus = int(torch.count_nonzero(chosen)) - count
    if surplus > 0:
        chosen[(values == least).nonzero()[-surplus:, 0]] = False
    return chosen


def counts(masks: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, int]]:
    """For each name the number of kept weights and of all weights."""
    return {name: (int(mask.sum()), mask.numel()) for name, mask in masks.items()}


def density_of(masks: Mapping[str, torch.Tensor]) -> float:
    """Number of kept weights over the number of all weights."""
    pairs = counts(masks).values()
    return sum(kept for kept, _ in pairs) / max(1, sum(total for _, total in pairs))


def collapsed(masks: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of layers without a kept weight: such a network computes a constant, or ignores its input."""
    return [name for name, mask in masks.items() if not bool(mask.any())]


def check_masks(masks: Mapping[str, torch.Tensor], model: nn.Module, *, whole: bool = True) -> None:
    """Raise when masks do not fit a network.

    Args:
        masks: name → bool tensor of the weight's shape.
        model: the network.
        whole: whether an empty layer is an error too.

    Raises:
        InputError: names, shapes or dtypes that differ from the model's.
        TrainingError: a layer has collapsed.
    """
    weights = maskable(model)
    if set(masks) != set(weights):
        odd = sorted(set(masks) ^ set(weights))
        raise InputError(
            f"masks must name the {len(weights)} weights of the model; wrong or missing: {', '.join(odd)}."
        )
    for name, mask in masks.items():
        if mask.dtype != torch.bool or mask.shape != weights[name].shape:
            raise InputError(
                f"mask {name} must be bool of shape {tuple(weights[name].shape)}; got {mask.dtype} of shape "
                f"{tuple(mask.shape)}."
            )
    empty = collapsed(masks)
    if whole and empty:
        raise TrainingError(
            f"layer collapse: no weight is kept in {', '.join(empty)} at density {density_of(masks):.4g}. "
            "Keep more weights, or choose a method that ranks weights within layers."
        )


def shuffled(masks: Mapping[str, torch.Tensor], seed: int) -> Masks:
    """Keep as many weights in every layer, at random places.

    Args:
        masks: which weights are kept now.
        seed: seed of the places.
    """
    generator = torch.Generator().manual_seed(seed)
    return {
        name: mask.reshape(-1)[torch.randperm(mask.numel(), generator=generator).to(mask.device)].reshape(mask.shape)
        for name, mask in masks.items()
    }


def random_masks(model: nn.Module, fractions: Mapping[str, float], seed: int) -> Masks:
    """Keep a fraction of each layer at random places: exactly round(fraction·size) weights.

    Args:
        model: the network.
        fractions: name of a weight → fraction to keep, in [0, 1].
        seed: seed of the places.
    """
    ordered = {}
    for name, weight in maskable(model).items():
        mask = torch.zeros(weight.shape, dtype=torch.bool)
        mask.reshape(-1)[: round(fractions[name] * mask.numel())] = True
        ordered[name] = mask
    return shuffled(ordered, seed)


@contextmanager
def held(model: nn.Module, masks: Mapping[str, torch.Tensor]) -> Iterator[nn.Module]:
    """Set pruned weights to zero, and keep them there while an optimiser works on the model.

    Their gradients are zeroed before any optimiser sees them; with weight zero, weight decay and momentum add nothing.
    (A new optimiser is needed: the momentum of an old one would move them.)

    Args:
        model: the network; it is changed in place.
        masks: which weights are kept.

    Yields:
        The model.

    Raises:
        InputError: masks that do not fit.
        TrainingError: an empty layer.
    """
    check_masks(masks, model)
    weights = maskable(model)
    hooks = []
    for name, mask in masks.items():
        weight = weights[name]
        mine = mask.to(weight.device)
        with torch.no_grad():
            weight.mul_(mine)
        if weight.requires_grad:
            hooks.append(weight.register_hook(lambda grad, mine=mine: grad * mine))
    try:
        yield model
    finally:
        for hook in hooks:
            hook.remove()


def weights_hash(model: nn.Module) -> str:
    """SHA-256 of all parameters, names and bytes: an equal hash before and after means that no weight was changed."""
    digest = hashlib.sha256()
    for name, value in sorted(model.named_parameters()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(value.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()


def masks_hash(masks: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of masks, names and bytes."""
    digest = hashlib.sha256()
    for name, mask in sorted(masks.items()):
        digest.update(name.encode())
        digest.update(mask.cpu().numpy().tobytes())
    return digest.hexdigest()
