"""Lottery tickets on a data diet: the rewind point is trained on a part of the training data.

Examples are scored early in training and a subset is chosen. The network is pre-trained on that subset alone up to
step t_r, and iterative magnitude pruning continues from there on all the data (:func:`slth.baselines.imp.prune`).

Source: paul2022
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from slth.baselines.calibration import check_labels
from slth.baselines.recipe import Recipe
from slth.baselines.training import logits_of, train
from slth.data import Split
from slth.errors import InputError, check_choice, check_int

SUBSET_KINDS = ("random", "easy", "hard")

# Published for ResNet-20 on CIFAR-10: 62,400 steps.
PUBLISHED = Recipe(
    epochs=160, batch=128, learning_rate=0.1, weight_decay=1e-4, schedule="multistep", milestones=(0.5, 0.75),
    augment=True,
)  # fmt: skip
# For LeNet-5 on 2,500 to 5,000 images of MNIST. Also tried with three seeds on validation images: a rate of 0.1. Dense
# training is as good with it, but after 80 steps on 128 images one network of three was dead and another was at 35 %.
# At 0.05 none died.
RECIPE = Recipe(epochs=6, batch=64, learning_rate=0.05, weight_decay=1e-4)


def replicates(
    build: Callable[[int], nn.Module], data: Split, *, recipe: Recipe, steps: int, count: int = 4,
    device: str | torch.device = "cpu",
) -> list[nn.Module]:  # fmt: skip
    """Train networks ``build(0)``, ``build(1)``, … for a few steps without augmentation: scores are averaged over them.

    Args:
        build: seed → untrained network.
        data: the training data.
        recipe: how the networks are trained; its seed is replaced.
        steps: number of steps, at the rates of the recipe's whole run; enough for the loss to have fallen. (LeNet-5 on
            MNIST, batch 64: after 40 steps the 128 easiest examples were all of one class, and EL2N and GraNd had a
            rank correlation of 0.12; after 120 steps it was 0.98, and the easiest were still mostly of two classes.)
        count: number of networks.
        device: ``cpu`` or a GPU; see :func:`slth.baselines.training.train`.
    """
    check_int("count", count, 1, hint="It is the number of networks to average over.")
    networks = []
    for seed in range(count):
        network = build(seed)
        train(network, data, recipe=_without_augmentation(recipe, seed), last_step=steps, device=device)
        networks.append(network)
    return networks


def el2n(networks: Sequence[nn.Module], data: Split) -> torch.Tensor:
    r"""EL2N score of each example; a small score means an easy example.

    .. math:: \mathrm{EL2N}(x, y) = \frac1R \sum_{r=1}^R \| \mathrm{softmax}(f_r(x)) - e_y \|_2 \in [0, \sqrt 2]

    Args:
        networks: the R networks, e.g. of :func:`replicates`.
        data: the examples to score.

    Returns:
        float64 (N,).

    Source: paul2021
    """
    _check_networks(networks)
    total = torch.zeros(len(data), dtype=torch.float64)
    for network in networks:
        logits = logits_of(network, data.images).double()
        check_labels(logits, data.labels.cpu())
        total += (logits.softmax(dim=1) - functional.one_hot(data.labels.cpu(), logits.shape[1])).norm(dim=1)
    return total / len(networks)


def grand(networks: Sequence[nn.Module], data: Split, *, chunk: int = 250) -> torch.Tensor:
    r"""GraNd score of each example: the Euclidean norm of its gradient over all trained parameters.

    .. math:: \mathrm{GraNd}(x, y) = \frac1R \sum_{r=1}^R \| \nabla_\theta \, \ell(f_r(x; \theta), y) \|_2

    BatchNorm is in evaluation mode; otherwise the gradient of an example would depend on the other examples.

    Args:
        networks: the R networks, e.g. of :func:`replicates`.
        data: the examples to score.
        chunk: number of examples in a pass; memory grows with chunk × parameters.

    Returns:
        float64 (N,).

    Source: paul2021
    """
    _check_networks(networks)
    total = torch.zeros(len(data), dtype=torch.float64)
    for network in networks:
        network.eval()
        check_labels(logits_of(network, data.images), data.labels.cpu())
        trained = {name: value.detach() for name, value in network.named_parameters() if value.requires_grad}
        if not trained:
            raise InputError("networks to score with must have parameters that require gradients; got none.")
        rest = {name: value.detach() for name, value in network.named_parameters() if not value.requires_grad}
        rest |= dict(network.named_buffers())
        device = next(iter(trained.values())).device

        def loss(
            parameters: dict[str, torch.Tensor], image: torch.Tensor, label: torch.Tensor,
            network: nn.Module = network, rest: dict[str, torch.Tensor] = rest,
        ) -> torch.Tensor:  # fmt: skip
            logits = functional_call(network, {**parameters, **rest}, (image[None],))
            return functional.cross_entropy(logits, label[None])

        each = vmap(grad(loss), in_dims=(None, 0, 0))
        norms = []
        for images, labels in zip(data.images.split(chunk), data.labels.split(chunk), strict=True):
            gradients = each(trained, images.to(device), labels.to(device))
            squares = sum(value.flatten(1).double().square().sum(dim=1) for value in gradients.values())
            norms.append(torch.as_tensor(squares).sqrt().cpu())
        total += torch.cat(norms)
    return total / len(networks)


def subset(
    size: int, *, kind: str, scores: torch.Tensor, seed: int = 0, classes: torch.Tensor | None = None
) -> torch.Tensor:
    """Choose the examples to pre-train on.

    Args:
        size: number of examples m.
        kind: ``easy`` (smallest scores), ``hard`` (largest scores) or ``random`` (scores are not used).
        scores: (N,). Equal scores are taken in the order of the data.
        seed: seed of the random choice.
        classes: labels (N,), to take the same number of each class (one more of the first classes where it does not
            divide); None to let the scores decide, as Paul et al. do.

    Returns:
        Indices, int64 (m,), increasing.

    Raises:
        InputError: more examples than there are (of a class), scores that are NaN, an unknown kind.

    Source: paul2022
    """
    check_choice("kind", kind, SUBSET_KINDS)
    check_int("size", size, 1, len(scores), hint=f"There are {len(scores):,} examples.")
    if bool(scores.isnan().any()):
        raise InputError("scores must be numbers; got NaN. Check the training that they come from.")
    if kind == "random":
        ranks = torch.randperm(len(scores), generator=torch.Generator().manual_seed(seed))
    else:
        ranks = torch.argsort(scores.cpu(), descending=kind == "hard", stable=True)
    if classes is None:
        return ranks[:size].sort().values
    names = classes.unique()
    chosen = []
    for i, name in enumerate(names):
        wanted = size // len(names) + (i < size % len(names))
        mine = ranks[classes[ranks] == name]
        if len(mine) < wanted:
            raise InputError(
                f"class {int(name)} has {len(mine)} examples; {wanted} are asked for. Choose a smaller size."
            )
        chosen.append(mine[:wanted])
    return torch.cat(chosen).sort().values


def pretrained(
    model: nn.Module, data: Split, chosen: torch.Tensor, *, recipe: Recipe, step: int,
    device: str | torch.device = "cpu",
) -> nn.Module:  # fmt: skip
    """Train a copy of a network for ``step`` steps on the chosen examples alone: a rewind point on a diet.

    Steps are those of the recipe on *all* the data: the learning rate is the same as without a diet, and a small subset
    is passed over as often as it takes.

    Args:
        model: the untrained network; it is left unchanged.
        data: the training data.
        chosen: indices, int64 (m,), of :func:`subset`.
        recipe: how the network is trained; recipe.seed controls the data order.
        step: t_r, the step to rewind to; below the number of steps of the whole run.
        device: ``cpu`` or a GPU; see :func:`slth.baselines.training.train`.

    Raises:
        InputError: a step outside the run, or indices outside the data.
    """
    steps = recipe.steps(len(data))
    check_int("step", step, 0, steps - 1, hint=f"It is the step to rewind to; the run has {steps}.")
    if not len(chosen) or int(chosen.min()) < 0 or int(chosen.max()) >= len(data):
        raise InputError(f"chosen must hold indices of the {len(data):,} examples; it does not. Use subset().")
    point = copy.deepcopy(model)
    diet = Split(data.images[chosen], data.labels[chosen])
    train(point, diet, recipe=recipe, last_step=step, steps=steps, device=device)
    return point


def _without_augmentation(recipe: Recipe, seed: int) -> Recipe:
    return replace(recipe, seed=seed, augment=False)


def _check_networks(networks: Sequence[nn.Module]) -> None:
    if not networks:
        raise InputError("networks must hold one network at least; got none. Use replicates().")
