"""SynFlow: weights are scored by what flows through them from the input to the outputs, without data.

    R = 1ᵀ f(1; |w|),   score = ∂R/∂|w| ⊙ |w|,   pruned over 100 iterations to density^{i/100}

In f(·; |w|), BatchNorm is the multiplication by |γ| and biases are zero, so R is a product of layers.

Source: tanaka2020
"""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.func import functional_call

from slth.baselines.masks import Masks, Scores, keep_top, maskable
from slth.errors import check_int

ITERATIONS = 100


def synflow_scores(network: nn.Module, shape: tuple[int, ...], masks: Masks | None = None) -> Scores:
    """∂R/∂|w| ⊙ |w| in double precision: the part of the sum of outputs that all paths through a weight carry.

    Args:
        network: left unchanged.
        shape: shape of one input, (C, H, W).
        masks: weights outside them are taken as zero; None for none.

    Source: tanaka2020
    """
    linear = _absolute(network)
    weights = {name: weight.detach().abs() for name, weight in maskable(linear).items()}
    if masks is not None:
        weights = {name: weight * masks[name].to(weight.device) for name, weight in weights.items()}
    for weight in weights.values():
        weight.requires_grad_(True)
    ones = torch.ones(1, *shape, dtype=torch.float64, device=next(iter(weights.values())).device)
    flow = functional_call(linear, weights, (ones,)).sum()
    gradients = torch.autograd.grad(flow, list(weights.values()))
    return {name: (g * w).detach() for (name, w), g in zip(weights.items(), gradients, strict=True)}


def synflow_masks(network: nn.Module, shape: tuple[int, ...], density: float, *, iterations: int = ITERATIONS) -> Masks:
    """Prune to density^{i/iterations} for i = 1 … iterations; what is pruned stays pruned.

    Args:
        network: left unchanged.
        shape: shape of one input, (C, H, W).
        density: fraction of all weights to keep, in (0, 1].
        iterations: number of prunings.

    Source: tanaka2020
    """
    check_int("iterations", iterations, 1)
    masks = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in maskable(network).items()}
    for i in range(1, iterations + 1):
        masks = keep_top(synflow_scores(network, shape, masks), density ** (i / iterations), among=masks)
    return masks


def connected(network: nn.Module, shape: tuple[int, ...], masks: Masks) -> Masks:
    """The kept weights that lie on a path of kept weights from the input to an output: all others have no effect.

    If a whole filter is removed, the next layer's weights on its output have no effect. Counting them overstates what a
    ticket holds.

    Args:
        network: left unchanged; only its layers count, not its weights.
        shape: shape of one input, (C, H, W).
        masks: which weights are kept.
    """
    ones = copy.deepcopy(network)
    with torch.no_grad():
        for weight in maskable(ones).values():
            weight.fill_(1 / weight[0].numel())
    return {name: masks[name] & (score.cpu() > 0) for name, score in synflow_scores(ones, shape, masks).items()}


def _absolute(network: nn.Module) -> nn.Module:
    """The network of absolute weights, in double precision: biases are zero, BatchNorm is the multiplication by |γ|."""
    linear = copy.deepcopy(network).double().eval()
    with torch.no_grad():
        for module in linear.modules():
            for name, parameter in module.named_parameters(recurse=False):
                parameter.zero_() if name == "bias" else parameter.abs_()
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.reset_running_stats()
                module.eps = 0.0
    return linear
