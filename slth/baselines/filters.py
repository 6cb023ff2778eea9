"""Trained structured pruning: filters of small L1 norm are removed from a trained network, which is then fine-tuned.

Channels that residual sums tie together are removed together, ranked by the filters of the first layer that makes
them. If the fraction ρ of every layer's filters is removed, an inner layer keeps about (1−ρ)² of its weights.

Source: li2017
Source: fang2023
"""

from __future__ import annotations

import copy
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from slth.baselines.at_init import drawn
from slth.baselines.found import Found, warn
from slth.baselines.masks import Masks, check_density, check_masks, density_of, maskable, weights_hash
from slth.baselines.recipe import Recipe
from slth.baselines.training import train
from slth.data import Split
from slth.errors import InputError, check_positive
from slth.progress import Progress, listening

# Bisection of the ratio stops here: between two ratios this close, no layer of these networks loses another filter.
RATIO_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class Removal:
    """What is left of a network without some of its filters, in two forms.

    Attributes:
        masks: which weights of the whole network are kept.
        masked: the whole network; weights, biases and BatchNorm parameters of removed filters are zero.
        compact: the small network without the removed filters; it has the same outputs.
    """

    masks: Masks
    masked: nn.Module
    compact: nn.Module


def remove_filters(model: nn.Module, shape: tuple[int, ...], ratio: float) -> Removal:
    """Remove the filters of smallest L1 norm from every layer but the last.

    Args:
        model: left unchanged.
        shape: shape of one input, (C, H, W).
        ratio: fraction of filters to remove, 0 ≤ ρ < 1; one filter of each layer always stays.

    Raises:
        InputError: ratio outside [0, 1), or ``torch-pruning`` is not installed.

    Source: fang2023
    """
    _check_ratio(ratio)
    pruning = _torch_pruning()
    compact, masked = copy.deepcopy(model).cpu().eval(), copy.deepcopy(model).cpu().eval()
    for parameter in compact.parameters():
        parameter.requires_grad_(True)
    names = {module: name for name, module in compact.named_modules()}
    last = list(maskable(compact))[-1].rpartition(".")[0]
    masks = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in maskable(compact).items()}
    # torch-pruning skips a layer of which nothing would be left; here one filter of it stays.
    most = {module: min(ratio, 1 - (1 + 1e-6) / len(masks[f"{name}.weight"]))
            for module, name in names.items() if f"{name}.weight" in masks}  # fmt: skip
    with warnings.catch_warnings(), torch.enable_grad():  # the package reads the graph of gradients
        warnings.simplefilter("ignore")
        norm = pruning.importance.MagnitudeImportance(p=1, group_reduction="first", normalizer=None)
        pruner = pruning.pruner.BasePruner(
            compact, torch.zeros(1, *shape), importance=norm, pruning_ratio=ratio, pruning_ratio_dict=most,
            ignored_layers=[compact.get_submodule(last)],
        )  # fmt: skip
        # One step: every dimension is cut once, so the indices of all groups are those of the whole network.
        for group in pruner.step(interactive=True):
            for dependency, indices in group:
                _mark(masks, masked, names, dependency, indices)
            group.prune()
    with torch.no_grad():
        for name, weight in maskable(masked).items():
            weight.mul_(masks[name])
    return Removal(masks=masks, masked=masked, compact=compact)


def find(
    model: nn.Module,
    data: Split,
    *,
    density: float,
    recipe: Recipe,
    fine_tuning: Recipe,
    seed: int = 0,
    ratio: float | None = None,
    validation: Split | None = None,
    checkpoint: Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool | Progress = False,
) -> Found:
    """Train a dense network, remove its weakest filters, and fine-tune the small network.

    Args:
        model: an ordinary architecture, left unchanged; its weights are drawn anew.
        data: the training data.
        density: upper bound on the fraction of weights that stays, in (0, 1]; nearly so much stays.
        recipe: how the dense network is trained; recipe.seed controls the data order.
        fine_tuning: how the small network is trained.
        seed: seed of the weights.
        ratio: fraction of filters to remove; None for the smallest that reaches ``density``.
        validation: monitored only; never used for selection.
        checkpoint: file of the dense training to continue from; the file of the small network has ``.tuned`` appended.
        device: ``cpu`` or a GPU; see :func:`slth.baselines.training.train`.
        progress: who listens; True for bars.

    Returns:
        ``compact`` is the small network; ``history`` holds both trainings. ``notes`` hold ``ratio``, and ``parameters``
        and ``flops``, both before and after the removal.

    Raises:
        InputError: density outside (0, 1], ratio outside [0, 1), no ratio that leaves so few weights, or
            ``torch-pruning`` is not installed.
        TrainingError: the loss is not finite.

    Source: li2017
    """
    check_density(density)
    _torch_pruning()
    shape = tuple(data.images.shape[1:])
    network, began = drawn(model, seed), time.perf_counter()
    before = weights_hash(network)
    if ratio is None:
        ratio = ratio_for(network, shape, density)
    else:
        _check_ratio(ratio)
    listener = listening(progress)
    options: dict[str, Any] = {"validation": validation, "device": device, "progress": listener}
    dense = train(network, data, recipe=recipe, checkpoint=checkpoint, **options)
    network.cpu()
    removal = remove_filters(network, shape, ratio)
    check_masks(removal.masks, network)
    small = cost(removal.compact, shape)
    tuned = None if checkpoint is None else checkpoint.with_name(checkpoint.name + ".tuned")
    after = train(removal.compact, data, recipe=fine_tuning, checkpoint=tuned, **options)
    whole = cost(network, shape)
    history = replace(
        dense, epochs=dense.epochs + after.epochs, steps=dense.steps + after.steps,
        seconds=dense.seconds + after.seconds,
    )  # fmt: skip
    found = Found(
        method="filters", network=removal.masked, masks=removal.masks, history=history, asked=density,
        seconds=time.perf_counter() - began, weights=(before, weights_hash(network)), compact=removal.compact.cpu(),
        notes={
            "ratio": ratio, "parameters": [whole[0], small[0]], "flops": [whole[1], small[1]],
        },
    )  # fmt: skip
    warn(found, listener)
    return found


def cost(model: nn.Module, shape: tuple[int, ...]) -> tuple[int, int]:
    """Count parameters, and the floating-point operations of products and convolutions for one input.

    Args:
        model: left unchanged.
        shape: shape of one input, (C, H, W).

    Returns:
        (parameters, operations); a multiply-add counts as two operations.
    """
    one = copy.deepcopy(model).cpu().eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        one(torch.zeros(1, *shape))
    return sum(parameter.numel() for parameter in model.parameters()), counter.get_total_flops()


def ratio_for(network: nn.Module, shape: tuple[int, ...], density: float) -> float:
    """Find the smallest fraction of filters to remove, to ``RATIO_TOLERANCE``, that leaves at most a given density.

    It depends only on the widths of the layers, not on their weights.

    Args:
        network: left unchanged.
        shape: shape of one input, (C, H, W).
        density: upper bound on the fraction of weights that is left, in (0, 1].

    Raises:
        InputError: more weights than that are left even with one filter in each layer.
    """
    check_density(density)
    low, high = 0.0, 1 - 1e-9
    least = density_of(remove_filters(network, shape, high).masks)
    if least > density:
        raise InputError(
            f"removing filters leaves at least {least:.4g} of the weights; {density} was asked for. Ask for more."
        )
    if density == 1:
        return 0.0
    while high - low > RATIO_TOLERANCE:
        middle = (low + high) / 2
        if density_of(remove_filters(network, shape, middle).masks) > density:
            low = middle
        else:
            high = middle
    return high


def _mark(masks: Masks, masked: nn.Module, names: dict[nn.Module, str], dependency: Any, indices: list[int]) -> None:
    """Set to zero, in masks, biases and BatchNorm of the whole network, what one cut removes."""
    name = names.get(dependency.target.module)
    if name is None:  # a node of the graph without parameters: a sum, a flattening
        return
    module: Any = masked.get_submodule(name)
    weight = f"{name}.weight"
    outputs = dependency.handler.__name__ == "prune_out_channels"
    with torch.no_grad():
        if weight in masks and not outputs:
            masks[weight][:, indices] = False
        elif weight in masks:
            masks[weight][indices] = False
            if module.bias is not None:
                module.bias[indices] = 0
        elif isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
            module.weight[indices] = 0
            module.bias[indices] = 0


def _check_ratio(ratio: float) -> None:
    if check_positive("ratio", ratio, "It is the fraction of filters removed.", zero_ok=True) >= 1:
        raise InputError(f"ratio must lie in [0, 1); got {ratio}. It is the fraction of filters removed.")


def _torch_pruning() -> Any:
    try:
        import torch_pruning
    except ImportError as cause:
        raise InputError('filter pruning needs the torch-pruning package: pip install "slth[filters]".') from cause
    return torch_pruning
