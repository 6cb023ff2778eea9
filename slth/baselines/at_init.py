r"""Pruning at initialisation: random, magnitude, SNIP, GraSP and SynFlow, each a score and one global ranking.

    random      independent uniform numbers
    magnitude   |w|
    SNIP        |g ⊙ w|,  g = ∇L(w)
    GraSP       w ⊙ Hg,  H = ∇²L(w), logits divided by T = 200; to remove w_i changes ‖g‖² by about −2 w_i (Hg)_i, so
                those go whose removal raises it most, and the highest w ⊙ Hg stay
    SynFlow     ∂R/∂|w| ⊙ |w|,  R = 1ᵀ f(1; |w|), pruned over 100 iterations to density^{i/100}

Ranked are the weights of convolutions and linear layers, and ∇, H are with respect to these alone. Biases and the
parameters of BatchNorm are never pruned. SNIP and GraSP see BatchNorm as training does (statistics of the batch);
SynFlow sees no data, so BatchNorm is the multiplication by |γ| there, biases are zero, and R is a product of layers.

Source: lee2019
Source: wang2020
Source: tanaka2020
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from slth.baselines.found import Found, warn
from slth.baselines.masks import Masks, check_density, keep_top, maskable, weights_hash
from slth.baselines.training import History, mixed
from slth.data import Split
from slth.errors import InputError, check_choice, check_int, check_positive
from slth.progress import Progress

CRITERIA = ("random", "magnitude", "snip", "grasp", "synflow")

PER_CLASS = 10
TEMPERATURE = 200.0
ITERATIONS = 100

Scores = dict[str, torch.Tensor]


def find(
    model: nn.Module,
    data: Split,
    *,
    density: float,
    method: str,
    seed: int = 0,
    per_class: int = PER_CLASS,
    progress: bool | Progress = False,
) -> Found:
    """A sparse network at initialisation; it is trained by :func:`slth.baselines.found.fine_tuned`.

    Args:
        model: an ordinary architecture, left as it is; its weights are drawn anew. data: of training.
        density: of all weights; exactly round(density·N) are kept. method: one of ``CRITERIA``.
        seed: of the weights, of the examples, of random scores. per_class: examples SNIP and GraSP see.

    Raises:
        InputError: unknown method, density outside (0, 1], or a class with too few examples.
    """
    check_choice("method", method, CRITERIA)
    check_density(density)
    network = drawn(model, seed)
    before, began = weights_hash(network), time.perf_counter()
    masks = masks_of(network, data, density=density, method=method, seed=seed, per_class=per_class)
    found = Found(
        method=method, network=network.eval(), masks=masks, history=History(), asked=density,
        seconds=time.perf_counter() - began, weights=(before, weights_hash(network)),
    )  # fmt: skip
    warn(found, progress)
    return found


def masks_of(
    network: nn.Module, data: Split, *, density: float, method: str, seed: int = 0, per_class: int = PER_CLASS
) -> Masks:
    """The masks that a method gives a network as it is; arguments and errors as for :func:`find`."""
    check_choice("method", method, CRITERIA)
    if method == "synflow":
        return synflow_masks(network, tuple(data.images.shape[1:]), density)
    return keep_top(_scores(method, network, data, seed, per_class), density)


def drawn(model: nn.Module, seed: int) -> nn.Module:
    """A copy of ``model`` with the weights that torch draws for its layers, from ``seed``; the caller's random numbers
    are neither read nor moved."""
    network = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(check_int("seed", seed, 0))
        for module in network.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
    return network


def examples(data: Split, per_class: int, seed: int) -> Split:
    """The first ``per_class`` examples of every class in a random order.

    Raises:
        InputError: a class has fewer.
    """
    check_int("per_class", per_class, 1)
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(mixed(seed, 5)))
    labels = data.labels.cpu()[order]
    short = {int(c): int(n) for c, n in zip(*labels.unique(return_counts=True), strict=True) if n < per_class}
    if short:
        raise InputError(f"every class needs {per_class} examples; got {short} (class: examples). Lower per_class.")
    chosen = torch.cat([order[labels == label][:per_class] for label in labels.unique()])
    return Split(data.images[chosen], data.labels[chosen])


def snip_scores(network: nn.Module, batch: Split) -> Scores:
    """|g ⊙ w|.

    Source: lee2019
    """
    weights, loss = _differentiable(network)
    gradients = torch.autograd.grad(loss(batch, 1.0), list(weights.values()))
    return {name: (g * w).detach().abs() for (name, w), g in zip(weights.items(), gradients, strict=True)}


def grasp_scores(network: nn.Module, batch: Split, *, temperature: float = TEMPERATURE) -> Scores:
    """w ⊙ Hg; the published score is its negative, and its highest are removed.

    Args:
        temperature: what logits are divided by.

    Source: wang2020
    """
    check_positive("temperature", temperature)
    weights, loss = _differentiable(network)
    w = list(weights.values())
    gradients = torch.autograd.grad(loss(batch, temperature), w, create_graph=True)
    product = torch.stack([(g * g.detach()).sum() for g in gradients]).sum()
    return {
        name: (value * h).detach()
        for (name, value), h in zip(weights.items(), torch.autograd.grad(product, w), strict=True)
    }


def synflow_scores(network: nn.Module, shape: tuple[int, ...], masks: Masks | None = None) -> Scores:
    """∂R/∂|w| ⊙ |w| in double precision: what all paths through a weight carry of the sum of outputs.

    Args:
        shape: of one input, (C, H, W). masks: weights outside them are zero.

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

    Source: tanaka2020
    """
    check_int("iterations", iterations, 1)
    masks = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in maskable(network).items()}
    for i in range(1, iterations + 1):
        masks = keep_top(synflow_scores(network, shape, masks), density ** (i / iterations), among=masks)
    return masks


def connected(network: nn.Module, shape: tuple[int, ...], masks: Masks) -> Masks:
    """The kept weights that lie on a path of kept weights from the input to an output: the others do nothing.

    Where a whole filter goes, the next layer's weights on it are dead; counting them overstates what a ticket holds.
    """
    ones = copy.deepcopy(network)
    with torch.no_grad():
        for weight in maskable(ones).values():
            weight.fill_(1 / weight[0].numel())
    return {name: masks[name] & (score.cpu() > 0) for name, score in synflow_scores(ones, shape, masks).items()}


def _scores(method: str, network: nn.Module, data: Split, seed: int, per_class: int) -> Scores:
    if method == "magnitude":
        return {name: weight.detach().abs() for name, weight in maskable(network).items()}
    if method == "random":
        generator = torch.Generator().manual_seed(mixed(seed, 3))
        return {
            name: torch.rand(weight.shape, generator=generator, dtype=torch.float64)
            for name, weight in maskable(network).items()
        }
    batch = examples(data, per_class, seed)
    return snip_scores(network, batch) if method == "snip" else grasp_scores(network, batch)


def _differentiable(network: nn.Module) -> tuple[Scores, Callable[[Split, float], torch.Tensor]]:
    """Copies of the weights, and the loss as a function of them; the network's running statistics do not move."""
    copied = copy.deepcopy(network).train()
    weights = {name: weight.detach().clone().requires_grad_(True) for name, weight in maskable(copied).items()}

    def loss(batch: Split, temperature: float) -> torch.Tensor:
        logits: Any = functional_call(copied, weights, (batch.images,))
        return functional.cross_entropy(logits / temperature, batch.labels)

    return weights, loss


def _absolute(network: nn.Module) -> nn.Module:
    """The network of absolute weights: biases zero, BatchNorm the multiplication by |γ|, in double precision."""
    linear = copy.deepcopy(network).double().eval()
    with torch.no_grad():
        for module in linear.modules():
            for name, parameter in module.named_parameters(recurse=False):
                parameter.zero_() if name == "bias" else parameter.abs_()
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.reset_running_stats()
                module.eps = 0.0
    return linear
