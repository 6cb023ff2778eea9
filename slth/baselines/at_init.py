"""Pruning at initialisation: each criterion is a score for every weight, and the highest scores of all layers are kept.

    random      independent uniform numbers
    magnitude   |w|
    SNIP        |g ⊙ w|,  g = ∇L(w)
    GraSP       w ⊙ Hg,  H = ∇²L(w), logits divided by T = 200. Removing w_i changes ‖g‖² by about −2 w_i (Hg)_i:
                the weights whose removal raises it most are removed, and the highest w ⊙ Hg stay
    SynFlow     see :mod:`slth.baselines.synflow`

Scores are given to the weights of convolutions and linear layers, and ∇, H are with respect to these alone. Biases and
the parameters of BatchNorm are never pruned. SNIP and GraSP see BatchNorm as training does, with statistics of the
batch.

Source: lee2019
Source: wang2020
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
from slth.baselines.masks import Masks, Scores, check_density, keep_top, maskable, weights_hash
from slth.baselines.randomness import mixed
from slth.baselines.synflow import synflow_masks
from slth.baselines.training import History
from slth.data import Split
from slth.errors import InputError, check_choice, check_int, check_positive
from slth.progress import Progress

CRITERIA = ("random", "magnitude", "snip", "grasp", "synflow")

PER_CLASS = 10
TEMPERATURE = 200.0


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
    """Draw and prune a network at initialisation; it is trained by :func:`slth.baselines.found.fine_tuned`.

    Args:
        model: an ordinary architecture, left unchanged; its weights are drawn anew.
        data: the training data.
        density: fraction of all weights to keep, in (0, 1]; exactly round(density·N) are kept.
        method: one of ``CRITERIA``.
        seed: seed of the weights, of the examples and of random scores.
        per_class: number of examples of each class that SNIP and GraSP see.
        progress: who listens; True for bars.

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
    """The masks that a method gives a network as it is.

    Args:
        network: left unchanged.
        data: the training data.
        density: fraction of all weights to keep, in (0, 1].
        method: one of ``CRITERIA``.
        seed: seed of the examples and of random scores.
        per_class: number of examples of each class that SNIP and GraSP see.

    Raises:
        InputError: unknown method, density outside (0, 1], or a class with too few examples.
    """
    check_choice("method", method, CRITERIA)
    if method == "synflow":
        return synflow_masks(network, tuple(data.images.shape[1:]), density)
    return keep_top(_scores(method, network, data, seed, per_class), density)


def drawn(model: nn.Module, seed: int) -> nn.Module:
    """Copy a network with new weights, drawn as torch initialises its layers.

    The caller's random number generators are neither read nor moved.

    Args:
        model: left unchanged.
        seed: seed of the weights.
    """
    network = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(check_int("seed", seed, 0))
        for module in network.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
    return network


def examples(data: Split, per_class: int, seed: int) -> Split:
    """Choose the first ``per_class`` examples of every class in a random order.

    Args:
        data: images and labels.
        per_class: number of examples of each class.
        seed: seed of the order.

    Raises:
        InputError: a class has fewer examples.
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
    """SNIP scores |g ⊙ w|.

    Args:
        network: left unchanged.
        batch: the examples that the loss is computed on.

    Source: lee2019
    """
    weights, loss = _differentiable(network)
    gradients = torch.autograd.grad(loss(batch, 1.0), list(weights.values()))
    return {name: (g * w).detach().abs() for (name, w), g in zip(weights.items(), gradients, strict=True)}


def grasp_scores(network: nn.Module, batch: Split, *, temperature: float = TEMPERATURE) -> Scores:
    """GraSP scores w ⊙ Hg, to be kept from the highest on.

    The published score is the negative of this one, and its highest are removed.

    Args:
        network: left unchanged.
        batch: the examples that the loss is computed on.
        temperature: T, by which logits are divided.

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
    """Copy the weights, and return the loss as a function of them; the network's running statistics do not change."""
    copied = copy.deepcopy(network).train()
    weights = {name: weight.detach().clone().requires_grad_(True) for name, weight in maskable(copied).items()}

    def loss(batch: Split, temperature: float) -> torch.Tensor:
        logits: Any = functional_call(copied, weights, (batch.images,))
        return functional.cross_entropy(logits / temperature, batch.labels)

    return weights, loss
