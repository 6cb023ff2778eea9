r"""Trained structured pruning: whole filters of small L1 norm are taken out of a trained network, which is then tuned.

Channels that residual sums tie together go together, ranked by the filters of the first layer that makes them. With
the fraction ρ of every layer's filters removed, an inner layer keeps about (1−ρ)² of its weights.

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

# Bisection of the ratio stops here: between two ratios this near, no layer of these networks loses another filter.
NEAR = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class Removal:
    """What is left of a network without some of its filters, twice.

    Attributes:
        masks: of the weights of the whole network. masked: the whole network with removed filters at zero, their
            biases and BatchNorm parameters too. compact: the small network, of the same outputs.
    """

    masks: Masks
    masked: nn.Module
    compact: nn.Module


def remove_filters(model: nn.Module, shape: tuple[int, ...], ratio: float) -> Removal:
    """Take the fraction ``ratio`` of filters of smallest L1 norm out of every layer but the last.

    Args:
        model: left as it is. shape: of one input, (C, H, W). ratio: 0 ≤ ρ < 1; one filter stays in any case.

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
    # torch-pruning leaves a layer whole of which nothing would be left; here one filter stays.
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
    """A trained network without its weakest filters.

    Args:
        model: an ordinary architecture, left as it is; its weights are drawn anew. data: of training.
        density: at most so much of the weights stays, and nearly so much. recipe: of the dense network.
        fine_tuning: of the small one. seed: of the weights. ratio: of filters removed; None for the smallest that
            reaches ``density``. validation: looked at, decides nothing. checkpoint: file of the dense training; that
            of the small network has ``.tuned`` after it. device, progress: see :func:`slth.baselines.training.train`.

    Returns:
        ``compact`` is the small network; ``history`` holds both trainings. Notes: ``ratio``, and ``parameters`` and
        ``flops`` of before and after.

    Raises:
        InputError: density outside (0, 1], ratio outside [0, 1), no ratio that leaves so few weights, or
            ``torch-pruning`` is not installed. TrainingError: the loss is not finite.

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
    """Parameters, and floating-point operations of one input's products and convolutions (a multiply-add is two)."""
    one = copy.deepcopy(model).cpu().eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        one(torch.zeros(1, *shape))
    return sum(parameter.numel() for parameter in model.parameters()), counter.get_total_flops()


def ratio_for(network: nn.Module, shape: tuple[int, ...], density: float) -> float:
    """The smallest fraction of filters, to ``NEAR``, without which at most ``density`` of the weights is left.

    It depends on the widths of the layers alone, not on their weights.

    Raises:
        InputError: one filter a layer is still more.
    """
    check_density(density)
    low, high = 0.0, 1 - 1e-9
    least = density_of(remove_filters(network, shape, high).masks)
    if least > density:
        raise InputError(
            f"removing filters leaves {least:.4g} of the weights at least; {density} was asked for. Ask for more."
        )
    if density == 1:
        return 0.0
    while high - low > NEAR:
        middle = (low + high) / 2
        if density_of(remove_filters(network, shape, middle).masks) > density:
            low = middle
        else:
            high = middle
    return high


def _mark(masks: Masks, masked: nn.Module, names: dict[nn.Module, str], dependency: Any, indices: list[int]) -> None:
    """Write into masks, biases and BatchNorm of the whole network what one cut takes away."""
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
